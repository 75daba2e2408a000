"""Sectors of integrity volumes: verified before they are decrypted, journaled before they change.

Reading verifies every tag. Writing goes through the journal, as the kernel does it: a batch is
written to the journal and made durable, and only then to its place with its tags. While one batch
becomes durable the next is encrypted. Whatever the crash, each sector is the old or the new one
with a tag that verifies, and a kernel can go on
(docs/adr/0011-integrity-writes-go-through-the-journal.md).
"""

import contextlib
import threading
from collections.abc import Generator, Iterator

import attrs

from cloudcrypt.disk import Disk
from cloudcrypt.errors import DeviceIOError, SectorRefused
from cloudcrypt.integrity import journal, superblock, tags
from cloudcrypt.integrity.geometry import (
    SECTORS_PER_RUN,
    TAG_SIZE,
    UNIT,
    Geometry,
)
from cloudcrypt.integrity.ring import Ring
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt.luks2.unlock import UnlockedVolume
from cloudcrypt.luks2.xts import SLACK, XTS
from cloudcrypt.profiles import SECTOR_SIZE

_SECTORS = RUN_SIZE // SECTOR_SIZE


@attrs.frozen
class _Change:
    """A run of sectors that is to be written: their ciphertext and tags."""

    first: int
    cipher: memoryview
    tags: bytes

    @property
    def count(self) -> int:
        """How many sectors."""
        return len(self.tags) // TAG_SIZE

    @property
    def sectors(self) -> range:
        """Which sectors."""
        return range(self.first, self.first + self.count)

    def content(self, sector: int) -> tuple[memoryview, bytes]:
        """Return the ciphertext and the tag of one of the sectors."""
        index = sector - self.first
        return (
            self.cipher[index * SECTOR_SIZE : (index + 1) * SECTOR_SIZE],
            self.tags[index * TAG_SIZE : (index + 1) * TAG_SIZE],
        )

    def parts(self, most: int) -> Iterator["_Change"]:
        """Yield the change in runs of at most ``most`` sectors."""
        for index in range(0, self.count, most):
            end = index + most
            yield _Change(
                self.first + index,
                self.cipher[index * SECTOR_SIZE : end * SECTOR_SIZE],
                self.tags[index * TAG_SIZE : end * TAG_SIZE],
            )

    def entries(self) -> Iterator[tuple[int, memoryview, bytes]]:
        """Yield number, ciphertext and tag of each sector."""
        for sector in self.sectors:
            yield sector, *self.content(sector)


class IntegrityEngine:
    """AES-256-XTS above dm-integrity; see `cloudcrypt.luks2.sectors.SectorEngine`."""

    def __init__(
        self,
        volume_id: str,
        disk: Disk,
        volume: UnlockedVolume,
        geometry: Geometry,
        *,
        writable: bool,
    ) -> None:
        """Stand on a disk and a volume key, which must outlive this engine.

        The journal is replayed: in memory, or onto the disk if ``writable``.

        Args:
            volume_id: what errors call the volume.
            disk: the device; written only if ``writable``.
            volume: an unlocked volume with integrity.
            geometry: what the superblock must say.
            writable: whether `write` will be called.

        Raises:
            SuperblockRefused: the superblock is not the computed one, to the byte.
            JournalRefused, SectorRefused: the journal is not genuine.
            DeviceIOError: the device failed.
        """
        self._volume_id = volume_id
        self._disk = disk
        self._key = volume.volume_key
        self._xts = XTS(volume.volume_key)
        self._geometry = geometry
        self._buffers = threading.local()
        self.write_lock = threading.RLock()
        superblock.require(volume_id, disk, geometry)
        found = journal.read(volume_id, disk, geometry)
        self._overlay = {
            entry.sector: _Change(entry.sector, memoryview(entry.cipher), entry.tag)
            for entry in found.entries
        }
        self._pending: list[_Change] = []
        self._under_way: list[_Change] = []
        self._is_broken = False
        self._ring = Ring(disk, geometry, found)
        if writable and not found.is_clean:
            self._checkpoint(found)

    @property
    def name(self) -> str:
        """The name of the device below."""
        return self._disk.name

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return self._geometry.payload_size

    def read(self, start: int, span: int, plain: memoryview) -> None:
        """Read, verify and decrypt; see `SectorEngine.read`."""
        first, count = start // SECTOR_SIZE, span // SECTOR_SIZE
        cipher = self._verified(first, count)
        self._xts.decrypt(cipher, start // UNIT, SECTOR_SIZE, plain)

    def verify(self, first: int, count: int) -> list[int]:
        """Return which of ``count`` sectors from ``first`` have a tag that does not verify."""
        with self.write_lock:
            return self._read(first, count)[1]

    def write(self, start: int, plain: memoryview) -> None:
        """Encrypt and tag; written to the journal when a batch is full, see `SectorEngine.write`.

        The caller holds ``write_lock``.
        """
        first = start // SECTOR_SIZE
        out = memoryview(bytearray(len(plain) + SLACK))
        self._xts.encrypt(plain, start // UNIT, SECTOR_SIZE, out)
        cipher = out[: len(plain)]
        change = _Change(first, cipher, tags.compute(self._key, first, cipher))
        for part in change.parts(self._ring.batch):
            if sum(item.count for item in self._pending) + part.count > self._ring.batch:
                self._commit()
                self._ring.sync_behind()
            self._pending.append(part)
            self._overlay.update(dict.fromkeys(part.sectors, part))

    def sync(self) -> None:
        """Make everything durable, in the journal at least; see `SectorEngine.sync`."""
        self._commit()
        self._finish()

    def close(self) -> None:
        """Bring everything to its place, and leave an empty journal behind. Idempotent.

        Raises:
            DeviceIOError: the device failed; what was synced is in the journal.
        """
        with self.write_lock:
            self._commit()
            self._finish()
            with self._unbroken():
                self._ring.settle()
            self._ring.clear()

    def _verified(self, first: int, count: int) -> memoryview:
        """Return the ciphertext of a run of sectors whose tags verify, in this thread's buffer."""
        cipher, refused = self._read(first, count)
        if refused:  # a write may have come between data and tag: look again, without writers
            with self.write_lock:
                cipher, refused = self._read(first, count)
        if refused:
            raise SectorRefused(self._volume_id, refused[0])
        return cipher

    def _read(self, first: int, count: int) -> tuple[memoryview, list[int]]:
        cipher, found = self._scratch(count)
        overlay = self._overlay
        for sector, part in _parts(first, count):
            index = sector - first
            span = slice(index * SECTOR_SIZE, (index + part) * SECTOR_SIZE)
            self._disk.read_into(self._geometry.data_offset(sector), cipher[span])
            span = slice(index * TAG_SIZE, (index + part) * TAG_SIZE)
            self._disk.read_into(self._geometry.tag_offset(sector), found[span])
        if overlay:
            for index in range(count):
                change = overlay.get(first + index)
                if change is not None:
                    content, tag = change.content(first + index)
                    cipher[index * SECTOR_SIZE : (index + 1) * SECTOR_SIZE] = content
                    found[index * TAG_SIZE : (index + 1) * TAG_SIZE] = tag
        expected = tags.compute(self._key, first, cipher)
        return cipher, [first + index for index in tags.mismatches(found, expected)]

    @contextlib.contextmanager
    def _unbroken(self) -> Generator[None]:
        """Break the engine if what is done within fails; refuse if it is broken already."""
        if self._is_broken:
            reason = "an earlier write failed: close the volume, and open it again"
            raise DeviceIOError(self.name, "write", 0, reason)
        self._is_broken = True  # until all of it has succeeded
        yield
        self._is_broken = False

    def _commit(self) -> None:
        """Finish the batch under way, then write what is pending to the journal: the next one."""
        self._finish()
        if self._pending:
            with self._unbroken():
                entries = [entry for change in self._pending for entry in change.entries()]
                self._ring.commit(entries)
                self._under_way, self._pending = self._pending, []

    def _finish(self) -> None:
        """Wait until the batch under way is durable in the journal, and write it to its place."""
        with self._unbroken():
            if self._under_way:
                self._ring.wait()
                for change in self._under_way:
                    self._store(change)
                self._under_way = []
                self._overlay = {sector: item for item in self._pending for sector in item.sectors}

    def _store(self, change: _Change) -> None:
        for sector, part in _parts(change.first, change.count):
            index = sector - change.first
            cipher = change.cipher[index * SECTOR_SIZE : (index + part) * SECTOR_SIZE]
            self._disk.write(self._geometry.data_offset(sector), cipher)
            found = change.tags[index * TAG_SIZE : (index + part) * TAG_SIZE]
            self._disk.write(self._geometry.tag_offset(sector), found)

    def _checkpoint(self, found: journal.Journal) -> None:
        """Bring the entries of the journal to their places, and clear it."""
        for sector, change in self._overlay.items():
            expected = tags.compute(self._key, sector, change.cipher)
            if list(tags.mismatches(change.tags, expected)):
                raise SectorRefused(self._volume_id, sector)
        for change in self._overlay.values():
            self._store(change)
        self._overlay = {}
        self._ring.clear_after(found)

    def _scratch(self, count: int) -> tuple[memoryview, memoryview]:
        """Return buffers of this thread for the ciphertext and the tags of ``count`` sectors."""
        try:
            pair: tuple[memoryview, memoryview] = self._buffers.pair
        except AttributeError:
            pair = memoryview(bytearray(RUN_SIZE)), memoryview(bytearray(_SECTORS * TAG_SIZE))
            self._buffers.pair = pair
        return pair[0][: count * SECTOR_SIZE], pair[1][: count * TAG_SIZE]


def _parts(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a run of sectors that lie together on the disk: first, count."""
    end = first + count
    while first < end:
        part = min(end - first, SECTORS_PER_RUN - first % SECTORS_PER_RUN)
        yield first, part
        first += part
