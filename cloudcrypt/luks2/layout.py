"""Where things are in a LUKS2 header of 16 MiB with two metadata copies of 16 KiB.

Source of every number: the LUKS2 on-disk format specification 1.1.4 and cryptsetup's defaults
(lib/luks2/luks2.h, luks2_json_format.c). All units are bytes unless said otherwise.
"""

from cloudcrypt.model import Mode
from cloudcrypt.profiles import LAYOUTS, SECTOR_SIZE
from cloudcrypt.sizes import KIB, MIB

BINARY_SIZE = 4096
"""The binary header at the start of each metadata copy."""

METADATA_SIZE = 16 * KIB
"""One metadata copy: binary header and JSON area (the ``hdr_size`` field)."""

JSON_SIZE = METADATA_SIZE - BINARY_SIZE
"""The JSON area of one copy."""

SECONDARY_OFFSET = METADATA_SIZE
"""The second metadata copy follows the first."""

KEYSLOTS_OFFSET = 2 * METADATA_SIZE
"""The keyslots space follows both copies."""

DATA_OFFSET = 16 * MIB
"""The payload; the header takes everything before it."""

KEYSLOTS_SIZE = DATA_OFFSET - KEYSLOTS_OFFSET
"""The keyslots space, most of it unused: 16744448."""

READ_SIZE = KEYSLOTS_OFFSET + 2 * LAYOUTS[Mode.INTEGRITY].area_size
"""What is read of a header, once: both copies and every place where a keyslot area may be."""

AREA_SECTOR_SIZE = 512
"""Sector of the encryption of a keyslot area."""

DEVICE_MIN = DATA_OFFSET + SECTOR_SIZE
"""The smallest device: the header and one sector."""


def payload_size(capacity: int) -> int:
    """Return the bytes of payload on a device of ``capacity`` bytes: whole sectors only."""
    return max(0, (capacity - DATA_OFFSET) // SECTOR_SIZE * SECTOR_SIZE)
