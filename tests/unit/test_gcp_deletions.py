"""Deleting volumes on GCE: by their numbers, once, and only what nobody uses."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import (
    InvalidVolumeId,
    NotFound,
    OperationFailed,
    OperationPending,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import DeleteVolume, DetachVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.world.faults import Refused, ReplyLost
from tests.unit.gcp_given import (
    GONE,
    ZONE,
    another,
    attached,
    created,
    disk,
    number,
    opened,
    passed,
    wanted,
    within,
)


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


@pytest.fixture
def volume(provider: GcpProvider) -> Volume:
    return created(provider)


def test_a_deletion_is_waited_for(provider: GcpProvider, fake_gce: FakeGce, volume: Volume) -> None:
    handle = provider.begin(DeleteVolume("d", volume.id))
    with pytest.raises(OperationPending) as caught:
        provider.resume(handle, deadline=passed(fake_gce))
    assert caught.value.retryable
    provider.resume(handle)
    assert fake_gce.disks() == {}
    provider.resume(handle)


def test_a_namesake_of_what_is_gone_is_not_deleted(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    handle = provider.begin(DeleteVolume("d", volume.id))
    provider.resume(handle)
    again = created(provider, token="another")
    provider.resume(handle)
    perform(provider, DeleteVolume("d", volume.id))
    perform(provider, DeleteVolume("another", volume.id))
    assert set(fake_gce.disks()) == {number(again.id)}


def test_a_reply_that_is_lost_is_asked_for_again_and_deletes_once(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.faults.add(ReplyLost(), on="disks.delete", times=3)
    perform(provider, DeleteVolume("d", volume.id))
    assert sum(one.kind == "delete" for one in fake_gce.operations().values()) == 1


def test_an_attached_volume_names_its_holder(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    instance = fake_gce.run_instance(ZONE)
    attached(provider, volume, instance)
    with pytest.raises(VolumeInUse) as caught:
        provider.begin(DeleteVolume("d", volume.id))
    assert caught.value.holder == instance
    assert caught.value.cloud_code == "resourceInUseByAnotherResource"
    perform(provider, DetachVolume("x", volume.id, instance))
    perform(provider, DeleteVolume("d", volume.id))


def test_a_use_that_is_found_in_the_operation_names_the_holder(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    instance = fake_gce.run_instance(ZONE)
    fake_gce.fail_next("disks.delete", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE")
    handle = provider.begin(DeleteVolume("d", volume.id))
    fake_gce.clock.advance(60)
    attached(provider, volume, instance)
    with pytest.raises(VolumeInUse) as caught:
        provider.resume(handle)
    assert caught.value.holder == instance


def test_a_use_that_nobody_sees_is_told_at_the_deadline(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.faults.add(Refused("resourceInUseByAnotherResource"), on="disks.delete", times=None)
    with pytest.raises(VolumeInUse):
        provider.begin(DeleteVolume("d", volume.id), deadline=within(fake_gce, 10))
    fake_gce.faults.clear()
    fake_gce.fail_next("disks.delete", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE")
    with pytest.raises(VolumeInUse):
        perform(provider, DeleteVolume("e", volume.id))


def test_a_volume_that_is_still_being_created_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    provider.begin(wanted())
    (volume,) = provider.list()
    perform(provider, DeleteVolume("d", volume.id))
    assert fake_gce.disks() == {}
    fake_gce.hold_next("disks.insert")
    provider.begin(wanted("slow"))
    (volume,) = provider.list()
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(DeleteVolume("e", volume.id), deadline=within(fake_gce, 20))
    assert caught.value.state == "creating"


def test_two_who_delete_at_once_both_succeed(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    first = provider.begin(DeleteVolume("one", volume.id))
    with another(fake_gce) as other:
        found = other.find(DeleteVolume("two", volume.id))
        second = other.begin(DeleteVolume("two", volume.id))
        assert found == second
        other.resume(second)
    provider.resume(first)
    assert fake_gce.disks() == {}


def test_a_deletion_that_failed_is_an_error_and_leaves_the_volume(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.delete")
    with pytest.raises(OperationFailed):
        perform(provider, DeleteVolume("d", volume.id))
    assert provider.get(volume.id) == volume


def test_a_volume_that_stays_although_the_operation_is_done_is_an_error(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    stays = disk(fake_gce, volume)
    handle = provider.begin(DeleteVolume("d", volume.id))
    fake_gce.clock.advance(60)
    with fake_gce._cloud.lock:
        fake_gce._cloud.put(stays)
    with pytest.raises(OperationFailed) as caught:
        provider.resume(handle)
    assert "ready" in str(caught.value)


def test_what_is_gone_within_the_operation_is_deleted(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.delete", "RESOURCE_NOT_FOUND")
    handle = provider.begin(DeleteVolume("d", volume.id))
    fake_gce.clock.advance(60)
    with fake_gce._cloud.lock:
        fake_gce._cloud.bury(number(volume.id))
    provider.resume(handle)


def test_looking_for_a_deletion_that_nobody_asked_for_finds_nothing(
    provider: GcpProvider, volume: Volume
) -> None:
    assert provider.find(DeleteVolume("d", volume.id)) is None
    assert provider.find(DeleteVolume("d", GONE)) is None  # that it does not show is no proof
    perform(provider, DeleteVolume("d", GONE))


def test_what_is_no_volume_of_the_provider_is_refused_before_anyone_is_asked(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    with pytest.raises(InvalidVolumeId):
        provider.begin(DeleteVolume("d", "vol-1"))
    with pytest.raises(NotFound):
        provider.begin(DeleteVolume("d", "gcp:other-project/europe-west3-a/1"))
    assert len(fake_gce.requests) == 0
