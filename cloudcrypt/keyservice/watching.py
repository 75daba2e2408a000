"""A value that is read from files, and read again when they change."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar, final

from cloudcrypt.errors import CloudcryptError
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock

T = TypeVar("T")

LOOK = 1.0
"""Seconds between two looks at the files."""

Stamp = tuple[tuple[int, int, int] | None, ...]


@final
class Watched(Generic[T]):
    """What files say, kept current by whoever asks for it. Thread-safe.

    Files that are missing, half written or malformed leave the last good value in force.
    """

    def __init__(
        self,
        files: Sequence[Path],
        load: Callable[[], T],
        *,
        changed: Callable[[CloudcryptError | None], None] = lambda _: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Load for the first time.

        Args:
            files: whose change means to load again.
            load: reads all of them, and raises a `CloudcryptError` unless they are good.
            changed: told of each later load: of the error, or None after success.
            clock: tells when to look again.

        Raises:
            CloudcryptError: of ``load``.
        """
        self._files = tuple(files)
        self._load = load
        self._changed = changed
        self._clock = clock
        self._lock = threading.Lock()
        # Before loading: a change between the two is seen by the next look.
        self._stamp = self._look()
        self._value = load()
        self._next = clock.monotonic() + LOOK

    def current(self) -> T:
        """Return the value, after a look at the files if the last one is a second ago."""
        if self._clock.monotonic() < self._next:
            return self._value
        with self._lock:
            if self._clock.monotonic() >= self._next:
                self._next = self._clock.monotonic() + LOOK
                stamp = self._look()
                if stamp != self._stamp:
                    self._reload(stamp)
            return self._value

    def reload(self) -> None:
        """Load now, changed or not."""
        with self._lock:
            self._reload(self._look())

    def _reload(self, stamp: Stamp) -> None:
        self._stamp = stamp
        try:
            self._value = self._load()
        except CloudcryptError as error:
            self._changed(error)
        else:
            self._changed(None)

    def _look(self) -> Stamp:
        return tuple(map(_stamp, self._files))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
