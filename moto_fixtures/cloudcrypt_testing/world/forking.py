"""Lets a test process fork while the server is at work: no lock is held across it.

The child has no server, and talks to that of its parent.
"""

import os
import threading
from typing import Final
from weakref import WeakSet


class ForkLock:
    """A reentrant lock that is free in a forked child, and guards nothing half done there."""

    def __init__(self) -> None:
        """Begin unlocked."""
        self._lock = threading.RLock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        """Acquire."""
        self._lock.acquire()

    def __exit__(self, *_exc_info: object) -> None:
        """Release."""
        self._lock.release()


class _Held(threading.local):
    """What this thread, which forks, holds."""

    def __init__(self) -> None:
        self.locks: list[ForkLock] = []


_LOCKS: Final[WeakSet[ForkLock]] = WeakSet()
_HELD: Final = _Held()


def _before() -> None:
    _HELD.locks = sorted(_LOCKS, key=id)
    for lock in _HELD.locks:
        lock.__enter__()


def _after() -> None:
    while _HELD.locks:
        _HELD.locks.pop().__exit__()


os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
