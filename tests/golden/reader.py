"""A second reader of LUKS2 volumes with dm-integrity, written from the format alone, for tests.

It shares no code with the library and is as plain as it can be: one class for what the bytes
say, one function per step, nothing cached but the entries of the journal. A sector here is one
of 4096 bytes; a *unit* is the 512 bytes that the kernel counts in.

    superblock | journal sections | tags, data | tags, data | ...        from 16 MiB on
"""

import hashlib
import hmac
import struct
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

UNIT = 512  # bytes
SECTOR = 4096  # bytes
UNITS = SECTOR // UNIT  # of a sector
START = (16 << 20) // UNIT  # units: where the superblock is
SUPERBLOCK = struct.Struct("<8sBbHIQIBB2xQ8x16s")
TAG = hashlib.sha256().digest_size  # bytes
AREA = 1 << 15  # units of data that one run of tags covers
AREA_TAGS = AREA // UNITS * TAG // UNIT  # units of that run

ENTRIES = 32  # of a journal section
ENTRY = 8 + UNITS * 8 + TAG  # bytes: sector number, last eight bytes of each unit, tag
ENTRY_UNITS = 8  # units of a section that hold entries; each ends with a commit id
SECTION = ENTRY_UNITS + ENTRIES * UNITS  # units
COMMIT = UNIT - 8  # where in a unit the commit id is
SEQUENCES = 4
NO_NUMBER = b"\xff" * 4  # in the upper half of the sector number: the entry is unused


class Refused(Exception):
    """The bytes are not what the kernel would have written, or not under this key."""


def sections_of(units: int) -> int:
    """Return how many journal sections a device of that many units gets."""
    return max(1, min(131072, units >> 7) // SECTION)


def data_unit(sections: int, unit: int) -> int:
    """Return where on the device a unit of the payload is, in units."""
    area, offset = divmod(unit, AREA)
    return START + UNITS + SECTION * sections + area * AREA + (area + 1) * AREA_TAGS + offset


def tag_byte(sections: int, unit: int) -> int:
    """Return where on the device the tag of the sector at that unit is, in bytes."""
    area, offset = divmod(unit, AREA)
    run = START + UNITS + SECTION * sections + area * (AREA + AREA_TAGS)
    return run * UNIT + offset // UNITS * TAG


def provided_of(units: int, sections: int) -> int:
    """Return how many units of payload fit on a device of that many units."""
    provided = 0
    for bit in reversed(range(UNITS.bit_length() - 1, units.bit_length())):
        tried = provided | 1 << bit
        if data_unit(sections, tried - 1) < units:
            provided = tried
    return provided


def superblock_of(sections: int, provided: int) -> bytes:
    """Return the one superblock that belongs to this geometry."""
    fix_padding, sector_bits, bitmap_bits, area_bits = 8, 3, 12, 15
    fields = (b"integrt\0", 4, area_bits, TAG, sections, provided, fix_padding)
    return SUPERBLOCK.pack(*fields, sector_bits, bitmap_bits, 0, bytes(16)).ljust(SECTOR, b"\0")


def first_unused(used: set[int]) -> int:
    """Return the first sequence number that no unit of the journal carries."""
    if SEQUENCES - 1 not in used:
        return max(used) + 1
    unused = [number for number in range(SEQUENCES) if number not in used]
    if not unused:
        raise Refused("the journal carries all four sequence numbers")
    return unused[0]


class Journal:
    """The journal sections of a volume, and which of them were committed."""

    def __init__(self, raw: bytes) -> None:
        """Read the commit id of every unit; ``raw`` is all of the journal."""
        self.sections = [
            raw[start : start + SECTION * UNIT] for start in range(0, len(raw), SECTION * UNIT)
        ]
        self.sequences = [
            [self._sequence(number, unit, section) for unit in range(SECTION)]
            for number, section in enumerate(self.sections)
        ]

    @staticmethod
    def _sequence(section: int, unit: int, raw: bytes) -> int:
        (stored,) = struct.unpack_from("<Q", raw, unit * UNIT + COMMIT)
        for sequence in range(SEQUENCES):
            if stored == 0x1111111111111111 * (sequence + 1) ^ (section << 32 | unit):
                return sequence
        raise Refused(f"unit {unit} of journal section {section} has no commit id")

    def to_replay(self) -> list[int]:
        """Return the numbers of the sections that were committed, the oldest first."""
        used = {sequence for section in self.sequences for sequence in section}
        newest = (first_unused(used) - 1) % SEQUENCES
        want = (newest - 1) % SEQUENCES
        if want not in used and (want - 1) % SEQUENCES in used:
            return []
        count = len(self.sections)
        last = max(number for number in range(count) if newest in self.sequences[number])
        replay: list[int] = []
        for number in range(last + 1, last + 1 + count):
            if number == count:
                want = (want + 1) % SEQUENCES
            if set(self.sequences[number % count]) != {want}:
                break
            replay.append(number % count)
        return replay

    def entries(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield (unit, ciphertext, tag) of what was committed, the oldest first."""
        for number in self.to_replay():
            section = self.sections[number]
            for entry in range(ENTRIES):
                at = entry % ENTRY_UNITS * UNIT + entry // ENTRY_UNITS * ENTRY
                raw = section[at : at + ENTRY]
                if raw[4:8] != NO_NUMBER:
                    yield self._entry(section, entry, raw)

    @staticmethod
    def _entry(section: bytes, entry: int, raw: bytes) -> tuple[int, bytes, bytes]:
        (unit,) = struct.unpack_from("<Q", raw)
        start = (ENTRY_UNITS + entry * UNITS) * UNIT
        parts = (
            section[start + part * UNIT : start + part * UNIT + COMMIT]
            + raw[8 + part * 8 : 16 + part * 8]
            for part in range(UNITS)
        )
        return unit // UNITS * UNITS, b"".join(parts), raw[-TAG:]


class Volume:
    """An image, its volume key, and what its journal still holds."""

    def __init__(self, image: Path, volume_key: bytes, *, replay: bool = True) -> None:
        """Read superblock and journal of the image.

        Args:
            image: the whole device.
            volume_key: 96 bytes, of XTS first, then of HMAC.
            replay: whether to look into the journal, as the kernel does; without it one sees
                what the data area alone holds.

        Raises:
            Refused: the superblock is not the one of this geometry, or the journal is damaged.
        """
        self.image = image
        self.cipher_key, self.tag_key = volume_key[:64], volume_key[64:96]
        units = image.stat().st_size // UNIT
        self.journal_sections = sections_of(units)
        self.provided = provided_of(units, self.journal_sections)
        expected = superblock_of(self.journal_sections, self.provided)
        if self._read(START * UNIT, SECTOR) != expected:
            raise Refused("the superblock is not the one of this device")
        start = (START + UNITS) * UNIT
        self.journal = Journal(self._read(start, self.journal_sections * SECTION * UNIT))
        entries = self.journal.entries() if replay else iter(())
        self.pending = {unit: (data, tag) for unit, data, tag in entries if unit < self.provided}

    @property
    def sectors(self) -> int:
        """Return the number of sectors of the payload."""
        return self.provided // UNITS

    def _read(self, offset: int, length: int) -> bytes:
        with self.image.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def stored(self, sector: int) -> tuple[bytes, bytes]:
        """Return (ciphertext, tag) of a sector as a reader finds them."""
        unit = sector * UNITS
        if unit in self.pending:
            return self.pending[unit]
        data = self._read(data_unit(self.journal_sections, unit) * UNIT, SECTOR)
        return data, self._read(tag_byte(self.journal_sections, unit), TAG)

    def read(self, sector: int) -> bytes:
        """Return the plaintext of a sector.

        Raises:
            Refused: its tag is not the tag of its ciphertext.
        """
        data, tag = self.stored(sector)
        number = struct.pack("<Q", sector * UNITS)
        tweak = number + bytes(8)
        if not hmac.compare_digest(hmac.digest(self.tag_key, number + tweak + data, "sha256"), tag):
            raise Refused(f"sector {sector} has no valid tag")
        return Cipher(algorithms.AES(self.cipher_key), modes.XTS(tweak)).decryptor().update(data)

    def settled(self) -> bytes:
        """Return tags and data as the kernel leaves them on the device after it has replayed."""
        start = (START + UNITS + SECTION * self.journal_sections) * UNIT
        area = bytearray(self._read(start, self.image.stat().st_size - start))
        for unit, (data, tag) in self.pending.items():
            at = data_unit(self.journal_sections, unit) * UNIT - start
            area[at : at + SECTOR] = data
            at = tag_byte(self.journal_sections, unit) - start
            area[at : at + TAG] = tag
        return bytes(area)
