"""What was seen before something is asked for, and whether it is still so when that has its turn.

Azure's API goes by names, which are used again. Whoever waits for its turn, for a minute if Azure
says so, must not delete, grow, attach or write over what has the name by then.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import attrs

from cloudcrypt.waiting import Clock

T_co = TypeVar("T_co", covariant=True)

FRESH: Final = 1.0
"""Seconds after which a look is too old to write by. A look and a request take some tenths."""


@attrs.frozen
class Sight(Generic[T_co]):
    """What a look has ``seen`` that began at ``began``, in seconds of the clock."""

    seen: T_co
    began: float
    _look: Callable[[], T_co]
    _clock: Clock

    @classmethod
    def of(cls, look: Callable[[], T_co], clock: Clock) -> "Sight[T_co]":
        """Look."""
        began = clock.monotonic()
        return cls(look(), began, look, clock)

    def is_true(self) -> bool:
        """Say whether it is still so; looks again if the look is not fresh."""
        return self._clock.monotonic() - self.began < FRESH or self._look() == self.seen
