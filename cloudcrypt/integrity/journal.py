"""The journal of dm-integrity: parsed, replayed in memory by the kernel's rules, and built.

The journal is a ring of sections. Each of its 512-byte sectors ends in a commit id that names its
place and one of four sequence numbers; a pass around the ring uses one number, the next pass the
next. So the newest section is where the numbers break, and a section that was written only in part
does not count. Source: the documented on-disk layout and behaviour of the kernel's
drivers/md/dm-integrity.c, in words of our own.
"""

import struct
from collections.abc import Iterator, Sequence

import attrs

from cloudcrypt.disk import ReadableDisk
from cloudcrypt.errors import JournalRefused
from cloudcrypt.integrity.geometry import (
    SECTION_ENTRIES,
    SECTION_ENTRY_UNITS,
    SECTION_SIZE,
    SECTION_UNITS,
    TAG_SIZE,
    UNIT,
    UNITS_PER_SECTOR,
    Geometry,
)
from cloudcrypt.profiles import SECTOR_SIZE

SEQUENCES = 4
_COMMIT_ID = 0x1111111111111111
_COMMIT_IDS = struct.Struct("<504xQ")
_ENTRY = struct.Struct(f"<Q{8 * UNITS_PER_SECTOR}s{TAG_SIZE}s")
_UNUSED = 0xFFFFFFFF << 32
_DATA = SECTION_ENTRY_UNITS * UNIT  # where the data of the entries begin
_BLANK = bytes(_DATA)
_ENTRY_OFFSETS = tuple(  # the entries are spread over the first 8 sectors
    number % SECTION_ENTRY_UNITS * UNIT + number // SECTION_ENTRY_UNITS * _ENTRY.size
    for number in range(SECTION_ENTRIES)
)
_EVERY_UNIT = sum(1 << 64 * unit for unit in range(SECTION_UNITS))
_UNIT_NUMBERS = sum(unit << 64 * unit for unit in range(SECTION_UNITS))
"""Numbers with one 64-bit digit for each sector of a section: all commit ids at once."""

_WORDS = UNIT // 8  # 8-byte words of a 512-byte sector
_LAST_WORD = _WORDS - 1  # where the commit id is


@attrs.frozen
class Entry:
    """One sector in the journal: its number in the payload, its ciphertext and its tag."""

    sector: int
    cipher: bytes = attrs.field(repr=False)
    tag: bytes = attrs.field(repr=False)


@attrs.frozen
class Position:
    """Where the ring goes on: the next section to write, and its sequence number."""

    section: int
    sequence: int

    def after(self, sections: int) -> "Position":
        """Return the position one section on, in a ring of ``sections``."""
        if self.section + 1 < sections:
            return Position(self.section + 1, self.sequence)
        return Position(0, (self.sequence + 1) % SEQUENCES)


@attrs.frozen
class Journal:
    """What a journal says.

    ``entries`` are what a replay writes, in its order; ``whole`` says that the ring is complete, so
    that writing may go on at ``position``; otherwise the ring must be cleared first, beginning with
    section ``oldest``.
    """

    entries: tuple[Entry, ...] = attrs.field(repr=False)
    whole: bool
    position: Position
    oldest: int

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to replay and nothing to clear."""
        return self.whole and not self.entries


def read(volume: str, disk: ReadableDisk, geometry: Geometry) -> Journal:
    """Read the whole journal, at most 64 MiB, and return what it says; errors as for `parse`.

    Raises:
        DeviceIOError: the device failed.
    """
    content = bytearray(geometry.journal_sections * SECTION_SIZE)
    disk.read_into(geometry.section_offset(0), memoryview(content))
    return parse(volume, memoryview(content), geometry)


def parse(volume: str, content: memoryview, geometry: Geometry) -> Journal:
    """Return what the journal ``content`` says.

    Args:
        volume: what messages call the volume.
        content: the bytes of all sections.
        geometry: of the volume.

    Raises:
        JournalRefused: a commit id is none, all four sequence numbers are in use, or an entry is
            for no sector.
    """
    sections = geometry.journal_sections
    sequences = [_sequences(volume, content, section) for section in range(sections)]
    used = {number for numbers in sequences for number in numbers}
    if len(used) == SEQUENCES:
        raise JournalRefused(volume, 0, "all four sequence numbers are in use")
    newest = (_first_unused(used) - 1) % SEQUENCES
    start, replayed = _replayed(sequences, newest, sections)
    wanted = (newest - 1) % SEQUENCES
    is_empty = wanted not in used and (wanted - 1) % SEQUENCES in used
    entries = () if is_empty else tuple(_entries(volume, content, replayed, geometry))
    whole = len(replayed) == sections
    if not whole:
        return Journal(entries, whole, Position(0, (newest - 1) % SEQUENCES), start.section)
    onward = Position(start.section, (start.sequence + 1) % SEQUENCES)
    return Journal(entries, whole, onward, start.section)


def section_bytes(
    position: Position,
    entries: Sequence[tuple[int, memoryview, bytes]] = (),
    section: bytearray | None = None,
) -> bytearray:
    """Return a committed section.

    Args:
        position: which section, and its sequence number.
        entries: at most 32 times a sector number, its 4096 bytes of ciphertext, its 32-byte tag.
        section: a buffer of an earlier section to use again; every byte of it is overwritten.
    """
    used = _data_offset(len(entries))
    if section is None:
        section = bytearray(SECTION_SIZE)
    else:
        section[:_DATA] = _BLANK
        section[used:] = bytes(SECTION_SIZE - used)
    for place, (_, cipher, _) in zip(range(_DATA, used, SECTOR_SIZE), entries, strict=True):
        section[place : place + SECTOR_SIZE] = cipher
    words = memoryview(section).cast("Q")
    last = words[_DATA // 8 + _LAST_WORD : used // 8 : _WORDS].tobytes()
    pack, size, at = _ENTRY.pack_into, 8 * UNITS_PER_SECTOR, 0
    for place, (sector, _, tag) in zip(_ENTRY_OFFSETS, entries, strict=False):
        pack(section, place, sector * UNITS_PER_SECTOR, last[at : at + size], tag)
        at += size
    for place in _ENTRY_OFFSETS[len(entries) :]:
        section[place + 4 : place + 8] = b"\xff\xff\xff\xff"
    base = _commit_base(position.section, position.sequence) * _EVERY_UNIT ^ _UNIT_NUMBERS
    ids = base.to_bytes(8 * SECTION_UNITS, "little")
    words[_LAST_WORD::_WORDS] = memoryview(ids).cast("Q")
    return section


def _sequences(volume: str, content: memoryview, section: int) -> list[int]:
    """Return the sequence number of every 512-byte sector of a section."""
    begin = section * SECTION_SIZE
    found = [value for (value,) in _COMMIT_IDS.iter_unpack(content[begin : begin + SECTION_SIZE])]
    known = {_commit_base(section, number): number for number in range(SEQUENCES)}
    try:
        return [known[value ^ unit] for unit, value in enumerate(found)]
    except KeyError:
        raise JournalRefused(volume, section, "a commit id is damaged") from None


def _commit_base(section: int, sequence: int) -> int:
    return _COMMIT_ID * (sequence + 1) ^ section << 32


def _first_unused(used: set[int]) -> int:
    """Return the number that follows the newest one.

    It is the lowest of the unused ones that reach up to 3, or the first unused one if 3 is in use.
    """
    if SEQUENCES - 1 in used:
        return next(number for number in range(SEQUENCES) if number not in used)
    number = SEQUENCES - 1
    while number and number - 1 not in used:
        number -= 1
    return number


def _replayed(sequences: list[list[int]], newest: int, sections: int) -> tuple[Position, list[int]]:
    """Return the oldest section with its number, and the sections from there that are complete."""
    last = max(section for section, numbers in enumerate(sequences) if newest in numbers)
    start = Position(last, (newest - 1) % SEQUENCES).after(sections)
    position, replayed = start, list[int]()
    while len(replayed) < sections:
        if any(number != position.sequence for number in sequences[position.section]):
            break
        replayed.append(position.section)
        position = position.after(sections)
    return start, replayed


def _entries(
    volume: str, content: memoryview, sections: list[int], geometry: Geometry
) -> Iterator[Entry]:
    for section in sections:
        begin = section * SECTION_SIZE
        for number in range(SECTION_ENTRIES):
            unit, last, tag = _ENTRY.unpack_from(content, begin + _ENTRY_OFFSETS[number])
            if unit & _UNUSED == _UNUSED or unit >= geometry.provided_units:
                continue  # the kernel passes over both
            if unit % UNITS_PER_SECTOR:
                raise JournalRefused(volume, section, f"entry {number} is for no sector")
            at = begin + _data_offset(number)
            cipher = bytearray(content[at : at + SECTOR_SIZE])
            for index in range(UNITS_PER_SECTOR):
                end = (index + 1) * UNIT
                cipher[end - 8 : end] = last[index * 8 : index * 8 + 8]
            yield Entry(unit // UNITS_PER_SECTOR, bytes(cipher), tag)


def _data_offset(number: int) -> int:
    return _DATA + number * SECTOR_SIZE
