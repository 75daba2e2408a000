"""The anti-forensic splitter, against the specification written out."""

import hashlib
import os

import pytest

from cloudcrypt.luks2.antiforensic import merge, split
from cloudcrypt_testing.volumes import repeatable


def diffuse(value: bytes) -> bytes:
    """Return H(be32(0) || block 0) || H(be32(1) || block 1) || ..., as the specification says."""
    blocks = [value[start : start + 32] for start in range(0, len(value), 32)]
    return b"".join(
        hashlib.sha256(number.to_bytes(4, "big") + block).digest()
        for number, block in enumerate(blocks)
    )


def reference_merge(material: bytes, size: int, stripes: int) -> bytes:
    mixed = bytes(size)
    for stripe in range(stripes):
        block = material[stripe * size : (stripe + 1) * size]
        mixed = bytes(a ^ b for a, b in zip(mixed, block, strict=True))
        if stripe < stripes - 1:
            mixed = diffuse(mixed)
    return mixed


@pytest.mark.parametrize(("size", "stripes"), [(64, 4000), (96, 4000), (32, 1), (64, 2), (96, 3)])
def test_a_split_key_merges_again(size: int, stripes: int) -> None:
    key = os.urandom(size)
    material = split(key, stripes, os.urandom)
    assert size * stripes == len(material)
    assert key == merge(material, size, stripes)


@pytest.mark.parametrize(("size", "stripes"), [(64, 4000), (96, 4000), (64, 2)])
def test_merging_agrees_with_the_specification(size: int, stripes: int) -> None:
    material = repeatable("stripes")(size * stripes)
    assert reference_merge(material, size, stripes) == merge(material, size, stripes)


def test_what_follows_the_stripes_is_ignored() -> None:
    key = bytes(range(64))
    material = bytes(split(key, 10, os.urandom))
    assert key == merge(material + b"\xff" * 15, 64, 10)


@pytest.mark.parametrize("byte", [0, 31, 32, 64 * 7, 64 * 9 - 1, 64 * 10 - 1])
def test_losing_any_byte_loses_a_block_of_the_key(byte: int) -> None:
    key = bytes(range(64))
    material = split(key, 10, os.urandom)
    material[byte] ^= 1
    assert key != merge(material, 64, 10)


def test_the_same_key_is_never_split_the_same_way() -> None:
    key = bytes(64)
    assert split(key, 4, os.urandom) != split(key, 4, os.urandom)
