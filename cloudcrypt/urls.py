"""The parameters of a URL of a key service, KMS or key store: taken one by one, none left over."""

import ipaddress
import math
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from cloudcrypt.errors import KeyUriInvalid

SECONDS_MAX: Final = 3600.0
"""Seconds that a timeout in a URL may have at most."""


class Query:
    """The parameters of a URL: each is taken once, and none may be left over."""

    def __init__(self, kind: str, text: str) -> None:
        """Parse ``text``, what follows the question mark of a URL of this ``kind``.

        Raises:
            KeyUriInvalid: it is malformed, or has a parameter twice.
        """
        self.kind = kind
        self._values = _values(text)
        self._asked: list[str] = []
        if self._values is None:
            raise KeyUriInvalid(kind, "parameters are name=value, joined by &, each name once")

    def get(self, name: str) -> str | None:
        """Return the value of a parameter; None if it is absent or empty."""
        self._asked.append(name)
        return (self._values or {}).pop(name, None) or None

    def require(self, name: str) -> str:
        """Return the value of a parameter that must be there.

        Raises:
            KeyUriInvalid: it is absent or empty.
        """
        value = self.get(name)
        if value is None:
            raise KeyUriInvalid(self.kind, f"{name} is missing")
        return value

    def together(self, *names: str) -> tuple[str, ...] | None:
        """Return the values of parameters that are given together, or None without any.

        Raises:
            KeyUriInvalid: some are given, and others are not.
        """
        values = [value for value in map(self.get, names) if value is not None]
        if values and len(values) < len(names):
            raise KeyUriInvalid(self.kind, f"{', '.join(names)} are given together, or none")
        return tuple(values) or None

    def seconds(self, name: str, default: float) -> float:
        """Return the value of a parameter that is a time, or ``default`` if it is absent.

        Raises:
            KeyUriInvalid: it is not a number of seconds, or not within a thousandth and an hour.
        """
        text = self.get(name)
        return default if text is None else check_seconds(self.kind, name, text)

    def endpoint(self, name: str = "endpoint") -> str | None:
        """Return the value of a parameter that is a base URL; see `check_endpoint`."""
        text = self.get(name)
        return None if text is None else check_endpoint(self.kind, text, name)

    def finish(self) -> None:
        """Return if every parameter was asked for.

        Raises:
            KeyUriInvalid: there is one that this kind of URL does not have.
        """
        if self._values:
            raise KeyUriInvalid(self.kind, f"its parameters are {', '.join(self._asked)}")


def check_seconds(kind: str, name: str, value: float | str) -> float:
    """Return ``value`` as a number of seconds, a thousandth to an hour.

    Raises:
        KeyUriInvalid: it is not one; ``kind`` says of which kind of URL.
    """
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0.001 <= seconds <= SECONDS_MAX:
        raise KeyUriInvalid(kind, f"{name} is in seconds, to {SECONDS_MAX:.0f}")
    return seconds


def check_endpoint(kind: str, url: str, name: str = "endpoint") -> str:
    """Return ``url``, the base URL of a service, without a slash at its end.

    Plain HTTP is for services on loopback: everybody on the way would read keys and tokens.

    Raises:
        KeyUriInvalid: it is not one, or plain HTTP to another host; ``kind`` says of which kind.
    """
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise KeyUriInvalid(kind, f"{name} is an https URL")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise KeyUriInvalid(kind, f"{name} has no user, query and fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise KeyUriInvalid(kind, f"{name} is https, except on loopback")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Say whether ``host`` is a name or an address that does not leave this one."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# They return None rather than raise, so that no error of urllib, which quotes what it was given, is
# the context of one of ours.


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - checked when it is read
    except ValueError:
        return None
    return parts


def _values(text: str) -> dict[str, str] | None:
    try:
        lists = parse_qs(text, keep_blank_values=True, strict_parsing=True) if text else {}
    except ValueError:
        return None
    if any(len(values) > 1 for values in lists.values()):
        return None
    return {name: values[0] for name, values in lists.items()}
