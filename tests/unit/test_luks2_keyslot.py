"""The keyslot: its area, its digest, and that this host can derive keys at all."""

import hashlib

import attrs
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from cloudcrypt.luks2 import antiforensic, parse, read_header
from cloudcrypt.luks2.keyslot import digest_of, matches, open_keyslot, probe_argon2id
from cloudcrypt.model import Mode
from cloudcrypt.secret import Secret
from cloudcrypt_testing.profiles import CHEAP_CONSTELLATION
from cloudcrypt_testing.volumes import sample_volume


@pytest.mark.parametrize("mode", Mode)
def test_the_area_is_the_split_key_in_sectors_of_512_under_the_derived_key(mode: Mode) -> None:
    volume = sample_volume(CHEAP_CONSTELLATION, mode)
    slot = parse(read_header(volume.disk())).metadata.keyslots["0"]
    kdf = Argon2id(salt=slot.kdf.salt, length=64, iterations=1, lanes=1, memory_cost=32)
    key = kdf.derive(bytes(volume.keys.passphrase.reveal()))
    plain = b""
    for sector in range(slot.key_size * 4000 // 512):
        cipher = Cipher(algorithms.AES(key), modes.XTS(sector.to_bytes(16, "little")))
        plain += cipher.decryptor().update(volume.image.area[sector * 512 : (sector + 1) * 512])
    assert volume.volume_key == Secret(antiforensic.merge(plain, slot.key_size, 4000))
    assert not any(volume.image.area[slot.key_size * 4000 :])


def test_the_digest_is_pbkdf2_of_the_volume_key() -> None:
    volume = sample_volume(CHEAP_CONSTELLATION)
    digest = parse(read_header(volume.disk())).metadata.digests["0"]
    key = bytes(volume.volume_key.reveal())
    expected = hashlib.pbkdf2_hmac("sha256", key, digest.salt, 1000, 32)
    assert expected == digest_of(volume.volume_key, digest.salt, 1000) == digest.digest
    assert matches(digest, volume.volume_key)


@pytest.mark.parametrize("length", [0, 1, 20, 31])
def test_a_truncated_digest_never_matches(length: int) -> None:
    volume = sample_volume(CHEAP_CONSTELLATION)
    digest = parse(read_header(volume.disk())).metadata.digests["0"]
    truncated = attrs.evolve(digest, digest=digest.digest[:length])
    assert not matches(truncated, volume.volume_key)


def test_the_opened_key_has_the_stated_length() -> None:
    volume = sample_volume(CHEAP_CONSTELLATION)
    header = volume.verify(volume.disk())
    found = open_keyslot(header.keyslot, header.area, volume.keys.passphrase)
    assert volume.volume_key == found
    assert len(found) == header.keyslot.key_size


def test_this_host_has_argon2id() -> None:
    probe_argon2id()
