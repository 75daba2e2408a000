"""Looking at a cloud until it shows what was asked of it, or until it is sure that it does not.

A cloud accepts a request and gets there later; and what it has done it may show later still. How
late, each adapter says; how one waits for it is the same for all.
"""

from collections.abc import Callable
from typing import TypeVar

import attrs

from cloudcrypt.errors import CloudcryptError, OperationPending
from cloudcrypt.waiting import Clock, Deadline

T = TypeVar("T")


@attrs.frozen
class Still:
    """Not there yet: the state that it is in, and what to raise if that does not change."""

    state: str
    error: CloudcryptError | None = None


@attrs.define
class Missing:
    """Since when something that ought to be there is not shown, to one caller who waits for it.

    ``grace`` is the seconds after which it is gone for good.
    """

    _clock: Clock
    _grace: float
    _since: float | None = attrs.field(default=None, init=False)

    def is_over(self) -> bool:
        """Say whether it has been missing, from the first call on, for longer than the grace."""
        now = self._clock.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since >= self._grace

    def found(self) -> None:
        """Record that it is there."""
        self._since = None


@attrs.frozen
class Looks:
    """How often one cloud is looked at, and for how long; all in seconds.

    The pause between two looks is ``first``, then ``factor`` times as long each, ``longest`` at
    most. ``settle`` is after how long a request shows that was answered to nobody, if it was done;
    ``cloud`` is what the cloud is called.
    """

    cloud: str
    first: float
    factor: float
    longest: float
    settle: float

    def until(
        self, look: Callable[[], T | Still], deadline: Deadline, operation: str, subject: str
    ) -> T:
        """Return what ``look`` returns once that is not `Still`; looks at least once.

        Raises:
            OperationPending: it is still the same at the deadline; or the error that it brings.
            OperationCancelled: the caller cancelled.
            CloudcryptError: as ``look`` raises.
        """
        steps = deadline.steps(self.first, self.factor, self.longest)
        while True:
            seen = look()
            if not isinstance(seen, Still):
                return seen
            if not steps.again():
                raise seen.error or OperationPending(operation, subject, seen.state)

    def settled(
        self,
        look: Callable[[], T | None],
        deadline: Deadline,
        operation: str,
        subject: str,
        *,
        seconds: float | None = None,
        cause: CloudcryptError | None = None,
    ) -> T | None:
        """Return what ``look`` returns; None is certain, for it was looked for long enough.

        Args:
            look: asks the cloud.
            deadline: until when to look.
            operation: what an error names.
            subject: what an error names, too.
            seconds: for how long; ``settle`` if None.
            cause: why it is looked for at all.

        Raises:
            OperationPending: the deadline ended before; from ``cause``, and with its answer.
            OperationCancelled: the caller cancelled.
            CloudcryptError: as ``look`` raises.
        """
        end = deadline.clock.monotonic() + (self.settle if seconds is None else seconds)
        brief = Deadline(min(end, deadline.end), deadline.clock, deadline.cancellation)
        steps = brief.steps(self.first, self.factor, self.longest)
        while True:
            seen = look()
            if seen is not None:
                return seen
            if not steps.again():
                break
        if deadline.end < end:
            answer = None if cause is None else cause.answer
            state = f"{self.cloud} does not show it, and it is too early to be sure"
            raise OperationPending(operation, subject, state, answer=answer) from cause
        return None
