"""CRC-32C (Castagnoli), with which ext4 and XFS protect their superblocks."""

from typing import Final

_POLYNOMIAL: Final = 0x82F63B78  # RFC 3720, appendix B.4, bits reflected


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(map(_entry, range(256)))


def crc32c(content: bytes, state: int = 0xFFFFFFFF) -> int:
    """Return the state of the checksum after ``content``; a usual CRC inverts it at the end.

    Args:
        content: a superblock; there is no need to be fast.
        state: what came before.
    """
    for byte in content:
        state = state >> 8 ^ _TABLE[(state ^ byte) & 0xFF]
    return state
