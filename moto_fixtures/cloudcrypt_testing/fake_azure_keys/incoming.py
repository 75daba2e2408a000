"""One request: which service it is for, and what it asks of that."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import attrs

from cloudcrypt_testing.world.faults import Call

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_VAULTS: Final = re.compile(
    r"[a-z0-9-]+\.(?P<domain>(?:vault|managedhsm)\.(?:azure\.net|azure\.cn|usgovcloudapi\.net))"
)
_ACCOUNTS: Final = re.compile(
    r"(?P<account>[a-z0-9]+)"
    r"\.blob\.core\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)"
)
_OPERATIONS: Final = frozenset(
    {"encrypt", "decrypt", "wrapkey", "unwrapkey", "sign", "verify", "rotate"}
)


@attrs.frozen
class Incoming:
    """A request as it was sent."""

    service: str
    """``keys``, ``blobs`` or ``tokens``."""
    action: str
    """Of the service, such as ``encrypt``; nothing if there is no such thing."""
    host: str
    domain: str
    """Of a vault, such as ``vault.azure.net``; the name of an account."""
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, environ: "WSGIEnvironment", body: bytes) -> "Incoming":
        """Read a request."""
        host = str(environ.get("HTTP_HOST", "")).partition(":")[0].lower()
        raw = str(environ.get("PATH_INFO", "")).encode("latin-1").decode(errors="replace")
        query = {
            name: values[-1]
            for name, values in parse_qs(
                environ.get("QUERY_STRING", ""), keep_blank_values=True
            ).items()
        }
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in {"CONTENT_TYPE", "CONTENT_LENGTH"}
        }
        method = str(environ["REQUEST_METHOD"])
        vault, account = _VAULTS.fullmatch(host), _ACCOUNTS.fullmatch(host)
        if vault is not None:
            path = tuple(raw.strip("/").split("/"))
            service, action, domain = "keys", _of_keys(method, path), vault["domain"]
        elif account is not None:
            container, _, blob = raw.removeprefix("/").partition("/")
            path = (container, blob) if blob else (container,)
            service, action, domain = "blobs", _of_blobs(method, path, query), account["account"]
        else:
            path = tuple(raw.strip("/").split("/"))
            service, action, domain = "tokens", _of_tokens(method, path), ""
        return cls(service, action, host, domain, path, query, headers, body)

    @property
    def call(self) -> Call:
        """The request as rules look at it; one without a token is only about that."""
        is_known = self.service == "tokens" or "authorization" in self.headers
        action = self.action if is_known else "challenge"
        return Call(self.service, f"{self.service}.{action}", {"path": "/".join(self.path)})


def _of_keys(method: str, path: tuple[str, ...]) -> str:
    match method, path:
        case "GET", ("keys", _, "versions"):
            return "versions"
        case "GET", ("keys", _) | ("keys", _, _):
            return "get"
        case "POST", ("keys", _, "rotate"):
            return "rotate"
        case "POST", ("keys", _, _, operation) if operation in _OPERATIONS:
            return operation
        case _:
            return ""


def _of_blobs(method: str, path: tuple[str, ...], query: Mapping[str, str]) -> str:
    names = {"GET": "get", "HEAD": "head", "PUT": "put", "DELETE": "delete"}
    if len(path) == 1:
        is_list = (method, query.get("restype"), query.get("comp")) == ("GET", "container", "list")
        return "list" if is_list else ""
    if query.get("comp") == "snapshot":
        return "snapshot" if method == "PUT" else ""
    return names.get(method, "") if "comp" not in query else ""


def _of_tokens(method: str, path: tuple[str, ...]) -> str:
    match method, path:
        case "GET", (_, "v2.0", ".well-known", "openid-configuration"):
            return "discover"
        case "POST", (_, "oauth2", "v2.0", "token"):
            return "issue"
        case _:
            return ""
