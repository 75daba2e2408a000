"""One caller of this process at a time for each name: looking and writing belong together.

Among processes the cloud decides, and where it cannot, `cloudcrypt_azure._contest`.
"""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import attrs

from cloudcrypt.waiting import Deadline

_NOTICE: Final = 0.2
"""Seconds until somebody who waits for another caller notices a cancellation."""


@attrs.define
class _Lock:
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    users: int = 0


class Locks:
    """Locks by name. Thread-safe."""

    def __init__(self) -> None:
        """Begin without any."""
        self._guard = threading.Lock()
        self._locks: dict[str, _Lock] = {}

    @contextmanager
    def hold(self, name: str, deadline: Deadline) -> Generator[bool]:
        """Hold the lock of ``name`` within the block; say whether it was to be had in time.

        Raises:
            OperationCancelled: the caller cancelled.
        """
        with self._guard:
            lock = self._locks.setdefault(name, _Lock())
            lock.users += 1
        is_held = False
        try:
            is_held = _acquired(lock.lock, deadline)
            yield is_held
        finally:
            if is_held:
                lock.lock.release()
            with self._guard:
                lock.users -= 1
                if not lock.users:
                    del self._locks[name]


def _acquired(lock: threading.Lock, deadline: Deadline) -> bool:
    while not lock.acquire(timeout=_NOTICE):
        deadline.check()
        if deadline.has_passed:
            return False
    return True
