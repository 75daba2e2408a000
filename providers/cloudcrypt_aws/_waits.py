"""Waiting for EC2 to get somewhere, and for it to show what it has done.

EC2 shows changes late (EC2 API reference, "Eventual consistency"): a volume that was just created
may be missing for a while. None of the waiters of boto3 is used. They look at the state of the
volume where that of the attachment counts, go on for ten minutes when a volume is in the state
``error``, and cannot be cancelled.
"""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from cloudcrypt.errors import CloudcryptError, OperationPending
from cloudcrypt.waiting import Clock, Deadline

T = TypeVar("T")

GRACE: Final = 20.0
"""Seconds that something which was accepted may be missing before it counts as gone. EC2 shows new
things within seconds; its API reference speaks of "a couple of seconds" for the first new look."""
SETTLE: Final = 8.0
"""Seconds after which a request that was answered to nobody shows, if it was done at all."""

FIRST: Final = 1.0
"""Seconds between two looks, at first. Creating takes 1.5 s at the median, 4 s at the 99th
percentile; attaching and detaching 1 to 4 s (measurements in the EBS CSI driver's cloud.go)."""
FACTOR: Final = 1.5
LONGEST: Final = 10.0

_REMEMBERED: Final = 10_000


@attrs.frozen
class Still:
    """Not there yet: the state that it is in, and what to raise if that does not change."""

    state: str
    error: CloudcryptError | None = None


def until(look: Callable[[], T | Still], deadline: Deadline, operation: str, subject: str) -> T:
    """Return what ``look`` returns once that is not `Still`; looks at least once.

    Raises:
        OperationPending: it is still the same at the deadline; or the error that it brings.
        OperationCancelled: the caller cancelled.
        CloudcryptError: as ``look`` raises.
    """
    steps = deadline.steps(FIRST, FACTOR, LONGEST)
    while True:
        seen = look()
        if not isinstance(seen, Still):
            return seen
        if not steps.again():
            raise seen.error or OperationPending(operation, subject, seen.state)


def settled(look: Callable[[], T | None], deadline: Deadline) -> T | None:
    """Return what ``look`` returns, looking for `SETTLE` seconds if that is None."""
    end = deadline.clock.monotonic() + SETTLE
    brief = Deadline(min(end, deadline.end), deadline.clock, deadline.cancellation)
    steps = brief.steps(FIRST, FACTOR, LONGEST)
    while True:
        seen = look()
        if seen is not None or not steps.again():
            return seen


class Missing:
    """Since when something that ought to be there is not shown. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing missing."""
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}

    def seconds(self, what: str) -> float:
        """Return how long ``what`` has been missing, in seconds: 0 the first time."""
        with self._lock:
            if len(self._since) >= _REMEMBERED:
                del self._since[next(iter(self._since))]
            now = self._clock.monotonic()
            return now - self._since.setdefault(what, now)

    def is_over(self, what: str) -> bool:
        """Whether ``what`` has been missing for longer than EC2 takes to show it."""
        return self.seconds(what) >= GRACE

    def found(self, what: str) -> None:
        """Record that ``what`` is there."""
        with self._lock:
            self._since.pop(what, None)
