"""Deleting for good in Cloud Storage: every generation goes, or the caller hears what stays."""

from collections.abc import Callable, Iterator

import pytest

from cloudcrypt.errors import KeyDenied, KeyServiceFailed, KeyServiceUnavailable
from cloudcrypt_gcp.storage import GcsStore
from cloudcrypt_testing.fake_google_keys import Exchange, FakeGoogleKeys
from cloudcrypt_testing.fake_google_keys.fake import WEEK
from cloudcrypt_testing.world.faults import ConnectionLost, Refused, ReplyLost, ServerError
from tests.unit.google_keys_given import BLOB, BUCKET, ID, NEW, OTHER_ID, name_of, store_of


@pytest.fixture
def google() -> Iterator[FakeGoogleKeys]:
    with FakeGoogleKeys() as google:
        yield google


@pytest.fixture
def store(google: FakeGoogleKeys) -> Iterator[GcsStore]:
    store = store_of(google)
    yield store
    store.close()


def rewrapped(store: GcsStore, times: int = 3) -> None:
    """Let there be a blob that was replaced so many times."""
    store.create(ID, b"0")
    for number in range(times):
        assert store.replace(ID, b"%d" % number, b"%d" % (number + 1))


def test_versioning_keeps_nothing(store: GcsStore, google: FakeGoogleKeys) -> None:
    google.add_bucket(BUCKET, versioning=True)
    google.paginate(2)
    rewrapped(store)
    store.create(OTHER_ID, BLOB)
    assert len(google.generations()) == 5
    assert store.delete(ID)
    assert [stored.name for stored in google.generations()] == [name_of(OTHER_ID)]
    assert not store.delete(ID)


def test_so_if_somebody_deleted_the_live_one_alone(store: GcsStore, google: FakeGoogleKeys) -> None:
    google.add_bucket(BUCKET, versioning=True)
    rewrapped(store)
    google._cloud.buckets[BUCKET].delete(name_of(ID), None, google.clock.now())
    assert store.get(ID) is None
    assert google.generations()
    assert store.delete(ID)
    assert not google.generations()


def test_the_live_generation_goes_last(store: GcsStore, google: FakeGoogleKeys) -> None:
    google.add_bucket(BUCKET, versioning=True)
    rewrapped(store)
    google.faults.add(Refused("forbidden", status=403), on="objects.delete", occurrence=4)
    with pytest.raises(KeyDenied):
        store.delete(ID)
    assert store.get(ID) == b"3"
    assert len(google.generations()) == 1


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError()])
@pytest.mark.parametrize("occurrence", range(1, 8))
def test_it_is_finished_whatever_request_fails(
    store: GcsStore, google: FakeGoogleKeys, fault: ReplyLost, occurrence: int
) -> None:
    google.add_bucket(BUCKET, versioning=True)
    rewrapped(store)
    google.faults.add(fault, occurrence=occurrence)
    assert store.delete(ID)
    assert not google.generations()


def test_what_is_wrapped_anew_meanwhile_goes_as_well(
    store: GcsStore, google: FakeGoogleKeys
) -> None:
    other = store_of(google)

    def rewrap(exchange: Exchange) -> None:
        if exchange.call.action == "objects.delete" and exchange.phase == "before":
            google.hooks.clear()
            assert other.replace(ID, BLOB, NEW)

    store.create(ID, BLOB)
    google.hooks.append(rewrap)
    assert store.delete(ID)
    assert not google.generations()
    other.close()


def test_soft_delete_is_told_with_its_end(store: GcsStore, google: FakeGoogleKeys) -> None:
    google.add_bucket(BUCKET, soft_delete=WEEK)
    store.create(ID, BLOB)
    assert not store.delete(OTHER_ID)
    with pytest.raises(KeyServiceFailed, match="until 2030-01-08T00:00:00") as caught:
        store.delete(ID)
    assert caught.value.code == "softDeletePolicy"
    assert store.get(ID) is None
    google.clock.advance(WEEK / 2)
    with pytest.raises(KeyServiceFailed, match="until 2030-01-08T00:00:00"):
        store.delete(ID)
    google.clock.advance(WEEK / 2 + 1)
    assert not store.delete(ID)


def test_what_was_replaced_is_kept_by_soft_delete_as_well(
    store: GcsStore, google: FakeGoogleKeys
) -> None:
    google.add_bucket(BUCKET, soft_delete=WEEK)
    rewrapped(store)
    google.clock.advance(WEEK - 60)
    with pytest.raises(KeyServiceFailed, match="until 2030-01-14T23:59:00"):
        store.delete(ID)


def test_a_key_of_another_id_that_is_kept_is_another_matter(
    store: GcsStore, google: FakeGoogleKeys
) -> None:
    google.add_bucket(BUCKET, soft_delete=WEEK)
    store.create(f"{ID}0", BLOB)
    with pytest.raises(KeyServiceFailed):
        store.delete(f"{ID}0")
    assert not store.delete(ID)


def test_who_may_not_look_for_what_is_kept_does_not_hear_that_it_is_gone(
    store: GcsStore, google: FakeGoogleKeys
) -> None:
    google.deny("storage.objects.restore")
    store.create(ID, BLOB)
    with pytest.raises(KeyDenied, match=r"storage\.objects\.restore"):
        store.delete(ID)


def _hold(google: FakeGoogleKeys) -> None:
    google.hold(name_of(ID))


def _retain(google: FakeGoogleKeys) -> None:
    google._cloud.buckets[BUCKET].retention = 60


@pytest.mark.parametrize(
    ("keep", "code"), [(_hold, "active Temporary hold"), (_retain, "retentionPolicyNotMet")]
)
def test_what_is_held_or_retained_is_no_question_of_permissions(
    store: GcsStore, google: FakeGoogleKeys, keep: Callable[[FakeGoogleKeys], None], code: str
) -> None:
    store.create(ID, BLOB)
    keep(google)
    with pytest.raises(KeyServiceFailed, match=code):
        store.delete(ID)
    with pytest.raises(KeyServiceFailed, match=code):
        store.replace(ID, BLOB, NEW)
    assert store.get(ID) == BLOB
    google.clock.advance(61)
    google.hold(name_of(ID), is_held=False)
    assert store.delete(ID)


def test_a_bucket_in_which_it_comes_back_always_is_given_up(
    store: GcsStore, google: FakeGoogleKeys
) -> None:
    def come_back(exchange: Exchange) -> None:
        if exchange.call.action == "objects.delete" and exchange.phase == "after":
            google.put(name_of(ID), BLOB)
            google.clock.advance(5)

    store.create(ID, BLOB)
    google.hooks.append(come_back)
    with pytest.raises(KeyServiceUnavailable):
        store.delete(ID)
