"""The disks that other tests rely on do what they say."""

import pytest

from cloudcrypt.disk import Disk, read
from cloudcrypt.errors import DeviceIOError
from cloudcrypt.sizes import MIB, TIB
from cloudcrypt_testing.disks import (
    CutDisk,
    FailingDisk,
    MemoryDisk,
    Operation,
    PowerCut,
    RecordingDisk,
    at,
)

DATA = bytes(range(1, 251)) * 40  # 10,000 bytes, none of them zero


def test_a_memory_disk_of_many_tib_holds_what_was_written() -> None:
    disk: Disk = MemoryDisk(300 * TIB, "large")
    disk.write(299 * TIB - 17, DATA)
    disk.sync()
    assert read(disk, 299 * TIB - 18, len(DATA) + 2) == b"\0" + DATA + b"\0"
    assert (300 * TIB, "large") == (disk.size, disk.name)


@pytest.mark.parametrize(("offset", "length"), [(MIB - 1, 2), (MIB, 1), (-1, 1)])
def test_a_memory_disk_ends_where_it_ends(offset: int, length: int) -> None:
    disk = MemoryDisk(MIB)
    with pytest.raises(DeviceIOError):
        read(disk, offset, length)
    with pytest.raises(DeviceIOError):
        disk.write(offset, bytes(length))


def test_the_extents_of_a_memory_disk_are_what_was_written() -> None:
    disk = MemoryDisk(MIB)
    disk.write(5000, b"x")
    disk.write(20000, b"x")
    assert [(4096, 8192), (16384, 20480)] == list(disk.extents(0, MIB))
    assert [(5000, 8192)] == list(disk.extents(5000, 10000))
    assert list(disk.extents(0, 4096)) == []


def test_a_copy_of_a_memory_disk_is_independent() -> None:
    disk = MemoryDisk(MIB)
    disk.write(0, b"old")
    snapshot = disk.copy()
    disk.write(0, b"new")
    assert (b"new", b"old") == (read(disk, 0, 3), read(snapshot, 0, 3))


def test_a_recording_disk_remembers_in_order() -> None:
    disk = RecordingDisk(MemoryDisk(MIB, "below"))
    disk.write(1, b"xy")
    read(disk, 0, 4)
    disk.sync()
    expected = [Operation("write", 1, 2), Operation("read", 0, 4), Operation("sync")]
    assert expected == disk.operations
    assert ("below", MIB) == (disk.name, disk.size)
    assert [(0, 4096)] == list(disk.extents(0, MIB))


@pytest.mark.parametrize("tear", [0, 1, 5000, len(DATA)])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_cut_disk_keeps_whole_writes_and_the_torn_part(after: int, tear: int) -> None:
    below = MemoryDisk(MIB)
    disk = CutDisk(below, after=after, tear=tear)
    for number in range(after):
        disk.write(number * 100_000, DATA)
    with pytest.raises(PowerCut):
        disk.write(after * 100_000, DATA)
    for number in range(after):
        assert read(below, number * 100_000, len(DATA)) == DATA
    torn = read(below, after * 100_000, len(DATA))
    assert DATA[:tear].ljust(len(DATA), b"\0") == torn
    assert after == disk.writes


def test_nothing_works_after_the_cut() -> None:
    below = MemoryDisk(MIB)
    disk = CutDisk(below, after=0)
    with pytest.raises(PowerCut):
        disk.write(0, DATA)
    for use in (lambda: disk.write(0, DATA), lambda: read(disk, 0, 1), disk.sync):
        with pytest.raises(PowerCut):
            use()
    assert list(below.extents(0, MIB)) == []


def test_what_no_sync_followed_may_be_lost() -> None:
    below = MemoryDisk(MIB)
    disk = CutDisk(below, after=3, tear=3, lose_unsynced=True)
    disk.write(0, b"kept")
    disk.sync()
    disk.write(10, b"lost")
    disk.write(12, b"LOST")
    assert read(disk, 0, 18) == b"kept\0\0\0\0\0\0loLOST\0\0"
    assert read(disk, 11, 2) == b"oL"
    with pytest.raises(PowerCut):
        disk.write(20, b"torn")
    assert read(below, 0, 24) == b"kept".ljust(20, b"\0") + b"tor\0"


def test_the_plug_can_be_pulled_by_hand() -> None:
    below = MemoryDisk(MIB)
    disk = CutDisk(below, after=9, lose_unsynced=True)
    disk.write(0, b"lost")
    disk.cut()
    with pytest.raises(PowerCut):
        disk.sync()
    assert read(below, 0, 4) == bytes(4)


@pytest.mark.parametrize("kind", ["read", "write", "sync"])
def test_a_failing_disk_fails_only_where_it_was_told(kind: str) -> None:
    disk = FailingDisk(MemoryDisk(MIB), at(kind, 5000))
    uses = {
        "read": lambda: read(disk, 4096, 4096),
        "write": lambda: disk.write(4096, bytes(4096)),
        "sync": disk.sync,
    }
    for name, use in uses.items():
        if name == kind:
            with pytest.raises(DeviceIOError) as failure:
                use()
            assert kind == failure.value.operation
        else:
            use()
    assert read(disk, 0, 4096) == bytes(4096)
