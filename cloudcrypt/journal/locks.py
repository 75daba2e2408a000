"""One worker for each subject at a time, among the threads and processes of this host."""

import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from cloudcrypt.errors import JournalUnavailable, OperationBusy
from cloudcrypt.journal.entry import OnBusy
from cloudcrypt.waiting import Deadline

PAUSE: Final = 0.02
"""Seconds before a lock is tried again for the first time; later pauses are longer."""
PAUSE_LONGEST: Final = 0.5
"""Seconds between two tries at most."""
_OFFSET_BITS: Final = 62  # a file offset has 63


class Locks(Protocol):
    """Locks by key."""

    def take(self, key: str) -> int | None:
        """Take the lock of ``key`` if it is free; return what gives it back, else None."""
        ...

    def give(self, key: str, taken: int, /) -> None:
        """Give the lock back."""
        ...


@contextmanager
def held(
    locks: Locks, key: str, subject: str, *, deadline: Deadline, on_busy: OnBusy
) -> Generator[None]:
    """Hold the lock of ``key`` within the block; see `cloudcrypt.journal.Journal.hold`."""
    deadline.check()
    steps = deadline.steps(first=PAUSE, longest=PAUSE_LONGEST)
    while (taken := locks.take(key)) is None:
        if on_busy is OnBusy.RAISE or not steps.again():
            raise OperationBusy(subject)
    try:
        yield
    finally:
        locks.give(key, taken)


class ThreadLocks:
    """Locks among the threads of this process."""

    def __init__(self) -> None:
        """Start with all locks free."""
        self._taken: set[str] = set()
        self._lock = threading.Lock()

    def take(self, key: str) -> int | None:
        """Take a lock; see `Locks.take`."""
        with self._lock:
            if key in self._taken:
                return None
            self._taken.add(key)
            return 0

    def give(self, key: str, _: int, /) -> None:
        """Give a lock back."""
        with self._lock:
            self._taken.discard(key)


class FileLocks:
    """Locks among all threads and processes that use one lock file.

    A lock is one byte of the file, locked by open file description: threads exclude each other as
    processes do, and the kernel gives up the locks of a process that dies. The file is never read
    or written. Network file systems do not keep such locks.
    """

    def __init__(self, path: Path) -> None:
        """Use the file at ``path``; made with mode 0600 when it is first needed."""
        self._path = path

    def take(self, key: str) -> int | None:
        """Take a lock; see `Locks.take`.

        Raises:
            JournalUnavailable: the lock file cannot be used.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags, 0o600)
            try:
                fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, key))
            except BaseException:
                os.close(fd)
                raise
        except BlockingIOError:
            return None
        except OSError as error:
            raise JournalUnavailable(str(self._path), str(error)) from error
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
