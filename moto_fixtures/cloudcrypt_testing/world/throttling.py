"""Token buckets: how many requests of a kind a cloud takes before it refuses some."""

import threading
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final

import attrs

READING: Final = "reading"
"""The family of all requests that change nothing."""
CHANGING: Final = "changing"
"""The family of all others."""


@attrs.define
class _Bucket:
    family: str
    burst: float
    rate: float
    left: float
    filled: float

    def covers(self, action: str, *, is_reading: bool) -> bool:
        """Say whether requests for ``action`` take from this bucket."""
        if self.family in {READING, CHANGING}:
            return is_reading == (self.family == READING)
        return fnmatchcase(action, self.family)

    def take(self, moment: float) -> bool:
        """Take one request if there is one left."""
        refill = self.rate * (moment - self.filled)
        self.left = min(self.burst, self.left + refill)
        self.filled = moment
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Buckets:
    """All buckets of an account. Thread-safe."""

    def __init__(self, is_reading: Callable[[str], bool]) -> None:
        """Begin without limits; ``is_reading`` says whether an action changes nothing."""
        self._is_reading = is_reading
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def limit(self, family: str, burst: float, rate: float, moment: float) -> None:
        """Let the requests of ``family`` take from one bucket, in the place of a former one."""
        with self._lock:
            self._buckets[family] = _Bucket(family, burst, rate, burst, moment)

    def clear(self) -> None:
        """Let there be no limits."""
        with self._lock:
            self._buckets.clear()

    def take(self, action: str, moment: float) -> bool:
        """Take one request from every bucket that covers ``action``; say whether it goes on."""
        if not self._buckets:
            return True
        with self._lock:
            is_reading = self._is_reading(action)
            covering = [
                bucket
                for bucket in self._buckets.values()
                if bucket.covers(action, is_reading=is_reading)
            ]
            taken = [
                bucket.take(moment) for bucket in covering
            ]  # from each, whatever the others say
        return all(taken)
