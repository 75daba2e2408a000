"""Secrets: out of reprs and pickles, compared in constant time, wiped."""

import copy
import gc
import pickle

import pytest

from cloudcrypt.secret import Secret

VALUE = b"correct horse battery staple"


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_a_secret_holds_the_bytes_it_was_given(make: type[bytes]) -> None:
    secret = Secret(make(VALUE))
    assert VALUE == secret.reveal()
    assert len(VALUE) == len(secret)


def test_a_bytearray_that_is_passed_in_is_wiped() -> None:
    value = bytearray(VALUE)
    secret = Secret(value)
    assert bytes(len(VALUE)) == value
    assert VALUE == secret.reveal()


def test_what_is_revealed_cannot_be_changed() -> None:
    view = Secret(VALUE).reveal()
    with pytest.raises(TypeError):
        view[0] = 0


def test_no_text_of_a_secret_shows_it() -> None:
    secret = Secret(VALUE)
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}", ascii(secret)):
        assert "horse" not in text
    assert repr(secret) == "<Secret of 28 bytes>"


def test_a_secret_is_neither_pickled_nor_copied_by_accident() -> None:
    secret = Secret(VALUE)
    for serialise in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not serialised"):
            serialise(secret)


def test_a_wiped_secret_is_zeros_and_reveals_nothing() -> None:
    secret = Secret(VALUE)
    view = secret.reveal()
    secret.wipe()
    secret.wipe()
    assert bytes(len(VALUE)) == view
    for use in (secret.reveal, secret.copy, lambda: secret == Secret(VALUE)):
        with pytest.raises(ValueError, match="has been wiped"):
            use()
    assert repr(secret) == "<Secret of 28 bytes>"


def test_leaving_a_block_wipes() -> None:
    with Secret(VALUE) as secret:
        view = secret.reveal()
    assert bytes(len(VALUE)) == view


def test_a_view_that_outlives_its_secret_does_not_turn_to_zeros() -> None:
    view = Secret(VALUE).reveal()
    gc.collect()
    assert VALUE == view


def test_a_value_without_bytes_is_no_secret() -> None:
    with pytest.raises(TypeError):
        Secret("text")  # type: ignore[arg-type]
    gc.collect()


def test_a_copy_has_a_life_of_its_own() -> None:
    secret = Secret(VALUE)
    twin = secret.copy()
    secret.wipe()
    assert VALUE == twin.reveal()


def test_secrets_are_equal_if_their_bytes_are() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE[1:])
    assert Secret(b"") == Secret(b"")


def test_a_secret_is_never_equal_to_plain_bytes() -> None:
    assert Secret(VALUE) != VALUE
    assert Secret(VALUE) != "text"


def test_a_secret_is_no_key_of_a_dict() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret(VALUE))


def test_a_secret_has_no_room_for_anything_else() -> None:
    with pytest.raises(AttributeError):
        Secret(VALUE).note = "text"  # type: ignore[attr-defined]
