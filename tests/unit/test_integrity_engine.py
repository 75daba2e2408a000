"""The engine: verified before it is decrypted, journaled before it is changed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudcrypt.disk import read
from cloudcrypt.errors import DeviceIOError, JournalRefused, SectorRefused, SuperblockRefused
from cloudcrypt.integrity import journal
from cloudcrypt.integrity.geometry import SECTION_SIZE, SUPERBLOCK_OFFSET
from cloudcrypt.integrity.scrub import LISTED, scrub
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt_testing.disks import FailingDisk, MemoryDisk, Operation, RecordingDisk
from tests.unit import integrity_facts as facts
from tests.unit.protected import (
    NAME,
    Protected,
    capacity_for,
    everything,
    file_of,
    filled,
    flip,
    on_device,
    protected,
    sectors_of,
    unlocked,
    volume_key,
)

SECTIONS = pytest.mark.parametrize("sections", [1, 2, 3, 5, 64])


def written(it: Protected, disk: MemoryDisk, sector: int, content: bytes) -> None:
    """Write whole sectors and close."""
    engine = it.engine(disk)
    file_of(engine).pwrite(sector * 4096, content)
    engine.close()


# --- what is written ---


@SECTIONS
def test_what_was_written_is_read_by_the_same_engine_and_by_the_next(sections: int) -> None:
    it = protected(sections=sections, sectors=300)
    disk = it.disk.copy()
    before = sectors_of(it.content(disk))
    engine = it.engine(disk)
    file = file_of(engine)
    expected = [*before[:17], *sectors_of(filled(7, 250)), *before[267:]]
    file.pwrite(17 * 4096, filled(7, 250))
    assert expected == sectors_of(everything(engine))
    file.flush()
    assert expected == sectors_of(everything(engine))
    assert expected == sectors_of(it.content(disk))
    engine.close()
    assert expected == sectors_of(it.content(disk))


def test_data_and_tags_are_those_of_the_formulas() -> None:
    it = protected(sections=2, sectors=40)
    disk = it.disk.copy()
    written(it, disk, 5, filled(1, 3))
    key = bytes(volume_key().reveal())
    for sector in (0, 5, 6, 7, 39):
        cipher = read(disk, facts.data_byte(sector, 2), 4096)
        assert facts.tag(key, sector, cipher) == read(disk, facts.tag_byte(sector, 2), 32)
    assert read(disk, facts.data_byte(4, 2), 4096) == bytes(4096)
    assert read(disk, facts.data_byte(5, 2), 4096) != filled(1)


def test_a_write_across_the_border_of_two_runs_is_two_writes() -> None:
    it = on_device(capacity_for(sections=3, sectors=4096) + 128 * 1024 + 8 * 4096, 3)
    assert it.geometry.sectors == 4104
    engine = it.engine(it.disk)
    file = file_of(engine)
    file.pwrite(4093 * 4096 + 1, filled(3, 6))
    for _ in range(2):
        assert filled(3, 6) == file.pread(4093 * 4096 + 1, 6 * 4096)
        engine.close()
    assert filled(3, 6) == file_of(it.engine(it.disk)).pread(4093 * 4096 + 1, 6 * 4096)
    assert scrub(it.engine(it.disk, writable=False), lambda _: None).is_clean


def test_more_than_the_ring_holds_goes_around_it() -> None:
    it = protected(sections=3, sectors=600)
    disk = RecordingDisk(it.disk.copy())
    engine = it.engine(disk)
    file_of(engine).pwrite(0, filled(1, 600))
    engine.close()
    assert sectors_of(filled(1, 600)) == sectors_of(it.content(disk))
    sections = [o for o in disk.operations if o.kind == "write" and o.length == SECTION_SIZE]
    assert 19 + 3 == len(sections)  # 600 sectors, 32 a section; and the ring is cleared
    assert {it.geometry.section_offset(i) for i in range(3)} == {o.offset for o in sections}


def test_a_batch_is_durable_in_the_journal_before_a_sector_changes() -> None:
    it = protected(sections=2, sectors=40)
    disk = RecordingDisk(it.disk.copy())
    engine = it.engine(disk)
    file = file_of(engine)
    disk.operations.clear()
    file.pwrite(3 * 4096, filled(1, 2))
    assert [] == [operation for operation in disk.operations if operation.kind != "read"]
    file.flush()
    assert [
        Operation("write", it.geometry.section_offset(0), SECTION_SIZE),
        Operation("sync"),
        Operation("write", it.geometry.data_offset(3), 2 * 4096),
        Operation("write", it.geometry.tag_offset(3), 2 * 32),
    ] == [operation for operation in disk.operations if operation.kind != "read"]


# --- closing ---


@SECTIONS
def test_a_closed_volume_has_an_empty_whole_ring(sections: int) -> None:
    it = protected(sections=sections, sectors=70)
    disk = it.disk.copy()
    for sector in (0, 33, 66):
        written(it, disk, sector, filled(sector, 2))
        found = journal.read(NAME, disk, it.geometry)
        assert ((), True, True) == (found.entries, found.whole, found.is_clean)
    assert b"".join(sectors_of(filled(33, 2))) == it.content(disk)[33 * 4096 : 35 * 4096]


def test_closing_what_was_not_written_writes_nothing() -> None:
    it = protected(sections=2)
    disk = RecordingDisk(it.disk.copy())
    engine = it.engine(disk)
    engine.close()
    engine.close()
    assert {"read"} == {operation.kind for operation in disk.operations}


def test_closing_twice_clears_the_ring_once() -> None:
    it = protected(sections=2)
    disk = RecordingDisk(it.disk.copy())
    engine = it.engine(disk)
    file_of(engine).pwrite(0, filled(1))
    engine.close()
    count = len(disk.operations)
    engine.close()
    assert count == len(disk.operations)


# --- reading ---


def test_a_reader_writes_nothing_whatever_the_journal_holds() -> None:
    it = protected(sections=2)
    disk = it.disk.copy()
    file = file_of(it.engine(disk))
    file.pwrite(0, filled(1, 3))
    file.flush()  # and the process is gone
    assert not it.is_clean(disk)
    watched = RecordingDisk(disk)
    assert filled(1, 3) == it.content(watched)[: 3 * 4096]
    assert {"read"} == {operation.kind for operation in watched.operations}


def test_an_entry_that_did_not_reach_its_place_is_read_from_the_journal() -> None:
    it = protected(sections=2)
    disk = it.disk.copy()
    file = file_of(it.engine(disk))
    file.pwrite(4 * 4096, filled(1))
    file.flush()
    for offset, length in ((it.geometry.data_offset(4), 4096), (it.geometry.tag_offset(4), 32)):
        disk.write(offset, read(it.disk, offset, length))  # as it was before
    assert filled(1) == it.content(disk)[4 * 4096 : 5 * 4096]
    it.engine(disk).close()  # a writer brings it to its place, and clears the ring
    assert it.is_clean(disk)
    assert filled(1) == it.content(disk)[4 * 4096 : 5 * 4096]


def test_no_byte_of_a_run_is_returned_if_one_sector_does_not_verify() -> None:
    it = protected(sections=1)
    disk = it.disk.copy()
    written(it, disk, 0, filled(9, 40))
    flip(disk, it.geometry.data_offset(39) + 4095, 7)
    buffer = memoryview(bytearray(b"\xa5" * (40 * 4096 + 15)))
    with pytest.raises(SectorRefused) as refusal:
        it.engine(disk, writable=False).read(0, 40 * 4096, buffer)
    assert (NAME, 39) == (refusal.value.volume, refusal.value.sector)
    assert b"\xa5" * (40 * 4096 + 15) == bytes(buffer)


def test_a_part_of_a_sector_that_does_not_verify_is_not_written() -> None:
    it = protected(sections=1)
    disk = it.disk.copy()
    flip(disk, it.geometry.tag_offset(2))
    before = disk.copy()
    engine = it.engine(disk)
    with pytest.raises(SectorRefused):
        file_of(engine).pwrite(2 * 4096 + 1, b"x")
    engine.close()
    assert all(
        read(before, begin, end - begin) == read(disk, begin, end - begin)
        for begin, end in disk.extents(0, disk.size)
    )
    written(it, disk, 2, filled(4))  # a whole sector gets a tag of its own
    assert filled(4) == it.content(disk)[2 * 4096 : 3 * 4096]


# --- failures ---


def failing_at(it: Protected, number: int, kind: str) -> tuple[FailingDisk, MemoryDisk]:
    """Return a disk whose ``number``-th write or sync fails, and the disk below."""
    below = it.disk.copy()
    count = 0

    def fails(operation: Operation) -> bool:
        nonlocal count
        count += operation.kind == kind
        return operation.kind == kind and count == number

    return FailingDisk(below, fails), below


@pytest.mark.parametrize(
    ("kind", "number"), [("write", 1), ("sync", 1), ("write", 2), ("write", 3)]
)
def test_a_write_that_failed_breaks_the_engine_until_it_is_opened_again(
    kind: str, number: int
) -> None:
    it = protected(sections=2)
    disk, below = failing_at(it, number, kind)
    old, new = it.content(below)[:4096], filled(1)
    engine = it.engine(disk)
    file = file_of(engine)
    file.pwrite(0, new)
    with pytest.raises(DeviceIOError, match="bad sector"):
        file.flush()
    for use in (file.flush, engine.close):
        with pytest.raises(DeviceIOError, match="an earlier write failed"):
            use()
    assert it.content(below)[:4096] in (old, new)
    it.engine(disk).close()
    assert it.is_clean(below)
    assert it.content(below)[:4096] in (old, new)
    assert it.content(below)[4096:] == it.content(it.disk)[4096:]


def test_a_flush_behind_that_failed_is_an_error_of_the_next_flush_and_breaks_the_engine() -> None:
    it = protected(sections=2, sectors=40)
    disk, below = failing_at(it, 1, "sync")
    engine = it.engine(disk)
    file = file_of(engine)
    file.pwrite(0, filled(1, 40))  # a batch of 32, and 8 that wait for the next one
    assert filled(1, 40) == file.pread(0, 40 * 4096)
    with pytest.raises(DeviceIOError, match="bad sector"):
        file.flush()
    for use in (file.flush, engine.close):
        with pytest.raises(DeviceIOError, match="an earlier write failed"):
            use()
    it.engine(below).close()
    found = sectors_of(it.content(below))
    pairs = zip(found, sectors_of(it.content(it.disk)), sectors_of(filled(1, 40)), strict=True)
    assert all(now in (old, new) for now, old, new in pairs)


def test_a_ring_is_not_cleared_once_the_flush_of_what_it_holds_has_failed() -> None:
    it = protected(sections=2)
    disk, below = failing_at(it, 2, "sync")
    engine = it.engine(disk)
    file = file_of(engine)
    file.pwrite(0, filled(1))
    file.flush()
    with pytest.raises(DeviceIOError, match="bad sector"):
        engine.close()
    for offset, length in ((it.geometry.data_offset(0), 4096), (it.geometry.tag_offset(0), 32)):
        below.write(offset, read(it.disk, offset, length))  # as the device lost it
    with pytest.raises(DeviceIOError, match="an earlier write failed"):
        engine.close()
    assert filled(1) == it.content(below)[:4096]


def test_clearing_the_ring_that_failed_is_done_by_closing_again() -> None:
    it = protected(sections=2)
    disk, below = failing_at(it, 4, "write")  # after journal, data and tag
    engine = it.engine(disk)
    file_of(engine).pwrite(0, filled(1))
    with pytest.raises(DeviceIOError, match="bad sector"):
        engine.close()
    engine.close()
    assert it.is_clean(below)
    assert filled(1) == it.content(below)[:4096]


def test_a_superblock_of_another_volume_is_refused_before_anything_is_read() -> None:
    it = protected(sections=2)
    disk = RecordingDisk(it.disk.copy())
    disk.write(SUPERBLOCK_OFFSET + 12, b"\1")
    disk.operations.clear()
    for writable in (False, True):
        with pytest.raises(SuperblockRefused) as refusal:
            it.engine(disk, writable=writable)
        assert "journal_sections" == refusal.value.field
    assert [Operation("read", SUPERBLOCK_OFFSET, 4096)] * 2 == disk.operations


def test_a_forged_entry_never_reaches_its_place() -> None:
    it = protected(sections=1)
    disk = it.disk.copy()
    forged = facts.section_image(0, [1] * 264, [(8, filled(6), bytes(32))])
    disk.write(it.geometry.section_offset(0), forged)
    with pytest.raises(SectorRefused) as refusal:
        it.engine(disk)
    assert refusal.value.sector == 1
    assert read(disk, it.geometry.data_offset(1), 4096) == bytes(4096)
    assert forged == read(disk, it.geometry.section_offset(0), SECTION_SIZE)


def test_a_journal_that_is_damaged_is_refused() -> None:
    it = protected(sections=1)
    disk = it.disk.copy()
    flip(disk, it.geometry.section_offset(0) + 511)
    for writable in (False, True):
        with pytest.raises(JournalRefused):
            it.engine(disk, writable=writable)


# --- scrubbing ---


def test_a_scrub_finds_every_sector_and_lists_the_first_thousand() -> None:
    sectors = LISTED + 300
    it = on_device(capacity_for(sections=1, sectors=sectors), 1)
    progress: list[int] = []
    clean = scrub(it.engine(it.disk, writable=False), progress.append)
    assert (sectors, 0, (), True) == (clean.sectors, clean.refused, clean.listed, clean.is_clean)
    assert sectors * 4096 == sum(progress)
    assert max(progress) == RUN_SIZE
    bad = [sector for sector in range(sectors) if sector % 50 != 7]
    for sector in bad:
        flip(it.disk, it.geometry.tag_offset(sector) + sector % 32, sector % 8)
    found = scrub(it.engine(it.disk, writable=False), lambda _: None)
    assert len(bad) == found.refused
    assert tuple(bad[:LISTED]) == found.listed
    assert not found.is_clean


def test_a_scrub_counts_what_the_journal_replays() -> None:
    it = protected(sections=1)
    disk = it.disk.copy()
    file = file_of(it.engine(disk))
    file.pwrite(0, filled(1))
    file.flush()
    flip(disk, it.geometry.tag_offset(0))  # the entry in the journal is what counts
    assert scrub(it.engine(disk, writable=False), lambda _: None).is_clean


# --- threads ---


def test_readers_beside_a_writer_see_old_or_new_sectors_and_no_refusal() -> None:
    it = protected(sections=3, sectors=64)
    disk = it.disk.copy()
    engine = it.engine(disk)
    file, done = file_of(engine), threading.Event()
    file.pwrite(0, filled(0, 64))

    def write() -> None:
        try:
            for version in range(1, 60):
                file.pwrite(0, filled(version, 64))
                file.flush()
        finally:
            done.set()

    def look() -> int:
        looks = 0
        while not done.is_set():
            for index, found in enumerate(sectors_of(file.pread(0, 64 * 4096))):
                version = int.from_bytes(found[:4], "big")
                assert filled(version, 64)[index * 4096 : index * 4096 + 4096] == found
            looks += 1
        return looks

    with ThreadPoolExecutor(4) as pool:
        writer, readers = pool.submit(write), [pool.submit(look) for _ in range(3)]
        writer.result()
        assert all(reader.result() for reader in readers)
    engine.close()
    assert filled(59, 64) == it.content(disk)


def test_an_engine_says_what_it_stands_on() -> None:
    it = protected(sections=1)
    engine = it.engine(it.disk)
    assert (it.disk.name, it.geometry.payload_size) == (engine.name, engine.size)
    assert len(unlocked().volume_key) == 96
