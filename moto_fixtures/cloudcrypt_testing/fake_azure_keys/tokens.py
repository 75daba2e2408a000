"""Who gives out tokens: to a client with its secret, or with a token of the workload."""

import secrets
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import attrs
from azure.core.credentials import AccessToken

from cloudcrypt_testing.fake_azure_keys.errors import ServiceError, json_answer
from cloudcrypt_testing.fake_azure_keys.incoming import Incoming
from cloudcrypt_testing.world.layer import Answer

TENANT: Final = "11111111-2222-3333-4444-555555555555"
CLIENT: Final = "66666666-7777-8888-9999-aaaaaaaaaaaa"
STORAGE: Final = "https://storage.azure.com"
LIFE: Final = 3600
"""Seconds that a token is good for, by the clock of the host: that is azure-identity's."""
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Tokens:
    """All tokens that were given out."""

    def __init__(self) -> None:
        """Begin with one client."""
        self.secret = secrets.token_urlsafe(24)
        """What the client proves itself with."""
        self.assertion = ".".join(secrets.token_urlsafe(24) for _ in range(3))
        """What a workload proves itself with, in a file."""
        self._tokens: dict[str, tuple[str, float]] = {}

    def issue(self, audience: str) -> AccessToken:
        """Return a new token for the services of ``audience``."""
        token = secrets.token_urlsafe(32)
        expires = int(time.time()) + LIFE
        self._tokens[token] = audience.rstrip("/"), expires
        return AccessToken(token, expires)

    def revoke(self) -> None:
        """Let no token that was given out be good any more."""
        self._tokens.clear()

    def is_good(self, headers: Mapping[str, str], audience: str) -> bool:
        """Say whether a request has a token for ``audience``."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        known, expires = self._tokens.get(token, ("", 0.0))
        return scheme == "Bearer" and known == audience and time.time() < expires

    def answer(self, incoming: Incoming) -> Answer:
        """Answer a client, or the library that looks where to ask."""
        if incoming.action == "discover":
            base = f"https://{incoming.headers['host']}/{incoming.path[0]}"
            return json_answer(
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                }
            )
        if incoming.action != "issue":
            raise ServiceError(404, "invalid_request", "There is nothing here.")
        form = {name: values[-1] for name, values in parse_qs(incoming.body.decode()).items()}
        if incoming.path[0] != TENANT:
            raise ServiceError(400, "invalid_tenant", "AADSTS90002: Tenant not found.")
        self._check(form)
        token = self.issue(form.get("scope", "").removesuffix("/.default"))
        return json_answer(
            {
                "token_type": "Bearer",
                "expires_in": LIFE,
                "ext_expires_in": LIFE,
                "access_token": token.token,
            }
        )

    def _check(self, form: Mapping[str, str]) -> None:
        if (form.get("grant_type"), form.get("client_id")) != ("client_credentials", CLIENT):
            raise ServiceError(400, "unauthorized_client", "AADSTS700016: Application not found.")
        is_assertion = form.get("client_assertion_type") == _ASSERTION
        proof = form.get("client_assertion" if is_assertion else "client_secret", "")
        if proof != (self.assertion if is_assertion else self.secret):
            text = "AADSTS7000215: Invalid client secret provided."
            raise ServiceError(401, "invalid_client", text)


@attrs.frozen
class Credential:
    """A `azure.core.credentials.TokenCredential` whose tokens are good at this fake."""

    _tokens: Tokens = attrs.field(repr=False)

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # noqa: ANN401 - as it is there
        """Return a new token for the first of ``scopes``."""
        del options
        return self._tokens.issue(scopes[0].removesuffix("/.default"))
