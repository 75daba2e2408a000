"""What the kernel is asked about mounts: system calls, and its table of them. No program is run."""

import ctypes
import errno
import os
from pathlib import Path
from typing import Final, Protocol

from cloudcrypt.filesystem.node import Number

# include/uapi/linux/mount.h and linux/fs.h
RDONLY, NOSUID, NODEV, NOEXEC, NOATIME = 1, 2, 4, 8, 1024
DETACH, NOFOLLOW = 2, 8  # for unmounting

TABLE: Final = Path("/proc/self/mountinfo")

_LOOKS: Final = 10
"""The table is read page by page, and may change in between: it counts once two looks agree."""


class Kernel(Protocol):
    """What is asked of the kernel. Each method raises `OSError` where the kernel refuses."""

    def mount(self, source: Path, target: Path, kind: str, flags: int, options: str) -> None:
        """Make the filesystem on the device ``source`` visible at ``target``."""
        ...

    def unmount(self, target: Path, flags: int) -> None:
        """Unmount what is at ``target``, as umount2(2) says."""
        ...

    def sync(self, target: Path) -> None:
        """Write out all of the filesystem at ``target``; see syncfs(2)."""
        ...

    def table(self) -> bytes:
        """Return the table of mounts that this process sees; see proc(5), mountinfo."""
        ...

    def device(self, target: Path) -> Number:
        """Return the number of the device of the filesystem that ``target`` leads to."""
        ...

    def size(self, target: Path) -> int:
        """Return the size in bytes of the filesystem at ``target``, as statfs(2) counts it."""
        ...


class HostKernel:
    """The kernel of this host; see `Kernel`."""

    def __init__(self) -> None:
        """Bind to the functions of the C library; they let other threads run meanwhile."""
        self._libc = ctypes.CDLL(None, use_errno=True)

    def mount(self, source: Path, target: Path, kind: str, flags: int, options: str) -> None:
        """Make the filesystem on the device ``source`` visible at ``target``."""
        self._call(
            "mount",
            os.fsencode(source),
            os.fsencode(target),
            kind.encode(),
            ctypes.c_ulong(flags),
            options.encode(),
        )

    def unmount(self, target: Path, flags: int) -> None:
        """Unmount what is at ``target``, as umount2(2) says."""
        self._call("umount2", os.fsencode(target), flags)

    def sync(self, target: Path) -> None:
        """Write out a filesystem; see syncfs(2)."""
        folder = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._call("syncfs", folder)
        finally:
            os.close(folder)

    def table(self) -> bytes:
        """Return the table of mounts, read often enough to be that of one moment."""
        found = TABLE.read_bytes()
        for _ in range(_LOOKS):
            before, found = found, TABLE.read_bytes()
            if before == found:
                return found
        raise OSError(errno.EAGAIN, "it changes all the time")

    def device(self, target: Path) -> Number:
        """Return the number of the device of the filesystem that ``target`` leads to."""
        number = target.stat().st_dev
        return os.major(number), os.minor(number)

    def size(self, target: Path) -> int:
        """Return the size of the filesystem at ``target``."""
        found = os.statvfs(target)
        return found.f_blocks * found.f_frsize

    def _call(self, name: str, *arguments: object) -> None:
        ctypes.set_errno(0)
        if self._libc[name](*arguments) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
