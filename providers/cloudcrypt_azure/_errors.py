"""What Azure answers, as errors of cloudcrypt: one table by machine code.

The codes are those of "Common error codes" of Azure Resource Manager and of "Common error messages
when you manage virtual machines in Azure"; those of Azure Compute's throttling, of disks and of
policies also from their own pages. Some codes mean several things: for these, `MESSAGES` is asked
before `TABLE`. A code that is nowhere keeps what the cloud said, by its HTTP status.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import attrs

from cloudcrypt.errors import (
    AccessDenied,
    Answer,
    AttachedElsewhere,
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
from cloudcrypt_azure._instances import holder_of


@attrs.frozen
class Request:
    """What was asked of Azure, as far as an error has to name it.

    ``action`` is Azure's word, for example ``Disks_CreateOrUpdate``; ``names`` are what it is
    about, by kind: ``volume``, ``snapshot``, ``instance``, ``place``. ``kind`` is what is missing
    if Azure only says that something is.
    """

    action: str
    provider: str
    names: Mapping[str, str] = attrs.field(factory=dict[str, str])
    kind: str = "volume"

    def name(self, kind: str) -> str:
        """Return the name of the ``kind``, or the kind where the request names none."""
        return self.names.get(kind, kind)


Make = Callable[[Request, Answer], CloudcryptError]
Patterns = tuple[tuple[re.Pattern[str], Make], ...]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_PATHS: Final = (
    ("/disks/", "volume"),
    ("/snapshots/", "snapshot"),
    ("/virtualmachine", "instance"),
)


def _absent(request: Request, answer: Answer) -> CloudcryptError:
    """Return what is not there; the message names it by type and name, in one of two orders."""
    message = answer.message.lower()
    named = [kind for path, kind in _PATHS if path in message]
    kind = named[0] if len(named) == 1 else request.kind
    return NotFound(kind, request.name(kind), answer=answer)


def _not_found(kind: str) -> Make:
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


def _refused(request: Request, answer: Answer) -> CloudcryptError:
    return CloudRefused(request.action, answer=answer)


def _quota(what: str) -> Make:
    return lambda _, answer: QuotaExceeded(what, answer=answer)


def _no_capacity(request: Request, answer: Answer) -> CloudcryptError:
    return OutOfCapacity(request.action, request.name("place"), answer=answer)


def _state(state: str) -> Make:
    return lambda request, answer: WrongVolumeState(
        request.name("volume"), state, request.action, answer=answer
    )


def _in_use(request: Request, answer: Answer) -> CloudcryptError:
    return VolumeInUse(request.name("volume"), _holder_in(answer.message), answer=answer)


def _elsewhere(request: Request, answer: Answer) -> CloudcryptError:
    return AttachedElsewhere(request.name("volume"), _holder_in(answer.message), answer=answer)


def _attachments(request: Request, answer: Answer) -> CloudcryptError:
    number = re.search(r"of this size is (\d+)", answer.message)
    limit = None if number is None else int(number[1])
    return AttachmentLimit(request.name("instance"), limit, answer=answer)


def _conflict(request: Request, answer: Answer) -> CloudcryptError:
    return RequestConflict(request.name("volume"), ("place",), answer=answer)


def _limited(request: Request, answer: Answer) -> CloudcryptError:
    return ModificationLimited(request.name("volume"), _moment(answer.message), answer=answer)


LUN_TAKEN: Final = "not attached: its logical unit number was taken meanwhile"
"""The state of a volume that lost the race for a logical unit number."""

_TOO_OFTEN: Final = (_pattern(r"\btimes\b.*24[ -]?hours?|24[ -]?hours?.*\btimes\b"), _limited)
_BUSY: Final = _pattern(
    r"another operation is in progress|ongoing operation|concurrent|in progress|"
    r"after some time|retry later|try again later"
)

MESSAGES: Final[Mapping[str, Patterns]] = {
    "BadRequest": (_TOO_OFTEN,),
    "Conflict": (
        _TOO_OFTEN,
        (_pattern(r"resizing is allowed only when"), _in_use),
    ),
    "ConflictingUserInput": (
        (_pattern(r"already (owned by|attached to) VM"), _elsewhere),
        (_pattern(r"being detached"), _state("being detached")),
    ),
    "InvalidParameter": (
        _TOO_OFTEN,
        (_pattern(r"at LUN \S+ already exists|already uses the same LUN"), _state(LUN_TAKEN)),
        (_pattern(r"dataDisk\.lun\b.*\brange\b"), _attachments),
    ),
    "NotFound": ((_pattern(r"no action was found"), _unsupported),),
    "OperationNotAllowed": (
        _TOO_OFTEN,
        (_pattern(r"maximum number of data disks"), _attachments),
        (_pattern(r"being detached"), _state("being detached")),
        (_pattern(r"marked for deletion|being deleted"), _state("being deleted")),
        (_pattern(r"quota|core count|exceed(s|ing)? .*\blimits?\b"), _quota("further resources")),
        (_pattern(r"(is|while|currently) attached\b|attached to (a |the )?(running )?VM"), _in_use),
        (_BUSY, _state("busy with another operation")),
    ),
    "PropertyChangeNotAllowed": (_TOO_OFTEN,),
}
"""What the codes that mean several things become, by their messages; the first that fits."""

TABLE: Final[Mapping[str, Make]] = {
    # What is not there.
    "DiskNotFound": _not_found("volume"),
    "NotFound": _absent,
    "ParentResourceNotFound": _not_found("instance"),
    "ResourceGroupNotFound": _not_found("resource group"),
    "ResourceNotFound": _absent,
    "SubscriptionNotFound": _not_found("subscription"),
    "VMNotFound": _not_found("instance"),
    # What cannot be asked for. Every other code with HTTP status 400 is here, too.
    "BadRequest": _rejected,
    "ConflictingUserInput": _rejected,
    "InvalidAccountType": _rejected,
    "InvalidParameter": _rejected,
    "InvalidRequestContent": _rejected,
    "InvalidRequestFormat": _rejected,
    "InvalidResourceReference": _rejected,
    "InvalidTemplate": _rejected,
    "LinkedInvalidPropertyId": _rejected,
    "LocationNotAvailableForResourceType": _rejected,
    "LocationRequired": _rejected,
    "PropertyChangeNotAllowed": _rejected,
    "ResizeDiskError": _rejected,
    "InvalidResourceLocation": _conflict,
    "HttpMethodNotSupported": _unsupported,
    "InvalidApiVersionParameter": _unsupported,
    "InvalidResourceType": _unsupported,
    "MethodNotAllowed": _unsupported,
    "NoRegisteredProviderFound": _unsupported,
    "NotSupported": _unsupported,
    "UnsupportedOperation": _unsupported,
    # What is not possible now.
    "AnotherOperationInProgress": _state("busy with another operation"),
    "AttachDiskWhileBeingDetached": _state("being detached"),
    "Conflict": _state("busy with another operation"),
    "ConflictingConcurrentWriteNotAllowed": _state("being changed by another writer"),
    "DataDisksForceDetached": _state("being detached by force"),
    "OperationPreempted": _state("busy with another operation"),
    "PreconditionFailed": _state("changed by another writer"),
    "ResourceUpdateBlockedOnPlatformUpdate": _state("being updated by the platform"),
    "RetryableErrorDueToAnotherOperation": _state("busy with another operation"),
    "ChangeDiskSizeWhileAttachedNotAllowed": _in_use,
    "OperationNotAllowed": _refused,
    # What the subscription may not have.
    "QuotaExceeded": _quota("further resources"),
    "ResourceQuotaExceeded": _quota("further resources in the resource group"),
    "AllocationFailed": _no_capacity,
    "OverConstrainedAllocationRequest": _no_capacity,
    "OverconstrainedAllocationRequest": _no_capacity,
    "OverconstrainedZonalAllocationRequest": _no_capacity,
    "SkuNotAvailable": _no_capacity,
    "ZonalAllocationFailed": _no_capacity,
    # Whoever asks.
    "AuthorizationFailed": _denied,
    "LinkedAuthorizationFailed": _denied,
    "MissingSubscriptionRegistration": _denied,
    "ReadOnlyDisabledSubscription": _denied,
    "RequestDisallowedByAzure": _denied,
    "RequestDisallowedByPolicy": _denied,
    "ScopeLocked": _denied,
    "SubscriptionNotRegistered": _denied,
    "AuthenticationFailed": _credentials,
    "AuthenticationFailedInvalidHeader": _credentials,
    "AuthenticationFailedMissingToken": _credentials,
    "ExpiredAuthenticationToken": _credentials,
    "InvalidAuthenticationToken": _credentials,
    "InvalidAuthenticationTokenAudience": _credentials,
    "InvalidAuthenticationTokenTenant": _credentials,
    # How often. Every other code with HTTP status 429 is here, too.
    "RateLimitExceeded": _throttled,
    "ResourceRequestsThrottled": _throttled,
    "SubscriptionRequestsThrottled": _throttled,
    "TooManyRequests": _throttled,
    # Azure itself. Every other code with HTTP status 500 or above, or 408, is here, too.
    "GatewayTimeout": _unavailable,
    "InternalError": _unavailable,
    "InternalExecutionError": _unavailable,
    "InternalOperationError": _unavailable,
    "InternalServerError": _unavailable,
    "OperationTimedOut": _unavailable,
    "RequestTimeout": _unavailable,
    "ServerBusy": _unavailable,
    "ServerTimeout": _unavailable,
    "ServiceUnavailable": _unavailable,
}
"""What each code of Azure becomes."""

_STATUSES: Final[Mapping[int, Make]] = {
    400: _rejected,
    401: _credentials,
    403: _denied,
    405: _unsupported,
    408: _unavailable,
    412: _state("changed by another writer"),
}


def error_of(request: Request, answer: Answer) -> CloudcryptError:
    """Return what an answer of Azure is in words of cloudcrypt; the caller chains the two."""
    if answer.status == 429:  # of some codes, only the status says that
        return _throttled(request, answer)
    for pattern, make in MESSAGES.get(answer.code, ()):
        if pattern.search(answer.message) is not None:
            return make(request, answer)
    known = TABLE.get(answer.code)
    if known is not None:
        return known(request, answer)
    status = answer.status or 0
    return _STATUSES.get(status, _unavailable if status >= 500 else _refused)(request, answer)


def is_lun_taken(error: CloudcryptError) -> bool:
    """Say whether somebody else took the logical unit number that was asked for."""
    return isinstance(error, WrongVolumeState) and error.state == LUN_TAKEN


_VM: Final = re.compile(r"\b(by|to) VM '?(?P<name>[^\s']+?)'?\.?(\s|$)")


def _holder_in(message: str) -> str:
    """Return who holds a disk: whom a message names last, after "owned by" or "attached to"."""
    found = [match["name"] for match in _VM.finditer(message)]
    return holder_of(found[-1]) if found else "unknown"


_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z", re.ASCII)


def _moment(message: str) -> datetime | None:
    """Return the time that ``message`` names, as that of the next change that is allowed."""
    found = _MOMENT.search(message)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found[0].removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:  # the 30th of February
        return None
