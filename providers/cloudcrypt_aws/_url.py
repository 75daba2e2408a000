"""The URL of an AWS provider: ``aws://REGION?zone=...&owner=...&profile=...&endpoint=...``."""

import re
from typing import Final, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import attrs

from cloudcrypt.errors import InvalidRequest

SCHEME: Final = "aws"
DEFAULT_OWNER: Final = "cloudcrypt"
_FORM: Final = "aws://REGION?zone=...&owner=...&profile=...&endpoint=..."
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_ZONE: Final = re.compile(r"[a-z0-9-]{1,60}", re.ASCII)


@attrs.frozen
class Place:
    """What a URL says; ``region`` is None where the environment is to name it."""

    region: str | None
    zone: str | None = None
    owner: str = DEFAULT_OWNER
    profile: str | None = None
    endpoint: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return what ``url`` says.

        Raises:
            InvalidRequest: another scheme, a parameter that is unknown, empty or there twice, or a
                secret.
        """
        try:
            parts = urlsplit(url)
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise InvalidRequest("url", _without_query(url), _FORM) from error
        if "@" in parts.netloc:  # what is there may be secret
            raise InvalidRequest("url", "...", "credentials come from boto3's chain, not from here")
        known = {field.name for field in attrs.fields(cls)} - {"region"}
        named = dict(pairs)
        if parts.scheme != SCHEME or parts.path not in {"", "/"} or parts.fragment:
            raise InvalidRequest("url", _without_query(url), _FORM)
        for name, value in named.items():
            if name not in known or not value:
                raise InvalidRequest("url", name, f"{_FORM}, none of them empty")
        if len(named) != len(pairs):
            raise InvalidRequest("url", _without_query(url), "each parameter once")
        return cls(parts.netloc or None, **named)

    def __attrs_post_init__(self) -> None:
        """Check all parts."""
        if self.region is not None and _REGION.fullmatch(self.region) is None:
            raise InvalidRequest("region", self.region, "an AWS region, such as eu-central-1")
        if self.zone is not None and _ZONE.fullmatch(self.zone) is None:
            raise InvalidRequest("zone", self.zone, "a zone, such as eu-central-1a or euc1-az2")
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)

    def __str__(self) -> str:
        """Return the URL, without what is the default anyway."""
        named = {
            "zone": self.zone,
            "owner": None if self.owner == DEFAULT_OWNER else self.owner,
            "profile": self.profile,
            "endpoint": self.endpoint,
        }
        query = urlencode({key: text for key, text in named.items() if text}, quote_via=quote)
        return f"{SCHEME}://{self.region or ''}" + (f"?{query}" if query else "")


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        parts.port  # noqa: B018 - checked when it is read
    except ValueError as error:
        raise InvalidRequest("endpoint", "...", "an http or https URL") from error
    if "@" in parts.netloc or parts.query or parts.fragment:  # what is there may be secret
        raise InvalidRequest("endpoint", "...", "a URL without user, query and fragment")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidRequest("endpoint", endpoint, "an http or https URL")


def _without_query(url: str) -> str:
    return url.partition("?")[0].rpartition("@")[2]
