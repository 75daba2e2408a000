"""A disk as bytes at offsets: exact reads, exact writes, and errors that are never emptiness.

`FileDisk` serves image files and block devices alike. It needs no privilege beyond the permission
to open the path.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from cloudcrypt.blockdevices import SYSFS, holders, identity_of
from cloudcrypt.errors import DeviceBusy, DeviceIOError, DeviceUnavailable
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline

LOOKED_AT: Final = 3.0
"""Seconds for which the lock of a block device is waited for. udev holds a shared one while it
looks at a device that was written or closed (systemd, "Locking Block Device Access"): 50 ms, on a
busy host more. An image file is not waited for."""


class ReadableDisk(Protocol):
    """Bytes at offsets, to be read. All methods are safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """What messages call the disk."""
        ...

    @property
    def size(self) -> int:
        """Size in bytes, as found when the disk was opened."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from byte ``offset``.

        Raises:
            DeviceIOError: the device failed or ended early; the buffer's content is undefined.
        """
        ...


class Disk(ReadableDisk, Protocol):
    """Bytes at offsets, to be read and written."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at byte ``offset``; durable only after `sync`.

        Raises:
            DeviceIOError: the device failed; any part of ``data`` may have been written.
        """
        ...

    def sync(self) -> None:
        """Make everything written so far durable.

        Raises:
            DeviceIOError: the device failed; nothing written since the last sync is known to be
                durable.
        """
        ...

    @property
    def knows_holes(self) -> bool:
        """Whether `extents` leaves out what was never written; a block device cannot tell."""
        ...

    def extents(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of ``[start, end)`` that may hold something other than zeros.

        A device that cannot tell yields the whole range.
        """
        ...


class HostDisk(Disk, Protocol):
    """A disk of this host while it is open: it can be told from others, grows, and is closed."""

    @property
    def identity(self) -> tuple[int, int]:
        """What was opened, whatever its path names by now.

        See `cloudcrypt.blockdevices.identity_of`.
        """
        ...

    def refresh(self) -> None:
        """Take the size the device has now, after it was resized."""
        ...

    def require_unmapped(self) -> None:
        """Return if the kernel has nothing mapped on it; to be asked before its payload is read.

        A live mapping changes sectors and journal under a reader, and past what memory holds of
        the device, which is forgotten here: it may be from before a mapping that is gone.

        Raises:
            DeviceBusy: the kernel has.
            DeviceUnavailable, HostUnready: as `cloudcrypt.blockdevices.holders`.
        """
        ...

    def is_shared(self) -> bool:
        """Say whether somebody else on this host has it open too, right before closing."""
        ...

    def close(self) -> None:
        """Close the disk and give up its lock. Idempotent."""
        ...

    def __enter__(self) -> Self:
        """Return self; leaving the block closes."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Close."""
        ...


class OpenDisk(Protocol):
    """How a device is opened; `FileDisk` is how it is done."""

    def __call__(self, path: Path, /, *, writable: bool = False) -> HostDisk:
        """Open the device at ``path``, which must exist.

        Raises:
            DeviceUnavailable: it cannot be opened.
            DeviceBusy: another process has it open in a way that excludes this one.
        """
        ...


def probe(path: Path) -> tuple[tuple[int, int], int]:
    """Return identity and size of what is at ``path`` now, without a lock.

    Raises:
        DeviceUnavailable: it cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DeviceUnavailable(str(path), error.strerror or "unknown error") from error
    try:
        return identity_of(handle), os.lseek(handle, 0, os.SEEK_END)
    finally:
        os.close(handle)


def lock(name: str, descriptor: int, *, exclusive: bool, clock: Clock = SYSTEM_CLOCK) -> None:
    """Lock an open image file or block device, flock(2); a block device is waited for.

    Raises:
        DeviceBusy: somebody else still has a lock that excludes this one.
        DeviceUnavailable: there are no locks here.
    """
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    patience = LOOKED_AT if stat.S_ISBLK(os.fstat(descriptor).st_mode) else 0.0
    steps = Deadline.after(patience, clock=clock).steps(first=0.02, longest=0.25)
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not steps.again():
                raise DeviceBusy(name) from error
        except OSError as error:
            raise DeviceUnavailable(name, f"no lock: {error.strerror}") from error
        else:
            return


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable.

    Raises:
        OSError: it cannot be done.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(disk: ReadableDisk, offset: int, length: int) -> bytes:
    """Return exactly ``length`` bytes of ``disk`` from byte ``offset``.

    Raises:
        DeviceIOError: the device failed or ended early.
    """
    buffer = bytearray(length)
    disk.read_into(offset, memoryview(buffer))
    return bytes(buffer)


class FileDisk:
    """An image file or a block device.

    Opened for writing it is locked against every other cloudcrypt process on this host, a block
    device also against its use by the kernel; opened for reading it is locked against writers.
    """

    def __init__(
        self, path: Path | str, *, writable: bool = False, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """Open ``path``, which must exist.

        Raises:
            DeviceUnavailable: it does not exist, may not be opened, or is neither a regular file
                nor a block device.
            DeviceBusy: another process has it open in a way that excludes this one; a block
                device that is to be written is mounted, mapped or held otherwise.
        """
        self._path = str(path)
        self._clock = clock
        flags = os.O_CLOEXEC | os.O_NONBLOCK | (os.O_RDWR if writable else os.O_RDONLY)
        try:
            if writable and stat.S_ISBLK(Path(path).stat().st_mode):
                flags |= os.O_EXCL  # open(2): fails if the kernel has the block device in use
            self._fd = os.open(self._path, flags)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise DeviceBusy(self._path) from error
            raise DeviceUnavailable(self._path, error.strerror or "unknown error") from error
        try:
            self._size = self._admit(writable=writable)
        except BaseException:
            os.close(self._fd)
            raise

    def _admit(self, *, writable: bool) -> int:
        self._stat = os.fstat(self._fd)
        self._identity = identity_of(self._fd)
        if not (stat.S_ISREG(self._stat.st_mode) or stat.S_ISBLK(self._stat.st_mode)):
            raise DeviceUnavailable(self._path, "neither a regular file nor a block device")
        lock(self._path, self._fd, exclusive=writable, clock=self._clock)
        return os.lseek(self._fd, 0, os.SEEK_END)

    @property
    def name(self) -> str:
        """The path it was opened by."""
        return self._path

    @property
    def size(self) -> int:
        """Size in bytes when it was opened."""
        return self._size

    @property
    def identity(self) -> tuple[int, int]:
        """What was opened, whatever the path names by now; see `HostDisk.identity`."""
        return self._identity

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from byte ``offset``; see `Disk.read_into`."""
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._fd, [buffer[done:]], offset + done)
            except OSError as error:
                raise self._failed("read", offset + done, error) from error
            if count == 0:
                raise DeviceIOError(self._path, "read", offset + done, "the device ends here")
            done += count

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at byte ``offset``; see `Disk.write`."""
        view = memoryview(data)
        if offset + len(view) > self._size:
            raise DeviceIOError(self._path, "write", offset, "beyond the end of the device")
        done = 0
        while done < len(view):
            try:
                done += os.pwrite(self._fd, view[done:], offset + done)
            except OSError as error:
                raise self._failed("write", offset + done, error) from error

    def sync(self) -> None:
        """Make everything written so far durable; see `Disk.sync`."""
        if self._fd < 0:
            raise DeviceIOError(self._path, "flush", 0, "the disk is closed")
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self._failed("flush", 0, error) from error

    @property
    def knows_holes(self) -> bool:
        """True for an image file."""
        return stat.S_ISREG(self._stat.st_mode)

    def extents(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the allocated parts of ``[start, end)``; all of it on a block device."""
        if not self.knows_holes:
            yield start, end
            return
        position = start
        while position < end:
            try:
                begin = os.lseek(self._fd, position, os.SEEK_DATA)
                position = os.lseek(self._fd, begin, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:  # no data beyond ``position``
                    return
                raise self._failed("seek", position, error) from error
            if begin < end:
                yield begin, min(position, end)

    def require_unmapped(self) -> None:
        """Return if the kernel has nothing mapped on it; see `HostDisk.require_unmapped`."""
        if stat.S_ISBLK(self._stat.st_mode):
            number = f"{os.major(self._stat.st_rdev)}:{os.minor(self._stat.st_rdev)}"
            if holders(number, name=self._path, sysfs=SYSFS):
                raise DeviceBusy(self._path)
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def is_shared(self) -> bool:
        """Say whether somebody else on this host has it open too. To be asked right before closing.

        The answer costs the lock: what is asked for is the exclusive one.
        """
        try:
            lock(self._path, self._fd, exclusive=True, clock=self._clock)
        except (DeviceBusy, DeviceUnavailable):
            return True
        return False

    def refresh(self) -> None:
        """Take the size the device has now, after it was resized."""
        self._size = os.lseek(self._fd, 0, os.SEEK_END)

    def close(self) -> None:
        """Close the disk and give up its lock. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _failed(self, operation: str, offset: int, error: OSError) -> DeviceIOError:
        return DeviceIOError(self._path, operation, offset, error.strerror or "unknown error")

    def __enter__(self) -> Self:
        """Return self; leaving the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
