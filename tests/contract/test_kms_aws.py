"""The contract of KMSs, kept by the one for AWS KMS, against moto over HTTP."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from cloudcrypt.kms import KMS
from cloudcrypt.secret import Secret
from cloudcrypt_aws.kms import AwsKms
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.key_contracts import KMSContract

ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def _key(aws: FakeAws) -> str:
    client: Any = aws.client("kms")
    return str(client.create_key()["KeyMetadata"]["Arn"])


def _opened(aws: FakeAws, key: str) -> AwsKms:
    return AwsKms(
        key,
        endpoint=aws.endpoint,
        access_key_id="AKIAIOSFODNN7EXAMPLE",
        access_key=Secret(ACCESS_KEY.encode()),
        clock=aws.clock,
    )


class TestAwsKms(KMSContract):
    @pytest.fixture
    def key(self, fake_aws: FakeAws) -> str:
        return _key(fake_aws)

    @pytest.fixture
    def kms(self, fake_aws: FakeAws, key: str) -> Iterator[KMS]:
        kms = _opened(fake_aws, key)
        yield kms
        kms.close()

    @pytest.fixture
    def other_kms(self, fake_aws: FakeAws) -> Iterator[KMS]:
        kms = _opened(fake_aws, _key(fake_aws))
        yield kms
        kms.close()

    @pytest.fixture
    def rotate(self, fake_aws: FakeAws, key: str) -> Callable[[], object]:
        return lambda: fake_aws.client("kms").rotate_key_on_demand(KeyId=key)

    @pytest.fixture
    def hidden(self) -> Sequence[str]:
        return (ACCESS_KEY,)
