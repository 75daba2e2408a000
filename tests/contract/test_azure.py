"""The contract of volume providers, kept by the one for Azure, against its API on loopback."""

from collections.abc import Callable, Iterator

import pytest

from cloudcrypt.spi import VolumeProvider
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.contract import VolumeProviderContract
from cloudcrypt_testing.fake_azure import FakeAzure


def _opened(azure: FakeAzure) -> AzureProvider:
    return AzureProvider(
        azure.subscription,
        azure.resource_group,
        location=azure.location,
        zone="1",
        credential=azure.credential(),
        endpoint=azure.endpoint,
        clock=azure.clock,
    )


class TestAzureProvider(VolumeProviderContract):
    @pytest.fixture
    def provider(self, fake_azure: FakeAzure) -> Iterator[VolumeProvider]:
        provider = _opened(fake_azure)
        yield provider
        provider.close()

    @pytest.fixture
    def reopen(self, fake_azure: FakeAzure) -> Callable[[], VolumeProvider]:
        return lambda: _opened(fake_azure)

    @pytest.fixture
    def instances(self, fake_azure: FakeAzure) -> tuple[str, str]:
        return fake_azure.run_instance(), fake_azure.run_instance()
