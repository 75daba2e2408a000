"""Who made a disk, where two hosts create one name at the same moment.

A PUT on a disk that exists gives it the tags of the second writer, its maker with them. So whoever
has written waits before it reads who the maker is, and whoever was slow to write is not believed:

- between a look that showed nothing and the answer to the PUT are less than `CONTEST` seconds, or
  the writer does not count as the maker;
- from the answer to the PUT until the maker is read there are at least as many.

Let one host have read itself as the maker. Every PUT that comes later is by a host that looked when
the disk was there already, or by one that was slow: no other host takes itself for the maker, too.

A look may be older than it seems. So each disk has in its tags when its name was free, by Azure's
clock, and who wrote to one that is older than that does not count either (`_tags.maker_of`).
"""

from time import monotonic
from typing import Final, Self

import attrs

from cloudcrypt.waiting import Clock
from cloudcrypt_azure._ids import Reference
from cloudcrypt_azure._records import DiskRecord

CONTEST: Final = 4.0
"""Seconds. To look and to write take one or two, to create a disk nearly as long as this anyway."""
_RECENT: Final = 60.0
"""Seconds; a disk that is older, by whatever clock, is not contested any more."""


@attrs.frozen
class Stopwatch:
    """How long something takes: on the clock of the provider, and really."""

    clock: Clock
    began: float
    really: float

    @classmethod
    def start(cls, clock: Clock) -> Self:
        """Begin now."""
        return cls(clock, clock.monotonic(), monotonic())

    @property
    def seconds(self) -> float:
        """How long it has been on the clock."""
        return self.clock.monotonic() - self.began

    @property
    def is_slow(self) -> bool:
        """Whether a PUT that is answered now may have come when another maker was told."""
        return self.seconds >= CONTEST

    @property
    def is_late(self) -> bool:
        """Whether it `is_slow` for sure: a clock that others move may say more than has passed."""
        return self.is_slow and monotonic() - self.really >= CONTEST


def is_late(asked: Reference, record: DiskRecord) -> bool:
    """Say whether this host wrote so late that another one may have been told to be the maker.

    What only the clock says is doubted: it was early enough if the disk was not that old. What
    Azure says of both, when it made the disk and when it answered, is not; it says whole seconds.
    """
    made = record.created.timestamp()
    if asked.answered is not None and asked.answered + 1 > made + CONTEST:
        return True
    was_old = asked.time is not None and asked.time >= made + CONTEST
    return asked.is_late or (asked.is_slow and was_old)


def is_open(asked: Reference, record: DiskRecord, waited: Stopwatch) -> bool:
    """Say whether it is too early to read who made a disk.

    Args:
        asked: has the time when this host wrote it, if that is known.
        record: the disk.
        waited: how long this host has been looking at it.
    """
    if waited.seconds >= CONTEST:  # whatever the time of day says, which may have been set
        return False
    now = waited.clock.now()
    if asked.time is not None:
        return now.timestamp() < asked.time + CONTEST
    return abs((now - record.created).total_seconds()) < _RECENT
