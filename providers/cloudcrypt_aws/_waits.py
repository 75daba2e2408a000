"""Waiting for EC2 to get somewhere, and for it to show what it has done.

EC2 shows changes late (EC2 API reference, "Eventual consistency"): a volume that was just created
may be missing for a while. None of the waiters of boto3 is used. They look at the state of the
volume where that of the attachment counts, go on for ten minutes when a volume is in the state
``error``, and cannot be cancelled.
"""

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

_TOO_EARLY: Final = "EC2 does not show it, and it is too early to be sure"


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
    look: Callable[[], T | None],
    deadline: Deadline,
    operation: str,
    subject: str,
    *,
    seconds: float = SETTLE,
    cause: CloudcryptError | None = None,
) -> T | None:
    """Return what ``look`` returns, looking for ``seconds`` if that is None: then None is certain.

    Raises:
        OperationPending: the deadline ended before; from ``cause``, and with its answer.
        OperationCancelled: the caller cancelled.
        CloudcryptError: as ``look`` raises.
    """
    end = deadline.clock.monotonic() + seconds
    brief = Deadline(min(end, deadline.end), deadline.clock, deadline.cancellation)
    steps = brief.steps(FIRST, FACTOR, LONGEST)
    while True:
        seen = look()
        if seen is not None:
            return seen
        if not steps.again():
            break
    if deadline.end < end:
        answer = None if cause is None else cause.answer
        raise OperationPending(operation, subject, _TOO_EARLY, answer=answer) from cause
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
