"""The verbs about a volume that exists: attached, detached, larger, gone; and its snapshots."""

from typing import Any

import attrs
import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    AttachStuck,
    CloudcryptError,
    DetachBlocked,
    InvalidRequest,
    InvalidVolumeId,
    ModificationLimited,
    NotFound,
    OperationFailed,
    OperationPending,
    RequestConflict,
    UnsupportedOperation,
    VolumeInUse,
)
from cloudcrypt.journal import State
from cloudcrypt.model import SnapshotState, VolumeState
from cloudcrypt.sizes import MIB
from tests.unit.control_planes import ControlPlane
from tests.unit.shaky_provider import answering, failing, lost_after, lost_before

PENDING = OperationPending("attachment", "vol", "attaching")


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane()


@pytest.fixture
def volume_id(plane: ControlPlane) -> str:
    return plane.volume_id()


def unfinished(plane: ControlPlane) -> list[str]:
    return [entry.operation for entry in plane.provisioner.unfinished()]


# --- attaching ---


def test_a_volume_is_attached_once(plane: ControlPlane, volume_id: str) -> None:
    attachment = plane.provisioner.ensure_attached(volume_id, "node-1")
    assert (attachment.volume_id, attachment.instance) == (volume_id, "node-1")
    assert plane.process().ensure_attached(volume_id, "node-1") == attachment
    assert plane.provider.changes == ["AttachVolume"]
    assert [each.operation for each in plane.entries()] == ["CreateVolume", "AttachVolume"]
    assert plane.entries()[-1].outcome == volume_id


def test_an_attachment_describes_the_size_that_the_volume_has_now(
    plane: ControlPlane, volume_id: str
) -> None:
    before = plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.change(volume_id, size=40 * MIB)
    after = plane.provisioner.ensure_attached(volume_id, "node-1")
    assert after == attrs.evolve(before, size=40 * MIB)


def test_an_attachment_that_others_made_is_described(plane: ControlPlane, volume_id: str) -> None:
    plane.provider.change(volume_id, state=VolumeState.ATTACHED, holders=("node-1",))
    assert plane.provisioner.ensure_attached(volume_id, "node-1").instance == "node-1"


def test_a_volume_that_was_detached_since_is_attached_again(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.change(volume_id, state=VolumeState.AVAILABLE, holders=())
    plane.provisioner.ensure_attached(volume_id, "node-1")
    assert plane.provider.volumes[volume_id].holders == ("node-1",)
    tokens = {entry.intent.token for entry in plane.entries()}
    assert len(tokens) == 3


def test_an_old_attachment_that_is_no_more_is_not_described(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.faults["resume"].append(failing(NotFound("attachment", "of old")))
    plane.provider.asked.clear()
    plane.provisioner.ensure_attached(volume_id, "node-1")
    assert plane.provider.changes == ["AttachVolume"]


def test_a_volume_is_never_taken_from_another_instance(plane: ControlPlane, volume_id: str) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    with pytest.raises(AttachedElsewhere) as caught:
        plane.provisioner.ensure_attached(volume_id, "node-2")
    assert caught.value.holder == "node-1"
    assert plane.states() == [State.DONE, State.DONE, State.FAILED]
    assert plane.provider.volumes[volume_id].holders == ("node-1",)


@pytest.mark.parametrize("fault", [lost_before, lost_after])
def test_an_attachment_whose_answer_was_lost_is_made_once(
    plane: ControlPlane, volume_id: str, fault: Any
) -> None:
    plane.provider.faults["begin"].append(fault)
    plane.provisioner.ensure_attached(volume_id, "node-1")
    assert plane.states() == [State.DONE, State.DONE]


def test_an_attachment_that_fails_later_is_not_tried_again_by_itself(
    plane: ControlPlane, volume_id: str
) -> None:
    error = OperationFailed("attachment", volume_id, "the instance is stopping")
    plane.provider.faults["resume"].append(failing(error))
    with pytest.raises(OperationFailed):
        plane.provisioner.ensure_attached(volume_id, "node-1")
    assert plane.states() == [State.DONE, State.FAILED]


def test_a_detachment_under_way_is_waited_for_before_the_volume_is_attached(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.faults["resume"] += [failing(PENDING)] * 2
    for verb in (plane.provisioner.ensure_detached, plane.provisioner.ensure_attached):
        with pytest.raises(OperationPending):
            verb(volume_id, "node-1")
        assert unfinished(plane) == ["DetachVolume"]
    plane.provider.asked.clear()
    plane.provisioner.ensure_attached(volume_id, "node-1")
    assert plane.provider.asked[0] == "resume DetachVolume"
    assert plane.provider.volumes[volume_id].holders == ("node-1",)


def test_a_wish_that_was_never_accepted_gives_way_to_another_one(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provider.faults["begin"] += [lost_before] * 100
    with pytest.raises(CloudcryptError):
        plane.provisioner.ensure_gone(volume_id, deadline=plane.deadline(1))
    plane.provider.faults.clear()
    plane.provider.asked.clear()
    plane.provisioner.ensure_attached(volume_id, "node-1")
    assert plane.provider.changes == ["AttachVolume"]
    assert plane.states() == [State.DONE, State.FAILED, State.DONE]


def test_a_deletion_that_was_accepted_after_all_is_finished_first(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provider.faults["begin"].append(lost_after)
    plane.provider.faults["find"] += [lost_before] * 100
    with pytest.raises(CloudcryptError):
        plane.provisioner.ensure_gone(volume_id, deadline=plane.deadline(1))
    plane.provider.faults.clear()
    with pytest.raises(NotFound):
        plane.provisioner.ensure_attached(volume_id, "node-1")
    assert plane.states() == [State.DONE, State.DONE, State.FAILED]


def test_what_cannot_be_asked_leaves_no_trace(plane: ControlPlane) -> None:
    with pytest.raises(InvalidVolumeId):
        plane.provisioner.ensure_attached("not an id", "node-1")
    with pytest.raises(InvalidRequest):
        plane.provisioner.ensure_attached("vol-1", "")
    with pytest.raises(InvalidRequest):
        plane.provisioner.ensure_size("vol-1", 0)
    with pytest.raises(InvalidRequest):
        plane.provisioner.ensure_snapshot("vol-1", "")
    assert (plane.entries(), plane.provider.asked) == ((), [])


# --- detaching ---


def test_a_volume_is_detached_once(plane: ControlPlane, volume_id: str) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.asked.clear()
    volume = plane.provisioner.ensure_detached(volume_id, "node-1")
    assert (volume.state, volume.holders) == (VolumeState.AVAILABLE, ())
    assert plane.provisioner.ensure_detached(volume_id, "node-1") == volume
    assert plane.provider.changes == ["DetachVolume"]


def test_a_look_that_is_older_than_the_attachment_is_not_believed(
    plane: ControlPlane, volume_id: str
) -> None:
    before = plane.provider.volumes[volume_id]
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.faults["get"].append(answering(before))
    assert plane.provisioner.ensure_detached(volume_id, "node-1").holders == ()
    assert plane.provider.changes == ["AttachVolume", "DetachVolume"]
    assert plane.provider.volumes[volume_id].holders == ()


def test_a_volume_that_another_instance_has_is_detached_from_this_one(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-2")
    plane.provider.asked.clear()
    assert plane.provisioner.ensure_detached(volume_id, "node-1").holders == ("node-2",)
    assert plane.provider.changes == []


def test_a_volume_that_is_gone_cannot_be_detached(plane: ControlPlane) -> None:
    with pytest.raises(NotFound):
        plane.provisioner.ensure_detached("vol-9", "node-1")


def test_an_attachment_that_is_stuck_can_be_undone(plane: ControlPlane, volume_id: str) -> None:
    plane.provider.faults["resume"].append(failing(AttachStuck(volume_id, "node-1", 90)))
    with pytest.raises(AttachStuck):
        plane.provisioner.ensure_attached(volume_id, "node-1")
    assert unfinished(plane) == ["AttachVolume"]
    assert plane.provisioner.ensure_detached(volume_id, "node-1").holders == ()
    assert plane.states() == [State.DONE, State.FAILED, State.DONE]


def test_a_detachment_that_is_blocked_can_be_asked_for_again_or_forced(
    plane: ControlPlane, volume_id: str
) -> None:
    blocked = DetachBlocked(volume_id, "node-1", 90)
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.faults["resume"] += [failing(blocked)] * 2
    for _ in range(2):
        with pytest.raises(DetachBlocked):
            plane.provisioner.ensure_detached(volume_id, "node-1")
        assert unfinished(plane) == ["DetachVolume"]
    plane.provider.change(volume_id, holders=("node-1",))  # it is attached still
    plane.provisioner.ensure_detached(volume_id, "node-1", force=True)
    assert unfinished(plane) == []
    assert [getattr(each.intent, "force", None) for each in plane.entries()[-2:]] == [False, True]


# --- size and performance ---


def test_a_volume_grows_once(plane: ControlPlane, volume_id: str) -> None:
    grown = plane.provisioner.ensure_size(volume_id, 40 * MIB - 1)
    assert grown.size == 40 * MIB
    assert plane.provisioner.ensure_size(volume_id, 40 * MIB - 1) == grown
    assert plane.provisioner.ensure_size(volume_id, 40 * MIB) == grown
    assert plane.provider.changes == ["ResizeVolume"]


def test_a_volume_never_shrinks(plane: ControlPlane, volume_id: str) -> None:
    with pytest.raises(InvalidRequest, match="never shrinks"):
        plane.provisioner.ensure_size(volume_id, 19 * MIB)
    assert plane.provider.changes == []
    assert len(plane.entries()) == 1


def test_a_change_that_is_not_allowed_now_is_not_waited_for(
    plane: ControlPlane, volume_id: str
) -> None:
    limited = ModificationLimited(volume_id, plane.clock.now())
    plane.provider.faults["begin"].append(failing(limited))
    with pytest.raises(ModificationLimited):
        plane.provisioner.ensure_size(volume_id, 40 * MIB)
    assert plane.clock.pauses == []
    plane.provisioner.ensure_size(volume_id, 40 * MIB)
    assert plane.states() == [State.DONE, State.DONE]


def test_a_volume_is_modified_in_one_operation_and_once(
    plane: ControlPlane, volume_id: str
) -> None:
    wanted: dict[str, Any] = {
        "size": 40 * MIB,
        "kind": "fast",
        "iops": 3000,
        "throughput": 125 * MIB,
    }
    volume = plane.provisioner.ensure_modified(volume_id, **wanted)
    assert {name: getattr(volume, name) for name in wanted} == wanted
    assert plane.provisioner.ensure_modified(volume_id, **wanted) == volume
    assert plane.provisioner.ensure_modified(volume_id, iops=3000) == volume
    assert plane.provisioner.ensure_modified(volume_id) == volume
    assert plane.provider.changes == ["ModifyVolume"]


def test_modifying_never_shrinks_either(plane: ControlPlane, volume_id: str) -> None:
    with pytest.raises(InvalidRequest, match="never shrinks"):
        plane.provisioner.ensure_modified(volume_id, size=19 * MIB, iops=3000)


def test_modifying_is_refused_where_it_is_not_offered(plane: ControlPlane, volume_id: str) -> None:
    plane.provider.capabilities = attrs.evolve(plane.provider.capabilities, modify=False)
    with pytest.raises(UnsupportedOperation):
        plane.provisioner.ensure_modified(volume_id, iops=3000)
    assert plane.provider.asked == []


# --- deleting ---


def test_a_volume_is_deleted_once(plane: ControlPlane, volume_id: str) -> None:
    plane.provisioner.ensure_gone(volume_id)
    plane.provisioner.ensure_gone(volume_id)
    assert plane.provider.changes == ["DeleteVolume"]
    assert plane.provider.volumes == {}
    assert plane.entries()[-1].outcome is None


def test_a_volume_in_use_is_not_deleted_and_not_detached(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    with pytest.raises(VolumeInUse):
        plane.provisioner.ensure_gone(volume_id)
    assert plane.provider.volumes[volume_id].holders == ("node-1",)
    plane.provisioner.ensure_detached(volume_id, "node-1")
    plane.provisioner.ensure_gone(volume_id)
    assert plane.provider.volumes == {}


# --- snapshots ---


def test_a_snapshot_is_taken_once(plane: ControlPlane, volume_id: str) -> None:
    snapshot = plane.provisioner.ensure_snapshot(volume_id, "backup", 7)
    assert (snapshot.volume_id, snapshot.generation) == (volume_id, 7)
    assert plane.provisioner.ensure_snapshot(volume_id, "backup", 7) == snapshot
    assert plane.provisioner.ensure_snapshot(volume_id, "backup") == snapshot
    assert plane.provider.changes == ["CreateSnapshot"]


@pytest.mark.parametrize(
    ("facts", "fields"),
    [
        ({"volume_id": "vol-9"}, ("volume_id",)),
        ({"generation": 8}, ("generation",)),
        ({"volume_id": "vol-9", "generation": 8}, ("volume_id", "generation")),
    ],
)
def test_a_snapshot_of_that_name_that_is_another_one_is_a_conflict(
    plane: ControlPlane, volume_id: str, facts: dict[str, Any], fields: tuple[str, ...]
) -> None:
    taken = plane.provisioner.ensure_snapshot(volume_id, "backup", 7)
    plane.provider.taken[taken.id] = attrs.evolve(taken, **facts)
    with pytest.raises(RequestConflict) as caught:
        plane.provisioner.ensure_snapshot(volume_id, "backup", 7)
    assert caught.value.fields == fields


def test_a_snapshot_that_a_provider_takes_for_the_same_is_compared(
    plane: ControlPlane, volume_id: str
) -> None:
    taken = plane.provisioner.ensure_snapshot(volume_id, "backup", 7)
    plane.provider.faults["snapshots"].append(lambda _: ())
    with pytest.raises(RequestConflict):
        plane.provisioner.ensure_snapshot(volume_id, "backup", 8)
    assert plane.provider.taken == {taken.id: taken}


def test_a_snapshot_that_is_not_complete_is_waited_for(plane: ControlPlane, volume_id: str) -> None:
    taken = plane.provisioner.ensure_snapshot(volume_id, "backup")
    plane.provider.taken[taken.id] = attrs.evolve(taken, state=SnapshotState.PENDING)
    assert plane.provisioner.ensure_snapshot(volume_id, "backup") == taken
    assert len(plane.provider.taken) == 1


def test_a_snapshot_that_failed_is_none(plane: ControlPlane, volume_id: str) -> None:
    failed = plane.provisioner.ensure_snapshot(volume_id, "backup")
    plane.provider.taken[failed.id] = attrs.evolve(failed, state=SnapshotState.ERROR)
    assert plane.provisioner.ensure_snapshot(volume_id, "backup").id != failed.id


def test_a_snapshot_that_fails_later_is_tried_again_with_a_new_token(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provider.doomed.append(OperationFailed("snapshot", "backup", "an internal error"))
    plane.provisioner.ensure_snapshot(volume_id, "backup")
    attempts = [each.attempt for each in plane.entries(operation="CreateSnapshot")]
    assert attempts == [1, 2]
    assert len(plane.provider.taken) == 1


def test_a_snapshot_is_deleted_once(plane: ControlPlane, volume_id: str) -> None:
    taken = plane.provisioner.ensure_snapshot(volume_id, "backup")
    plane.provider.asked.clear()
    plane.provisioner.ensure_snapshot_gone(taken.id)
    plane.provisioner.ensure_snapshot_gone(taken.id)
    assert plane.provider.changes == ["DeleteSnapshot"]
    assert plane.provider.taken == {}
