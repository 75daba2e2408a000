"""Errors of the block device on the node."""

import attrs

from cloudcrypt.errors._base import CloudcryptError


class DeviceError(CloudcryptError):
    """The block device on the node."""

    grpc_code = "FAILED_PRECONDITION"


@attrs.frozen(str=False)
class DeviceUnavailable(DeviceError):
    """The device cannot be opened."""

    device: str
    reason: str

    advice = "check that the device is attached, and the permissions of this process"
    grpc_code = "UNAVAILABLE"

    text = "device {device} cannot be opened: {reason:s}"


@attrs.frozen(str=False)
class DeviceBusy(DeviceError):
    """Another process has the device open in a way that excludes this one."""

    device: str

    advice = "let the other process finish; a device has one writer, or readers only"
    retryable = True
    grpc_code = "ABORTED"

    text = "device {device} is in use by another process"


@attrs.frozen(str=False)
class DeviceIOError(DeviceError):
    """A read, write or flush failed or came back short; never taken for emptiness."""

    device: str
    operation: str
    offset: int
    reason: str

    advice = "check the device and its transport; nothing was concluded from what was read"
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "{operation:s} at byte {offset:s} of {device}: {reason:s}"


@attrs.frozen(str=False)
class DeviceTooSmall(DeviceError):
    """The device cannot hold what it must hold."""

    device: str
    size: int
    needed: int

    advice = "use a larger device; the LUKS2 header takes the first 16 MiB"
    grpc_code = "OUT_OF_RANGE"

    text = "device {device} has {size:s} bytes, {needed:s} are needed"


@attrs.frozen(str=False)
class DeviceNotBlank(DeviceError):
    """The device holds something, so it is not formatted."""

    device: str
    offset: int

    advice = (
        "check that this is the right device; if its content may go, "
        "overwrite it with zeros (blkdiscard --zeroout) and ask again"
    )

    text = "device {device} is not blank: data near byte {offset:s}"


@attrs.frozen(str=False)
class DeviceMismatch(DeviceError):
    """The device is not the one that the provider described."""

    device: str
    found: object
    expected: object

    advice = "attach again; a stale path or a swapped device is never used"

    text = "device {device} is {found}, expected {expected}"
