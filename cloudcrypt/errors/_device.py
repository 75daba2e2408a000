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


@attrs.frozen(str=False)
class DeviceNotGrown(DeviceError):
    """The kernel does not show the size that the device was given, as far as it was waited for."""

    device: str
    size: int
    expected: int
    reason: str

    advice = (
        "check that the provider has finished the resize, and ask again; else have the kernel look "
        "(as root: echo 1 >/sys/block/NAME/device/rescan), or detach the volume and attach it again"
    )
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "device {device} has {size:s} bytes, expected {expected:s}: {reason:s}"


@attrs.frozen(str=False)
class MappingConflict(DeviceError):
    """A mapping of the kernel is not the expected one; it is not used.

    ``field`` is what differs, as ``dmsetup table`` and ``dmsetup info`` name it.
    """

    mapping: str
    field: str
    found: object
    expected: object

    advice = (
        "look at it with dmsetup table and dmsetup info; close it if nothing needs it, and ask "
        "again. What was found in place was left alone, what was made a moment ago is gone again"
    )

    text = "mapping {mapping}: {field:s} is {found}, expected {expected}"


@attrs.frozen(str=False)
class MappingFailed(DeviceError):
    """The kernel or libcryptsetup failed; ``code`` is its error number, ``reason`` its words."""

    mapping: str
    operation: str
    code: int
    reason: str

    advice = "see what the kernel logged (dmesg), and what cloudcrypt doctor says of this host"
    grpc_code = "INTERNAL"

    text = "{operation:s} of mapping {mapping} failed with error {code:s}: {reason:s}"


@attrs.frozen(str=False)
class FilesystemMismatch(DeviceError):
    """The payload does not hold the filesystem that is recorded; nothing was written to it."""

    device: str
    found: object
    expected: object

    advice = (
        "nothing is made anew in its place. Check that this is the right volume; restore it from a "
        "snapshot if its content is gone. A filesystem that was made by hand is to be adopted"
    )
    grpc_code = "DATA_LOSS"

    text = "the payload {device} holds {found}, expected {expected}"


@attrs.frozen(str=False)
class FilesystemDamaged(DeviceError):
    """The filesystem has errors that are not repaired automatically. It is not mounted."""

    device: str
    reason: str

    advice = (
        "take a snapshot first; then run e2fsck or xfs_repair on the open volume by hand, and "
        "answer its questions"
    )
    grpc_code = "DATA_LOSS"

    text = "the filesystem on {device} needs a person: {reason:s}"


@attrs.frozen(str=False)
class FilesystemFailed(DeviceError):
    """A program or the kernel failed on a filesystem; ``reason`` holds the end of what it said."""

    device: str
    operation: str
    reason: str

    advice = "see the reason, and what the kernel logged (dmesg); the verb may be called again"
    grpc_code = "INTERNAL"

    text = "{operation:s} on {device} failed: {reason:s}"


@attrs.frozen(str=False)
class MountConflict(DeviceError):
    """Something else is mounted at the target, or the filesystem is mounted elsewhere, or so."""

    target: str
    found: object
    expected: object

    advice = "look at it with findmnt; unmount what is not needed. It was left alone"

    text = "at {target} there is {found}, expected {expected}"


@attrs.frozen(str=False)
class MountBusy(DeviceError):
    """The filesystem is in use, so it stays mounted; ``holders`` are processes, if any were seen.

    Mounts below it, and swap and loop files on it, keep it in use too.
    """

    target: str
    holders: tuple[str, ...]

    advice = "let the processes finish or leave the folder, unmount what is mounted below it"
    retryable = True
    grpc_code = "ABORTED"

    text = "the filesystem at {target} is in use; processes that were seen: {holders:s}"
