"""The client of the SDK, as it is used here: it tries nothing again and goes nowhere else.

The policies are listed, not changed: the SDK's own list has three that must not be there. One tries
requests again, also POST, where an answer carries Retry-After; one follows redirects; one registers
the resource provider with the subscription by itself, and sleeps until that is done.
"""

import importlib.metadata
import os
from collections.abc import Mapping
from typing import Any, Final, Protocol

import requests
from azure.core import AzureClouds
from azure.core.credentials import TokenCredential
from azure.core.pipeline import PipelineRequest, policies
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy, ARMHttpLoggingPolicy
from azure.mgmt.core.tools import get_arm_endpoints
from requests.adapters import HTTPAdapter

from cloudcrypt_azure._url import LOOPBACK, check_endpoint

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for a connection; azure-core's default of 300 is longer than any caller's patience."""
READ_TIMEOUT: Final = 60.0
"""Seconds for an answer."""
CONNECTIONS: Final = 64
"""Requests at a time that reuse a connection; with the default of 10 the others each open one."""


class Credential(TokenCredential, Protocol):
    """A credential that can be given up."""

    def close(self) -> None:
        """Close its connections."""
        ...


_AUTHORITIES: Final[Mapping[AzureClouds, str]] = {
    AzureClouds.AZURE_CHINA_CLOUD: "https://login.chinacloudapi.cn",
    AzureClouds.AZURE_US_GOVERNMENT: "https://login.microsoftonline.us",
}
"""Who gives out the tokens of clouds that are not public (azure-identity, AzureAuthorityHosts)."""
_AUTHORITY: Final = "AZURE_AUTHORITY_HOST"
"""The variable of the environment by which azure-identity is told so. It wins."""


def default_credential(endpoint: str) -> Credential:
    """Return the credential that azure-identity finds; nothing is asked before it is used.

    Its tokens are those of the cloud that ``endpoint`` is of: no other takes them.
    """
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - slow to import

    cloud = _cloud(endpoint)
    authority = None if cloud is None else _AUTHORITIES.get(cloud)
    if authority is None or os.environ.get(_AUTHORITY):
        return DefaultAzureCredential()
    return DefaultAzureCredential(authority=authority)


def connect(
    credential: TokenCredential, subscription: str, endpoint: str
) -> ComputeManagementClient:
    """Return a client of Azure Compute.

    Args:
        credential: what tokens come from.
        subscription: its id.
        endpoint: the URL of Azure Resource Manager.
    """
    scope = _scope(endpoint)
    host = check_endpoint(endpoint).hostname
    is_here = endpoint.startswith("http:") and host in LOOPBACK
    authentication: Any = (
        _PlainAuthentication(credential, scope)
        if is_here
        else ARMChallengeAuthenticationPolicy(credential, scope)
    )
    agent = f"cloudcrypt/{importlib.metadata.version('cloudcrypt')}"
    moniker = f"mgmt-compute/{importlib.metadata.version('azure-mgmt-compute')}"
    return ComputeManagementClient(
        credential,
        subscription,
        base_url=endpoint,
        transport=_transport(uses_environment=not is_here),
        policies=[
            policies.RequestIdPolicy(),
            policies.HeadersPolicy(),
            policies.UserAgentPolicy(user_agent=agent, sdk_moniker=moniker),
            policies.ProxyPolicy(),
            policies.ContentDecodePolicy(),
            authentication,
            policies.CustomHookPolicy(),
            policies.NetworkTraceLoggingPolicy(),
            policies.DistributedTracingPolicy(),
            ARMHttpLoggingPolicy(),
        ],
    )


class _PlainAuthentication(SansIOHTTPPolicy[Any, Any]):
    """Sends the token without TLS, to a cloud that is simulated on this host."""

    def __init__(self, credential: TokenCredential, scope: str) -> None:
        self._credential = credential
        self._scope = scope

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Add the token."""
        token = self._credential.get_token(self._scope).token
        request.http_request.headers["Authorization"] = f"Bearer {token}"


def _transport(*, uses_environment: bool) -> RequestsTransport:
    session = requests.Session()
    session.trust_env = uses_environment  # proxies
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0))
    return RequestsTransport(
        session=session, connection_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT
    )


def _scope(endpoint: str) -> str:
    """Return what a token has to be for, to be taken by Azure Resource Manager at ``endpoint``."""
    cloud = _cloud(endpoint)
    if cloud is None:
        return f"{endpoint.rstrip('/')}/.default"
    return str(get_arm_endpoints(cloud)["credential_scopes"][0])


def _cloud(endpoint: str) -> AzureClouds | None:
    """Return the cloud that ``endpoint`` is of, if that is known."""
    asked = endpoint.rstrip("/").lower()
    clouds = ((cloud, get_arm_endpoints(cloud)["resource_manager"]) for cloud in AzureClouds)
    return next((cloud for cloud, url in clouds if url.rstrip("/") == asked), None)
