"""The node of a device below ``/dev``: opened without following links, and compared with sysfs."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from cloudcrypt.device._sysfs import Disk
from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable
from cloudcrypt.model import Attachment, BlockDevice

ROOT: Final = Path("/")
"""Where ``dev`` and ``sys`` of this host are."""

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SYSFS_BLOCK: Final = 512  # bytes: the unit of /sys/block/*/size, whatever the device's own


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


def measured(attachment: Attachment, path: str, fd: int) -> BlockDevice:
    """Return the open device with its size now."""
    size = os.lseek(fd, 0, os.SEEK_END)
    found = os.fstat(fd)
    return BlockDevice(attachment.volume_id, Path(path), size, (found.st_dev, found.st_ino))


def check_size(attachment: Attachment, device: BlockDevice, disk: Disk | None = None) -> None:
    """Refuse a device that is smaller than the attachment says, or not of the size in sysfs.

    Raises:
        DeviceMismatch: it is.
    """
    path = str(device.path)
    if device.size < attachment.size:
        raise DeviceMismatch(path, f"{device.size} bytes", f"{attachment.size} bytes or more")
    if disk is None:
        return
    stated = disk.attribute("size")
    if stated != str(device.size // _SYSFS_BLOCK):
        raise DeviceMismatch(path, f"{device.size} bytes", f"{stated} blocks, says sysfs")
