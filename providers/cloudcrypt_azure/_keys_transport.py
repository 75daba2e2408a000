"""Connections to a service of Azure: by its name and to its endpoint, and until the deadline.

Every request of the SDKs passes here, those for tokens too. There is nothing that tries again and
nothing that follows a redirect: what goes with a request is a token, and a key may be in it.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ServiceRequestTimeoutError
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.identity import AzureAuthorityHosts, ClientSecretCredential, DefaultAzureCredential
from requests.adapters import HTTPAdapter

from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._keys_access import Access

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for a connection, or what is left until the deadline."""
PROGRAM_TIMEOUT: Final = 10
"""Seconds for the command line of Azure to give a token, as azure-identity has it."""
CONNECTIONS: Final = 64
"""Requests at a time that reuse a connection; with the default of 10 the others each open one."""

_AUTHORITIES: Final[Mapping[str, str]] = {
    ".azure.cn": AzureAuthorityHosts.AZURE_CHINA,
    ".chinacloudapi.cn": AzureAuthorityHosts.AZURE_CHINA,
    ".usgovcloudapi.net": AzureAuthorityHosts.AZURE_GOVERNMENT,
}
"""Who gives out the tokens of clouds that are not public, by how the names of services end."""
_ENVIRONMENT: Final = "AZURE_AUTHORITY_HOST"
"""The variable of the environment by which azure-identity is told so. It wins over the table."""
_WELL_KNOWN: Final = frozenset(
    {
        AzureAuthorityHosts.AZURE_CHINA,
        AzureAuthorityHosts.AZURE_GOVERNMENT,
        AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
    }
)

_UNTIL: Final[ContextVar[Deadline | None]] = ContextVar("until", default=None)


@contextmanager
def until(deadline: Deadline) -> Generator[None]:
    """Within the block, every request of this thread ends by ``deadline``."""
    token = _UNTIL.set(deadline)
    try:
        yield
    finally:
        _UNTIL.reset(token)


def options(transport: HttpTransport[Any, Any]) -> dict[str, Any]:
    """Return what every client of an SDK is made with."""
    return {
        "transport": transport,
        "retry_total": 0,
        "permit_redirects": False,
        "logging_enable": False,  # it would log bodies
    }


def credential_of(access: Access, transport: HttpTransport[Any, Any]) -> TokenCredential:
    """Return the static credential that was given, or the one that azure-identity finds.

    Nothing is asked before it is used.
    """
    authority = access.authority or os.environ.get(_ENVIRONMENT) or _authority(access.host)
    usual: dict[str, Any] = {
        "transport": transport,
        "retry_total": 0,
        "authority": authority,
        # Otherwise it would ask the public cloud whether this authority is one.
        "disable_instance_discovery": _name(authority) not in _WELL_KNOWN,
    }
    if access.tenant_id and access.client_id and access.client_secret:
        secret = bytes(access.client_secret.reveal()).decode()
        return ClientSecretCredential(access.tenant_id, access.client_id, secret, **usual)
    # Some of its kinds run programs, which get as long as a call has.
    programs = max(1, min(PROGRAM_TIMEOUT, int(access.timeout)))
    return DefaultAzureCredential(process_timeout=programs, **usual)


class Transport(HttpTransport[Any, Any]):
    """Sends requests of the SDKs, within `until`. Thread-safe, and each process has its own."""

    def __init__(self, access: Access) -> None:
        """Connect to nothing yet."""
        self._access = access
        self._ours = _session(access), os.getpid()
        self.trouble: str | None = None
        """Why no token could be asked for last, if that passes. azure-identity takes it for a no,
        and where MSAL asks, it does not ask again for as long as Retry-After says, or a minute."""

    def send(self, request: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - classes of the SDK
        """Send one request, and wait for its answer no longer than until the deadline.

        Raises:
            AzureError: there is no answer.
        """
        deadline = _UNTIL.get()
        if deadline is not None:
            left = deadline.remaining
            if left <= 0:
                raise ServiceRequestTimeoutError("the deadline has passed")
            # azure-identity waits for a managed identity no longer than it has to.
            wanted = kwargs.get("connection_timeout", CONNECT_TIMEOUT)
            kwargs["connection_timeout"] = min(wanted, left)
            kwargs["read_timeout"] = min(kwargs.get("read_timeout", left), left)
        url = urlsplit(str(request.url))
        # Plain HTTP is a managed identity's, which is not there on most machines.
        if url.scheme != "https" or url.hostname == self._access.host:
            return self._sent(request, kwargs)
        try:
            response = self._sent(request, kwargs)
        except AzureError as error:
            self.trouble = f"{url.hostname}: {type(error).__name__}"
            raise
        status = int(response.status_code)
        is_passing = status == 429 or status >= 500
        self.trouble = f"{url.hostname}: HTTP {status}" if is_passing else None
        return response

    def _sent(self, request: Any, kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
        sender: Any = RequestsTransport(
            session=self._mine(),
            session_owner=False,  # whoever closes a client of an SDK does not close it
            connection_verify=self._access.ca or True,
        )
        return sender.send(request, **kwargs)

    def open(self) -> None:
        """Do nothing: connections are opened when they are needed."""

    def close(self) -> None:
        """Do nothing: clients of an SDK close what they were given, and others use it."""

    def __exit__(self, *_: object) -> None:
        """Do nothing: see `close`."""

    def give_up(self) -> None:
        """Close all connections of this process. Idempotent: a later request opens new ones."""
        self._mine().close()

    def _mine(self) -> requests.Session:
        """Return the connections of this process; those of the parent are left to the parent."""
        session, process = self._ours  # no lock: it might be held where the parent forked
        if process != os.getpid():
            session = _session(self._access)
            self._ours = session, os.getpid()
        return session


class _Detour(HTTPAdapter):
    """Connects to an endpoint, and asks for the service by its name as if it were there."""

    def __init__(self, name: str, endpoint: str) -> None:
        super().__init__(pool_maxsize=CONNECTIONS)
        self._name = name
        self._endpoint = urlsplit(endpoint)

    def send(
        self,
        request: requests.PreparedRequest,
        *args: Any,  # noqa: ANN401 - the arguments are those of requests
        **kwargs: Any,  # noqa: ANN401
    ) -> requests.Response:
        """Send, past all proxies."""
        kwargs["proxies"] = {}
        return super().send(request, *args, **kwargs)

    def build_connection_pool_key_attributes(
        self,
        request: requests.PreparedRequest,
        verify: bool | str,  # noqa: FBT001 - the signature is that of requests
        cert: Any = None,  # noqa: ANN401
    ) -> tuple[Any, Any]:
        """Return where to connect to, and whose certificate to ask for there."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        host |= {"host": self._endpoint.hostname, "port": self._endpoint.port or 443}
        pool |= {"server_hostname": self._name, "assert_hostname": self._name}
        return host, pool

    def add_headers(self, request: requests.PreparedRequest, **_: object) -> None:
        """Name the service."""
        request.headers["Host"] = self._name


def _session(access: Access) -> requests.Session:
    session = requests.Session()
    session.auth = _unchanged  # without it, a line of ~/.netrc would go in the place of the token
    session.mount("https://", HTTPAdapter(pool_maxsize=CONNECTIONS))
    session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))  # a managed identity's
    if access.endpoint is not None:
        session.mount(f"https://{access.host}", _Detour(access.host, access.endpoint))
    return session


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _authority(host: str) -> str:
    found = (authority for end, authority in _AUTHORITIES.items() if host.endswith(end))
    return next(found, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD)


def _name(authority: str) -> str:
    return urlsplit(authority if "://" in authority else f"https://{authority}").hostname or ""
