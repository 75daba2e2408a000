"""What the control plane does when it cannot know: it uses one token, and surprises nobody."""

from typing import Any

import attrs
import pytest

from cloudcrypt.errors import (
    AccessDenied,
    CloudcryptError,
    NotFound,
    OperationPending,
    ProviderUnavailable,
    RequestConflict,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.journal import State
from cloudcrypt.provisioning.operations import shared_token
from tests.unit.control_planes import REQUEST, ControlPlane
from tests.unit.shaky_provider import answering, failing, lost_after, lost_before

PENDING = OperationPending("detachment", "vol", "detaching")


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane()


@pytest.fixture
def volume_id(plane: ControlPlane) -> str:
    return plane.volume_id()


def never_begun(plane: ControlPlane, verb: str, *args: Any, fault: Any = lost_before) -> str:
    """Ask for something that is never answered, and return the id of its entry."""
    plane.provider.faults["begin"].append(fault)
    plane.provider.faults["find"] += [lost_before] * 100
    with pytest.raises(ProviderUnavailable):
        getattr(plane.provisioner, verb)(*args, deadline=plane.deadline(1))
    plane.provider.faults.clear()
    plane.provider.asked.clear()
    (entry,) = plane.provisioner.unfinished()
    assert entry.state is State.PENDING
    return entry.id


# --- creations that are refused after an answer was lost ---


def test_a_creation_that_is_refused_after_a_lost_answer_keeps_its_token(
    plane: ControlPlane,
) -> None:
    denied = AccessDenied("CreateVolume")
    plane.provider.faults["begin"] += [lost_after, failing(denied)]
    plane.provider.faults["find"].append(answering(None))
    with pytest.raises(AccessDenied):
        plane.provisioner.ensure_volume(REQUEST)
    assert plane.states() == [State.PENDING]
    plane.process().ensure_volume(REQUEST)
    assert plane.states() == [State.DONE]
    assert len(plane.provider.tokens) == len(plane.provider.volumes) == 1


def test_a_creation_that_is_refused_at_once_the_next_time_has_failed(plane: ControlPlane) -> None:
    denied = AccessDenied("CreateVolume")
    plane.provider.faults["begin"] += [lost_before, failing(denied), failing(denied)]
    for state in (State.PENDING, State.FAILED):
        with pytest.raises(AccessDenied):
            plane.process().ensure_volume(REQUEST)
        assert plane.states() == [state]


def test_a_token_that_is_burnt_after_a_lost_answer_is_passed_over(plane: ControlPlane) -> None:
    token = shared_token("shaky:here", REQUEST.intent("-"), 1)
    for error in (Vanished("volume", "data"), RequestConflict(token, ("size",))):
        plane = ControlPlane()
        plane.provider.faults["begin"] += [lost_before, failing(error)]
        plane.provisioner.ensure_volume(REQUEST)
        assert plane.states() == [State.FAILED, State.DONE]


def test_an_attachment_that_is_refused_after_a_lost_answer_has_failed(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provider.faults["begin"] += [lost_before, failing(AccessDenied("AttachVolume"))]
    with pytest.raises(AccessDenied):
        plane.provisioner.ensure_attached(volume_id, "node-1")
    assert plane.states() == [State.DONE, State.FAILED]


# --- what was never accepted and takes something away ---


def test_everything_is_resumed_but_what_takes_away_and_was_never_accepted(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    taken = plane.provisioner.ensure_snapshot(volume_id, "backup")
    for verb, args in (
        ("ensure_detached", (volume_id, "node-1")),
        ("ensure_snapshot_gone", (taken.id,)),
        ("ensure_gone", (volume_id,)),
    ):
        never_begun(plane, verb, *args)
        (resumption,) = plane.process().resume_all()
        assert (resumption.error, resumption.entry.state) == (None, State.FAILED)
        assert "given up" in str(resumption.entry.error)
    assert (plane.provider.changes, plane.provisioner.unfinished()) == ([], ())
    assert plane.provider.volumes[volume_id].holders == ("node-1",)
    assert list(plane.provider.taken) == [taken.id]


def test_what_takes_away_and_was_accepted_is_resumed_with_everything(
    plane: ControlPlane, volume_id: str
) -> None:
    never_begun(plane, "ensure_gone", volume_id, fault=lost_after)
    (resumption,) = plane.process().resume_all()
    assert (resumption.error, resumption.entry.state) == (None, State.DONE)
    assert plane.provider.asked == ["find DeleteVolume", "resume DeleteVolume"]


def test_what_takes_away_is_begun_by_who_names_it(plane: ControlPlane, volume_id: str) -> None:
    operation_id = never_begun(plane, "ensure_gone", volume_id)
    assert plane.process().resume(operation_id).state is State.DONE
    assert plane.provider.volumes == {}


def test_what_makes_something_is_begun_with_everything(plane: ControlPlane, volume_id: str) -> None:
    never_begun(plane, "ensure_attached", volume_id, "node-1")
    (resumption,) = plane.process().resume_all()
    assert resumption.entry.state is State.DONE
    assert plane.provider.volumes[volume_id].holders == ("node-1",)


# --- a volume that is wished for, and an old wish that it were gone ---


def test_a_volume_that_is_wished_for_is_not_deleted_by_an_old_wish(
    plane: ControlPlane, volume_id: str
) -> None:
    operation_id = never_begun(plane, "ensure_gone", volume_id)
    assert plane.process().ensure_volume(REQUEST).id == volume_id
    assert plane.provisioner.unfinished() == ()
    assert plane.provisioner.resume(operation_id).state is State.FAILED
    assert list(plane.provider.volumes) == [volume_id]


def test_so_it_is_when_the_volume_was_found_by_asking_for_it(
    plane: ControlPlane, volume_id: str
) -> None:
    never_begun(plane, "ensure_gone", volume_id)
    plane.journal.prune(plane.clock.now().replace(year=2100))
    plane.provider.faults["list"].append(answering(()))
    assert plane.process().ensure_volume(REQUEST).id == volume_id
    assert plane.provisioner.unfinished() == ()


def test_a_volume_whose_deletion_was_accepted_after_all_is_made_anew(
    plane: ControlPlane, volume_id: str
) -> None:
    before = plane.provider.volumes[volume_id]
    never_begun(plane, "ensure_gone", volume_id, fault=lost_after)
    plane.provider.faults["get"].append(answering(before))  # a look that is old
    made = plane.process().ensure_volume(REQUEST)
    assert list(plane.provider.volumes) == [made.id]
    assert made.id != volume_id
    assert plane.states() == [State.DONE] * 3


def test_what_another_caller_is_at_is_left_to_it(plane: ControlPlane, volume_id: str) -> None:
    never_begun(plane, "ensure_gone", volume_id)
    namespace, subject = plane.provider.namespace, f"volume {volume_id}"
    with plane.journal.hold(namespace, subject, deadline=plane.deadline()):
        assert plane.provisioner.ensure_volume(REQUEST).id == volume_id
    assert plane.states() == [State.DONE, State.PENDING]


def test_other_wishes_about_a_volume_that_is_wished_for_stay(
    plane: ControlPlane, volume_id: str
) -> None:
    never_begun(plane, "ensure_attached", volume_id, "node-1")
    plane.provisioner.ensure_volume(REQUEST)
    assert plane.states() == [State.DONE, State.PENDING]


# --- deletions that were never done ---


def test_a_volume_that_is_there_is_not_gone_whatever_the_journal_says(
    plane: ControlPlane, volume_id: str
) -> None:
    there = plane.provider.volumes[volume_id]
    plane.provisioner.ensure_gone(volume_id)
    plane.provider.volumes[volume_id] = there
    plane.provisioner.ensure_gone(volume_id)
    assert plane.provider.volumes == {}
    assert plane.provider.changes == ["DeleteVolume"] * 2


def test_so_it_is_with_a_snapshot(plane: ControlPlane, volume_id: str) -> None:
    taken = plane.provisioner.ensure_snapshot(volume_id, "backup")
    plane.provisioner.ensure_snapshot_gone(taken.id)
    plane.provider.taken[taken.id] = taken
    plane.provisioner.ensure_snapshot_gone(taken.id)
    assert plane.provider.taken == {}


# --- detaching and attaching ---


def test_a_detachment_from_another_instance_is_waited_for(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.faults["resume"].append(failing(PENDING))
    with pytest.raises(OperationPending):
        plane.provisioner.ensure_detached(volume_id, "node-1")
    plane.provider.asked.clear()
    plane.provisioner.ensure_detached(volume_id, "node-2")
    assert plane.provider.asked[0] == "resume DetachVolume"
    assert State.FAILED not in plane.states()


def test_a_detachment_by_force_is_waited_for_by_one_without(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.faults["resume"].append(failing(PENDING))
    with pytest.raises(OperationPending):
        plane.provisioner.ensure_detached(volume_id, "node-1", force=True)
    plane.provisioner.ensure_detached(volume_id, "node-1")
    assert State.FAILED not in plane.states()


def test_a_detachment_from_another_instance_says_nothing_about_this_one(
    plane: ControlPlane, volume_id: str
) -> None:
    before = plane.provider.volumes[volume_id]
    plane.provisioner.ensure_detached(volume_id, "node-2")
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.faults["get"].append(answering(before))  # a look that is old
    assert plane.provisioner.ensure_detached(volume_id, "node-1").holders == ()
    assert plane.provider.volumes[volume_id].holders == ()


def test_an_attachment_that_is_being_undone_is_asked_for_again(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "node-1")
    leaving = failing(WrongVolumeState(volume_id, "detaching", "attachment"))
    plane.provider.faults["resume"].append(leaving)
    plane.provider.asked.clear()
    assert plane.provisioner.ensure_attached(volume_id, "node-1").instance == "node-1"
    assert plane.provider.changes == ["AttachVolume"]


def test_an_attachment_that_is_undone_before_it_is_resumed_is_waited_out(
    plane: ControlPlane, volume_id: str
) -> None:
    leaving = failing(WrongVolumeState(volume_id, "detaching", "attachment"))
    gone = failing(NotFound("attachment", volume_id))
    plane.provider.faults["resume"] += [failing(PENDING), leaving, leaving, gone]
    with pytest.raises(OperationPending):
        plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provider.change(volume_id, holders=())
    assert plane.provisioner.ensure_attached(volume_id, "node-1").instance == "node-1"
    assert plane.states() == [State.DONE, State.FAILED, State.DONE]


# --- who made it ---


def test_a_volume_is_known_to_be_blank_by_the_journal_that_made_it(plane: ControlPlane) -> None:
    other = ControlPlane(plane.provider)
    plane.provider.faults["list"] += [answering(())] * 2  # neither sees the other's
    volumes = [each.provisioner.ensure_volume(REQUEST) for each in (plane, other)]
    assert [volume.maker for volume in volumes] == [plane.journal.id] * 2
    assert [each.entries()[0].blank for each in (plane, other)] == [True, False]


def test_a_provider_that_does_not_tell_who_made_it_proves_nothing(plane: ControlPlane) -> None:
    plane.provider.faults["resume"].append(lambda call: attrs.evolve(call(), maker=None))
    plane.provisioner.ensure_volume(REQUEST)
    assert [entry.blank for entry in plane.entries()] == [False]


def test_a_look_that_is_too_short_to_be_sure_leaves_everything_as_it_is(
    plane: ControlPlane,
) -> None:
    never_begun(plane, "ensure_volume", REQUEST, fault=lost_after)
    early: CloudcryptError = OperationPending("CreateVolume", "data", "too early to be sure")
    plane.provider.faults["find"].append(failing(early))
    with pytest.raises(OperationPending):
        plane.provisioner.ensure_volume(attrs.evolve(REQUEST, size=2 * REQUEST.size))
    assert plane.states() == [State.PENDING]


def test_an_instance_in_another_spelling_is_the_same_one(
    plane: ControlPlane, volume_id: str
) -> None:
    plane.provisioner.ensure_attached(volume_id, "VM-1")
    assert plane.provider.volumes[volume_id].holders == ("vm-1",)
    assert plane.provisioner.ensure_detached(volume_id, "Vm-1").holders == ()
    assert plane.provider.volumes[volume_id].holders == ()
