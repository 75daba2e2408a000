"""The contract of a store of wrapped keys, by Cloud Storage, with and without history."""

from collections.abc import Callable, Iterator

import pytest

from cloudcrypt.kms import object_name
from cloudcrypt_gcp.storage import GcsStore
from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys
from cloudcrypt_testing.key_contracts import KeyStoreContract


@pytest.fixture
def google() -> Iterator[FakeGoogleKeys]:
    with FakeGoogleKeys() as google:
        google.paginate(7)
        yield google


class TestGcsStore(KeyStoreContract):
    @pytest.fixture
    def store(self, reopen: Callable[[], GcsStore]) -> Iterator[GcsStore]:
        store = reopen()
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, google: FakeGoogleKeys) -> Callable[[], GcsStore]:
        return lambda: GcsStore.from_url(google.store_url())

    @pytest.fixture
    def plant(self, google: FakeGoogleKeys) -> Callable[[str, bytes], object]:
        return lambda key_id, blob: google.put(object_name("keys/", key_id), blob)


class TestGcsStoreOfAVersionedBucket(TestGcsStore):
    @pytest.fixture
    def google(self) -> Iterator[FakeGoogleKeys]:
        with FakeGoogleKeys() as google:
            google.add_bucket("wrapped-keys", versioning=True)
            yield google


class TestGcsStoreWithoutAPrefix(TestGcsStore):
    @pytest.fixture
    def reopen(self, google: FakeGoogleKeys) -> Callable[[], GcsStore]:
        return lambda: GcsStore.from_url(google.store_url(prefix=""))

    @pytest.fixture
    def plant(self, google: FakeGoogleKeys) -> Callable[[str, bytes], object]:
        return lambda key_id, blob: google.put(object_name("", key_id), blob)
