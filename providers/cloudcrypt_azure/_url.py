"""The URL of an Azure provider: ``azure://SUBSCRIPTION/RESOURCE_GROUP?location=...&zone=...``."""

import re
from typing import Final, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import attrs

from cloudcrypt.errors import InvalidRequest

SCHEME: Final = "azure"
DEFAULT_OWNER: Final = "cloudcrypt"
DEFAULT_ENDPOINT: Final = "https://management.azure.com"
"""Azure Resource Manager of the public cloud."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
"""The only hosts that are asked without TLS."""

_FORM: Final = "azure://SUBSCRIPTION/RESOURCE_GROUP?location=...&zone=...&owner=...&endpoint=..."
_SUBSCRIPTION: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_GROUP: Final = re.compile(r"[\w().-]{0,89}[\w()-]")
"""Up to 90 letters, digits, ``_().-``, not ending with a dot (Azure resource naming rules)."""
_LOCATION: Final = re.compile(r"[a-z0-9]{1,40}", re.ASCII)
_ZONE: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


def _lower(text: str) -> str:
    return text.lower()


@attrs.frozen
class Place:
    """What a URL says. Subscription, group and location are in lower case: Azure ignores case."""

    subscription: str = attrs.field(converter=_lower)
    group: str = attrs.field(converter=_lower)
    location: str | None = None
    zone: str | None = None
    owner: str = DEFAULT_OWNER
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
            rule = "credentials come from azure-identity, not from here"
            raise InvalidRequest("url", "...", rule)
        named = dict(pairs)
        group = unquote(parts.path.removeprefix("/").removesuffix("/"))
        if parts.scheme != SCHEME or not parts.netloc or not group or parts.fragment:
            raise InvalidRequest("url", _without_query(url), _FORM)
        for name, value in named.items():
            if name not in {"location", "zone", "owner", "endpoint"} or not value:
                raise InvalidRequest("url", name, f"{_FORM}, none of them empty")
        if len(named) != len(pairs):
            raise InvalidRequest("url", _without_query(url), "each parameter once")
        return cls(parts.netloc, group, **named)

    def __attrs_post_init__(self) -> None:
        """Check all parts."""
        if _SUBSCRIPTION.fullmatch(self.subscription) is None:
            raise InvalidRequest("subscription", self.subscription, "the UUID of a subscription")
        if _GROUP.fullmatch(self.group) is None:
            rule = "a resource group: 1 to 90 letters, digits and _().- and no dot at the end"
            raise InvalidRequest("resource_group", self.group, rule)
        if self.location is not None and _LOCATION.fullmatch(self.location) is None:
            raise InvalidRequest("location", self.location, "a location, such as westeurope")
        if self.zone is not None and _ZONE.fullmatch(self.zone) is None:
            raise InvalidRequest("zone", self.zone, "the number of an availability zone, such as 1")
        if self.zone is not None and self.location is None:
            raise InvalidRequest("zone", self.zone, "a zone is one of a location: name that, too")
        if self.endpoint is not None:
            check_endpoint(self.endpoint)

    def __str__(self) -> str:
        """Return the URL, without what is the default anyway."""
        named = {
            "location": self.location,
            "zone": self.zone,
            "owner": None if self.owner == DEFAULT_OWNER else self.owner,
            "endpoint": self.endpoint,
        }
        query = urlencode({key: text for key, text in named.items() if text}, quote_via=quote)
        url = f"{SCHEME}://{self.subscription}/{quote(self.group)}"
        return url + (f"?{query}" if query else "")


def check_endpoint(endpoint: str) -> SplitResult:
    """Return the parts of ``endpoint`` if requests with a token may be sent there.

    Raises:
        InvalidRequest: it is not a URL, has more than a host and a path, or is neither https nor
            of this host.
    """
    try:
        parts = urlsplit(endpoint)
        parts.port  # noqa: B018 - checked when it is read
    except ValueError as error:
        raise InvalidRequest("endpoint", "...", "an https URL") from error
    if "@" in parts.netloc or parts.query or parts.fragment:  # what is there may be secret
        raise InvalidRequest("endpoint", "...", "a URL without user, query and fragment")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not is_safe or not parts.hostname:
        rule = "an https URL, or an http URL of this host: a token goes with each request"
        raise InvalidRequest("endpoint", endpoint, rule)
    return parts


def _without_query(url: str) -> str:
    return url.partition("?")[0].rpartition("@")[2]
