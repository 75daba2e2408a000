"""Creations on GCE that fail after they were accepted: what is told, and what is left."""

from collections.abc import Iterator

import attrs
import pytest

from cloudcrypt.errors import (
    NotFound,
    OperationFailed,
    OperationPending,
    OutOfCapacity,
    QuotaExceeded,
    RequestConflict,
    Throttled,
    WrongVolumeState,
)
from cloudcrypt.model import VolumeState
from cloudcrypt.spi import DeleteVolume, Handle, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.fake_gce.errors import failure
from cloudcrypt_testing.world.faults import (
    Refused,
    StaleRead,
)
from tests.unit.gcp_given import (
    OTHER_ZONE,
    ZONE,
    another,
    created,
    disk,
    edited,
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


# --- operations that fail ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INTERNAL_ERROR", OperationFailed),
        ("PERMISSIONS_ERROR", OperationFailed),
        ("SURPRISE", OperationFailed),
        ("QUOTA_EXCEEDED", QuotaExceeded),
        ("ZONE_RESOURCE_POOL_EXHAUSTED", OutOfCapacity),
    ],
)
def test_an_error_in_a_finished_operation_is_an_error_and_leaves_nothing(
    provider: GcpProvider, fake_gce: FakeGce, code: str, kind: type[Exception]
) -> None:
    fake_gce.fail_next("disks.insert", code)
    began = fake_gce.clock.monotonic()
    with pytest.raises(kind) as caught:
        created(provider)
    assert getattr(caught.value, "cloud_code") == code  # noqa: B009 - one of several classes
    assert fake_gce.clock.monotonic() - began < 10
    assert fake_gce.disks() == {}


def test_after_a_failed_creation_a_new_token_creates_another_volume(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.fail_next("disks.insert")
    with pytest.raises(OperationFailed):
        created(provider, token="attempt-1")
    with another(fake_gce) as other:
        with pytest.raises(OperationFailed):  # the same token is the same operation
            created(other, token="attempt-1")
        assert created(other, token="attempt-2").state is VolumeState.AVAILABLE


def test_what_a_failed_creation_leaves_is_named_and_not_deleted(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.fail_next("disks.insert", leaves_failed=True)
    with pytest.raises(OperationFailed) as caught:
        created(provider, token="attempt-1")
    (left,) = provider.list()
    assert left.state is VolumeState.ERROR
    assert left.id in str(caught.value)
    with pytest.raises(OperationFailed) as again:  # its name is taken, and that is said
        created(provider, token="attempt-2")
    assert left.id in str(again.value)
    assert set(fake_gce.disks()) == {number(left.id)}


def test_a_failed_disk_is_not_waited_for(provider: GcpProvider, fake_gce: FakeGce) -> None:
    handle = provider.begin(wanted())
    volume = provider.resume(handle)
    edited(fake_gce, volume, status="FAILED")
    with pytest.raises(OperationFailed):
        provider.resume(handle)


@pytest.mark.parametrize("code", ["RATE_LIMIT_EXCEEDED", "RESOURCE_OPERATION_RATE_EXCEEDED"])
def test_a_creation_that_was_throttled_after_it_was_accepted_is_asked_for_anew(
    provider: GcpProvider, fake_gce: FakeGce, code: str
) -> None:
    fake_gce.fail_next("disks.insert", code, times=2)
    volume = created(provider)
    assert set(fake_gce.disks()) == {number(volume.id)}
    assert len(fake_gce.operations()) == 3
    assert len({one.request_id for one in fake_gce.operations().values()}) == 3


def test_a_creation_that_is_throttled_for_good_says_so_and_goes_on_later(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.fail_next("disks.insert", "RATE_LIMIT_EXCEEDED", times=100)
    handle = provider.begin(wanted())
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=within(fake_gce, 20))
    with pytest.raises(Throttled) as caught:
        provider.resume(handle, deadline=passed(fake_gce))
    assert caught.value.cloud_code == "RATE_LIMIT_EXCEEDED"
    fake_gce._cloud.quirks.failures.clear()
    with another(fake_gce) as other:
        assert other.resume(handle).state is VolumeState.AVAILABLE
    assert len(fake_gce.disks()) == 1


def test_a_name_that_was_taken_while_the_operation_ran_is_looked_at(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    handle = provider.begin(wanted(token="loser"))
    loser = next(iter(fake_gce.operations().values()))
    fake_gce.clock.advance(60)
    volume = provider.get(f"gcp:demo-project/{ZONE}/{loser.target_id}")
    # As if GCE had found out late that another request has made it.
    winner = created(provider, "winner")
    edited(fake_gce, winner, name="data", description=disk(fake_gce, volume).description)
    perform(provider, DeleteVolume("d", volume.id))
    _fail(fake_gce, loser.id, "RESOURCE_ALREADY_EXISTS")
    assert provider.resume(handle).id == winner.id


def test_a_name_that_was_taken_by_something_else_while_the_operation_ran_is_a_conflict(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    handle = provider.begin(wanted(token="loser"))
    loser = next(iter(fake_gce.operations().values()))
    volume = provider.resume(handle)
    edited(fake_gce, volume, size=12)
    _fail(fake_gce, loser.id, "RESOURCE_ALREADY_EXISTS")
    with pytest.raises(RequestConflict) as caught:
        provider.resume(handle)
    assert caught.value.fields == ("size",)


def _fail(gce: FakeGce, operation: str, code: str) -> None:
    """Let an operation that is done have failed."""
    with gce._cloud.lock:
        known = gce._cloud.operations[operation]
        gce._cloud.operations[operation] = attrs.evolve(known, failure=failure(code))


def test_a_name_that_is_taken_by_what_nobody_sees_is_tried_again(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.faults.add(Refused("alreadyExists", status=409), on="disks.insert", times=2)
    assert created(provider).name == "data"
    fake_gce.faults.add(Refused("alreadyExists", status=409), on="disks.insert", times=None)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted("other"), deadline=within(fake_gce, 10))
    assert caught.value.cloud_code == "alreadyExists"


def test_a_name_that_was_taken_by_what_is_gone_again_is_a_conflict(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.fail_next("disks.insert", "RESOURCE_ALREADY_EXISTS")
    with pytest.raises(RequestConflict) as caught:
        created(provider)
    assert caught.value.cloud_code == "RESOURCE_ALREADY_EXISTS"


def test_a_name_that_was_taken_by_what_is_being_deleted_is_told(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.fail_next("disks.insert", "RESOURCE_ALREADY_EXISTS")
    handle = provider.begin(wanted(token="loser"))
    fake_gce.clock.advance(60)
    volume = created(provider, token="winner")
    provider.begin(DeleteVolume("d", volume.id))
    with pytest.raises(WrongVolumeState):
        provider.resume(handle)


# --- quota and capacity ------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_a_quota_is_told_and_nothing_is_left(
    provider: GcpProvider,
    fake_gce: FakeGce,
    at_once: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    fake_gce.limit_disks(0, at_once=at_once)
    with pytest.raises(QuotaExceeded) as caught:
        created(provider)
    assert caught.value.cloud_code in {"quotaExceeded", "QUOTA_EXCEEDED"}
    assert fake_gce.disks() == {}


def test_at_the_quota_a_volume_that_exists_already_is_found(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    fake_gce.limit_disks(1, at_once=True)
    fake_gce.faults.add(StaleRead(), on="disks.aggregatedList")
    assert created(provider, token="token-other", name="data") == volume
    for times in (1, 1):
        fake_gce.faults.add(StaleRead(), on="disks.aggregatedList", times=times)
        fake_gce.faults.add(Refused("quotaExceeded", status=403), on="disks.insert")
        assert created(provider, token="token-other", name="data") == volume


def test_no_capacity_in_one_zone_names_it_and_is_no_quota(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    """The defence is the row ``"ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"`` of `OPERATION_CODES`.

    Without it the operation has just failed: whoever asks again asks in the same zone.
    """
    fake_gce.run_out_of_room(ZONE)
    with pytest.raises(OutOfCapacity) as caught:
        created(provider)
    assert caught.value.place == ZONE
    assert fake_gce.disks() == {}
    assert created(provider, "elsewhere", place=OTHER_ZONE).place == OTHER_ZONE


# --- deadlines ---------------------------------------------------------------------------------


def test_at_the_deadline_a_creation_is_pending_and_can_be_resumed(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    handle = provider.begin(wanted())
    with another(fake_gce) as other, pytest.raises(OperationPending):
        other.resume(handle, deadline=passed(fake_gce))
    assert provider.resume(handle).name == "data"


def test_a_disk_that_is_still_filled_from_its_source_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    handle = provider.begin(wanted())
    volume = provider.resume(handle)
    edited(fake_gce, volume, status="RESTORING")
    with pytest.raises(OperationPending) as caught:
        provider.resume(handle, deadline=within(fake_gce, 5))
    assert caught.value.state == "restoring"


def test_a_handle_of_another_kind_is_not_found(provider: GcpProvider) -> None:
    with pytest.raises(NotFound):
        provider.resume(Handle(wanted(), '{"scope": "zones/x"}'))
