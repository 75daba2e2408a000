"""Data keys: the vectors, what a key service may give, and that nothing is left behind."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import DataKeyUnavailable, InvalidRequest, InvalidVolumeId
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService, bound_key_id, get_data_key
from cloudcrypt.secret import Secret

KEY = b"\xfb\xff\xbfqZx7vKp2wYj9Lr4TgBn8HdXm6fQ7"
SALT = b"\xff\xef\xbe3WcVs5NhJt1RyGk0PzMb9SlDaEuC"
KEY64 = base64.b64encode(KEY).decode()


# --- derivation ---

VECTORS = [
    (
        bytes(32),
        bytes(32),
        "00000000-0000-0000-0000-000000000000",
        "2b5c829f691bfd4232f8aac464bccc07e605c7c8e82cbca09837e86d0b6d0665",
    ),
    (
        b"\xff" * 32,
        b"\xff" * 32,
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "1484aa39d3415e906e07940ff215d8b1eee705d3027dba93306af4abff4f70be",
    ),
    (
        bytes(range(0x20)),
        bytes(range(0x20, 0x40)),
        "clusterID",
        "128c164378fe8767f998fbdfe4b4d6463ec5ae1b664ea5999bc27417607ae9b6",
    ),
    (
        bytes(range(0x40, 0x60)),
        bytes(range(0x60, 0x80)),
        "measurementSecret",
        "4790578891f3fe6cc22cb661ecdc1b7e33121b1287546a52ba33a9136719c213",
    ),
]


@pytest.mark.parametrize(("key", "salt", "key_id", "expected"), VECTORS)
def test_a_data_key_is_the_one_that_constellation_derives(
    key: bytes, salt: bytes, key_id: str, expected: str
) -> None:
    service = MasterSecretKeyService(MasterSecret.from_bytes(key, salt))
    assert Secret(bytes.fromhex(expected)) == get_data_key(service, key_id)


def hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 as RFC 5869 section 2 writes it, to hold ours against."""
    extracted = hmac.digest(salt, key, "sha256")
    block, output = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


RFC_5869 = {
    "A.1": (
        b"\x0b" * 22,
        bytes(range(0x0D)),
        bytes(range(0xF0, 0xFA)),
        42,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "A.2": (
        bytes(range(0x50)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        82,
        (
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb"
            "41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
        ),
    ),
}


@pytest.mark.parametrize("case", RFC_5869)
def test_the_yardstick_gives_the_vectors_of_rfc_5869(case: str) -> None:
    key, salt, info, length, expected = RFC_5869[case]
    assert expected == hkdf(key, salt, info, length).hex()


# The infos of RFC 5869 do not begin with "key-", so its vectors reach our code by way of the
# yardstick: the same keys, salts and lengths, and any others.
@pytest.mark.parametrize("case", RFC_5869)
def test_a_data_key_is_hkdf_for_the_inputs_of_rfc_5869(case: str) -> None:
    key, salt, _, length, _ = RFC_5869[case]
    secret = MasterSecret.from_bytes(key, salt)
    assert Secret(hkdf(key, salt, b"key-" + b"an id", length)) == secret.data_key("an id", length)


@given(
    key=st.binary(min_size=16, max_size=100),
    salt=st.binary(min_size=1, max_size=100),
    key_id=st.text(min_size=1, max_size=20),
    length=st.integers(1, 200),
)
def test_a_data_key_is_hkdf_of_any_id(key: bytes, salt: bytes, key_id: str, length: int) -> None:
    service = MasterSecretKeyService(MasterSecret.from_bytes(key, salt))
    expected = hkdf(key, salt, b"key-" + key_id.encode(), length)
    assert Secret(expected) == service.get_data_key(key_id, length)


# --- wiping ---


def test_a_wiped_master_secret_gives_no_keys() -> None:
    secret = MasterSecret.from_bytes(KEY, SALT)
    key, salt = secret.key.reveal(), secret.salt.reveal()
    secret.wipe()
    secret.wipe()
    assert (bytes(len(KEY)), bytes(len(SALT))) == (bytes(key), bytes(salt))
    with pytest.raises(ValueError, match="wiped"):
        secret.data_key("id", 32)


def test_data_keys_outlive_the_master_secret() -> None:
    secret = MasterSecret.from_bytes(KEY, SALT)
    key = secret.data_key("id", 32)
    secret.wipe()
    assert Secret(hkdf(KEY, SALT, b"key-id", 32)) == key


# --- the service ---


@pytest.mark.parametrize("length", [0, -1, 255 * 32 + 1])
def test_a_length_that_hkdf_cannot_give_is_refused(length: int) -> None:
    service = MasterSecretKeyService(MasterSecret.from_bytes(KEY, SALT))
    with pytest.raises(InvalidRequest) as refusal:
        service.get_data_key("id", length)
    assert ("length", length) == (refusal.value.parameter, refusal.value.value)


@pytest.mark.parametrize("length", [1, 255 * 32])
def test_the_shortest_and_the_longest_key_are_given(length: int) -> None:
    service = MasterSecretKeyService(MasterSecret.from_bytes(KEY, SALT))
    assert Secret(hkdf(KEY, SALT, b"key-id", length)) == service.get_data_key("id", length)


def test_an_empty_key_id_is_refused() -> None:
    service = MasterSecretKeyService(MasterSecret.from_bytes(KEY, SALT))
    with pytest.raises(InvalidRequest, match="key id"):
        get_data_key(service, "")


def test_the_key_id_of_a_bound_volume_names_the_volume() -> None:
    assert bound_key_id("aws/eu/vol-1") == "cloudcrypt/v1/aws/eu/vol-1"


@pytest.mark.parametrize("volume_id", ["", "a b", "x" * 129, "é"])
def test_the_key_id_of_a_bound_volume_needs_a_volume_id(volume_id: str) -> None:
    with pytest.raises(InvalidVolumeId):
        bound_key_id(volume_id)


class GivingService:
    """A key service that gives one key, whatever was asked for."""

    def __init__(self, key: Secret) -> None:
        self.key = key

    def get_data_key(self, key_id: str, length: int) -> Secret:
        assert (key_id, length) == ("id", 32)
        return self.key


class RaisingService:
    """A key service that fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get_data_key(self, key_id: str, length: int) -> Secret:
        assert (key_id, length) == ("id", 32)
        raise self.error


def test_a_key_of_32_bytes_is_given_as_it_is() -> None:
    key = Secret(bytes(32))
    assert key is get_data_key(GivingService(key), "id")


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_wiped_and_refused(length: int) -> None:
    key = Secret(hashlib.sha512(b"secret").digest()[:length])
    view = key.reveal()
    with pytest.raises(DataKeyUnavailable, match=f"a key of {length} bytes was given"):
        get_data_key(GivingService(key), "id")
    assert bytes(length) == bytes(view)
    with pytest.raises(ValueError, match="wiped"):
        key.reveal()


@pytest.mark.parametrize(
    "error", [RuntimeError(KEY64), ConnectionError(KEY64), TimeoutError(KEY64), KeyError(KEY64)]
)
def test_a_foreign_error_becomes_ours_without_its_text(error: Exception) -> None:
    with pytest.raises(DataKeyUnavailable) as refusal:
        get_data_key(RaisingService(error), "id")
    expected = ("id", f"the service failed: {type(error).__name__}")
    assert expected == (refusal.value.key_id, refusal.value.reason)
    assert KEY64 not in str(refusal.value)
    assert (None, True) == (refusal.value.__cause__, refusal.value.__suppress_context__)


class BytesService:
    """A service that does not keep to the protocol."""

    def get_data_key(self, _: str, length: int) -> bytes:
        return bytes(length)


def test_plain_bytes_are_no_key() -> None:
    with pytest.raises(DataKeyUnavailable, match="bytes was given, not a Secret"):
        get_data_key(BytesService(), "id")  # type: ignore[arg-type]  # that is the point


def test_an_error_of_ours_is_passed_on() -> None:
    error = DataKeyUnavailable("id", "the cluster said no")
    with pytest.raises(DataKeyUnavailable) as refusal:
        get_data_key(RaisingService(error), "id")
    assert error is refusal.value
