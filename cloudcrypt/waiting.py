"""Deadlines, cancellation, and the one policy by which requests to a cloud are tried again.

Time is an argument: whatever waits does so on a `Clock`, so that tests need not.
"""

import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, Protocol, Self, TypeVar

import attrs
import tenacity

from cloudcrypt.errors import CloudcryptError, OperationCancelled, Throttled

T = TypeVar("T")

PATIENCE: Final = 300.0
"""Seconds that an operation may take where the caller says nothing: EC2's own waiters give up
after 600, and the slowest state change in the CSI drivers' measurements takes minutes, not more."""


class Clock(Protocol):
    """The time, and waiting for it to pass."""

    def monotonic(self) -> float:
        """Return seconds since some moment; never goes back."""
        ...

    def now(self) -> datetime:
        """Return the time of day, aware and in UTC."""
        ...

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Return after ``seconds``, or as soon as ``wake`` is set."""
        ...


class SystemClock:
    """The clock of this host."""

    def monotonic(self) -> float:
        """Return `time.monotonic`."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Sleep, or wait for ``wake``."""
        if wake is None:
            time.sleep(max(0.0, seconds))
        else:
            wake.wait(max(0.0, seconds))


SYSTEM_CLOCK: Final = SystemClock()


@attrs.frozen
class Cancellation:
    """What a caller holds on to in order to give up a wait from another thread."""

    _event: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    _others: list[threading.Event] = attrs.field(
        factory=list[threading.Event], init=False, repr=False, eq=False
    )

    def cancel(self) -> None:
        """Wake everybody who waits under this cancellation. Idempotent."""
        self._event.set()
        for other in tuple(self._others):
            other.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    @property
    def event(self) -> threading.Event:
        """What a clock waits for."""
        return self._event

    @contextmanager
    def setting(self, event: threading.Event) -> Generator[None]:
        """Within the block, set ``event`` too: for who waits for something else as well."""
        self._others.append(event)  # before the look below: `cancel` does these in the other order
        try:
            if self.is_cancelled:
                event.set()
            yield
        finally:
            self._others.remove(event)


@attrs.frozen
class Deadline:
    """Until when a caller waits, on which clock, and how it can give up before.

    ``end`` is in seconds of ``clock.monotonic()``.
    """

    end: float
    clock: Clock = SYSTEM_CLOCK
    cancellation: Cancellation | None = None

    @classmethod
    def after(
        cls,
        seconds: float = PATIENCE,
        *,
        clock: Clock = SYSTEM_CLOCK,
        cancellation: Cancellation | None = None,
    ) -> Self:
        """Return the deadline in ``seconds`` from now; ``math.inf`` never passes."""
        return cls(clock.monotonic() + seconds, clock, cancellation)

    @property
    def remaining(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self.end - self.clock.monotonic())

    @property
    def has_passed(self) -> bool:
        """Whether no time is left."""
        return self.remaining <= 0

    def check(self) -> None:
        """Return unless the caller has cancelled.

        Raises:
            OperationCancelled: it has.
        """
        if self.cancellation is not None and self.cancellation.is_cancelled:
            raise OperationCancelled

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        """Sleep ``seconds``, but not beyond the end, and only until ``wake`` is set.

        Raises:
            OperationCancelled: the caller cancelled, before or meanwhile.
        """
        self.check()
        if self.cancellation is None:
            self.clock.sleep(min(seconds, self.remaining), wake)
        elif wake is None:
            self.clock.sleep(min(seconds, self.remaining), self.cancellation.event)
        else:
            with self.cancellation.setting(wake):
                self.clock.sleep(min(seconds, self.remaining), wake)
        self.check()

    def steps(self, first: float = 0.5, factor: float = 1.5, longest: float = 10.0) -> "Steps":
        """Return pauses between two looks at something that changes, of growing length."""
        return Steps(self, first, factor, longest)


@attrs.define
class Steps:
    """Pauses of growing length, until a deadline: ``while steps.again(): look()``."""

    _deadline: Deadline
    _pause: float
    _factor: float
    _longest: float

    def again(self) -> bool:
        """Pause and return True, or return False if the deadline has passed.

        Raises:
            OperationCancelled: the caller cancelled.
        """
        self._deadline.check()
        if self._deadline.has_passed:
            return False
        self._deadline.sleep(self._pause)
        self._pause = min(self._pause * self._factor, self._longest)
        return True


RETRY_FIRST: Final = 0.25
"""Seconds of the first pause at most, before jitter."""

RETRY_LONGEST: Final = 20.0
"""Seconds of any pause at most, as botocore has it."""


def retrying(
    attempt: Callable[[], T],
    *,
    deadline: Deadline,
    is_safe: Callable[[CloudcryptError], bool] = lambda error: error.retryable,
) -> T:
    """Return what ``attempt`` returns, trying again while that helps. The one retry policy.

    The pause before the n-th new attempt is random, at most ``RETRY_FIRST * 2**n`` and
    `RETRY_LONGEST` seconds ("full jitter"), and at least what the cloud said in ``retry_after``.

    Args:
        attempt: one request.
        deadline: no attempt is made after it; the first is made in any case.
        is_safe: whether an error allows another attempt; retryable ones do by default.

    Raises:
        CloudcryptError: the error of the last attempt, as it was raised.
        OperationCancelled: the caller cancelled.
    """
    jitter = tenacity.wait_random_exponential(multiplier=RETRY_FIRST, max=RETRY_LONGEST)

    def pause(state: tenacity.RetryCallState) -> float:
        error = None if state.outcome is None else state.outcome.exception()
        told = error.retry_after if isinstance(error, CloudcryptError) else None
        return max(jitter(state), told or 0.0)

    policy = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, CloudcryptError) and is_safe(error)
        ),
        stop=lambda state: state.upcoming_sleep >= deadline.remaining,
        wait=pause,
        sleep=deadline.sleep,
        reraise=True,
    )
    deadline.check()
    return policy(attempt)


class TokenBucket:
    """The rate at which one family of requests is sent: learnt from what the cloud throttles.

    It lets everything pass until the cloud throttles. Then the rate is what got through lately,
    reduced; it grows again with each success, and is off when nothing was throttled for a while.
    Thread-safe: all callers of one account and region should share one.
    """

    REDUCTION: Final = 0.7
    """What a throttled request leaves of the rate, as TCP CUBIC and botocore have it."""
    GROWTH: Final = 0.5
    """Requests a second that each second without throttling adds."""
    FORGETTING: Final = 60.0
    """Seconds without throttling after which there is no limit any more."""
    WINDOW: Final = 5.0
    """Seconds over which the rate of what gets through is measured."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        """Start without a limit."""
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = math.inf
        self._next = -math.inf
        self._throttled = -math.inf
        self._sent: list[float] = []

    @property
    def rate(self) -> float:
        """Requests a second; infinite while nothing was throttled."""
        with self._lock:
            return self._rate_now(self._clock.monotonic())

    def take(self, deadline: Deadline) -> None:
        """Wait for the turn of one request.

        Raises:
            Throttled: it is not before the deadline; nothing was sent.
            OperationCancelled: the caller cancelled.
        """
        with self._lock:
            now = self._clock.monotonic()
            rate = self._rate_now(now)
            turn = now if rate == math.inf else max(now, self._next)
            if turn > max(now, deadline.end):
                raise Throttled("requests, by the rate learnt from the cloud")
            if rate != math.inf:
                self._next = turn + 1 / rate
            self._sent = [*(at for at in self._sent if at > now - self.WINDOW), now]
        if turn > now:
            deadline.sleep(turn - now)

    def throttled(self) -> None:
        """Record that the cloud throttled a request."""
        with self._lock:
            now = self._clock.monotonic()
            lately = sum(at > now - self.WINDOW for at in self._sent) / self.WINDOW
            self._rate = max(0.5, min(self._rate_now(now), lately) * self.REDUCTION)
            self._throttled = now
            self._next = max(self._next, now + 1 / self._rate)

    def _rate_now(self, now: float) -> float:
        quiet = now - self._throttled
        if quiet > self.FORGETTING:
            return math.inf
        return self._rate + quiet * self.GROWTH
