"""Where an attachment of AWS can be: elsewhere, on its way, stuck, gone."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    AttachStuck,
    NotFound,
    OperationPending,
    WrongVolumeState,
)
from cloudcrypt.spi import AttachVolume, DeleteVolume, DetachVolume, perform
from cloudcrypt_aws import AwsProvider
from cloudcrypt_aws._waits import GRACE
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import Refused, ReplyLost, ServerError, StaleRead
from tests.unit.aws_given import (
    REGION,
    attached,
    created,
    ebs,
    opened,
    passed,
    wanted,
)


@pytest.fixture
def provider(fake_aws: FakeAws) -> Iterator[AwsProvider]:
    with_url = opened(fake_aws)
    yield with_url
    with_url.close()


@pytest.fixture
def instance(fake_aws: FakeAws) -> str:
    return fake_aws.run_instance()


@pytest.mark.parametrize("moment", [0.0, 60.0])
def test_a_volume_of_another_instance_names_its_holder(
    provider: AwsProvider, fake_aws: FakeAws, instance: str, moment: float
) -> None:
    volume = created(provider)
    provider.begin(AttachVolume("attach", volume.id, instance))
    fake_aws.clock.advance(moment)
    with pytest.raises(AttachedElsewhere) as caught:
        attached(provider, volume, fake_aws.run_instance())
    assert caught.value.holder == instance
    assert caught.value.cloud_code == "VolumeInUse"


def test_a_volume_that_is_leaving_another_instance_is_waited_for(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    attached(provider, volume, instance)
    provider.begin(DetachVolume("detach", volume.id, instance))
    other = fake_aws.run_instance()
    assert attached(provider, volume, other).instance == other


def test_a_volume_that_is_leaving_the_same_instance_is_waited_for(
    provider: AwsProvider, instance: str
) -> None:
    volume = created(provider)
    attached(provider, volume, instance)
    provider.begin(DetachVolume("detach", volume.id, instance))
    assert attached(provider, volume, instance).instance == instance


def test_a_volume_that_another_instance_does_not_let_go_is_attached_elsewhere(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    attached(provider, volume, instance)
    fake_aws.hold(ebs(volume.id))
    provider.begin(DetachVolume("detach", volume.id, instance))
    with pytest.raises(AttachedElsewhere):
        attached(provider, volume, fake_aws.run_instance())


def test_a_volume_that_is_still_being_created_is_waited_for(
    provider: AwsProvider, instance: str
) -> None:
    handle = provider.begin(wanted())
    intent = AttachVolume("attach", f"aws:{REGION}/{handle.reference}", instance)
    assert perform(provider, intent).instance == instance


def test_a_volume_that_cannot_be_attached_until_the_deadline_says_its_state(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    handle = provider.begin(wanted())
    intent = AttachVolume("attach", f"aws:{REGION}/{handle.reference}", instance)
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(intent, deadline=passed(fake_aws))
    assert caught.value.state == "creating"
    assert caught.value.cloud_code == "IncorrectState"


def test_a_volume_that_failed_to_be_created_is_not_waited_for(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    fake_aws.fail_next_creation()
    handle = provider.begin(wanted())
    fake_aws.clock.advance(10)
    began = fake_aws.clock.monotonic()
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(AttachVolume("attach", f"aws:{REGION}/{handle.reference}", instance))
    assert caught.value.state == "error"
    assert fake_aws.clock.monotonic() == began


def test_attaching_for_too_long_is_told_with_its_age(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    fake_aws.stick(ebs(volume.id))
    with pytest.raises(AttachStuck) as caught:
        attached(provider, volume, instance)
    assert 90 <= caught.value.seconds < 110
    assert provider.get(volume.id).holders == (instance,)
    fake_aws.clock.advance(1000)  # whoever comes later sees the same age, and at once
    handle = opened(fake_aws).find(AttachVolume("attach", volume.id, instance))
    assert handle is not None
    with pytest.raises(AttachStuck) as again:
        opened(fake_aws).resume(handle)
    assert again.value.seconds == caught.value.seconds + 1000


def test_how_long_is_too_long_is_up_to_the_caller(fake_aws: FakeAws, instance: str) -> None:
    provider = opened(fake_aws, stuck_after=5.0)
    volume = created(provider)
    fake_aws.stick(ebs(volume.id))
    with pytest.raises(AttachStuck) as caught:
        attached(provider, volume, instance)
    assert caught.value.seconds < 10


def test_at_the_deadline_attaching_is_pending(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    handle = provider.begin(AttachVolume("attach", volume.id, instance))
    with pytest.raises(OperationPending) as caught:
        opened(fake_aws).resume(handle, deadline=passed(fake_aws))
    assert caught.value.state == "attaching"


def test_an_attachment_that_shows_late_is_waited_for(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    handle = provider.begin(AttachVolume("attach", volume.id, instance))
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=3)
    assert provider.resume(handle).instance == instance


def test_a_volume_that_a_look_does_not_show_is_there_unless_ec2_denies_it(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    fake_aws.faults.add(ReplyLost(), on="AttachVolume")
    fake_aws.faults.add(StaleRead(2), on="DescribeVolumes", times=3)
    assert attached(provider, volume, instance).instance == instance
    fake_aws.clock.advance(60)
    fake_aws.faults.add(Refused("InvalidVolume.NotFound"), on="AttachVolume")
    with pytest.raises(NotFound):
        attached(provider, created(provider, "other"), instance)


def test_a_volume_that_stays_away_after_a_lost_answer_is_gone(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    fake_aws.faults.add(ServerError(503), on="AttachVolume", times=None)
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=None)
    began = fake_aws.clock.monotonic()
    with pytest.raises(NotFound):
        attached(provider, volume, instance)
    assert fake_aws.clock.monotonic() - began >= GRACE


def test_whoever_looks_after_an_hour_waits_as_long_for_what_shows_late(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    handle = provider.begin(AttachVolume("attach", volume.id, instance))
    provider.resume(handle)
    perform(provider, DetachVolume("detach", volume.id, instance))
    with pytest.raises(NotFound):
        provider.resume(handle)
    fake_aws.clock.advance(3600)
    again = provider.begin(AttachVolume("again", volume.id, instance))
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes")
    assert provider.resume(again).instance == instance


def test_an_attachment_is_proven_by_what_the_instance_shows(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    handle = provider.begin(AttachVolume("attach", volume.id, instance))
    fake_aws.requests.clear()
    fake_aws.faults.add(StaleRead(), on="DescribeInstances", times=2)
    provider.resume(handle)
    assert fake_aws.requests.count("DescribeInstances") >= 1


def test_an_attachment_that_is_gone_since_is_not_found(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    handle = provider.begin(AttachVolume("attach", volume.id, instance))
    provider.resume(handle)
    perform(provider, DetachVolume("detach", volume.id, instance))
    with pytest.raises(NotFound) as caught:
        provider.resume(handle)
    assert caught.value.kind == "attachment"


def test_an_attachment_that_moved_since_names_the_new_holder(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    handle = provider.begin(AttachVolume("attach", volume.id, instance))
    provider.resume(handle)
    perform(provider, DetachVolume("detach", volume.id, instance))
    other = fake_aws.run_instance()
    attached(provider, volume, other)
    with pytest.raises(AttachedElsewhere) as caught:
        provider.resume(handle)
    assert caught.value.holder == other


def test_an_attachment_that_is_being_undone_is_no_success(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    handle = provider.begin(AttachVolume("attach", volume.id, instance))
    provider.resume(handle)
    provider.begin(DetachVolume("detach", volume.id, instance))
    with pytest.raises(WrongVolumeState) as caught:
        opened(fake_aws).resume(handle)
    assert caught.value.state == "detaching"
    assert provider.find(handle.intent) is None


def test_a_volume_that_is_deleted_since_is_not_found(provider: AwsProvider, instance: str) -> None:
    volume = created(provider)
    handle = provider.begin(AttachVolume("attach", volume.id, instance))
    provider.resume(handle)
    perform(provider, DetachVolume("detach", volume.id, instance))
    perform(provider, DeleteVolume("delete", volume.id))
    with pytest.raises(NotFound) as caught:
        provider.resume(handle)
    assert caught.value.kind == "volume"
    with pytest.raises(NotFound):
        provider.begin(handle.intent)
    assert provider.find(handle.intent) is None
