"""Reading a master secret: which forms are read, and that a refusal never repeats the secret."""

import base64
import json
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudcrypt.errors import MasterSecretInvalid
from cloudcrypt.keys import MasterSecret

KEY = b"\xfb\xff\xbfqZx7vKp2wYj9Lr4TgBn8HdXm6fQ7"  # needs + and / in base64, - and _ in base64url
SALT = b"\xff\xef\xbe3WcVs5NhJt1RyGk0PzMb9SlDaEuC"
KEY64 = base64.b64encode(KEY).decode()
SALT64 = base64.b64encode(SALT).decode()
KEY_URL = base64.urlsafe_b64encode(KEY).decode()
SALT_URL = base64.urlsafe_b64encode(SALT).decode()
assert {"+", "/", "="} <= {*KEY64, *SALT64}

Reader = Callable[[str], MasterSecret]


@pytest.fixture(params=["in a file", "by API"])
def read_uri(request: pytest.FixtureRequest, tmp_path: Path) -> Reader:
    """Return what reads a URI; in a file white space may surround it."""
    if request.param == "by API":
        return MasterSecret.from_uri

    def from_file(uri: str) -> MasterSecret:
        path = tmp_path / "master-secret"
        path.write_text(f"\n {uri}\n")
        return MasterSecret.from_file(path)

    return from_file


@pytest.fixture
def read_file(tmp_path: Path) -> Callable[[bytes], MasterSecret]:
    def read(content: bytes) -> MasterSecret:
        path = tmp_path / "master-secret.json"
        path.write_bytes(content)
        return MasterSecret.from_file(path)

    return read


def revealed(secret: MasterSecret) -> tuple[bytes, bytes]:
    return bytes(secret.key.reveal()), bytes(secret.salt.reveal())


def test_a_json_file_is_read(read_file: Callable[[bytes], MasterSecret]) -> None:
    document = json.dumps({"key": KEY64, "salt": SALT64}, indent=2)
    assert (KEY, SALT) == revealed(read_file(document.encode() + b"\n"))


def test_a_path_may_be_text(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(json.dumps({"key": KEY64, "salt": SALT64}))
    assert (KEY, SALT) == revealed(MasterSecret.from_file(str(path)))


@pytest.mark.parametrize("path", ["", "/"])
@pytest.mark.parametrize(
    ("key", "salt"),
    [
        pytest.param(KEY_URL, SALT_URL, id="padded"),
        pytest.param(KEY_URL.rstrip("="), SALT_URL.rstrip("="), id="unpadded"),
        pytest.param(
            KEY_URL.replace("=", "%3D"), SALT_URL.replace("=", "%3D"), id="padding escaped"
        ),
        pytest.param(
            KEY64.replace("+", "%2B").replace("/", "%2F"),
            SALT64.replace("+", "%2B").replace("/", "%2F"),
            id="standard base64, escaped",
        ),
    ],
)
def test_a_uri_is_read(read_uri: Reader, path: str, key: str, salt: str) -> None:
    assert (KEY, SALT) == revealed(read_uri(f"kms://cluster-kms{path}?key={key}&salt={salt}"))


def test_the_order_of_the_parameters_does_not_matter(read_uri: Reader) -> None:
    assert (KEY, SALT) == revealed(read_uri(f"kms://cluster-kms?salt={SALT_URL}&key={KEY_URL}"))


@pytest.mark.parametrize("length", [16, 32, 64])
def test_a_master_key_has_at_least_16_bytes(length: int) -> None:
    secret = MasterSecret.from_bytes(bytes(length), b"\0")
    assert (bytes(length), b"\0") == revealed(secret)


def test_a_bytearray_that_was_taken_is_wiped() -> None:
    key, salt = bytearray(KEY), bytearray(SALT)
    assert (KEY, SALT) == revealed(MasterSecret.from_bytes(key, salt))
    assert (bytes(len(KEY)), bytes(len(SALT))) == (bytes(key), bytes(salt))


# --- refusing ---

MISSING = {
    "key": (b"", SALT, "missing master key"),
    "salt": (KEY, b"", "missing salt"),
    "both": (b"", b"", "missing master key"),
    "one byte": (KEY[:15], SALT, "the key has 15 bytes, at least 16 are needed"),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_named(
    what: str, read_uri: Reader, read_file: Callable[[bytes], MasterSecret]
) -> None:
    key, salt, reason = MISSING[what]
    encoded = [base64.b64encode(value).decode() for value in (key, salt)]
    escaped = [text.replace("+", "%2B").replace("/", "%2F") for text in encoded]
    attempts: list[Callable[[], MasterSecret]] = [
        lambda: MasterSecret.from_bytes(key, salt),
        lambda: read_file(json.dumps(dict(zip(("key", "salt"), encoded, strict=True))).encode()),
        lambda: read_uri(f"kms://cluster-kms?key={escaped[0]}&salt={escaped[1]}"),
    ]
    for attempt in attempts:
        with pytest.raises(MasterSecretInvalid) as refusal:
            attempt()
        assert reason == refusal.value.reason
        assert_tells_nothing(refusal.value)


def assert_tells_nothing(error: BaseException) -> None:
    """Assert that neither the error nor anything it is chained to shows the secret."""
    shown = "".join(traceback.format_exception(error))
    told: BaseException | None = error
    while told is not None:
        shown += str(told) + repr(told) + repr(vars(told) if hasattr(told, "__dict__") else "")
        told = told.__cause__ or told.__context__
    parts = [KEY[3:], SALT[3:], *(text.encode() for text in (KEY64, SALT64, KEY_URL, SALT_URL))]
    for part in parts:
        for start in range(0, len(part) - 8, 8):
            piece = part[start : start + 8]
            assert piece.decode("latin-1") not in shown
            assert piece.hex() not in shown


BAD_DOCUMENTS = {
    "empty file": "",
    "text": KEY64,
    "truncated": json.dumps({"key": KEY64, "salt": SALT64})[:-3],
    "trailing comma": f'{{"key": "{KEY64}", "salt": "{SALT64}",}}',
    "two documents": json.dumps({"key": KEY64, "salt": SALT64}) * 2,
    "a list": json.dumps([KEY64, SALT64]),
    "a string": json.dumps(KEY64),
    "a number": "123",
    "null": "null",
    "no key": json.dumps({"salt": SALT64}),
    "no salt": json.dumps({"key": KEY64}),
    "key of another case": json.dumps({"Key": KEY64, "salt": SALT64}),
    "key null": json.dumps({"key": None, "salt": SALT64}),
    "key a number": json.dumps({"key": 5, "salt": SALT64}),
    "key an object": json.dumps({"key": {"key": KEY64}, "salt": SALT64}),
    "key hex": json.dumps({"key": KEY.hex() + "-", "salt": SALT64}),
    "key base64url": json.dumps({"key": KEY_URL, "salt": SALT64}),
    "key unpadded": json.dumps({"key": KEY64.rstrip("=") + "A", "salt": SALT64}),
    "key with white space": json.dumps({"key": KEY64 + "\n", "salt": SALT64}),
    "key not ASCII": json.dumps({"key": KEY64 + "é", "salt": SALT64}, ensure_ascii=False),
    "too deep": f'{{"key": "{KEY64}", "salt": ' + "[" * 50_000,
}


@pytest.mark.parametrize("what", BAD_DOCUMENTS)
def test_a_malformed_document_is_refused_and_not_repeated(
    what: str, read_file: Callable[[bytes], MasterSecret]
) -> None:
    with pytest.raises(MasterSecretInvalid) as refusal:
        read_file(BAD_DOCUMENTS[what].encode())
    assert refusal.value.reason == "not a JSON document with base64 texts key and salt"
    assert_tells_nothing(refusal.value)


def test_a_document_that_is_not_utf8_is_refused_and_not_repeated(
    read_file: Callable[[bytes], MasterSecret],
) -> None:
    with pytest.raises(MasterSecretInvalid) as refusal:
        read_file(json.dumps({"key": KEY64}).encode() + KEY)
    assert_tells_nothing(refusal.value)


def test_a_file_is_read_up_to_64_kib(read_file: Callable[[bytes], MasterSecret]) -> None:
    document = json.dumps({"comment": "-" * 65536, "key": KEY64, "salt": SALT64})
    with pytest.raises(MasterSecretInvalid):
        read_file(document.encode())


BAD_URIS = {
    "another key management": f"kms://aws?key={KEY_URL}&salt={SALT_URL}",
    "no host": f"kms://?key={KEY_URL}&salt={SALT_URL}",
    "a path": f"kms://cluster-kms/{KEY_URL}?key={KEY_URL}&salt={SALT_URL}",
    "a port": f"kms://cluster-kms:9000?key={KEY_URL}&salt={SALT_URL}",
    "a user": f"kms://{KEY_URL}@cluster-kms?key={KEY_URL}&salt={SALT_URL}",
    "a bracket": f"kms://[cluster-kms?key={KEY_URL}&salt={SALT_URL}",
    "a fragment": f"kms://cluster-kms?key={KEY_URL}&salt={SALT_URL}#{KEY_URL}",
    "no query": "kms://cluster-kms",
    "an empty query": "kms://cluster-kms?",
    "no key": f"kms://cluster-kms?salt={SALT_URL}",
    "no salt": f"kms://cluster-kms?key={KEY_URL}",
    "two keys": f"kms://cluster-kms?key={KEY_URL}&key={KEY_URL}&salt={SALT_URL}",
    "two salts": f"kms://cluster-kms?key={KEY_URL}&salt={SALT_URL}&salt={SALT_URL}",
    "another parameter": f"kms://cluster-kms?key={KEY_URL}&salt={SALT_URL}&region=moon",
    "a parameter without a value": f"kms://cluster-kms?{KEY_URL.rstrip('=')}&salt={SALT_URL}",
    "a plus, which is a space": f"kms://cluster-kms?key={KEY64}&salt={SALT_URL}",
    "too much padding": f"kms://cluster-kms?key={KEY_URL}=&salt={SALT_URL}",
    "one character too many": f"kms://cluster-kms?key={KEY_URL.rstrip('=')}AAA&salt={SALT_URL}",
    "not base64url": f"kms://cluster-kms?key={KEY_URL[:-1]}!&salt={SALT_URL}",
    "not ASCII": f"kms://cluster-kms?key={KEY_URL}é&salt={SALT_URL}",
    "semicolons": f"kms://cluster-kms?key={KEY_URL};salt={SALT_URL}",
}


@pytest.mark.parametrize("what", BAD_URIS)
def test_a_malformed_uri_is_refused_and_not_repeated(what: str, read_uri: Reader) -> None:
    with pytest.raises(MasterSecretInvalid) as refusal:
        read_uri(BAD_URIS[what])
    assert refusal.value.reason.startswith("not a kms://cluster-kms URI")
    assert_tells_nothing(refusal.value)


def test_another_scheme_is_refused_and_not_repeated() -> None:
    with pytest.raises(MasterSecretInvalid) as refusal:
        MasterSecret.from_uri(f"https://cluster-kms?key={KEY_URL}&salt={SALT_URL}")
    assert_tells_nothing(refusal.value)


@pytest.mark.parametrize("name", ["absent", ".", "with a \0 in it"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(MasterSecretInvalid) as refusal:
        MasterSecret.from_file(f"{tmp_path}/{name}")
    assert f"{tmp_path}/{name}" == refusal.value.source


def test_a_master_secret_does_not_show_itself() -> None:
    shown = repr(MasterSecret.from_bytes(KEY, SALT))
    assert shown == "MasterSecret(key=<Secret of 31 bytes>, salt=<Secret of 31 bytes>)"
