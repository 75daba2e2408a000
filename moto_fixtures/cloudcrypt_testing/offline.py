"""Simulated clouds for `cloudcrypt.registry.open_offline`: the real adapter before a fake.

Each has two instances and is served on loopback; the SDK of the cloud talks to it. No time passes.
"""

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from cloudcrypt.registry import OfflineCloud


@contextmanager
def aws(folder: Path) -> Generator[OfflineCloud]:
    """Serve a fake EC2."""
    from cloudcrypt_aws import AwsProvider  # noqa: PLC0415 - each cloud needs its own SDK only
    from cloudcrypt_testing.fake_aws import FakeAws  # noqa: PLC0415 - as above

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


@contextmanager
def gcp(folder: Path) -> Generator[OfflineCloud]:
    """Serve a fake Compute Engine."""
    from cloudcrypt_gcp import GcpProvider  # noqa: PLC0415 - as above
    from cloudcrypt_testing.fake_gce import FakeGce  # noqa: PLC0415 - as above

    with FakeGce(folder) as fake:
        instances = [fake.run_instance(), fake.run_instance()]
        provider = GcpProvider(
            fake.project,
            fake.region,
            credentials=fake.credentials(),
            endpoint=fake.endpoint,
            zone=f"{fake.region}-a",
            clock=fake.clock,
        )
        with closing(provider):
            yield OfflineCloud(provider, {each: fake.node(each).root for each in instances})


@contextmanager
def azure(folder: Path) -> Generator[OfflineCloud]:
    """Serve a fake Azure Resource Manager."""
    from cloudcrypt_azure import AzureProvider  # noqa: PLC0415 - as above
    from cloudcrypt_testing.fake_azure import FakeAzure  # noqa: PLC0415 - as above

    with FakeAzure(folder) as fake:
        instances = [fake.run_instance(), fake.run_instance()]
        provider = AzureProvider(
            fake.subscription,
            fake.resource_group,
            location=fake.location,
            zone="1",
            credential=fake.credential(),
            endpoint=fake.endpoint,
            clock=fake.clock,
        )
        with closing(provider):
            yield OfflineCloud(provider, {each: fake.node(each).root for each in instances})
