"""The URL of a GCE provider: ``gcp://PROJECT/REGION?zone=...&owner=...&endpoint=...``."""

import re
from typing import Final, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import attrs

from cloudcrypt.errors import InvalidRequest

SCHEME: Final = "gcp"
DEFAULT_OWNER: Final = "cloudcrypt"
_FORM: Final = "gcp://PROJECT/REGION?zone=...&owner=...&endpoint=..."
_PROJECT: Final = re.compile(r"([a-z0-9.-]{1,36}:)?[a-z][a-z0-9-]{0,29}", re.ASCII)
_REGION: Final = re.compile(r"[a-z][a-z0-9-]{0,24}", re.ASCII)
_ZONE: Final = re.compile(r"[a-z0-9]{1,8}", re.ASCII)
_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}


@attrs.frozen
class Place:
    """What a URL says; ``project`` is None where the credentials are to name it."""

    project: str | None
    region: str
    zone: str | None = None
    owner: str = DEFAULT_OWNER
    endpoint: str | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return what ``url`` says.

        Raises:
            InvalidRequest: another scheme, no region, a parameter that is unknown, empty or there
                twice, or a secret.
        """
        try:
            parts = urlsplit(url)
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise InvalidRequest("url", _without_query(url), _FORM) from error
        if "@" in parts.netloc:  # what is there may be secret
            rule = "credentials come from Google's libraries, not from here"
            raise InvalidRequest("url", "...", rule)
        known = {field.name for field in attrs.fields(cls)} - {"project", "region"}
        named = dict(pairs)
        region = parts.path.strip("/")
        if parts.scheme != SCHEME or not region or parts.fragment:
            raise InvalidRequest("url", _without_query(url), _FORM)
        for name, value in named.items():
            if name not in known or not value:
                raise InvalidRequest("url", name, f"{_FORM}, none of them empty")
        if len(named) != len(pairs):
            raise InvalidRequest("url", _without_query(url), "each parameter once")
        return cls(parts.netloc or None, region, **named)

    def __attrs_post_init__(self) -> None:
        """Check all parts."""
        if self.project is not None and _PROJECT.fullmatch(self.project) is None:
            rule = "the ID of a Google Cloud project, not its number"
            raise InvalidRequest("project", self.project, rule)
        if _REGION.fullmatch(self.region) is None:
            raise InvalidRequest("region", self.region, "a GCE region, such as europe-west3")
        if self.zone is not None and not is_zone_of(self.region, self.zone):
            raise InvalidRequest("zone", self.zone, f"a zone of the region, {self.region}-...")
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)

    def __str__(self) -> str:
        """Return the URL, without what is the default anyway."""
        named = {
            "zone": self.zone,
            "owner": None if self.owner == DEFAULT_OWNER else self.owner,
            "endpoint": self.endpoint,
        }
        query = urlencode({key: text for key, text in named.items() if text}, quote_via=quote)
        return f"{SCHEME}://{self.project or ''}/{self.region}" + (f"?{query}" if query else "")


def is_zone_of(region: str, zone: str) -> bool:
    """Say whether ``zone`` has the name of a zone of ``region``: one more part."""
    before, _, last = zone.rpartition("-")
    return before == region and _ZONE.fullmatch(last) is not None


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
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        rule = "https, except on this host: each request carries the access token"
        raise InvalidRequest("endpoint", endpoint, rule)


def _without_query(url: str) -> str:
    return url.partition("?")[0].rpartition("@")[2]
