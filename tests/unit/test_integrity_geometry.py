"""Geometry, superblock and tags: the values of the documented formulas, to the byte."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcrypt.errors import SuperblockRefused
from cloudcrypt.integrity import Geometry, superblock, tags
from cloudcrypt.integrity.geometry import SUPERBLOCK_OFFSET, sections_of
from cloudcrypt.secret import Secret
from cloudcrypt.sizes import GIB, KIB, MIB, TIB
from cloudcrypt_testing.disks import FailingDisk, MemoryDisk, at
from cloudcrypt_testing.volumes import repeatable
from tests.unit import integrity_facts as facts
from tests.unit.protected import filled

SIZES = [
    17_047_552,
    17 * MIB,
    24 * MIB,
    32 * MIB,
    33 * MIB + 4095,
    48 * MIB + 512,
    64 * MIB,
    96 * MIB,
    512 * MIB,
    1 * GIB,
    7 * GIB + 12345 * KIB,
    8 * GIB,
    100 * GIB,
    1 * TIB,
    64 * TIB + 4096,
]
sized = pytest.mark.parametrize("size", SIZES)

CAPACITIES = st.integers(17 * MIB, 64 * MIB) | st.integers(17 * MIB, 256 * TIB)
KEY = repeatable("key")(96)


@sized
def test_the_geometry_is_that_of_the_formulas(size: int) -> None:
    js = facts.sections(size // 512)
    geometry = Geometry.of(size)
    assert (js, facts.provided(size // 512, js)) == (
        geometry.journal_sections,
        geometry.provided_units,
    )
    last = geometry.sectors - 1
    for sector in [s for s in (0, 1, 4095, 4096, 4097, last // 2, last) if s <= last]:
        assert facts.data_byte(sector, js) == geometry.data_offset(sector)
        assert facts.tag_byte(sector, js) == geometry.tag_offset(sector)


def test_a_device_of_24_mib_has_one_section_and_1977_sectors() -> None:
    # 24 MiB are 49152 units; 32768 + 8 + 264 + 256 come before the first one of the payload.
    assert (1, 49152 - 32768 - 8 - 264 - 256) == (
        Geometry.of(24 * MIB).journal_sections,
        Geometry.of(24 * MIB).provided_units,
    )


def test_a_device_of_64_mib_has_three_sections_and_three_runs() -> None:
    # 131072 units >> 7 are 1024: three times 264. After 16 MiB, superblock and journal there are
    # 97504 units: two whole runs of 32768 + 256, and one of 256 + 31200.
    geometry = Geometry.of(64 * MIB)
    assert (3, 2 * 32768 + 97504 - 2 * 33024 - 256) == (
        geometry.journal_sections,
        geometry.provided_units,
    )


def test_the_journal_is_never_larger_than_64_mib() -> None:
    assert [496] * 3 == [sections_of(size) for size in (8 * GIB, 1 * TIB, 256 * TIB)]
    assert sections_of(496 * 264 * 128 * 512 - 1) == 495


@pytest.mark.parametrize("size", [0, 4096, 16 * MIB, 16 * MIB + 4096, 17_047_552 - 1])
def test_a_device_without_room_for_a_sector_has_none(size: int) -> None:
    assert (0, 0) == (Geometry.of(size).sectors, Geometry.of(size).payload_size)


@given(CAPACITIES)
def test_the_last_sector_fits_and_one_more_would_not(capacity: int) -> None:
    geometry = Geometry.of(capacity)
    device, js = capacity // 512, geometry.journal_sections
    assert geometry.provided_units % 8 == 0
    assert facts.fits(geometry.provided_units, device, js)
    assert not facts.fits(geometry.provided_units + 8, device, js)
    assert geometry.data_offset(geometry.sectors - 1) + 4096 <= capacity
    assert geometry.data_offset(geometry.sectors) + 4096 > device * 512


@given(CAPACITIES, st.data())
def test_no_two_things_share_a_place(capacity: int, data: st.DataObject) -> None:
    geometry = Geometry.of(capacity)
    sectors = st.integers(0, geometry.sectors - 1)
    near = data.draw(sectors)
    drawn = {data.draw(sectors), near, min(near + 1, geometry.sectors - 1), 0}
    drawn |= {near - near % 4096, geometry.sectors - 1}
    places = [(geometry.data_offset(sector), 4096) for sector in drawn]
    places += [(geometry.tag_offset(sector), 32) for sector in drawn]
    places += [(SUPERBLOCK_OFFSET, 4096), (geometry.section_offset(0), 132 * KIB)]
    places += [(geometry.section_offset(geometry.journal_sections - 1), 132 * KIB)]
    for (start, length), (following, _) in zip(
        sorted(set(places)), sorted(set(places))[1:], strict=False
    ):
        assert start + length <= following
    assert max(start + length for start, length in places) <= capacity
    assert min(places) == (SUPERBLOCK_OFFSET, 4096)


@given(CAPACITIES, st.integers(1, 496), st.integers(0, 2**40))
def test_a_larger_device_never_moves_a_sector(capacity: int, js: int, more: int) -> None:
    small, large = Geometry.of(capacity, js), Geometry.of(capacity + more, js)
    assert small.sectors <= large.sectors
    for sector in (0, small.sectors // 2, max(0, small.sectors - 1)):
        assert small.data_offset(sector) == large.data_offset(sector)
        assert small.tag_offset(sector) == large.tag_offset(sector)


# --- superblock ---


@sized
def test_the_superblock_is_that_of_the_formulas(size: int) -> None:
    js = facts.sections(size // 512)
    expected = facts.superblock(js, facts.provided(size // 512, js))
    assert expected == superblock.build(Geometry.of(size))


def test_a_superblock_says_its_fields_in_the_documented_places() -> None:
    found = superblock.build(Geometry(3, 96480))
    assert found[:8] == b"integrt\0"
    assert (4, 15) == (found[8], found[9])
    assert struct.unpack_from("<HIQIBB", found, 10) == (32, 3, 96480, 8, 3, 12)
    assert not any(found[30:])
    assert len(found) == 4096


def on_disk(content: bytes) -> MemoryDisk:
    disk = MemoryDisk(24 * MIB)
    disk.write(SUPERBLOCK_OFFSET, content)
    return disk


@given(st.integers(0, 4095), st.integers(0, 7))
@settings(max_examples=200)
def test_a_superblock_with_any_bit_changed_is_refused(position: int, bit: int) -> None:
    geometry = Geometry.of(24 * MIB)
    content = bytearray(superblock.build(geometry))
    superblock.require("vol", on_disk(bytes(content)), geometry)
    content[position] ^= 1 << bit
    with pytest.raises(SuperblockRefused) as refusal:
        superblock.require("vol", on_disk(bytes(content)), geometry)
    assert refusal.value.volume == "vol"
    assert refusal.value.found != refusal.value.expected


def test_the_refusal_names_the_first_field_that_differs() -> None:
    geometry = Geometry.of(24 * MIB)
    content = bytearray(superblock.build(geometry))
    content[12] = 7
    content[40] = 1
    with pytest.raises(SuperblockRefused) as refusal:
        superblock.require("vol", on_disk(bytes(content)), geometry)
    assert ("journal_sections", 7, 1) == (
        refusal.value.field,
        refusal.value.found,
        refusal.value.expected,
    )
    assert "--journal-sections" in refusal.value.remedy


def test_a_superblock_that_cannot_be_read_is_a_device_error() -> None:
    geometry = Geometry.of(24 * MIB)
    disk = FailingDisk(on_disk(superblock.build(geometry)), at("read", SUPERBLOCK_OFFSET))
    with pytest.raises(Exception, match="bad sector") as failure:
        superblock.require("vol", disk, geometry)
    assert type(failure.value).__name__ == "DeviceIOError"


# --- tags ---


@given(st.integers(0, 2**40), st.integers(1, 5), st.binary(max_size=64))
def test_tags_are_a_plain_hmac(first: int, count: int, seed: bytes) -> None:
    cipher = (seed + b"\x5a").ljust(4096, b"\0") * count
    found = tags.compute(Secret(KEY), first, memoryview(cipher))
    expected = [facts.tag(KEY, first + index, cipher[:4096]) for index in range(count)]
    assert b"".join(expected) == found


def test_the_tag_of_a_sector_depends_on_its_place_its_content_and_the_key() -> None:
    cipher = memoryview(filled(1))
    found = {
        tags.compute(Secret(KEY), 0, cipher),
        tags.compute(Secret(KEY), 1, cipher),
        tags.compute(Secret(KEY), 0, memoryview(filled(2))),
        tags.compute(Secret(KEY[:95] + b"\0"), 0, cipher),
    }
    assert len(found) == 4


def test_of_the_volume_key_only_the_last_32_bytes_make_tags() -> None:
    cipher = memoryview(filled(1))
    other = Secret(bytes(64) + KEY[64:])
    assert tags.compute(Secret(KEY), 7, cipher) == tags.compute(other, 7, cipher)


@given(st.sets(st.integers(0, 9)))
def test_every_tag_that_differs_is_found(differing: set[int]) -> None:
    expected = repeatable("tags")(320)
    found = bytearray(expected)
    for index in differing:
        found[index * 32 + index] ^= 1 << index % 8
    assert sorted(differing) == list(tags.mismatches(memoryview(found), expected))
