"""From an attachment to a block device that is proven to be the one the provider described.

A path alone proves nothing: it may be stale, or name something else by now. Whatever cannot be
proven is refused. No external tool is asked, and no link below ``/dev/disk`` is believed.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable, UnsupportedOperation
from cloudcrypt.model import Attachment, BlockDevice, DeviceName, FilePath, NvmeSerial
from cloudcrypt.waiting import Deadline

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NVME = re.compile(r"nvme[0-9]+n[0-9]+", re.ASCII)
_SYSFS_BLOCK = 512  # bytes: the unit of /sys/block/*/size, whatever the device's own
_LONGEST = 4096  # bytes of an attribute in sysfs: a page

ROOT: Final = Path("/")
"""Where ``dev`` and ``sys`` of this host are."""


def locate(
    attachment: Attachment, *, root: Path = ROOT, deadline: Deadline | None = None
) -> BlockDevice:
    """Find the device of ``attachment`` on this host, and prove its identity.

    Opens nothing for writing, reads no content, and changes nothing. A file, of the local provider:

    1. the path, no symbolic link followed, is a regular file or a block device;
    2. its device number and inode are those that the provider saw;
    3. it has at least the size of the attachment: a volume never shrinks.

    An NVMe device, of the clouds:

    1. exactly one namespace in sysfs has the serial number and the model of the attachment;
    2. its node below ``dev``, no symbolic link followed, is a block device with the device number
       that sysfs states;
    3. as above, and sysfs states the same size.

    Args:
        attachment: what the provider said.
        root: the folder that has ``dev`` and ``sys``. Below another root than this host's, regular
            files stand for block devices.
        deadline: until when to look again for a device that is not there yet; None looks once.

    Returns:
        The device with its size in bytes as it is now, which may be larger.

    Raises:
        DeviceUnavailable: there is no such device, or it cannot be opened.
        DeviceMismatch: what is there is not the device of the attachment, or there are two of it.
        UnsupportedOperation: the device is known by its name alone.
        OperationCancelled: the caller cancelled.
    """
    steps = None if deadline is None else deadline.steps(first=0.1, longest=2.0)
    while True:
        try:
            return _look(attachment, root)
        except DeviceUnavailable:
            if steps is None or not steps.again():
                raise


def _look(attachment: Attachment, root: Path) -> BlockDevice:
    identity = attachment.identity
    match identity:
        case FilePath():
            return _file(attachment, identity)
        case NvmeSerial():
            return _nvme(attachment, identity, root)
        case DeviceName():
            raise UnsupportedOperation(
                f"finding a device by its name alone ({identity.name})",
                "use an instance type that shows its volumes as NVMe devices",
            )


def _file(attachment: Attachment, identity: FilePath) -> BlockDevice:
    fd = _opened(identity.path)
    try:
        found = os.fstat(fd)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode)):  # step 1
            expected = "a regular file or a block device"
            raise DeviceMismatch(identity.path, _kind(found), expected)
        seen = (identity.device, identity.inode)
        if (found.st_dev, found.st_ino) != seen:  # step 2
            raise DeviceMismatch(identity.path, (found.st_dev, found.st_ino), seen)
        return _sized(attachment, identity.path, fd)  # step 3
    finally:
        os.close(fd)


@attrs.frozen
class _Namespace:
    """An NVMe namespace as sysfs describes it."""

    path: Path

    def states(self, identity: NvmeSerial) -> bool:
        """Say whether its controller has this serial number and model."""
        found = self.attribute("device/serial"), self.attribute("device/model")
        return found == (identity.serial, identity.model)

    def attribute(self, name: str) -> str | None:
        """Return an attribute without the blanks that pad it; None if it has gone."""
        try:
            with (self.path / name).open("rb") as file:
                return file.read(_LONGEST).decode("ascii", "replace").strip()
        except OSError:
            return None


def _nvme(attachment: Attachment, identity: NvmeSerial, root: Path) -> BlockDevice:
    found = [each for each in _namespaces(root) if each.states(identity)]
    if len(found) > 1:  # step 1
        names = " and ".join(sorted(each.path.name for each in found))
        raise DeviceMismatch(names, f"both of serial {identity.serial}", "one device")
    if not found:
        reason = f"no NVMe device has serial {identity.serial} and model {identity.model}"
        raise DeviceUnavailable(f"of volume {attachment.volume_id}", reason)
    namespace = found[0]
    path = root / "dev" / namespace.path.name
    fd = _opened(str(path))
    try:
        _check_node(str(path), os.fstat(fd), namespace, root)  # step 2
        device = _sized(attachment, str(path), fd)  # step 3
    finally:
        os.close(fd)
    stated = namespace.attribute("size")
    if stated != str(device.size // _SYSFS_BLOCK):
        raise DeviceMismatch(str(path), f"{device.size} bytes", f"{stated} blocks, says sysfs")
    return device


def _namespaces(root: Path) -> Iterator[_Namespace]:
    folder = root / "sys" / "block"
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise DeviceUnavailable(str(folder), error.strerror or "unknown error") from error
    return (_Namespace(path) for path in found if _NVME.fullmatch(path.name))


def _check_node(path: str, found: os.stat_result, namespace: _Namespace, root: Path) -> None:
    if root.resolve() != ROOT and stat.S_ISREG(found.st_mode):
        return
    if not stat.S_ISBLK(found.st_mode):
        raise DeviceMismatch(path, _kind(found), "a block device")
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    stated = namespace.attribute("dev")
    if number != stated:
        raise DeviceMismatch(path, f"device number {number}", f"{stated}, as sysfs says")


def _opened(path: str) -> int:
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DeviceMismatch(path, "a symbolic link", "the device itself") from error
        raise DeviceUnavailable(path, error.strerror or "unknown error") from error
    except ValueError as error:  # a NUL byte
        raise DeviceUnavailable(path, "not a path") from error


def _kind(found: os.stat_result) -> str:
    return f"of kind {stat.filemode(found.st_mode)[0]}"


def _sized(attachment: Attachment, path: str, fd: int) -> BlockDevice:
    size = os.lseek(fd, 0, os.SEEK_END)
    if size < attachment.size:
        raise DeviceMismatch(path, f"{size} bytes", f"{attachment.size} bytes or more")
    found = os.fstat(fd)
    return BlockDevice(attachment.volume_id, Path(path), size, (found.st_dev, found.st_ino))
