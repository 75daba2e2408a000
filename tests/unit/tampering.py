"""What can be done to a disk with integrity by somebody who has every version of it but no key."""

import struct
from collections.abc import Callable

import attrs

from cloudcrypt.disk import Disk, read
from cloudcrypt.errors import IntegrityError, JournalRefused, SectorRefused, SuperblockRefused
from cloudcrypt.integrity import Geometry
from cloudcrypt.integrity.geometry import SECTION_SIZE, SUPERBLOCK_OFFSET, TAG_SIZE
from cloudcrypt.profiles import SECTOR_SIZE
from tests.unit import integrity_facts as facts

SECTOR = 3
"""The sector that tampering is about; its contents differ in all versions of the disk."""


@attrs.frozen
class Disks:
    """The versions of one disk that an adversary kept: before, with a live journal, and now."""

    geometry: Geometry
    older: Disk
    unclean: Disk
    now: Disk


@attrs.frozen
class Tampering:
    """One row of the table: what is done, what the stock kernel makes of it, and we."""

    name: str
    kernel: str
    refused: type[IntegrityError] | None
    apply: Callable[[Disks], None]


def field(offset: int, code: str, value: int) -> Callable[[Disks], None]:
    """Return what puts ``value`` into the superblock."""

    def apply(disks: Disks) -> None:
        disks.now.write(SUPERBLOCK_OFFSET + offset, struct.pack(f"<{code}", value))

    return apply


def provided(share: Callable[[int], int]) -> Callable[[Disks], None]:
    return lambda disks: field(16, "Q", share(disks.geometry.provided_units))(disks)


def zeroed(disks: Disks) -> None:
    disks.now.write(SUPERBLOCK_OFFSET, bytes(SECTOR_SIZE))


def flipped(where: Callable[[Geometry], int]) -> Callable[[Disks], None]:
    """Return what changes one bit at a place."""

    def apply(disks: Disks) -> None:
        offset = where(disks.geometry)
        disks.now.write(offset, bytes([read(disks.now, offset, 1)[0] ^ 0x10]))

    return apply


def journal_zeroed(disks: Disks) -> None:
    for section in range(disks.geometry.journal_sections):
        disks.now.write(disks.geometry.section_offset(section), bytes(SECTION_SIZE))


def journal_forged(disks: Disks) -> None:
    """Put an entry of his own into a journal that is right in every other way."""
    forged = (SECTOR * 8, b"\x66" * SECTOR_SIZE, b"\x77" * TAG_SIZE)
    for section in range(disks.geometry.journal_sections):
        image = facts.section_image(section, [1] * facts.SECTION_UNITS, [forged])
        disks.now.write(disks.geometry.section_offset(section), image)


def journal_of_before(disks: Disks) -> None:
    """Put back the journal of an earlier moment, as it was then."""
    for section in range(disks.geometry.journal_sections):
        offset = disks.geometry.section_offset(section)
        disks.now.write(offset, read(disks.unclean, offset, SECTION_SIZE))


def sector_of_before(disks: Disks) -> None:
    """Put back a sector of an earlier moment, with its own tag."""
    places = (
        (disks.geometry.data_offset(SECTOR), SECTOR_SIZE),
        (disks.geometry.tag_offset(SECTOR), TAG_SIZE),
    )
    for offset, length in places:
        disks.now.write(offset, read(disks.older, offset, length))


def sector_moved(disks: Disks) -> None:
    """Put another sector, with its own tag, into the place of one."""
    at, other = SECTOR, SECTOR + 1
    content = read(disks.now, disks.geometry.data_offset(other), SECTOR_SIZE)
    disks.now.write(disks.geometry.data_offset(at), content)
    content = read(disks.now, disks.geometry.tag_offset(other), TAG_SIZE)
    disks.now.write(disks.geometry.tag_offset(at), content)


REFUSED, ACCEPTED, ERRORS = "refused", "**accepted**", "every I/O is an error"
FOR_GOOD, ON_READ = "the sector is overwritten, and is an error for good", "error on read"

TAMPERINGS = (
    Tampering(
        "superblock: more provided than fits", REFUSED, SuperblockRefused, provided(lambda p: 4 * p)
    ),
    Tampering("superblock: tag size 16", REFUSED, SuperblockRefused, field(10, "H", 16)),
    Tampering("superblock: flag RECALCULATING", REFUSED, SuperblockRefused, field(24, "I", 8 | 2)),
    Tampering("superblock: flag JOURNAL_MAC", REFUSED, SuperblockRefused, field(24, "I", 8 | 1)),
    Tampering("superblock: flag INLINE", ACCEPTED, SuperblockRefused, field(24, "I", 8 | 32)),
    Tampering("superblock: 512-byte sectors", REFUSED, SuperblockRefused, field(28, "B", 0)),
    Tampering("superblock: zeroed", REFUSED, SuperblockRefused, zeroed),
    Tampering(
        "superblock: half provided, which truncates the volume",
        ACCEPTED,
        SuperblockRefused,
        provided(lambda p: p // 16 * 8),
    ),
    Tampering("superblock: another interleave", ACCEPTED, SuperblockRefused, field(9, "b", 14)),
    Tampering("superblock: fewer journal sections", ACCEPTED, SuperblockRefused, field(12, "I", 2)),
    Tampering("superblock: no flags", ACCEPTED, SuperblockRefused, field(24, "I", 0)),
    Tampering("superblock: flag DIRTY_BITMAP", ACCEPTED, SuperblockRefused, field(24, "I", 8 | 4)),
    Tampering("superblock: another version", ACCEPTED, SuperblockRefused, field(8, "B", 3)),
    Tampering("superblock: a salt", ACCEPTED, SuperblockRefused, field(48, "B", 1)),
    Tampering(
        "superblock: another bitmap exponent", ACCEPTED, SuperblockRefused, field(29, "B", 15)
    ),
    Tampering(
        "superblock: a bit of its padding",
        ACCEPTED,
        SuperblockRefused,
        flipped(lambda g: SUPERBLOCK_OFFSET + 4095),
    ),
    Tampering(
        "journal: a damaged commit id",
        ERRORS,
        JournalRefused,
        flipped(lambda g: g.section_offset(1) + 9 * 512 + 505),
    ),
    Tampering("journal: zeroed", ERRORS, JournalRefused, journal_zeroed),
    Tampering("journal: a forged entry", FOR_GOOD, SectorRefused, journal_forged),
    Tampering("journal: an older genuine entry", ACCEPTED, None, journal_of_before),
    Tampering("a sector with its older genuine tag", ACCEPTED, None, sector_of_before),
    Tampering(
        "a bit of the data", ON_READ, SectorRefused, flipped(lambda g: g.data_offset(SECTOR) + 2000)
    ),
    Tampering(
        "a bit of a tag", ON_READ, SectorRefused, flipped(lambda g: g.tag_offset(SECTOR) + 20)
    ),
    Tampering("a sector moved, with its tag", ON_READ, SectorRefused, sector_moved),
)
"""The rows of docs/reference/integrity-attacks.md, in its order."""
