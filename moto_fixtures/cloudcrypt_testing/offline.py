"""Simulated clouds for `cloudcrypt.registry.open_offline`: the real adapter before a fake."""

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from cloudcrypt.registry import OfflineCloud
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import FakeAws


@contextmanager
def aws(folder: Path) -> Generator[OfflineCloud]:
    """Serve a fake EC2 with two instances on loopback; boto3 talks to it. No time passes."""
    with FakeAws(folder) as fake:
        instances = [fake.run_instance(), fake.run_instance()]
        provider = AwsProvider(
            fake.region,
            session=fake.session(),
            endpoint=fake.endpoint,
            zone=f"{fake.region}a",
            clock=fake.clock,
        )
        with closing(provider):
            yield OfflineCloud(provider, {each: fake.node(each).root for each in instances})
