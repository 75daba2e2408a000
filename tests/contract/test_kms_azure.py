"""The contract of a KMS, held by Managed HSM and by Key Vault with a signing key."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from cloudcrypt.kms import KMS
from cloudcrypt_azure.keyvault import AzureKeyVault
from cloudcrypt_testing.fake_azure_keys import FakeAzureKeys
from cloudcrypt_testing.key_contracts import KMSContract

_HSM = "cluster.managedhsm.azure.net"
_VAULT = "cluster.vault.azure.net"


@pytest.fixture(scope="module")
def azure() -> Iterator[FakeAzureKeys]:
    with FakeAzureKeys() as fake:
        for name in ("kek", "other"):
            fake.create_key(_HSM, name, "oct-HSM")
            fake.create_key(_VAULT, name, "RSA")
        fake.create_key(_VAULT, "ec-signer", "EC")
        fake.create_key(_VAULT, "rsa-signer", "RSA")
        yield fake


def _opened(azure: FakeAzureKeys, url: str) -> Iterator[KMS]:
    kms = AzureKeyVault.from_url(azure.url(url))
    yield kms
    kms.close()


class _OnAzure(KMSContract):
    @pytest.fixture
    def hidden(self, azure: FakeAzureKeys) -> Sequence[str]:
        token = azure.credential.get_token("https://vault.azure.net/.default").token
        return azure.secret, token


class TestManagedHsm(_OnAzure):
    @pytest.fixture
    def kms(self, azure: FakeAzureKeys) -> Iterator[KMS]:
        yield from _opened(azure, f"azure-keyvault://{_HSM}/kek")

    @pytest.fixture
    def other_kms(self, azure: FakeAzureKeys) -> Iterator[KMS]:
        yield from _opened(azure, f"azure-keyvault://{_HSM}/other")

    @pytest.fixture
    def rotate(self, azure: FakeAzureKeys) -> Callable[[], object]:
        return lambda: azure.create_key(_HSM, "kek", "oct-HSM")


class _Signed(_OnAzure):
    @pytest.fixture
    def lengths(self) -> Sequence[int]:
        return 1, 16, 32, 64, 190


class TestSignedByEllipticCurve(_Signed):
    @pytest.fixture
    def kms(self, azure: FakeAzureKeys) -> Iterator[KMS]:
        yield from _opened(azure, f"azure-keyvault://{_VAULT}/kek?signKey=ec-signer")

    @pytest.fixture
    def other_kms(self, azure: FakeAzureKeys) -> Iterator[KMS]:
        yield from _opened(azure, f"azure-keyvault://{_VAULT}/other?signKey=ec-signer")

    @pytest.fixture
    def rotate(self, azure: FakeAzureKeys) -> Callable[[], object]:
        def both() -> None:
            azure.create_key(_VAULT, "kek", "RSA")
            azure.create_key(_VAULT, "ec-signer", "EC")

        return both


class TestSignedByRsa(_Signed):
    @pytest.fixture
    def kms(self, azure: FakeAzureKeys) -> Iterator[KMS]:
        yield from _opened(azure, f"azure-keyvault://{_VAULT}/kek?signKey=rsa-signer")

    @pytest.fixture
    def other_kms(self, azure: FakeAzureKeys) -> Iterator[KMS]:
        yield from _opened(azure, f"azure-keyvault://{_VAULT}/other?signKey=rsa-signer")

    @pytest.fixture
    def rotate(self, azure: FakeAzureKeys) -> Callable[[], object]:
        return lambda: azure.create_key(_VAULT, "rsa-signer", "RSA")
