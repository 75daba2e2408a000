"""The kernel's device-mapper through its ioctls: what is mapped, how, and how it is removed.

Source of numbers and layouts: include/uapi/linux/dm-ioctl.h. No external tool is asked.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
from pathlib import Path
from typing import Final, Protocol

import attrs

from cloudcrypt.blockdevices import SYSFS, holders
from cloudcrypt.errors import DeviceBusy, HostUnready, MappingFailed
from cloudcrypt.mapper._names import node

_CONTROL: Final = Path("/dev/mapper/control")
_VERSION: Final = (4, 27, 0)  # the first with deferred removal: Linux 3.13
# version, data_size, data_start, target_count, open_count, flags, event_nr, padding, dev, name,
# uuid, data
_HEADER: Final = struct.Struct("=3I2IIiIIIQ128s129s7s")
_TARGET: Final = struct.Struct("=QQiI16s")  # start, length, status, next, type
_CREATE, _REMOVE, _SUSPEND, _LOAD, _TABLE = 3, 4, 6, 9, 12
_MAGIC: Final = 0xFD
_READONLY, _SUSPENDED, _STATUS_TABLE, _INACTIVE = 1 << 0, 1 << 1, 1 << 4, 1 << 6
_FULL, _SECURE, _DEFERRED = 1 << 8, 1 << 15, 1 << 17
_ROOM: Final = 16384  # bytes; the tables here have some 300


@attrs.frozen
class Target:
    """One line of a table; ``start`` and ``length`` in sectors of 512 bytes."""

    start: int
    length: int
    kind: str
    parameters: str


@attrs.frozen
class Active:
    """A device-mapper device as it is now.

    ``number`` is ``major:minor``. ``sequence`` tells it from one that had the same number before;
    None where the kernel does not say (before Linux 5.15).
    """

    name: str
    uuid: str
    number: str
    users: int
    readonly: bool
    suspended: bool
    leaving: bool
    pending: bool
    targets: tuple[Target, ...]
    sequence: int | None

    @property
    def sectors(self) -> int:
        """The size in sectors of 512 bytes."""
        return sum(target.length for target in self.targets)


class Devices(Protocol):
    """What the mapper asks of the device-mapper; `DeviceMapper` is the kernel's."""

    def find(self, name: str) -> Active | None:
        """Return the device of this name, if there is one.

        A key that stands in the table itself is not in what is returned.

        Raises:
            HostUnready: this host has no device-mapper, or does not let this process use it.
            MappingFailed: the kernel does not say; that is not absence.
        """
        ...

    def remove(self, name: str, *, deferred: bool = False) -> None:
        """Remove a device and its node; nothing happens if it is gone. What it was is not asked.

        Args:
            name: which one.
            deferred: as soon as its last user has closed it.

        Raises:
            DeviceBusy: it is in use, and the removal is not deferred.
            MappingFailed: the kernel refused.
        """
        ...

    def limit(self, name: str, uuid: str, number: str, sectors: int) -> Active:
        """Make a device of the first ``sectors`` sectors of device ``number``.

        Raises:
            DeviceBusy: the device below is in use.
            MappingFailed: the kernel refused, or the name is taken.
        """
        ...

    def holders(self, number: str) -> tuple[str, ...]:
        """Return the kernel's devices that device ``number`` is part of.

        Raises:
            DeviceUnavailable: it is gone.
            HostUnready: there is no sysfs.
        """
        ...


class DeviceMapper:
    """The kernel's device-mapper; see `Devices`."""

    def __init__(self, control: Path = _CONTROL, sysfs: Path = SYSFS) -> None:
        """Ask by the device at ``control``; ``sysfs`` tells one device from the next."""
        self._control = control
        self._sysfs = sysfs

    def find(self, name: str) -> Active | None:
        """Return the device of this name, if there is one; see `Devices.find`."""
        buffer = bytearray(_ROOM)
        try:
            self._ask(_TABLE, name, flags=_STATUS_TABLE | _SECURE, buffer=buffer)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None
            raise _failed(name, "looking at the table", error) from error
        try:
            return self._read(buffer)
        finally:
            buffer[:] = bytes(len(buffer))

    def remove(self, name: str, *, deferred: bool = False) -> None:
        """Remove a device; see `Devices.remove`."""
        try:
            self._ask(_REMOVE, name, flags=_DEFERRED if deferred else 0)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise DeviceBusy(str(node(name))) from error
            if error.errno != errno.ENXIO:
                raise _failed(name, "removal", error) from error
        _remove_node(node(name))

    def limit(self, name: str, uuid: str, number: str, sectors: int) -> Active:
        """Make a device of the first sectors of another one; see `Devices.limit`."""
        parameters = f"{number} 0".encode()
        size = _TARGET.size + (len(parameters) // 8 + 1) * 8
        target = _TARGET.pack(0, sectors, 0, size, b"linear") + parameters
        try:
            self._ask(_CREATE, name, uuid=uuid)
        except OSError as error:
            raise _failed(name, "creation", error) from error
        try:
            self._ask(_LOAD, name, payload=target.ljust(size, b"\0"), targets=1)
            self._ask(_SUSPEND, name)  # without the flag it resumes, which makes the table live
        except OSError as error:
            self.remove(name)
            if error.errno == errno.EBUSY:
                raise DeviceBusy(number) from error
            raise _failed(name, "creation", error) from error
        made = self.find(name)
        if made is None:
            raise MappingFailed(name, "creation", errno.ENXIO, "it is gone again")
        return made

    def holders(self, number: str) -> tuple[str, ...]:
        """Return what a device is part of; see `Devices.holders`."""
        return holders(number, sysfs=self._sysfs)

    def _ask(
        self,
        command: int,
        name: str,
        *,
        uuid: str = "",
        flags: int = 0,
        payload: bytes = b"",
        targets: int = 0,
        buffer: bytearray | None = None,
    ) -> None:
        """Do one ioctl; the answer is in ``buffer``.

        Raises:
            OSError: the kernel refused.
            HostUnready: there is no device-mapper here.
        """
        if buffer is None:
            buffer = bytearray(_HEADER.size + len(payload))
        fields = (len(buffer), _HEADER.size, targets, 0, flags, 0, 0, 0)
        named = (name.encode(), uuid.encode(), b"")
        _HEADER.pack_into(buffer, 0, *_VERSION, *fields, *named)
        buffer[_HEADER.size : _HEADER.size + len(payload)] = payload
        control = self._opened()
        try:
            fcntl.ioctl(control, _request(command), buffer, True)  # noqa: FBT003
        finally:
            os.close(control)

    def _opened(self) -> int:
        try:
            return os.open(self._control, os.O_RDWR | os.O_CLOEXEC)
        except PermissionError as error:
            what = f"permission to use the device-mapper ({self._control})"
            raise HostUnready(what, "run as root, or with CAP_SYS_ADMIN") from error
        except OSError as error:
            what = f"the device-mapper ({self._control}: {error.strerror})"
            raise HostUnready(what, "modprobe dm_mod, or map volumes in user space") from error

    def _read(self, buffer: bytearray) -> Active:
        """Return what an answer says.

        Raises:
            MappingFailed: it is longer than any table of ours.
        """
        values = _HEADER.unpack_from(buffer)
        start, count, users, flags, device = values[4], values[5], values[6], values[7], values[10]
        name, uuid = _text(values[11]), _text(values[12])
        if flags & _FULL:
            raise MappingFailed(name, "looking at the table", errno.E2BIG, "it is too long")
        number = f"{os.major(device)}:{os.minor(device)}"
        return Active(
            name,
            uuid,
            number,
            users,
            bool(flags & _READONLY),
            bool(flags & _SUSPENDED),
            bool(flags & _DEFERRED),
            bool(flags & _INACTIVE),
            _targets(buffer, start, count),
            self._sequence(number),
        )

    def _sequence(self, number: str) -> int | None:
        try:
            return int((self._sysfs / "dev/block" / number / "diskseq").read_text("ascii"))
        except (OSError, ValueError):
            return None


def _remove_node(path: Path) -> None:
    """Remove what libdevmapper made where there is no udev; udev has links, and removes them."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISBLK(path.lstat().st_mode):
            path.unlink()


def _request(command: int) -> int:
    """Return the number of an ioctl that reads and writes a ``struct dm_ioctl``."""
    return 3 << 30 | _HEADER.size << 16 | _MAGIC << 8 | command


def _targets(buffer: bytearray, start: int, count: int) -> tuple[Target, ...]:
    found, at = list[Target](), start
    for _ in range(count):
        begin, length, _, following, kind = _TARGET.unpack_from(buffer, at)
        text = buffer[at + _TARGET.size : start + following].split(b"\0", 1)[0]
        if _text(kind) == "crypt":
            _hide_key(text)
        found.append(Target(begin, length, _text(kind), text.decode("ascii", "replace")))
        at = start + following
    return tuple(found)


HIDDEN: Final = "hidden"
"""What stands in the place of a key that the table itself shows."""


def _hide_key(parameters: bytearray) -> None:
    """Overwrite the key of a crypt target, unless it is a reference to a keyring."""
    begin = parameters.find(b" ") + 1
    end = parameters.find(b" ", begin)
    if begin and end > begin and parameters[begin] != ord(":"):
        parameters[begin:end] = bytes(end - begin)
        parameters[begin:end] = HIDDEN.encode()


def _text(field: bytes) -> str:
    return bytes(field).split(b"\0", 1)[0].decode("ascii", "replace")


def _failed(name: str, operation: str, error: OSError) -> MappingFailed:
    code, reason = error.errno or 0, error.strerror or "unknown error"
    return MappingFailed(name, operation, code, reason)
