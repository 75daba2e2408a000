"""Attaching volumes of AWS: one holder, one name, and proof."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import attrs
import pytest

from cloudcrypt.errors import (
    AttachmentLimit,
    InvalidRequest,
    NotFound,
    OperationCancelled,
    ProviderUnavailable,
    RequestRejected,
    WrongVolumeState,
)
from cloudcrypt.model import Blank, DeviceName, NvmeSerial, VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import AttachVolume, DetachVolume, perform
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import Exchange, FakeAws
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.aws_given import (
    GONE,
    OTHER_ZONE,
    attached,
    created,
    ebs,
    hooked,
    opened,
    together,
    within,
)


@pytest.fixture
def provider(fake_aws: FakeAws) -> Iterator[AwsProvider]:
    with_url = opened(fake_aws)
    yield with_url
    with_url.close()


@pytest.fixture
def instance(fake_aws: FakeAws) -> str:
    return fake_aws.run_instance()


DEDICATED: Final = "m7i.large"
"""A type of instance whose limit is for volumes alone."""


def devices(aws: FakeAws) -> list[str]:
    """Return the device names that were asked for, in order."""
    return [one.parameters["Device"] for one in aws.requests if one.action == "AttachVolume"]


def test_a_volume_on_nitro_is_known_by_its_serial_number(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    attachment = attached(provider, volume, instance)
    serial = ebs(volume.id).replace("-", "")
    assert attachment.identity == NvmeSerial(serial, "Amazon Elastic Block Store")
    assert (attachment.size, attachment.origin) == (2 * GIB, Blank())
    shown = fake_aws.node(instance).devices.values()
    assert serial in {device.attributes["serial"].strip() for device in shown}


def test_a_volume_on_xen_is_known_by_the_name_of_its_device(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    instance = fake_aws.run_instance(kind="t2.micro")
    attachment = attached(provider, created(provider), instance)
    assert attachment.identity == DeviceName(devices(fake_aws)[0])


def test_the_name_of_a_volume_that_was_detached_is_not_used_for_the_next_one(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    for _ in range(5):
        attached(provider, volume, instance)
        perform(provider, DetachVolume("detach", volume.id, instance))
        fake_aws.clock.advance(100)
    assert len(set(devices(fake_aws))) == 5


def test_another_process_does_not_use_the_same_name_again(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    attached(provider, volume, instance)
    perform(provider, DetachVolume("detach", volume.id, instance))
    attached(opened(fake_aws), volume, instance)
    assert len(set(devices(fake_aws))) == 2


def test_names_that_the_image_of_the_instance_uses_are_avoided_from_then_on(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    attached(opened(fake_aws), created(provider, "first"), instance)
    used = devices(fake_aws)[0]
    for number in range(4):
        fake_aws.occupy_name(instance, f"/dev/xvd{used[-2]}{chr(ord(used[-1]) + 1 + number)}")
    attached(provider, created(provider, "second"), instance)
    asked = devices(fake_aws)
    fake_aws.requests.clear()
    attached(provider, created(provider, "third"), instance)
    assert len(devices(fake_aws)) == 1
    assert not set(devices(fake_aws)) & set(asked)


def test_an_instance_of_which_every_name_is_in_use_is_given_up(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    with (
        hooked(fake_aws, lambda exchange: _occupy(fake_aws, exchange)),
        pytest.raises(RequestRejected) as caught,
    ):
        attached(provider, volume, instance)
    assert caught.value.answer is not None
    assert "already in use" in caught.value.answer.message
    assert len(devices(fake_aws)) == 10


def _occupy(aws: FakeAws, exchange: Exchange) -> None:
    if exchange.call.action == "AttachVolume":
        aws.occupy_name(exchange.call.parameters["InstanceId"], exchange.call.parameters["Device"])


def test_twenty_volumes_go_to_one_instance_at_once(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volumes = [created(provider, f"volume-{n}") for n in range(20)]
    fake_aws.requests.clear()
    attachments = together([partial(attached, provider, one, instance) for one in volumes])
    assert {one.volume_id for one in attachments} == {volume.id for volume in volumes}
    assert len(set(devices(fake_aws))) == len(devices(fake_aws)) == 20
    assert all(provider.get(volume.id).holders == (instance,) for volume in volumes)


def test_attaching_again_asks_for_nothing(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    first = attached(provider, volume, instance)
    assert attached(opened(fake_aws), volume, instance) == first
    assert fake_aws.requests.count("AttachVolume") == 1


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(503)])
def test_a_reply_that_is_lost_is_cleared_up_by_a_look(
    provider: AwsProvider,
    fake_aws: FakeAws,
    instance: str,
    fault: ReplyLost | ConnectionLost | ServerError,
) -> None:
    volume = created(provider)
    fake_aws.faults.add(fault, on="AttachVolume")
    attached(provider, volume, instance)
    assert provider.get(volume.id).holders == (instance,)


def test_a_reply_that_is_lost_and_shows_late_is_still_one_attachment(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    fake_aws.faults.add(ReplyLost(), on="AttachVolume")
    fake_aws.faults.add(StaleRead(), on="Describe*", occurrence=2, times=2)
    attached(provider, volume, instance)
    assert fake_aws.requests.count("AttachVolume") == 2
    assert provider.get(volume.id).holders == (instance,)


def test_while_ec2_cannot_be_reached_its_last_error_is_kept(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    fake_aws.faults.add(ServerError(503), on="AttachVolume", times=None)
    intent = AttachVolume("attach", volume.id, instance)
    with pytest.raises(ProviderUnavailable) as caught:
        provider.begin(intent, deadline=within(fake_aws, 20))
    assert caught.value.cloud_code == "Unavailable"
    assert provider.find(intent) is None


@pytest.mark.parametrize("limit", [1, 2])
def test_an_instance_that_is_full_says_its_limit(
    provider: AwsProvider, fake_aws: FakeAws, instance: str, limit: int
) -> None:
    fake_aws.limit_attachments(instance, limit)  # the root disk is one
    for number in range(1, limit):
        attached(provider, created(provider, f"volume-{number}"), instance)
    with pytest.raises(AttachmentLimit) as caught:
        attached(provider, created(provider), instance)
    assert caught.value.limit == provider.attachment_limit(instance)
    assert caught.value.cloud_code == "AttachmentLimitExceeded"


def test_an_instance_that_is_full_is_told_also_where_the_limit_is_not(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    fake_aws.limit_attachments(instance, 1)
    fake_aws.faults.add(Refused("UnauthorizedOperation"), on="DescribeInstanceTypes")
    with pytest.raises(AttachmentLimit) as caught:
        attached(provider, created(provider), instance)
    assert caught.value.limit is None


def test_the_limit_of_an_instance_is_less_what_shares_it(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    shared = fake_aws.run_instance(kind="m5.large")
    answer = fake_aws.client().describe_instance_types(InstanceTypes=["m5.large"])
    ebs_of = answer["InstanceTypes"][0].get("EbsInfo", {})
    most = ebs_of.get("MaximumEbsAttachments", 0)
    assert ebs_of.get("AttachmentLimitType") == "shared"
    assert provider.attachment_limit(shared) == most - 1  # one network interface


def test_the_limit_of_an_instance_that_shares_it_with_nothing_is_that_of_its_type(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    dedicated = fake_aws.run_instance(kind=DEDICATED)
    answer = fake_aws.client().describe_instance_types(InstanceTypes=[DEDICATED])
    ebs_of = answer["InstanceTypes"][0].get("EbsInfo", {})
    assert ebs_of.get("AttachmentLimitType") == "dedicated"
    assert provider.attachment_limit(dedicated) == ebs_of.get("MaximumEbsAttachments")


def test_the_limit_of_an_unknown_instance_is_not_found(provider: AwsProvider) -> None:
    with pytest.raises(NotFound):
        provider.attachment_limit("i-0123456789abcdef0")


def test_an_instance_that_does_not_exist_is_not_found(provider: AwsProvider) -> None:
    with pytest.raises(NotFound) as caught:
        attached(provider, created(provider), "i-0123456789abcdef0")
    assert caught.value.kind == "instance"


def test_an_instance_that_was_terminated_is_not_found(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    fake_aws.client().terminate_instances(InstanceIds=[instance])
    with pytest.raises(NotFound) as caught:
        attached(provider, volume, instance)
    assert caught.value.kind == "instance"


@pytest.mark.parametrize("instance_id", ["contract-a", "i-", "i-XYZ", "i-0123456789abcdef01"])
def test_what_is_no_instance_id_is_refused(provider: AwsProvider, instance_id: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(AttachVolume("attach", GONE, instance_id))
    assert caught.value.parameter == "instance"


def test_a_volume_of_another_zone_is_rejected(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider, place=OTHER_ZONE)
    with pytest.raises(RequestRejected) as caught:
        attached(provider, volume, instance)
    assert caught.value.cloud_code == "InvalidVolume.ZoneMismatch"
    assert len(devices(fake_aws)) == 1


def test_a_shared_volume_has_several_holders(provider: AwsProvider, fake_aws: FakeAws) -> None:
    volume = created(provider, multi_attach=True, iops=100, size=4 * GIB)
    instances = [fake_aws.run_instance() for _ in range(3)]
    for one in instances:
        attached(provider, volume, one)
    shared = provider.get(volume.id)
    assert (shared.state, set(shared.holders)) == (VolumeState.ATTACHED, set(instances))
    assert attached(provider, volume, instances[0]).instance == instances[0]
    freed = perform(provider, DetachVolume("detach", volume.id, instances[0]))
    assert set(freed.holders) == set(instances[1:])
    assert perform(provider, DetachVolume("detach", volume.id, instances[0])) == freed


def test_a_cancelled_wait_leaves_the_attachment_to_come_about(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume, cancellation = created(provider), Cancellation()
    handle = provider.begin(AttachVolume("attach", volume.id, instance))
    cancellation.cancel()
    until = Deadline.after(60, clock=fake_aws.clock, cancellation=cancellation)
    with pytest.raises(OperationCancelled):
        provider.resume(handle, deadline=until)
    assert provider.resume(handle).instance == instance


def test_an_instance_whose_state_forbids_it_is_waited_for_and_then_told(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    fake_aws.faults.add(Refused("IncorrectInstanceState"), on="AttachVolume", times=2)
    assert attached(provider, volume, instance).instance == instance
    other = created(provider, "other")
    fake_aws.faults.add(Refused("IncorrectInstanceState"), on="AttachVolume", times=None)
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(AttachVolume("attach", other.id, instance), deadline=within(fake_aws, 10))
    assert caught.value.cloud_code == "IncorrectInstanceState"
    assert "instance" in caught.value.state


def test_the_cloud_is_asked_little_for_each_attachment(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    attached(provider, created(provider, "warm-up"), instance)
    volume = created(provider)
    fake_aws.requests.clear()
    attached(provider, volume, instance)
    assert fake_aws.requests.actions == [
        "DescribeInstances",
        "AttachVolume",
        "DescribeVolumes",
        "DescribeVolumes",
        "DescribeVolumes",
        "DescribeInstances",
    ]


def test_a_deadline_of_the_host_is_on_the_clock_of_the_provider(
    provider: AwsProvider, instance: str
) -> None:
    intent = AttachVolume("attach", created(provider).id, instance)
    assert perform(provider, intent, timeout=60).instance == instance


def test_an_attachment_survives_its_volume_growing(
    provider: AwsProvider, fake_aws: FakeAws, instance: str
) -> None:
    volume = created(provider)
    attachment = attached(provider, volume, instance)
    fake_aws.client().modify_volume(VolumeId=ebs(volume.id), Size=5)
    fake_aws.clock.advance(30)
    assert attached(provider, volume, instance) == attrs.evolve(attachment, size=5 * GIB)
