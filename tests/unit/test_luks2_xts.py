"""AES-256-XTS: vectors of IEEE 1619, and the tweak that counts units of 512 bytes."""

import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cloudcrypt.luks2.xts import SLACK, XTS
from cloudcrypt.secret import Secret
from cloudcrypt_testing.volumes import repeatable

IEEE_1619_KEY = bytes.fromhex(
    "2718281828459045235360287471352662497757247093699959574966967627"
    "3141592653589793238462643383279502884197169399375105820974944592"
)
IEEE_1619_PLAIN = bytes(range(256)) * 2
# IEEE 1619-2007, annex B, vector 10: AES-256, data unit ff.
IEEE_1619_CIPHER = bytes.fromhex(
    "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"
    "5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd"
    "5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0"
    "c5cd4d5fff9dac89aeba122961d03a757123e9870f8acf1000020887891429ca"
    "2a3e7a7d7df7b10355165c8b9a6d0a7de8b062c4500dc4cd120c0f7418dae3d0"
    "b5781c34803fa75421c790dfe1de1834f280d7667b327f6c8cd7557e12ac3a0f"
    "93ec05c52e0493ef31a12d3d9260f79a289d6a379bc70c50841473d1a8cc81ec"
    "583e9645e07b8d9670655ba5bbcfecc6dc3966380ad8fecb17b6ba02469a020a"
    "84e18e8f84252070c13e9f1f289be54fbc481457778f616015e1327a02b140f1"
    "505eb309326d68378f8374595c849d84f4c333ec4423885143cb47bd71c5edae"
    "9be69a2ffeceb1bec9de244fbe15992b11b77c040f12bd8f6a975a44a0f90c29"
    "a9abc3d4d893927284c58754cce294529f8614dcd2aba991925fedc4ae74ffac"
    "6e333b93eb4aff0479da9a410e4450e0dd7ae4c6e2910900575da401fc07059f"
    "645e8b7e9bfdef33943054ff84011493c27b3429eaedb4ed5376441a77ed4385"
    "1ad77f16f541dfd269d50d6a5f14fb0aab1cbb4c1550be97f7ab4066193c4caa"
    "773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151"
)


def encrypted(key: bytes, plain: bytes, first_unit: int, sector: int) -> bytes:
    out = bytearray(len(plain) + SLACK)
    XTS(Secret(key)).encrypt(memoryview(plain), first_unit, sector, memoryview(out))
    return bytes(out[: len(plain)])


def decrypted(key: bytes, cipher: bytes, first_unit: int, sector: int) -> bytes:
    out = bytearray(len(cipher) + SLACK)
    XTS(Secret(key)).decrypt(memoryview(cipher), first_unit, sector, memoryview(out))
    return bytes(out[: len(cipher)])


def reference(key: bytes, plain: bytes, first_unit: int, sector: int) -> bytes:
    """XTS as IEEE 1619 defines it, of AES blocks; the tweak as dm-crypt's plain64 makes it."""
    data = Cipher(algorithms.AES(key[:32]), modes.ECB()).encryptor()  # noqa: S305  # a block
    tweaks = Cipher(algorithms.AES(key[32:64]), modes.ECB()).encryptor()  # noqa: S305  # a block
    result = b""
    for start in range(0, len(plain), sector):
        unit = first_unit + start // 512
        mask = int.from_bytes(tweaks.update(struct.pack("<QQ", unit, 0)), "little")
        for block in range(start, start + sector, 16):
            mixed = int.from_bytes(plain[block : block + 16], "little") ^ mask
            mixed = int.from_bytes(data.update(mixed.to_bytes(16, "little")), "little") ^ mask
            result += mixed.to_bytes(16, "little")
            mask = (mask << 1) ^ (0x87 if mask >> 127 else 0)
            mask &= 2**128 - 1
    return result


def test_encryption_agrees_with_ieee_1619() -> None:
    assert IEEE_1619_CIPHER == encrypted(IEEE_1619_KEY, IEEE_1619_PLAIN, 0xFF, 512)


def test_decryption_agrees_with_ieee_1619() -> None:
    assert IEEE_1619_PLAIN == decrypted(IEEE_1619_KEY, IEEE_1619_CIPHER, 0xFF, 512)


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("first_unit", [0, 8, 2**32 - 8, 2**32, 2**40 + 8])
def test_each_sector_has_the_number_of_its_first_unit_for_a_tweak(
    first_unit: int, sector: int
) -> None:
    key, plain = repeatable("key")(64), repeatable("plain")(2 * 4096)
    expected = reference(key, plain, first_unit, sector)
    assert expected == encrypted(key, plain, first_unit, sector)
    assert plain == decrypted(key, expected, first_unit, sector)


def test_the_second_sector_of_4096_bytes_has_tweak_8() -> None:
    key, plain = repeatable("key")(64), repeatable("plain")(2 * 4096)
    run = encrypted(key, plain, 0, 4096)
    assert run[4096:] == encrypted(key, plain[4096:], 8, 4096)


def test_only_the_first_64_bytes_of_a_volume_key_are_the_xts_key() -> None:
    key, plain = repeatable("key")(96), bytes(4096)
    assert encrypted(key[:64], plain, 0, 4096) == encrypted(key, plain, 0, 4096)


def test_a_wiped_key_converts_nothing() -> None:
    key = Secret(repeatable("key")(64))
    xts = XTS(key)
    key.wipe()
    for convert in (xts.encrypt, xts.decrypt):
        with pytest.raises(ValueError, match="wiped"):
            convert(memoryview(bytes(512)), 0, 512, memoryview(bytearray(512 + SLACK)))


def test_nothing_is_converted_of_an_empty_run() -> None:
    assert encrypted(repeatable("key")(64), b"", 0, 4096) == b""
