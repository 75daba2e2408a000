"""The contract of volume providers, kept by the one for AWS, against EC2 on loopback."""

from collections.abc import Callable, Iterator

import pytest

from cloudcrypt.spi import VolumeProvider
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.contract import VolumeProviderContract
from cloudcrypt_testing.fake_aws import FakeAws

REGION, ZONE = "eu-central-1", "eu-central-1a"


def _opened(aws: FakeAws) -> AwsProvider:
    return AwsProvider(
        REGION, session=aws.session(), endpoint=aws.endpoint, zone=ZONE, clock=aws.clock
    )


class TestAwsProvider(VolumeProviderContract):
    @pytest.fixture
    def provider(self, fake_aws: FakeAws) -> Iterator[VolumeProvider]:
        provider = _opened(fake_aws)
        yield provider
        provider.close()

    @pytest.fixture
    def reopen(self, fake_aws: FakeAws) -> Callable[[], VolumeProvider]:
        return lambda: _opened(fake_aws)

    @pytest.fixture
    def instances(self, fake_aws: FakeAws) -> tuple[str, str]:
        return fake_aws.run_instance(zone=ZONE), fake_aws.run_instance(zone=ZONE)
