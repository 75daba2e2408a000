"""Answers of Azure, without the SDK's models: status, headers and JSON as they came.

The two generations of azure-mgmt-compute that are supported have different models, each of which
drops what it does not know. So requests are sent as bytes, and answers are read as JSON.
"""

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

import attrs
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.polling import PollingMethod
from azure.core.rest import HttpRequest

from cloudcrypt.errors import Answer, CloudcryptError, CredentialsRefused, ProviderUnavailable
from cloudcrypt_azure._errors import TABLE, Request, error_of

UNREADABLE: Final = (AzureError, ValueError)
"""What the SDK raises: errors of its own, and ValueError where it cannot read an answer."""
_SUCCESSES: Final = frozenset({200, 201, 202, 204})


@attrs.frozen
class Reply:
    """One answer that is not an error."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @classmethod
    def of(cls, response: Any) -> "Reply":  # noqa: ANN401 - one of several classes of the SDK
        """Read a response of the SDK.

        Raises:
            ValueError: it is not JSON.
        """
        text = str(response.text())
        body: object = json.loads(text) if text.strip() else {}
        if not isinstance(body, dict):
            raise ValueError("an answer that is not a JSON object")  # noqa: TRY004 - unreadable
        return cls(
            int(response.status_code), _lower(response.headers), cast("dict[str, Any]", body)
        )

    @property
    def operation(self) -> str | None:
        """The URL at which the operation that was accepted can be looked at."""
        return self.headers.get("azure-asyncoperation") or self.headers.get("location")

    @property
    def date(self) -> float | None:
        """When it was answered, by Azure's clock: whole seconds since 1970."""
        return _date(self.headers)

    @property
    def retry_after(self) -> float | None:
        """Seconds that Azure asks to wait for."""
        return _seconds(self.headers)


def replied(pipeline: Any, _model: object, _headers: object) -> Any:  # noqa: ANN401 - the SDK's
    """Return the reply; given to the SDK as ``cls``, which is what makes results of responses."""
    return Reply.of(pipeline.http_response)


def content(body: Mapping[str, object]) -> Any:  # noqa: ANN401 - the SDK types it as a file
    """Return the body of a request, which the SDK sends as it is."""
    return json.dumps(body).encode()


class Accepted(PollingMethod[None]):
    """A way of polling that does not: it keeps the first answer, and is at its end.

    With a URL as continuation token it asks there, once.
    """

    def __init__(self) -> None:
        """Begin without an answer."""
        self._reply: Reply | None = None

    @property
    def reply(self) -> Reply:
        """The answer."""
        if self._reply is None:
            raise ValueError("no answer")
        return self._reply

    def initialize(self, client: Any, initial_response: Any, deserialization_callback: Any) -> None:  # noqa: ANN401, ARG002 - the SDK's
        """Keep the answer to a request that was accepted, or ask at the URL of an operation."""
        if not isinstance(initial_response, HttpRequest):
            self._reply = Reply.of(initial_response.http_response)
            return
        response = client.send_request(initial_response)
        if response.status_code not in _SUCCESSES:
            raise HttpResponseError(response=response)
        self._reply = Reply.of(response)

    def finished(self) -> bool:
        """Say so: the SDK starts a thread otherwise."""
        return True

    def status(self) -> str:
        """Return nothing that anybody looks at."""
        return "Accepted"

    def resource(self) -> None:
        """Return nothing: what came about is looked at where it is."""

    def run(self) -> None:
        """Do nothing."""

    @classmethod
    def from_continuation_token(
        cls,
        continuation_token: str,
        **kwargs: Any,  # noqa: ANN401 - the SDK's
    ) -> tuple[Any, Any, Any]:
        """Return what `initialize` gets, for the URL of an operation."""
        request = HttpRequest("GET", continuation_token)
        return kwargs["client"], request, kwargs["deserialization_callback"]


def translated(error: Exception, request: Request) -> CloudcryptError:
    """Return what ``error`` of the SDK is in words of cloudcrypt; the caller chains the two."""
    response: Any = getattr(error, "response", None)
    if response is not None and isinstance(error, HttpResponseError):
        return _of_response(error, response, request)
    if isinstance(error, ClientAuthenticationError):  # and so are those of azure-identity
        answer = Answer(type(error).__name__, str(error))
        return CredentialsRefused(request.provider, answer=answer)
    return ProviderUnavailable(request.provider, f"{request.action}: {error}")


def date_of(error: CloudcryptError) -> float | None:
    """Return when Azure said so, by its own clock: whole seconds since 1970, if it did say it."""
    response: Any = getattr(error.__cause__, "response", None)
    return None if response is None else _date(_lower(response.headers))


def answer_of(
    about: Mapping[str, Any], *, status: int | None, headers: Mapping[str, str]
) -> Answer:
    """Return what Azure said: the ``error`` of a body, or what is inside of it, if that is known.

    Codes at the top may be as general as ``DeploymentFailed``; "normally, the most inner level of
    error message is the root failure" (Azure documentation, "Common error messages").
    """
    layers = [about, *_details(about)]
    known = [one for one in layers if one.get("code") in TABLE]
    said = known[0] if known else about
    return Answer(
        code=str(said.get("code") or "Unknown"),
        message=str(said.get("message") or ""),
        status=status,
        request_id=headers.get("x-ms-request-id") or headers.get("x-ms-correlation-request-id"),
        retry_after=_seconds(headers),
    )


def _of_response(error: HttpResponseError, response: Any, request: Request) -> CloudcryptError:  # noqa: ANN401 - one of several classes of the SDK
    status = int(response.status_code)
    headers = _lower(response.headers)
    if status < 400:  # an answer that cannot be read
        return ProviderUnavailable(request.provider, f"{request.action}: {type(error).__name__}")
    return error_of(request, answer_of(_error_in(response), status=status, headers=headers))


def _error_in(response: Any) -> Mapping[str, Any]:  # noqa: ANN401 - as above
    """Return the error that a body describes: Azure Resource Manager may leave out the envelope."""
    try:
        body: object = json.loads(response.text())
    except (ValueError, AzureError):
        return {}
    document = mapping(body)
    return mapping(document.get("error", document))


def mapping(found: object) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one in the place of anything else."""
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _details(about: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = about.get("details")
    layers = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("Mapping[str, Any]", one) for one in layers if isinstance(one, dict)]


def _lower(headers: Any) -> dict[str, str]:  # noqa: ANN401 - one of several classes of the SDK
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _date(headers: Mapping[str, str]) -> float | None:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None


def _seconds(headers: Mapping[str, str]) -> float | None:
    for name, unit in (("retry-after", 1.0), ("x-ms-retry-after-ms", 0.001)):
        text = headers.get(name, "")
        if text.isdecimal():
            return float(text) * unit
    return None
