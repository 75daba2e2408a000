"""Snapshots on GCE: one for each name and token, of the very disk, in all states."""

from collections.abc import Iterator

import attrs
import pytest

from cloudcrypt.errors import (
    InvalidVolumeId,
    NotFound,
    OperationFailed,
    OperationPending,
    QuotaExceeded,
    RequestConflict,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.model import SnapshotState, Volume
from cloudcrypt.spi import CreateSnapshot, DeleteSnapshot, DeleteVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce, Snapshot
from cloudcrypt_testing.world.faults import Refused, ReplyLost, StaleRead
from tests.unit.gcp_given import (
    PROJECT,
    REGION,
    another,
    created,
    latest,
    number,
    opened,
    passed,
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


def taking(volume: Volume, token: str = "s", **more: object) -> CreateSnapshot:  # noqa: S107 - no password
    facts: dict[str, object] = {"name": "nightly", "generation": 3, **more}
    return CreateSnapshot(token, volume.id, str(facts["name"]), facts["generation"])  # type: ignore[arg-type]


def the(gce: FakeGce) -> Snapshot:
    """Return the only snapshot, as the cloud has it."""
    (snapshot,) = gce.snapshots().values()
    return snapshot


def test_a_snapshot_is_of_a_disk_by_its_number_and_says_of_which(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, taking(volume))
    assert snapshot.id == f"gcp:{PROJECT}/snapshots/{the(fake_gce).id}"
    assert (snapshot.name, snapshot.volume_id, snapshot.generation) == ("nightly", volume.id, 3)
    assert (snapshot.size, snapshot.state) == (volume.size, SnapshotState.READY)
    call = next(one for one in fake_gce.requests if one.action == "disks.createSnapshot")
    assert call.parameters["disk"] == number(volume.id)
    assert the(fake_gce).labels["cloudcrypt-owner"] == "cloudcrypt"


def test_a_snapshot_that_is_taken_is_pending(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    handle = provider.begin(taking(volume))
    (snapshot,) = provider.snapshots()
    assert snapshot.state is SnapshotState.PENDING
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=passed(fake_gce))
    assert provider.resume(handle).state is SnapshotState.READY


def test_a_reply_that_is_lost_is_asked_for_again_and_takes_one_snapshot(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.faults.add(ReplyLost(), on="disks.createSnapshot", times=3)
    perform(provider, taking(volume))
    assert len(fake_gce.snapshots()) == 1


def test_a_snapshot_that_a_list_does_not_show_is_not_taken_twice(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    first = provider.begin(taking(volume))
    for token in ("s", "another"):
        fake_gce.faults.add(StaleRead(), on="snapshots.list")
        with another(fake_gce) as other:
            assert other.resume(other.begin(taking(volume, token))).name == "nightly"
    assert provider.resume(first).name == "nightly"
    assert len(fake_gce.snapshots()) == 1


def test_the_same_name_and_owner_in_two_regions_are_two_snapshots(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    perform(provider, taking(volume))
    elsewhere = GcpProvider(
        PROJECT,
        "us-central1",
        credentials=fake_gce.credentials(),
        endpoint=fake_gce.endpoint,
        zone="us-central1-a",
        clock=fake_gce.clock,
    )
    other = created(elsewhere, "data")
    theirs = perform(elsewhere, taking(other))
    assert [each.id for each in elsewhere.snapshots()] == [theirs.id]
    assert [each.volume_id for each in provider.snapshots()] == [volume.id]
    elsewhere.close()


def test_snapshots_of_another_owner_are_not_shown(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    with another(fake_gce, owner="other") as theirs:
        perform(theirs, taking(volume))
        assert list(provider.snapshots()) == []
        assert list(provider.snapshots(name="nightly")) == []
        perform(provider, taking(volume))
        assert len(list(theirs.snapshots())) == len(list(provider.snapshots())) == 1


@pytest.mark.parametrize(
    ("change", "fields"),
    [({"generation": 4}, ("generation",)), ({"generation": None}, ("generation",))],
)
def test_a_snapshot_that_differs_is_a_conflict(
    provider: GcpProvider, volume: Volume, change: dict[str, object], fields: tuple[str, ...]
) -> None:
    perform(provider, taking(volume))
    with pytest.raises(RequestConflict) as caught:
        provider.begin(taking(volume, "another", **change))
    assert caught.value.fields == fields
    assert provider.find(taking(volume, "another", **change)) is None


def test_the_same_token_for_another_snapshot_is_a_conflict_that_names_all_fields(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    perform(provider, taking(volume))
    other = created(provider, "other")
    with pytest.raises(RequestConflict) as caught:
        provider.begin(taking(other, name="weekly", generation=4))
    assert caught.value.fields == ("generation", "name", "volume_id")
    fake_gce.faults.add(StaleRead(), on="snapshots.list")
    with pytest.raises(RequestConflict):
        provider.begin(taking(other, name="weekly"))
    assert len(fake_gce.snapshots()) == 1


def test_an_error_in_the_operation_is_an_error_and_leaves_nothing(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.createSnapshot", "QUOTA_EXCEEDED")
    with pytest.raises(QuotaExceeded):
        perform(provider, taking(volume))
    assert fake_gce.snapshots() == {}


def test_after_a_failed_snapshot_a_new_token_takes_another_one(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.createSnapshot")
    with pytest.raises(OperationFailed):
        perform(provider, taking(volume, "one"))
    assert perform(provider, taking(volume, "two")).state is SnapshotState.READY


def test_a_failed_snapshot_that_stays_is_told_and_not_deleted(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.createSnapshot", leaves_failed=True)
    handle = provider.begin(taking(volume, "one"))
    with pytest.raises(OperationFailed):
        provider.resume(handle)
    (left,) = provider.snapshots()
    assert left.state is SnapshotState.ERROR
    with pytest.raises(OperationFailed) as caught:
        provider.begin(taking(volume, "two"))
    assert left.id in str(caught.value)
    with another(fake_gce) as other, pytest.raises(OperationFailed):
        other.resume(other.begin(taking(volume, "one")))


def test_too_frequent_snapshots_are_asked_for_anew_more_slowly(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.createSnapshot", "RESOURCE_OPERATION_RATE_EXCEEDED", times=3)
    assert perform(provider, taking(volume)).state is SnapshotState.READY
    assert len(fake_gce.snapshots()) == 1


def test_a_name_that_was_taken_meanwhile_is_looked_at(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.createSnapshot", "RESOURCE_ALREADY_EXISTS")
    with pytest.raises(RequestConflict):
        perform(provider, taking(volume, "loser"))
    winner = perform(provider, taking(volume, "winner"))
    with another(fake_gce) as other:
        assert perform(other, taking(volume, "loser")) == winner


def test_a_snapshot_that_is_being_deleted_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    first = perform(provider, taking(volume, "one"))
    provider.begin(DeleteSnapshot("d", first.id))
    assert list(provider.snapshots()) == []
    second = perform(provider, taking(volume, "two"))
    assert second.id != first.id
    fake_gce.hold_next("snapshots.delete")
    provider.begin(DeleteSnapshot("e", second.id))
    with pytest.raises(WrongVolumeState):
        provider.begin(taking(volume, "three"), deadline=within(fake_gce, 20))


def test_a_snapshot_that_was_deleted_since_has_vanished_for_its_handle(
    provider: GcpProvider, volume: Volume
) -> None:
    handle = provider.begin(taking(volume, "one"))
    first = provider.resume(handle)
    perform(provider, DeleteSnapshot("d", first.id))
    with pytest.raises(Vanished):
        provider.resume(handle)
    second = perform(provider, taking(volume, "two"))
    with pytest.raises(Vanished):  # the namesake is another one
        provider.resume(handle)
    assert [each.id for each in provider.snapshots()] == [second.id]


def test_a_snapshot_of_a_volume_that_is_going_is_not_taken(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    provider.begin(DeleteVolume("d", volume.id))
    with pytest.raises(NotFound):
        provider.begin(taking(volume))
    assert fake_gce.snapshots() == {}


def test_a_volume_is_not_a_snapshot(provider: GcpProvider, volume: Volume) -> None:
    with pytest.raises(NotFound):
        provider.begin(DeleteSnapshot("d", volume.id))
    with pytest.raises(InvalidVolumeId):
        provider.begin(DeleteSnapshot("d", "snap-1"))


def test_a_snapshot_of_a_regional_volume_says_so(provider: GcpProvider) -> None:
    regional = created(provider, "regional", place=REGION)
    snapshot = perform(provider, taking(regional))
    assert snapshot.volume_id == regional.id == f"gcp:{PROJECT}/{REGION}/{number(regional.id)}"


def test_a_snapshot_of_other_software_can_be_deleted_and_is_not_shown(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, taking(volume))
    with fake_gce._cloud.lock:
        theirs = attrs.evolve(the(fake_gce), description="", labels={})
        fake_gce._cloud.snapshots[theirs.id] = theirs
    assert list(provider.snapshots()) == []
    perform(provider, DeleteSnapshot("d", snapshot.id))
    assert fake_gce.snapshots() == {}


def test_deleting_is_by_number_and_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, taking(volume))
    handle = provider.begin(DeleteSnapshot("d", snapshot.id))
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=passed(fake_gce))
    provider.resume(handle)
    call = next(one for one in fake_gce.requests if one.action == "snapshots.delete")
    assert call.parameters["snapshot"] == number(snapshot.id)
    assert latest(fake_gce, "snapshots.delete").scope == "global"
    with another(fake_gce) as other:
        perform(other, DeleteSnapshot("again", snapshot.id))


def test_a_deletion_that_failed_leaves_the_snapshot(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, taking(volume))
    fake_gce.fail_next("snapshots.delete")
    with pytest.raises(OperationFailed):
        perform(provider, DeleteSnapshot("d", snapshot.id))
    assert [each.id for each in provider.snapshots()] == [snapshot.id]
    assert provider.find(DeleteSnapshot("e", snapshot.id)) is None


def test_two_who_delete_at_once_both_succeed(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, taking(volume))
    first = provider.begin(DeleteSnapshot("one", snapshot.id))
    found = provider.find(DeleteSnapshot("two", snapshot.id))
    second = provider.begin(DeleteSnapshot("two", snapshot.id))
    assert found == second
    provider.resume(second)
    provider.resume(first)
    assert fake_gce.snapshots() == {}


def test_a_snapshot_that_cannot_be_deleted_now_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, taking(volume))
    fake_gce.faults.add(Refused("resourceNotReady"), on="snapshots.delete", times=2)
    perform(provider, DeleteSnapshot("d", snapshot.id))
    other = perform(provider, taking(volume, "t", name="weekly"))
    fake_gce.faults.add(Refused("resourceNotReady"), on="snapshots.delete", times=None)
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(DeleteSnapshot("e", other.id), deadline=within(fake_gce, 10))
    assert caught.value.volume_id == other.id


def test_a_deletion_that_another_process_began_is_found(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, taking(volume))
    handle = provider.begin(DeleteSnapshot("d", snapshot.id))
    with another(fake_gce) as other:
        assert other.find(DeleteSnapshot("d", snapshot.id)) == handle


def test_a_deletion_that_was_throttled_after_it_was_accepted_is_asked_for_anew(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, taking(volume))
    fake_gce.fail_next("snapshots.delete", "RATE_LIMIT_EXCEEDED")
    perform(provider, DeleteSnapshot("d", snapshot.id))
    assert fake_gce.snapshots() == {}


def test_a_snapshot_that_stays_although_the_operation_is_done_is_an_error(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, taking(volume))
    stays = the(fake_gce)
    handle = provider.begin(DeleteSnapshot("d", snapshot.id))
    fake_gce.clock.advance(60)
    with fake_gce._cloud.lock:
        fake_gce._cloud.snapshots[stays.id] = stays
    with pytest.raises(OperationFailed):
        provider.resume(handle)


def test_a_snapshot_that_fails_after_its_operation_is_told(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    handle = provider.begin(taking(volume))
    provider.resume(handle)
    with fake_gce._cloud.lock:
        fake_gce._cloud.snapshots[the(fake_gce).id] = attrs.evolve(the(fake_gce), status="FAILED")
    with pytest.raises(OperationFailed):
        provider.resume(handle)


def test_a_volume_that_is_not_ready_for_a_snapshot_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.faults.add(Refused("resourceNotReady"), on="disks.createSnapshot", times=2)
    assert perform(provider, taking(volume)).state is SnapshotState.READY


def test_a_name_that_is_taken_by_what_nobody_sees_is_tried_again(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.faults.add(Refused("alreadyExists", status=409), on="disks.createSnapshot", times=2)
    assert perform(provider, taking(volume)).state is SnapshotState.READY


def test_a_snapshot_that_got_the_name_while_the_operation_ran_is_taken(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.createSnapshot", "RESOURCE_ALREADY_EXISTS")
    handle = provider.begin(taking(volume, "loser"))
    fake_gce.clock.advance(60)
    winner = perform(provider, taking(volume, "winner"))
    assert provider.resume(handle) == winner
