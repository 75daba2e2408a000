"""What is going to happen in a fake cloud, in the order in which it is due."""

import heapq
import itertools
from collections.abc import Callable
from datetime import datetime

from cloudcrypt_testing.world.clock import FakeClock


class Agenda:
    """Events on a `FakeClock`. Not thread-safe: whoever owns the cloud holds its lock."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin with nothing to do."""
        self._clock = clock
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._due: float | None = None

    @property
    def moment(self) -> float:
        """Seconds of the clock; while an event happens, those when it was due."""
        return self._clock.monotonic() if self._due is None else self._due

    @property
    def time(self) -> datetime:
        """The time of day at `moment`."""
        return self._clock.at(self.moment)

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let ``happen`` be called ``seconds`` from `moment`."""
        heapq.heappush(self._events, (self.moment + seconds, next(self._numbers), happen))

    def settle(self) -> None:
        """Let happen everything that is due by now, including what that leads to."""
        now = self._clock.monotonic()
        try:
            while self._events and self._events[0][0] <= now:
                self._due, _, happen = heapq.heappop(self._events)
                happen()
        finally:
            self._due = None
