"""Detaching volumes of AWS: never by force unless that is asked for."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    CloudRefused,
    DetachBlocked,
    NotFound,
    OperationFailed,
    OperationPending,
    ProviderUnavailable,
    WrongVolumeState,
)
from cloudcrypt.model import Volume, VolumeState
from cloudcrypt.spi import DetachVolume, Handle, perform
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.aws_given import GONE, attached, created, ebs, opened, passed, within


@pytest.fixture
def provider(fake_aws: FakeAws) -> Iterator[AwsProvider]:
    with_url = opened(fake_aws)
    yield with_url
    with_url.close()


@pytest.fixture
def instance(fake_aws: FakeAws) -> str:
    return fake_aws.run_instance()


@pytest.fixture
def volume(provider: AwsProvider, instance: str) -> Volume:
    """Return an attached volume."""
    volume = created(provider)
    attached(provider, volume, instance)
    return volume


@pytest.fixture
def detach(volume: Volume, instance: str) -> DetachVolume:
    return DetachVolume("detach", volume.id, instance)


def forced(aws: FakeAws) -> list[bool]:
    """Return whether each DetachVolume was by force."""
    return ["Force" in one.parameters for one in aws.requests if one.action == "DetachVolume"]


def test_instance_and_device_are_always_named_and_force_never(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    perform(provider, detach)
    (asked,) = [one.parameters for one in fake_aws.requests if one.action == "DetachVolume"]
    assert asked["InstanceId"] == detach.instance
    assert asked["Device"].startswith("/dev/xvd")
    assert forced(fake_aws) == [False]


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500)])
def test_a_reply_that_is_lost_is_cleared_up_by_a_look(
    provider: AwsProvider,
    fake_aws: FakeAws,
    detach: DetachVolume,
    fault: ReplyLost | ConnectionLost | ServerError,
) -> None:
    fake_aws.faults.add(fault, on="DetachVolume")
    assert perform(provider, detach).holders == ()


def test_an_incorrect_state_of_a_volume_that_is_detached_is_success(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    perform(provider, detach)
    fake_aws.faults.add(StaleRead(4), on="DescribeVolumes")
    # The look is stale, so EC2 is asked, and says IncorrectState. The next look tells why.
    assert perform(provider, detach).holders == ()


def test_an_incorrect_state_of_a_volume_that_stays_attached_is_told_at_the_deadline(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.faults.add(Refused("IncorrectState"), on="DetachVolume", times=None)
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(detach, deadline=within(fake_aws, 20))
    assert caught.value.cloud_code == "IncorrectState"


def test_ec2_out_of_reach_is_told_at_the_deadline(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.faults.add(ServerError(503), on="DetachVolume", times=None)
    with pytest.raises(ProviderUnavailable):
        provider.begin(detach, deadline=within(fake_aws, 20))
    assert provider.find(detach) is None


def test_a_volume_that_the_instance_still_uses_is_told_with_its_age_and_not_forced(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.hold(ebs(detach.volume_id))
    with pytest.raises(DetachBlocked) as caught:
        perform(provider, detach)
    assert 90 <= caught.value.seconds < 110
    assert forced(fake_aws) == [False]
    assert provider.get(detach.volume_id).holders == (detach.instance,)


def test_another_process_knows_how_long_it_has_been_blocked(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.hold(ebs(detach.volume_id))
    handle = provider.begin(detach)
    fake_aws.clock.advance(600)
    with pytest.raises(DetachBlocked) as caught:
        opened(fake_aws).resume(Handle(detach, handle.reference))
    assert caught.value.seconds == pytest.approx(600)


def test_at_the_deadline_a_busy_volume_is_blocked_and_a_detaching_one_is_pending(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    handle = provider.begin(detach)
    with pytest.raises(OperationPending):
        opened(fake_aws).resume(handle, deadline=passed(fake_aws))
    provider.resume(handle)
    attached(provider, provider.get(detach.volume_id), detach.instance)
    fake_aws.hold(ebs(detach.volume_id))
    with pytest.raises(DetachBlocked):
        perform(provider, detach, deadline=within(fake_aws, 10))


def test_a_volume_that_is_let_go_meanwhile_is_detached(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.hold(ebs(detach.volume_id))
    handle = provider.begin(detach)
    fake_aws.release(ebs(detach.volume_id))
    assert provider.resume(handle).state is VolumeState.AVAILABLE


def test_a_detachment_that_is_under_way_is_not_asked_for_again(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.hold(ebs(detach.volume_id))
    provider.begin(detach)
    other = opened(fake_aws)
    other.begin(detach)
    assert other.find(detach) is not None
    assert forced(fake_aws) == [False]


def test_force_is_used_where_it_is_asked_for(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.hold(ebs(detach.volume_id))
    provider.begin(detach)
    volume = perform(provider, DetachVolume("force", detach.volume_id, detach.instance, force=True))
    assert volume.holders == ()
    assert forced(fake_aws) == [False, True]


def test_a_lost_reply_to_force_is_followed_by_force(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.hold(ebs(detach.volume_id))
    fake_aws.faults.add(ConnectionLost(), on="DetachVolume")
    perform(provider, DetachVolume("force", detach.volume_id, detach.instance, force=True))
    assert forced(fake_aws) == [True, True]


def test_a_volume_that_nobody_holds_is_detached(provider: AwsProvider, instance: str) -> None:
    volume = created(provider)
    assert perform(provider, DetachVolume("detach", volume.id, instance)) == volume


def test_a_look_that_is_old_does_not_pass_for_a_detachment(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes")
    assert perform(provider, detach).holders == ()
    assert fake_aws.volumes()[ebs(detach.volume_id)].attachments == ()


def test_another_holder_is_named(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    other = fake_aws.run_instance()
    with pytest.raises(AttachedElsewhere) as caught:
        provider.begin(DetachVolume("detach", detach.volume_id, other))
    assert caught.value.holder == detach.instance


def test_a_volume_that_does_not_exist_is_not_found(provider: AwsProvider, instance: str) -> None:
    intent = DetachVolume("detach", GONE, instance)
    with pytest.raises(NotFound):
        provider.begin(intent)
    assert provider.find(intent) is None


def test_a_detachment_that_shows_late_is_found_by_who_takes_the_time(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    provider.begin(detach)
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=2)
    assert opened(fake_aws).find(detach) is not None
    perform(provider, detach)
    attached(provider, provider.get(detach.volume_id), detach.instance)
    with pytest.raises(OperationPending):
        provider.find(detach, deadline=passed(fake_aws))


def test_a_volume_that_does_not_show_for_a_moment_is_detached(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.faults.add(ReplyLost(), on="DetachVolume")
    fake_aws.faults.add(StaleRead(9), on="DescribeVolumes", occurrence=2, times=3)
    assert perform(provider, detach).holders == ()


def test_a_detachment_is_found_when_it_is_done(provider: AwsProvider, detach: DetachVolume) -> None:
    assert provider.find(detach) is None
    perform(provider, detach)
    handle = provider.find(detach)
    assert handle is not None
    assert provider.resume(handle).holders == ()


def test_a_volume_that_is_attached_again_since_was_not_detached(
    provider: AwsProvider, detach: DetachVolume
) -> None:
    handle = provider.begin(detach)
    volume = provider.resume(handle)
    attached(provider, volume, detach.instance)
    with pytest.raises(OperationFailed) as caught:
        provider.resume(handle)
    assert detach.instance in caught.value.reason


def test_a_root_disk_is_refused_by_ec2(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    (root,) = fake_aws.volumes(roots=True)
    with pytest.raises(CloudRefused) as caught:
        provider.begin(DetachVolume("detach", f"aws:eu-central-1/{root}", instance))
    assert caught.value.cloud_code == "OperationNotPermitted"


def test_a_volume_of_an_instance_that_is_terminated_is_detached(
    provider: AwsProvider, fake_aws: FakeAws, detach: DetachVolume
) -> None:
    fake_aws.client().terminate_instances(InstanceIds=[detach.instance])
    fake_aws.clock.advance(60)
    assert perform(provider, detach).holders == ()
