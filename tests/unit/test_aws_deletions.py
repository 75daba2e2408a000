"""Deleting volumes and snapshots of AWS: until they are gone."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import (
    NotFound,
    OperationFailed,
    OperationPending,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.model import VolumeState
from cloudcrypt.spi import CreateSnapshot, DeleteSnapshot, DeleteVolume, Handle, Intent, perform
from cloudcrypt_aws import AwsProvider
from cloudcrypt_aws._waits import GRACE
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import Refused, ReplyLost, StaleRead
from tests.unit.aws_given import (
    GONE,
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


def test_a_deletion_is_over_when_the_volume_is_gone(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    volume = created(provider)
    handle = provider.begin(DeleteVolume("d", volume.id))
    assert provider.get(volume.id).state is VolumeState.DELETING
    with pytest.raises(OperationPending) as caught:
        opened(fake_aws).resume(handle, deadline=passed(fake_aws))
    assert caught.value.state == "deleting"
    provider.resume(handle)
    assert fake_aws.volumes() == {}


def test_a_reply_that_is_lost_is_asked_for_again(provider: AwsProvider, fake_aws: FakeAws) -> None:
    volume = created(provider)
    fake_aws.faults.add(ReplyLost(), on="DeleteVolume")
    perform(provider, DeleteVolume("d", volume.id))
    assert fake_aws.volumes() == {}


def test_what_is_gone_is_deleted(provider: AwsProvider) -> None:
    intent = DeleteVolume("d", GONE)
    perform(provider, intent)
    assert provider.find(intent) is not None


def test_what_is_not_shown_has_to_stay_away_for_a_while(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    handle = provider.begin(DeleteVolume("d", GONE))
    for _ in range(2):
        with pytest.raises(OperationPending):
            provider.resume(handle, deadline=passed(fake_aws))
        fake_aws.clock.advance(GRACE / 2)
    opened(fake_aws).resume(handle, deadline=passed(fake_aws))  # whoever has waited


@pytest.mark.parametrize("verb", ["DeleteVolume", "DeleteSnapshot"])
def test_what_ec2_denies_while_it_is_new_is_not_deleted(
    provider: AwsProvider, fake_aws: FakeAws, verb: str
) -> None:
    volume = created(provider)
    intent: Intent[None] = DeleteVolume("d", volume.id)
    if verb == "DeleteSnapshot":
        taken = perform(provider, CreateSnapshot("t", volume.id, "nightly"))
        intent = DeleteSnapshot("d", taken.id)
    kind = verb.removeprefix("Delete")
    fake_aws.faults.add(Refused(f"Invalid{kind}.NotFound"), on=verb)
    fake_aws.faults.add(StaleRead(), on=f"Describe{kind}s", times=2)
    with pytest.raises(OperationFailed):
        perform(provider, intent)
    perform(provider, intent)
    assert (fake_aws.snapshots() if verb == "DeleteSnapshot" else fake_aws.volumes()) == {}


def test_a_deletion_is_found_once_it_has_begun(provider: AwsProvider) -> None:
    intent = DeleteVolume("d", created(provider).id)
    assert provider.find(intent) is None
    handle = provider.begin(intent)
    assert provider.find(intent) == handle


def test_an_id_of_another_region_is_not_gone(provider: AwsProvider) -> None:
    with pytest.raises(NotFound):
        provider.begin(DeleteVolume("d", GONE.replace(REGION, "eu-west-1")))
    with pytest.raises(NotFound):
        provider.begin(DeleteSnapshot("d", "aws:eu-west-1/snap-0123456789abcdef0"))


def test_an_attached_volume_names_its_holder(provider: AwsProvider, fake_aws: FakeAws) -> None:
    volume, instance = created(provider), fake_aws.run_instance()
    attached(provider, volume, instance)
    with pytest.raises(VolumeInUse) as caught:
        provider.begin(DeleteVolume("d", volume.id))
    assert (caught.value.holder, caught.value.cloud_code) == (instance, "VolumeInUse")


def test_a_volume_that_is_being_created_is_not_deleted_yet(provider: AwsProvider) -> None:
    handle = provider.begin(wanted())
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(DeleteVolume("d", f"aws:{REGION}/{handle.reference}"))
    assert caught.value.state == "creating"


def test_a_refusal_about_a_volume_that_is_going_is_success(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    intent = DeleteVolume("d", created(provider).id)
    provider.begin(intent)
    fake_aws.faults.add(Refused("IncorrectState"), on="DeleteVolume")
    perform(provider, intent)
    fake_aws.faults.add(Refused("IncorrectState"), on="DeleteVolume")
    perform(provider, intent)


def test_a_volume_that_stays_was_not_deleted(provider: AwsProvider) -> None:
    volume = created(provider)
    with pytest.raises(OperationFailed):
        provider.resume(Handle(DeleteVolume("d", volume.id), ebs(volume.id)))


def test_a_deletion_that_shows_late_is_waited_for(provider: AwsProvider, fake_aws: FakeAws) -> None:
    handle = provider.begin(DeleteVolume("d", created(provider).id))
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=2)
    provider.resume(handle)
    assert fake_aws.volumes() == {}


def test_a_snapshot_is_deleted_once(provider: AwsProvider, fake_aws: FakeAws) -> None:
    snapshot = perform(provider, CreateSnapshot("t", created(provider).id, "nightly"))
    intent = DeleteSnapshot("d", snapshot.id)
    assert provider.find(intent) is None
    fake_aws.faults.add(ReplyLost(), on="DeleteSnapshot")
    perform(provider, intent)
    assert provider.find(intent) is not None
    assert fake_aws.snapshots() == {}


def test_a_snapshot_of_an_image_is_not_deleted(provider: AwsProvider, fake_aws: FakeAws) -> None:
    snapshot = perform(provider, CreateSnapshot("t", created(provider).id, "nightly"))
    fake_aws.faults.add(Refused("InvalidSnapshot.InUse"), on="DeleteSnapshot")
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(DeleteSnapshot("d", snapshot.id))
    assert (caught.value.volume_id, caught.value.state) == (snapshot.id, "in use")


def test_a_snapshot_that_stays_was_not_deleted(provider: AwsProvider) -> None:
    snapshot = perform(provider, CreateSnapshot("t", created(provider).id, "nightly"))
    with pytest.raises(OperationFailed):
        provider.resume(Handle(DeleteSnapshot("d", snapshot.id), ebs(snapshot.id)))
