"""How key ids become associated data and names of objects: reversible, and no two alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.kms import (
    KEY_ID_MAX,
    OBJECT_NAME_MAX,
    associated_data,
    check_key_id,
    key_id_of,
    object_name,
    object_prefix,
)

KEY_IDS = st.text(min_size=1, max_size=40).filter(str.isprintable)
AWKWARD = st.text(alphabet="a/.%~A ", min_size=1, max_size=8)

NAMES = {
    "cloudcrypt/v1/aws:eu-west-1/vol-0a1b": "cloudcrypt/v1/aws%3Aeu-west-1/vol-0a1b",
    "00000000-0000-0000-0000-000000000000": "00000000-0000-0000-0000-000000000000",
    "a.b": "a.b",
    ".": "%2E",
    "..": "%2E%2E",
    "a/../b": "a/%2E%2E/b",
    "a/.b/c.": "a/%2Eb/c%2E",
    "a...b": "a...b",
    "/a": "%2Fa",
    "a/": "a%2F",
    "a//b": "a%2F%2Fb",
    "a b%20": "a%20b%2520",
    "\u00e9~": "%C3%A9%7E",
}


@pytest.mark.parametrize(("key_id", "name"), NAMES.items())
def test_a_key_id_has_a_name_and_the_name_has_the_id(key_id: str, name: str) -> None:
    assert object_name("keys/", key_id) == f"keys/{name}"
    assert key_id_of("keys/", f"keys/{name}") == key_id


@given(st.one_of(KEY_IDS, AWKWARD))
def test_every_id_comes_back(key_id: str) -> None:
    name = object_name("keys/", key_id)
    segments = name.split("/")
    assert key_id_of("keys/", name) == key_id
    assert name.isascii()
    assert all(segments)
    assert not any(segment[0] == "." or segment[-1] == "." for segment in segments)


@given(AWKWARD, AWKWARD)
def test_names_of_ids_with_a_prefix_begin_alike(prefix: str, rest: str) -> None:
    assert object_name("keys/", prefix + rest).startswith(object_prefix("keys/", prefix))
    assert object_name("keys/", prefix).startswith(object_prefix("keys/", prefix))


def test_without_a_prefix_of_ids_it_is_that_of_the_store() -> None:
    assert object_prefix("keys/", "") == "keys/"


@pytest.mark.parametrize(
    "name",
    ["keys/", "keys/%2e", "keys/%61", "keys/a//b", "keys/a/.", "keys/%FF", "keys/a b", "other/a"],
)
def test_a_name_that_no_id_has_is_foreign(name: str) -> None:
    assert key_id_of("keys/", name) is None


@pytest.mark.parametrize("key_id", ["", "a\n", "a\0", "\ud800", "x" * (KEY_ID_MAX + 1)])
def test_what_is_no_key_id_is_refused(key_id: str) -> None:
    with pytest.raises(InvalidRequest):
        check_key_id(key_id)
    with pytest.raises(InvalidRequest):
        associated_data(key_id)
    with pytest.raises(InvalidRequest):
        object_name("", key_id)


def test_a_name_that_becomes_too_long_is_refused() -> None:
    longest = "%" * (OBJECT_NAME_MAX // 3)
    assert len(object_name("", longest)) <= OBJECT_NAME_MAX
    with pytest.raises(InvalidRequest, match="as the name of an object"):
        object_name("", longest + "%")
    assert len(object_name("", "x" * KEY_ID_MAX)) == KEY_ID_MAX


def test_associated_data_has_a_domain_and_the_id() -> None:
    assert associated_data("a/b") == b"cloudcrypt-wrapped-key/1\0a/b"
    assert associated_data("\u00e9") == b"cloudcrypt-wrapped-key/1\0\xc3\xa9"
