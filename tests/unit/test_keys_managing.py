"""What is done with stored keys: wrapped anew, listed, shredded; and what cannot be."""

import pytest

from cloudcrypt.errors import (
    DataKeyAbsent,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceUnavailable,
    UnsupportedOperation,
    WrappedKeyRefused,
)
from cloudcrypt.keys import (
    CachingKeyService,
    EnvelopeKeyService,
    KeyService,
    MasterSecret,
    MasterSecretKeyService,
    StoredKey,
    get_data_key,
    key_manager,
    open_key_service,
)
from cloudcrypt.keys.envelope import AWAY
from cloudcrypt.keys.sqlite import SqliteStore
from cloudcrypt.keys.wrapped import WrappedKey
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing.fake_kms import FakeKms
from tests.unit.clocks import FakeClock
from tests.unit.key_servers import master_secret_uri
from tests.unit.lying_stores import Once, Store

ID = "cloudcrypt/v1/local:data"
LATER = KeyServiceUnavailable("fake", ID, "away for a moment")
NAME = "fake-kms://key"


@pytest.fixture
def kms() -> FakeKms:
    return FakeKms()


@pytest.fixture
def store() -> Store:
    return Store(SqliteStore(":memory:"))


@pytest.fixture
def keys(kms: FakeKms, store: Store) -> EnvelopeKeyService:
    return service(kms, store)


def service(kms: FakeKms, store: Store) -> EnvelopeKeyService:
    return EnvelopeKeyService(kms, store, store_name="the store", clock=FakeClock())


# --- wrapped anew ---


def test_a_key_is_wrapped_anew_by_the_version_that_wraps_now(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store
) -> None:
    key = get_data_key(keys, ID)
    kms.rotate()
    done = keys.rewrap(ID)
    assert done.changed
    assert (done.before, done.after) == (StoredKey(ID, NAME, "1"), StoredKey(ID, NAME, "2"))
    kms.disable(1)
    assert key == get_data_key(keys, ID, existing=True)


def test_without_a_rotation_nothing_has_changed_but_the_blob(
    keys: EnvelopeKeyService, store: Store
) -> None:
    key, before = get_data_key(keys, ID), store.get(ID)
    done = keys.rewrap(ID)
    assert not done.changed
    assert done.problem is None
    assert store.get(ID) != before
    assert key == get_data_key(keys, ID)


def test_hints_that_lie_do_not_keep_a_key_from_being_wrapped_anew(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store
) -> None:
    key, blob = get_data_key(keys, ID), store.get(ID) or b""
    kms.rotate()
    store.replace(
        ID, blob, WrappedKey(WrappedKey.from_bytes(ID, blob).wrapped, NAME, "2").to_bytes()
    )
    keys.rewrap(ID)
    kms.disable(1)
    assert key == get_data_key(keys, ID)


@pytest.mark.parametrize("verb", ["get", "replace"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_wrapping_anew_is_done_again_after_an_error(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store, verb: str, when: str
) -> None:
    key = get_data_key(keys, ID)
    kms.rotate()
    setattr(store, when, Once(verb, LATER))
    assert keys.rewrap(ID).problem is None
    kms.disable(1)
    assert key == get_data_key(keys, ID)


def test_an_answer_that_was_lost_within_the_store_is_made_up_for(
    kms: FakeKms, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = service(kms, store)
    key = get_data_key(keys, ID)
    kms.rotate()
    replace = store.replace

    def deaf(key_id: str, old: bytes, new: bytes, *, deadline: Deadline | None = None) -> bool:
        replace(key_id, old, new, deadline=deadline)
        return False  # as an adapter says that asks again after its answer was lost

    monkeypatch.setattr(store, "replace", deaf)
    wraps = len([verb for verb, _ in kms.requests if verb == "wrap"])
    assert keys.rewrap(ID).changed
    assert len([verb for verb, _ in kms.requests if verb == "wrap"]) == wraps + 1
    assert key == get_data_key(keys, ID)


def test_two_that_wrap_anew_at_once_do_not_harm_each_other(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store
) -> None:
    key = get_data_key(keys, ID)
    kms.rotate()

    def rival(verb: str) -> None:
        if verb == "replace":
            store.before = lambda verb: None
            service(kms, store).rewrap(ID)

    store.before = rival
    assert keys.rewrap(ID).after == StoredKey(ID, NAME, "2")
    kms.disable(1)
    assert key == get_data_key(keys, ID)


def test_a_key_that_is_shredded_meanwhile_stays_shredded(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store
) -> None:
    get_data_key(keys, ID)

    def shred(verb: str) -> None:
        if verb == "replace":
            store.before = lambda verb: None
            service(kms, store).shred(ID)

    store.before = shred
    with pytest.raises(DataKeyAbsent):
        keys.rewrap(ID)
    assert store.get(ID) is None


def test_a_wrap_that_does_not_unwrap_does_not_replace_a_good_one(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store
) -> None:
    get_data_key(keys, ID)
    before = store.get(ID)
    kms.rotate()
    kms.disable(2)
    with pytest.raises(KeyServiceFailed):
        keys.rewrap(ID)
    assert store.get(ID) == before


def test_all_are_wrapped_anew_and_one_that_fails_does_not_stop_it(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store
) -> None:
    for key_id in ("a/1", "a/3", "b/1"):
        get_data_key(keys, key_id)
    store.create("a/2", b"rubbish")
    kms.rotate()
    done = list(keys.rewrap_all("a/"))
    assert [(each.key_id, each.changed) for each in done] == [
        ("a/1", True),
        ("a/2", False),
        ("a/3", True),
    ]
    assert isinstance(done[1].problem, WrappedKeyRefused)
    assert WrappedKey.from_bytes("b/1", store.get("b/1") or b"").version == "1"
    assert store.get("a/2") == b"rubbish"


def test_when_the_services_are_away_the_rest_is_not_waited_for(kms: FakeKms, store: Store) -> None:
    clock = FakeClock()
    keys = EnvelopeKeyService(kms, store, timeout=10, clock=clock)
    ids = [f"{number}" for number in range(9)]
    for key_id in ids:
        get_data_key(keys, key_id).wipe()

    def away(verb: str) -> None:
        if verb == "get":
            raise LATER

    store.before = away
    begin = clock.monotonic()
    done = list(keys.rewrap_all())
    assert [each.key_id for each in done] == ids
    assert {type(each.problem) for each in done} == {KeyServiceUnavailable}
    assert clock.monotonic() - begin <= AWAY * 10


def test_one_that_is_away_for_a_moment_does_not_stop_the_rest(
    keys: EnvelopeKeyService, kms: FakeKms, store: Store
) -> None:
    for key_id in "abcdef":
        get_data_key(keys, key_id).wipe()
    lasting = KeyServiceFailed("fake", ID, "code", "lasting")
    kms.rotate()
    failing = iter([lasting] * 4)

    def fails(verb: str) -> None:
        if verb == "replace" and (problem := next(failing, None)):
            raise problem

    store.before = fails
    assert [each.problem for each in keys.rewrap_all()] == [lasting] * 4 + [None] * 2


def test_what_is_absent_is_not_wrapped_anew(keys: EnvelopeKeyService) -> None:
    with pytest.raises(DataKeyAbsent):
        keys.rewrap(ID)


# --- listed, shredded ---


def test_keys_are_listed_with_hints_and_problems(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store
) -> None:
    get_data_key(keys, "b")
    kms.rotate()
    get_data_key(keys, "a")
    store.create("c", b"rubbish")
    asked = list(kms.requests)
    found = list(keys.list())
    assert found[:2] == [StoredKey("a", NAME, "2"), StoredKey("b", NAME, "1")]
    assert (found[2].key_id, type(found[2].problem)) == ("c", WrappedKeyRefused)
    assert [item.key_id for item in keys.list("b")] == ["b"]
    assert kms.requests == asked


def test_what_the_store_refuses_to_show_does_not_end_the_listing(
    keys: EnvelopeKeyService, store: Store
) -> None:
    for key_id in ("a", "b", "c"):
        get_data_key(keys, key_id).wipe()
    refusals = iter([None, KeyDenied("the store", "b", "archived")])

    def refuses(verb: str) -> None:
        if verb == "get" and (refusal := next(refusals, None)):
            raise refusal

    store.before = refuses
    assert [(item.key_id, type(item.problem)) for item in keys.list()] == [
        ("a", type(None)),
        ("b", KeyDenied),
        ("c", type(None)),
    ]


def test_a_key_that_goes_while_it_is_listed_is_left_out(
    keys: EnvelopeKeyService, store: Store
) -> None:
    for key_id in ("a", "b", "c"):
        get_data_key(keys, key_id)
    listing = keys.list()
    assert next(listing).key_id == "a"
    store.delete("b")
    assert [item.key_id for item in listing] == ["c"]


def test_a_shredded_key_is_absent_and_is_not_made_anew_for_what_exists(
    keys: EnvelopeKeyService, store: Store
) -> None:
    key = get_data_key(keys, ID)
    assert keys.shred(ID)
    assert not keys.shred(ID)
    with pytest.raises(DataKeyAbsent):
        get_data_key(keys, ID, existing=True)
    assert store.get(ID) is None
    assert key != get_data_key(keys, ID)  # for a new volume it is a new key


def test_shredding_is_done_again_after_an_error(keys: EnvelopeKeyService, store: Store) -> None:
    get_data_key(keys, ID)
    store.before = Once("delete", LATER)
    assert keys.shred(ID)


# --- what cannot be managed ---


def test_a_cache_is_looked_through(keys: EnvelopeKeyService) -> None:
    with CachingKeyService(CachingKeyService(keys, seconds=60), seconds=60) as cache:
        assert key_manager(cache, "shredding") is keys


def test_derived_keys_cannot_be_managed_and_the_error_says_what_can_be_done() -> None:
    derived: list[KeyService] = [
        open_key_service(master_secret_uri()),
        MasterSecretKeyService(MasterSecret.from_bytes(bytes(32), bytes(32))),
        open_key_service("constellation://host?plaintext=1"),
    ]
    for each in derived:
        with pytest.raises(UnsupportedOperation, match="shredding") as refusal:
            key_manager(each, "shredding")
        assert "derived key cannot be shredded" in refusal.value.remedy
        assert "destroy its header" in refusal.value.remedy
