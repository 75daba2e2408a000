"""From an attachment to a block device that is proven to be the one the provider described.

A path alone proves nothing: it may be stale, or name something else by now. Whatever cannot be
proven is refused.
"""

import errno
import os
import stat
from pathlib import Path

from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable
from cloudcrypt.model import Attachment, BlockDevice

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def locate(attachment: Attachment) -> BlockDevice:
    """Find the device of ``attachment`` on this host, and prove its identity.

    Opens nothing for writing, reads no content, and changes nothing. The steps:

    1. the path, no symbolic link followed, is a regular file or a block device;
    2. its device number and inode are those that the provider saw;
    3. it has at least the size of the attachment: a volume never shrinks.

    Returns:
        The device with its size in bytes as it is now, which may be larger.

    Raises:
        DeviceUnavailable: there is nothing at the path, or it cannot be opened.
        DeviceMismatch: what is there is not the device of the attachment.
    """
    path = attachment.identity.path
    try:
        fd = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DeviceMismatch(path, "a symbolic link", "the device itself") from error
        raise DeviceUnavailable(path, error.strerror or "unknown error") from error
    except ValueError as error:  # a NUL byte
        raise DeviceUnavailable(path, "not a path") from error
    try:
        return _prove(fd, attachment)
    finally:
        os.close(fd)


def _prove(fd: int, attachment: Attachment) -> BlockDevice:
    identity, found = attachment.identity, os.fstat(fd)
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode)):  # step 1
        kind = stat.filemode(found.st_mode)[0]
        raise DeviceMismatch(identity.path, f"of kind {kind}", "a regular file or a block device")
    seen = (identity.device, identity.inode)
    if (found.st_dev, found.st_ino) != seen:  # step 2
        raise DeviceMismatch(identity.path, (found.st_dev, found.st_ino), seen)
    size = os.lseek(fd, 0, os.SEEK_END)
    if size < attachment.size:  # step 3
        raise DeviceMismatch(identity.path, f"{size} bytes", f"{attachment.size} bytes or more")
    return BlockDevice(attachment.volume_id, Path(identity.path), size, seen)
