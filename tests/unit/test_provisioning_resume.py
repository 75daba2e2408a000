"""Unfinished operations, two callers for one volume, and callers who give up."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import attrs
import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    InvalidRequest,
    JournalUnavailable,
    OperationBusy,
    OperationCancelled,
    OperationPending,
    OperationUnknown,
    OutOfCapacity,
    ProviderUnavailable,
)
from cloudcrypt.journal import Entry, OnBusy, State
from cloudcrypt.model import Volume
from cloudcrypt.provisioning import Provisioner
from cloudcrypt.spi import DeleteVolume
from cloudcrypt.waiting import Cancellation, Deadline
from tests.unit.control_planes import REQUEST, ControlPlane
from tests.unit.cuts import Life, MortalJournal
from tests.unit.shaky_provider import failing, lost_after, lost_before, working

SLOW = OperationPending("creation", "data", "creating")
FULL = OutOfCapacity("volumes", "here")


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane()


def interrupted(plane: ControlPlane, error: CloudcryptError, verb: str = "resume") -> Entry:
    """Ask for a volume, let it be unfinished, and return the entry."""
    plane.provider.faults[verb].append(failing(error))
    with pytest.raises(type(error)):
        plane.provisioner.ensure_volume(REQUEST)
    (entry,) = plane.provisioner.unfinished()
    plane.provider.asked.clear()
    return entry


# --- resuming ---


def test_an_accepted_operation_is_resumed_by_its_handle(plane: ControlPlane) -> None:
    entry = interrupted(plane, SLOW)
    resumed = plane.process().resume(entry.id)
    assert plane.provider.asked == ["resume CreateVolume"]
    assert resumed == plane.journal.get(entry.id)
    assert (resumed.state, resumed.outcome) == (State.DONE, entry.reference)
    assert plane.provisioner.unfinished() == ()


def test_an_operation_that_was_never_accepted_is_looked_for_and_begun(plane: ControlPlane) -> None:
    entry = interrupted(plane, FULL, "begin")
    assert plane.process().resume(entry.id).state is State.DONE
    assert plane.provider.asked == [f"{verb} CreateVolume" for verb in ("find", "begin", "resume")]


def test_an_operation_whose_answer_was_lost_is_found(plane: ControlPlane) -> None:
    plane.provider.faults["begin"].append(lost_after)
    plane.provider.faults["find"] += [lost_before] * 100
    with pytest.raises(ProviderUnavailable):
        plane.provisioner.ensure_volume(REQUEST, deadline=plane.deadline(1))
    plane.provider.faults.clear()
    plane.provider.asked.clear()
    (entry,) = plane.provisioner.unfinished()
    plane.process().resume(entry.id)
    assert plane.provider.asked == ["find CreateVolume", "resume CreateVolume"]


def test_a_finished_operation_is_left_alone(plane: ControlPlane) -> None:
    plane.provisioner.ensure_volume(REQUEST)
    plane.provider.asked.clear()
    (entry,) = plane.entries()
    assert plane.provisioner.resume(entry.id) == entry
    assert plane.provider.asked == []


def test_an_operation_that_is_refused_now_has_failed(plane: ControlPlane) -> None:
    entry = interrupted(plane, FULL, "begin")
    plane.provider.faults["begin"].append(failing(InvalidRequest("size", 1, "more")))
    with pytest.raises(InvalidRequest):
        plane.provisioner.resume(entry.id)
    assert plane.states() == [State.FAILED]


def test_an_unknown_operation_is_said_to_be_unknown(plane: ControlPlane) -> None:
    with pytest.raises(OperationUnknown, match="op-9"):
        plane.provisioner.resume("op-9")


def test_an_operation_of_another_provider_is_not_resumed_here(plane: ControlPlane) -> None:
    entry = interrupted(plane, SLOW)
    foreign = attrs.evolve(entry, id="op-2", namespace="shaky:there")
    plane.journal.add(foreign)
    with pytest.raises(OperationUnknown):
        plane.provisioner.resume("op-2")
    assert plane.provisioner.unfinished() == (entry,)


def test_everything_unfinished_is_resumed_and_one_failure_does_not_stop_the_rest(
    plane: ControlPlane,
) -> None:
    for name in ("a", "b", "c"):
        plane.provider.faults["resume"].append(failing(SLOW))
        with pytest.raises(OperationPending):
            plane.provisioner.ensure_volume(attrs.evolve(REQUEST, name=name))
    entries = plane.provisioner.unfinished()
    assert [getattr(entry.intent, "name", "") for entry in entries] == ["a", "b", "c"]
    plane.provider.faults["resume"] += [working, failing(SLOW)]
    resumptions = plane.process().resume_all()
    assert [each.error for each in resumptions] == [None, SLOW, None]
    assert [each.entry.state for each in resumptions] == [
        State.DONE,
        State.ACCEPTED,
        State.DONE,
    ]
    assert [entry.id for entry in plane.provisioner.unfinished()] == [entries[1].id]


def test_what_another_caller_is_at_work_on_is_left_to_it(plane: ControlPlane) -> None:
    entry = interrupted(plane, SLOW)
    with plane.journal.hold(entry.namespace, entry.subject, deadline=plane.deadline()):
        (resumption,) = plane.process(on_busy=OnBusy.RAISE).resume_all()
    assert isinstance(resumption.error, OperationBusy)
    assert resumption.entry == entry


# --- two callers ---


def two_callers(plane: ControlPlane, on_busy: OnBusy) -> tuple[Volume, Volume | OperationBusy]:
    """Let two callers make one volume, the second while the first is at it; return what they got.

    The first goes on when the second waits, or has got its answer.
    """
    at_it, go_on = threading.Event(), threading.Event()

    def slow(call: Callable[[], object]) -> object:
        at_it.set()
        assert go_on.wait(60)
        return call()

    plane.provider.faults["begin"].append(slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(plane.provisioner.ensure_volume, REQUEST)
        assert at_it.wait(60)

        def let_it_finish() -> None:
            go_on.set()
            wait([first], 60)

        plane.clock.while_sleeping = let_it_finish
        second: Volume | OperationBusy
        try:
            second = plane.process(on_busy=on_busy).ensure_volume(REQUEST)
        except OperationBusy as error:
            second = error
        go_on.set()
        return first.result(60), second


def test_of_two_callers_for_one_name_one_waits_and_both_get_the_volume(
    plane: ControlPlane,
) -> None:
    first, second = two_callers(plane, OnBusy.WAIT)
    assert first == second
    assert plane.provider.changes == ["CreateVolume"]


def test_a_caller_who_does_not_wait_gets_a_typed_error(plane: ControlPlane) -> None:
    first, second = two_callers(plane, OnBusy.RAISE)
    assert first.name == "data"
    assert isinstance(second, OperationBusy)
    assert second.retryable


def test_all_operations_on_one_volume_exclude_each_other(plane: ControlPlane) -> None:
    volume_id = plane.volume_id()
    other = plane.process(on_busy=OnBusy.RAISE)
    verbs: list[Callable[[Provisioner], object]] = [
        lambda each: each.ensure_attached(volume_id, "node-1"),
        lambda each: each.ensure_detached(volume_id, "node-1"),
        lambda each: each.ensure_size(volume_id, REQUEST.size),
        lambda each: each.ensure_modified(volume_id, iops=1),
        lambda each: each.ensure_gone(volume_id),
    ]
    with plane.journal.hold(
        plane.provider.namespace, f"volume {volume_id}", deadline=plane.deadline()
    ):
        for verb in verbs:
            with pytest.raises(OperationBusy):
                verb(other)
    assert plane.provider.asked == []


def test_many_threads_that_want_one_volume_make_one(plane: ControlPlane) -> None:
    def make(_: int) -> Volume:
        return plane.process().ensure_volume(REQUEST, deadline=Deadline.after(60))

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(24)))
    assert len({volume.id for volume in made}) == len(plane.provider.volumes) == 1
    assert plane.provider.changes == ["CreateVolume"]


# --- giving up ---


def test_who_cancels_before_changes_nothing(plane: ControlPlane) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(OperationCancelled):
        plane.provisioner.ensure_volume(REQUEST, deadline=plane.deadline(60, cancellation))
    assert (plane.provider.asked, plane.entries()) == ([], ())


@pytest.mark.parametrize(
    ("verb", "state"),
    [("list", None), ("begin", State.PENDING), ("resume", State.ACCEPTED)],
)
def test_who_cancels_while_it_waits_leaves_the_operation_to_the_next_call(
    plane: ControlPlane, verb: str, state: State | None
) -> None:
    cancellation = Cancellation()
    plane.clock.while_sleeping = cancellation.cancel
    plane.provider.faults[verb].append(lost_before)
    with pytest.raises(OperationCancelled):
        plane.provisioner.ensure_volume(REQUEST, deadline=plane.deadline(60, cancellation))
    assert plane.states() == ([] if state is None else [state])
    plane.process().ensure_volume(REQUEST)
    assert plane.states() == [State.DONE]
    assert len(plane.provider.volumes) == 1


def test_a_provider_that_is_cancelled_leaves_it_open_whether_it_was_accepted(
    plane: ControlPlane,
) -> None:
    plane.provider.faults["begin"].append(failing(OperationCancelled()))
    with pytest.raises(OperationCancelled):
        plane.provisioner.ensure_volume(REQUEST)
    assert plane.states() == [State.PENDING]


def test_an_error_that_nobody_expected_leaves_the_entry_as_it_is(plane: ControlPlane) -> None:
    plane.provider.faults["resume"].append(failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        plane.provisioner.ensure_volume(REQUEST)
    assert plane.states() == [State.ACCEPTED]
    plane.provisioner.ensure_volume(REQUEST)
    assert plane.states() == [State.DONE]


# --- the journal ---


def test_nothing_is_asked_of_a_provider_before_the_journal_has_the_intent(
    plane: ControlPlane,
) -> None:
    class Full(MortalJournal):
        def add(self, entry: Entry) -> Entry:
            raise JournalUnavailable("journal", f"no space left for {entry.subject}")

    full = Provisioner(plane.provider, Full(plane.journal, Life()), clock=plane.clock)
    with pytest.raises(JournalUnavailable):
        full.ensure_volume(REQUEST)
    assert plane.provider.changes == []


def test_an_outcome_that_could_not_be_stored_is_found_again(plane: ControlPlane) -> None:
    class Full(MortalJournal):
        def replace(self, old: Entry, new: Entry) -> Entry:
            if new.state is State.DONE:
                raise JournalUnavailable("journal", "no space left")
            return super().replace(old, new)

    full = Provisioner(plane.provider, Full(plane.journal, Life()), clock=plane.clock)
    with pytest.raises(JournalUnavailable):
        full.ensure_volume(REQUEST)
    assert plane.states() == [State.ACCEPTED]
    plane.provisioner.ensure_volume(REQUEST)
    assert plane.provider.changes == ["CreateVolume"]


def test_an_entry_that_others_forgot_is_not_retried(plane: ControlPlane) -> None:
    """The journal is pruned by hand while a creation fails: there is nothing to go on from."""

    class Forgetful(MortalJournal):
        def get(self, operation_id: str) -> Entry | None:
            assert super().get(operation_id) is not None
            return None

    plane.provider.doomed.append(FULL_FAILURE)
    forgetful = Provisioner(plane.provider, Forgetful(plane.journal, Life()), clock=plane.clock)
    with pytest.raises(type(FULL_FAILURE)):
        forgetful.ensure_volume(REQUEST)


FULL_FAILURE = OutOfCapacity("volumes", "here")


def test_operations_that_are_not_creations_have_tokens_of_their_own(plane: ControlPlane) -> None:
    volume_id = plane.volume_id()
    plane.provisioner.ensure_attached(volume_id, "node-1")
    plane.provisioner.ensure_detached(volume_id, "node-1")
    plane.provisioner.ensure_gone(volume_id)
    tokens = [entry.intent.token for entry in plane.entries()]
    assert len(set(tokens)) == 4
    assert isinstance(plane.entries()[-1].intent, DeleteVolume)
