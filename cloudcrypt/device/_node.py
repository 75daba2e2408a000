"""The node of a device below ``/dev``: opened without following links, and compared with sysfs."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from cloudcrypt.blockdevices import disk_sequence, identity_of
from cloudcrypt.device._sysfs import Disk
from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable
from cloudcrypt.model import Attachment, BlockDevice

ROOT: Final = Path("/")
"""Where ``dev`` and ``sys`` of this host are."""

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SYSFS_BLOCK: Final = 512  # bytes: the unit of /sys/block/*/size, whatever the device's own
_LOOKS: Final = 3  # at a size that somebody else changes meanwhile


def is_host(root: Path) -> bool:
    """Say whether ``root`` is this host's own, by whatever path."""
    return root.resolve() == ROOT


def opened(path: str) -> int:
    """Open a device for reading, and return its file descriptor.

    Raises:
        DeviceUnavailable: it cannot be opened.
        DeviceMismatch: it is a symbolic link.
    """
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DeviceMismatch(path, "a symbolic link", "the device itself") from error
        raise DeviceUnavailable(path, error.strerror or "unknown error") from error
    except ValueError as error:  # a NUL byte
        raise DeviceUnavailable(path, "not a path") from error


def kind(found: os.stat_result) -> str:
    """Say what kind of file it is."""
    return f"of kind {stat.filemode(found.st_mode)[0]}"


def check_node(path: str, found: os.stat_result, disk: Disk, root: Path) -> None:
    """Refuse a node that is not the block device of ``disk``.

    Raises:
        DeviceMismatch: it is none, or has another device number than sysfs states.
    """
    if not is_host(root) and stat.S_ISREG(found.st_mode):
        return
    if not stat.S_ISBLK(found.st_mode):
        raise DeviceMismatch(path, kind(found), "a block device")
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    stated = disk.attribute("dev")
    if number != stated:
        raise DeviceMismatch(path, f"device number {number}", f"{stated}, as sysfs says")


def check_sequence(path: str, fd: int, disk: Disk) -> None:
    """Return if what sysfs says, until now, is said of the open device.

    Names and numbers are used again for the next disk; its sequence number tells (Linux 5.15).

    Raises:
        DeviceUnavailable: another disk has its name by now.
    """
    sequence = disk_sequence(fd)
    if sequence is not None and disk.attribute("diskseq") != str(sequence):
        raise DeviceUnavailable(path, "another disk took its place while it was looked at")


def measured(attachment: Attachment, path: str, fd: int, disk: Disk | None = None) -> BlockDevice:
    """Return the open device with its size now, which is the one in the sysfs of ``disk`` too.

    Raises:
        OSError: it has gone.
        DeviceUnavailable: sysfs states no size (any more), or none yet: it comes or goes.
        DeviceMismatch: sysfs states another size.
    """
    size = os.lseek(fd, 0, os.SEEK_END) if disk is None else _agreed_size(path, fd, disk)
    return BlockDevice(attachment.volume_id, Path(path), size, identity_of(fd))


def _agreed_size(path: str, fd: int, disk: Disk) -> int:
    """Return the size that the open device and sysfs agree on; errors as `measured`."""
    size, stated = 0, None
    for _ in range(_LOOKS):  # it may be resized in between
        size, stated = os.lseek(fd, 0, os.SEEK_END), disk.attribute("size")
        if stated in (None, "0"):
            raise DeviceUnavailable(path, "it has no size: it is not ready yet, or has gone")
        if stated == str(size // _SYSFS_BLOCK):
            return size
    raise DeviceMismatch(path, f"{size} bytes", f"{stated} blocks, says sysfs")


def check_size(attachment: Attachment, device: BlockDevice) -> None:
    """Refuse a device that is smaller than the attachment says.

    Raises:
        DeviceMismatch: it is.
    """
    if device.size < attachment.size:
        expected = f"{attachment.size} bytes or more"
        raise DeviceMismatch(str(device.path), f"{device.size} bytes", expected)
