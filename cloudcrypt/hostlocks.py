"""Locks by key, among all threads and processes of this host that use one lock file."""

import fcntl
import hashlib
import os
import struct
from pathlib import Path
from typing import Final

_OFFSET_BITS: Final = 62  # a file offset has 63


class HostLocks:
    """Locks in one lock file.

    A lock is one byte of the file, locked by open file description: threads exclude each other as
    processes do, and the kernel gives up the locks of a process that dies. The file is never read
    or written. Network file systems do not keep such locks.
    """

    def __init__(self, path: Path) -> None:
        """Use the file at ``path``; made with mode 0600 when it is first needed."""
        self.path = path

    def take(self, key: str) -> int | None:
        """Take the lock of ``key`` if it is free; return what gives it back, else None.

        Raises:
            OSError: the lock file cannot be used.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.path, flags, 0o600)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, key))
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        return fd

    def give(self, key: str, taken: int, /) -> None:
        """Give a lock back: said aloud, since a child forked meanwhile has the descriptor too."""
        try:
            fcntl.fcntl(taken, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, key))
        finally:
            os.close(taken)


def _flock(kind: int, key: str) -> bytes:
    """Return the ``struct flock`` of fcntl(2) for the byte of ``key``."""
    digest = hashlib.sha256(key.encode()).digest()
    offset = int.from_bytes(digest[:8], "big") >> (64 - _OFFSET_BITS)
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, offset, 1, 0)
