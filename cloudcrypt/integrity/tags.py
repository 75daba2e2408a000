"""The tags of sectors: HMAC-SHA256 over position, tweak and ciphertext.

Encrypt-then-MAC as dm-crypt's authenc does it: 24 bytes of associated data (the sector number and
the tweak) and the 4096 bytes of ciphertext.
"""

import hmac
import struct
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from cloudcrypt.integrity.geometry import TAG_SIZE, UNITS_PER_SECTOR
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.secret import Secret

KEY_OFFSET = 64
"""Where the HMAC key starts in the 96-byte volume key."""

_ASSOCIATED = struct.Struct("<QQQ").pack


def compute(volume_key: Secret, first: int, cipher: memoryview) -> bytes:
    """Return the tags of a run of sectors, 32 bytes each.

    Args:
        volume_key: the 96 bytes of the volume key.
        first: the number of the first sector.
        cipher: ciphertext, whole sectors.
    """
    copy = HMAC(volume_key.reveal()[KEY_OFFSET:], hashes.SHA256()).copy
    unit, tags = first * UNITS_PER_SECTOR, list[bytes]()
    for start in range(0, len(cipher), SECTOR_SIZE):
        mac = copy()
        mac.update(_ASSOCIATED(unit, unit, 0))
        mac.update(cipher[start : start + SECTOR_SIZE])
        tags.append(mac.finalize())
        unit += UNITS_PER_SECTOR
    return b"".join(tags)


def mismatches(found: bytes | memoryview, expected: bytes) -> Iterator[int]:
    """Yield the positions at which two runs of tags differ; each comparison is in constant time."""
    if hmac.compare_digest(found, expected):
        return
    for index in range(len(expected) // TAG_SIZE):
        span = slice(index * TAG_SIZE, (index + 1) * TAG_SIZE)
        if not hmac.compare_digest(found[span], expected[span]):
            yield index
