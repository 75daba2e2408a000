"""Errors of the provider: the cloud, or what stands for it, refused."""

from datetime import datetime

import attrs

from cloudcrypt.errors._base import CloudcryptError


class ProviderError(CloudcryptError):
    """The cloud, or what stands for it, refused."""


@attrs.frozen(str=False)
class NotFound(ProviderError):
    """No such volume, snapshot or operation."""

    kind: str
    name: str

    advice = "list what exists; it may have been deleted, or belong to another provider or place"
    grpc_code = "NOT_FOUND"

    text = "there is no {kind:s} {name}"


@attrs.frozen(str=False)
class Vanished(NotFound):
    """The cloud accepted it, and now it is gone: deleted since, or its creation failed."""

    advice = (
        "ask again with a new token, as ensure_volume does by itself; if it vanishes again, its "
        "creation fails: a key of the cloud that may not be used does that"
    )

    text = "{kind:s} {name} was accepted, and is gone"


@attrs.frozen(str=False)
class AttachedElsewhere(ProviderError):
    """The volume is attached to another instance; it is never taken from it."""

    volume_id: str
    holder: str

    advice = "detach the volume from its holder first"
    grpc_code = "FAILED_PRECONDITION"

    text = "volume {volume_id:s} is attached to instance {holder}"


@attrs.frozen(str=False)
class VolumeInUse(ProviderError):
    """The volume must be detached first."""

    volume_id: str
    holder: str

    advice = "detach the volume first"
    grpc_code = "FAILED_PRECONDITION"

    text = "volume {volume_id:s} is in use by instance {holder}"


@attrs.frozen(str=False)
class WrongVolumeState(ProviderError):
    """The volume is in a state that forbids the operation."""

    volume_id: str
    state: str
    operation: str

    advice = "wait until the volume is available, or finish the operation that is under way"
    retryable = True
    grpc_code = "ABORTED"

    text = "volume {volume_id:s} is {state:s}, which forbids {operation:s}"


@attrs.frozen(str=False)
class ProviderUnavailable(ProviderError):
    """The provider could not be reached, or could not store its answer."""

    provider: str
    reason: str

    advice = "try again; if it persists, check the provider itself"
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "provider {provider:s} is unavailable: {reason:s}"


@attrs.frozen(str=False)
class OperationPending(ProviderError):
    """The operation was accepted and is still under way; the time to wait for it is over."""

    operation: str
    subject: str
    state: str

    advice = "resume it, in this process or another one: nothing was undone"
    retryable = True
    grpc_code = "DEADLINE_EXCEEDED"

    text = "{operation:s} of {subject:s} is still under way: {state:s}"


@attrs.frozen(str=False)
class OperationFailed(ProviderError):
    """The cloud accepted the operation and failed later."""

    operation: str
    subject: str
    reason: str

    advice = "ask again with a new token, as ensure_* does by itself; if it fails again, see why"
    grpc_code = "INTERNAL"

    text = "{operation:s} of {subject:s} failed: {reason:s}"


@attrs.frozen(str=False)
class AttachStuck(ProviderError):
    """The volume is attaching for much longer than it takes; ``seconds`` is how long so far."""

    volume_id: str
    instance: str
    seconds: float

    advice = (
        "look at the instance: a device name that its kernel still uses does that; "
        "detach the volume and attach it again, or restart the instance"
    )
    retryable = True
    grpc_code = "ABORTED"

    text = "volume {volume_id:s} is attaching to {instance} for {seconds:s} s"


@attrs.frozen(str=False)
class DetachBlocked(ProviderError):
    """The instance still uses the volume that is to be detached, for ``seconds`` so far."""

    volume_id: str
    instance: str
    seconds: float

    advice = (
        "unmount and close the volume on the instance, then resume; "
        "force only if the instance is gone for good"
    )
    retryable = True
    grpc_code = "FAILED_PRECONDITION"

    text = "instance {instance} still uses volume {volume_id:s}: detaching for {seconds:s} s"


@attrs.frozen(str=False)
class ModificationLimited(ProviderError):
    """The cloud allows no further change of this volume now; ``next_allowed`` says when."""

    volume_id: str
    next_allowed: datetime | None

    advice = "wait until then; ask for all changes of a volume at once"
    retryable = True
    grpc_code = "FAILED_PRECONDITION"

    text = "volume {volume_id:s} may not be modified before {next_allowed:s}"


@attrs.frozen(str=False)
class QuotaExceeded(ProviderError):
    """A limit of the account is reached."""

    what: str

    advice = "delete what is not needed, or ask the cloud for a higher quota"
    grpc_code = "RESOURCE_EXHAUSTED"

    text = "the quota of the account does not allow {what:s}"


@attrs.frozen(str=False)
class AttachmentLimit(ProviderError):
    """The instance has as many volumes as its type allows."""

    instance: str
    limit: int | None

    advice = "detach a volume from the instance, or use a larger instance type"
    grpc_code = "RESOURCE_EXHAUSTED"

    text = "instance {instance} takes no further volume, its limit is {limit:s}"


@attrs.frozen(str=False)
class OutOfCapacity(ProviderError):
    """The cloud has no capacity left at this place; not a quota."""

    what: str
    place: str

    advice = "try again later, or at another place"
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "the cloud has no capacity for {what:s} in {place:s}"


@attrs.frozen(str=False)
class Throttled(ProviderError):
    """The cloud asks to be asked more slowly; nothing was done."""

    operation: str

    advice = "try again later; fewer callers at once, or one process for all, need fewer requests"
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "the cloud throttles {operation:s}"


@attrs.frozen(str=False)
class AccessDenied(ProviderError):
    """The credentials are good, and do not allow it."""

    operation: str

    advice = "grant the permission that the cloud's message names"
    grpc_code = "PERMISSION_DENIED"

    text = "not allowed: {operation:s}"


@attrs.frozen(str=False)
class CredentialsRefused(ProviderError):
    """There are no credentials, or the cloud does not take them."""

    provider: str

    advice = "configure credentials in the way of the cloud's SDK, and check that they are current"
    grpc_code = "UNAUTHENTICATED"

    text = "no valid credentials for {provider:s}"


@attrs.frozen(str=False)
class CloudRefused(ProviderError):
    """The cloud refused for a reason that has no class of its own here."""

    operation: str

    advice = "see what the cloud says"
    grpc_code = "UNKNOWN"

    text = "the cloud refused {operation:s}"
