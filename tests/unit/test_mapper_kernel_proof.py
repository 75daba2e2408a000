"""The proof that a live mapping has our key, on sectors in memory: what convinces and what not."""

from collections.abc import Callable

import attrs
import pytest

from cloudcrypt.disk import read
from cloudcrypt.errors import DeviceIOError
from cloudcrypt.integrity.initialise import write_journal_and_superblock, write_tags
from cloudcrypt.luks2 import SectorFile, UnlockedVolume, new_volume_key
from cloudcrypt.mapper import engine_for, geometry_of
from cloudcrypt.mapper._proof import PROBES, has_our_key
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import sample_volume

SIZE = 18 * MIB
SAMPLES = {mode: sample_volume(CHEAP, mode) for mode in Mode}


@attrs.define
class Below:
    """The sectors of a disk; ``before`` is called before each is read."""

    disk: MemoryDisk
    before: Callable[[int], None] = lambda _: None

    def read(self, offset: int) -> bytes:
        assert offset % SECTOR_SIZE == 0
        self.before(offset)
        return read(self.disk, offset, SECTOR_SIZE)


class Mapped:
    """The sectors of a live mapping of a disk, as the kernel decrypts them with some key."""

    def __init__(self, disk: MemoryDisk, volume: UnlockedVolume) -> None:
        self.file = SectorFile(engine_for("vol", disk, volume, writable=True), writable=True)
        self.reads = 0

    def read(self, offset: int) -> bytes:
        self.reads += 1
        try:
            return self.file.pread(offset, SECTOR_SIZE)
        except Exception as error:
            raise DeviceIOError("mapping", "read", offset, "bad message") from error


def volume_on(mode: Mode) -> tuple[MemoryDisk, UnlockedVolume]:
    disk = SAMPLES[mode].disk(SIZE)
    volume = SAMPLES[mode].unlock(disk)
    if mode is Mode.INTEGRITY:
        geometry = geometry_of(volume.header)
        write_tags(disk, volume.volume_key, geometry, workers=1)
        write_journal_and_superblock(disk, geometry)
    engine = engine_for("vol", disk, volume, writable=True)
    with SectorFile(engine, writable=True) as file:
        file.write(b"content" * 10_000)
    engine.close()
    return disk, volume


def payload(disk: MemoryDisk, volume: UnlockedVolume) -> int:
    return engine_for("vol", disk, volume, writable=False).size


@pytest.mark.parametrize("mode", Mode)
def test_a_mapping_with_our_key_is_proven_by_its_first_whole_sector(mode: Mode) -> None:
    disk, volume = volume_on(mode)
    mapped = Mapped(disk, volume)
    assert has_our_key(volume, mapped, Below(disk), payload(disk, volume))
    assert mapped.reads == 1


def other(volume: UnlockedVolume, mode: Mode, part: slice) -> UnlockedVolume:
    """Return a volume of which a part of the key is another one."""
    key = bytearray(volume.volume_key.reveal())
    key[part] = new_volume_key(mode).reveal()[part]
    return attrs.evolve(volume, volume_key=type(volume.volume_key)(key))


@pytest.mark.parametrize(
    ("mode", "part"),
    [
        (Mode.CRYPT, slice(0, 64)),
        (Mode.CRYPT, slice(0, 32)),
        (Mode.CRYPT, slice(32, 64)),
        (Mode.INTEGRITY, slice(0, 64)),
        (Mode.INTEGRITY, slice(64, 96)),
        (Mode.INTEGRITY, slice(95, 96)),
    ],
)
def test_a_mapping_with_another_key_in_any_part_is_not_proven(mode: Mode, part: slice) -> None:
    disk, volume = volume_on(mode)
    size = payload(disk, volume)
    wrong = other(volume, mode, part)
    assert not has_our_key(volume, Mapped(disk, wrong), Below(disk), size)


def test_a_mapping_that_does_not_look_at_tags_does_not_prove_the_key_of_tags() -> None:
    disk, volume = volume_on(Mode.INTEGRITY)
    wrong = other(volume, Mode.INTEGRITY, slice(64, 96))
    genuine = Mapped(disk, volume)
    assert not has_our_key(wrong, genuine, Below(disk), payload(disk, volume))


@pytest.mark.parametrize("mode", Mode)
def test_a_mapping_of_another_disk_is_not_proven(mode: Mode) -> None:
    disk, volume = volume_on(mode)
    twin = disk.copy()
    engine = engine_for("vol", twin, volume, writable=True)
    with SectorFile(engine, writable=True) as file:
        file.write(b"\x01" * file.size)
    engine.close()
    assert not has_our_key(volume, Mapped(twin, volume), Below(disk), payload(disk, volume))


@pytest.mark.parametrize("mode", Mode)
def test_sectors_that_change_meanwhile_are_passed_over(mode: Mode) -> None:
    disk, volume = volume_on(mode)
    mapped = Mapped(disk, volume)
    touched = list[int]()

    def write_first(offset: int) -> None:
        if len(touched) < 3 and offset not in touched:
            touched.append(offset)
        elif len(touched) <= 3 and offset == touched[-1]:
            disk.write(offset, bytes([len(touched)]) * SECTOR_SIZE)

    assert has_our_key(volume, mapped, Below(disk, write_first), payload(disk, volume))
    assert mapped.reads > 1


@pytest.mark.parametrize("mode", Mode)
def test_damaged_sectors_prove_nothing_and_hinder_nothing(mode: Mode) -> None:
    disk, volume = volume_on(mode)
    size = payload(disk, volume)

    class Damaged(Mapped):
        def read(self, offset: int) -> bytes:
            if offset < size // 2:
                raise DeviceIOError("mapping", "read", offset, "damaged")
            return super().read(offset)

    assert has_our_key(volume, Damaged(disk, volume), Below(disk), size)

    class Dead(Mapped):
        def read(self, offset: int) -> bytes:
            self.reads += 1
            raise DeviceIOError("mapping", "read", offset, "dead")

    dead = Dead(disk, volume)
    assert not has_our_key(volume, dead, Below(disk), size)
    assert PROBES <= dead.reads <= 2 * PROBES


def test_a_device_below_that_fails_is_an_error() -> None:
    disk, volume = volume_on(Mode.CRYPT)

    def fail(offset: int) -> None:
        raise DeviceIOError("disk", "read", offset, "gone")

    with pytest.raises(DeviceIOError, match="gone"):
        has_our_key(volume, Mapped(disk, volume), Below(disk, fail), payload(disk, volume))


def test_an_empty_mapping_proves_nothing() -> None:
    disk, volume = volume_on(Mode.CRYPT)
    assert not has_our_key(volume, Mapped(disk, volume), Below(disk), 0)
