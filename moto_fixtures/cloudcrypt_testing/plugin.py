"""Fixtures for pytest: the fake clouds, and their time.

Installed as a pytest plugin, so every run of pytest imports it: what the fixtures need, and the
user may not have, is imported inside of them.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import boto3

    from cloudcrypt_testing.fake_aws import FakeAws
    from cloudcrypt_testing.fake_azure import FakeAzure
    from cloudcrypt_testing.fake_gce import FakeGce
    from cloudcrypt_testing.world.clock import FakeClock

_REMEDY = '{} needs packages that are not installed: pip install "cloudcrypt[{},testing]" ({})'


@pytest.fixture
def fake_clock() -> "FakeClock":
    """The time that the fake clouds of this test live in; it moves only when told to."""
    from cloudcrypt_testing.world.clock import FakeClock  # noqa: PLC0415 - only where it is used

    return FakeClock()


@pytest.fixture(scope="session")
def _fake_aws_server(tmp_path_factory: pytest.TempPathFactory) -> "Generator[FakeAws]":
    """One server for all tests: starting it takes longer than emptying it."""
    try:
        from cloudcrypt_testing.fake_aws import FakeAws  # noqa: PLC0415 - the user may lack moto
    except ImportError as error:
        raise pytest.UsageError(_REMEDY.format("fake_aws", "aws", error)) from error
    with FakeAws(tmp_path_factory.mktemp("fake-aws")) as aws:
        yield aws


@pytest.fixture
def fake_aws(_fake_aws_server: "FakeAws", fake_clock: "FakeClock") -> "FakeAws":
    """An AWS of this test's own, empty, on loopback and on `fake_clock`."""
    from cloudcrypt_testing.fake_aws import Timings  # noqa: PLC0415 - as above

    _fake_aws_server.reset(clock=fake_clock, timings=Timings())
    return _fake_aws_server


@pytest.fixture
def fake_aws_session(fake_aws: "FakeAws") -> "boto3.Session":
    """A session of boto3 for `fake_aws`; clients need ``endpoint_url=fake_aws.endpoint``."""
    return fake_aws.session()


@pytest.fixture
def fake_aws_instance(fake_aws: "FakeAws") -> str:
    """The id of a running m5.large of `fake_aws`."""
    return fake_aws.run_instance()


@pytest.fixture(scope="session")
def _fake_gce_server(tmp_path_factory: pytest.TempPathFactory) -> "Generator[FakeGce]":
    try:
        from cloudcrypt_testing.fake_gce import FakeGce  # noqa: PLC0415 - the user may lack it
    except ImportError as error:
        raise pytest.UsageError(_REMEDY.format("fake_gce", "gcp", error)) from error
    with FakeGce(tmp_path_factory.mktemp("fake-gce")) as gce:
        yield gce


@pytest.fixture
def fake_gce(_fake_gce_server: "FakeGce", fake_clock: "FakeClock") -> "FakeGce":
    """A Google Compute Engine of this test's own, empty, on loopback and on `fake_clock`."""
    from cloudcrypt_testing.fake_gce import Timings  # noqa: PLC0415 - as above

    _fake_gce_server.reset(clock=fake_clock, timings=Timings())
    return _fake_gce_server


@pytest.fixture
def fake_gce_instance(fake_gce: "FakeGce") -> str:
    """A running VM of `fake_gce`, as ``ZONE/NAME``."""
    return fake_gce.run_instance()


@pytest.fixture(scope="session")
def _fake_azure_server(tmp_path_factory: pytest.TempPathFactory) -> "Generator[FakeAzure]":
    try:
        from cloudcrypt_testing.fake_azure import FakeAzure  # noqa: PLC0415 - the user may lack it
    except ImportError as error:
        raise pytest.UsageError(_REMEDY.format("fake_azure", "azure", error)) from error
    with FakeAzure(tmp_path_factory.mktemp("fake-azure")) as azure:
        yield azure


@pytest.fixture
def fake_azure(_fake_azure_server: "FakeAzure", fake_clock: "FakeClock") -> "FakeAzure":
    """An Azure subscription of this test's own, empty, on loopback and on `fake_clock`."""
    from cloudcrypt_testing.fake_azure import Timings  # noqa: PLC0415 - as above

    _fake_azure_server.reset(clock=fake_clock, timings=Timings())
    return _fake_azure_server


@pytest.fixture
def fake_azure_instance(fake_azure: "FakeAzure") -> str:
    """A running VM of `fake_azure`, as ``GROUP/NAME``."""
    return fake_azure.run_instance()
