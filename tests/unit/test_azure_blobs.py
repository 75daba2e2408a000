"""Blob Storage beyond the contract: errors, lost answers, and what an account keeps of a blob."""

import time
from collections.abc import Callable, Iterator

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
    KeyUriInvalid,
    WrappedKeyRefused,
)
from cloudcrypt.kms import BLOB_MAX
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure.blobs import BlobStore
from cloudcrypt_testing.fake_azure_keys import Account, FakeAzureKeys, storage
from cloudcrypt_testing.fake_azure_keys.incoming import Incoming
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.exchange import Exchange
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Fault,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    Throttled,
)
from cloudcrypt_testing.world.layer import Answer

_ID = "cloudcrypt/v1/some"
_NAME = f"cluster-1/{_ID}"
_BLOB = b'{"wrapped": "..."}'


@pytest.fixture
def azure() -> Iterator[FakeAzureKeys]:
    with FakeAzureKeys() as fake:
        yield fake


@pytest.fixture
def account(azure: FakeAzureKeys) -> Account:
    return azure.account("account", "keys")


@pytest.fixture
def store(azure: FakeAzureKeys, account: Account) -> Iterator[BlobStore]:
    del account
    store = _store(azure)
    yield store
    store.close()


def _store(azure: FakeAzureKeys, container: str = "keys") -> BlobStore:
    return BlobStore(
        "account",
        container,
        "cluster-1",
        credential=azure.credential,
        endpoint=azure.endpoint,
        ca=str(azure.ca),
        timeout=20,
        clock=azure.clock,
    )


def _contents(account: Account) -> list[bytes]:
    return [record.content for _, record in account.records("keys")]


_CALLS: dict[str, tuple[str, Callable[[BlobStore], object]]] = {
    "get": ("blobs.get", lambda store: store.get(_ID)),
    "create": ("blobs.put", lambda store: store.create(f"{_ID}/new", _BLOB)),
    "replace": ("blobs.put", lambda store: store.replace(_ID, _BLOB, b"new")),
    "list": ("blobs.list", lambda store: list(store.list())),
    "look before deleting": ("blobs.list", lambda store: store.delete(_ID)),
    "delete": ("blobs.delete", lambda store: store.delete(_ID)),
}


def _wrong_md5(content: bytes) -> str:
    del content
    return "AAAAAAAAAAAAAAAAAAAAAA=="


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidHeaderValue", KeyServiceFailed),
        (401, "InvalidAuthenticationInfo", KeyDenied),
        (403, "AuthenticationFailed", KeyDenied),
        (403, "AuthorizationFailure", KeyDenied),
        (403, "AuthorizationPermissionMismatch", KeyDenied),
        (403, "KeyBasedAuthenticationNotPermitted", KeyDenied),
        (404, "ContainerNotFound", KeyServiceFailed),
        (404, "ResourceNotFound", KeyServiceFailed),
        (409, "BlobArchived", KeyServiceFailed),
        (409, "BlobImmutableDueToPolicy", KeyServiceFailed),
        (409, "ContainerBeingDeleted", KeyServiceUnavailable),
        (412, "LeaseIdMissing", KeyServiceFailed),
        (429, "TooManyRequests", KeyServiceThrottled),
        (500, "InternalError", KeyServiceUnavailable),
        (500, "OperationTimedOut", KeyServiceUnavailable),
        (503, "ServerBusy", KeyServiceThrottled),
    ],
)
@pytest.mark.parametrize("verb", _CALLS)
def test_every_error_of_storage_is_one_of_ours_and_none_is_absence(
    azure: FakeAzureKeys,
    store: BlobStore,
    verb: str,
    status: int,
    code: str,
    kind: type[CloudcryptError],
) -> None:
    action, call = _CALLS[verb]
    store.create(_ID, _BLOB)
    azure.faults.add(Refused(code, status=status), on=action, times=None)
    with pytest.raises(CloudcryptError) as caught:
        call(store)
    assert type(caught.value) is kind
    assert caught.value.cloud_code == code


@pytest.mark.parametrize(
    "fault", [Throttled(), ServerError(500), ServerError(503), ConnectionLost(), ReplyLost()]
)
@pytest.mark.parametrize("verb", _CALLS)
def test_what_passes_is_waited_for_and_the_outcome_is_right(
    azure: FakeAzureKeys,
    account: Account,
    store: BlobStore,
    verb: str,
    fault: Fault,
) -> None:
    action, call = _CALLS[verb]
    store.create(_ID, _BLOB)
    azure.faults.add(fault, on=action)
    outcome = call(store)
    assert outcome in (_BLOB, True, [_ID])
    assert len(_contents(account)) <= 2


def test_a_lost_answer_to_a_creation_is_asked_for(
    azure: FakeAzureKeys, account: Account, store: BlobStore
) -> None:
    azure.faults.add(ReplyLost(), on="blobs.put")
    assert store.create(_ID, _BLOB)
    assert _contents(account) == [_BLOB]
    assert azure.requests.actions.count("blobs.put") == 2


def test_whoever_was_faster_while_an_answer_was_lost_has_created(
    azure: FakeAzureKeys, account: Account, store: BlobStore
) -> None:
    def be_faster(exchange: Exchange) -> None:
        if exchange.call.action == "blobs.put" and exchange.phase == "before":
            azure.hooks.clear()
            account.put("keys", _NAME, b"faster", "BlockBlob")

    azure.faults.add(ConnectionLost(), on="blobs.put")
    azure.hooks.append(be_faster)
    assert not store.create(_ID, _BLOB)
    assert _contents(account) == [b"faster"]


def test_a_lost_answer_to_a_replacement_is_asked_for(
    azure: FakeAzureKeys, account: Account, store: BlobStore
) -> None:
    store.create(_ID, _BLOB)
    azure.faults.add(ReplyLost(), on="blobs.put")
    assert store.replace(_ID, _BLOB, b"new")
    assert _contents(account) == [b"new"]


def test_the_same_bytes_of_somebody_else_are_not_ones_own(
    azure: FakeAzureKeys, account: Account, store: BlobStore
) -> None:
    other = _store(azure)

    def be_faster(exchange: Exchange) -> None:
        if exchange.call.action == "blobs.put" and exchange.phase == "before":
            azure.hooks.clear()
            assert other.create(_ID, _BLOB)

    azure.faults.add(ConnectionLost(), on="blobs.put")
    azure.hooks.append(be_faster)
    assert not store.create(_ID, _BLOB)
    assert _contents(account) == [_BLOB]
    other.close()


@pytest.mark.parametrize("theirs", [b"theirs", None])
def test_a_replacement_between_reading_and_writing_wins(
    azure: FakeAzureKeys, account: Account, store: BlobStore, theirs: bytes | None
) -> None:
    store.create(_ID, _BLOB)

    def be_faster(exchange: Exchange) -> None:
        if exchange.call.action != "blobs.put" or exchange.phase != "before":
            return
        azure.hooks.clear()
        if theirs is None:
            account.delete("keys", _NAME, with_snapshots=False)
        else:
            account.put("keys", _NAME, theirs, "BlockBlob")

    azure.hooks.append(be_faster)
    assert not store.replace(_ID, _BLOB, b"new")
    assert _contents(account) == ([] if theirs is None else [theirs])


@pytest.mark.parametrize("fault", [ServerError(500), Throttled(), ConnectionLost()])
def test_nothing_is_sent_again_by_the_sdk(fault: Fault) -> None:
    with FakeAzureKeys(clock=FakeClock(tick=1)) as azure:
        azure.account("account", "keys")
        store = _store(azure)
        azure.faults.add(fault, times=None)
        with pytest.raises(CloudcryptError):
            store.create(_ID, _BLOB, deadline=Deadline.after(0.5, clock=azure.clock))
        assert azure.requests.actions == ["blobs.put"]
        with pytest.raises(CloudcryptError):
            store.get(_ID, deadline=Deadline.after(0.5, clock=azure.clock))
        assert azure.requests.actions == ["blobs.put", "blobs.get"]
        store.close()


def test_retry_after_is_kept_to(azure: FakeAzureKeys, store: BlobStore) -> None:
    azure.set_retry_after(7)
    azure.faults.add(Throttled(), on="blobs.put")
    before = azure.clock.monotonic()
    assert store.create(_ID, _BLOB)
    assert azure.clock.monotonic() - before >= 7


@pytest.mark.parametrize("verb", _CALLS)
def test_a_call_ends_by_its_deadline(azure: FakeAzureKeys, store: BlobStore, verb: str) -> None:
    store.create(_ID, _BLOB)
    store.close()
    store = BlobStore.from_url(azure.url("azblob://account/keys/cluster-1?timeout=0.4"))
    azure.faults.add(Slow(3, is_real=True), on=_CALLS[verb][0], times=None)
    begin = time.monotonic()
    with pytest.raises(KeyServiceUnavailable):
        _CALLS[verb][1](store)
    assert time.monotonic() - begin < 2
    store.close()


def test_a_container_that_is_not_there_has_no_absent_keys(azure: FakeAzureKeys) -> None:
    store = _store(azure, "other")
    for call in (
        lambda: store.get(_ID),
        lambda: store.create(_ID, _BLOB),
        lambda: store.replace(_ID, _BLOB, b"new"),
        lambda: list(store.list()),
        lambda: store.delete(_ID),
    ):
        with pytest.raises(KeyServiceFailed) as caught:
            call()
        assert caught.value.cloud_code == "ContainerNotFound"
    store.close()


def test_what_is_no_block_blob_is_refused(account: Account, store: BlobStore) -> None:
    account.put("keys", _NAME, _BLOB, "AppendBlob")
    with pytest.raises(WrappedKeyRefused, match="no block blob"):
        store.get(_ID)


def test_no_more_is_asked_for_than_a_blob_may_have(
    account: Account, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, ranges = storage._get, list[str | None]()

    def look(account: Account, incoming: Incoming) -> Answer:
        ranges.append(incoming.headers.get("x-ms-range"))
        return answer(account, incoming)

    account.put("keys", _NAME, bytes(10 * BLOB_MAX))
    monkeypatch.setattr(storage, "_get", look)
    with pytest.raises(WrappedKeyRefused, match="longer"):
        store.get(_ID)
    assert ranges == [f"bytes=0-{BLOB_MAX - 1}"]


def test_a_content_that_has_not_its_checksum_is_not_taken(
    azure: FakeAzureKeys, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create(_ID, _BLOB)
    monkeypatch.setattr("cloudcrypt_testing.fake_azure_keys.storage._md5", _wrong_md5)
    until = Deadline.after(1, clock=azure.clock)
    with pytest.raises(KeyServiceUnavailable):
        store.get(_ID, deadline=until)


def test_a_content_that_was_changed_on_its_way_is_not_stored(
    azure: FakeAzureKeys, account: Account, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudcrypt_testing.fake_azure_keys.storage._md5", _wrong_md5)
    with pytest.raises(KeyServiceFailed) as caught:
        store.create(_ID, _BLOB)
    assert caught.value.cloud_code == "Md5Mismatch"
    assert _contents(account) == []
    assert azure.requests.count("blobs.put") == 1


def test_what_others_put_beside_is_no_key(account: Account, store: BlobStore) -> None:
    for name in ("cluster-1/a%zz", "cluster-1/.hidden", "cluster-1//a", "other/a", "a"):
        account.put("keys", name, b"", "BlockBlob")
    store.create(_ID, _BLOB)
    assert list(store.list()) == [_ID]


def test_a_listing_that_breaks_off_is_an_error(azure: FakeAzureKeys, store: BlobStore) -> None:
    azure.set_page(2)
    for number in range(5):
        store.create(f"{_ID}/{number}", _BLOB)
    azure.faults.add(Refused("AuthorizationFailure", status=403), on="blobs.list", occurrence=2)
    with pytest.raises(KeyDenied):
        list(store.list())
    azure.faults.add(ServerError(500), on="blobs.list", occurrence=2)
    assert len(list(store.list())) == 5


@pytest.mark.parametrize(
    "url",
    [
        "azblob://",
        "azblob://account",
        "azblob://account/",
        "azblob://ac/keys",
        "azblob://account/Keys",
        "azblob://account/k",
        "azblob://account/ke--ys",
        "azblob://account/-keys",
        "azblob://account/keys/a//b",
        "azblob://account/keys/../b",
        "azblob://account/keys/a%20b",
        f"azblob://account/keys/{'p' * 129}",
        "azblob://user:s3cret@account/keys",
        "azblob://account/keys#f",
        "s3://account/keys",
        "azblob://account/keys?accountKey=s3cret",
        "azblob://account/keys?endpoint=http://127.0.0.1:1",
        "azblob://account/keys?timeout=-1",
        "azblob://account/keys?clientSecret=s3cret",
    ],
)
def test_what_is_no_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(KeyUriInvalid) as caught:
        BlobStore.from_url(url)
    assert "s3cret" not in f"{caught.value!r}{caught.value}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("azblob://account/keys", "azblob://account/keys"),
        ("azblob://account/keys/", "azblob://account/keys"),
        ("azblob://account/keys/a/b.c/?timeout=1", "azblob://account/keys/a/b.c"),
        ("azblob://ACCOUNT/keys/A", "azblob://account/keys/A"),
        (
            "azblob://account.blob.core.chinacloudapi.cn/keys",
            "azblob://account.blob.core.chinacloudapi.cn/keys",
        ),
    ],
)
def test_a_url_names_account_container_and_prefix(url: str, shown: str) -> None:
    store = BlobStore.from_url(url)
    assert repr(store) == f"<BlobStore {shown}>"
    store.close()


def test_an_account_of_another_cloud_is_asked_for_there(azure: FakeAzureKeys) -> None:
    azure.account("account", "keys")
    url = "azblob://account.blob.core.usgovcloudapi.net/keys"
    store = BlobStore.from_url(azure.url(url))
    assert store.create(_ID, _BLOB)
    assert store.get(_ID) == _BLOB
    store.close()
