"""Whether a device is blank: the condition for formatting it."""

from collections.abc import Iterator

from cloudcrypt.disk import Disk, read
from cloudcrypt.errors import DeviceNotBlank
from cloudcrypt.luks2 import layout
from cloudcrypt.sizes import KIB, MIB

CHUNK = 1 * MIB
EDGE = 1 * MIB
"""Bytes looked at on each side of the payload: filesystems, partition tables and RAID metadata put
their signatures there (GPT: last 33 sectors; md 1.0: last 12 KiB; btrfs: at 64 KiB)."""

PROBES = 64
PROBE_SIZE = 64 * KIB
"""Evenly spaced samples of what lies between."""

READ_ALL = 256 * MIB
"""Up to this size everything is read."""

_ZEROS = bytes(CHUNK)


def require_blank(disk: Disk, *, start: int = 0) -> None:
    """Refuse unless ``disk`` reads as zeros from byte ``start``.

    An image file is read wherever it is allocated. A block device that cannot tell is read whole up
    to 256 MiB; above, the header's 16 MiB, 1 MiB at both ends of the payload and 64 samples between
    are read: a device in use has something there, though absence proves nothing.

    Raises:
        DeviceNotBlank: it holds something.
        DeviceIOError: it could not be read; that is not blank.
    """
    for begin, end in _regions(disk, start):
        for offset in range(begin, end, CHUNK):
            length = min(CHUNK, end - offset)
            if read(disk, offset, length) != _ZEROS[:length]:
                raise DeviceNotBlank(disk.name, offset)


def _regions(disk: Disk, start: int) -> Iterator[tuple[int, int]]:
    if disk.knows_holes or disk.size <= READ_ALL:
        yield from disk.extents(start, disk.size)
        return
    head = layout.DATA_OFFSET + EDGE
    tail = disk.size - EDGE
    yield start, head
    stride = (tail - head) // PROBES
    for offset in range(head, tail - PROBE_SIZE, max(stride, PROBE_SIZE)):
        yield offset, offset + PROBE_SIZE
    yield tail, disk.size
