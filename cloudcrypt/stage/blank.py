"""Whether a device is blank: the condition for formatting it."""

from collections.abc import Iterator

from cloudcrypt.disk import Disk, read
from cloudcrypt.errors import DeviceNotBlank
from cloudcrypt.integrity import Geometry
from cloudcrypt.integrity.geometry import SECTORS_PER_RUN
from cloudcrypt.ledger import Record
from cloudcrypt.luks2 import layout
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE
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
        _require_zeros(disk, begin, end)


def require_blank_payload(disk: Disk, record: Record) -> None:
    """Refuse unless the device of a formatted volume is blank wherever the payload is.

    As much is read as by `require_blank`; between the tags of a volume with integrity, too.

    Raises:
        DeviceNotBlank: something was written to the payload.
        DeviceIOError: it could not be read; that is not blank.
    """
    if record.mode is Mode.CRYPT:
        require_blank(disk, start=layout.DATA_OFFSET)
        return
    geometry = Geometry.of(record.capacity, record.journal_sections)
    for first, last in _samples(geometry.sectors):
        begin = geometry.data_offset(first)
        for low, high in disk.extents(begin, begin + (last - first) * SECTOR_SIZE):
            _require_zeros(disk, low, high)


def _require_zeros(disk: Disk, begin: int, end: int) -> None:
    for offset in range(begin, end, CHUNK):
        length = min(CHUNK, end - offset)
        if read(disk, offset, length) != _ZEROS[:length]:
            raise DeviceNotBlank(disk.name, offset)


def _samples(sectors: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of sectors, none of which crosses from one run to the next."""
    if sectors * SECTOR_SIZE <= READ_ALL:
        yield from _in_runs(0, sectors)
        return
    edge, length = EDGE // SECTOR_SIZE, PROBE_SIZE // SECTOR_SIZE
    yield from _in_runs(0, edge)
    for first in range(edge, sectors - edge, max(sectors // PROBES, length)):
        yield from _in_runs(first, min(first + length, sectors))
    yield from _in_runs(sectors - edge, sectors)


def _in_runs(first: int, last: int) -> Iterator[tuple[int, int]]:
    while first < last:
        end = min(last, (first // SECTORS_PER_RUN + 1) * SECTORS_PER_RUN)
        yield first, end
        first = end


def _regions(disk: Disk, start: int) -> Iterator[tuple[int, int]]:
    if disk.knows_holes or disk.size <= READ_ALL:
        yield from disk.extents(start, disk.size)
        return
    head = min(max(start, layout.DATA_OFFSET) + EDGE, disk.size)
    tail = max(disk.size - EDGE, head)
    yield start, head
    stride = (tail - head) // PROBES
    for offset in range(head, tail - PROBE_SIZE, max(stride, PROBE_SIZE)):
        yield offset, offset + PROBE_SIZE
    yield tail, disk.size
