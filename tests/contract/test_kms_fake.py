"""The contract of a KMS, for the fake one of cloudcrypt_testing."""

from collections.abc import Callable, Sequence

import pytest

from cloudcrypt_testing.fake_kms import FakeKms
from cloudcrypt_testing.key_contracts import KMSContract

_ROOT = "a root that nobody may see"


class TestFakeKms(KMSContract):
    """Every clause."""

    @pytest.fixture
    def kms(self) -> FakeKms:
        return FakeKms.from_url(f"fake-kms://one?root={_ROOT.replace(' ', '+')}")

    @pytest.fixture
    def other_kms(self) -> FakeKms:
        return FakeKms("two", root=_ROOT.encode())

    @pytest.fixture
    def rotate(self, kms: FakeKms) -> Callable[[], object]:
        return kms.rotate

    @pytest.fixture
    def hidden(self) -> Sequence[str]:
        return (_ROOT,)
