"""Unlocking: the right key, or a refusal; the only door to a volume key."""

import resource

import attrs
import pytest

from cloudcrypt.errors import HeaderRefused, HostUnready, VolumeKeyRefused
from cloudcrypt.luks2 import HeaderKeys, Step, build, new_volume_key, unlock
from cloudcrypt.luks2.keyslot import open_keyslot
from cloudcrypt.luks2.unlock import has_distinct_halves
from cloudcrypt.model import Mode
from cloudcrypt.profiles import Profile
from cloudcrypt.secret import Secret
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from cloudcrypt_testing.volumes import UUID, header_keys, sample_volume

PROFILES = pytest.mark.parametrize("profile", [CHEAP, CHEAP_CONSTELLATION], ids=lambda p: p.name)


@PROFILES
@pytest.mark.parametrize("mode", Mode)
def test_the_passphrase_opens_the_volume(profile: Profile, mode: Mode) -> None:
    volume = sample_volume(profile, mode)
    with volume.unlock(volume.disk()) as unlocked:
        assert volume.volume_key == unlocked.volume_key
        assert mode is unlocked.header.mode


@pytest.mark.parametrize("passphrase", [b"\1" * 32, b"", bytes(31), bytes(33), b"x" * 1000])
def test_another_passphrase_is_refused(passphrase: bytes) -> None:
    volume = sample_volume(CHEAP_CONSTELLATION)
    with pytest.raises(VolumeKeyRefused) as refusal:
        unlock(volume.verify(volume.disk()), Secret(passphrase))
    assert Step.UNLOCK == refusal.value.step


@pytest.mark.parametrize("passphrase", [b"\0\0", b"a\0b", bytes(range(256)), b"", b"line\n"])
def test_a_passphrase_is_raw_bytes(passphrase: bytes) -> None:
    key = new_volume_key(Mode.CRYPT)
    keys = HeaderKeys(Secret(passphrase), None)
    image = build(CHEAP_CONSTELLATION, Mode.CRYPT, UUID, key, keys)
    volume = attrs.evolve(sample_volume(CHEAP_CONSTELLATION), keys=keys, image=image)
    assert key == volume.unlock(volume.disk()).volume_key


@PROFILES
@pytest.mark.parametrize("mode", Mode)
def test_an_xts_key_with_equal_halves_is_refused(profile: Profile, mode: Mode) -> None:
    size = {Mode.CRYPT: 64, Mode.INTEGRITY: 96}[mode]
    key = Secret(b"\7" * 64 + b"\1" * (size - 64))
    volume = sample_volume(profile, mode)
    image = build(profile, mode, UUID, key, volume.keys)
    forged = attrs.evolve(volume, image=image)
    with pytest.raises(HeaderRefused) as refusal:
        forged.unlock(forged.disk())
    assert Step.XTS_KEY == refusal.value.step


@pytest.mark.parametrize(
    ("key", "distinct"),
    [
        (bytes(64), False),
        (bytes(63) + b"\1", True),
        (b"\1" + bytes(63), True),
        (bytes(64) + b"\1" * 32, False),
    ],
)
def test_halves_are_compared_whole(key: bytes, *, distinct: bool) -> None:
    assert distinct == has_distinct_halves(Secret(key))


def test_leaving_the_volume_wipes_its_key() -> None:
    volume = sample_volume(CHEAP)
    with volume.unlock(volume.disk()) as unlocked:
        key = unlocked.volume_key
    with pytest.raises(ValueError, match="wiped"):
        key.reveal()


def test_a_volume_key_stays_out_of_representations() -> None:
    volume = sample_volume(CHEAP)
    with volume.unlock(volume.disk()) as unlocked:
        shown = repr(unlocked)
        assert bytes(unlocked.volume_key.reveal()).hex() not in shown
    assert "<Secret of 64 bytes>" in shown


def test_a_host_without_the_memory_says_so() -> None:
    volume = sample_volume(CHEAP)
    header = volume.verify(volume.disk())
    kdf = attrs.evolve(header.keyslot.kdf, memory=4 * 1024 * 1024)
    slot = attrs.evolve(header.keyslot, kdf=kdf)
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (4 * 1024**3, before[1]))
    try:
        with pytest.raises(HostUnready) as refusal:
            open_keyslot(slot, header.area, volume.keys.passphrase)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert refusal.value.what == "4096 MiB of free memory for Argon2id"


def test_header_keys_are_wiped_when_done() -> None:
    for profile in (CHEAP, CHEAP_CONSTELLATION):
        with header_keys(profile, "v", 1) as keys:
            views = [keys.passphrase.reveal()]
            views += [keys.seal.key.reveal()] if keys.seal else []
            assert len(views) == 1 + profile.sealed
        assert not any(any(view) for view in views)
