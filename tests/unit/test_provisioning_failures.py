"""`ensure_volume` when the provider loses answers, refuses, fails later, or takes too long."""

from typing import Any

import attrs
import pytest

from cloudcrypt.errors import (
    AccessDenied,
    CloudcryptError,
    InvalidRequest,
    NotFound,
    OperationFailed,
    OperationPending,
    OutOfCapacity,
    ProviderUnavailable,
    QuotaExceeded,
    RequestConflict,
    Throttled,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.journal import State
from cloudcrypt.model import VolumeState
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.provisioning.operations import shared_token
from cloudcrypt.sizes import MIB
from tests.unit.control_planes import REQUEST, ControlPlane
from tests.unit.shaky_provider import LOST, answering, failing, lost_after, lost_before

FAILED = OperationFailed("creation", "data", "the key of the cloud is disabled")


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane()


def token(attempt: int) -> str:
    return shared_token("shaky:here", REQUEST.intent("-"), attempt)


# --- answers that are lost ---


@pytest.mark.parametrize("fault", [lost_before, lost_after])
def test_a_lost_answer_is_looked_for_and_then_asked_for_again(
    plane: ControlPlane, fault: Any
) -> None:
    plane.provider.faults["begin"].append(fault)
    plane.provisioner.ensure_volume(REQUEST)
    assert "find CreateVolume" in plane.provider.asked
    assert len(plane.provider.volumes) == len(plane.entries()) == 1
    assert len(plane.provider.changes) == (2 if fault is lost_before else 1)


def test_a_provider_that_finds_late_is_asked_again_with_the_same_token(
    plane: ControlPlane,
) -> None:
    plane.provider.faults["begin"].append(lost_after)
    plane.provider.faults["find"].append(answering(None))
    plane.provisioner.ensure_volume(REQUEST)
    assert len(plane.provider.tokens) == len(plane.provider.volumes) == 1


def test_what_was_answered_is_not_looked_for(plane: ControlPlane) -> None:
    busy = WrongVolumeState("vol-1", "deleting", "another of the same name")
    plane.provider.faults["begin"] += [failing(Throttled("requests")), failing(busy)]
    plane.provisioner.ensure_volume(REQUEST)
    assert plane.provider.asked == ["list", *["begin CreateVolume"] * 3, "resume CreateVolume"]


def test_an_answer_that_was_lost_before_is_still_looked_for(plane: ControlPlane) -> None:
    plane.provider.faults["begin"] += [lost_after, failing(Throttled("requests"))]
    plane.provider.faults["find"].append(answering(None))
    plane.provisioner.ensure_volume(REQUEST)
    assert plane.provider.asked.count("find CreateVolume") == 2
    assert len(plane.provider.volumes) == 1


def test_looks_and_waits_are_repeated_while_the_provider_does_not_answer(
    plane: ControlPlane,
) -> None:
    for verb in ("list", "resume", "get"):
        plane.provider.faults[verb] += [lost_before, failing(Throttled("requests"))]
    volume = plane.provisioner.ensure_volume(REQUEST)
    assert plane.provisioner.ensure_volume(REQUEST) == volume
    assert plane.provider.changes == ["CreateVolume"]


def test_at_the_deadline_the_last_word_of_the_provider_is_raised_and_the_intent_stays(
    plane: ControlPlane,
) -> None:
    plane.provider.faults["begin"] += [lost_before] * 1000
    with pytest.raises(ProviderUnavailable) as caught:
        plane.provisioner.ensure_volume(REQUEST, deadline=plane.deadline(60))
    assert caught.value is LOST
    assert plane.states() == [State.PENDING]
    plane.provider.faults.clear()
    plane.process().ensure_volume(REQUEST)
    assert plane.states() == [State.DONE]
    assert len(plane.provider.volumes) == 1


@pytest.mark.parametrize(
    "error",
    [
        OutOfCapacity("volumes", "here"),
        WrongVolumeState("vol-1", "error", "another of the same name"),
    ],
)
def test_what_will_not_change_soon_is_raised_at_once_and_can_be_asked_for_again(
    plane: ControlPlane, error: CloudcryptError
) -> None:
    plane.provider.faults["begin"].append(failing(error))
    with pytest.raises(type(error)):
        plane.provisioner.ensure_volume(REQUEST)
    assert (plane.clock.pauses, plane.states()) == ([], [State.PENDING])
    plane.provisioner.ensure_volume(REQUEST)
    assert [entry.intent.token for entry in plane.entries()] == [token(1)]


def test_another_request_takes_the_place_of_one_that_was_never_accepted(
    plane: ControlPlane,
) -> None:
    plane.provider.faults["begin"].append(failing(OutOfCapacity("volumes", "here")))
    with pytest.raises(OutOfCapacity):
        plane.provisioner.ensure_volume(attrs.evolve(REQUEST, place="here"))
    plane.provisioner.ensure_volume(attrs.evolve(REQUEST, place="there"))
    first, second = plane.entries()
    assert (first.state, second.state) == (State.FAILED, State.DONE)
    assert "given up" in str(first.error)
    assert second.intent.token == token(2)


def test_another_request_waits_for_one_that_was_accepted_and_then_differs(
    plane: ControlPlane,
) -> None:
    plane.provider.faults["begin"].append(lost_after)
    plane.provider.faults["find"] += [lost_before] * 100
    with pytest.raises(ProviderUnavailable):
        plane.provisioner.ensure_volume(REQUEST, deadline=plane.deadline(1))
    plane.provider.faults.clear()
    with pytest.raises(RequestConflict) as caught:
        plane.provisioner.ensure_volume(attrs.evolve(REQUEST, size=40 * MIB))
    assert caught.value.fields == ("size",)
    assert plane.states() == [State.DONE]


# --- refusals ---


@pytest.mark.parametrize(
    "error",
    [
        AccessDenied("CreateVolume"),
        QuotaExceeded("more volumes"),
        InvalidRequest("size", 1, "more"),
        RequestConflict("data", ("size",)),
    ],
)
def test_a_refusal_is_final_for_its_operation_and_the_next_call_has_another_token(
    plane: ControlPlane, error: CloudcryptError
) -> None:
    plane.provider.faults["begin"].append(failing(error))
    with pytest.raises(type(error)) as caught:
        plane.provisioner.ensure_volume(REQUEST)
    assert caught.value is error
    (entry,) = plane.entries()
    assert (entry.state, entry.reference) == (State.FAILED, None)
    assert entry.error == f"{type(error).__name__}: {error.message}"
    plane.provisioner.ensure_volume(REQUEST)
    assert [each.intent.token for each in plane.entries()] == [token(1), token(2)]


# --- failures after acceptance ---


@pytest.mark.parametrize("error", [FAILED, Vanished("volume", "data"), NotFound("volume", "data")])
def test_a_creation_that_fails_later_is_tried_again_with_a_new_token(
    plane: ControlPlane, error: CloudcryptError
) -> None:
    plane.provider.doomed += [error, error]
    volume = plane.provisioner.ensure_volume(REQUEST)
    assert list(plane.provider.volumes) == [volume.id]
    assert plane.states() == [State.FAILED, State.FAILED, State.DONE]
    assert [entry.attempt for entry in plane.entries()] == [1, 2, 3]
    assert [entry.intent.token for entry in plane.entries()] == [token(n) for n in (1, 2, 3)]


def test_a_call_makes_so_many_attempts_and_a_later_process_goes_on_from_there(
    plane: ControlPlane,
) -> None:
    plane.provider.doomed += [FAILED] * 5
    with pytest.raises(OperationFailed) as caught:
        plane.provisioner.ensure_volume(REQUEST)
    assert caught.value is FAILED
    assert len(plane.entries()) == 3
    plane.process().ensure_volume(REQUEST)
    assert [entry.attempt for entry in plane.entries()] == [1, 2, 3, 4, 5, 6]
    assert len({entry.intent.token for entry in plane.entries()}) == 6


def test_a_crash_between_two_attempts_does_not_use_a_burnt_token_again(
    plane: ControlPlane,
) -> None:
    plane.provider.doomed.append(FAILED)
    with pytest.raises(OperationFailed):
        plane.process(attempts=1).ensure_volume(REQUEST)
    plane.process(attempts=1).ensure_volume(REQUEST)
    assert [entry.intent.token for entry in plane.entries()] == [token(1), token(2)]


def test_at_least_one_attempt_is_made(plane: ControlPlane) -> None:
    with pytest.raises(InvalidRequest, match="attempts"):
        Provisioner(plane.provider, plane.journal, attempts=0)


def test_a_quota_that_shows_after_acceptance_is_not_tried_again(plane: ControlPlane) -> None:
    plane.provider.doomed.append(QuotaExceeded("more volumes"))
    with pytest.raises(QuotaExceeded):
        plane.provisioner.ensure_volume(REQUEST)
    assert plane.states() == [State.FAILED]


@pytest.mark.parametrize("other", [REQUEST, attrs.evolve(REQUEST, size=40 * MIB)])
def test_a_token_that_another_host_has_burnt_is_passed_over(
    plane: ControlPlane, other: VolumeRequest
) -> None:
    host = ControlPlane(plane.provider)
    plane.provider.doomed.append(FAILED)
    with pytest.raises(OperationFailed):
        host.process(attempts=1).ensure_volume(other)
    plane.provisioner.ensure_volume(REQUEST)
    assert plane.states() == [State.FAILED, State.DONE]


def test_a_token_that_the_provider_says_is_burnt_is_passed_over(plane: ControlPlane) -> None:
    plane.provider.faults["begin"].append(failing(Vanished("volume", "data")))
    plane.provisioner.ensure_volume(REQUEST)
    assert plane.states() == [State.FAILED, State.DONE]


def test_a_volume_that_was_deleted_since_is_made_anew(plane: ControlPlane) -> None:
    first = plane.provisioner.ensure_volume(REQUEST)
    del plane.provider.volumes[first.id]
    second = plane.provisioner.ensure_volume(REQUEST)
    assert second.id != first.id
    assert [entry.intent.token for entry in plane.entries()] == [token(1), token(2)]


def test_a_volume_that_is_not_shown_for_a_moment_is_not_made_anew(plane: ControlPlane) -> None:
    volume = plane.provisioner.ensure_volume(REQUEST)
    plane.provider.faults["get"].append(failing(NotFound("volume", volume.id)))
    plane.provider.faults["list"].append(answering(()))
    assert plane.provisioner.ensure_volume(REQUEST) == volume
    assert len(plane.entries()) == 1


@pytest.mark.parametrize("state", [VolumeState.ERROR, VolumeState.DELETING])
def test_a_volume_that_has_failed_or_goes_is_left_alone(
    plane: ControlPlane, state: VolumeState
) -> None:
    dead = plane.volume_id()
    plane.provider.change(dead, state=state, name="data" if state is VolumeState.ERROR else "old")
    volume = plane.provisioner.ensure_volume(REQUEST)
    assert volume.id != dead
    assert plane.provider.volumes[dead].state is state


# --- deadlines ---


def test_a_wait_that_ends_leaves_the_operation_to_the_next_call(plane: ControlPlane) -> None:
    pending = OperationPending("creation", "data", "creating")
    plane.provider.faults["resume"].append(failing(pending))
    with pytest.raises(OperationPending):
        plane.provisioner.ensure_volume(REQUEST)
    assert plane.states() == [State.ACCEPTED]
    plane.provider.asked.clear()
    plane.process().ensure_volume(REQUEST)
    assert plane.provider.asked == ["resume CreateVolume", "get"]
    assert plane.states() == [State.DONE]


def test_the_provider_is_given_the_deadline_of_the_caller(plane: ControlPlane) -> None:
    deadline = plane.deadline(5)
    plane.provider.faults["begin"] += [lost_before] * 1000
    with pytest.raises(ProviderUnavailable):
        plane.provisioner.ensure_volume(REQUEST, deadline=deadline)
    assert sum(plane.clock.pauses) <= 5
