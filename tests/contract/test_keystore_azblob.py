"""The contract of a store of wrapped keys, held by Azure Blob Storage in each of its settings."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from cloudcrypt.kms import KeyStore, object_name
from cloudcrypt_azure.blobs import BlobStore
from cloudcrypt_testing.fake_azure_keys import Account, FakeAzureKeys
from cloudcrypt_testing.key_contracts import KeyStoreContract

_URL = "azblob://account/keys/cluster-1"


@pytest.fixture(scope="module")
def azure() -> Iterator[FakeAzureKeys]:
    with FakeAzureKeys() as fake:
        fake.set_page(7)
        yield fake


class _OnAzure(KeyStoreContract):
    @pytest.fixture(autouse=True)
    def account(self, azure: FakeAzureKeys) -> Account:
        account = azure.account("account", "keys")
        account.containers["keys"].clear()
        account.versioning, account.soft_delete, account.permanent_delete = self.settings()
        return account

    def settings(self) -> tuple[bool, int | None, bool]:
        return False, None, False

    @pytest.fixture
    def store(self, azure: FakeAzureKeys) -> Iterator[KeyStore]:
        store = BlobStore.from_url(azure.url(_URL))
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, azure: FakeAzureKeys) -> Callable[[], KeyStore]:
        return lambda: BlobStore.from_url(azure.url(_URL))

    @pytest.fixture
    def plant(self, account: Account) -> Callable[[str, bytes], object]:
        def put(key_id: str, blob: bytes) -> object:
            return account.put("keys", object_name("cluster-1/", key_id), blob, "BlockBlob")

        return put

    @pytest.fixture
    def hidden(self, azure: FakeAzureKeys) -> Sequence[str]:
        return (azure.secret,)


class TestPlainAccount(_OnAzure):
    pass


class TestAccountWithVersions(_OnAzure):
    def settings(self) -> tuple[bool, int | None, bool]:
        return True, None, False


class TestAccountThatKeepsAndPurgesVersions(_OnAzure):
    def settings(self) -> tuple[bool, int | None, bool]:
        return True, 7, True
