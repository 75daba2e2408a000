"""What a superblock says: which filesystem this is, how large, and whether it is whole.

Superblocks of ext4 (Documentation/filesystems/ext4/super.rst of Linux) and XFS (fs/xfs/libxfs/
xfs_format.h, ``struct xfs_dsb``) are read here, and no other: what is looked for is one known
filesystem, never whatever there might be. Both carry a checksum, without which nothing in them is
believed.
"""

import struct
import uuid
from collections.abc import Callable
from typing import Final

import attrs

from cloudcrypt.filesystem.crc32c import crc32c
from cloudcrypt.ledger import FilesystemKind

PROBED: Final = 32 * 1024
"""Bytes at the start of a payload that hold either superblock: XFS allows sectors of 32 KiB."""

_EXT4_OFFSET: Final = 1024
_EXT4_SIZE: Final = 1024
_EXT4_MAGIC: Final = 0xEF53
_HAS_JOURNAL: Final = 0x4  # compatible
_EXTENTS, _64BIT = 0x40, 0x80  # incompatible
_METADATA_CSUM: Final = 0x400  # read-only compatible
_CRC32C: Final = 1
_ERRORS: Final = 0x2  # state
_MARGIN: Final = 50  # resize2fs: blocks that the last group must have beyond its own metadata

_XFS_MAGIC: Final = b"XFSB"
_XFS_CRC_OFFSET: Final = 224
_XFS_VERSION: Final = 5
_XFS_AG_MIN: Final = 64  # XFS_MIN_AG_BLOCKS
_XFS_SECTORS: Final = (512, PROBED)


@attrs.frozen
class Superblock:
    """A superblock whose checksum is right.

    Sizes are in bytes. ``size`` is that of the filesystem; ``slack`` is how much of a device a
    filesystem may leave unused at its end and still be as large as it can be. ``log_size`` counts
    the log of XFS if it lies within the filesystem. ``has_errors`` says that the kernel has met
    errors, which ext4 records.
    """

    kind: FilesystemKind
    uuid: str
    size: int
    block_size: int
    slack: int
    log_size: int = 0
    has_errors: bool = False

    def __str__(self) -> str:
        """Return kind and UUID for a message."""
        return f"{self.kind.value} {self.uuid}"

    def fills(self, device_size: int) -> bool:
        """Say whether a device of that size offers nothing more to this filesystem."""
        return device_size - self.size < self.slack


def superblock_in(start: bytes) -> Superblock | None:
    """Return the superblock in the first `PROBED` bytes of a payload.

    None means that there is neither one of ext4 (with journal, extents and checksums) nor one of
    XFS version 5 (complete, with a right checksum). It does not mean that the payload is empty.
    """
    found = [parse(start) for parse in _PARSERS]
    known = [each for each in found if each is not None]
    return known[0] if len(known) == 1 else None  # both at once: neither can be whole


def _ext4(start: bytes) -> Superblock | None:
    block = start[_EXT4_OFFSET : _EXT4_OFFSET + _EXT4_SIZE]
    if len(block) < _EXT4_SIZE or _u16(block, 0x38) != _EXT4_MAGIC:
        return None
    compatible, incompatible, readonly = struct.unpack_from("<3I", block, 0x5C)
    has_all = compatible & _HAS_JOURNAL and incompatible & _EXTENTS and readonly & _METADATA_CSUM
    if not has_all or block[0x175] != _CRC32C or crc32c(block[:0x3FC]) != _u32(block, 0x3FC):
        return None
    block_size = 1024 << (_u32(block, 0x18) & 0x1F)
    blocks = _u32(block, 0x4)
    descriptor_size = 32
    if incompatible & _64BIT:
        blocks |= _u32(block, 0x150) << 32
        descriptor_size = _u16(block, 0xFE)
    per_group = max(1, _u32(block, 0x20))
    inode_blocks = _blocks(_u32(block, 0x28) * _u16(block, 0x58), block_size)
    descriptor_blocks = _blocks(-(-blocks // per_group) * descriptor_size, block_size)
    # resize2fs and the kernel leave the last group out if it would hold little but its metadata:
    # two bitmaps, inodes, and perhaps a copy of superblock and descriptors, those to come included.
    metadata = 2 + inode_blocks + 1 + 2 * descriptor_blocks + _u16(block, 0xCE)
    return Superblock(
        FilesystemKind.EXT4,
        str(uuid.UUID(bytes=block[0x68:0x78])),
        blocks * block_size,
        block_size,
        (metadata + _MARGIN) * block_size,
        has_errors=bool(_u16(block, 0x3A) & _ERRORS),
    )


def _xfs(start: bytes) -> Superblock | None:
    if start[:4] != _XFS_MAGIC or len(start) < PROBED:
        return None
    block_size, blocks = struct.unpack_from(">IQ", start, 4)
    (log_start,) = struct.unpack_from(">Q", start, 48)
    log_blocks, version, sector_size = struct.unpack_from(">IHH", start, 96)
    is_whole = version & 0xF == _XFS_VERSION and start[126] == 0  # not in the course of being made
    low, high = _XFS_SECTORS
    if not is_whole or not low <= sector_size <= high:
        return None
    crc = crc32c(start[:_XFS_CRC_OFFSET])
    crc = crc32c(bytes(4) + start[_XFS_CRC_OFFSET + 4 : sector_size], crc)
    if crc ^ 0xFFFFFFFF != _u32(start, _XFS_CRC_OFFSET):
        return None
    return Superblock(
        FilesystemKind.XFS,
        str(uuid.UUID(bytes=start[32:48])),
        blocks * block_size,
        block_size,
        _XFS_AG_MIN * block_size,
        log_blocks * block_size if log_start else 0,
    )


_PARSERS: Final[tuple[Callable[[bytes], Superblock | None], ...]] = (_ext4, _xfs)


def _u16(block: bytes, offset: int) -> int:
    return int.from_bytes(block[offset : offset + 2], "little")


def _u32(block: bytes, offset: int) -> int:
    return int.from_bytes(block[offset : offset + 4], "little")


def _blocks(size: int, block_size: int) -> int:
    return -(-size // block_size)
