"""The block device of an open volume, held by a descriptor while something is done to it.

A path can name another device a moment later; a descriptor cannot. So a device is opened once,
proven to be the mapping of its volume, and from then on named by that descriptor, to programs too.
"""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

import attrs

from cloudcrypt.errors import DeviceBusy, DeviceIOError, DeviceMismatch, DeviceUnavailable
from cloudcrypt.filesystem.superblock import PROBED, Superblock, superblock_in

SYSFS: Final = Path("/sys")
_LUKS2: Final = "CRYPT-LUKS2-"  # libcryptsetup: the device-mapper UUID of a LUKS2 mapping

Number = tuple[int, int]
"""Major and minor number of a block device."""


@attrs.frozen
class Node:
    """An open device, or in tests an open file.

    ``path`` is what people call it, ``number`` is that of the device, ``size`` is in bytes as it
    was when it was opened.
    """

    path: Path
    descriptor: int
    number: Number
    size: int

    @property
    def pinned(self) -> str:
        """The path under which a program that inherits the descriptor finds this very device."""
        return f"/proc/self/fd/{self.descriptor}"

    def superblock(self) -> Superblock | None:
        """Return the superblock of the filesystem that is there; see `superblock_in`.

        Raises:
            DeviceIOError: it could not be read; that is not "none".
        """
        return superblock_in(self._read(min(PROBED, self.size)))

    def sync(self) -> None:
        """Make durable what was written to the device, by whomever, since it was opened.

        Raises:
            DeviceIOError: something of it was lost.
        """
        try:
            os.fsync(self.descriptor)
        except OSError as error:
            raise self._failed("flush", 0, error) from error

    def require_free(self) -> None:
        """Return if the kernel does not use the device, mounted for instance, in any namespace.

        Raises:
            DeviceBusy: it does, or a program has claimed it.
            DeviceUnavailable: the kernel does not say.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        if stat.S_ISBLK(os.fstat(self.descriptor).st_mode):
            flags |= os.O_EXCL  # open(2)
        try:
            os.close(os.open(self.pinned, flags))
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise DeviceBusy(str(self.path)) from error
            raise _unopened(self.path, error) from error

    def _read(self, length: int) -> bytes:
        content = bytearray()
        while len(content) < length:
            try:
                chunk = os.pread(self.descriptor, length - len(content), len(content))
            except OSError as error:
                raise self._failed("read", len(content), error) from error
            if not chunk:
                raise DeviceIOError(str(self.path), "read", len(content), "the device ends here")
            content += chunk
        return bytes(content)

    def _failed(self, operation: str, offset: int, error: OSError) -> DeviceIOError:
        reason = error.strerror or "unknown error"
        return DeviceIOError(str(self.path), operation, offset, reason)


class Nodes(Protocol):
    """How the device of an open volume is opened, and told from others."""

    def opened(self, path: Path, luks_uuid: str, *, writable: bool) -> AbstractContextManager[Node]:
        """Open the mapping at ``path`` for as long as a block runs.

        Args:
            path: of the mapping.
            luks_uuid: the UUID of the LUKS2 header of the volume.
            writable: for reading and writing.

        Raises:
            DeviceUnavailable: it cannot be opened.
            DeviceMismatch: it is not the mapping of that volume.
        """
        ...

    def is_of(self, number: Number, luks_uuid: str) -> bool:
        """Say whether device ``number`` is the mapping of the volume with that UUID."""
        ...


class MappingNodes:
    """The kernel's mappings; see `Nodes`.

    A device-mapper device has the UUID of the LUKS2 header in its own; no two of a host have the
    same. The kernel says it in sysfs, for as long as the device exists.
    """

    def __init__(self, sysfs: Path = SYSFS) -> None:
        """Ask ``sysfs``."""
        self._sysfs = sysfs

    @contextmanager
    def opened(self, path: Path, luks_uuid: str, *, writable: bool) -> Generator[Node]:
        """Open a mapping; see `Nodes.opened`."""
        flags = os.O_RDWR if writable else os.O_RDONLY
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _unopened(path, error) from error
        try:
            found = os.fstat(descriptor)
            number = os.major(found.st_rdev), os.minor(found.st_rdev)
            if not stat.S_ISBLK(found.st_mode):
                raise DeviceMismatch(str(path), "no block device", "a block device")
            name = self._name(number)
            if not _is_mapping(name, luks_uuid):
                raise DeviceMismatch(str(path), name or "no mapping", f"the mapping of {luks_uuid}")
            yield Node(path, descriptor, number, os.lseek(descriptor, 0, os.SEEK_END))
        finally:
            os.close(descriptor)

    def is_of(self, number: Number, luks_uuid: str) -> bool:
        """Say whether a device is that mapping; see `Nodes.is_of`."""
        return _is_mapping(self._name(number), luks_uuid)

    def _name(self, number: Number) -> str:
        """Return the device-mapper UUID of a device; none if it has none."""
        path = self._sysfs / f"dev/block/{number[0]}:{number[1]}/dm/uuid"
        try:
            return path.read_text("ascii").strip()
        except (OSError, UnicodeError):
            return ""


def _is_mapping(name: str, luks_uuid: str) -> bool:
    return name.startswith(f"{_LUKS2}{luks_uuid.replace('-', '')}-")


def _unopened(path: Path, error: OSError) -> DeviceUnavailable:
    return DeviceUnavailable(str(path), error.strerror or "unknown error")
