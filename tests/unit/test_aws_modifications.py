"""Changing volumes of AWS: in one request, and none for what is so already."""

import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    ModificationLimited,
    NotFound,
    OperationFailed,
    OperationPending,
    ProviderUnavailable,
    QuotaExceeded,
    RequestRejected,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.sizes import GIB, MIB
from cloudcrypt.spi import DeleteVolume, Handle, ModifyVolume, ResizeVolume, perform
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import ConnectionLost, Refused, ReplyLost, StaleRead
from tests.unit.aws_given import GONE, created, ebs, opened, passed, within


@pytest.fixture
def provider(fake_aws: FakeAws) -> Iterator[AwsProvider]:
    with_url = opened(fake_aws)
    yield with_url
    with_url.close()


@pytest.fixture
def volume(provider: AwsProvider) -> Volume:
    return created(provider, size=100 * GIB)


def changes(aws: FakeAws, volume: Volume) -> list[str]:
    """Return the states of all modifications of ``volume``."""
    return [one.state for one in aws.modifications(ebs(volume.id))]


def test_all_that_changes_goes_in_one_request(provider: AwsProvider, fake_aws: FakeAws) -> None:
    volume = created(provider, kind="gp2", size=100 * GIB)
    intent = ModifyVolume("m", volume.id, 200 * GIB - 1, "gp3", 5000, 300 * MIB - 1)
    changed = perform(provider, intent)
    assert (changed.size, changed.kind) == (200 * GIB, "gp3")
    assert (changed.iops, changed.throughput) == (5000, 300 * MIB)
    assert changes(fake_aws, volume) == ["optimizing"]


def test_what_a_volume_is_already_is_not_asked_for(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    intent = ModifyVolume("m", volume.id, volume.size, "gp3", 3000, 125 * MIB)
    assert perform(provider, intent) == volume
    assert perform(provider, ModifyVolume("n", volume.id)) == volume
    assert fake_aws.requests.count("ModifyVolume") == 0


def test_only_what_differs_is_asked_for(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    perform(provider, ModifyVolume("m", volume.id, volume.size, "gp3", 4000))
    (asked,) = [one.parameters for one in fake_aws.requests if one.action == "ModifyVolume"]
    assert "Size" not in asked
    assert "VolumeType" not in asked
    assert asked["Iops"] == "4000"


def test_a_new_size_is_used_while_ec2_optimizes(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    began = fake_aws.clock.monotonic()
    perform(provider, ResizeVolume("r", volume.id, 2 * volume.size))
    assert fake_aws.clock.monotonic() - began < 20
    assert changes(fake_aws, volume) == ["optimizing"]


def test_the_size_counts_that_the_volume_itself_shows(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    handle = provider.begin(ResizeVolume("r", volume.id, 2 * volume.size))
    fake_aws.clock.advance(10)
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=2)
    assert provider.resume(handle).size == 2 * volume.size
    assert fake_aws.requests.count("DescribeVolumesModifications") == 2


def test_the_fifth_change_in_a_day_is_told_with_the_time_of_the_next(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    began = fake_aws.clock.now()
    for number in range(1, 5):
        perform(provider, ResizeVolume(f"r{number}", volume.id, volume.size + number * GIB))
        fake_aws.clock.advance(100)
    with pytest.raises(ModificationLimited) as caught:
        provider.begin(ResizeVolume("r5", volume.id, volume.size + 5 * GIB))
    assert caught.value.next_allowed is not None
    assert abs(caught.value.next_allowed - began - timedelta(hours=24)) < timedelta(seconds=10)
    same = ResizeVolume("r6", volume.id, volume.size + 4 * GIB)
    assert perform(provider, same).size == same.size


def test_another_change_while_ec2_optimizes_has_to_wait(
    provider: AwsProvider, volume: Volume
) -> None:
    perform(provider, ResizeVolume("r", volume.id, 2 * volume.size))
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(ResizeVolume("s", volume.id, 3 * volume.size))
    assert (caught.value.state, caught.value.retryable) == ("optimizing", True)


def test_a_change_that_is_under_way_already_is_that_change(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    intent = ResizeVolume("r", volume.id, 2 * volume.size)
    first = provider.begin(intent)
    other = opened(fake_aws)
    assert other.begin(intent) == first
    assert other.find(intent) == first
    assert other.resume(first).size == 2 * volume.size
    assert changes(fake_aws, volume) == ["optimizing"]


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost()])
def test_a_reply_that_is_lost_does_not_cost_another_change(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume, fault: ReplyLost | ConnectionLost
) -> None:
    fake_aws.faults.add(fault, on="ModifyVolume")
    assert perform(provider, ResizeVolume("r", volume.id, 2 * volume.size)).size == 2 * volume.size
    assert changes(fake_aws, volume) == ["optimizing"]


def test_a_reply_that_is_lost_and_shows_late_does_not_cost_another_change(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    fake_aws.faults.add(ReplyLost(), on="ModifyVolume")
    fake_aws.faults.add(StaleRead(), on="DescribeVolumesModifications")
    perform(provider, ResizeVolume("r", volume.id, 2 * volume.size))
    assert changes(fake_aws, volume) == ["optimizing"]


def test_ec2_out_of_reach_is_told_at_the_deadline(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    fake_aws.faults.add(ConnectionLost(), on="ModifyVolume", times=None)
    with pytest.raises(ProviderUnavailable):
        provider.begin(ResizeVolume("r", volume.id, 2 * volume.size), deadline=within(fake_aws, 10))


def test_a_change_that_failed_is_told_and_another_token_tries_again(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    fake_aws.fail_next_modification()
    intent = ResizeVolume("r", volume.id, 2 * volume.size)
    handle = provider.begin(intent)
    with pytest.raises(OperationFailed):
        provider.resume(handle)
    assert provider.find(intent) is None
    assert perform(provider, ResizeVolume("s", volume.id, 2 * volume.size)).size > volume.size
    assert changes(fake_aws, volume) == ["failed", "optimizing"]


def test_a_change_that_failed_before_is_not_taken_for_the_one_after(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    fake_aws.fail_next_modification()
    with pytest.raises(OperationFailed):
        perform(provider, ResizeVolume("r", volume.id, 2 * volume.size))
    fake_aws.clock.advance(60)
    handle = provider.begin(ResizeVolume("s", volume.id, 2 * volume.size))
    fake_aws.faults.add(StaleRead(), on="DescribeVolumesModifications")
    assert provider.resume(handle).size == 2 * volume.size


def test_a_volume_that_something_else_changed_since_is_told(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    handle = provider.begin(ModifyVolume("m", volume.id, iops=4000))
    provider.resume(handle)
    fake_aws.clock.advance(100)
    perform(provider, ModifyVolume("n", volume.id, iops=5000))
    with pytest.raises(OperationFailed) as caught:
        provider.resume(handle)
    assert "Iops" in caught.value.reason


def test_a_resize_that_was_never_begun_is_not_finished(
    provider: AwsProvider, volume: Volume
) -> None:
    intent = ResizeVolume("r", volume.id, 2 * volume.size)
    assert provider.find(intent) is None
    with pytest.raises(OperationFailed):
        provider.resume(Handle(intent, ebs(volume.id)))


def test_at_the_deadline_a_change_is_pending(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    handle = provider.begin(ResizeVolume("r", volume.id, 2 * volume.size))
    with pytest.raises(OperationPending) as caught:
        opened(fake_aws).resume(handle, deadline=passed(fake_aws))
    assert caught.value.state == "modifying"


def test_a_volume_never_shrinks(provider: AwsProvider, fake_aws: FakeAws, volume: Volume) -> None:
    for intent in (
        ResizeVolume("r", volume.id, volume.size - 1),
        ModifyVolume("m", volume.id, volume.size - 1),
    ):
        with pytest.raises(InvalidRequest, match="never shrinks"):
            provider.begin(intent)
    assert fake_aws.requests.count("ModifyVolume") == 0


@pytest.mark.parametrize(
    ("intent", "parameter"),
    [
        (ModifyVolume("m", GONE, kind="gp2", iops=3000), "iops"),
        (ModifyVolume("m", GONE, kind="io2", iops=3000, throughput=MIB), "throughput"),
        (ModifyVolume("m", GONE, size=2**60), "size"),
    ],
)
def test_what_can_never_be_is_refused_without_a_request(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume, intent: ModifyVolume, parameter: str
) -> None:
    ours = ModifyVolume("m", volume.id, intent.size, intent.kind, intent.iops, intent.throughput)
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(ours)
    assert caught.value.parameter == parameter
    assert fake_aws.requests.count("ModifyVolume") == 0


def test_what_only_our_table_forbids_is_for_ec2_to_decide(
    provider: AwsProvider, volume: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cloudcrypt_aws"), pytest.raises(RequestRejected):
        provider.begin(ModifyVolume("m", volume.id, iops=90_000))
    assert "documented" in caplog.text


def test_a_type_that_we_do_not_know_is_for_ec2_to_judge(
    provider: AwsProvider, volume: Volume
) -> None:
    with pytest.raises(RequestRejected):
        provider.begin(ModifyVolume("m", volume.id, kind="gp4", iops=1))


def test_the_size_limit_of_all_modifications_is_a_quota(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    fake_aws.faults.add(Refused("VolumeModificationSizeLimitExceeded"), on="ModifyVolume")
    with pytest.raises(QuotaExceeded):
        provider.begin(ResizeVolume("r", volume.id, 2 * volume.size))


def test_a_state_that_forbids_changes_is_told(
    provider: AwsProvider, fake_aws: FakeAws, volume: Volume
) -> None:
    fake_aws.faults.add(Refused("IncorrectState"), on="ModifyVolume")
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(ResizeVolume("r", volume.id, 2 * volume.size))
    assert caught.value.cloud_code == "IncorrectState"


def test_a_volume_that_is_gone_is_not_found(provider: AwsProvider, volume: Volume) -> None:
    intent = ResizeVolume("r", volume.id, 2 * volume.size)
    handle = provider.begin(intent)
    provider.resume(handle)
    perform(provider, DeleteVolume("d", volume.id))
    for call in (lambda: provider.begin(intent), lambda: provider.resume(handle)):
        with pytest.raises(NotFound):
            call()
    assert provider.find(intent) is None
