"""The superblock of dm-integrity: computed, written, and compared byte for byte."""

import struct

from cloudcrypt.disk import ReadableDisk, read
from cloudcrypt.errors import SuperblockRefused
from cloudcrypt.integrity.geometry import (
    LOG2_INTERLEAVE,
    SUPERBLOCK_OFFSET,
    TAG_SIZE,
    Geometry,
)
from cloudcrypt.profiles import SECTOR_SIZE

MAGIC = b"integrt\0"
VERSION = 4
FLAG_FIX_PADDING = 8
LOG2_SECTORS_PER_BLOCK = 3
LOG2_BLOCKS_PER_BITMAP = 12

# magic, version, log2_interleave_sectors, integrity_tag_size, journal_sections,
# provided_data_sectors, flags, log2_sectors_per_block, log2_blocks_per_bitmap_bit, pad,
# recalc_sector, pad, salt; drivers/md/dm-integrity.c, little-endian
_SUPERBLOCK = struct.Struct("<8sBbHIQIBB2xQ8x16s")

FIELDS = (
    "magic",
    "version",
    "log2_interleave",
    "tag_size",
    "journal_sections",
    "provided_sectors",
    "flags",
    "log2_sectors_per_block",
    "log2_blocks_per_bitmap",
    "recalc_sector",
    "salt",
)


def build(geometry: Geometry) -> bytes:
    """Return the 4096 bytes of the superblock of a volume with this geometry."""
    packed = _SUPERBLOCK.pack(
        MAGIC,
        VERSION,
        LOG2_INTERLEAVE,
        TAG_SIZE,
        geometry.journal_sections,
        geometry.provided_units,
        FLAG_FIX_PADDING,
        LOG2_SECTORS_PER_BLOCK,
        LOG2_BLOCKS_PER_BITMAP,
        0,
        bytes(16),
    )
    return packed.ljust(SECTOR_SIZE, b"\0")


def require(volume: str, disk: ReadableDisk, geometry: Geometry) -> None:
    """Refuse unless the superblock on ``disk`` is the computed one, byte for byte.

    Raises:
        SuperblockRefused: it is not; the first field that differs is named.
        DeviceIOError: the device failed.
    """
    found, expected = read(disk, SUPERBLOCK_OFFSET, SECTOR_SIZE), build(geometry)
    if found == expected:
        return
    stated, computed = fields(found), fields(expected)
    for field, value in computed.items():
        if stated[field] != value:
            raise SuperblockRefused(volume, field, stated[field], value)
    raise SuperblockRefused(volume, "padding", "not zero", "zero")


def fields(content: bytes) -> dict[str, object]:
    """Return what a superblock says, by name; for people, nothing is checked."""
    return dict(zip(FIELDS, _SUPERBLOCK.unpack_from(content), strict=True))
