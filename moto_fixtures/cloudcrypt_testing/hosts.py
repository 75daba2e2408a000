"""A host whose devices are in memory: what `cloudcrypt.stage.Stage` takes as ``open_disk``.

    host = MemoryHost()
    device = host.add("vol-1", 32 * MIB)
    stage = Stage(ledger, keys, UserspaceMapper(), open_disk=host.open_disk)

Devices are locked as `cloudcrypt.disk.FileDisk` locks them: one writer, or readers only.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from cloudcrypt.disk import Disk
from cloudcrypt.errors import DeviceBusy, DeviceUnavailable
from cloudcrypt.model import BlockDevice
from cloudcrypt_testing.disks import MemoryDisk

_FOLDER = Path("/dev/memory")


def unchanged(disk: Disk) -> Disk:
    """Return ``disk`` itself: what a host does with its disks unless told otherwise."""
    return disk


class MemoryHost:
    """Devices in memory, by path; ``wrap`` is what `open_disk` puts around each."""

    def __init__(self, wrap: Callable[[Disk], Disk] = unchanged) -> None:
        """Start without devices."""
        self.disks: dict[Path, MemoryDisk] = {}
        self.wrap = wrap
        self._open: list[tuple[Path, bool]] = []

    def add(self, volume_id: str, content: MemoryDisk | int) -> BlockDevice:
        """Add or replace a device; ``content`` is a disk, or the size in bytes of a blank one."""
        path = _FOLDER / volume_id
        self.disks[path] = MemoryDisk(content) if isinstance(content, int) else content
        return self.device(volume_id)

    def device(self, volume_id: str) -> BlockDevice:
        """Return the device of ``volume_id``, as if it had been located."""
        path = _FOLDER / volume_id
        return BlockDevice(volume_id, path, self.disks[path].size)

    def copy(self) -> "MemoryHost":
        """Return an independent host with the same devices, none of them open."""
        twin = MemoryHost()
        twin.disks = {path: disk.copy() for path, disk in self.disks.items()}
        return twin

    def open_disk(self, path: Path, /, *, writable: bool = False) -> "OpenMemoryDisk":
        """Open the device at ``path``; see `cloudcrypt.disk.OpenDisk`."""
        if path not in self.disks:
            raise DeviceUnavailable(str(path), "No such file or directory")
        if any(at == path and (writable or exclusive) for at, exclusive in self._open):
            raise DeviceBusy(str(path))
        self._open.append((path, writable))
        return OpenMemoryDisk(self, path, writable=writable)

    def users(self, path: Path) -> int:
        """Return how many have the device at ``path`` open."""
        return sum(at == path for at, _ in self._open)

    def closed(self, path: Path, *, writable: bool) -> None:
        """Take note that what `open_disk` returned was closed."""
        self._open.remove((path, writable))


class OpenMemoryDisk:
    """A device of a `MemoryHost` while it is open; see `cloudcrypt.disk.HostDisk`."""

    def __init__(self, host: MemoryHost, path: Path, *, writable: bool) -> None:
        """Made by `MemoryHost.open_disk` alone."""
        self._host = host
        self._path = path
        self._writable = writable
        self._disk = host.wrap(host.disks[path])
        self._size = self._disk.size
        self.is_closed = False

    @property
    def name(self) -> str:
        """The path it was opened by."""
        return str(self._path)

    @property
    def size(self) -> int:
        """Size in bytes when it was opened or refreshed."""
        return self._size

    @property
    def identity(self) -> tuple[int, int]:
        """A number of the host, and one of the device."""
        return id(self._host), id(self._host.disks[self._path])

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from byte ``offset``."""
        self._disk.read_into(offset, buffer)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at byte ``offset``."""
        self._disk.write(offset, data)

    def sync(self) -> None:
        """Make everything written so far durable."""
        self._disk.sync()

    @property
    def knows_holes(self) -> bool:
        """Say what the disk below says."""
        return self._disk.knows_holes

    def require_unmapped(self) -> None:
        """Do nothing: no kernel maps what is in memory."""

    def is_shared(self) -> bool:
        """Say whether somebody else on this host has it open too."""
        return self._host.users(self._path) > 1

    def extents(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield what may hold something other than zeros."""
        yield from self._disk.extents(start, end)

    def refresh(self) -> None:
        """Take the device that is at the path now, which may be larger."""
        self._disk = self._host.wrap(self._host.disks[self._path])
        self._size = self._disk.size

    def close(self) -> None:
        """Close the disk and give up its lock. Idempotent."""
        if not self.is_closed:
            self.is_closed = True
            self._host.closed(self._path, writable=self._writable)

    def __enter__(self) -> Self:
        """Return self; leaving the block closes."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
