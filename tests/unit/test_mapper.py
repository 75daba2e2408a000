"""The mapper in user space: one mapping a volume, and nothing of it left behind."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import Disk
from cloudcrypt.errors import DeviceBusy, DeviceIOError, DeviceUnavailable, SuperblockRefused
from cloudcrypt.integrity import Geometry, journal
from cloudcrypt.integrity.initialise import write_journal_and_superblock, write_tags
from cloudcrypt.luks2 import UnlockedVolume, layout
from cloudcrypt.mapper import UserspaceMapper, geometry_of
from cloudcrypt.model import Mode
from cloudcrypt.sizes import KIB
from cloudcrypt_testing.disks import FailingDisk, MemoryDisk, RecordingDisk
from cloudcrypt_testing.hosts import MemoryHost, OpenMemoryDisk
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import sample_volume

SIZE = layout.DATA_OFFSET + 512 * KIB
SAMPLES = {mode: sample_volume(CHEAP, mode) for mode in Mode}
VOLUME_ID = SAMPLES[Mode.CRYPT].volume_id


@attrs.frozen
class Opened:
    """A device that is open, and the volume on it, unlocked."""

    host: MemoryHost
    path: Path
    disk: OpenMemoryDisk
    volume: UnlockedVolume


def opened(mode: Mode = Mode.CRYPT, host: MemoryHost | None = None) -> Opened:
    host = host or MemoryHost()
    device = host.add("vol", SAMPLES[mode].disk(SIZE))
    disk = host.open_disk(device.path, writable=True)
    return Opened(host, device.path, disk, SAMPLES[mode].unlock(disk))


@pytest.fixture
def mapper() -> UserspaceMapper:
    return UserspaceMapper()


def test_an_active_mapping_reads_what_was_written(mapper: UserspaceMapper) -> None:
    it = opened()
    mapping = mapper.activate(VOLUME_ID, it.disk, it.volume, writable=True)
    with mapping.open() as payload:
        payload.write(b"hello")
    with mapping.open() as payload:
        assert payload.read(5) == b"hello"


def test_a_mapping_says_what_it_is(mapper: UserspaceMapper) -> None:
    it = opened()
    mapping = mapper.activate(VOLUME_ID, it.disk, it.volume, writable=False)
    found = (mapping.volume_id, mapping.writable, mapping.size, mapping.device_identity)
    assert (VOLUME_ID, False, 512 * KIB, it.disk.identity) == found


def test_a_mapping_for_reading_refuses_writes(mapper: UserspaceMapper) -> None:
    it = opened()
    mapping = mapper.activate(VOLUME_ID, it.disk, it.volume, writable=False)
    with mapping.open() as payload, pytest.raises(OSError, match="not writable"):
        payload.write(b"hello")


def test_active_mappings_are_found_by_volume_id(mapper: UserspaceMapper) -> None:
    it = opened()
    assert mapper.get(VOLUME_ID) is None
    mapping = mapper.activate(VOLUME_ID, it.disk, it.volume, writable=True)
    assert mapping is mapper.get(VOLUME_ID)
    assert mapper.get("another") is None


def test_a_volume_is_mapped_once(mapper: UserspaceMapper) -> None:
    first, second = opened(), opened()
    mapping = mapper.activate(VOLUME_ID, first.disk, first.volume, writable=True)
    with pytest.raises(DeviceBusy) as refusal:
        mapper.activate(VOLUME_ID, second.disk, second.volume, writable=True)
    assert second.disk.name == refusal.value.device
    assert mapping is mapper.get(VOLUME_ID)
    # Nothing was taken over, and nothing of the first was touched.
    assert (False, False) == (first.disk.is_closed, second.disk.is_closed)
    assert first.volume.volume_key == second.volume.volume_key


def test_deactivating_wipes_the_key_and_closes_the_device(mapper: UserspaceMapper) -> None:
    it = opened()
    key = it.volume.volume_key.reveal()
    mapper.activate(VOLUME_ID, it.disk, it.volume, writable=True)
    mapper.deactivate(VOLUME_ID)
    assert (bytes(64), True, None) == (bytes(key), it.disk.is_closed, mapper.get(VOLUME_ID))
    with pytest.raises(ValueError, match="wiped"):
        it.volume.volume_key.reveal()
    mapper.deactivate(VOLUME_ID)


def test_a_file_of_a_mapping_that_is_gone_is_of_no_use(mapper: UserspaceMapper) -> None:
    it = opened()
    with mapper.activate(VOLUME_ID, it.disk, it.volume, writable=True).open() as payload:
        mapper.deactivate(VOLUME_ID)
        with pytest.raises(DeviceUnavailable, match="the volume was closed"):
            payload.pread(0, 1)
        with pytest.raises(DeviceUnavailable, match="the volume was closed"):
            payload.pwrite(0, b"x")
        payload.close()


def test_deactivating_what_is_not_active_does_nothing(mapper: UserspaceMapper) -> None:
    mapper.deactivate(VOLUME_ID)
    assert mapper.get(VOLUME_ID) is None


@pytest.mark.parametrize(("writable", "syncs"), [(True, 1), (False, 0)])
def test_deactivating_makes_writes_durable(
    mapper: UserspaceMapper, *, writable: bool, syncs: int
) -> None:
    recorders: list[RecordingDisk] = []

    def recorded(disk: Disk) -> Disk:
        recorders.append(RecordingDisk(disk))
        return recorders[-1]

    it = opened(host=MemoryHost(recorded))
    mapper.activate(VOLUME_ID, it.disk, it.volume, writable=writable)
    recorders[-1].operations.clear()
    mapper.deactivate(VOLUME_ID)
    assert syncs == [operation.kind for operation in recorders[-1].operations].count("sync")


def test_a_mapping_whose_flush_fails_is_gone_all_the_same(mapper: UserspaceMapper) -> None:
    bad: set[str] = set()
    host = MemoryHost(lambda disk: FailingDisk(disk, lambda operation: operation.kind in bad))
    it = opened(host=host)
    key = it.volume.volume_key.reveal()
    mapper.activate(VOLUME_ID, it.disk, it.volume, writable=True)
    bad.add("sync")
    with pytest.raises(DeviceIOError) as failure:
        mapper.deactivate(VOLUME_ID)
    assert failure.value.operation == "sync"
    assert (bytes(64), True, None) == (bytes(key), it.disk.is_closed, mapper.get(VOLUME_ID))


@pytest.mark.parametrize("writable", [False, True])
def test_a_volume_with_integrity_but_without_a_superblock_is_refused(
    mapper: UserspaceMapper, *, writable: bool
) -> None:
    it = opened(Mode.INTEGRITY)
    before = it.host.disks[it.path].copy()
    with pytest.raises(SuperblockRefused):
        mapper.activate(VOLUME_ID, it.disk, it.volume, writable=writable)
    assert (None, False) == (mapper.get(VOLUME_ID), it.disk.is_closed)
    after = it.host.disks[it.path]
    assert list(before.extents(0, SIZE)) == list(after.extents(0, SIZE))
    assert it.volume.volume_key == SAMPLES[Mode.INTEGRITY].volume_key  # not wiped: not taken over


def initialised(it: Opened) -> Geometry:
    """Write what follows the header of an integrity volume, and return its geometry."""
    geometry = geometry_of(it.volume.header)
    write_tags(it.disk, it.volume.volume_key, geometry)
    write_journal_and_superblock(it.disk, geometry)
    return geometry


def test_a_volume_with_integrity_reads_what_was_written_and_is_closed_cleanly(
    mapper: UserspaceMapper,
) -> None:
    it = opened(Mode.INTEGRITY)
    geometry = initialised(it)
    mapping = mapper.activate(VOLUME_ID, it.disk, it.volume, writable=True)
    assert geometry.payload_size == mapping.size
    with mapping.open() as payload:
        payload.pwrite(mapping.size - 5, b"hello")
    with mapping.open() as payload:
        assert payload.pread(mapping.size - 5, 9) == b"hello"
    mapper.deactivate(VOLUME_ID)
    assert journal.read("vol", it.host.disks[it.path], geometry).is_clean
    with pytest.raises(ValueError, match="wiped"):
        it.volume.volume_key.reveal()


def test_a_mapping_with_integrity_keeps_its_size_while_it_is_open(mapper: UserspaceMapper) -> None:
    it = opened(Mode.INTEGRITY)
    size = initialised(it).payload_size
    mapping = mapper.activate(VOLUME_ID, it.disk, it.volume, writable=True)
    mapper.resize(VOLUME_ID, SIZE + 64 * KIB)
    assert size == mapping.size
    with mapping.open() as payload:
        assert size == payload.size


def test_a_mapping_reaches_as_far_as_it_is_told(mapper: UserspaceMapper) -> None:
    it = opened()
    mapping = mapper.activate(VOLUME_ID, it.disk, it.volume, writable=True)
    grown = MemoryDisk(SIZE + 64 * KIB)
    it.host.add("vol", grown)
    with mapping.open() as before:
        mapper.resize(VOLUME_ID, SIZE + 64 * KIB)
        with mapping.open() as after:
            assert (512 * KIB, 576 * KIB) == (before.size, after.size)
            assert after.pwrite(575 * KIB, bytes(KIB)) == KIB
    assert mapping.size == 576 * KIB


def test_resizing_what_is_not_active_does_nothing(mapper: UserspaceMapper) -> None:
    mapper.resize(VOLUME_ID, SIZE)
    assert mapper.get(VOLUME_ID) is None


@pytest.mark.parametrize("mode", Mode)
def test_two_files_of_a_mapping_do_not_lose_each_others_writes(
    mapper: UserspaceMapper, mode: Mode
) -> None:
    it = opened(mode)
    if mode is Mode.INTEGRITY:
        geometry = geometry_of(it.volume.header)
        write_tags(it.disk, it.volume.volume_key, geometry)
        write_journal_and_superblock(it.disk, geometry)
    mapping = mapper.activate("vol-1", it.disk, it.volume, writable=True)
    expected = bytes(range(8)) * 512

    def write(number: int) -> None:
        with mapping.open() as file:
            for offset in range(number, len(expected), 8):
                file.pwrite(offset, expected[offset : offset + 1])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    with mapping.open() as file:
        assert expected == file.pread(0, len(expected))
