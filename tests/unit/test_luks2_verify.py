"""What the verification accepts, and that it asks for the right things."""

import attrs
import pytest

from cloudcrypt.errors import HeaderRefused, IdentityRefused, KeyslotsRefused, ModeRefused
from cloudcrypt.luks2 import Step, build, parse, read_header, verify
from cloudcrypt.model import Expectation, Mode
from cloudcrypt.profiles import LAYOUTS, Profile
from cloudcrypt_testing.disks import FailingDisk, MemoryDisk, at
from cloudcrypt_testing.headers import DEVICE_SIZE
from cloudcrypt_testing.mutations import field, forge, put, rename, reorder
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from cloudcrypt_testing.volumes import UUID, header_keys, sample_volume

PROFILES = pytest.mark.parametrize("profile", [CHEAP, CHEAP_CONSTELLATION], ids=lambda p: p.name)


@PROFILES
@pytest.mark.parametrize("mode", Mode)
def test_a_verified_header_says_what_was_verified(profile: Profile, mode: Mode) -> None:
    volume = sample_volume(profile, mode)
    header = volume.verify(volume.disk())
    assert (volume.uuid, 1, 1, mode) == (header.uuid, header.seqid, header.generation, header.mode)
    assert (DEVICE_SIZE, None) == (header.capacity, header.journal_sections)
    assert volume.image.area == header.area


@PROFILES
def test_a_verified_header_says_how_many_journal_sections_the_caller_expects(
    profile: Profile,
) -> None:
    volume = sample_volume(profile, Mode.INTEGRITY)
    grown = attrs.evolve(volume.expectation, journal_sections=7)
    assert volume.verify(volume.disk(), grown).journal_sections == 7


def test_the_alternate_place_of_the_keyslot_area_is_accepted_in_a_sealed_header() -> None:
    volume = sample_volume(CHEAP)
    offset = LAYOUTS[Mode.CRYPT].alternate_offset
    image = build(
        CHEAP, Mode.CRYPT, UUID, volume.volume_key, volume.keys, seqid=2, area_offset=offset
    )
    moved = attrs.evolve(volume, image=image)
    assert volume.volume_key == moved.unlock(moved.disk()).volume_key


@PROFILES
def test_an_unknown_uuid_and_capacity_are_left_to_the_seal(profile: Profile) -> None:
    volume = sample_volume(profile)
    header = volume.verify(volume.disk(), Expectation(Mode.CRYPT))
    assert (volume.uuid, DEVICE_SIZE) == (header.uuid, header.capacity)


@PROFILES
def test_another_uuid_than_expected_is_another_identity(profile: Profile) -> None:
    volume = sample_volume(profile)
    other = attrs.evolve(volume.expectation, uuid="11111111-2222-4333-8444-555555555555")
    with pytest.raises(IdentityRefused):
        volume.verify(volume.disk(), other)


@PROFILES
@pytest.mark.parametrize("mode", Mode)
def test_the_other_mode_than_expected_is_refused(profile: Profile, mode: Mode) -> None:
    volume = sample_volume(profile, mode)
    asked = Mode.CRYPT if mode is Mode.INTEGRITY else Mode.INTEGRITY
    with pytest.raises(ModeRefused) as refusal:
        volume.verify(volume.disk(), attrs.evolve(volume.expectation, mode=asked))
    assert ({"mode": mode.value}, asked.value) == (refusal.value.found, refusal.value.expected)


def test_a_key_added_by_hand_is_refused_with_the_remedy() -> None:
    volume = sample_volume(CHEAP_CONSTELLATION)
    disk = forge(volume.image, rename("keyslots/0", "1"))
    with pytest.raises(KeyslotsRefused) as refusal:
        volume.verify(disk)
    assert {"keyslots": ["1"]} == refusal.value.found
    assert "cryptsetup luksKillSlot" in refusal.value.remedy


def test_the_order_of_fields_is_free_where_no_seal_covers_it() -> None:
    volume = sample_volume(CHEAP_CONSTELLATION)
    disk = forge(volume.image, reorder(), reorder("keyslots/0"), reorder("segments/0"))
    assert volume.volume_key == volume.unlock(disk).volume_key


def test_a_key_size_that_newer_libcryptsetup_spells_out_is_accepted_without_a_seal() -> None:
    volume = sample_volume(CHEAP_CONSTELLATION, Mode.INTEGRITY)
    disk = forge(volume.image, put("segments/0/integrity/key_size", 32))
    assert volume.volume_key == volume.unlock(disk).volume_key


@pytest.mark.parametrize("seqid", [1, 2, 2**63 - 1])
def test_a_sequence_id_that_can_grow_is_accepted_without_a_seal(seqid: int) -> None:
    volume = sample_volume(CHEAP_CONSTELLATION)
    assert seqid == volume.verify(forge(volume.image, field("seqid", seqid))).seqid


@pytest.mark.parametrize("seqid", [0, 2**63, 2**64 - 1])
def test_a_sequence_id_that_cannot_grow_is_refused(seqid: int) -> None:
    volume = sample_volume(CHEAP_CONSTELLATION)
    with pytest.raises(HeaderRefused) as refusal:
        volume.verify(forge(volume.image, field("seqid", seqid)))
    assert Step.IDENTITY == refusal.value.step


def test_a_sealed_header_is_never_verified_without_its_key() -> None:
    volume = sample_volume(CHEAP)
    header = parse(read_header(volume.disk()))
    with pytest.raises(ValueError, match="exactly if the profile is sealed"):
        verify(header, CHEAP, volume.expectation)


def test_a_seal_key_is_never_given_for_a_header_without_a_seal() -> None:
    volume = sample_volume(CHEAP_CONSTELLATION)
    header = parse(read_header(volume.disk()))
    seal_key = header_keys(CHEAP, "v", 1).seal
    with pytest.raises(ValueError, match="exactly if the profile is sealed"):
        verify(header, CHEAP_CONSTELLATION, volume.expectation, seal_key)


def test_a_seal_key_of_another_generation_than_expected_is_a_mistake_of_the_caller() -> None:
    volume = sample_volume(CHEAP)
    header = parse(read_header(forge(volume.image, put("tokens/0/generation", "2"))))
    with pytest.raises(ValueError, match="another generation"):
        verify(header, CHEAP, Expectation(Mode.CRYPT, 2), volume.keys.seal)


@pytest.mark.parametrize("size", [0, 4096, 16777216, 16777216 + 4095])
def test_a_device_without_room_for_header_and_sector_is_refused_unread(size: int) -> None:
    disk = FailingDisk(MemoryDisk(size), lambda _: True)
    with pytest.raises(HeaderRefused) as refusal:
        read_header(disk)
    assert Step.READ == refusal.value.step


@pytest.mark.parametrize("offset", [0, 16384, 32768, 500_000])
def test_a_read_error_is_never_taken_for_an_empty_disk(offset: int) -> None:
    volume = sample_volume(CHEAP)
    disk = FailingDisk(volume.disk(), at("read", offset))
    with pytest.raises(Exception, match="bad sector") as failure:
        volume.verify(disk)
    assert type(failure.value).__name__ == "DeviceIOError"


def test_steps_are_numbered_without_gaps() -> None:
    assert list(range(1, 18)) == [step.value for step in Step]
