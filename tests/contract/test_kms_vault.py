"""The contract of KMSs, kept by the one for Vault's transit engine, with each kind of key."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from cloudcrypt.kms import KMS
from cloudcrypt.secret import Secret
from cloudcrypt_testing.fake_vault import FakeVault
from cloudcrypt_testing.key_contracts import KMSContract
from cloudcrypt_vault import VaultTransit


@pytest.fixture(scope="module")
def vault() -> Iterator[FakeVault]:
    with FakeVault() as vault:
        yield vault


class TestVaultTransit(KMSContract):
    kind = "aes256-gcm96"

    @pytest.fixture
    def token(self, vault: FakeVault) -> str:
        return vault.issue_token()

    @pytest.fixture
    def opened(self, vault: FakeVault, token: str) -> Iterator[Callable[[str], VaultTransit]]:
        made: list[VaultTransit] = []

        def opened(key: str) -> VaultTransit:
            vault.create_key(key, kind=self.kind)
            made.append(
                VaultTransit(
                    vault.host,
                    vault.mount,
                    key,
                    endpoint=vault.endpoint,
                    token=Secret(token.encode()),
                    clock=vault.clock,
                )
            )
            return made[-1]

        yield opened
        for kms in made:
            kms.close()

    @pytest.fixture
    def kms(self, opened: Callable[[str], VaultTransit]) -> KMS:
        return opened("disks")

    @pytest.fixture
    def other_kms(self, opened: Callable[[str], VaultTransit]) -> KMS:
        return opened("others")

    @pytest.fixture
    def rotate(self, vault: FakeVault) -> Callable[[], object]:
        return lambda: vault.rotate("disks")

    @pytest.fixture
    def hidden(self, token: str) -> Sequence[str]:
        return (token,)


class TestVaultTransitWithAes128(TestVaultTransit):
    kind = "aes128-gcm96"


class TestVaultTransitWithChaCha(TestVaultTransit):
    kind = "chacha20-poly1305"
