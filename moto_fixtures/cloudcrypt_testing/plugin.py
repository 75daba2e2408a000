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
    from cloudcrypt_testing.world.clock import FakeClock

_REMEDY = 'fake_aws needs boto3 and moto: pip install "cloudcrypt[aws,testing]"'


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
        raise pytest.UsageError(f"{_REMEDY} ({error})") from error
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
