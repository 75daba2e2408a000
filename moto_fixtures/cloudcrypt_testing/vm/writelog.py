"""All that was written to a disk, in order, and what the disk is if the power goes in between.

    disk = vm.plug(google_disk("data"), image, log=path)
    ...
    written = WriteLog.read(path)
    for state in written.states(MemoryDisk(size)):
        check(state.disk)                      # after each write: every prefix
    for state in written.losses(MemoryDisk(size)):
        check(state.disk)                      # some of what was not flushed is lost

The log is that of `blklogwrites` of QEMU: the format of dm-log-writes,
Documentation/admin-guide/device-mapper/log-writes.rst of Linux.
"""

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, Self

import attrs

from cloudcrypt.disk import Disk, FileDisk, read
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.disks import MemoryDisk

_SUPERBLOCK: Final = struct.Struct("<QQQI")  # magic, version, number of entries, sector size
_MAGIC: Final = 0x6A736677736872
_VERSION: Final = 1
_ENTRY: Final = struct.Struct("<QQQQ")  # sector, number of sectors, flags, bytes of a mark
_FLUSH: Final = 1
_FUA: Final = 2
_DISCARD: Final = 4
_CHUNK: Final = MIB


@attrs.frozen
class Entry:
    """One request that was completed."""

    offset: int
    """Bytes from the beginning of the disk."""
    length: int
    """Bytes that it changes; 0 for a mere flush."""
    is_flush: bool
    """Whether it made all that was completed before it durable."""
    is_durable: bool
    """Whether it was durable when it was completed (FUA)."""
    is_discard: bool
    position: int
    """Where the log has the bytes that were written."""


@attrs.frozen
class CrashState:
    """What a disk has if the power goes after the first ``count`` entries."""

    count: int
    disk: MemoryDisk
    """A copy of its own."""
    lost: tuple[int, ...] = ()
    """The numbers of the entries that a volatile cache lost."""


@attrs.frozen
class WriteLog:
    """A log that was read: ``entries`` in the order in which they were completed."""

    path: Path
    entries: tuple[Entry, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the log in ``path``; its disk may still be in use.

        Raises:
            ValueError: it is not a log.
        """
        with FileDisk(path) as log:
            count, sector = _superblock(log)
            entries: list[Entry] = []
            position = sector
            for _ in range(count):
                entry = _entry(log, position, sector)
                entries.append(entry)
                position = entry.position + (0 if entry.is_discard else entry.length)
        return cls(path, tuple(entries))

    @property
    def flushes(self) -> int:
        """How many of the entries are flushes."""
        return sum(entry.is_flush for entry in self.entries)

    def states(self, disk: MemoryDisk) -> Iterator[CrashState]:
        """Yield what the disk is at first, and after each entry that changes it.

        Args:
            disk: what it was when the log began; as large as it became. It is not changed.
        """
        replica = disk.copy()
        yield CrashState(0, replica.copy())
        with FileDisk(self.path) as log:
            for number, entry in enumerate(self.entries):
                if entry.length:
                    _apply(log, entry, replica)
                    yield CrashState(number + 1, replica.copy())

    def losses(
        self, disk: MemoryDisk, counts: Collection[int] | None = None, *, most: int = 4
    ) -> Iterator[CrashState]:
        """Yield what the disk is if some of what was not flushed is lost, and the rest is there.

        Of the entries that a cache may lose (see `volatile`) it loses all; or one; or all but one.

        Args:
            disk: as for `states`.
            counts: after how many entries the power goes; by default right before each flush, and
                at the end: then there is most to lose.
            most: how many are tried, one by one, as the one that is lost, or kept.
        """
        replica, done = disk.copy(), 0
        with FileDisk(self.path) as log:
            for count in sorted(set(self._fullest() if counts is None else counts)):
                volatile = self.volatile(count)
                first = min(volatile, default=count)
                for number in range(done, first):
                    _apply(log, self.entries[number], replica)
                done = max(done, first)
                for lost in _choices(volatile, most):
                    twin = replica.copy()
                    for number in range(done, count):
                        if number not in lost:
                            _apply(log, self.entries[number], twin)
                    yield CrashState(count, twin, lost)

    def _fullest(self) -> list[int]:
        """Return the counts after which a cache has most to lose."""
        flushes = [number for number, entry in enumerate(self.entries) if entry.is_flush]
        return [*flushes, len(self.entries)]

    def replay(self, disk: Disk, count: int | None = None, *, lost: Collection[int] = ()) -> None:
        """Do to ``disk`` what the first ``count`` entries did; None is all of them.

        Args:
            disk: what it was when the log began.
            count: how many entries were completed.
            lost: the numbers of those that a volatile cache lost; see `volatile`.

        Raises:
            ValueError: one of the lost ones was durable.
        """
        if count is None:
            count = len(self.entries)
        if not set(lost) <= set(self.volatile(count)):
            raise ValueError(f"of {sorted(lost)} some are durable after {count} entries")
        with FileDisk(self.path) as log:
            for number, entry in enumerate(self.entries[:count]):
                if number not in lost:
                    _apply(log, entry, disk)

    def volatile(self, count: int) -> tuple[int, ...]:
        """Return the numbers of the entries that a cache may lose, in any combination.

        They are those of the first ``count`` that no flush followed: numbers from 0.
        """
        first = count
        while first > 0 and not self.entries[first - 1].is_flush:
            first -= 1
        return tuple(
            number
            for number in range(first, count)
            if self.entries[number].length and not self.entries[number].is_durable
        )


def recorded(path: Path) -> int:
    """Return how many entries a log has by now.

    Asked for right after something was synced, it says from which `CrashState.count` on that must
    be found again.
    """
    with FileDisk(path) as log:
        return _superblock(log)[0]


def _choices(volatile: tuple[int, ...], most: int) -> Iterator[tuple[int, ...]]:
    """Yield which of the volatile entries are lost: all, one, or all but one; each choice once."""
    step = max(1, -(-len(volatile) // most))
    single = volatile[::step]
    one = [(number,) for number in single]
    but_one = [tuple(each for each in volatile if each != number) for number in single]
    yield from dict.fromkeys(lost for lost in [volatile, *one, *but_one] if lost)


def _superblock(log: FileDisk) -> tuple[int, int]:
    """Return the number of entries and the size of a sector; an empty file has none yet."""
    if log.size == 0:
        return 0, _SUPERBLOCK.size
    magic, version, count, sector = _SUPERBLOCK.unpack(read(log, 0, _SUPERBLOCK.size))
    if (magic, version) != (_MAGIC, _VERSION):
        raise ValueError(f"{log.name} is not a log of writes")
    return count, sector


def _entry(log: FileDisk, position: int, sector: int) -> Entry:
    start, count, flags, _ = _ENTRY.unpack(read(log, position, _ENTRY.size))
    return Entry(
        start * sector,
        count * sector,
        bool(flags & _FLUSH),
        bool(flags & _FUA),
        bool(flags & _DISCARD),
        position + sector,
    )


def _apply(log: FileDisk, entry: Entry, disk: Disk) -> None:
    for done in range(0, entry.length, _CHUNK):
        length = min(_CHUNK, entry.length - done)
        content = bytes(length) if entry.is_discard else read(log, entry.position + done, length)
        if content.count(0) == length:
            _zero(disk, entry.offset + done, length)
        else:
            disk.write(entry.offset + done, content)


def _zero(disk: Disk, offset: int, length: int) -> None:
    """Write zeros where something else may be: most of what is zeroed never was anything."""
    for begin, end in list(disk.extents(offset, offset + length)):
        disk.write(begin, bytes(end - begin))
