"""What clients of the fake show at its door: nothing of worth."""

from typing import Any, Final

import attrs
from azure.core.credentials import AccessToken
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.rest import HttpRequest, HttpResponse

_TOKEN: Final = "worthless"  # noqa: S105 - it opens nothing


@attrs.frozen
class WorthlessCredential:
    """A `azure.core.credentials.TokenCredential` whose tokens open nothing."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # noqa: ANN401 - as it is there
        """Return the token, whatever it is for."""
        del scopes, options
        return AccessToken(_TOKEN, 2**33)


class WorthlessAuthorization(SansIOHTTPPolicy[HttpRequest, HttpResponse]):
    """Sends such a token, which the SDK's own policies do not without TLS."""

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        """Set the header."""
        request.http_request.headers["Authorization"] = f"Bearer {_TOKEN}"
