"""The URL of a key service that speaks gRPC: ``constellation://key-service.kube-system:9000``."""

import math
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import attrs

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt.keyservice.certificates import TlsFiles
from cloudcrypt.urls import Query

PORT: Final = 9000
"""The port of Constellation's key service."""

TIMEOUT: Final = 10.0
"""Seconds that a call may take where nobody says: an answer takes milliseconds, a restart of the
key service in a cluster some seconds."""

TIMEOUT_MAX: Final = 3600.0
"""Seconds that a call may take at most."""

KIND: Final = "constellation://HOST:PORT"
"""What the URL is called in errors."""


@attrs.frozen
class Address:
    """A key service, and how to speak to it.

    ``target`` is host and port, ``tls`` None for plain text. ``authority`` is the name that the
    certificate of the service must be for, if not that of the host. ``timeout`` is in seconds.
    """

    target: str
    tls: TlsFiles | None
    authority: str | None
    timeout: float

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return what ``url`` says.

        Its parameters: ``ca``, a PEM file with the authorities of the service's certificate;
        ``certificate`` and ``key``, PEM files that prove who calls; ``authority``; ``timeout``; or,
        in the place of the first four, ``plaintext=1``.

        Raises:
            KeyUriInvalid: it is not one.
        """
        target, text = _parts(url)
        query = Query(KIND, text)
        timeout = _timeout(query.get("timeout"))
        is_plain = query.get("plaintext")
        ca, authority = query.get("ca"), query.get("authority")
        pair = query.together("certificate", "key")
        query.finish()
        if is_plain is not None:
            if is_plain != "1" or ca or authority or pair:
                raise KeyUriInvalid(KIND, "plaintext=1 goes without certificates")
            return cls(target, None, None, timeout)
        if ca is None:
            reason = "ca=FILE is missing; for a service without TLS say plaintext=1"
            raise KeyUriInvalid(KIND, reason)
        certificate, key = map(Path, pair) if pair else (None, None)
        return cls(target, TlsFiles(Path(ca), certificate, key), authority, timeout)


def _parts(url: str) -> tuple[str, str]:
    """Return target and query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        parts, host, port = urlsplit(""), None, PORT
    extra = parts.path.strip("/") or parts.fragment or parts.username is not None
    if not host or extra or parts.scheme != "constellation":
        raise KeyUriInvalid(KIND, "host and port, then parameters only")
    return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), parts.query


def _timeout(text: str | None) -> float:
    try:
        seconds = TIMEOUT if text is None else float(text)
    except ValueError:
        seconds = math.nan
    if not 0.001 <= seconds <= TIMEOUT_MAX:
        raise KeyUriInvalid(KIND, f"timeout is in seconds, to {TIMEOUT_MAX:.0f}")
    return seconds
