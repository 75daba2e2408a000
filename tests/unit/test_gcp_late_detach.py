"""Attaching on GCE: nothing that undoes it later, and the very disk, not a namesake."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import (
    NotFound,
    OperationPending,
    RequestConflict,
    RequestRejected,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import DeleteVolume, DetachVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import Exchange, FakeGce
from tests.unit.gcp_given import (
    ZONE,
    attached,
    attaching,
    created,
    disk,
    latest,
    number,
    opened,
    redone,
    within,
)


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


@pytest.fixture
def instance(fake_gce: FakeGce) -> str:
    return fake_gce.run_instance(ZONE, name="vm-1")


@pytest.fixture
def volume(provider: GcpProvider) -> Volume:
    return created(provider)


def users(gce: FakeGce, volume: Volume) -> tuple[str, ...]:
    return disk(gce, volume).users


def devices(gce: FakeGce, instance: str) -> dict[str, str]:
    """Return the disks on an instance, by device name."""
    return {one.device_name: one.disk_id for one in gce.instances()[instance].disks}


# --- the late detachment -------------------------------------------------------------------------


def test_a_detachment_that_is_under_way_is_waited_for_before_anything_is_attached(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    """A client has lost patience with a detachment, which is still to come.

    The defence is the first line of `Attachments._attach`: ``if pair.under_way(DETACH, ...)``.
    Without it the volume is attached first, and taken away by the old request at 60 seconds.
    """
    attached(provider, volume, instance)
    perform(provider, DetachVolume("d", volume.id, instance))
    fake_gce.late_detach(instance, "data", seconds=60)
    attachment = attached(provider, volume, instance)
    assert latest(fake_gce, "instances.detachDisk").status == "DONE"
    fake_gce.clock.advance(3600)
    assert devices(fake_gce, instance)["data"] == number(volume.id)
    assert provider.get(volume.id).holders == (attachment.instance,)


def test_a_volume_that_is_shown_as_attached_and_is_about_to_be_detached_is_not_attached(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    """The same, while the volume still is attached: what a look shows is not what will be.

    The defence is the same line: without it the volume counts as attached, and goes later.
    """
    attached(provider, volume, instance)
    fake_gce.late_detach(instance, "data", seconds=60)
    perform(provider, attaching(volume, instance, "again"))
    fake_gce.clock.advance(3600)
    assert devices(fake_gce, instance)["data"] == number(volume.id)


def test_an_attachment_does_not_count_while_something_is_to_undo_it(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    """The detachment comes between request and verification.

    The defence is the first line of `Attachments._proven`: ``if pair.under_way(DETACH, ...)``.
    Without it the attachment is told as proven, and is gone at 60 seconds.
    """
    handle = provider.begin(attaching(volume, instance))
    fake_gce.late_detach(instance, "data", seconds=60)
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=within(fake_gce, 30))
    with pytest.raises(NotFound) as caught:
        provider.resume(handle)
    assert caught.value.kind == "attachment"
    assert perform(provider, attaching(volume, instance, "anew")).instance == instance
    fake_gce.clock.advance(3600)
    assert users(fake_gce, volume) != ()


def test_a_detachment_that_hangs_is_told_and_nothing_is_attached(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.late_detach(instance, "data")
    with pytest.raises(OperationPending) as caught:
        provider.begin(attaching(volume, instance), deadline=within(fake_gce, 60))
    assert "detachment" in caught.value.state
    assert fake_gce.requests.count("instances.attachDisk") == 0


def test_a_detachment_from_another_instance_is_not_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.late_detach(fake_gce.run_instance(ZONE, name="vm-10"), "data")
    assert attached(provider, volume, instance).instance == instance


def test_a_volume_that_was_ripped_out_is_not_told_as_attached(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    """Operation and request succeeded, and the disk is gone all the same.

    The defence is in `Attachments._proven`: ``if seen.mine is not None and seen.is_user``. Without
    it the attachment counts since the operation is done.
    """
    handle = provider.begin(attaching(volume, instance))
    fake_gce.clock.advance(10)
    fake_gce.rip_out(instance, "data")
    with pytest.raises(NotFound):
        provider.resume(handle)
    assert attached(provider, volume, instance).instance == instance


# --- the right disk ------------------------------------------------------------------------------


def test_another_disk_under_the_same_device_name_is_not_taken_for_the_volume(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    """The defence is in `InstanceRecord.attached`: ``one.source == disk.path``."""
    other = created(provider, "other")
    attached(provider, other, instance)
    redone(fake_gce, instance, other, device_name="data")
    with pytest.raises(RequestRejected):
        provider.begin(attaching(volume, instance))
    fake_gce.share_device_names()
    attachment = perform(provider, attaching(volume, instance, "again"))
    assert attachment.volume_id == volume.id
    assert users(fake_gce, volume) != ()


def test_a_namesake_that_was_made_anew_is_another_volume(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    attached(provider, volume, instance)
    perform(provider, DetachVolume("d", volume.id, instance))
    perform(provider, DeleteVolume("x", volume.id))
    again = created(provider, token="another")
    with pytest.raises(NotFound):
        attached(provider, volume, instance)
    assert users(fake_gce, again) == ()


def test_a_namesake_that_gets_attached_between_look_and_request_does_not_count(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    """A body names the disk by its name: the number is compared afterwards."""

    def swap(exchange: Exchange) -> None:
        if exchange.call.action == "instances.attachDisk" and exchange.phase == "before":
            fake_gce.hooks.clear()
            perform(provider, DeleteVolume("x", volume.id))
            created(provider, token="another")

    fake_gce.hooks.append(swap)
    handle = provider.begin(attaching(volume, instance))
    with pytest.raises(NotFound):
        provider.resume(handle)


def test_a_volume_that_is_attached_for_reading_only_is_a_conflict(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    handle = provider.begin(attaching(volume, instance))
    provider.resume(handle)
    redone(fake_gce, instance, volume, mode="READ_ONLY")
    with pytest.raises(RequestConflict) as caught:
        provider.begin(attaching(volume, instance, "again"))
    assert caught.value.fields == ("mode",)
    with pytest.raises(RequestConflict):
        provider.resume(handle)
