"""The moments at which the power may go in a recorded life of a volume, and what is then known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from cloudcrypt.ledger import Record
from cloudcrypt.ledger.sqlite import _from_json
from cloudcrypt.model import Mode
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.vm.writelog import CrashState, Entry, WriteLog
from tests.kernel.guest.power_recording import GROWN, MARK, MARKS, SIZE


@attrs.frozen
class Step:
    """What is so from one mark to the next, whatever was written by then."""

    what: str
    """What has happened last."""
    count: int
    """How many entries of the log, marks left out, are from before it."""
    size: int
    """Bytes of the disk."""
    stored: str | None = attrs.field(repr=False)
    """What the ledger says, in the form in which it is stored."""
    files: dict[str, list[int]]
    """Which versions of each file a crash may leave."""

    @property
    def record(self) -> Record | None:
        """What the ledger says."""
        return None if self.stored is None else _from_json(self.stored)


@attrs.frozen
class Moment:
    """A moment at which the power goes."""

    mode: Mode
    step: Step
    state: CrashState

    def disk(self) -> MemoryDisk:
        """Return what the disk has then; a copy."""
        disk = self.state.disk.copy()
        disk._size = self.step.size  # it was that size, and nothing is beyond
        return disk

    def __str__(self) -> str:
        lost = f" without {self.state.lost}" if self.state.lost else ""
        where = f"{self.mode.value}, after {self.state.count} entries{lost}"
        return f"{where}, {self.step.what!r} being the last step"


@attrs.frozen
class Recording:
    """A life of a volume: all that was written to its disk, and its steps."""

    mode: Mode
    log: WriteLog
    steps: list[Step]

    @classmethod
    def read(cls, mode: Mode, path: Path, lived: list[list[dict[str, Any]]]) -> "Recording":
        """Read the log in ``path``; ``lived`` are the steps before the disk grew, and after."""
        log = WriteLog.read(path)
        entries: list[Entry] = []
        counts: list[int] = []
        for entry in log.entries:
            if not _is_mark(entry):
                entries.append(entry)
            else:
                assert entry.offset == MARKS + MARK * len(counts)
                counts.append(len(entries))
        noted = [(step, SIZE) for step in lived[0]] + [(step, GROWN) for step in lived[1]]
        steps = [
            Step(step["what"], count, size, step["record"], step["files"])
            for (step, size), count in zip(noted, counts, strict=True)
        ]
        return cls(mode, attrs.evolve(log, entries=tuple(entries)), steps)

    def prefixes(self) -> Iterator[Moment]:
        """Yield each moment at which all that was written so far is there."""
        for state in self.log.states(MemoryDisk(GROWN)):
            yield from self._moments(state, self._unchanged_until(state.count))

    def losses(self) -> Iterator[Moment]:
        """Yield moments at which some of what was not flushed is lost.

        They are those right before a flush, where most can be lost, and those right after a step,
        which what is lost must not belong to.
        """
        flushes = [number for number, entry in enumerate(self.log.entries) if entry.is_flush]
        ends = {*flushes, *(step.count for step in self.steps), len(self.log.entries)}
        for state in self.log.losses(MemoryDisk(GROWN), ends, most=3):
            yield from self._moments(state, state.count)

    def chosen(self, count: int) -> list[Moment]:
        """Return so many moments at which the ledger knows the volume, from all of its life.

        They are of different steps while there are enough. Every other one has lost something that
        was not flushed, where there was something to lose.
        """
        kinds = (self.prefixes, self.losses)
        places = [_places(moments()) for moments in kinds]
        known = [step for step in self.steps if step.stored is not None]
        wanted: dict[tuple[int, int], int] = {}
        for number in range(count):
            step = id(known[number * len(known) // count])
            kind = number % 2 if step in places[1] else 0
            those = places[kind][step]
            wanted[kind, those[number % len(those)]] = number
        found = [
            (wanted[kind, place], moment)
            for kind, moments in enumerate(kinds)
            for place, moment in enumerate(moments())
            if (kind, place) in wanted
        ]
        assert len(found) == count
        return [moment for _, moment in sorted(found, key=lambda each: each[0])]

    def _moments(self, state: CrashState, until: int) -> Iterator[Moment]:
        """Yield a state, which is the same ``until`` then, with each step that may be the last."""
        ends = [*(step.count for step in self.steps[1:]), len(self.log.entries)]
        for step, end in zip(self.steps, ends, strict=True):
            if step.count <= until and state.count <= end:
                yield Moment(self.mode, step, state)

    def _unchanged_until(self, count: int) -> int:
        """Return after how many entries the disk still is what it is after ``count``."""
        while count < len(self.log.entries) and not self.log.entries[count].length:
            count += 1
        return count


def _places(moments: Iterator[Moment]) -> dict[int, list[int]]:
    """Return the numbers of the moments of each step."""
    places: dict[int, list[int]] = {}
    for number, moment in enumerate(moments):
        places.setdefault(id(moment.step), []).append(number)
    return places


def _is_mark(entry: Entry) -> bool:
    return entry.length == MARK and MARKS <= entry.offset < MARKS + MARK * 2048
