"""The seal: keys and MAC recomputed with nothing but hashlib and hmac."""

import hashlib
import hmac
import json
import struct

import attrs
import pytest

from cloudcrypt.errors import InvalidVolumeId
from cloudcrypt.luks2 import derive, parse, read_header
from cloudcrypt.luks2.seal import compute
from cloudcrypt.model import Mode
from cloudcrypt.secret import Secret
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import sample_volume

DATA_KEY = bytes(range(32))


def hkdf(key: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 without a salt, one block of output: RFC 5869, sections 2.2 and 2.3."""
    pseudorandom = hmac.new(bytes(32), key, hashlib.sha256).digest()
    return hmac.new(pseudorandom, info + b"\1", hashlib.sha256).digest()


def info(purpose: bytes, volume_id: str, generation: int) -> bytes:
    identity = volume_id.encode()
    numbers = generation.to_bytes(8, "big") + len(identity).to_bytes(2, "big")
    return b"cloudcrypt/luks2/v1\0" + purpose + b"\0" + numbers + identity


@pytest.mark.parametrize("volume_id", ["v", "local:example/vol-1", "A" * 128])
@pytest.mark.parametrize("generation", [1, 2, 2**64 - 1])
def test_both_keys_are_hkdf_of_the_data_key(volume_id: str, generation: int) -> None:
    keys = derive(Secret(DATA_KEY), volume_id, generation)
    assert hkdf(DATA_KEY, info(b"passphrase", volume_id, generation)) == keys.passphrase.reveal()
    assert hkdf(DATA_KEY, info(b"mac", volume_id, generation)) == keys.seal.key.reveal()
    assert (volume_id, generation) == (keys.seal.volume_id, keys.seal.generation)


def test_every_volume_and_generation_has_keys_of_its_own() -> None:
    keys = [
        bytes(key.reveal())
        for volume_id in ("a", "b", "aa")
        for generation in (1, 2)
        for bound in [derive(Secret(DATA_KEY), volume_id, generation)]
        for key in (bound.passphrase, bound.seal.key)
    ]
    assert len(set(keys)) == 12


@pytest.mark.parametrize("volume_id", ["", "a b", "é", "a\0", "A" * 129, "a\n"])
def test_nothing_is_derived_for_what_is_no_volume_id(volume_id: str) -> None:
    with pytest.raises(InvalidVolumeId):
        derive(Secret(DATA_KEY), volume_id, 1)


def test_wiping_the_bound_keys_wipes_both() -> None:
    keys = derive(Secret(DATA_KEY), "v", 1)
    passphrase, mac_key = keys.passphrase.reveal(), keys.seal.key.reveal()
    keys.wipe()
    assert (bytes(32), bytes(32)) == (bytes(passphrase), bytes(mac_key))


@pytest.mark.parametrize("mode", Mode)
def test_the_mac_covers_identity_document_and_keyslot_area(mode: Mode) -> None:
    volume = sample_volume(CHEAP, mode, generation=7)
    header = parse(read_header(volume.disk()))
    blanked = json.loads(header.json_text)
    stated = blanked["tokens"]["0"].pop("mac")
    blanked["tokens"]["0"]["mac"] = ""
    text = json.dumps(blanked, separators=(",", ":")).encode()
    identity = volume.volume_id.encode()
    message = (
        b"cloudcrypt/luks2/seal/v1\0"
        + struct.pack(">H", len(identity))
        + identity
        + struct.pack(">QQQ", 7, 16384, header.seqid)
        + struct.pack(">H", 36)
        + header.uuid.encode()
        + struct.pack(">H", 6)
        + b"sha256"
        + struct.pack(">I", len(text))
        + text
        + hashlib.sha256(volume.image.area).digest()
    )
    key = hkdf(bytes(32), info(b"mac", volume.volume_id, 7))
    expected = hmac.new(key, message, hashlib.sha256).digest()
    assert volume.keys.seal is not None
    actual = compute(
        volume.keys.seal, header.uuid, header.seqid, header.metadata, volume.image.area
    )
    assert expected == actual
    assert expected == header.metadata.tokens["0"].mac
    assert len(stated) == 44


def test_the_mac_does_not_depend_on_the_mac_that_is_there() -> None:
    volume = sample_volume(CHEAP)
    header = parse(read_header(volume.disk()))
    token = attrs.evolve(header.metadata.tokens["0"], mac=b"other")
    metadata = attrs.evolve(header.metadata, tokens={"0": token})
    assert volume.keys.seal is not None
    assert header.metadata.tokens["0"].mac == compute(
        volume.keys.seal, header.uuid, header.seqid, metadata, volume.image.area
    )
