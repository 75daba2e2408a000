"""The contract of a KMS, by Cloud KMS."""

from collections.abc import Callable, Iterator

import pytest

from cloudcrypt_gcp.kms import GcpKms
from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys
from cloudcrypt_testing.key_contracts import KMSContract


@pytest.fixture
def google() -> Iterator[FakeGoogleKeys]:
    with FakeGoogleKeys() as google:
        google.add_key("other")
        yield google


class TestGcpKms(KMSContract):
    @pytest.fixture
    def kms(self, google: FakeGoogleKeys) -> Iterator[GcpKms]:
        kms = GcpKms.from_url(google.kms_url())
        yield kms
        kms.close()

    @pytest.fixture
    def other_kms(self, google: FakeGoogleKeys) -> Iterator[GcpKms]:
        kms = GcpKms.from_url(google.kms_url(key="other"))
        yield kms
        kms.close()

    @pytest.fixture
    def rotate(self, google: FakeGoogleKeys) -> Callable[[], object]:
        return google.rotate
