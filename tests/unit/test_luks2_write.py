"""Making headers, and the order in which they reach the disk."""

import attrs
import pytest

from cloudcrypt.errors import HeaderRefused
from cloudcrypt.luks2 import (
    HeaderKeys,
    Step,
    build,
    layout,
    new_volume_key,
    parse,
    read_header,
    rewrap,
    serialise,
)
from cloudcrypt.luks2.unlock import has_distinct_halves
from cloudcrypt.model import Mode
from cloudcrypt.profiles import CLOUDCRYPT_V1, CONSTELLATION, LAYOUTS, Profile
from cloudcrypt.secret import Secret
from cloudcrypt_testing.disks import MemoryDisk, Operation, RecordingDisk
from cloudcrypt_testing.headers import DEVICE_SIZE, Forgery
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from cloudcrypt_testing.volumes import UUID, header_keys, repeatable, sample_volume

PROFILES = pytest.mark.parametrize("profile", [CHEAP, CHEAP_CONSTELLATION], ids=lambda p: p.name)


@pytest.mark.parametrize("profile", [CLOUDCRYPT_V1, CONSTELLATION], ids=lambda p: p.name)
@pytest.mark.parametrize(
    ("mode", "key_size", "area_size"), [(Mode.CRYPT, 64, 258048), (Mode.INTEGRITY, 96, 385024)]
)
def test_the_documented_profile_is_written_to_the_letter(
    profile: Profile, mode: Mode, key_size: int, area_size: int
) -> None:
    document = Forgery.of(sample_volume(profile, mode).image).primary.document()
    for secret in (
        document["keyslots"]["0"]["kdf"],
        document["digests"]["0"],
        document["tokens"].get("0", {}),
    ):
        for name in ("salt", "digest", "mac"):
            secret.pop(name, None)
    segment: dict[str, object] = {
        "type": "crypt",
        "offset": "16777216",
        "size": "dynamic",
        "iv_tweak": "0",
        "encryption": "aes-xts-plain64",
        "sector_size": 4096,
    }
    if mode is Mode.INTEGRITY:
        segment["integrity"] = {
            "type": "hmac(sha256)",
            "journal_encryption": "none",
            "journal_integrity": "none",
        }
    seal = {"type": "cloudcrypt", "keyslots": ["0"], "version": 1, "generation": "1"}
    expected = {
        "keyslots": {
            "0": {
                "type": "luks2",
                "key_size": key_size,
                "af": {"type": "luks1", "stripes": 4000, "hash": "sha256"},
                "area": {
                    "type": "raw",
                    "offset": "32768",
                    "size": str(area_size),
                    "encryption": "aes-xts-plain64",
                    "key_size": 64,
                },
                "kdf": {"type": "argon2id", "time": 3, "memory": 65536, "cpus": 4},
            }
        },
        "tokens": {"0": seal} if profile.sealed else {},
        "segments": {"0": segment},
        "digests": {
            "0": {
                "type": "pbkdf2",
                "keyslots": ["0"],
                "segments": ["0"],
                "hash": "sha256",
                "iterations": 1000,
            }
        },
        "config": {"json_size": "12288", "keyslots_size": "16744448"},
    }
    assert expected == document


def test_every_header_has_salts_of_its_own() -> None:
    volume = sample_volume(CHEAP)
    images = [build(CHEAP, Mode.CRYPT, UUID, volume.volume_key, volume.keys) for _ in range(2)]
    documents = [Forgery.of(image).primary.document() for image in images]
    salts = {
        *(document["keyslots"]["0"]["kdf"]["salt"] for document in documents),
        *(document["digests"]["0"]["salt"] for document in documents),
        *(image.primary[104:168] for image in images),
        *(image.secondary[104:168] for image in images),
    }
    assert len(salts) == 8


@pytest.mark.parametrize("mode", Mode)
def test_a_new_volume_key_has_the_length_of_its_mode_and_distinct_halves(mode: Mode) -> None:
    key = new_volume_key(mode)
    assert LAYOUTS[mode].key_size == len(key)
    assert has_distinct_halves(key)


def test_a_volume_key_with_equal_halves_is_drawn_again() -> None:
    draws = iter([bytes(64), b"\1" * 64, bytes(range(64))])
    assert Secret(bytes(range(64))) == new_volume_key(Mode.CRYPT, lambda _: next(draws))


@PROFILES
def test_the_area_is_durable_before_the_secondary_and_that_before_the_primary(
    profile: Profile,
) -> None:
    disk = RecordingDisk(MemoryDisk(DEVICE_SIZE))
    sample_volume(profile).image.write_to(disk)
    expected = [
        Operation("write", 32768, 258048),
        Operation("sync"),
        Operation("write", 16384, 16384),
        Operation("sync"),
        Operation("write", 0, 16384),
        Operation("sync"),
    ]
    assert expected == disk.operations


@PROFILES
@pytest.mark.parametrize("mode", Mode)
def test_a_header_as_bytes_is_a_backup_of_16_mib(profile: Profile, mode: Mode) -> None:
    volume = sample_volume(profile, mode)
    content = volume.image.to_bytes()
    disk = MemoryDisk(DEVICE_SIZE)
    disk.write(0, content)
    assert len(content) == layout.DATA_OFFSET
    assert volume.volume_key == volume.unlock(disk).volume_key


@PROFILES
def test_a_header_is_not_built_with_a_uuid_that_verification_refuses(profile: Profile) -> None:
    volume = sample_volume(profile)
    with pytest.raises(HeaderRefused) as refusal:
        build(profile, Mode.CRYPT, UUID.upper(), volume.volume_key, volume.keys)
    assert Step.IDENTITY == refusal.value.step


@pytest.mark.parametrize(
    ("offset", "step"),
    [
        (0, Step.BINARY),
        (4096, Step.CHECKSUM),
        (417792, Step.KEYSLOT),
        (16777216 - 258048, Step.KEYSLOT),
    ],
)
def test_a_header_is_not_built_with_its_area_elsewhere(offset: int, step: Step) -> None:
    volume = sample_volume(CHEAP)
    with pytest.raises(HeaderRefused) as refusal:
        build(CHEAP, Mode.CRYPT, UUID, volume.volume_key, volume.keys, area_offset=offset)
    assert step == refusal.value.step


def test_a_sealed_header_is_not_built_without_a_seal_key() -> None:
    volume = sample_volume(CHEAP)
    with pytest.raises(ValueError, match="exactly if the profile is sealed"):
        build(CHEAP, Mode.CRYPT, UUID, volume.volume_key, HeaderKeys(volume.keys.passphrase, None))


@PROFILES
@pytest.mark.parametrize("mode", Mode)
def test_serialising_gives_the_verified_header_with_salts_of_our_own(
    profile: Profile, mode: Mode
) -> None:
    volume = sample_volume(profile, mode)
    disk = volume.disk()
    image = serialise(volume.verify(disk))
    assert volume.image.primary[4096:] == image.primary[4096:]
    assert volume.image.area == image.area
    assert volume.image.primary[104:168] != image.primary[104:168]
    again = attrs.evolve(volume, image=image)
    assert volume.volume_key == again.unlock(again.disk()).volume_key


def test_serialising_is_repeatable_with_repeatable_randomness() -> None:
    volume = sample_volume(CHEAP)
    header = volume.verify(volume.disk())
    first, second = (serialise(header, repeatable("same")) for _ in range(2))
    assert first == second


def test_rewrapping_keeps_the_volume_key_and_moves_everything_else() -> None:
    volume = sample_volume(CHEAP)
    keys = header_keys(CHEAP, volume.volume_id, 2)
    offset = LAYOUTS[Mode.CRYPT].alternate_offset
    with volume.unlock(volume.disk()) as unlocked:
        image = rewrap(unlocked, keys, area_offset=offset)
    rotated = attrs.evolve(volume, generation=2, keys=keys, image=image)
    header = rotated.verify(rotated.disk())
    assert (2, 2, UUID) == (header.seqid, header.generation, header.uuid)
    assert volume.volume_key == rotated.unlock(rotated.disk()).volume_key


def test_rewrapping_may_change_the_uuid() -> None:
    volume = sample_volume(CHEAP)
    uuid = "11111111-2222-4333-8444-555555555555"
    keys = header_keys(CHEAP, "local:example/copy", 1)
    with volume.unlock(volume.disk()) as unlocked:
        image = rewrap(unlocked, keys, area_offset=290816, uuid=uuid)
    copy = attrs.evolve(volume, uuid=uuid, keys=keys, image=image)
    assert volume.volume_key == copy.unlock(copy.disk()).volume_key


@pytest.mark.parametrize(("newer_than", "seqid"), [(0, 2), (1, 2), (7, 8)])
def test_rewrapping_exceeds_every_sequence_id_it_is_told(newer_than: int, seqid: int) -> None:
    volume = sample_volume(CHEAP)
    with volume.unlock(volume.disk()) as unlocked:
        image = rewrap(unlocked, volume.keys, area_offset=290816, newer_than=newer_than)
    again = attrs.evolve(volume, image=image)
    assert seqid == parse(read_header(again.disk())).seqid


def test_other_offset_alternates() -> None:
    for sizes in LAYOUTS.values():
        alternate = sizes.other_offset(sizes.area_offset)
        assert sizes.area_offset == sizes.other_offset(alternate)
        assert sizes.area_offset + sizes.area_size == alternate
        assert layout.READ_SIZE >= alternate + sizes.area_size


@pytest.mark.parametrize(
    ("capacity", "payload"),
    [(0, 0), (16777216, 0), (16777216 + 4095, 0), (16777216 + 4096, 4096), (2**50, 2**50 - 2**24)],
)
def test_the_payload_is_whole_sectors_after_the_header(capacity: int, payload: int) -> None:
    assert payload == layout.payload_size(capacity)
