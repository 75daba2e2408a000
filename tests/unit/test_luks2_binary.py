"""The binary header: what is packed is what is parsed, and nothing else is."""

import hashlib
import struct

import pytest

from cloudcrypt.errors import HeaderRefused
from cloudcrypt.luks2 import Step
from cloudcrypt.luks2.binary import BinaryHeader, checksum, parse_copy
from cloudcrypt_testing.headers import FIELDS

UUID = "0f1e2d3c-4b5a-4697-8877-665544332211"
JSON_AREA = b"{}".ljust(12288, b"\0")


def header(*, secondary: bool) -> BinaryHeader:
    return BinaryHeader(secondary=secondary, seqid=7, uuid=UUID, salt=b"\5" * 64)


def field(copy: bytes, name: str) -> bytes:
    offset, length = FIELDS[name]
    return copy[offset : offset + length]


@pytest.mark.parametrize("secondary", [False, True])
def test_a_packed_copy_parses_to_the_same_header(*, secondary: bool) -> None:
    copy = header(secondary=secondary).pack(JSON_AREA)
    assert (header(secondary=secondary), JSON_AREA) == parse_copy(copy, secondary=secondary)


def test_a_packed_copy_has_every_field_where_the_format_wants_it() -> None:
    copy = header(secondary=True).pack(JSON_AREA)
    expected = {
        "magic": b"SKUL\xba\xbe",
        "version": b"\0\2",
        "hdr_size": struct.pack(">Q", 16384),
        "seqid": struct.pack(">Q", 7),
        "label": bytes(48),
        "checksum_alg": b"sha256".ljust(32, b"\0"),
        "salt": b"\5" * 64,
        "uuid": UUID.encode().ljust(40, b"\0"),
        "subsystem": bytes(48),
        "hdr_offset": struct.pack(">Q", 16384),
        "padding": bytes(184),
        "padding_4096": bytes(3584),
    }
    assert expected == {name: field(copy, name) for name in expected}


def test_the_primary_copy_says_that_it_is_at_zero() -> None:
    copy = header(secondary=False).pack(JSON_AREA)
    assert (b"LUKS\xba\xbe", bytes(8)) == (field(copy, "magic"), field(copy, "hdr_offset"))


def test_the_checksum_is_sha256_of_the_copy_with_the_checksum_blanked() -> None:
    copy = header(secondary=False).pack(JSON_AREA)
    blanked = copy[:448] + bytes(64) + copy[512:]
    assert hashlib.sha256(blanked).digest().ljust(64, b"\0") == field(copy, "csum")


def test_the_checksum_does_not_depend_on_what_the_checksum_field_holds() -> None:
    copy = header(secondary=False).pack(JSON_AREA)
    blanked = copy[:448] + bytes(64) + copy[512:4096]
    assert checksum(blanked, JSON_AREA) == checksum(copy[:4096], JSON_AREA)


@pytest.mark.parametrize("offset", [448, 479, 480, 511, 4096, 16383])
def test_a_changed_byte_that_the_fields_do_not_show_is_a_wrong_checksum(offset: int) -> None:
    copy = bytearray(header(secondary=False).pack(JSON_AREA))
    copy[offset] ^= 1
    with pytest.raises(HeaderRefused) as refusal:
        parse_copy(bytes(copy), secondary=False)
    assert Step.CHECKSUM == refusal.value.step


def test_a_salt_stays_out_of_the_representation() -> None:
    assert "salt" not in repr(header(secondary=False))
