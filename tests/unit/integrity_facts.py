"""The layout of dm-integrity, a second time and in other words: what tests compare the product to.

Nothing here imports the product. Units are 512 bytes; a sector has 8 of them.
"""

import hmac
import struct
from collections.abc import Sequence

START = 32768
ENTRIES = 32
SECTION_UNITS = 264
SECTION = SECTION_UNITS * 512
SEQUENCES = 4

Entry = tuple[int, bytes, bytes]
"""The first unit of a sector, its ciphertext, its tag."""


def sections(device: int) -> int:
    """Return how many sections the journal of a device of so many units has."""
    return max(1, min(131072, device >> 7) // 264)


def initial(js: int) -> int:
    """Return the units of superblock and journal."""
    return 8 + 264 * js


def fits(units: int, device: int, js: int) -> bool:
    """Say whether the last of so many units of payload lies within the device."""
    last = units - 1
    run, index = last >> 15, last & 32767
    return START + initial(js) + (run << 15) + (run + 1) * 256 + index < device


def provided(device: int, js: int) -> int:
    """Return the units of payload, by trying one bit after the other."""
    found = 0
    for bit in range(63, 2, -1):
        if fits(found | 1 << bit, device, js):
            found |= 1 << bit
    return found


def data_byte(sector: int, js: int) -> int:
    """Return where the ciphertext of a sector is; ``sector`` counts 4096 bytes."""
    run, index = (sector * 8) >> 15, (sector * 8) & 32767
    return (START + initial(js) + (run << 15) + (run + 1) * 256 + index) * 512


def tag_byte(sector: int, js: int) -> int:
    """Return where the tag of a sector is."""
    run, index = (sector * 8) >> 15, (sector * 8) & 32767
    return (START + initial(js) + (run << 15) + run * 256) * 512 + (index >> 3) * 32


def superblock(js: int, units: int) -> bytes:
    """Return the 4096 bytes of the superblock."""
    fields = struct.pack(
        "<8sBbHIQIBB2xQ8x16s", b"integrt\0", 4, 15, 32, js, units, 8, 3, 12, 0, bytes(16)
    )
    return fields.ljust(4096, b"\0")


def tag(volume_key: bytes, sector: int, cipher: bytes) -> bytes:
    """Return the tag of a sector: HMAC-SHA256 over number, tweak and ciphertext."""
    number = (sector * 8).to_bytes(8, "little")
    return hmac.digest(volume_key[64:96], number + number + bytes(8) + cipher, "sha256")


def commit_id(section: int, unit: int, sequence: int) -> bytes:
    """Return the last 8 bytes of a unit of the journal."""
    base = int(f"{sequence + 1}" * 16, 16)
    return (base ^ ((section << 32) ^ unit)).to_bytes(8, "little")


def section_image(
    section: int, numbers: Sequence[int], entries: Sequence[Entry | None] = ()
) -> bytearray:
    """Return a section of the journal.

    Args:
        section: its number.
        numbers: the sequence number of each of its units.
        entries: at most 32; None stands for one that is not used.
    """
    image = bytearray(SECTION)
    for n in range(ENTRIES):
        at = n % 8 * 512 + n // 8 * 104
        entry = entries[n] if n < len(entries) else None
        if entry is None:
            image[at + 4 : at + 8] = b"\xff" * 4
            continue
        unit, cipher, found = entry
        begin = (8 + 8 * n) * 512
        image[begin : begin + 4096] = cipher
        lasts = b"".join(cipher[k * 512 + 504 : k * 512 + 512] for k in range(8))
        image[at : at + 104] = unit.to_bytes(8, "little") + lasts + found
    for unit, number in enumerate(numbers):
        image[unit * 512 + 504 : unit * 512 + 512] = commit_id(section, unit, number)
    return image


def replay_order(ring: Sequence[Sequence[int]]) -> list[int] | None:
    """Return the sections that are replayed, in order; None if the journal is no genuine one.

    Args:
        ring: for each section the sequence number of each of its units.
    """
    used = [any(number in section for section in ring) for number in range(SEQUENCES)]
    if all(used):
        return None
    reaching_3 = [number for number in range(SEQUENCES) if not any(used[number:])]
    unused = used.index(False) if used[3] else reaching_3[0]
    last_used = (unused + 3) % 4
    wanted = (unused + 2) % 4
    if not used[wanted] and used[(unused + 1) % 4]:
        return []
    highest = [i for i, section in enumerate(ring) if last_used in section][-1]
    order: list[int] = []
    for step in range(1, len(ring) + 1):
        wrapped, section = divmod(highest + step, len(ring))
        if set(ring[section]) != {(wanted + wrapped) % 4}:
            break
        order.append(section)
    return order
