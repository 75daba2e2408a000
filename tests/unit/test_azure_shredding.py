"""What is left of a blob that was deleted: nothing, or an error that says what and why."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import KeyDenied, KeyServiceFailed
from cloudcrypt_azure.blobs import BlobStore
from cloudcrypt_testing.fake_azure_keys import Account, FakeAzureKeys
from cloudcrypt_testing.world.exchange import Exchange
from cloudcrypt_testing.world.faults import Refused

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
def store(azure: FakeAzureKeys) -> Iterator[BlobStore]:
    store = BlobStore.from_url(azure.url("azblob://account/keys/cluster-1"))
    yield store
    store.close()


def _contents(account: Account) -> list[bytes]:
    return [record.content for _, record in account.records("keys")]


def test_snapshots_and_versions_go_with_a_blob(account: Account, store: BlobStore) -> None:
    account.versioning = True
    store.create(_ID, _BLOB)
    store.create(f"{_ID}2", b"stays")
    account.snapshot("keys", _NAME)
    assert store.replace(_ID, _BLOB, b"new")
    account.snapshot("keys", _NAME)
    assert len(_contents(account)) == 5
    assert store.delete(_ID)
    assert _contents(account) == [b"stays"]
    assert not store.delete(_ID)


def test_versions_of_a_blob_that_others_deleted_go_too(account: Account, store: BlobStore) -> None:
    account.versioning = True
    store.create(_ID, _BLOB)
    account.delete("keys", _NAME, with_snapshots=True)
    assert store.get(_ID) is None
    assert _contents(account) == [_BLOB]
    assert store.delete(_ID)
    assert _contents(account) == []


def test_what_soft_delete_keeps_is_purged_where_that_can_be(
    account: Account, store: BlobStore
) -> None:
    account.versioning, account.soft_delete, account.permanent_delete = True, 7, True
    store.create(_ID, _BLOB)
    store.replace(_ID, _BLOB, b"new")
    account.snapshot("keys", _NAME)
    assert store.delete(_ID)
    assert _contents(account) == []


@pytest.mark.parametrize("versioning", [True, False])
def test_what_soft_delete_keeps_is_said(
    account: Account, store: BlobStore, *, versioning: bool
) -> None:
    account.versioning, account.soft_delete = versioning, 7
    store.create(_ID, _BLOB)
    for _ in range(2):
        with pytest.raises(KeyServiceFailed, match="soft delete keeps") as caught:
            store.delete(_ID)
        assert caught.value.code == "SoftDeleted"
        assert store.get(_ID) is None
        assert _contents(account) == [_BLOB]


def test_a_blob_that_soft_delete_keeps_whole_cannot_be_purged(
    account: Account, store: BlobStore
) -> None:
    account.soft_delete, account.permanent_delete = 7, True
    store.create(_ID, _BLOB)
    with pytest.raises(KeyServiceFailed, match="for 7 days"):
        store.delete(_ID)
    assert _contents(account) == [_BLOB]


def test_who_may_not_purge_is_told(account: Account, store: BlobStore) -> None:
    account.versioning, account.soft_delete, account.permanent_delete = True, 7, True
    account.may_purge = False
    store.create(_ID, _BLOB)
    with pytest.raises(KeyDenied, match="permanentDelete"):
        store.delete(_ID)
    account.may_purge = True
    assert store.delete(_ID)
    assert _contents(account) == []


def test_what_hinders_purging_is_not_taken_for_the_settings(
    azure: FakeAzureKeys, account: Account, store: BlobStore
) -> None:
    account.versioning, account.soft_delete, account.permanent_delete = True, 7, True
    store.create(_ID, _BLOB)
    azure.faults.add(Refused("BlobImmutable", status=400), on="blobs.delete", occurrence=3)
    with pytest.raises(KeyServiceFailed) as caught:
        store.delete(_ID)
    assert caught.value.code == "BlobImmutable"
    assert store.delete(_ID)
    assert _contents(account) == []


@pytest.mark.parametrize("occurrence", [1, 2])
def test_a_deletion_that_was_broken_off_goes_on(
    azure: FakeAzureKeys, account: Account, store: BlobStore, occurrence: int
) -> None:
    account.versioning = True
    store.create(_ID, _BLOB)
    store.replace(_ID, _BLOB, b"new")
    denied = Refused("AuthorizationFailure", status=403)
    azure.faults.add(denied, on="blobs.delete", occurrence=occurrence)
    with pytest.raises(KeyDenied):
        store.delete(_ID)
    assert store.delete(_ID)
    assert _contents(account) == []


def test_who_creates_anew_while_a_key_is_shredded_keeps_theirs(
    azure: FakeAzureKeys, account: Account, store: BlobStore
) -> None:
    account.versioning = True
    store.create(_ID, _BLOB)

    def be_quick(exchange: Exchange) -> None:
        if exchange.call.action == "blobs.delete" and exchange.phase == "after":
            azure.hooks.clear()
            account.put("keys", _NAME, b"theirs", "BlockBlob")

    azure.hooks.append(be_quick)
    assert store.delete(_ID)
    assert _contents(account) == [b"theirs"]


@pytest.mark.parametrize("kind", ["version", "snapshot"])
def test_a_copy_that_somebody_made_while_a_key_was_shredded_is_said(
    azure: FakeAzureKeys, account: Account, store: BlobStore, kind: str
) -> None:
    account.versioning = True
    store.create(_ID, _BLOB)
    seen: list[str] = []

    def be_late(exchange: Exchange) -> None:
        if exchange.call.action == "blobs.list" and exchange.phase == "before":
            seen.append(kind)
            if len(seen) == 4:  # the last look
                azure.hooks.clear()
                account.put("keys", _NAME, b"copied", "BlockBlob")
                if kind == "snapshot":
                    account.snapshot("keys", _NAME)
                else:
                    account.put("keys", _NAME, b"theirs", "BlockBlob")

    azure.hooks.append(be_late)
    with pytest.raises(KeyServiceFailed) as caught:
        store.delete(_ID)
    assert caught.value.code == "CopiesRemain"
    assert store.delete(_ID)
    assert _contents(account) == []
