"""The device of a volume of the local provider: a path, a device number and an inode."""

import os
import stat

from cloudcrypt.device._node import check_size, kind, measured, opened
from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable
from cloudcrypt.model import Attachment, BlockDevice, FilePath


def open_file(attachment: Attachment, identity: FilePath) -> BlockDevice:
    """Return the file, proven by the three steps that `cloudcrypt.device.locate` lists.

    Raises:
        DeviceUnavailable: it cannot be opened.
        DeviceMismatch: it is another file, or smaller.
    """
    fd = opened(identity.path)
    try:
        found = os.fstat(fd)
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode)):  # step 1
            expected = "a regular file or a block device"
            raise DeviceMismatch(identity.path, kind(found), expected)
        seen = (identity.device, identity.inode)
        if (found.st_dev, found.st_ino) != seen:  # step 2
            raise DeviceMismatch(identity.path, (found.st_dev, found.st_ino), seen)
        device = measured(attachment, identity.path, fd)
    except OSError as error:
        raise DeviceUnavailable(identity.path, error.strerror or "unknown error") from error
    finally:
        os.close(fd)
    check_size(attachment, device)  # step 3
    return device
