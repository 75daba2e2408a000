"""We read what the real cryptsetup writes with Constellation's parameters.

Integrity is not among them: cryptsetup formats it with the kernel alone.
"""

from pathlib import Path

import pytest

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import KdfRefused, KeyslotsRefused, VolumeKeyRefused
from cloudcrypt.luks2 import (
    HeaderKeys,
    UnlockedVolume,
    parse,
    read_header,
    rewrap,
    unlock,
    verify,
)
from cloudcrypt.model import Expectation, Mode
from cloudcrypt.profiles import CONSTELLATION
from cloudcrypt.secret import Secret
from tests.interop.cryptsetup import Cryptsetup

pytestmark = pytest.mark.interop

UUID = "7b1c5ea3-0a53-4c29-9d7a-1f2e3d4c5b6a"
PASSPHRASE = bytes(range(32))
PROFILE = (
    "--type", "luks2", "--cipher", "aes-xts-plain64", "--key-size", "512", "--hash", "sha256",
    "--sector-size", "4096", "--pbkdf", "argon2id", "--pbkdf-memory", "65536",
    "--pbkdf-parallel", "4", "--uuid", UUID,
)  # fmt: skip
QUICK = ("--pbkdf-force-iterations", "4")


def formatted(cryptsetup: Cryptsetup, image: Path, *cost: str) -> Path:
    key = cryptsetup.key_file(PASSPHRASE)
    cryptsetup.run("luksFormat", *PROFILE, *cost, "--key-file", key, image)
    return image


def opened(image: Path, passphrase: bytes = PASSPHRASE) -> UnlockedVolume:
    with FileDisk(image) as disk:
        unverified = parse(read_header(disk))
    header = verify(unverified, CONSTELLATION, Expectation(Mode.CRYPT, uuid=UUID))
    return unlock(header, Secret(passphrase))


def test_a_volume_that_it_formatted_opens(cryptsetup: Cryptsetup, image: Path) -> None:
    with opened(formatted(cryptsetup, image, *QUICK)) as volume:
        assert cryptsetup.volume_key(image, PASSPHRASE) == volume.volume_key
        assert volume.header.keyslot.kdf.time == 4


def test_a_volume_whose_cost_it_benchmarked_opens(cryptsetup: Cryptsetup, image: Path) -> None:
    formatted(cryptsetup, image, "--iter-time", "300")  # by default 2000: see the next test
    with opened(image) as volume:
        assert volume.header.keyslot.kdf.time >= 4
        assert volume.header.digest.iterations > 1000


def test_a_cost_beyond_the_profile_is_refused_and_the_remedy_works(
    cryptsetup: Cryptsetup, image: Path
) -> None:
    formatted(cryptsetup, image, "--pbkdf-force-iterations", "65")
    with pytest.raises(KdfRefused) as refusal:
        opened(image)
    command = refusal.value.remedy.split("'")[1].split()
    assert ["cryptsetup", "luksConvertKey", "IMAGE"] == [*command[:2], command[-1]]
    for _ in range(2):
        key_file = ("--key-file", cryptsetup.key_file(PASSPHRASE))
        cryptsetup.run(command[1], *command[2:-1], *key_file, image)
    with opened(image) as volume:
        assert volume.header.keyslot.kdf.time == 4


def test_a_wrong_passphrase_does_not_open_it(cryptsetup: Cryptsetup, image: Path) -> None:
    formatted(cryptsetup, image, *QUICK)
    with pytest.raises(VolumeKeyRefused):
        opened(image, b"wrong")


def test_it_opens_after_a_key_was_added_and_removed(cryptsetup: Cryptsetup, image: Path) -> None:
    formatted(cryptsetup, image, *QUICK)
    key = cryptsetup.volume_key(image, PASSPHRASE)
    cryptsetup.add_key(image, PASSPHRASE, b"another")
    cryptsetup.run("luksRemoveKey", image, cryptsetup.key_file(b"another"))
    with opened(image) as volume:
        assert key == volume.volume_key


def test_two_keyslots_are_refused_with_the_remedy(cryptsetup: Cryptsetup, image: Path) -> None:
    formatted(cryptsetup, image, *QUICK)
    cryptsetup.add_key(image, PASSPHRASE, b"another")
    with pytest.raises(KeyslotsRefused) as refusal:
        opened(image)
    assert {"keyslots": ["0", "1"]} == refusal.value.found
    assert "cryptsetup luksKillSlot IMAGE N" in refusal.value.remedy


def test_keyslot_1_alone_is_refused_with_the_remedy(cryptsetup: Cryptsetup, image: Path) -> None:
    formatted(cryptsetup, image, *QUICK)
    cryptsetup.add_key(image, PASSPHRASE, b"another")
    cryptsetup.run("luksKillSlot", image, "0")
    with pytest.raises(KeyslotsRefused) as refusal:
        opened(image, b"another")
    assert {"keyslots": ["1"]} == refusal.value.found
    assert "restore a header backup" in refusal.value.remedy


@pytest.mark.parametrize("size", [1, 31, 32, 64, 512])
def test_a_passphrase_is_raw_bytes_for_both(cryptsetup: Cryptsetup, image: Path, size: int) -> None:
    passphrase = bytes((number * 37) % 256 for number in range(size))
    key = cryptsetup.key_file(passphrase)
    cryptsetup.run("luksFormat", *PROFILE, *QUICK, "--key-file", key, image)
    with opened(image, passphrase) as volume:
        assert cryptsetup.volume_key(image, passphrase) == volume.volume_key


def test_it_opens_what_we_rewrapped_of_its_own(cryptsetup: Cryptsetup, image: Path) -> None:
    formatted(cryptsetup, image, *QUICK)
    new = Secret(b"\5" * 32)
    with opened(image) as volume:
        rewrapped = rewrap(volume, HeaderKeys(new, None), area_offset=32768)
        key = volume.volume_key.copy()
    with FileDisk(image, writable=True) as disk:
        rewrapped.write_to(disk)
    assert key == cryptsetup.volume_key(image, new)
    assert not cryptsetup.opens(image, PASSPHRASE)


def test_its_integers_at_the_bounds_of_the_profile_are_read(
    cryptsetup: Cryptsetup, image: Path
) -> None:
    key = cryptsetup.key_file(PASSPHRASE)
    cost = (
        "--pbkdf-force-iterations",
        str(CONSTELLATION.time.most),
        "--pbkdf-memory",
        "32",
        "--pbkdf-parallel",
        "1",
    )
    cryptsetup.run("luksFormat", *PROFILE, *cost, "--key-file", key, image)
    with opened(image) as volume:
        kdf = volume.header.keyslot.kdf
    assert (CONSTELLATION.time.most, 32, 1) == (kdf.time, kdf.memory, kdf.cpus)
