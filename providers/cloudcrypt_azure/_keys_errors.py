"""What Key Vault, Managed HSM and Blob Storage answer, as errors of key services.

The codes are those of "Azure Key Vault REST API error codes" and of "Blob Storage error codes" and
"Common REST API error codes" (Azure documentation). A code that is nowhere keeps its name, and its
HTTP status says what it is.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError

from cloudcrypt.errors import (
    Answer,
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
)
from cloudcrypt_azure._answers import mapping

FOREIGN: Final = (
    AzureError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,  # a file of authorities that is not there
    TypeError,
    ValueError,
)
"""What the SDKs raise: errors of their own, and Python's where they cannot read an answer."""

KEY_NOT_FOUND: Final = "KeyNotFound"
CONDITION_NOT_MET: Final = "ConditionNotMet"
BLOB_ALREADY_EXISTS: Final = "BlobAlreadyExists"
BLOB_NOT_FOUND: Final = "BlobNotFound"

_THROTTLED: Final = frozenset({"ServerBusy", "Throttled", "TooManyRequests"})
_LATER: Final = frozenset({"ContainerBeingDeleted", "InternalError", "OperationTimedOut"})
_NO_PERMISSION: Final = "KeyOperationForbidden"
_UNSENT: Final = (ServiceRequestError, ServiceResponseError)


@attrs.frozen
class Asked:
    """What was asked of a service, as far as an error has to name it."""

    service: str
    key_id: str
    action: str


def translated(error: Exception, asked: Asked, trouble: str | None) -> CloudcryptError:
    """Return what ``error`` of an SDK is; ``trouble`` is why there was no token for now.

    The text of an error that has no answer is not repeated unless it is about a connection: it may
    be about a request, and have a part of that.
    """
    if trouble is not None and isinstance(error, ClientAuthenticationError):
        return KeyServiceUnavailable(asked.service, asked.key_id, f"no token: {trouble}")
    answer = answer_in(error)
    if answer is not None:
        is_denied = isinstance(error, ClientAuthenticationError)  # also by who gives out tokens
        return _of_answer(answer, asked, is_denied=is_denied)
    lost = next((one for one in _causes(error) if isinstance(one, _UNSENT)), None)
    if lost is not None and not isinstance(error, CredentialUnavailableError):
        reason = f"{asked.action}: {type(lost).__name__}: {lost}"
        return KeyServiceUnavailable(asked.service, asked.key_id, reason)
    name = type(error).__name__
    if isinstance(error, ClientAuthenticationError):  # also where there are no credentials at all
        answer = Answer(name, str(error))  # azure-identity's own words; it does not quote secrets
        return KeyDenied(asked.service, asked.key_id, f"no token: {name}", answer=answer)
    if isinstance(error, AzureError):  # the answer broke off, or its checksum is another one
        return KeyServiceUnavailable(asked.service, asked.key_id, f"{asked.action}: {name}")
    return KeyServiceFailed(asked.service, asked.key_id, name, f"{asked.action}: see its type")


def answer_in(error: Exception) -> Answer | None:
    """Return what the service said with an HTTP status of 400 or more; None if it did not."""
    response: Any = getattr(error, "response", None)
    if not isinstance(error, HttpResponseError) or response is None:
        return None
    status = int(response.status_code)
    if status < 400:
        return None
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    code, message = _said(response, error, headers)
    return Answer(
        code,
        message,
        status,
        headers.get("x-ms-request-id"),
        _seconds(headers),
    )


def code_of(error: CloudcryptError) -> tuple[int | None, str | None]:
    """Return HTTP status and code of what the service said."""
    return (None, None) if error.answer is None else (error.answer.status, error.answer.code)


def _of_answer(answer: Answer, asked: Asked, *, is_denied: bool) -> CloudcryptError:
    service, key_id, code, status = asked.service, asked.key_id, answer.code, answer.status or 0
    reason = f"{asked.action}: {code}"
    if status == 429 or code in _THROTTLED:
        return KeyServiceThrottled(service, key_id, answer=answer)
    if status in {408, 500, 502, 503, 504} or status > 504 or code in _LATER:
        return KeyServiceUnavailable(service, key_id, reason, answer=answer)
    if (is_denied or status in {401, 403}) and not _is_of_a_key(code):
        return KeyDenied(service, key_id, reason, answer=answer)
    return KeyServiceFailed(service, key_id, code, reason, answer=answer)


def _is_of_a_key(code: str) -> bool:
    """Say whether a code with status 403 is about the state of a key, such as ``KeyDisabled``."""
    return code.startswith("Key") and code not in {
        _NO_PERMISSION,
        "KeyBasedAuthenticationNotPermitted",
    }


def _said(response: Any, error: Exception, headers: Mapping[str, str]) -> tuple[str, str]:  # noqa: ANN401 - one of several classes of the SDK
    """Return code and message: of the JSON of Key Vault, or what the SDK of storage has read."""
    about = _json(response)
    inner = mapping(about.get("innererror"))
    code = inner.get("code") or about.get("code") or headers.get("x-ms-error-code")
    code = code or getattr(error, "error_code", None) or "Unknown"
    message = about.get("message") or str(getattr(error, "message", ""))
    return str(getattr(code, "value", code)), str(message)


def _json(response: Any) -> Mapping[str, Any]:  # noqa: ANN401 - one of several classes of the SDK
    try:
        body: object = json.loads(response.text())
    except (ValueError, AzureError):
        return {}
    about = mapping(body).get("error")
    return {**mapping(body), "code": about} if isinstance(about, str) else mapping(about)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 8:
        yield error
        error = error.__cause__
        seen += 1


def _seconds(headers: Mapping[str, str]) -> float | None:
    for name, unit in (("retry-after", 1.0), ("x-ms-retry-after-ms", 0.001)):
        text = headers.get(name, "")
        if text.isdecimal():
            return float(text) * unit
    return None
