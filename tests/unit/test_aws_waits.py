"""Waiting for EC2: what is remembered, and for how long."""

import pytest

from cloudcrypt.errors import Answer, NotFound, OperationCancelled, OperationPending, Throttled
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt_aws import _waits
from cloudcrypt_aws._waits import GRACE, Still, absence, settled, until
from cloudcrypt_testing.world.clock import FakeClock


def test_a_look_that_is_final_ends_the_wait_at_once() -> None:
    clock = FakeClock()
    assert until(lambda: "there", Deadline.after(60, clock=clock), "wait", "it") == "there"
    assert clock.monotonic() == 0


def test_at_the_deadline_the_state_is_told_after_a_last_look() -> None:
    clock, looks = FakeClock(), []

    def look() -> Still:
        looks.append(clock.monotonic())
        return Still("creating")

    with pytest.raises(OperationPending) as caught:
        until(look, Deadline.after(10, clock=clock), "creation", "vol-1")
    error = caught.value
    assert (error.operation, error.subject, error.state) == ("creation", "vol-1", "creating")
    assert looks == [0.0, 1.0, 2.5, 4.75, 8.125, 10.0]


def test_at_the_deadline_the_reason_is_told_where_there_is_one() -> None:
    clock = FakeClock()
    with pytest.raises(Throttled):
        until(lambda: Still("", Throttled("it")), Deadline.after(1, clock=clock), "wait", "it")


def test_a_wait_can_be_cancelled() -> None:
    cancellation = Cancellation()
    deadline = Deadline.after(60, clock=FakeClock(), cancellation=cancellation)

    def look() -> Still:
        cancellation.cancel()
        return Still("creating")

    with pytest.raises(OperationCancelled):
        until(look, deadline, "creation", "vol-1")


@pytest.mark.parametrize("seconds", [_waits.SETTLE, 60.0])
def test_what_does_not_show_for_a_while_is_not_there(seconds: float) -> None:
    clock = FakeClock()
    assert settled(lambda: None, Deadline.after(seconds, clock=clock), "look", "it") is None
    assert clock.monotonic() == _waits.SETTLE


@pytest.mark.parametrize("seconds", [0.0, 2.0, 7.9])
def test_what_does_not_show_until_an_early_deadline_may_be_there(seconds: float) -> None:
    clock = FakeClock()
    cause = Throttled("it", answer=Answer("SlowDown", ""))
    deadline = Deadline.after(seconds, clock=clock)
    with pytest.raises(OperationPending) as caught:
        settled(lambda: None, deadline, "look", "it", cause=cause)
    assert clock.monotonic() == seconds
    assert (caught.value.cloud_code, caught.value.__cause__) == ("SlowDown", cause)


def test_what_shows_at_an_early_deadline_is_there() -> None:
    clock = FakeClock()
    deadline = Deadline.after(2, clock=clock)
    shown = settled(lambda: clock.monotonic() or None, deadline, "look", "it")
    assert shown == 1.0


def test_what_is_missing_is_gone_only_after_a_while_and_anew_when_it_was_there() -> None:
    clock = FakeClock()
    missing = absence(clock)
    assert not missing.is_over()
    clock.advance(GRACE)
    assert missing.is_over()
    missing.found()
    assert not missing.is_over()


def test_an_error_of_a_look_ends_the_wait() -> None:
    def look() -> Still:
        raise NotFound("volume", "vol-1")

    with pytest.raises(NotFound):
        until(look, Deadline.after(60, clock=FakeClock()), "wait", "it")
