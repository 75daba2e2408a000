"""A clock that tests move: nobody sleeps."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeClock:
    """Time passes when somebody sleeps, or when the test says so. Thread-safe."""

    def __init__(self, while_sleeping: Callable[[], object] = lambda: None) -> None:
        self.passed = 1000.0
        self.pauses: list[float] = []
        self.while_sleeping = while_sleeping
        """What happens meanwhile, in the thread that sleeps."""
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed - 1000.0)

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        self.while_sleeping()
        if wake is not None and wake.is_set():
            return
        with self._lock:
            self.pauses.append(seconds)
            self.passed += seconds
