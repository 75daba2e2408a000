"""Whether this host can map volumes by the kernel: the library, and the targets it has loaded."""

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from cloudcrypt.errors import HostUnready
from cloudcrypt.mapper._libcryptsetup import SONAME, load

CONTROL: Final = Path("/dev/mapper/control")

# include/uapi/linux/dm-ioctl.h: struct dm_ioctl up to its data, DM_LIST_VERSIONS, and the fixed
# part of struct dm_target_versions: the way to the next one, and a version
_HEADER: Final = struct.Struct("=3I2IIiIIIQ128s129s7s")
_LIST_VERSIONS: Final = 3 << 30 | _HEADER.size << 16 | 0xFD << 8 | 13
_VERSION: Final = struct.Struct("=I3I")
_ROOM: Final = 16384  # bytes; a kernel with all its targets needs some 1000


def find_library() -> str:
    """Return the name of the libcryptsetup that is used; it is loaded for that.

    Raises:
        HostUnready: it is missing, or older than 2.6.
    """
    load()
    return SONAME


def target_versions(control: Path = CONTROL) -> dict[str, str]:
    """Return the versions of the device-mapper targets that the kernel has loaded, by name.

    Others may be loaded when they are needed.

    Raises:
        HostUnready: there is no device-mapper, or this process may not ask it.
    """
    buffer = bytearray(_ROOM)
    _HEADER.pack_into(buffer, 0, 4, 0, 0, _ROOM, _HEADER.size, *[0] * 6, b"", b"", b"")
    try:
        device = os.open(control, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _LIST_VERSIONS, buffer, True)  # noqa: FBT003
        finally:
            os.close(device)
    except OSError as error:
        what = f"the device-mapper ({control}: {error.strerror})"
        raise HostUnready(what, "modprobe dm_mod, and run as root") from error
    return _parsed(buffer)


def _parsed(buffer: bytearray) -> dict[str, str]:
    """Return what an answer says."""
    values = _HEADER.unpack_from(buffer)
    end, at = values[3], values[4]
    found: dict[str, str] = {}
    while at + _VERSION.size <= end:
        following, *version = _VERSION.unpack_from(buffer, at)
        name = buffer[at + _VERSION.size : end].split(b"\0", 1)[0]
        if name:
            found[name.decode("ascii", "replace")] = ".".join(map(str, version))
        if not following:
            break
        at += following
    return found
