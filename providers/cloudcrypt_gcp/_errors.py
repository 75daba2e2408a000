"""What GCE answers, as errors of cloudcrypt: one table by machine code for each of its two ways.

A request that is refused has HTTP status and ``errors[].reason``; the status alone says too little:
403 is a missing permission, a quota, and too many requests. A request that was accepted can fail in
its operation, which is then DONE, with HTTP status 200, and has ``error.errors[].code``. A code
that is in neither table keeps what the cloud said.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import attrs
import requests
from google.api_core.exceptions import GoogleAPICallError
from google.auth import exceptions as auth
from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

from cloudcrypt.errors import (
    AccessDenied,
    Answer,
    AttachmentLimit,
    CloudcryptError,
    CloudRefused,
    CredentialsRefused,
    NotFound,
    OperationFailed,
    OutOfCapacity,
    ProviderUnavailable,
    QuotaExceeded,
    RequestConflict,
    RequestRejected,
    Throttled,
    UnsupportedOperation,
    VolumeInUse,
    WrongVolumeState,
)


@attrs.frozen
class Request:
    """What was asked of GCE, as far as an error has to name it.

    ``action`` is the method, for example ``disks.insert``; ``names`` are what it is about, by kind:
    ``volume``, ``snapshot``, ``instance``, ``zone``.
    """

    action: str
    provider: str
    names: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def name(self, kind: str) -> str:
        """Return the name of the ``kind``, or the kind where the request names none."""
        return self.names.get(kind, kind)


Make = Callable[[Request, Answer], CloudcryptError]

_KINDS: Final[Mapping[str, str]] = {
    "disks": "volume",
    "instances": "instance",
    "operations": "operation",
    "projects": "project",
    "regions": "region",
    "snapshots": "snapshot",
    "zones": "zone",
}
_PATH: Final = re.compile(r"'([^']*/)?(?P<kind>[a-zA-Z]+)/(?P<name>[^/']+)'")


def _missing(request: Request, answer: Answer) -> CloudcryptError:
    """Say what there is not; GCE has one code for everything, and a path in the message.

    Where that is no thing of ours, but a type of disks or a key, the request cannot be.
    """
    path = _PATH.search(answer.message)
    if path is None:
        kind = next(iter(request.names), "resource")
        return NotFound(kind, request.name(kind), answer=answer)
    kind = _KINDS.get(path["kind"], "")
    if not kind:
        return _rejected(request, answer)
    return NotFound(kind, request.names.get(kind, path["name"]), answer=answer)


def _rejected(request: Request, answer: Answer) -> CloudcryptError:
    return RequestRejected(request.action, answer=answer)


def _unsupported(request: Request, answer: Answer) -> CloudcryptError:
    return UnsupportedOperation(request.action, "see what the cloud says", answer=answer)


def _denied(request: Request, answer: Answer) -> CloudcryptError:
    return AccessDenied(request.action, answer=answer)


def _credentials(request: Request, answer: Answer) -> CloudcryptError:
    return CredentialsRefused(request.provider, answer=answer)


def _throttled(request: Request, answer: Answer) -> CloudcryptError:
    return Throttled(request.action, answer=answer)


def _unavailable(request: Request, answer: Answer) -> CloudcryptError:
    return ProviderUnavailable(request.provider, request.action, answer=answer)


def _quota(request: Request, answer: Answer) -> CloudcryptError:
    return QuotaExceeded(request.action, answer=answer)


def _no_capacity(request: Request, answer: Answer) -> CloudcryptError:
    return OutOfCapacity(request.action, request.name("zone"), answer=answer)


def _exists(request: Request, answer: Answer) -> CloudcryptError:
    kind = next(iter(request.names), "resource")
    return RequestConflict(request.name(kind), ("name",), answer=answer)


def _in_use(request: Request, answer: Answer) -> CloudcryptError:
    return VolumeInUse(request.name("volume"), "unknown", answer=answer)


def _not_ready(request: Request, answer: Answer) -> CloudcryptError:
    return WrongVolumeState(request.name("volume"), "not ready", request.action, answer=answer)


def _changed(request: Request, answer: Answer) -> CloudcryptError:
    return WrongVolumeState(
        request.name("volume"), "changed by somebody else", request.action, answer=answer
    )


def _limit(request: Request, answer: Answer) -> CloudcryptError:
    """Say which limit it is: that of an instance on its disks, or another one."""
    if "instance" in request.names:
        return AttachmentLimit(request.name("instance"), None, answer=answer)
    return QuotaExceeded(request.action, answer=answer)


def _failed(request: Request, answer: Answer) -> CloudcryptError:
    """Say that an operation is over, and has done nothing: asking for it again is another one."""
    subject = next(iter(request.names.values()), request.provider)
    return OperationFailed(request.action, subject, answer.message or answer.code, answer=answer)


REASONS: Final[Mapping[str, Make]] = {
    "notFound": _missing,
    # What cannot be asked for.
    "badRequest": _rejected,
    "invalid": _rejected,
    "invalidParameter": _rejected,
    "invalidResourceUsage": _rejected,
    "parseError": _rejected,
    "required": _rejected,
    "notImplemented": _unsupported,
    "unsupportedOperation": _unsupported,
    "alreadyExists": _exists,
    # What is not possible now.
    "conditionNotMet": _changed,
    "resourceInUseByAnotherResource": _in_use,
    "resourceNotReady": _not_ready,
    # What the project or the instance may not have.
    "limitExceeded": _limit,
    "quotaExceeded": _quota,
    "stockout": _no_capacity,
    # Whoever asks.
    "accessNotConfigured": _denied,
    "forbidden": _denied,
    "insufficientPermissions": _denied,
    "authError": _credentials,
    # How often.
    "rateLimitExceeded": _throttled,
    "userRateLimitExceeded": _throttled,
    "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED": _throttled,
    # GCE itself. Every other reason with HTTP status 500 or above is here, too.
    "backendError": _unavailable,
    "internalError": _unavailable,
}
"""What each reason of a refused request becomes. Status 401 is always about the credentials."""

OPERATION_CODES: Final[Mapping[str, Make]] = {
    "RESOURCE_NOT_FOUND": _missing,
    # What could not be asked for.
    "INVALID_FIELD_VALUE": _rejected,
    "INVALID_USAGE": _rejected,
    "REQUIRED_FIELD_MISSING": _rejected,
    "UNSUPPORTED_OPERATION": _unsupported,
    "RESOURCE_ALREADY_EXISTS": _exists,
    # What was not possible then.
    "CONDITION_NOT_MET": _changed,
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": _in_use,
    "RESOURCE_NOT_READY": _not_ready,
    "RESOURCE_OPERATION_RATE_EXCEEDED": _throttled,
    # What the project or the instance may not have.
    "LIMIT_EXCEEDED": _limit,
    "QUOTA_EXCEEDED": _quota,
    "REGION_QUOTA_EXCEEDED": _quota,
    "ZONE_RESOURCE_POOL_EXHAUSTED": _no_capacity,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": _no_capacity,
    # How often.
    "RATE_LIMIT_EXCEEDED": _throttled,
    # What is over, and not for want of trying. Every other code is here, too.
    "INTERNAL_ERROR": _failed,
    "OPERATION_CANCELED_BY_USER": _failed,
    "PERMISSIONS_ERROR": _failed,
}
"""What each code of a failed operation becomes. What is transient elsewhere is final here, unless
nothing at all was tried: the same ``requestId`` leads to the same failed operation."""

SDK_ERRORS: Final = (
    GoogleAPICallError,
    auth.GoogleAuthError,
    ParseError,
    requests.RequestException,
    ValueError,
)
"""What a method of the SDK raises. ValueError: credentials for another endpoint than this."""

_UNREACHED: Final = (
    ParseError,
    UnicodeDecodeError,
    auth.ResponseError,
    auth.TimeoutError,
    auth.TransportError,
    requests.RequestException,
)
"""Nobody knows whether GCE has done what was asked, or GCE could not be asked for a token."""


def answer_of(error: GoogleAPICallError) -> Answer:
    """Return what the cloud said of a request that it refused."""
    known_error: Any = error
    details = _details(known_error.errors)
    said = [*(one.get("reason") for one in details), known_error.reason]  # the last: AIP-193
    reasons = [str(reason) for reason in said if reason]
    headers: Any = getattr(known_error.response, "headers", None)
    wait = "" if headers is None else str(headers.get("retry-after", ""))
    status = None if error.code is None else int(error.code)
    known = (reason for reason in reasons if reason in REASONS or reason in OPERATION_CODES)
    fallback = reasons[0] if reasons else type(error).__name__
    return Answer(
        code=next(known, fallback),
        message=str(details[0].get("message") or "") if details else str(known_error.message),
        status=status,
        retry_after=float(wait) if wait.isdecimal() else None,
    )


def translated(error: Exception, request: Request) -> CloudcryptError:
    """Return what ``error`` of the SDK is in words of cloudcrypt; the caller chains the two."""
    if isinstance(error, GoogleAPICallError):
        answer = answer_of(error)
        return _make_of(answer)(request, answer)
    answer = Answer(type(error).__name__, str(error))
    if isinstance(error, _UNREACHED) or getattr(error, "retryable", False):
        return ProviderUnavailable(request.provider, f"{request.action}: {error}")
    if isinstance(error, auth.GoogleAuthError):
        return _credentials(request, answer)
    return _rejected(request, answer)


def failure(
    errors: Sequence[tuple[str, str]], status: int | None, operation: str, request: Request
) -> CloudcryptError:
    """Return what a finished operation failed with.

    Args:
        errors: code and message of each; the first that is known counts.
        status: what HTTP would have said.
        operation: its name, which the support of the cloud asks for.
        request: what was asked for.
    """
    code, message = next((one for one in errors if one[0] in OPERATION_CODES), errors[0])
    answer = Answer(code, message, status, operation)
    return OPERATION_CODES.get(code, _failed)(request, answer)


def _make_of(answer: Answer) -> Make:
    if answer.status == 401:  # its reason may be "required", as that of a missing parameter
        return _credentials
    make = REASONS.get(answer.code) or OPERATION_CODES.get(answer.code)
    return make or _make_by_status(answer.status or 0)


# Not 404: without GCE's own reason it is a proxy, or a wrong endpoint, that knows no such path.
_BY_STATUS: Final[Mapping[int, Make]] = {
    400: _rejected,
    403: _denied,
    409: _exists,
    412: _changed,
    429: _throttled,
    501: _unsupported,
}


def _make_by_status(status: int) -> Make:
    make = _BY_STATUS.get(status)
    if make is not None:
        return make
    if status >= 500:
        return _unavailable
    return lambda request, answer: CloudRefused(request.action, answer=answer)


def _details(errors: list[object]) -> list[dict[str, Any]]:
    """Return ``errors[]`` of an answer; what else stands there is not GCE's."""
    return [cast("dict[str, Any]", one) for one in errors if isinstance(one, dict)]
