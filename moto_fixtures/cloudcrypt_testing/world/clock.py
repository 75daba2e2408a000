"""The time that a fake cloud lives in: it stands still until somebody moves it.

    clock = FakeClock()
    clock.advance(90)  # a minute and a half later
    clock.sleep(2)     # the same: nobody waits

It has the methods of `cloudcrypt.waiting.Clock`, so that what waits can be given it as well.
"""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2030, 1, 1, tzinfo=UTC)
"""When the world begins."""


class FakeClock:
    """A clock that only its users move; any number of threads may share it."""

    def __init__(
        self, start: datetime = START, *, tick: float = 0.0, is_real: bool = False
    ) -> None:
        """Begin at ``start``, an aware time.

        Args:
            start: the time of day at the beginning.
            tick: seconds by which every request to a cloud moves the clock. It lets another
                process, which cannot reach this clock, poll and see its wait end.
            is_real: for demonstrations: the time passes by itself and `sleep` does sleep.
        """
        self._start = start.astimezone(UTC)
        self._tick = tick
        self._is_real = is_real
        self._begun = time.monotonic()
        self._moved = 0.0
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def monotonic(self) -> float:
        """Return the seconds since the beginning."""
        return self._moved + (time.monotonic() - self._begun if self._is_real else 0.0)

    def now(self) -> datetime:
        """Return the time of day, aware and in UTC."""
        return self.at(self.monotonic())

    def at(self, moment: float) -> datetime:
        """Return the time of day when `monotonic` returns ``moment``."""
        return self._start + timedelta(seconds=moment)

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds``, and let happen what was due until then."""
        if seconds < 0:
            raise ValueError("time does not go back")
        with self._lock:
            self._moved += seconds
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Advance by ``seconds`` at once, unless ``wake`` is set already."""
        if wake is not None and wake.is_set():
            return
        if self._is_real:
            (wake or threading.Event()).wait(max(0.0, seconds))
        else:
            self.advance(max(0.0, seconds))

    def tick(self) -> None:
        """Move on by what one request takes."""
        if self._tick:
            self.advance(self._tick)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each move, in the thread that moved the clock."""
        with self._lock:
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Take back one `listen`. Idempotent."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
