"""One worker for each subject at a time, among the threads and processes of this host."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Protocol

from cloudcrypt.errors import JournalUnavailable, OperationBusy
from cloudcrypt.hostlocks import HostLocks
from cloudcrypt.journal.entry import OnBusy
from cloudcrypt.waiting import Deadline

PAUSE: Final = 0.02
"""Seconds before a lock is tried again for the first time; later pauses are longer."""
PAUSE_LONGEST: Final = 0.5
"""Seconds between two tries at most."""


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


class FileLocks(HostLocks):
    """Locks among all threads and processes that use one lock file; see `HostLocks`."""

    def take(self, key: str) -> int | None:
        """Take a lock; see `Locks.take`.

        Raises:
            JournalUnavailable: the lock file cannot be used.
        """
        try:
            return super().take(key)
        except OSError as error:
            raise JournalUnavailable(str(self.path), str(error)) from error
