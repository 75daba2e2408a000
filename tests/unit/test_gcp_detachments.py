"""Detaching volumes on GCE: from the holder, by its own device name, and never twice at once."""

from collections.abc import Iterator

import attrs
import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    NotFound,
    OperationFailed,
    OperationPending,
    UnsupportedOperation,
)
from cloudcrypt.model import Volume, VolumeState
from cloudcrypt.spi import DetachVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import Exchange, FakeGce
from cloudcrypt_testing.world.faults import Refused, ReplyLost, StaleRead
from tests.unit.gcp_given import (
    ZONE,
    another,
    attached,
    attaching,
    created,
    disk,
    latest,
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
def volume(provider: GcpProvider, instance: str) -> Volume:
    """Give a volume that is attached to `instance`."""
    volume = created(provider)
    attached(provider, volume, instance)
    return volume


def leaving(volume: Volume, instance: str, token: str = "detach", **more: bool) -> DetachVolume:  # noqa: S107 - no password
    return DetachVolume(token, volume.id, instance, **more)


def test_a_detached_volume_is_free(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    free = perform(provider, leaving(volume, instance))
    assert (free.state, free.holders) == (VolumeState.AVAILABLE, ())
    assert disk(fake_gce, volume).users == ()


def test_a_volume_is_detached_by_the_device_name_that_the_instance_shows(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    redone(fake_gce, instance, volume, device_name="by-hand")
    perform(provider, leaving(volume, instance))
    call = next(one for one in fake_gce.requests if one.action == "instances.detachDisk")
    assert call.parameters["deviceName"] == "by-hand"


def test_a_disk_that_others_have_attached_under_the_name_stays(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    perform(provider, leaving(volume, instance))
    other = created(provider, "other")
    attached(provider, other, instance)
    redone(fake_gce, instance, other, device_name="data")
    perform(provider, leaving(volume, instance, "again"))
    assert provider.get(other.id).holders == (instance,)


def test_by_force_is_not_offered_and_asks_for_nothing(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.requests.clear()
    with pytest.raises(UnsupportedOperation):
        provider.begin(leaving(volume, instance, force=True))
    assert len(fake_gce.requests) == 0
    assert not provider.capabilities.force_detach


def test_a_volume_of_another_holder_stays_there(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    other = fake_gce.run_instance(ZONE, name="vm-10")
    with pytest.raises(AttachedElsewhere) as caught:
        provider.begin(leaving(volume, other))
    assert caught.value.holder == instance
    assert fake_gce.requests.count("instances.detachDisk") == 0


def test_an_old_look_at_a_holder_does_not_count(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    perform(provider, leaving(volume, instance))
    other = fake_gce.run_instance(ZONE, name="vm-10")
    fake_gce.faults.add(StaleRead(), on="disks.get")
    assert perform(provider, leaving(volume, other, "again")).holders == ()


def test_an_instance_that_is_gone_has_nothing_attached(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.delete_instance(instance)
    assert perform(provider, leaving(volume, instance)).holders == ()
    assert fake_gce.requests.count("instances.detachDisk") == 0


def test_an_instance_that_is_gone_before_the_volume_shows_it_has_nothing_attached(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    with fake_gce._cloud.lock:
        record = fake_gce.instances()[instance]
        del fake_gce._cloud.instances[record.id]
    assert perform(provider, leaving(volume, instance)).id == volume.id
    assert fake_gce.requests.count("instances.detachDisk") == 0


def test_an_instance_that_goes_while_the_operation_runs_has_nothing_attached(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    handle = provider.begin(leaving(volume, instance))
    fake_gce.delete_instance(instance)
    assert provider.resume(handle).holders == ()


def test_another_one_that_was_faster_is_no_error(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    """GCE refuses with 400 what is not attached any more; a look tells that this is success."""

    def faster(exchange: Exchange) -> None:
        if exchange.call.action == "instances.detachDisk" and exchange.phase == "before":
            fake_gce.hooks.clear()
            fake_gce.rip_out(instance, "data")

    fake_gce.hooks.append(faster)
    assert perform(provider, leaving(volume, instance)).holders == ()
    assert [one.status for one in fake_gce.requests].count(400) == 1


def test_another_one_that_was_faster_within_the_operation_is_no_error(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    handle = provider.begin(leaving(volume, instance))
    fake_gce.rip_out(instance, "data")
    assert provider.resume(handle).holders == ()
    assert latest(fake_gce, "instances.detachDisk").failure is not None


def test_an_operation_that_failed_and_left_the_volume_attached_is_an_error(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.fail_next("instances.detachDisk", "INVALID_USAGE", "not today")
    with pytest.raises(OperationFailed) as caught:
        perform(provider, leaving(volume, instance))
    assert caught.value.cloud_code == "INVALID_USAGE"
    assert provider.get(volume.id).holders == (instance,)


def test_a_volume_that_somebody_attached_again_is_not_told_as_free(
    provider: GcpProvider, volume: Volume, instance: str
) -> None:
    handle = provider.begin(leaving(volume, instance))
    provider.resume(handle)
    perform(provider, attaching(volume, instance, "again"))
    with pytest.raises(OperationFailed):
        provider.resume(handle)


def test_a_refusal_that_does_not_end_is_told_at_the_deadline(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.faults.add(Refused("invalid", "not today"), on="instances.detachDisk", times=None)
    with pytest.raises(Exception, match="not today"):
        provider.begin(leaving(volume, instance), deadline=within(fake_gce, 10))
    assert provider.get(volume.id).holders == (instance,)


def test_a_second_detachment_is_not_sent_while_one_is_under_way(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    """Two at once are what a late detachment is made of.

    The defence is the first line of `Detachments._detach`: ``if under_way not in ...``. Without it
    the second request is accepted, and takes away whatever is attached when its turn comes.
    """
    fake_gce.hold_next("instances.detachDisk", status="PENDING", seconds=30)
    provider.begin(leaving(volume, instance))
    with another(fake_gce) as other:
        assert perform(other, leaving(volume, instance, "impatient")).holders == ()
    assert sum(one.kind == "detachDisk" for one in fake_gce.operations().values()) == 1


def test_an_attachment_that_is_under_way_is_waited_for_before_nothing_is_to_be_detached(
    provider: GcpProvider, fake_gce: FakeGce, instance: str
) -> None:
    """The defence is in `Detachments._absent`: ``if pair.under_way(ATTACH, ...)``.

    Without it nothing is asked for, and the volume is attached a moment later.
    """
    volume = created(provider)
    provider.begin(attaching(volume, instance))
    assert perform(provider, leaving(volume, instance)).holders == ()
    fake_gce.clock.advance(3600)
    assert disk(fake_gce, volume).users == ()


def test_an_intent_that_detached_once_detaches_again_after_it_was_attached(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    for each in range(3):
        perform(provider, leaving(volume, instance))
        assert disk(fake_gce, volume).users == ()
        perform(provider, attaching(volume, instance, f"again-{each}"))


def test_a_reply_that_is_lost_is_asked_for_again_and_detaches_once(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.faults.add(ReplyLost(), on="instances.detachDisk", times=3)
    perform(provider, leaving(volume, instance))
    assert sum(one.kind == "detachDisk" for one in fake_gce.operations().values()) == 1


@pytest.mark.parametrize("on", ["instances.get", "disks.get"])
def test_an_old_look_that_shows_nothing_does_not_count(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str, on: str
) -> None:
    fake_gce.faults.add(StaleRead(), on=on)
    perform(provider, leaving(volume, instance))
    assert disk(fake_gce, volume).users == ()


def test_one_of_several_holders_is_left_out(
    provider: GcpProvider, fake_gce: FakeGce, instance: str
) -> None:
    shared = created(provider, "shared", multi_attach=True)
    other = fake_gce.run_instance(ZONE, name="vm-10")
    for each in (instance, other):
        perform(provider, attaching(shared, each, each))
    assert perform(provider, leaving(shared, instance)).holders == (other,)
    assert perform(provider, leaving(shared, instance, "again")).holders == (other,)


def test_looking_for_a_detachment_that_nobody_asked_for_finds_nothing(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    assert provider.find(leaving(volume, instance)) is None
    fake_gce.rip_out(instance, "data")
    assert provider.find(leaving(volume, instance)) is not None


def test_a_detachment_that_another_process_began_is_found(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    handle = provider.begin(leaving(volume, instance))
    with another(fake_gce) as other:
        assert other.find(leaving(volume, instance)) == handle


def test_looking_for_a_detachment_of_a_volume_that_is_gone_finds_nothing(
    provider: GcpProvider, volume: Volume, instance: str
) -> None:
    absent = attrs.evolve(volume, id=volume.id[:-4] + "0000")
    assert provider.find(leaving(absent, instance)) is None
    with pytest.raises(NotFound):
        provider.begin(leaving(absent, instance))


def test_a_detachment_that_hangs_is_pending_and_not_undone(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.hold_next("instances.detachDisk")
    handle = provider.begin(leaving(volume, instance))
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=within(fake_gce, 60))
    fake_gce.let_go(latest(fake_gce, "instances.detachDisk").name)
    assert provider.resume(handle).holders == ()
