"""Attaching volumes on GCE: one holder, the right one, and nothing that undoes it later."""

from collections.abc import Iterator
from functools import partial

import attrs
import pytest

from cloudcrypt.errors import (
    AttachmentLimit,
    InvalidRequest,
    NotFound,
    OperationPending,
    RequestRejected,
    WrongVolumeState,
)
from cloudcrypt.model import GoogleDeviceName, Volume
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import DetachVolume, ResizeVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.world.faults import Refused, ReplyLost, StaleRead
from tests.unit.gcp_given import (
    GONE,
    OTHER_ZONE,
    PROJECT,
    REGION,
    ZONE,
    another,
    attached,
    attaching,
    created,
    disk,
    edited,
    hooked,
    number,
    opened,
    passed,
    redone,
    together,
    wanted,
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


# --- what comes about ----------------------------------------------------------------------------


def test_an_attachment_is_by_the_name_of_the_disk_and_writable(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    attachment = attached(provider, volume, instance)
    assert attachment.identity == GoogleDeviceName("data")
    assert (attachment.volume_id, attachment.instance) == (volume.id, instance)
    assert attachment.size == volume.size
    record = fake_gce.instances()[instance].disk(number(volume.id))
    assert record is not None
    assert (record.mode, record.auto_delete) == ("READ_WRITE", False)


def test_a_zonal_and_a_regional_disk_of_one_name_are_attached_to_one_instance(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    with another(fake_gce, owner="other") as other:
        regional = created(other, place=f"{ZONE},{OTHER_ZONE}")
        mine, theirs = attached(provider, volume, instance), attached(other, regional, instance)
    assert mine.identity == GoogleDeviceName("data")
    assert theirs.identity == GoogleDeviceName("data_regional")


def test_the_device_name_is_the_one_that_the_instance_shows(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    attached(provider, volume, instance)
    redone(fake_gce, instance, volume, device_name="chosen-by-hand")
    assert attached(provider, volume, instance).identity == GoogleDeviceName("chosen-by-hand")


@pytest.mark.parametrize("prefix", ["", "https://www.googleapis.com/compute/v1/"])
def test_an_instance_may_be_named_by_its_path(
    provider: GcpProvider, volume: Volume, instance: str, prefix: str
) -> None:
    path = f"{prefix}projects/{PROJECT}/zones/{ZONE}/instances/vm-1"
    assert attached(provider, volume, path).instance == instance
    assert provider.get(volume.id).holders == (instance,)


def test_attaching_what_is_attached_asks_for_nothing(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    first = attached(provider, volume, instance)
    with another(fake_gce) as other:
        assert perform(other, attaching(volume, instance, "another-token")) == first
    assert fake_gce.requests.count("instances.attachDisk") == 1


def test_an_intent_that_attached_once_attaches_again_after_it_was_detached(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    for each in range(3):
        attached(provider, volume, instance)
        assert users(fake_gce, volume) != ()
        perform(provider, DetachVolume(f"detach-{each}", volume.id, instance))
    assert users(fake_gce, volume) == ()


def test_an_old_handle_attaches_nothing(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    handle = provider.begin(attaching(volume, instance))
    provider.resume(handle)
    perform(provider, DetachVolume("d", volume.id, instance))
    with pytest.raises(NotFound) as caught:
        provider.resume(handle)
    assert caught.value.kind == "attachment"
    assert fake_gce.requests.count("instances.attachDisk") == 1


def test_a_reply_that_is_lost_is_asked_for_again_and_attaches_once(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.faults.add(ReplyLost(), on="instances.attachDisk", times=3)
    attached(provider, volume, instance)
    assert sum(one.kind == "attachDisk" for one in fake_gce.operations().values()) == 1


def test_a_volume_that_is_still_being_created_is_waited_for(
    provider: GcpProvider, instance: str
) -> None:
    handle = provider.begin(wanted())
    volume = next(iter(provider.list()))
    assert attached(provider, volume, instance).volume_id == provider.resume(handle).id


def test_an_attachment_survives_its_volume_growing(
    provider: GcpProvider, volume: Volume, instance: str
) -> None:
    handle = provider.begin(attaching(volume, instance))
    provider.resume(handle)
    perform(provider, ResizeVolume("r", volume.id, 20 * GIB))
    assert provider.resume(handle).size == 20 * GIB


def test_many_volumes_go_to_one_instance_at_once(
    provider: GcpProvider, fake_gce: FakeGce, instance: str
) -> None:
    volumes = [created(provider, f"volume-{each}") for each in range(6)]
    together([partial(attached, provider, each, instance) for each in volumes])
    assert {number(each.id) for each in volumes} < set(devices(fake_gce, instance).values())


# --- what cannot be ------------------------------------------------------------------------------


def test_an_instance_that_is_full_says_its_limit(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.limit_attachments(instance, 1)
    with pytest.raises(AttachmentLimit) as caught:
        attached(provider, volume, instance)
    assert (caught.value.instance, caught.value.limit) == (instance, 128)
    assert "maximum_persistent_disks" in str(caught.value)


def test_a_full_queue_of_the_instance_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, instance: str
) -> None:
    """The defence is the row ``"rateLimitExceeded": _throttled`` of `REASONS`.

    Without it the status counts, which is that of a missing permission, and nothing is tried again.
    """
    fake_gce.limit_pending(instance, 1)
    volumes = [created(provider, f"volume-{each}") for each in range(4)]
    handles = [provider.begin(attaching(each, instance)) for each in volumes]
    for handle in handles:
        provider.resume(handle)
    log = [one for one in fake_gce.requests if one.action == "instances.attachDisk"]
    assert [one.status for one in log].count(403) > 0
    assert len(devices(fake_gce, instance)) == 5


@pytest.mark.parametrize(
    ("machine", "limit"),
    [("n2-standard-4", 128), ("e2-small", 16), ("c4-standard-4", 16), ("n4-standard-8", 16)],
)
def test_the_limit_of_an_instance_is_that_of_its_machine_type(
    provider: GcpProvider, fake_gce: FakeGce, machine: str, limit: int
) -> None:
    assert provider.attachment_limit(fake_gce.run_instance(ZONE, machine)) == limit


def test_an_instance_that_does_not_exist_is_not_found(
    provider: GcpProvider, volume: Volume
) -> None:
    with pytest.raises(NotFound) as caught:
        attached(provider, volume, f"{ZONE}/nobody")
    assert (caught.value.kind, caught.value.name) == ("instance", f"{ZONE}/nobody")
    with pytest.raises(NotFound):
        provider.attachment_limit(f"{ZONE}/nobody")


@pytest.mark.parametrize("text", ["nobody", "i-123", f"projects/other/zones/{ZONE}/instances/a"])
def test_what_names_no_instance_is_refused_before_anyone_is_asked(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, text: str
) -> None:
    fake_gce.requests.clear()
    with pytest.raises(InvalidRequest):
        provider.begin(attaching(volume, text))
    assert len(fake_gce.requests) == 0


def test_a_volume_of_another_zone_is_rejected(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    elsewhere = fake_gce.run_instance(OTHER_ZONE)
    with pytest.raises(RequestRejected):
        attached(provider, volume, elsewhere)


@pytest.mark.parametrize(("status", "kind"), [("FAILED", WrongVolumeState), ("DELETING", NotFound)])
def test_a_volume_in_a_state_that_does_not_pass_is_refused_at_once(
    provider: GcpProvider,
    fake_gce: FakeGce,
    volume: Volume,
    instance: str,
    status: str,
    kind: type[Exception],
) -> None:
    edited(fake_gce, volume, status=status)
    began = fake_gce.clock.monotonic()
    with pytest.raises(kind):
        attached(provider, volume, instance)
    assert fake_gce.clock.monotonic() - began < 5


def test_a_volume_that_cannot_be_reached_now_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    edited(fake_gce, volume, status="UNAVAILABLE")
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(attaching(volume, instance), deadline=within(fake_gce, 20))
    assert caught.value.state == "unavailable"


def test_a_refusal_without_a_reason_that_shows_is_the_error(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.faults.add(Refused("invalid", "too purple"), on="instances.attachDisk")
    with pytest.raises(RequestRejected) as caught:
        provider.begin(attaching(volume, instance))
    assert "too purple" in str(caught.value)


def test_a_limit_that_is_found_in_the_operation_is_told_too(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.fail_next("instances.attachDisk", "LIMIT_EXCEEDED")
    with pytest.raises(AttachmentLimit) as caught:
        attached(provider, volume, instance)
    assert caught.value.limit == 128


@pytest.mark.parametrize("on", ["instances.get", "disks.get"])
def test_what_one_side_shows_alone_is_looked_at_again(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str, on: str
) -> None:
    first = attached(provider, volume, instance)
    fake_gce.faults.add(StaleRead(), on=on)
    assert perform(provider, attaching(volume, instance, "another")) == first
    assert fake_gce.requests.count("instances.attachDisk") == 1


@pytest.mark.parametrize("reason", ["resourceNotReady", "resourceInUseByAnotherResource"])
def test_a_refusal_that_passes_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str, reason: str
) -> None:
    fake_gce.faults.add(Refused(reason), on="instances.attachDisk", times=2)
    assert attached(provider, volume, instance).instance == instance


def test_a_loser_that_has_won_since_is_no_loser(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.fail_next("instances.attachDisk", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE")
    handle = provider.begin(attaching(volume, instance))
    fake_gce.clock.advance(10)
    perform(provider, attaching(volume, instance, "another"))
    assert provider.resume(handle).instance == instance


def test_a_volume_of_elsewhere_is_not_found_before_anyone_is_asked(
    provider: GcpProvider, fake_gce: FakeGce, instance: str, volume: Volume
) -> None:
    elsewhere = attrs.evolve(volume, id=GONE.replace(REGION, "us-central1"))
    fake_gce.requests.clear()
    with pytest.raises(NotFound):
        provider.begin(attaching(elsewhere, instance))
    assert len(fake_gce.requests) == 0


def test_looking_for_an_attachment_that_nobody_asked_for_finds_nothing(
    provider: GcpProvider, volume: Volume, instance: str
) -> None:
    assert provider.find(attaching(volume, instance)) is None
    assert provider.find(attaching(volume, f"{ZONE}/nobody")) is None


def test_an_attachment_that_another_token_has_made_is_found(
    provider: GcpProvider, volume: Volume, instance: str
) -> None:
    attached(provider, volume, instance)
    handle = provider.find(attaching(volume, instance, "another"))
    assert handle is not None
    assert provider.resume(handle).instance == instance


def test_a_deadline_that_has_passed_looks_once(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    handle = provider.begin(attaching(volume, instance))
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=passed(fake_gce))
    fake_gce.clock.advance(10)
    assert provider.resume(handle, deadline=passed(fake_gce)).instance == instance


def test_hooks_are_left_as_they_were(fake_gce: FakeGce) -> None:
    with hooked(fake_gce, lambda _: None):
        assert len(fake_gce.hooks) == 1
    assert fake_gce.hooks == []
