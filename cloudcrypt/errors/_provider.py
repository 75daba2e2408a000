"""Errors of the provider: the cloud, or what stands for it, refused."""

from typing import ClassVar

import attrs

from cloudcrypt.errors._base import CloudcryptError


class ProviderError(CloudcryptError):
    """The cloud, or what stands for it, refused."""

    cloud_code: ClassVar[str | None] = None
    request_id: ClassVar[str | None] = None
    retry_after: ClassVar[float | None] = None


@attrs.frozen(str=False)
class NotFound(ProviderError):
    """No such volume, snapshot or operation."""

    kind: str
    name: str

    advice = "list what exists; it may have been deleted, or belong to another provider or place"
    grpc_code = "NOT_FOUND"

    text = "there is no {kind:s} {name}"


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
