"""What superblock and journal of a disk say, beside what they must say. Needs no key.

For people; nothing here decides anything.
"""

import attrs

from cloudcrypt.disk import ReadableDisk, read
from cloudcrypt.errors import JournalRefused
from cloudcrypt.integrity import journal, superblock
from cloudcrypt.integrity.geometry import SUPERBLOCK_OFFSET, Geometry
from cloudcrypt.profiles import SECTOR_SIZE


@attrs.frozen
class SuperblockField:
    """One field of the superblock: what was found, and what follows from the capacity."""

    field: str
    found: object
    expected: object

    @property
    def agrees(self) -> bool:
        """Whether both are the same."""
        return self.found == self.expected


@attrs.frozen
class IntegrityReport:
    """Superblock, journal and geometry of a volume.

    ``journal`` is ``clean``, ``N entries to replay``, ``incomplete`` or what is wrong with it.
    """

    superblock: tuple[SuperblockField, ...]
    journal: str
    geometry: Geometry
    overhead: int

    @property
    def agrees(self) -> bool:
        """Whether the superblock is the computed one; that proves nothing about the data."""
        return all(field.agrees for field in self.superblock)


def inspect(disk: ReadableDisk, journal_sections: int | None = None) -> IntegrityReport:
    """Report on superblock, journal and geometry of an integrity volume that fills ``disk``.

    Args:
        disk: read only.
        journal_sections: of a volume that has grown since it was formatted.

    Raises:
        DeviceIOError: the device failed.
    """
    geometry = Geometry.of(disk.size, journal_sections)
    found = superblock.fields(read(disk, SUPERBLOCK_OFFSET, SECTOR_SIZE))
    expected = superblock.fields(superblock.build(geometry))
    rows = tuple(SuperblockField(name, found[name], value) for name, value in expected.items())
    overhead = disk.size - geometry.payload_size
    return IntegrityReport(rows, _journal_state(disk, geometry), geometry, overhead)


def _journal_state(disk: ReadableDisk, geometry: Geometry) -> str:
    try:
        state = journal.read("the disk", disk, geometry)
    except JournalRefused as refusal:
        return f"refused: {refusal.reason}"
    if state.entries:
        return f"{len(state.entries)} entries to replay"
    return "clean" if state.whole else "incomplete, nothing to replay"
