"""What installed packages register: entry points by scheme, and the extra that one lacks."""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points

from cloudcrypt.errors import HostUnready

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")  # RFC 3986, section 3.1, in lower case


def installed(group: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of ``group`` by their names."""
    return {entry.name: entry for entry in entry_points(group=group)}


def scheme_of(url: str) -> str:
    """Return the scheme of ``url``, or nothing if it does not begin with one and ``://``."""
    scheme, separator, _ = url.partition("://")
    return scheme if separator and _SCHEME.fullmatch(scheme) else ""


@contextmanager
def needing(what: str, extra: str) -> Generator[None]:
    """Turn a package that is not installed into an error that names the extra to install.

    Args:
        what: what needs the package, such as ``the provider 'aws'``.
        extra: of cloudcrypt, such as ``aws``, or several with commas.

    Raises:
        HostUnready: an import failed within the block.
    """
    try:
        yield
    except ImportError as error:
        lack = f"a package that {what} needs ({error})"
        raise HostUnready(lack, f'pip install "cloudcrypt[{extra}]"') from error
