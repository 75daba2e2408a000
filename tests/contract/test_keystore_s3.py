"""The contract of key stores, kept by S3 buckets with and without versions, against moto."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from cloudcrypt.kms import KeyStore, object_name
from cloudcrypt.secret import Secret
from cloudcrypt_aws import s3
from cloudcrypt_aws.s3 import S3Store
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.key_contracts import KeyStoreContract

ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def _opened(aws: FakeAws) -> S3Store:
    return S3Store(
        "bucket",
        "keys",
        region=aws.region,
        endpoint=aws.endpoint,
        access_key_id="AKIAIOSFODNN7EXAMPLE",
        access_key=Secret(ACCESS_KEY.encode()),
        clock=aws.clock,
    )


class TestS3Store(KeyStoreContract):
    is_versioned = False

    @pytest.fixture
    def bucket(self, fake_aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setattr(s3, "PAGE", 7)
        client: Any = fake_aws.client("s3")
        place = {"LocationConstraint": fake_aws.region}
        client.create_bucket(Bucket="bucket", CreateBucketConfiguration=place)
        if self.is_versioned:
            enabled = {"Status": "Enabled"}
            client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration=enabled)
        return client

    @pytest.fixture
    def store(self, fake_aws: FakeAws, bucket: Any) -> Iterator[KeyStore]:
        assert bucket is not None
        store = _opened(fake_aws)
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, fake_aws: FakeAws) -> Callable[[], KeyStore]:
        return lambda: _opened(fake_aws)

    @pytest.fixture
    def plant(self, bucket: Any) -> Callable[[str, bytes], object]:
        return lambda key_id, blob: bucket.put_object(
            Bucket="bucket", Key=object_name("keys/", key_id), Body=blob
        )

    @pytest.fixture
    def hidden(self) -> Sequence[str]:
        return (ACCESS_KEY,)


class TestS3StoreWithVersions(TestS3Store):
    is_versioned = True
