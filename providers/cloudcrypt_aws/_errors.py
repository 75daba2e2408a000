"""What EC2 answers, as errors of cloudcrypt: one table by machine code.

The codes are those of "Error codes for the Amazon EC2 API" in the EC2 API reference; those of
throttling also those that botocore knows. A code that is not here keeps what the cloud said, in
`CloudRefused`.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

import attrs
from botocore import exceptions as botocore

from cloudcrypt.errors import (
    AccessDenied,
    Answer,
    AttachmentLimit,
    CloudcryptError,
    CloudRefused,
    CredentialsRefused,
    ModificationLimited,
    NotFound,
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
    """What was asked of EC2, as far as an error has to name it.

    ``action`` is EC2's word, for example ``CreateVolume``; ``names`` are what it is about, by kind:
    ``volume``, ``snapshot``, ``instance``, ``zone``.
    """

    action: str
    provider: str
    names: Mapping[str, str] = attrs.field(factory=dict[str, str])

    def name(self, kind: str) -> str:
        """Return the name of the ``kind``, or the kind where the request names none."""
        return self.names.get(kind, kind)


_Make = Callable[[Request, Answer], CloudcryptError]


def _not_found(kind: str) -> _Make:
    return lambda request, answer: NotFound(kind, request.name(kind), answer=answer)


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


def _quota(what: str) -> _Make:
    return lambda _, answer: QuotaExceeded(what, answer=answer)


def _no_capacity(request: Request, answer: Answer) -> CloudcryptError:
    return OutOfCapacity(request.action, request.name("zone"), answer=answer)


def _state(state: str) -> _Make:
    return lambda request, answer: WrongVolumeState(
        request.name("volume"), state, request.action, answer=answer
    )


def _in_use(request: Request, answer: Answer) -> CloudcryptError:
    return VolumeInUse(request.name("volume"), "unknown", answer=answer)


def _attachments(request: Request, answer: Answer) -> CloudcryptError:
    return AttachmentLimit(request.name("instance"), None, answer=answer)


def _conflict(request: Request, answer: Answer) -> CloudcryptError:
    return RequestConflict(request.name("volume"), ("token",), answer=answer)


def _limited(request: Request, answer: Answer) -> CloudcryptError:
    return ModificationLimited(request.name("volume"), _moment(answer.message), answer=answer)


TABLE: Final[Mapping[str, _Make]] = {
    # What is not there.
    "InvalidVolume.NotFound": _not_found("volume"),
    "InvalidSnapshot.NotFound": _not_found("snapshot"),
    "InvalidInstanceID.NotFound": _not_found("instance"),
    "InvalidAttachment.NotFound": _not_found("attachment"),
    "InvalidVolumeModification.NotFound": _not_found("modification"),
    "InvalidZone.NotFound": _not_found("zone"),
    # What cannot be asked for. Every other code that begins with "Invalid" is here, too.
    "InvalidParameter": _rejected,
    "InvalidParameterCombination": _rejected,
    "InvalidParameterDependency": _rejected,
    "InvalidParameterValue": _rejected,
    "InvalidVolume.ZoneMismatch": _rejected,
    "MissingParameter": _rejected,
    "TagLimitExceeded": _rejected,
    "UnknownParameter": _rejected,
    "UnknownVolumeType": _rejected,
    "ValidationError": _rejected,
    "InvalidAction": _unsupported,
    "UnsupportedOperation": _unsupported,
    "UnsupportedOperationException": _unsupported,
    "IdempotentParameterMismatch": _conflict,
    # What is not possible now.
    "IncorrectInstanceState": _state("for an instance in the wrong state"),
    "IncorrectModificationState": _state("being modified"),
    "IncorrectState": _state("in another state"),
    "InvalidSnapshot.InUse": _state("in use"),
    "VolumeInUse": _in_use,
    "VolumeModificationRateExceeded": _limited,
    # What the account or the instance may not have.
    "AttachmentLimitExceeded": _attachments,
    "ConcurrentSnapshotLimitExceeded": _quota("further snapshots at a time"),
    "MaxIOPSLimitExceeded": _quota("further IOPS"),
    "PendingSnapshotLimitExceeded": _quota("further pending snapshots"),
    "ResourceLimitExceeded": _quota("further resources"),
    "SnapshotLimitExceeded": _quota("further snapshots"),
    "VolumeLimitExceeded": _quota("further volumes"),
    "VolumeModificationSizeLimitExceeded": _quota("further modifications at a time"),
    "InsufficientCapacity": _no_capacity,
    "InsufficientVolumeCapacity": _no_capacity,
    # Whoever asks.
    "AccessDenied": _denied,
    "AccessDeniedException": _denied,
    "Blocked": _denied,
    "OptInRequired": _denied,
    "PendingVerification": _denied,
    "UnauthorizedOperation": _denied,
    "AuthFailure": _credentials,
    "ExpiredToken": _credentials,
    "ExpiredTokenException": _credentials,
    "IncompleteSignature": _credentials,
    "InvalidClientTokenId": _credentials,
    "MissingAuthenticationToken": _credentials,
    "RequestExpired": _credentials,
    "SignatureDoesNotMatch": _credentials,
    "UnrecognizedClientException": _credentials,
    # How often.
    "BandwidthLimitExceeded": _throttled,
    "EC2ThrottledException": _throttled,
    "LimitExceededException": _throttled,
    "PriorRequestNotComplete": _throttled,
    "ProvisionedThroughputExceededException": _throttled,
    "RequestLimitExceeded": _throttled,
    "RequestThrottled": _throttled,
    "RequestThrottledException": _throttled,
    "SlowDown": _throttled,
    "SnapshotCreationPerVolumeRateExceeded": _throttled,
    "ThrottledException": _throttled,
    "Throttling": _throttled,
    "ThrottlingException": _throttled,
    "TooManyRequestsException": _throttled,
    "TransactionInProgressException": _throttled,
    # EC2 itself. Every other code with HTTP status 500 or above is here, too.
    "InternalError": _unavailable,
    "InternalFailure": _unavailable,
    "RequestTimeout": _unavailable,
    "RequestTimeoutException": _unavailable,
    "ServiceUnavailable": _unavailable,
    "Unavailable": _unavailable,
}
"""What each code of EC2 becomes."""

NO_CREDENTIALS: Final = (
    botocore.CredentialRetrievalError,
    botocore.NoAuthTokenError,
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.RefreshWithMFAUnsupportedError,
    botocore.SSOError,
    botocore.TokenRetrievalError,
)
"""What botocore raises where it has no credentials."""

_REJECTED: Final = (botocore.ParamValidationError, botocore.ValidationError)


def answer_of(error: botocore.ClientError) -> Answer:
    """Return what the cloud said; a message that is missing is an empty one."""
    response = cast("Mapping[str, Any]", error.response)
    about, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    wait = str(meta.get("HTTPHeaders", {}).get("retry-after", ""))
    return Answer(
        code=str(about.get("Code") or "Unknown"),
        message=str(about.get("Message") or ""),
        status=meta.get("HTTPStatusCode"),
        request_id=meta.get("RequestId"),
        retry_after=float(wait) if wait.isdecimal() else None,
    )


def translated(error: Exception, request: Request) -> CloudcryptError:
    """Return what ``error`` of botocore is in words of cloudcrypt; the caller chains the two."""
    if isinstance(error, botocore.ClientError):
        answer = answer_of(error)
        return _make_of(answer)(request, answer)
    answer = Answer(type(error).__name__, str(error))
    if isinstance(error, NO_CREDENTIALS):
        return _credentials(request, answer)
    if isinstance(error, _REJECTED):
        return _rejected(request, answer)
    return ProviderUnavailable(request.provider, f"{request.action}: {error}")


def _make_of(answer: Answer) -> _Make:
    make = TABLE.get(answer.code)
    if make is not None:
        return make
    if answer.status is not None and answer.status >= 500:
        return _unavailable
    if answer.code.startswith("Invalid"):
        return _rejected
    return lambda request, answer: CloudRefused(request.action, answer=answer)


_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


def _moment(message: str) -> datetime | None:
    """Return the time that ``message`` names; EC2 says only there when the next change may be."""
    found = _MOMENT.search(message)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found[0].removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:  # the 30th of February
        return None
