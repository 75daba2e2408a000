"""The proof that a live mapping has our key: one of its sectors, encrypted by us, is the disk's.

The table of a live mapping shows which key it was made with by name only. What it returns for a
sector, encrypted with our key, must be what the disk holds. With integrity the sector's tag must be
ours as well: the kernel returned the sector, so its own HMAC key agrees with that tag.
"""

from collections.abc import Iterator
from typing import Final

import attrs

from cloudcrypt.errors import DeviceIOError
from cloudcrypt.integrity import Geometry, tags
from cloudcrypt.integrity.geometry import TAG_SIZE, UNITS_PER_SECTOR
from cloudcrypt.luks2 import UnlockedVolume, layout
from cloudcrypt.luks2.xts import SLACK, XTS
from cloudcrypt.mapper._block import Sectors
from cloudcrypt.mapper.engines import geometry_of
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import round_down

PROBES: Final = 64
"""Sectors that are tried at most. One that is being written, or is in the journal of dm-integrity
and not yet in its place, proves nothing; the others do."""


def has_our_key(volume: UnlockedVolume, mapped: Sectors, below: Sectors, payload: int) -> bool:
    """Say whether a live mapping of the volume encrypts with the volume's key.

    Args:
        volume: the unlocked volume.
        mapped: the sectors of the mapping.
        below: the sectors of the device below.
        payload: bytes of payload that the mapping has.

    Raises:
        DeviceIOError: the device below failed.
    """
    places = _places(volume)
    return any(
        _agrees(volume, mapped, below, places, sector) for sector in _probes(payload // SECTOR_SIZE)
    )


def _probes(sectors: int) -> Iterator[int]:
    """Yield some sectors, evenly spaced."""
    yield from range(0, sectors, max(1, sectors // PROBES))


@attrs.frozen
class _Places:
    """Where the sectors of a payload are; ``geometry`` is that of an integrity volume."""

    geometry: Geometry | None

    def data_offset(self, sector: int) -> int:
        """Return the byte offset of the ciphertext of a sector."""
        if self.geometry is None:
            return layout.DATA_OFFSET + sector * SECTOR_SIZE
        return self.geometry.data_offset(sector)


def _places(volume: UnlockedVolume) -> _Places:
    has_tags = volume.header.mode is Mode.INTEGRITY
    return _Places(geometry_of(volume.header) if has_tags else None)


def _agrees(
    volume: UnlockedVolume, mapped: Sectors, below: Sectors, places: _Places, sector: int
) -> bool:
    """Say whether a sector of the mapping is the one of the disk, under our key."""
    offset = places.data_offset(sector)
    before = below.read(offset)
    try:
        plain = mapped.read(sector * SECTOR_SIZE)
    except DeviceIOError:  # a wrong HMAC key; or a damaged sector, which proves nothing
        return False
    out = memoryview(bytearray(SECTOR_SIZE + SLACK))
    unit = sector * UNITS_PER_SECTOR
    XTS(volume.volume_key).encrypt(memoryview(plain), unit, SECTOR_SIZE, out)
    if bytes(out[:SECTOR_SIZE]) != before or below.read(offset) != before:
        return False
    return places.geometry is None or _is_tagged(volume, below, places.geometry, sector, before)


def _is_tagged(
    volume: UnlockedVolume, below: Sectors, geometry: Geometry, sector: int, cipher: bytes
) -> bool:
    offset = geometry.tag_offset(sector)
    start = round_down(offset, SECTOR_SIZE)
    found = below.read(start)[offset - start : offset - start + TAG_SIZE]
    expected = tags.compute(volume.volume_key, sector, memoryview(cipher))
    return not list(tags.mismatches(found, expected))
