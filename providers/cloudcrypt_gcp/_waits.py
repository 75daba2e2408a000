"""Waiting for GCE to get somewhere, and for it to show what it has done.

Operations are looked at, rather than waited for by ``zoneOperations.wait``: a request that GCE
holds back for two minutes cannot be cancelled, nor follow a deadline.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import attrs

from cloudcrypt.errors import CloudcryptError, OperationPending
from cloudcrypt.waiting import Clock, Deadline

T = TypeVar("T")

GRACE: Final = 20.0
"""Seconds that something which was accepted may be missing before it counts as gone. GCE documents
no delay after an operation is done; this is what AWS needs, and only what is gone waits for it."""
SETTLE: Final = 8.0
"""Seconds after which a request that was answered to nobody shows, if it was done at all; that is
what AWS needs, too."""

FIRST: Final = 1.0
"""Seconds between two looks, at first: operations on disks take a few seconds, mostly."""
FACTOR: Final = 1.5
LONGEST: Final = 5.0
"""Seconds between two looks at most; the Persistent Disk CSI driver looks every 3 to 5 seconds."""

_TOO_EARLY: Final = "GCE does not show it, and it is too early to be sure"


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
    """Return what ``look`` returns, looking for `SETTLE` seconds if that is None: then it is sure.

    Raises:
        OperationPending: the deadline ended before.
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
        raise OperationPending(operation, subject, _TOO_EARLY)
    return None


@attrs.define
class Missing:
    """Since when something that ought to be there is not shown, to one caller who waits for it."""

    _clock: Clock
    _since: float | None = attrs.field(default=None, init=False)

    def is_over(self) -> bool:
        """Say whether it has been missing, from the first call on, for longer than `GRACE`."""
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since >= GRACE

    def found(self) -> None:
        """Record that it is there."""
        self._since = None
