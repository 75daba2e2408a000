"""Scrubbing: every tag of a volume is verified, and what does not verify is listed."""

from collections.abc import Callable

import attrs

from cloudcrypt.integrity.engine import IntegrityEngine
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt.profiles import SECTOR_SIZE

LISTED = 1000
"""Sectors that a report lists at most; all are counted."""


@attrs.frozen
class ScrubReport:
    """What a scrub found: ``refused`` counts the sectors whose tags do not verify."""

    sectors: int
    refused: int
    listed: tuple[int, ...]

    @property
    def is_clean(self) -> bool:
        """Whether every tag verified."""
        return self.refused == 0


def scrub(engine: IntegrityEngine, progress: Callable[[int], None]) -> ScrubReport:
    """Verify every tag of a volume, the replayed journal included; nothing is written.

    Args:
        engine: of the volume; may be in use.
        progress: is told of every so many bytes done.

    Raises:
        DeviceIOError: the device failed.
    """
    total, refused, listed = engine.size // SECTOR_SIZE, 0, list[int]()
    step = RUN_SIZE // SECTOR_SIZE
    for first in range(0, total, step):
        count = min(step, total - first)
        found = engine.verify(first, count)
        refused += len(found)
        listed += found[: LISTED - len(listed)]
        progress(count * SECTOR_SIZE)
    return ScrubReport(total, refused, tuple(listed))
