"""What the kernel says of a block device: which disk it is, and what it is part of."""

import fcntl
import os
import stat
import sys
from pathlib import Path
from typing import Final

from cloudcrypt.errors import DeviceUnavailable, HostUnready

SYSFS: Final = Path("/sys")
_BLKGETDISKSEQ: Final = 0x80081280  # _IOR(0x12, 128, __u64), linux/fs.h


def identity_of(descriptor: int) -> tuple[int, int]:
    """Return what tells an open file or block device from every other one of this boot.

    A block device has its number, and the sequence number of its disk: numbers, names and nodes are
    used again for the next disk, sequence numbers are not. Linux has them since 5.15 (ioctl
    ``BLKGETDISKSEQ``); before that, and for a file, it is the device number and inode of the file,
    or of the node.
    """
    status = os.fstat(descriptor)
    sequence = disk_sequence(descriptor) if stat.S_ISBLK(status.st_mode) else None
    if sequence is None:
        return status.st_dev, status.st_ino
    return status.st_rdev, sequence


def disk_sequence(descriptor: int) -> int | None:
    """Return the sequence number of the disk of an open block device; None before Linux 5.15."""
    answer = bytearray(8)
    try:
        fcntl.ioctl(descriptor, _BLKGETDISKSEQ, answer)
    except OSError:
        return None
    return int.from_bytes(answer, sys.byteorder)


def holders(number: str, *, name: str = "", sysfs: Path = SYSFS) -> tuple[str, ...]:
    """Return the kernel's devices, such as ``dm-3``, that block device ``number`` is part of.

    ``number`` is ``major:minor``; errors call the device ``name``, if there is one.

    Raises:
        DeviceUnavailable: the kernel has no such device (any more).
        HostUnready: there is no sysfs that would tell.
    """
    known = sysfs / "dev/block"
    try:
        return tuple(sorted(each.name for each in (known / number / "holders").iterdir()))
    except OSError as error:
        if known.is_dir():
            raise DeviceUnavailable(name or number, "the kernel does not know it") from error
        raise HostUnready(f"sysfs ({sysfs})", f"mount -t sysfs sysfs {sysfs}") from error
