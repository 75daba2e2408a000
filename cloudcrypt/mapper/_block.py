"""A block device as the kernel knows it, and its sectors past the page cache."""

import mmap
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import attrs

from cloudcrypt.blockdevices import identity_of
from cloudcrypt.disk import HostDisk, lock
from cloudcrypt.errors import (
    DeviceIOError,
    DeviceMismatch,
    DeviceUnavailable,
    UnsupportedOperation,
)
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.waiting import Clock


class Sectors(Protocol):
    """Sectors of 4096 bytes that are read from the device itself, whatever memory has of them."""

    def read(self, offset: int) -> bytes:
        """Return the 4096 bytes at byte ``offset``, a multiple of 4096.

        Raises:
            DeviceIOError: the device failed; the cause is an ``OSError`` with its errno.
        """
        ...


@attrs.frozen
class Block:
    """A block device that is open for reading, not exclusively.

    ``number`` is ``major:minor``, ``identity`` is that of `cloudcrypt.blockdevices.identity_of`,
    ``size`` in bytes as it was when it was opened.
    """

    name: str
    descriptor: int
    number: str
    identity: tuple[int, int]
    size: int

    def forget_cached(self) -> None:
        """Have memory forget what it holds of the device and need not write.

        What device-mapper writes goes past that memory, which may have been read before.
        """
        os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def keep_others_off(self, *, writable: bool, clock: Clock) -> None:
        """Lock the device until it is closed here, as `cloudcrypt.disk.FileDisk` does.

        Between the hold of user space and that of the kernel nobody has the device: who opens it
        then must not go on reading when it is mapped.

        Raises:
            DeviceBusy: somebody has it open.
        """
        lock(self.name, self.descriptor, exclusive=writable, clock=clock)


@contextmanager
def opened_beside(disk: HostDisk) -> Generator[Block]:
    """Open the device of ``disk`` once more, so that it stays the same when ``disk`` is closed.

    Raises:
        DeviceMismatch: its path names another device by now.
        UnsupportedOperation: it is an image file.
        DeviceUnavailable: it cannot be opened.
    """
    descriptor = _opened(disk.name, os.O_RDONLY)
    try:
        found = os.fstat(descriptor)
        identity = identity_of(descriptor)
        if identity != disk.identity:
            raise DeviceMismatch(disk.name, identity, disk.identity)
        if not stat.S_ISBLK(found.st_mode):
            raise UnsupportedOperation(
                "mapping an image file with the kernel",
                "attach it as a block device (losetup), or map it in user space",
            )
        size = os.lseek(descriptor, 0, os.SEEK_END)
        yield Block(disk.name, descriptor, number_of(found), identity, size)
    finally:
        os.close(descriptor)


def number_of(found: os.stat_result) -> str:
    """Return ``major:minor`` of the block device with this status."""
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"


def opened_mapping(path: Path, number: str, *, writable: bool) -> int:
    """Return a descriptor of the mapping at ``path``, which must be device ``number``.

    Raises:
        DeviceUnavailable: it cannot be opened.
        DeviceMismatch: the path is that of another device.
    """
    descriptor = _opened(str(path), os.O_RDWR if writable else os.O_RDONLY)
    found = os.fstat(descriptor)
    if not stat.S_ISBLK(found.st_mode) or number_of(found) != number:
        os.close(descriptor)
        raise DeviceMismatch(str(path), number_of(found), number)
    return descriptor


class DirectSectors:
    """Sectors of an open block device, by ``O_DIRECT``; see `Sectors`."""

    def __init__(self, name: str, descriptor: int) -> None:
        """Open the device of ``descriptor`` once more; ``name`` is what errors call it.

        Raises:
            DeviceUnavailable: it cannot be opened this way.
        """
        self._name = name
        self._buffer = mmap.mmap(-1, SECTOR_SIZE)  # a page of its own: aligned as O_DIRECT wants
        self._descriptor = _opened(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_DIRECT)

    def read(self, offset: int) -> bytes:
        """Return a sector; see `Sectors.read`."""
        try:
            count = os.preadv(self._descriptor, [self._buffer], offset)
        except OSError as error:
            reason = error.strerror or "unknown error"
            raise DeviceIOError(self._name, "read", offset, reason) from error
        if count < SECTOR_SIZE:
            raise DeviceIOError(self._name, "read", offset, "the device ends here")
        return self._buffer[:]

    def close(self) -> None:
        """Close the device, and leave nothing of what was read in memory."""
        self._buffer[:] = bytes(SECTOR_SIZE)
        self._buffer.close()
        os.close(self._descriptor)


@contextmanager
def direct(name: str, descriptor: int) -> Generator[DirectSectors]:
    """Yield the sectors of an open block device; errors as `DirectSectors`."""
    sectors = DirectSectors(name, descriptor)
    try:
        yield sectors
    finally:
        sectors.close()


def _opened(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise DeviceUnavailable(path, error.strerror or "unknown error") from error
