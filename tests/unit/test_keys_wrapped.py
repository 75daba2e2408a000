"""The document in a store: what is written comes back, and nothing else is read."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import WrappedKeyRefused
from cloudcrypt.keys.wrapped import FORMAT, WrappedKey
from cloudcrypt.kms import BLOB_MAX

HINTS = st.none() | st.text(min_size=1, max_size=20).filter(str.isprintable)
GOOD = WrappedKey(b"\x00\xffwrapped", "projects/p/\u20ac", "3")


@given(st.binary(max_size=300), HINTS, HINTS)
def test_a_document_comes_back(wrapped: bytes, kms: str | None, version: str | None) -> None:
    document = WrappedKey(wrapped, kms, version)
    blob = document.to_bytes()
    assert blob.isascii()
    assert WrappedKey.from_bytes("id", blob) == document


def test_a_document_is_what_the_reference_shows() -> None:
    expected = (
        b'{"format":"cloudcrypt-wrapped-key/1","kms":"projects/p/\\u20ac","version":"3",'
        b'"wrapped":"AP93cmFwcGVk"}'
    )
    assert expected == GOOD.to_bytes()


def changed(**values: object) -> bytes:
    document = json.loads(GOOD.to_bytes()) | values
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def without(name: str) -> bytes:
    document = json.loads(GOOD.to_bytes())
    del document[name]
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


TEXT = GOOD.to_bytes().decode()
BAD = {
    "nothing": b"",
    "no JSON": b"wrapped",
    "no UTF-8": b"\xff\xfe",
    "deep": b"[" * 60000,
    "a list": b"[]",
    "a number": b"1",
    "an empty document": b"{}",
    "spaces": TEXT.replace(",", ", ").encode(),
    "a line feed": f"{TEXT}\n".encode(),
    "raw characters": TEXT.replace("\\u20ac", "\u20ac").encode(),
    "another order": json.dumps(dict(reversed(json.loads(TEXT).items()))).encode(),
    "a name twice": TEXT.replace("{", '{"format":"x",', 1).encode(),
    "another name": changed(more=1),
    "no kms": without("kms"),
    "no version": without("version"),
    "no wrapped": without("wrapped"),
    "no format": without("format"),
    "another kind": changed(format="other/1"),
    "a number as a hint": changed(version=3),
    "an empty hint": changed(kms=""),
    "a hint with a line feed": changed(kms="a\nb"),
    "a long hint": changed(kms="x" * 2000),
    "a list as a hint": changed(kms=["x"]),
    "no base64": changed(wrapped="AP93cmFwcGVk!"),
    "base64 of another spelling": changed(wrapped=base64.urlsafe_b64encode(b"\xff\xfe").decode()),
    "base64 with other last bits": changed(wrapped="AB=="),
    "too long": changed(wrapped="A" * BLOB_MAX),
}


@pytest.mark.parametrize("blob", BAD.values(), ids=BAD)
def test_what_was_not_written_by_it_is_refused(blob: bytes) -> None:
    with pytest.raises(WrappedKeyRefused) as refusal:
        WrappedKey.from_bytes("the id", blob)
    assert refusal.value.key_id == "the id"
    assert refusal.value.__cause__ is None


def test_another_version_of_the_format_is_told_as_such() -> None:
    with pytest.raises(WrappedKeyRefused, match="does not know"):
        WrappedKey.from_bytes("id", changed(format="cloudcrypt-wrapped-key/2"))
    assert FORMAT.endswith("/1")


@given(st.binary(max_size=100))
def test_random_bytes_are_refused(blob: bytes) -> None:
    with pytest.raises(WrappedKeyRefused):
        WrappedKey.from_bytes("id", blob)
