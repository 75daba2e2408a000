"""How often a caller may ask, and all callers together: token buckets."""

import threading
from collections import OrderedDict
from typing import final

import attrs

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock

ACCOUNTS = 4096
"""Callers that are counted apart; beyond, the ones that were silent longest are forgotten."""

QUIET = 1.0
"""Seconds between two lines of the log about calls of one caller beyond its rate."""


def _positive(_: object, field: "attrs.Attribute[float]", value: float) -> None:
    if not 0 < value <= 1e9:
        raise InvalidRequest(field.name.replace("_", " "), value, "above 0, to 10^9 calls a second")


@attrs.frozen
class Limits:
    """Calls a second of one caller and of all, on average; twice as many may come in a burst.

    A node asks once for each volume that it opens; the defaults leave room for all of them after a
    restart, and keep one caller from taking the time of the others.
    """

    per_caller: float = attrs.field(default=100.0, validator=_positive)
    in_total: float = attrs.field(default=1000.0, validator=_positive)


@attrs.frozen
class Excess:
    """A call beyond the rate: it may be made in ``wait`` seconds.

    ``unlogged`` is how many came before without a line in the log, if this one is to have one.
    """

    wait: float
    unlogged: int | None


@attrs.define
class _Bucket:
    rate: float
    tokens: float
    at: float
    unlogged: int = 0
    logged_at: float | None = None

    def fill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now

    @property
    def burst(self) -> float:
        return max(1.0, 2 * self.rate)

    @property
    def wait(self) -> float:
        return max(0.0, (1 - self.tokens) / self.rate)


@final
class Limiter:
    """Admits calls, as many as the limits allow. Thread-safe."""

    def __init__(self, limits: Limits, clock: Clock = SYSTEM_CLOCK) -> None:
        """Begin with full buckets."""
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._total = self._new(limits.in_total)
        self._callers: OrderedDict[str, _Bucket] = OrderedDict()

    def admit(self, account: str) -> Excess | None:
        """Count one call of ``account``; return None if it may be made now."""
        with self._lock:
            now = self._clock.monotonic()
            own = self._bucket(account)
            for bucket in (own, self._total):
                bucket.fill(now)
            wait = max(own.wait, self._total.wait)
            if wait > 0:
                return Excess(wait, self._unlogged(own, now))
            for bucket in (own, self._total):
                bucket.tokens -= 1
            return None

    def _bucket(self, account: str) -> _Bucket:
        if account not in self._callers:
            self._callers[account] = self._new(self._limits.per_caller)
            if len(self._callers) > ACCOUNTS:
                self._callers.popitem(last=False)
        self._callers.move_to_end(account)
        return self._callers[account]

    def _new(self, rate: float) -> _Bucket:
        return _Bucket(rate, max(1.0, 2 * rate), self._clock.monotonic())

    @staticmethod
    def _unlogged(bucket: _Bucket, now: float) -> int | None:
        if bucket.logged_at is not None and now < bucket.logged_at + QUIET:
            bucket.unlogged += 1
            return None
        unlogged, bucket.unlogged, bucket.logged_at = bucket.unlogged, 0, now
        return unlogged
