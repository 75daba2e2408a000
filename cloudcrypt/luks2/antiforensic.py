"""The anti-forensic splitter of LUKS: a key blown up so that losing any part loses all of it.

Source: LUKS on-disk format specification, section "AF splitter"; cryptsetup lib/luks1/af.c. Only
SHA-256 and keys of whole 32-byte blocks are needed here. The diffusion never mixes blocks, so each
column of blocks is a chain of its own.
"""

import hashlib
import struct
from collections.abc import Callable, Sequence

_BLOCK = 32


def split(key: bytes | memoryview, stripes: int, randomness: Callable[[int], bytes]) -> bytearray:
    """Return ``stripes`` times the length of ``key``; `merge` gives the key back.

    Args:
        key: the secret, a multiple of 32 bytes.
        stripes: how many stripes to make; LUKS2 uses 4000.
        randomness: returns that many random bytes.
    """
    material = bytearray(randomness(len(key) * (stripes - 1)))
    chains = _columns(material, len(key))
    for column, chain in enumerate(chains):
        block = int.from_bytes(key[column * _BLOCK : (column + 1) * _BLOCK], "big")
        material += (block ^ _diffused(column, chain)).to_bytes(_BLOCK, "big")
    return material


def merge(material: bytes | bytearray | memoryview, size: int, stripes: int) -> bytearray:
    """Return the key of ``size`` bytes that `split` blew up to ``material``."""
    key = bytearray()
    for column, chain in enumerate(_columns(material[: size * stripes], size)):
        block = int.from_bytes(chain[-1], "big") ^ _diffused(column, chain[:-1])
        key += block.to_bytes(_BLOCK, "big")
    return key


def _columns(material: bytes | bytearray | memoryview, size: int) -> list[tuple[bytes, ...]]:
    """Return, for each block of the key, that block of all stripes."""
    blocks = struct.unpack(f"{_BLOCK}s" * (len(material) // _BLOCK), material)
    width = size // _BLOCK
    return [blocks[column::width] for column in range(width)]


def _diffused(column: int, chain: Sequence[bytes]) -> int:
    """Return the diffused sum of ``chain``: d = SHA-256(be32(column) || d XOR block), from 0."""
    sha256, number = hashlib.sha256, int.from_bytes
    prefix = column << (8 * _BLOCK)
    mixed = 0
    for block in chain:
        mixed = number(
            sha256((prefix | mixed ^ number(block, "big")).to_bytes(_BLOCK + 4, "big")).digest(),
            "big",
        )
    return mixed
