"""Where data, tags and journal of a dm-integrity volume are; everything follows from two numbers.

The layout is the kernel's (drivers/md/dm-integrity.c) for what LUKS2 makes of it: 4096-byte
sectors, 32-byte tags, 2^15 interleaved 512-byte units, the superblock at 16 MiB. A name that says
``unit`` counts 512 bytes; offsets are in bytes.
"""

from typing import Self

import attrs

from cloudcrypt.luks2 import layout
from cloudcrypt.profiles import SECTOR_SIZE

UNIT = 512
TAG_SIZE = 32
UNITS_PER_SECTOR = SECTOR_SIZE // UNIT
LOG2_INTERLEAVE = 15
INTERLEAVE_UNITS = 1 << LOG2_INTERLEAVE
SECTORS_PER_RUN = INTERLEAVE_UNITS // UNITS_PER_SECTOR
"""Data sectors whose tags lie together in front of them: 4096, 16 MiB."""

TAG_RUN_SIZE = SECTORS_PER_RUN * TAG_SIZE
"""Bytes of the tags of one run: 128 KiB."""

RUN_SIZE = SECTORS_PER_RUN * SECTOR_SIZE + TAG_RUN_SIZE
"""Bytes of one run, its tags first."""

SUPERBLOCK_OFFSET = layout.DATA_OFFSET
JOURNAL_OFFSET = SUPERBLOCK_OFFSET + SECTOR_SIZE
SECTION_ENTRIES = 32
SECTION_ENTRY_UNITS = 8
SECTION_UNITS = SECTION_ENTRY_UNITS + SECTION_ENTRIES * UNITS_PER_SECTOR
SECTION_SIZE = SECTION_UNITS * UNIT
"""Bytes of a journal section: 32 entries in 4 KiB, then their data."""

_JOURNAL_UNITS_MAX = 131072
"""The largest journal libcryptsetup and the kernel choose by themselves: 64 MiB."""


@attrs.frozen
class Geometry:
    """The two numbers: sections of the journal, fixed at format, and units of payload."""

    journal_sections: int
    provided_units: int

    @classmethod
    def of(cls, capacity: int, journal_sections: int | None = None) -> Self:
        """Return the geometry of a device of ``capacity`` bytes.

        Args:
            capacity: bytes of the device that count, header included.
            journal_sections: of a volume that has grown since it was formatted; by default what a
                device of this capacity gets.
        """
        sections = sections_of(capacity) if journal_sections is None else journal_sections
        return cls(sections, _provided(capacity // UNIT, sections))

    @property
    def runs_offset(self) -> int:
        """Byte offset of the first run, behind the journal."""
        return JOURNAL_OFFSET + self.journal_sections * SECTION_SIZE

    @property
    def sectors(self) -> int:
        """Sectors of payload."""
        return self.provided_units // UNITS_PER_SECTOR

    @property
    def payload_size(self) -> int:
        """Bytes of payload."""
        return self.provided_units * UNIT

    def data_offset(self, sector: int) -> int:
        """Return the byte offset of the ciphertext of a payload sector."""
        run, index = divmod(sector, SECTORS_PER_RUN)
        return self.runs_offset + run * RUN_SIZE + TAG_RUN_SIZE + index * SECTOR_SIZE

    def tag_offset(self, sector: int) -> int:
        """Return the byte offset of the tag of a payload sector."""
        run, index = divmod(sector, SECTORS_PER_RUN)
        return self.runs_offset + run * RUN_SIZE + index * TAG_SIZE

    def section_offset(self, section: int) -> int:
        """Return the byte offset of a journal section."""
        return JOURNAL_OFFSET + section * SECTION_SIZE


def sections_of(capacity: int) -> int:
    """Return the sections of the journal that a device of ``capacity`` bytes is formatted with."""
    return max(1, min(_JOURNAL_UNITS_MAX, capacity // UNIT >> 7) // SECTION_UNITS)


def _provided(device_units: int, sections: int) -> int:
    """Return the largest number of payload units whose last one lies within the device."""
    runs = JOURNAL_OFFSET // UNIT + sections * SECTION_UNITS
    tag_units = TAG_RUN_SIZE // UNIT
    provided = 0
    for bit in reversed(range(3, device_units.bit_length())):
        last = (provided | 1 << bit) - 1
        run, index = last >> LOG2_INTERLEAVE, last & (INTERLEAVE_UNITS - 1)
        if runs + (run << LOG2_INTERLEAVE) + (run + 1) * tag_units + index < device_units:
            provided |= 1 << bit
    return provided
