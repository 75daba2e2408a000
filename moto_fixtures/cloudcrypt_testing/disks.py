"""Disks in memory: large ones that cost nothing, ones that lose power, ones that fail.

Each implements `cloudcrypt.disk.Disk`, so whatever takes a disk takes these::

    disk = MemoryDisk(2 * TIB)
    cut = CutDisk(disk, after=1, tear=512)     # the second write stops after 512 bytes
    with pytest.raises(PowerCut):
        image.write_to(cut)
    read_header(disk)                          # what a machine finds after the reboot
"""

import threading
from collections.abc import Callable, Iterator

import attrs

from cloudcrypt.disk import Disk
from cloudcrypt.errors import DeviceIOError
from cloudcrypt.sizes import round_down

PAGE = 4096
"""Bytes that a `MemoryDisk` allocates at a time."""


class PowerCut(Exception):
    """The power went: what was running is gone, and no line of it may clean up."""


class MemoryDisk:
    """A sparse disk in memory: only pages that hold something take room."""

    def __init__(self, size: int, name: str = "memory") -> None:
        """Make a disk of ``size`` bytes, all zeros; sizes of TiB are fine."""
        self._size = size
        self._name = name
        self._pages: dict[int, bytearray] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """What messages call the disk."""
        return self._name

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self._size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from byte ``offset``; see `Disk.read_into`."""
        self._check("read", offset, len(buffer))
        with self._lock:
            for page, start, done, count in _pieces(offset, len(buffer)):
                content = self._pages.get(page)
                piece = bytes(count) if content is None else content[start : start + count]
                buffer[done : done + count] = piece

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at byte ``offset``; see `Disk.write`."""
        view = memoryview(data)
        self._check("write", offset, len(view))
        with self._lock:
            for page, start, done, count in _pieces(offset, len(view)):
                content = self._pages.setdefault(page, bytearray(PAGE))
                content[start : start + count] = view[done : done + count]

    def sync(self) -> None:
        """Do nothing: memory is as durable as it gets."""

    @property
    def knows_holes(self) -> bool:
        """Return True."""
        return True

    def extents(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the pages within ``[start, end)`` that were ever written."""
        with self._lock:
            pages = sorted(self._pages)
        for page in pages:
            begin, stop = max(start, page * PAGE), min(end, (page + 1) * PAGE)
            if begin < stop:
                yield begin, stop

    def copy(self) -> "MemoryDisk":
        """Return an independent disk with the same content: a snapshot."""
        twin = MemoryDisk(self._size, self._name)
        with self._lock:
            twin._pages = {page: bytearray(content) for page, content in self._pages.items()}
        return twin

    def _check(self, operation: str, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self._size:
            raise DeviceIOError(self._name, operation, offset, "beyond the end of the device")


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (page, start within it, bytes done before, count) for each page of a range."""
    done = 0
    while done < length:
        start = (offset + done) % PAGE
        count = min(PAGE - start, length - done)
        yield round_down(offset + done, PAGE) // PAGE, start, done, count
        done += count


class _Wrapper:
    """A disk that passes everything on to another one."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    @property
    def name(self) -> str:
        """The name of the disk below."""
        return self._disk.name

    @property
    def size(self) -> int:
        """The size in bytes of the disk below."""
        return self._disk.size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from byte ``offset``; see `Disk.read_into`."""
        self._disk.read_into(offset, buffer)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at byte ``offset``; see `Disk.write`."""
        self._disk.write(offset, data)

    def sync(self) -> None:
        """Make everything written so far durable; see `Disk.sync`."""
        self._disk.sync()

    @property
    def knows_holes(self) -> bool:
        """Say what the disk below says."""
        return self._disk.knows_holes

    def extents(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield what may hold something; see `Disk.extents`."""
        yield from self._disk.extents(start, end)


@attrs.frozen
class Operation:
    """One thing that was done to a disk; a sync has no offset and no length."""

    kind: str
    offset: int = 0
    length: int = 0


class RecordingDisk(_Wrapper):
    """A disk that remembers in ``operations`` what was done to it, in order."""

    def __init__(self, disk: Disk) -> None:
        """Record what reaches ``disk``."""
        super().__init__(disk)
        self.operations: list[Operation] = []

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Record and read."""
        self.operations.append(Operation("read", offset, len(buffer)))
        super().read_into(offset, buffer)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Record and write."""
        self.operations.append(Operation("write", offset, len(data)))
        super().write(offset, data)

    def sync(self) -> None:
        """Record and sync."""
        self.operations.append(Operation("sync"))
        super().sync()


class CutDisk(_Wrapper):
    """A disk whose power goes at a write.

    From then on every operation raises `PowerCut`; the disk below holds what a machine finds after
    the reboot.
    """

    def __init__(
        self, disk: Disk, *, after: int, tear: int = 0, lose_unsynced: bool = False
    ) -> None:
        """Let ``after`` writes through and cut the power at the next one.

        Args:
            disk: the disk below.
            after: how many writes are whole.
            tear: how many bytes of the next write arrive all the same.
            lose_unsynced: whether writes that no sync followed are lost, as in a volatile cache;
                else every write is on the medium at once.
        """
        super().__init__(disk)
        self.writes = 0
        """How many writes were whole."""
        self._after = after
        self._tear = tear
        self._lose_unsynced = lose_unsynced
        self._cache: list[tuple[int, bytes]] = []
        self._is_off = False

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Read, the cache laid over the medium; or raise `PowerCut`."""
        self._check_power()
        super().read_into(offset, buffer)
        for start, content in self._cache:
            begin, end = max(start, offset), min(start + len(content), offset + len(buffer))
            if begin < end:
                buffer[begin - offset : end - offset] = content[begin - start : end - start]

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write; or tear this write and raise `PowerCut`."""
        self._check_power()
        if self.writes == self._after:
            self.cut()
            if self._tear:
                super().write(offset, memoryview(data)[: self._tear])
            self._check_power()
        self.writes += 1
        if self._lose_unsynced:
            self._cache.append((offset, bytes(data)))
        else:
            super().write(offset, data)

    def sync(self) -> None:
        """Empty the cache onto the medium; or raise `PowerCut`."""
        self._check_power()
        for offset, content in self._cache:
            super().write(offset, content)
        self._cache.clear()
        super().sync()

    def cut(self) -> None:
        """Cut the power now."""
        self._is_off = True
        self._cache.clear()

    def _check_power(self) -> None:
        if self._is_off:
            raise PowerCut


class FailingDisk(_Wrapper):
    """A disk that fails with `DeviceIOError` where ``fails`` says so."""

    def __init__(self, disk: Disk, fails: Callable[[Operation], bool]) -> None:
        """Ask ``fails`` before each operation; what it says yes to fails.

        See `at` for the usual case.
        """
        super().__init__(disk)
        self.fails = fails

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Read, or fail."""
        self._ask(Operation("read", offset, len(buffer)))
        super().read_into(offset, buffer)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write, or fail."""
        self._ask(Operation("write", offset, len(data)))
        super().write(offset, data)

    def sync(self) -> None:
        """Sync, or fail."""
        self._ask(Operation("sync"))
        super().sync()

    def _ask(self, operation: Operation) -> None:
        if self.fails(operation):
            raise DeviceIOError(self.name, operation.kind, operation.offset, "bad sector")


def at(kind: str, *offsets: int) -> Callable[[Operation], bool]:
    """Return what makes a `FailingDisk` fail: operations of ``kind`` that touch an offset.

    Args:
        kind: "read", "write" or "sync"; syncs fail whatever the offsets.
        offsets: bytes of the device that are bad.
    """

    def fails(operation: Operation) -> bool:
        end = operation.offset + operation.length
        touched = kind == "sync" or any(operation.offset <= bad < end for bad in offsets)
        return operation.kind == kind and touched

    return fails
