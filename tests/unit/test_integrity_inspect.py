"""What an inspection of superblock, journal and geometry shows; it needs no key."""

import pytest

from cloudcrypt.disk import read
from cloudcrypt.errors import DeviceIOError
from cloudcrypt.integrity.geometry import SECTION_SIZE, SUPERBLOCK_OFFSET
from cloudcrypt.integrity.inspect import inspect
from cloudcrypt_testing.disks import FailingDisk, MemoryDisk, RecordingDisk, at
from tests.unit import integrity_facts as facts
from tests.unit.protected import Protected, file_of, filled, flip, protected


@pytest.fixture(scope="module")
def volume() -> Protected:
    return protected(sections=2, sectors=40)


@pytest.fixture
def disk(volume: Protected) -> MemoryDisk:
    return volume.disk.copy()


def test_a_volume_that_was_closed_agrees_and_is_clean(volume: Protected, disk: MemoryDisk) -> None:
    report = inspect(disk, 2)
    assert report.agrees
    assert ("clean", volume.geometry) == (report.journal, report.geometry)
    assert disk.size - 40 * 4096 == report.overhead


def test_every_field_is_shown_beside_what_it_must_be(disk: MemoryDisk) -> None:
    disk.write(SUPERBLOCK_OFFSET + 9, b"\x0e")
    report = inspect(disk, 2)
    differing = [
        (row.field, row.found, row.expected) for row in report.superblock if not row.agrees
    ]
    assert [("log2_interleave", 14, 15)] == differing
    assert not report.agrees


def test_entries_that_wait_for_replay_are_counted(volume: Protected, disk: MemoryDisk) -> None:
    file = file_of(volume.engine(disk))
    file.pwrite(0, filled(1, 3))
    file.flush()
    assert inspect(disk, 2).journal == "3 entries to replay"


def test_a_journal_that_was_torn_with_nothing_to_replay_is_said_to_be_incomplete(
    volume: Protected, disk: MemoryDisk
) -> None:
    offset = volume.geometry.section_offset(0)
    image = facts.section_image(0, [1] * 9 + [0] * (facts.SECTION_UNITS - 9))
    disk.write(offset, image)
    assert inspect(disk, 2).journal == "incomplete, nothing to replay"


def test_a_journal_that_is_damaged_is_shown_as_what_would_be_refused(
    volume: Protected, disk: MemoryDisk
) -> None:
    flip(disk, volume.geometry.section_offset(1) + 510)
    assert inspect(disk, 2).journal == "refused: a commit id is damaged"


def test_an_inspection_writes_nothing(disk: MemoryDisk) -> None:
    watched = RecordingDisk(disk)
    inspect(watched, 2)
    assert {"read"} == {operation.kind for operation in watched.operations}


def test_a_disk_that_cannot_be_read_is_not_reported_on(volume: Protected, disk: MemoryDisk) -> None:
    bad = volume.geometry.section_offset(0) + SECTION_SIZE
    assert len(read(disk, bad, 1)) == 1
    with pytest.raises(DeviceIOError):
        inspect(FailingDisk(disk, at("read", bad)), 2)
