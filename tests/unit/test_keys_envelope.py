"""Random keys, wrapped and stored: made once, handed out when stored, found again, or an error."""

import base64
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloudcrypt.errors import (
    DataKeyAbsent,
    DataKeyUnavailable,
    InvalidRequest,
    KeyDenied,
    KeyServiceError,
    KeyServiceFailed,
    KeyServiceUnavailable,
    WrappedKeyRefused,
)
from cloudcrypt.keys import (
    CachingKeyService,
    EnvelopeKeyService,
    FindingKeyService,
    KeyManager,
    get_data_key,
)
from cloudcrypt.keys.sqlite import SqliteStore
from cloudcrypt.keys.wrapped import WrappedKey
from cloudcrypt.kms import KMS, WrappingKey
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing._key_clauses.given import raced, spellings
from cloudcrypt_testing.fake_kms import FakeKms
from tests.unit.clocks import FakeClock
from tests.unit.lying_stores import Careless, Forgetting, Once, Store

ID = "cloudcrypt/v1/local:data"
LATER = KeyServiceUnavailable("fake", ID, "away for a moment")


@pytest.fixture
def kms() -> FakeKms:
    return FakeKms()


@pytest.fixture
def store() -> Iterator[Store]:
    inner = SqliteStore(":memory:")
    yield Store(inner)
    inner.close()


@pytest.fixture
def keys(kms: FakeKms, store: Store) -> EnvelopeKeyService:
    return service(kms, store)


def service(kms: KMS, store: Store) -> EnvelopeKeyService:
    return EnvelopeKeyService(kms, store, store_name="the store", clock=FakeClock())


def planted(kms: KMS, store: Store, key: bytes, key_id: str = ID) -> None:
    """Store ``key`` as one who may wrap and write would."""
    blob = WrappedKey(kms.wrap(Secret(key), key_id), "fake", "1").to_bytes()
    store.store.delete(key_id)
    assert store.store.create(key_id, blob)


# --- made once, found again ---


def test_a_key_is_made_once_and_is_the_same_ever_after(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store
) -> None:
    first = get_data_key(keys, ID)
    assert len(first) == 32
    assert first == get_data_key(keys, ID) == get_data_key(keys, ID, existing=True)
    assert first == get_data_key(service(kms, store), ID)
    assert first != get_data_key(keys, f"{ID}2")
    assert list(store.list()) == [ID, f"{ID}2"]


@pytest.mark.parametrize("length", [1, 16, 32, 64, 1024])
def test_a_key_has_the_length_that_was_asked_for(keys: EnvelopeKeyService, length: int) -> None:
    assert len(keys.get_data_key(ID, length)) == length
    assert len(keys.find_data_key(ID, length)) == length


def test_what_is_stored_is_one_document_with_hints(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store
) -> None:
    key = get_data_key(keys, ID)
    blob = store.get(ID)
    assert blob is not None
    document = json.loads(blob)
    wrapped = base64.b64decode(document.pop("wrapped"))
    assert document == {
        "format": "cloudcrypt-wrapped-key/1",
        "kms": "fake-kms://key",
        "version": "1",
    }
    assert kms.unwrap(wrapped, ID) == key
    assert bytes(key.reveal()) not in blob


def test_hints_are_left_out_where_the_kms_does_not_tell_them(
    kms: FakeKms, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*, deadline: Deadline | None = None) -> WrappingKey:
        raise KeyDenied("fake", "", "no right to describe it")

    monkeypatch.setattr(kms, "key", denied)
    key = get_data_key(service(kms, store), ID)
    assert WrappedKey.from_bytes(ID, store.get(ID) or b"").kms is None
    assert key == get_data_key(service(kms, store), ID)


def test_a_key_that_must_exist_is_never_made(keys: EnvelopeKeyService, store: Store) -> None:
    with pytest.raises(DataKeyAbsent) as refusal:
        get_data_key(keys, ID, existing=True)
    assert (refusal.value.key_id, refusal.value.store) == (ID, "the store")
    assert set(store.asked) == {"get"}
    assert store.get(ID) is None


def test_a_service_that_makes_no_keys_is_asked_as_ever() -> None:
    class Plain:
        def get_data_key(self, key_id: str, length: int) -> Secret:
            return Secret(key_id.encode().ljust(length))

    assert not isinstance(Plain(), FindingKeyService)
    assert get_data_key(Plain(), "a", existing=True) == get_data_key(Plain(), "a")
    with CachingKeyService(Plain(), seconds=60) as cache:
        assert get_data_key(cache, "a", existing=True) == get_data_key(Plain(), "a")


def test_a_cache_asks_for_what_exists_and_remembers_it(
    keys: EnvelopeKeyService, store: Store
) -> None:
    with CachingKeyService(keys, seconds=60, clock=FakeClock()) as cache:
        with pytest.raises(DataKeyAbsent):
            get_data_key(cache, ID, existing=True)
        assert len(cache) == 0
        key = get_data_key(cache, ID)
        store.asked.clear()
        assert key == get_data_key(cache, ID, existing=True)
        assert store.asked == []


# --- races, lost answers, errors ---


def test_the_loser_of_a_race_gets_the_winners_key(kms: FakeKms, store: Store) -> None:
    winner = bytes(range(32))

    def win(verb: str) -> None:
        if verb == "create":
            planted(kms, store, winner)
            store.before = lambda verb: None

    store.before = win
    assert Secret(winner) == get_data_key(service(kms, store), ID)


def test_threads_that_ask_for_a_new_key_all_get_the_one(kms: FakeKms, tmp_path: Path) -> None:
    with EnvelopeKeyService(kms, SqliteStore(tmp_path / "keys.db")) as keys:
        for turn in range(5):

            def ask(_: int, key_id: str = f"{ID}/{turn}") -> Secret:
                return get_data_key(keys, key_id)

            first, *others = raced(ask)
            assert [first] * len(others) == others


@pytest.mark.parametrize("verb", ["get", "create"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_after_an_error_or_a_lost_answer_it_asks_again(
    keys: EnvelopeKeyService, store: Store, verb: str, when: str
) -> None:
    setattr(store, when, Once(verb, LATER, times=2))
    key = get_data_key(keys, ID)
    assert key == get_data_key(keys, ID)
    assert list(store.list()) == [ID]


def test_it_gives_up_when_its_time_is_over(keys: EnvelopeKeyService, store: Store) -> None:
    store.before = Once("create", LATER, times=1000)
    with pytest.raises(KeyServiceUnavailable):
        get_data_key(keys, ID)
    assert store.get(ID) is None


def test_a_key_is_handed_out_only_if_it_is_stored(keys: EnvelopeKeyService, store: Store) -> None:
    store.before = Once("create", KeyServiceFailed("fake", ID, "FULL", "no room"))
    with pytest.raises(KeyServiceFailed, match="FULL"):
        get_data_key(keys, ID)
    assert store.get(ID) is None


def test_what_the_kms_cannot_unwrap_is_not_stored(kms: FakeKms, store: Store) -> None:
    kms.disable(1)
    with pytest.raises(KeyServiceFailed, match="DISABLED"):
        get_data_key(service(kms, store), ID)
    assert "create" not in store.asked


def test_what_the_kms_wraps_wrongly_is_not_stored(
    kms: FakeKms, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap = kms.wrap

    def other(key: Secret, key_id: str, *, deadline: Deadline | None = None) -> bytes:
        return wrap(Secret(bytes(32)), key_id, deadline=deadline)

    monkeypatch.setattr(kms, "wrap", other)
    with pytest.raises(WrappedKeyRefused, match="another key"):
        get_data_key(service(kms, store), ID)
    assert "create" not in store.asked


def test_keys_that_are_not_handed_out_are_wiped(
    kms: FakeKms, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Secret] = []
    wrap = kms.wrap

    def spying(key: Secret, key_id: str, *, deadline: Deadline | None = None) -> bytes:
        seen.append(key)
        return wrap(key, key_id, deadline=deadline)

    monkeypatch.setattr(kms, "wrap", spying)
    store.after = Once("create", KeyServiceFailed("fake", ID, "X", "Y"))
    with pytest.raises(KeyServiceFailed):
        get_data_key(service(kms, store), ID)
    get_data_key(service(kms, store), f"{ID}2")
    for key in seen:
        with pytest.raises(ValueError, match="wiped"):
            key.reveal()


@pytest.mark.parametrize("how", ["another length", "another key than was created"])
def test_an_unwrapped_key_that_is_refused_is_wiped(
    kms: FakeKms, store: Store, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    seen: list[Secret] = []
    unwrap = kms.unwrap

    def spying(blob: bytes, key_id: str, *, deadline: Deadline | None = None) -> Secret:
        seen.append(unwrap(blob, key_id, deadline=deadline))
        return seen[-1]

    planted(kms, store, bytes(16 if how == "another length" else 32))
    monkeypatch.setattr(kms, "unwrap", spying)
    careless = Careless(store)
    careless.overwrites = False
    refusing = store if how == "another length" else Forgetting(careless, 1)
    with pytest.raises(KeyServiceFailed):
        service(kms, refusing).get_data_key(ID, 32)
    assert seen
    for key in seen:
        with pytest.raises(ValueError, match="wiped"):
            key.reveal()


# --- what is refused ---


def test_a_store_that_contradicts_itself_is_an_error(kms: FakeKms, store: Store) -> None:
    get_data_key(service(kms, store), ID)
    with pytest.raises(KeyServiceFailed, match="absent, although"):
        get_data_key(service(kms, Forgetting(store, 2)), ID)


def test_a_store_that_lied_once_does_not_get_a_second_key(kms: FakeKms, store: Store) -> None:
    key = get_data_key(service(kms, store), ID)
    assert key == get_data_key(service(kms, Forgetting(store, 1)), ID)
    assert list(store.list()) == [ID]


def test_a_store_that_keeps_another_key_than_it_says_is_an_error(
    kms: FakeKms, store: Store
) -> None:
    careless = Careless(store)
    careless.overwrites = False
    get_data_key(service(kms, store), ID)
    forgetting = Forgetting(careless, 1)
    with pytest.raises(KeyServiceFailed, match="holds another one"):
        get_data_key(service(kms, forgetting), ID)


@pytest.mark.parametrize("length", [16, 31, 33, 64])
def test_a_stored_key_of_another_length_is_an_error(
    kms: FakeKms, keys: EnvelopeKeyService, store: Store, length: int
) -> None:
    planted(kms, store, bytes(length))
    for ask in (keys.get_data_key, keys.find_data_key):
        with pytest.raises(KeyServiceFailed, match=f"has {length} bytes, and 32"):
            ask(ID, 32)


@pytest.mark.parametrize(("key_id", "length"), [("", 32), ("a\n", 32), ("a", 0), ("a", 1025)])
def test_what_is_no_request_is_refused(
    keys: EnvelopeKeyService, store: Store, key_id: str, length: int
) -> None:
    for ask in (keys.get_data_key, keys.find_data_key):
        with pytest.raises(InvalidRequest):
            ask(key_id, length)
    assert store.asked == []


def test_a_closed_service_gives_nothing(kms: FakeKms, store: Store) -> None:
    with service(kms, store) as keys:
        get_data_key(keys, ID)
    asks: list[Callable[[], object]] = [
        lambda: get_data_key(keys, ID),
        lambda: keys.rewrap(ID),
        lambda: list(keys.list()),
        lambda: keys.shred(ID),
    ]
    for ask in asks:
        with pytest.raises(DataKeyUnavailable, match="closed"):
            ask()
    keys.close()


def test_its_repr_names_its_parts(keys: EnvelopeKeyService) -> None:
    assert "FakeKms('fake-kms://key')" in repr(keys)
    assert isinstance(keys, KeyManager)


def test_a_key_is_in_no_log_file_or_error(
    kms: FakeKms, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    with EnvelopeKeyService(kms, SqliteStore(tmp_path / "keys.db")) as keys:
        key = bytes(get_data_key(keys, ID).reveal())
        shown += [repr(keys), repr(list(keys.list())), repr(list(keys.rewrap_all()))]
        for key_id, length in ((ID, 31), (f"{ID}2", 32)):
            with pytest.raises(KeyServiceError) as caught:
                keys.find_data_key(key_id, length)
            shown += [str(caught.value), repr(caught.value)]
    shown += [path.read_bytes().decode("latin-1") for path in tmp_path.iterdir()]
    for text in (key.decode("latin-1"), *spellings(key)):
        assert not any(text in each for each in (*shown, caplog.text))
