"""Waiting for Azure to get somewhere, and for it to show what it has done.

None of the pollers of the SDK is used: each is a thread that sleeps, for 30 seconds at a time, and
cannot be cancelled.
"""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from cloudcrypt.errors import CloudcryptError, OperationPending
from cloudcrypt.waiting import Clock, Deadline

T = TypeVar("T")

GRACE: Final = 20.0
"""Seconds that something which was accepted may be missing before it counts as gone. Azure Resource
Manager caches, for seconds, what it has read of a resource."""
SETTLE: Final = 8.0
"""Seconds after which a request that was answered to nobody shows, if it was done at all."""

FIRST: Final = 1.0
"""Seconds between two looks, at first. Creating a disk takes 2 to 3 s, attaching one 5 to 15 s
(logs in the issues of the Azure Disk CSI driver)."""
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


def settled(
    look: Callable[[], T | None], deadline: Deadline, operation: str, subject: str
) -> T | None:
    """Return what ``look`` returns, looking for `SETTLE` seconds if that is None.

    Raises:
        OperationPending: it is None, and the deadline is over before that would be sure.
        OperationCancelled: the caller cancelled.
        CloudcryptError: as ``look`` raises.
    """
    end = deadline.clock.monotonic() + SETTLE
    brief = Deadline(min(end, deadline.end), deadline.clock, deadline.cancellation)
    steps = brief.steps(FIRST, FACTOR, LONGEST)
    while True:
        seen = look()
        if seen is not None:
            return seen
        if not steps.again():
            break
    if deadline.end < end:
        raise OperationPending(operation, subject, "not shown yet")
    return None


class Missing:
    """Since when something that ought to be there is not shown. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing missing."""
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}

    def is_over(self, what: str) -> bool:
        """Whether ``what`` has been missing for longer than Azure takes to show it."""
        with self._lock:
            if len(self._since) >= _REMEMBERED:
                del self._since[next(iter(self._since))]
            now = self._clock.monotonic()
            return now - self._since.setdefault(what, now) >= GRACE

    def found(self, what: str) -> None:
        """Record that ``what`` is there."""
        with self._lock:
            self._since.pop(what, None)
