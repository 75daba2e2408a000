"""Requests to EC2: how often, how long, and with whose credentials."""

from collections.abc import Iterator
from typing import Any

import boto3
import botocore.config
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from cloudcrypt.errors import (
    AccessDenied,
    CredentialsRefused,
    InvalidRequest,
    OperationCancelled,
    ProviderUnavailable,
    Throttled,
)
from cloudcrypt.spi import DeleteVolume, perform
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import Refused
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.aws_given import REGION, created, opened, wanted, within


@pytest.fixture
def provider(fake_aws: FakeAws) -> Iterator[AwsProvider]:
    with_url = opened(fake_aws)
    yield with_url
    with_url.close()


def test_botocore_tries_nothing_again_and_says_who_asks(provider: AwsProvider) -> None:
    config: botocore.config.Config = provider._api._client.meta.config
    assert getattr(config, "retries")["total_max_attempts"] == 1  # noqa: B009 - has no types
    assert "cloudcrypt/" in str(getattr(config, "user_agent_extra"))  # noqa: B009 - as above


def test_throttled_requests_are_sent_again_and_slower(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.throttle("CreateVolume", burst=2, rate=1)
    for number in range(10):
        created(provider, f"volume-{number}")
    assert len(fake_aws.volumes()) == 10


def test_one_throttled_family_does_not_slow_down_the_others(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.faults.add(Throttling(), on="CreateVolume", times=3)
    created(provider)
    rates = {name: family.bucket.rate for name, family in provider._api._families.items()}
    assert {name for name, rate in rates.items() if rate != float("inf")} == {"create"}


def test_the_last_word_of_ec2_is_kept_when_it_throttles(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.faults.add(Throttling(), on="CreateVolume", times=None)
    with pytest.raises(Throttled) as caught:
        provider.begin(wanted(), deadline=within(fake_aws, 30))
    assert caught.value.cloud_code == "RequestLimitExceeded"
    # The bucket is empty now: nothing is sent before the deadline, and the reason is still told.
    fake_aws.requests.clear()
    with pytest.raises(Throttled) as again:
        provider.begin(wanted("other"), deadline=within(fake_aws, 0.01))
    assert again.value.cloud_code == "RequestLimitExceeded"
    assert fake_aws.requests.count("CreateVolume") == 0


def test_no_permission_names_the_action_and_is_not_tried_again(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.faults.add(Refused("UnauthorizedOperation", status=403), on="CreateVolume")
    with pytest.raises(AccessDenied) as caught:
        provider.begin(wanted())
    assert caught.value.operation == "CreateVolume"
    assert fake_aws.requests.count("CreateVolume") == 1


def test_without_credentials_that_is_what_is_told(
    fake_aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    provider = AwsProvider(REGION, endpoint=fake_aws.endpoint, clock=fake_aws.clock)
    with pytest.raises(CredentialsRefused) as caught:
        provider.get(f"aws:{REGION}/vol-0123456789abcdef0")
    assert caught.value.provider == provider.url


def test_half_of_the_credentials_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    with pytest.raises(CredentialsRefused):
        AwsProvider(REGION)


def test_an_endpoint_of_the_environment_is_used(
    fake_aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", fake_aws.endpoint)
    provider = AwsProvider(
        REGION, session=fake_aws.session(), zone=f"{REGION}a", clock=fake_aws.clock
    )
    assert created(provider).name == "data"
    assert "endpoint" not in provider.url


def test_a_configuration_that_cannot_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = tmp_path_factory.mktemp("aws") / "config"
    config.write_text("not a configuration")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(InvalidRequest, match="configuration"):
        AwsProvider(REGION)


def test_a_host_that_does_not_answer_is_unavailability(fake_aws: FakeAws) -> None:
    provider = AwsProvider(
        REGION, session=fake_aws.session(), endpoint="http://127.0.0.1:9", clock=fake_aws.clock
    )
    with pytest.raises(ProviderUnavailable) as caught:
        provider.get(f"aws:{REGION}/vol-0123456789abcdef0")
    assert "DescribeVolumes" in caught.value.reason


def test_an_answer_that_is_not_of_ec2_is_unavailability(fake_aws: FakeAws) -> None:
    def proxy(**_: object) -> Any:
        return AWSResponse("http://proxy", 200, HTTPHeaders(), _Body())

    session: boto3.Session = fake_aws.session()
    provider = AwsProvider(REGION, session=session, endpoint="http://proxy", clock=fake_aws.clock)
    provider._api._client.meta.events.register("before-send.ec2", proxy)
    with pytest.raises(ProviderUnavailable):
        provider.get(f"aws:{REGION}/vol-0123456789abcdef0")


class _Body:
    """What a captive portal answers."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield b"<html>please log in"


def test_a_cancelled_caller_asks_nothing(provider: AwsProvider, fake_aws: FakeAws) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    until = Deadline.after(60, clock=fake_aws.clock, cancellation=cancellation)
    with pytest.raises(OperationCancelled):
        provider.begin(wanted(), deadline=until)
    assert len(fake_aws.requests) == 0


def test_closing_twice_is_closing_once(provider: AwsProvider) -> None:
    provider.close()
    provider.close()


def test_capabilities_are_those_of_the_documents(provider: AwsProvider) -> None:
    offered = provider.capabilities
    assert (offered.size_unit, offered.size_max) == (2**30, 64 * 2**40)
    assert {kind.name for kind in offered.types if kind.multi_attach} == {"io1", "io2"}
    assert not offered.remembers_tokens


def test_a_deletion_that_is_throttled_is_tried_again(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    volume = created(provider)
    fake_aws.faults.add(Throttling(), on="DeleteVolume", times=2)
    perform(provider, DeleteVolume("d", volume.id))
    assert fake_aws.volumes() == {}
