"""The power goes at every write of an integrity volume: each sector is an old or the new one.

One run is recorded; what each crash leaves follows from its writes. On every wreck the volume is
read without writing, then opened for writing and closed, which is cut at every write again.
"""

import functools

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcrypt.errors import IntegrityError
from cloudcrypt.integrity.geometry import SECTION_SIZE
from cloudcrypt_testing.disks import MemoryDisk
from tests.unit.protected import (
    Protected,
    everything,
    file_of,
    filled,
    protected,
    sectors_of,
)
from tests.unit.shattered import LoggingDisk, Model, Wreck, Write, reordered, scattered, torn

SECTORS = 48

STEPS: tuple[tuple[int, int] | None, ...] = (
    (0, 3), None,
    (2, 2), None,
    (0, 36), None,  # two sections, or two batches
    (1, 1), (40, 2), (1, 2), None,
    (45, 3), None,
    (0, 1), None,
    (7, 1), (3, 3),
)  # fmt: skip
"""Sector and count of each write; None is a flush. What comes last is flushed by closing."""

VOLUMES = (1, 2, 5)
each_volume = pytest.mark.parametrize("sections", VOLUMES)


@attrs.frozen
class Run:
    """A run that was not cut: the disk before it, and what it wrote."""

    it: Protected
    start: MemoryDisk
    groups: list[list[Write]]


@functools.cache
def recorded(sections: int) -> Run:
    """Do all steps once, on a volume whose ring is in use, and close it."""
    it = protected(sections=sections, sectors=SECTORS)
    start = it.disk.copy()
    for number in range(3):  # the ring goes on from somewhere
        engine = it.engine(start)
        file_of(engine).pwrite(number * 4096, filled(900 + number))
        engine.close()
    model = Model(sectors_of(it.content(start)))
    disk = LoggingDisk(start.copy(), model)
    engine = it.engine(disk)
    file = file_of(engine)
    for number, step in enumerate(STEPS):
        if step is None:
            file.flush()
            model.flushed()
            continue
        sector, count = step
        content = filled(number + 1, count)
        model.write(sector, sectors_of(content))
        file.pwrite(sector * 4096, content)
    engine.close()
    model.flushed()
    assert model.current == sectors_of(it.content(disk))
    return Run(it, start, disk.groups)


def check(it: Protected, wreck: Wreck) -> list[bytes]:
    """Read a wreck without writing; every sector must verify, and be one that is allowed."""
    found = sectors_of(it.content(wreck.disk))
    wrong = [i for i, content in enumerate(found) if content not in wreck.allowed[i]]
    assert not wrong, wreck.what
    return found


def repair(it: Protected, wreck: Wreck, found: list[bytes]) -> tuple[MemoryDisk, list[list[Write]]]:
    """Open a wreck for writing, and close it: the same content, and an empty ring."""
    disk = LoggingDisk(wreck.disk.copy(), Model(found))
    engine = it.engine(disk)
    assert found == sectors_of(everything(engine)), wreck.what
    engine.close()
    assert it.is_clean(disk), wreck.what
    assert found == sectors_of(it.content(disk)), wreck.what
    return wreck.disk, disk.groups


TORN = {1: 298, 2: 308, 5: 320}
"""How many wrecks there are if each write is torn at each place."""

REORDERED = {1: 105, 2: 188, 5: 217}
"""How many there are if any of the writes between two flushes have arrived."""


@each_volume
def test_after_a_crash_at_any_write_every_sector_is_an_old_or_the_new_one(sections: int) -> None:
    run, tried = recorded(sections), 0
    for wreck in torn(run.start, run.groups):
        repair(run.it, wreck, check(run.it, wreck))
        tried += 1
    assert TORN[sections] == tried


@each_volume
def test_whichever_writes_had_arrived_every_sector_is_an_old_or_the_new_one(sections: int) -> None:
    run, tried = recorded(sections), 0
    for wreck in reordered(run.start, run.groups):
        repair(run.it, wreck, check(run.it, wreck))
        tried += 1
    assert REORDERED[sections] == tried


@given(st.sampled_from(VOLUMES), st.data())
@settings(max_examples=200)
def test_whichever_units_had_arrived_every_sector_is_an_old_or_the_new_one(
    sections: int, data: st.DataObject
) -> None:
    run = recorded(sections)
    numbers = [number for number, group in enumerate(run.groups) if group]
    number, seed = data.draw(st.sampled_from(numbers)), data.draw(st.integers(0, 2**32))
    wreck = scattered(run.start, run.groups, number, seed)
    repair(run.it, wreck, check(run.it, wreck))


TWICE = {1: 602, 2: 1788, 5: 5100}
"""How many pairs of crashes there are: at a write, and at a write of what puts that right."""


@each_volume
def test_a_second_crash_while_the_first_is_put_right_changes_nothing(sections: int) -> None:
    run, tried = recorded(sections), 0
    seen: set[tuple[tuple[int, bytes], ...]] = set()
    for wreck in torn(run.start, run.groups):
        if not wreck.is_kept:
            continue
        found = check(run.it, wreck)
        start, groups = repair(run.it, wreck, found)
        writes = tuple((w.offset, w.content) for group in groups for w in group)
        if not writes or writes in seen:
            continue
        seen.add(writes)
        for again in torn(start, groups):
            if again.is_kept and again.tear != 4096:
                continue
            assert found == check(run.it, again), (wreck.what, again.what)
            tried += 1
    assert TWICE[sections] == tried


def test_after_a_crash_writing_goes_on_and_may_crash_again() -> None:
    run = recorded(5)
    for wreck in reordered(run.start, run.groups[:6]):
        found = check(run.it, wreck)
        model = Model(found)
        disk = LoggingDisk(wreck.disk.copy(), model)
        engine = run.it.engine(disk)
        file = file_of(engine)
        first = len(disk.groups) - 1
        start = wreck.disk.copy()
        for group in disk.groups[:first]:
            for write in group:
                start.write(write.offset, write.content)
        model.write(10, [filled(77)])
        file.pwrite(10 * 4096, filled(77))
        file.flush()
        for second in reordered(start, disk.groups[first:]):
            check(run.it, second)


@each_volume
def test_a_medium_that_tears_a_unit_of_the_journal_is_refused_or_read_right(sections: int) -> None:
    # dm-integrity relies on 512 bytes to arrive whole; where they do not, an entry may be damaged
    # below a commit id that is right. That is an error then, or an earlier content, no other one.
    run, outcomes = recorded(sections), set[str]()
    ever = [frozenset[bytes]()] * SECTORS
    durable = run.start.copy()
    for group in run.groups:
        for write in group:
            ever = [a | b for a, b in zip(ever, write.allowed, strict=True)]
            if len(write.content) == SECTION_SIZE:
                for tear in (1, 8, 100, 511):
                    disk = durable.copy()
                    disk.write(write.offset, write.content[:tear])
                    outcomes.add(outcome(run.it, disk, ever))
            durable.write(write.offset, write.content)
    assert outcomes <= {"read", "SectorRefused", "JournalRefused"}
    assert "SectorRefused" in outcomes


def outcome(it: Protected, disk: MemoryDisk, ever: list[frozenset[bytes]]) -> str:
    """Return how reading a disk ends; what is returned must once have been there."""
    try:
        found = sectors_of(it.content(disk))
    except IntegrityError as refusal:
        return type(refusal).__name__
    assert all(content in ever[index] for index, content in enumerate(found))
    return "read"
