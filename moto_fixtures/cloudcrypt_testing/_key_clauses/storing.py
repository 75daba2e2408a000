"""Clauses about a store of wrapped keys: one blob to an id, created once, replaced knowingly."""

import logging
from collections.abc import Callable, Iterator, Sequence

import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    KeyServiceUnavailable,
    OperationCancelled,
    WrappedKeyRefused,
)
from cloudcrypt.kms import BLOB_MAX, KeyStore
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing._key_clauses.given import (
    ODD_IDS,
    TOO_ODD,
    GivenStore,
    cancelled,
    passed,
    raced,
)

_ID = "contract/id"
_BLOB = b'{"wrapped": "\x00\xff"}'


class BlobClauses(GivenStore):
    """What is stored stays as it is until it is replaced or deleted, knowingly."""

    def test_what_was_never_stored_is_absent(self, store: KeyStore) -> None:
        assert store.get(_ID) is None

    def test_the_first_blob_is_created_and_stays(self, store: KeyStore) -> None:
        assert store.create(_ID, _BLOB)
        assert store.get(_ID) == _BLOB
        assert not store.create(_ID, b"second")
        assert not store.create(_ID, _BLOB)
        assert store.get(_ID) == _BLOB

    def test_any_bytes_are_a_blob(self, store: KeyStore) -> None:
        blobs = (b"", b"\0", bytes(range(256)), "\u20ac\r\n".encode(), b"\xff" * 1000)
        for number, blob in enumerate(blobs):
            assert store.create(f"{_ID}/{number}", blob)
            assert store.get(f"{_ID}/{number}") == blob

    def test_a_blob_of_the_greatest_length_is_stored(self, store: KeyStore) -> None:
        blob = bytes(range(256)) * (BLOB_MAX // 256)
        assert store.create(_ID, blob)
        assert store.get(_ID) == blob
        assert store.replace(_ID, blob, blob[::-1])
        assert store.get(_ID) == blob[::-1]

    def test_a_longer_blob_is_not_stored(self, store: KeyStore) -> None:
        blob = bytes(BLOB_MAX + 1)
        with pytest.raises(WrappedKeyRefused):
            store.create(_ID, blob)
        assert store.get(_ID) is None
        assert store.create(_ID, _BLOB)
        with pytest.raises(WrappedKeyRefused):
            store.replace(_ID, _BLOB, blob)
        assert store.get(_ID) == _BLOB

    def test_a_longer_blob_that_others_stored_is_refused(
        self, store: KeyStore, plant: Callable[[str, bytes], object] | None
    ) -> None:
        if plant is None:
            pytest.skip("nothing is stored past the interface here")
        plant(_ID, bytes(BLOB_MAX + 1))
        with pytest.raises(WrappedKeyRefused):
            store.get(_ID)
        assert not store.create(_ID, _BLOB)

    def test_a_blob_is_replaced_by_who_knows_it(self, store: KeyStore) -> None:
        store.create(_ID, _BLOB)
        assert not store.replace(_ID, b"other", b"new")
        assert not store.replace(_ID, _BLOB[:-1], b"new")
        assert not store.replace(_ID, b"", b"new")
        assert store.get(_ID) == _BLOB
        assert store.replace(_ID, _BLOB, b"new")
        assert store.get(_ID) == b"new"
        assert not store.replace(_ID, _BLOB, b"newer")
        assert store.get(_ID) == b"new"

    def test_a_blob_is_replaced_by_itself(self, store: KeyStore) -> None:
        store.create(_ID, _BLOB)
        assert store.replace(_ID, _BLOB, _BLOB)
        assert store.get(_ID) == _BLOB

    def test_what_is_absent_is_not_replaced(self, store: KeyStore) -> None:
        assert not store.replace(_ID, b"", b"new")
        assert not store.replace(_ID, _BLOB, b"new")
        assert store.get(_ID) is None

    def test_deleting_is_idempotent_and_says_whether_it_did(self, store: KeyStore) -> None:
        assert not store.delete(_ID)
        store.create(_ID, _BLOB)
        store.create(f"{_ID}/other", b"other")
        assert store.delete(_ID)
        assert store.get(_ID) is None
        assert not store.delete(_ID)
        assert not store.replace(_ID, _BLOB, b"new")
        assert store.get(f"{_ID}/other") == b"other"

    def test_what_was_deleted_can_be_created_anew(self, store: KeyStore) -> None:
        store.create(_ID, _BLOB)
        store.delete(_ID)
        assert store.create(_ID, b"new")
        assert store.get(_ID) == b"new"
        assert list(store.list()) == [_ID]


class IdClauses(GivenStore):
    """Every id is an id of its own, and comes back in a listing as it was."""

    def test_odd_ids_are_ids_of_their_own(self, store: KeyStore) -> None:
        for key_id in ODD_IDS:
            assert store.create(key_id, key_id.encode())
        assert [store.get(key_id) for key_id in ODD_IDS] == [key_id.encode() for key_id in ODD_IDS]
        assert list(store.list()) == sorted(ODD_IDS)
        for number, key_id in enumerate(ODD_IDS):
            assert store.delete(key_id)
            assert store.get(key_id) is None
            assert list(store.list()) == sorted(ODD_IDS[number + 1 :])

    def test_what_is_no_id_is_refused(self, store: KeyStore) -> None:
        for key_id in TOO_ODD:
            for call in _calls(store, key_id):
                with pytest.raises(InvalidRequest):
                    call(None)

    def test_a_listing_has_all_ids_sorted_whatever_its_pages(
        self, store: KeyStore, many: int
    ) -> None:
        assert list(store.list()) == []
        ids = [f"many/{number * 7919 % many}" for number in range(many)]
        for key_id in ids:
            assert store.create(key_id, b"")
        assert list(store.list()) == sorted(ids)
        assert list(store.list("many/1")) == sorted(i for i in ids if i.startswith("many/1"))

    def test_a_listing_has_the_ids_that_begin_with_a_prefix(self, store: KeyStore) -> None:
        ids = ["a", "a.", "a..b", "a/", "a/b", "a//b", "A/b", "a b", "a%", "a%20b", "b", "~a"]
        for key_id in ids:
            store.create(key_id, b"")
        for prefix in ("", "a", "a.", "a..", "a/", "a//", "a/b", "A", "a ", "a%", "a%2", "~", "c"):
            assert list(store.list(prefix)) == sorted(i for i in ids if i.startswith(prefix))


class RaceClauses(GivenStore):
    """Of callers that race, one wins; all of them know who."""

    def test_one_of_many_creates(self, store: KeyStore, reopen: Callable[[], KeyStore]) -> None:
        other = reopen()
        for turn in range(5):
            key_id = f"{_ID}/{turn}"

            def create(number: int, key_id: str = key_id) -> bool:
                return (store, other)[number % 2].create(key_id, b"%d" % number)

            outcomes = raced(create)
            assert outcomes.count(True) == 1
            assert store.get(key_id) == other.get(key_id) == b"%d" % outcomes.index(True)
        other.close()

    def test_one_of_many_replaces(self, store: KeyStore, reopen: Callable[[], KeyStore]) -> None:
        other = reopen()
        known = _BLOB
        store.create(_ID, known)
        for turn in range(5):

            def replace(number: int, old: bytes = known, turn: int = turn) -> bool:
                return (store, other)[number % 2].replace(_ID, old, b"%d %d" % (turn, number))

            outcomes = raced(replace)
            assert outcomes.count(True) == 1
            known = b"%d %d" % (turn, outcomes.index(True))
            assert store.get(_ID) == other.get(_ID) == known
        other.close()


class LifeClauses(GivenStore):
    """How calls end, and what remains."""

    def test_what_was_stored_is_there_when_the_store_is_opened_anew(
        self, store: KeyStore, reopen: Callable[[], KeyStore]
    ) -> None:
        store.create(_ID, _BLOB)
        store.create(f"{_ID}/2", b"2")
        store.replace(f"{_ID}/2", b"2", b"two")
        store.create(f"{_ID}/3", b"3")
        store.delete(f"{_ID}/3")
        store.close()
        other = reopen()
        assert list(other.list()) == [_ID, f"{_ID}/2"]
        assert (other.get(_ID), other.get(f"{_ID}/2")) == (_BLOB, b"two")
        assert not other.create(_ID, b"new")
        other.close()

    def test_a_deadline_that_has_passed_is_an_error_that_may_pass(self, store: KeyStore) -> None:
        store.create(_ID, _BLOB)
        for call in _calls(store, _ID):
            with pytest.raises(KeyServiceUnavailable):
                call(passed())

    def test_a_caller_can_give_up(self, store: KeyStore) -> None:
        store.create(_ID, _BLOB)
        for call in _calls(store, _ID):
            with pytest.raises(OperationCancelled):
                call(cancelled())
        assert store.get(_ID) == _BLOB

    def test_a_listing_can_be_given_up(self, store: KeyStore) -> None:
        store.create(_ID, _BLOB)
        with pytest.raises(KeyServiceUnavailable):
            list(store.list(deadline=passed()))
        with pytest.raises(OperationCancelled):
            list(store.list(deadline=cancelled()))

    def test_it_is_closed_as_often_as_one_likes(self, store: KeyStore) -> None:
        store.create(_ID, _BLOB)
        store.close()
        store.close()

    def test_neither_repr_nor_logs_show_credentials(
        self, store: KeyStore, hidden: Sequence[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        store.create(_ID, _BLOB)
        store.get(_ID)
        shown = [repr(store), str(store), caplog.text]
        assert not any(text in output for text in hidden for output in shown)


def _calls(store: KeyStore, key_id: str) -> Iterator[Callable[[Deadline | None], object]]:
    yield lambda deadline: store.get(key_id, deadline=deadline)
    yield lambda deadline: store.create(key_id, b"new", deadline=deadline)
    yield lambda deadline: store.replace(key_id, _BLOB, b"new", deadline=deadline)
    yield lambda deadline: store.delete(key_id, deadline=deadline)
