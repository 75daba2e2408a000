"""The URL of a local provider: ``local://DIR``."""

import os
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from cloudcrypt.errors import InvalidRequest

PREFIX = "local://"


def directory_of(url: str) -> Path:
    """Return the absolute directory that ``url`` names.

    Args:
        url: ``local:///abs/dir``, or ``local://rel/dir`` relative to the working directory. Bytes
            that have a meaning in URLs are percent-encoded.

    Raises:
        InvalidRequest: another scheme, no directory, or a query or fragment.
    """
    if not url.startswith(PREFIX):
        raise InvalidRequest("url", url, f"it begins with {PREFIX}")
    if "?" in url or "#" in url:
        raise InvalidRequest("url", url, "a local URL has neither query nor fragment")
    name = unquote_to_bytes(url.removeprefix(PREFIX))
    if not name or b"\0" in name:
        raise InvalidRequest("url", url, f"{PREFIX} is followed by a directory")
    return Path(os.fsdecode(name)).resolve()


def url_of(directory: Path) -> str:
    """Return the URL of the absolute ``directory``."""
    return PREFIX + quote(os.fsencode(directory))
