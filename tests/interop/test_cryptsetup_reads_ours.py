"""The real cryptsetup reads every header that we write."""

import json
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import KeyslotsRefused, SealRefused
from cloudcrypt.luks2 import rewrap
from cloudcrypt.model import Mode
from cloudcrypt.profiles import CLOUDCRYPT_V1, CONSTELLATION, LAYOUTS, Profile
from cloudcrypt_testing.headers import Forgery
from cloudcrypt_testing.volumes import SampleVolume, header_keys, sample_volume
from tests.interop.cryptsetup import Cryptsetup

pytestmark = pytest.mark.interop

PROFILES = pytest.mark.parametrize(
    "profile", [CLOUDCRYPT_V1, CONSTELLATION], ids=lambda profile: profile.name
)
ONE_OF_EACH = pytest.mark.parametrize(
    ("profile", "mode"), [(CLOUDCRYPT_V1, Mode.INTEGRITY), (CONSTELLATION, Mode.CRYPT)]
)
MODES = pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)


def written(volume: SampleVolume, image: Path) -> SampleVolume:
    with FileDisk(image, writable=True) as disk:
        volume.image.write_to(disk)
    return volume


def rotated(volume: SampleVolume) -> SampleVolume:
    """Return the volume one generation on, its keyslot in the alternate area."""
    keys = header_keys(volume.profile, volume.volume_id, 2)
    offset = LAYOUTS[volume.mode].alternate_offset
    with volume.unlock(volume.disk()) as unlocked:
        image = rewrap(unlocked, keys, area_offset=offset)
    return attrs.evolve(volume, generation=2, keys=keys, image=image)


@ONE_OF_EACH
def test_it_opens_with_our_passphrase_and_no_other(
    cryptsetup: Cryptsetup, image: Path, profile: Profile, mode: Mode
) -> None:
    volume = written(sample_volume(profile, mode), image)
    assert cryptsetup.opens(image, volume.keys.passphrase)
    assert not cryptsetup.opens(image, b"\1" * 32)


@PROFILES
@MODES
def test_it_finds_our_volume_key(
    cryptsetup: Cryptsetup, image: Path, profile: Profile, mode: Mode
) -> None:
    volume = written(sample_volume(profile, mode), image)
    assert volume.volume_key == cryptsetup.volume_key(image, volume.keys.passphrase)


@PROFILES
@MODES
def test_it_reads_our_document_as_it_is(
    cryptsetup: Cryptsetup, image: Path, profile: Profile, mode: Mode
) -> None:
    volume = written(sample_volume(profile, mode), image)
    dumped = json.loads(cryptsetup.run("luksDump", "--dump-json-metadata", image))
    assert Forgery.of(volume.image).primary.document() == dumped


@PROFILES
@MODES
def test_it_knows_it_for_luks2_and_prints_its_uuid(
    cryptsetup: Cryptsetup, image: Path, profile: Profile, mode: Mode
) -> None:
    volume = written(sample_volume(profile, mode), image)
    cryptsetup.run("isLuks", "--type", "luks2", image)
    assert volume.uuid == cryptsetup.run("luksUUID", image).strip()
    dump = cryptsetup.run("luksDump", image)
    assert "cipher: aes-xts-plain64" in dump
    assert "sector: 4096 [bytes]" in dump
    assert ("integrity: hmac(sha256)" in dump) == (mode is Mode.INTEGRITY)


@MODES
def test_it_opens_a_rotated_volume_with_its_new_passphrase_alone(
    cryptsetup: Cryptsetup, image: Path, mode: Mode
) -> None:
    old = written(sample_volume(CLOUDCRYPT_V1, mode), image)
    new = written(rotated(old), image)
    assert cryptsetup.opens(image, new.keys.passphrase)
    assert not cryptsetup.opens(image, old.keys.passphrase)
    assert new.volume_key == cryptsetup.volume_key(image, new.keys.passphrase)


@ONE_OF_EACH
def test_reading_and_opening_leave_our_header_as_it_was(
    cryptsetup: Cryptsetup, image: Path, profile: Profile, mode: Mode
) -> None:
    volume = written(sample_volume(profile, mode), image)
    before = image.read_bytes()
    cryptsetup.opens(image, volume.keys.passphrase)
    cryptsetup.run("luksDump", image)
    assert before == image.read_bytes()


@PROFILES
@MODES
def test_its_header_backup_is_the_header_as_bytes(
    cryptsetup: Cryptsetup, image: Path, tmp_path: Path, profile: Profile, mode: Mode
) -> None:
    volume = written(sample_volume(profile, mode), image)
    backup = tmp_path / "backup"
    cryptsetup.run("luksHeaderBackup", "--header-backup-file", backup, image)
    assert volume.image.to_bytes() == backup.read_bytes()


@PROFILES
def test_it_restores_a_header_that_we_wrote_as_bytes(
    cryptsetup: Cryptsetup, image: Path, tmp_path: Path, profile: Profile
) -> None:
    volume = sample_volume(profile)
    backup = tmp_path / "backup"
    backup.write_bytes(volume.image.to_bytes())
    backup.chmod(0o600)
    cryptsetup.run("luksHeaderRestore", "--header-backup-file", backup, image)
    with FileDisk(image) as disk:
        assert volume.volume_key == volume.unlock(disk).volume_key


@MODES
def test_a_key_that_it_added_is_refused_until_it_is_removed(
    cryptsetup: Cryptsetup, image: Path, mode: Mode
) -> None:
    volume = written(sample_volume(CONSTELLATION, mode), image)
    cryptsetup.add_key(image, volume.keys.passphrase, b"another")
    with FileDisk(image) as disk, pytest.raises(KeyslotsRefused) as refusal:
        volume.verify(disk)
    assert {"keyslots": ["0", "1"]} == refusal.value.found
    assert "cryptsetup luksKillSlot" in refusal.value.remedy
    cryptsetup.run("luksKillSlot", image, "1")
    with FileDisk(image) as disk:
        assert volume.volume_key == volume.unlock(disk).volume_key


def test_a_sealed_header_that_it_rewrote_is_refused_for_good(
    cryptsetup: Cryptsetup, image: Path
) -> None:
    volume = written(sample_volume(CLOUDCRYPT_V1), image)
    cryptsetup.add_key(image, volume.keys.passphrase, b"another")
    cryptsetup.run("luksKillSlot", image, "1")
    with FileDisk(image) as disk, pytest.raises(SealRefused):
        volume.verify(disk)
    assert cryptsetup.opens(image, volume.keys.passphrase)
