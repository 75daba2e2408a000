"""The typed document: exactly the kinds and fields that are known, in and out."""

import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cloudcrypt.errors import HeaderRefused
from cloudcrypt.luks2 import Step, document
from cloudcrypt.model import Mode
from cloudcrypt.profiles import Profile
from cloudcrypt_testing.headers import Forgery
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from cloudcrypt_testing.volumes import sample_volume


@functools.cache
def genuine_text(profile: Profile, mode: Mode) -> bytes:
    return Forgery.of(sample_volume(profile, mode).image).primary.json_area.rstrip(b"\0")


def genuine(profile: Profile = CHEAP, mode: Mode = Mode.INTEGRITY) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(genuine_text(profile, mode))
    return document


def places(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every field of a JSON document."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from places(item, (*path, key))


def parent_of(root: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for key in path[:-1]:
        root = root[key]
    return root


PLACES = list(places(genuine()))
OBJECTS_BY_ID = {"keyslots", "tokens", "segments", "digests"}


@pytest.mark.parametrize("profile", [CHEAP, CHEAP_CONSTELLATION], ids=["sealed", "unsealed"])
@pytest.mark.parametrize("mode", Mode)
def test_a_document_comes_back_byte_for_byte(profile: Profile, mode: Mode) -> None:
    value = genuine(profile, mode)
    text = json.dumps(value, separators=(",", ":")).encode()
    assert text == document.from_json(value).to_bytes()


def test_the_fields_are_in_the_order_of_libcryptsetup() -> None:
    assert ["keyslots", "tokens", "segments", "digests", "config"] == list(genuine())


def test_the_key_size_of_an_integrity_segment_may_be_spelled_out() -> None:
    value = genuine()
    value["segments"]["0"]["integrity"]["key_size"] = 32
    text = json.dumps(value, separators=(",", ":")).encode()
    assert text == document.from_json(value).to_bytes()


@pytest.mark.parametrize("path", PLACES, ids="/".join)
def test_a_field_that_is_missing_is_refused(path: tuple[str, ...]) -> None:
    value = genuine()
    parent = parent_of(value, path)
    del parent[path[-1]]
    if path[0] in OBJECTS_BY_ID and len(path) == 2:
        document.from_json(value)  # how many there are is for verify to say
    elif path == ("segments", "0", "integrity"):
        segment = document.from_json(value).segments["0"]
        assert isinstance(segment, document.CryptSegment)
    else:
        with pytest.raises(HeaderRefused) as refusal:
            document.from_json(value)
        assert Step.DOCUMENT == refusal.value.step


@pytest.mark.parametrize("path", PLACES, ids="/".join)
def test_a_field_beside_a_known_one_is_refused(path: tuple[str, ...]) -> None:
    value = genuine()
    parent_of(value, path)["unknown"] = 0
    with pytest.raises(HeaderRefused) as refusal:
        document.from_json(value)
    assert Step.DOCUMENT == refusal.value.step


def is_text(path: tuple[str, ...]) -> bool:
    """Say whether any text is well-typed there; what it must say is for verify."""
    last = path[-1]
    is_integrity_type = path[-2:] == ("integrity", "type")
    named = {"encryption", "hash", "journal_encryption", "journal_integrity"}
    return last in named or is_integrity_type or path == ("segments", "0", "size")


WRONG: tuple[object, ...] = (None, True, -1, 1.5, "é", [1], {"a": 1})
MISTYPED = [
    pytest.param(path, wrong, id=f"{'/'.join(path)} = {wrong!a}")
    for path in PLACES
    for wrong in WRONG
    if not (isinstance(wrong, str) and is_text(path))
]


@pytest.mark.parametrize(("path", "wrong"), MISTYPED)
def test_a_field_of_another_type_is_refused(path: tuple[str, ...], wrong: object) -> None:
    value = genuine()
    parent_of(value, path)[path[-1]] = wrong
    with pytest.raises(HeaderRefused) as refusal:
        document.from_json(value)
    assert Step.DOCUMENT == refusal.value.step


def test_secrets_and_salts_stay_out_of_representations() -> None:
    shown = repr(document.from_json(genuine(CHEAP_CONSTELLATION)))
    assert "salt" not in shown
    assert "digest=" not in shown
