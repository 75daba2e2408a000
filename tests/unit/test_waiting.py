"""Deadlines, cancellation, the retry policy and the learnt rate, on a clock that tests move."""

import math
import threading
from datetime import UTC

import pytest

from cloudcrypt.errors import (
    Answer,
    CloudcryptError,
    InvalidVolumeId,
    OperationCancelled,
    ProviderUnavailable,
    Throttled,
)
from cloudcrypt.waiting import (
    PATIENCE,
    RETRY_FIRST,
    RETRY_LONGEST,
    SYSTEM_CLOCK,
    Cancellation,
    Deadline,
    SystemClock,
    TokenBucket,
    retrying,
)
from tests.unit.clocks import FakeClock

LOST = ProviderUnavailable("shaky://", "the answer was lost")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


# --- the clock of this host ---


def test_the_system_clock_tells_utc_and_does_not_go_back() -> None:
    assert SYSTEM_CLOCK.now().tzinfo is UTC
    assert SYSTEM_CLOCK.monotonic() <= SYSTEM_CLOCK.monotonic()


@pytest.mark.parametrize("seconds", [0, -1])
def test_the_system_clock_does_not_sleep_for_nothing(seconds: float) -> None:
    SYSTEM_CLOCK.sleep(seconds)
    SYSTEM_CLOCK.sleep(seconds, threading.Event())


def test_a_set_event_wakes_who_sleeps_on_the_system_clock() -> None:
    wake = threading.Event()
    wake.set()
    SYSTEM_CLOCK.sleep(3600, wake)


# --- deadlines ---


def test_a_deadline_counts_down_to_zero_and_not_below(clock: FakeClock) -> None:
    deadline = Deadline.after(10, clock=clock)
    clock.sleep(4)
    assert (deadline.remaining, deadline.has_passed) == (6, False)
    clock.sleep(60)
    assert (deadline.remaining, deadline.has_passed) == (0, True)


def test_a_deadline_is_patient_unless_told_otherwise(clock: FakeClock) -> None:
    assert Deadline.after(clock=clock).remaining == PATIENCE


def test_an_infinite_deadline_never_passes(clock: FakeClock) -> None:
    deadline = Deadline.after(math.inf, clock=clock)
    clock.sleep(1e9)
    assert not deadline.has_passed
    deadline.sleep(5)
    assert clock.pauses[-1] == 5


def test_sleeping_ends_at_the_deadline(clock: FakeClock) -> None:
    Deadline.after(3, clock=clock).sleep(10)
    assert clock.pauses == [3]


def test_steps_grow_up_to_the_longest_and_end_with_one_look_at_the_deadline(
    clock: FakeClock,
) -> None:
    steps = Deadline.after(30, clock=clock).steps(first=1, factor=2, longest=8)
    looks = 0
    while steps.again():
        looks += 1
    assert clock.pauses == [1, 2, 4, 8, 8, 7]
    assert looks == 6


# --- cancellation ---


def test_nothing_is_cancelled_by_itself(clock: FakeClock) -> None:
    cancellation = Cancellation()
    Deadline.after(10, clock=clock, cancellation=cancellation).check()
    Deadline.after(10, clock=clock).check()
    assert not cancellation.is_cancelled


def test_cancelling_twice_is_cancelling_once(clock: FakeClock) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    cancellation.cancel()
    assert cancellation.is_cancelled
    with pytest.raises(OperationCancelled):
        Deadline.after(10, clock=clock, cancellation=cancellation).check()


def test_who_has_cancelled_does_not_begin_to_sleep(clock: FakeClock) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    deadline = Deadline.after(10, clock=clock, cancellation=cancellation)
    with pytest.raises(OperationCancelled):
        deadline.sleep(1)
    with pytest.raises(OperationCancelled):
        deadline.steps().again()
    assert clock.pauses == []


def test_cancelling_wakes_who_sleeps_in_another_thread() -> None:
    cancellation, sleeping = Cancellation(), threading.Event()

    class Telling(SystemClock):
        def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
            sleeping.set()
            super().sleep(seconds, wake)

    deadline = Deadline.after(3600, clock=Telling(), cancellation=cancellation)
    caught: list[BaseException] = []

    def sleep() -> None:
        with pytest.raises(OperationCancelled) as info:
            deadline.sleep(3600)
        caught.append(info.value)

    thread = threading.Thread(target=sleep)
    thread.start()
    assert sleeping.wait(60)
    cancellation.cancel()
    thread.join(60)
    assert [type(error) for error in caught] == [OperationCancelled]


# --- the retry policy ---


class Attempts:
    """Raises these errors in turn, then succeeds."""

    def __init__(self, *errors: CloudcryptError) -> None:
        self.errors = list(errors)
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_succeeds_is_tried_once(clock: FakeClock) -> None:
    attempts = Attempts()
    assert retrying(attempts, deadline=Deadline.after(clock=clock)) == "done"
    assert (attempts.made, clock.pauses) == (1, [])


def test_a_retryable_error_is_tried_again_after_a_pause_of_full_jitter(clock: FakeClock) -> None:
    attempts = Attempts(*[LOST] * 12)
    assert retrying(attempts, deadline=Deadline.after(math.inf, clock=clock)) == "done"
    bounds = [min(RETRY_FIRST * 2**n, RETRY_LONGEST) for n in range(12)]
    assert len(clock.pauses) == 12
    assert [0 <= p <= bound for p, bound in zip(clock.pauses, bounds, strict=True)] == [True] * 12


def test_pauses_are_random(clock: FakeClock) -> None:
    retrying(Attempts(*[LOST] * 20), deadline=Deadline.after(math.inf, clock=clock))
    assert len(set(clock.pauses)) > 10


def test_a_pause_is_at_least_what_the_cloud_asked_for(clock: FakeClock) -> None:
    told = Throttled("requests", answer=Answer("Slow", "down", 429, None, 45.0))
    assert retrying(Attempts(told), deadline=Deadline.after(60, clock=clock)) == "done"
    assert clock.pauses == [45.0]


def test_an_error_that_will_not_change_is_raised_at_once(clock: FakeClock) -> None:
    attempts = Attempts(InvalidVolumeId("#"))
    with pytest.raises(InvalidVolumeId):
        retrying(attempts, deadline=Deadline.after(clock=clock))
    assert (attempts.made, clock.pauses) == (1, [])


def test_a_foreign_error_is_raised_at_once(clock: FakeClock) -> None:
    with pytest.raises(ZeroDivisionError):
        retrying(lambda: 1 // 0, deadline=Deadline.after(clock=clock))
    assert clock.pauses == []


def test_the_caller_says_what_is_safe_to_try_again(clock: FakeClock) -> None:
    deadline = Deadline.after(math.inf, clock=clock)
    with pytest.raises(ProviderUnavailable):
        retrying(Attempts(LOST), deadline=deadline, is_safe=lambda _: False)
    attempts = Attempts(InvalidVolumeId("#"))
    assert retrying(attempts, deadline=deadline, is_safe=lambda _: True) == "done"


def test_after_the_deadline_the_last_error_is_raised_as_it_was(clock: FakeClock) -> None:
    errors = [ProviderUnavailable("shaky://", f"{n}") for n in range(1000)]
    attempts = Attempts(*errors)
    with pytest.raises(ProviderUnavailable) as caught:
        retrying(attempts, deadline=Deadline.after(30, clock=clock))
    assert attempts.made > 1
    assert caught.value is errors[attempts.made - 1]
    assert clock.passed <= 1030


def test_a_deadline_that_has_passed_allows_the_first_attempt_alone(clock: FakeClock) -> None:
    attempts = Attempts(LOST)
    with pytest.raises(ProviderUnavailable):
        retrying(attempts, deadline=Deadline.after(0, clock=clock))
    assert attempts.made == 1


def test_no_pause_is_begun_that_ends_after_the_deadline(clock: FakeClock) -> None:
    told = Throttled("requests", answer=Answer("Slow", "down", 429, None, 45.0))
    with pytest.raises(Throttled):
        retrying(Attempts(told), deadline=Deadline.after(44, clock=clock))
    assert clock.pauses == []


def test_who_has_cancelled_attempts_nothing(clock: FakeClock) -> None:
    cancellation, attempts = Cancellation(), Attempts()
    cancellation.cancel()
    with pytest.raises(OperationCancelled):
        retrying(attempts, deadline=Deadline.after(clock=clock, cancellation=cancellation))
    assert attempts.made == 0


def test_cancelling_ends_a_pause_between_two_attempts() -> None:
    cancellation, attempts = Cancellation(), Attempts(LOST)
    clock = FakeClock(while_sleeping=cancellation.cancel)
    with pytest.raises(OperationCancelled):
        retrying(attempts, deadline=Deadline.after(clock=clock, cancellation=cancellation))
    assert attempts.made == 1


# --- the learnt rate ---


def taken(bucket: TokenBucket, clock: FakeClock, count: int, *, every: float = 0.0) -> None:
    for _ in range(count):
        bucket.take(Deadline.after(math.inf, clock=clock))
        clock.passed += every


def test_without_throttling_nothing_waits(clock: FakeClock) -> None:
    bucket = TokenBucket(clock)
    taken(bucket, clock, 1000)
    assert (bucket.rate, clock.pauses) == (math.inf, [])


def test_the_rate_after_throttling_is_a_part_of_what_got_through(clock: FakeClock) -> None:
    bucket = TokenBucket(clock)
    taken(bucket, clock, 50, every=0.1)  # 10 a second
    bucket.throttled()
    assert bucket.rate == pytest.approx(10 * TokenBucket.REDUCTION, rel=0.05)


def test_requests_wait_for_their_turn_and_the_rate_grows(clock: FakeClock) -> None:
    bucket = TokenBucket(clock)
    taken(bucket, clock, 50, every=0.1)
    bucket.throttled()
    before = bucket.rate
    taken(bucket, clock, 20)
    assert len(clock.pauses) == 20
    assert max(clock.pauses) <= 2 / before
    assert before < bucket.rate < math.inf


def test_throttling_again_reduces_the_rate_again_but_never_to_nothing(clock: FakeClock) -> None:
    bucket = TokenBucket(clock)
    rates: list[float] = []
    for _ in range(10):
        taken(bucket, clock, 1)
        bucket.throttled()
        rates.append(bucket.rate)
    assert sorted(rates, reverse=True) == rates
    assert rates[-1] == 0.5


def test_the_limit_is_forgotten_when_nothing_was_throttled_for_a_while(clock: FakeClock) -> None:
    bucket = TokenBucket(clock)
    bucket.throttled()
    clock.passed += TokenBucket.FORGETTING + 1
    assert bucket.rate == math.inf
    taken(bucket, clock, 100)
    assert clock.pauses == []


def test_a_turn_after_the_deadline_is_throttled_and_not_taken(clock: FakeClock) -> None:
    bucket = TokenBucket(clock)
    bucket.throttled()  # one request in two seconds
    with pytest.raises(Throttled):
        bucket.take(Deadline.after(1, clock=clock))
    assert clock.pauses == []
    bucket.take(Deadline.after(3, clock=clock))
    assert clock.pauses == [pytest.approx(2)]


def test_cancelling_ends_the_wait_for_a_turn() -> None:
    cancellation = Cancellation()
    clock = FakeClock(while_sleeping=cancellation.cancel)
    bucket = TokenBucket(clock)
    bucket.throttled()
    with pytest.raises(OperationCancelled):
        bucket.take(Deadline.after(60, clock=clock, cancellation=cancellation))


def test_many_threads_share_one_rate() -> None:
    clock = FakeClock()
    bucket = TokenBucket(clock)
    taken(bucket, clock, 50, every=0.1)
    bucket.throttled()
    threads = [threading.Thread(target=taken, args=(bucket, clock, 5)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(clock.pauses) == 20


# --- waiting for something else as well ---


def test_a_sleep_ends_when_something_else_is_set() -> None:
    wake = threading.Event()
    threading.Timer(0.05, wake.set).start()
    for cancellation in (None, Cancellation()):
        Deadline.after(3600, cancellation=cancellation).sleep(3600, wake)


def test_cancelling_ends_a_sleep_that_waits_for_something_else_as_well() -> None:
    cancellation, wake = Cancellation(), threading.Event()
    threading.Timer(0.05, cancellation.cancel).start()
    with pytest.raises(OperationCancelled):
        Deadline.after(3600, cancellation=cancellation).sleep(3600, wake)
    assert wake.is_set()


def test_cancelling_sets_what_waits_under_it_and_nothing_later() -> None:
    cancellation = Cancellation()
    first, second, late = (threading.Event() for _ in range(3))
    with cancellation.setting(first):
        pass
    with cancellation.setting(second):
        cancellation.cancel()
    with cancellation.setting(late):
        assert late.is_set()
    assert (first.is_set(), second.is_set()) == (False, True)
