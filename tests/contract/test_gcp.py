"""The contract of volume providers, kept by the one for GCE, against Compute Engine on loopback."""

from collections.abc import Callable, Iterator

import pytest

from cloudcrypt.spi import VolumeProvider
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.contract import VolumeProviderContract
from cloudcrypt_testing.fake_gce import FakeGce


def _opened(gce: FakeGce) -> GcpProvider:
    return GcpProvider(
        gce.project,
        gce.region,
        credentials=gce.credentials(),
        endpoint=gce.endpoint,
        zone=f"{gce.region}-a",
        clock=gce.clock,
    )


class TestGcpProvider(VolumeProviderContract):
    @pytest.fixture
    def provider(self, fake_gce: FakeGce) -> Iterator[VolumeProvider]:
        provider = _opened(fake_gce)
        yield provider
        provider.close()

    @pytest.fixture
    def reopen(self, fake_gce: FakeGce) -> Iterator[Callable[[], VolumeProvider]]:
        opened: list[GcpProvider] = []

        def again() -> VolumeProvider:
            opened.append(_opened(fake_gce))
            return opened[-1]

        yield again
        for provider in opened:
            provider.close()

    @pytest.fixture
    def instances(self, fake_gce: FakeGce) -> tuple[str, str]:
        zone = f"{fake_gce.region}-a"
        return fake_gce.run_instance(zone), fake_gce.run_instance(zone)
