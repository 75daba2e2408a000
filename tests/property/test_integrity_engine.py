"""A payload with integrity behaves as a plain file; a changed bit is an error, never other data."""

import functools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcrypt.errors import IntegrityError
from cloudcrypt.integrity.geometry import JOURNAL_OFFSET, SECTION_SIZE, SUPERBLOCK_OFFSET
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt_testing.disks import MemoryDisk
from tests.unit.protected import (
    Protected,
    capacity_for,
    everything,
    file_of,
    filled,
    flip,
    on_device,
    protected,
    sectors_of,
)

SECTOR = 4096
RUN = 4096 * SECTOR
SMALL = 100 * SECTOR


@functools.cache
def two_runs(sections: int) -> Protected:
    """Return a volume of one run and 70 sectors."""
    return on_device(
        capacity_for(sections=sections, sectors=4096) + 32 * SECTOR + 70 * SECTOR, sections
    )


@functools.cache
def noise(number: int) -> bytes:
    return bytes((number * 31 + index * 7) % 251 + 1 for index in range(2 * SECTOR)) * 20


def near(edges: list[int], largest: int) -> st.SearchStrategy[int]:
    around = [edge + delta for edge in edges for delta in range(-3, 4)]
    return st.sampled_from([offset for offset in around if 0 <= offset <= largest]) | st.integers(
        0, largest
    )


LENGTHS = near([0, SECTOR, 2 * SECTOR, 33 * SECTOR], 40 * SECTOR)
KINDS = st.sampled_from(["read", "write", "write", "write", "flush", "reopen", "crash"])


def run(it: Protected, base: int, size: int, operations: list[tuple[str, int, int]]) -> None:
    """Do the operations from byte ``base`` of the payload on, and on a bytearray beside it."""
    disk = it.disk.copy()
    engine = it.engine(disk)
    file = file_of(engine)
    model = bytearray(file.pread(base, size))
    for number, (kind, offset, length) in enumerate(operations):
        match kind:
            case "read":
                assert model[offset : offset + length] == file.pread(
                    base + offset, min(length, size - offset)
                )
            case "write":
                content = noise(number)[: min(length, size - offset)]
                file.pwrite(base + offset, content)
                model[offset : offset + len(content)] = content
            case "flush":
                file.flush()
            case _:
                if kind == "reopen":
                    engine.close()
                    assert it.is_clean(disk)
                else:  # the process ends after a flush; what it had open is gone
                    file.flush()
                    reader = file_of(it.engine(disk, writable=False), writable=False)
                    assert model == reader.pread(base, size)
                engine = it.engine(disk)
                file = file_of(engine)
    assert model == file.pread(base, size)
    engine.close()
    assert it.is_clean(disk)
    assert model == file_of(it.engine(disk, writable=False)).pread(base, size)


@settings(max_examples=80)
@given(
    st.sampled_from([1, 2, 3]),
    st.lists(st.tuples(KINDS, near([0, SECTOR, 32 * SECTOR, SMALL], SMALL), LENGTHS), max_size=12),
)
def test_random_reads_and_writes_equal_a_plain_file(
    sections: int, operations: list[tuple[str, int, int]]
) -> None:
    run(protected(sections=sections, sectors=100), 0, SMALL, operations)


@settings(max_examples=25)
@given(
    st.sampled_from([1, 2, 3]),
    st.lists(st.tuples(KINDS, near([0, 30 * SECTOR], 60 * SECTOR), LENGTHS), max_size=8),
)
def test_the_border_of_two_runs_makes_no_difference(
    sections: int, operations: list[tuple[str, int, int]]
) -> None:
    # The window is from 30 sectors before the border to 30 after it.
    run(two_runs(sections), RUN - 30 * SECTOR, 60 * SECTOR, operations)


@settings(max_examples=10)
@given(st.integers(0, 3), st.integers(-3, 3))
def test_more_than_a_run_of_the_engine_is_read_and_written_at_once(start: int, more: int) -> None:
    it = protected(sections=2, sectors=300)
    engine = it.engine(it.disk.copy())
    file, content = file_of(engine), (noise(5) * 8)[: RUN_SIZE + 4096 + more]
    file.pwrite(start, content)
    assert content == file.pread(start, len(content))
    engine.close()
    assert content == file.pread(start, len(content))


# --- a changed bit ---

VERSIONS = 3
SECTORS = 12


@functools.cache
def in_use() -> tuple[Protected, MemoryDisk, list[bytes], list[set[bytes]]]:
    """Return a volume whose journal is live, what it holds, and what each sector ever held."""
    it = protected(sections=3, sectors=SECTORS)
    disk = it.disk.copy()
    current = sectors_of(it.content(disk))
    ever = [{content} for content in current]
    file = file_of(it.engine(disk))
    for version in range(VERSIONS):
        for sector, count in ((version, 3), (7, 2)):
            contents = sectors_of(filled(version * 10 + sector, count))
            file.pwrite(sector * SECTOR, b"".join(contents))
            for index, content in enumerate(contents, sector):
                current[index] = content
                ever[index].add(content)
        file.flush()
    assert current == sectors_of(it.content(disk))
    return it, disk, current, ever


def outcome(it: Protected, disk: MemoryDisk, *, writable: bool) -> list[bytes | None]:
    """Return what each sector reads as; None is a refusal, of it or of the whole volume."""
    try:
        engine = it.engine(disk, writable=writable)
    except IntegrityError:
        return [None] * SECTORS
    found: list[bytes | None] = []
    buffer = memoryview(bytearray(SECTOR + 15))
    for sector in range(SECTORS):
        try:
            engine.read(sector * SECTOR, SECTOR, buffer)
        except IntegrityError:
            found.append(None)
        else:
            found.append(bytes(buffer[:SECTOR]))
    return found


def offsets(it: Protected) -> st.SearchStrategy[int]:
    """Draw a byte of the superblock, of the journal, of a tag or of data."""
    data = it.geometry.data_offset(0)
    parts: list[Callable[[], st.SearchStrategy[int]]] = [
        lambda: st.integers(SUPERBLOCK_OFFSET, SUPERBLOCK_OFFSET + SECTOR - 1),
        lambda: st.integers(JOURNAL_OFFSET, JOURNAL_OFFSET + 3 * SECTION_SIZE - 1),
        lambda: st.integers(0, 2).flatmap(  # the entries, where most of the meaning is
            lambda section: st.integers(0, SECTOR - 1).map(
                lambda at: it.geometry.section_offset(section) + at
            )
        ),
        lambda: st.integers(it.geometry.tag_offset(0), it.geometry.tag_offset(SECTORS) - 1),
        lambda: st.integers(data, data + SECTORS * SECTOR - 1),
    ]
    return st.one_of(*(part() for part in parts))


@settings(max_examples=400)
@given(data=st.data(), bit=st.integers(0, 7), writable=st.booleans())
def test_a_changed_bit_is_an_error_or_a_genuine_content_and_never_another_one(
    data: st.DataObject, bit: int, *, writable: bool
) -> None:
    it, genuine, current, ever = in_use()
    offset = data.draw(offsets(it))
    disk = genuine.copy()
    flip(disk, offset, bit)
    found = outcome(it, disk, writable=writable)
    for sector, content in enumerate(found):
        assert content is None or content in ever[sector]
    in_journal = JOURNAL_OFFSET <= offset < JOURNAL_OFFSET + 3 * SECTION_SIZE
    if not in_journal:  # then it is also the newest one
        assert all(content in (None, now) for content, now in zip(found, current, strict=True))


@settings(max_examples=200)
@given(st.data(), st.integers(0, 7))
def test_a_changed_bit_of_a_closed_volume_is_an_error_of_exactly_its_sector(
    data: st.DataObject, bit: int
) -> None:
    it, genuine, current, _ = in_use()
    disk = genuine.copy()
    it.engine(disk).close()
    data_at, tag_at = it.geometry.data_offset(0), it.geometry.tag_offset(0)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, SECTORS * SECTOR - 1))
        offset, sector = data_at + at, at // SECTOR
    else:
        at = data.draw(st.integers(0, SECTORS * 32 - 1))
        offset, sector = tag_at + at, at // 32
    flip(disk, offset, bit)
    expected: list[bytes | None] = [*current[:sector], None, *current[sector + 1 :]]
    assert expected == outcome(it, disk, writable=True)
    with pytest.raises(IntegrityError, match=f"sector {sector} does not verify"):
        everything(it.engine(disk))
