"""Integrity volumes for tests: in memory, as small as the case allows, with any size of journal."""

import functools

import attrs

from cloudcrypt.disk import Disk, read
from cloudcrypt.integrity import Geometry, IntegrityEngine, journal
from cloudcrypt.integrity.geometry import JOURNAL_OFFSET, SECTION_SIZE, TAG_RUN_SIZE
from cloudcrypt.integrity.initialise import write_journal_and_superblock, write_tags
from cloudcrypt.luks2 import SectorFile, UnlockedVolume
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt.luks2.xts import SLACK
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.secret import Secret
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import sample_volume

NAME = "local/here/vol-i"


@functools.cache
def unlocked() -> UnlockedVolume:
    """Return the one volume of these tests; the header says nothing that the engine uses."""
    volume = sample_volume(CHEAP, Mode.INTEGRITY)
    return volume.unlock(volume.disk())


def volume_key() -> Secret:
    return unlocked().volume_key


@attrs.frozen
class Protected:
    """A blank integrity volume, without its header; take a copy of ``disk`` before writing."""

    geometry: Geometry
    disk: MemoryDisk

    def engine(self, disk: Disk, *, writable: bool = True) -> IntegrityEngine:
        return IntegrityEngine(NAME, disk, unlocked(), self.geometry, writable=writable)

    def content(self, disk: Disk) -> bytes:
        """Return the payload as a reader finds it that writes nothing."""
        return everything(self.engine(disk, writable=False))

    def is_clean(self, disk: Disk) -> bool:
        return journal.read(NAME, disk, self.geometry).is_clean


def capacity_for(*, sections: int, sectors: int) -> int:
    """Return the bytes of the smallest device with so many sectors; they lie in one run."""
    return JOURNAL_OFFSET + sections * SECTION_SIZE + TAG_RUN_SIZE + sectors * SECTOR_SIZE


@functools.cache
def protected(*, sections: int = 1, sectors: int = 40) -> Protected:
    """Return a volume of so many sectors (in one run) with a journal of so many sections."""
    return on_device(capacity_for(sections=sections, sectors=sectors), sections)


def on_device(capacity: int, sections: int | None = None) -> Protected:
    """Return a volume on a device of ``capacity`` bytes."""
    geometry = Geometry.of(capacity, sections)
    disk = MemoryDisk(capacity)
    write_tags(disk, volume_key(), geometry, workers=0)
    write_journal_and_superblock(disk, geometry)
    return Protected(geometry, disk)


def file_of(engine: IntegrityEngine, *, writable: bool = True) -> SectorFile:
    return SectorFile(engine, writable=writable)


def everything(engine: IntegrityEngine) -> bytes:
    """Return the whole payload."""
    buffer = memoryview(bytearray(engine.size + SLACK))
    for start in range(0, engine.size, RUN_SIZE):
        span = min(RUN_SIZE, engine.size - start)
        engine.read(start, span, buffer[start:])
    return bytes(buffer[: engine.size])


def sectors_of(content: bytes) -> list[bytes]:
    return [content[at : at + SECTOR_SIZE] for at in range(0, len(content), SECTOR_SIZE)]


def filled(number: int, sectors: int = 1) -> bytes:
    """Return whole sectors that tell ``number``, and their place in this run."""
    parts = (number.to_bytes(4, "big") + index.to_bytes(4, "big") for index in range(sectors))
    return b"".join(part * (SECTOR_SIZE // 8) for part in parts)


def flip(disk: MemoryDisk, offset: int, bit: int = 0) -> None:
    """Change one bit of a disk."""
    (byte,) = read(disk, offset, 1)
    disk.write(offset, bytes([byte ^ 1 << bit]))
