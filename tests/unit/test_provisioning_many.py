"""Many volumes at once: bounded, reported, and no error hides the others."""

import threading
from collections.abc import Iterator

import attrs
import pytest

from cloudcrypt.errors import InvalidRequest, NotFound, QuotaExceeded
from cloudcrypt.provisioning import Report, Step, VolumeRequest
from cloudcrypt.provisioning.many import CONCURRENCY, Tally, for_each
from cloudcrypt.sizes import MIB
from tests.unit.control_planes import REQUEST, ControlPlane
from tests.unit.shaky_provider import failing, working

NAMES = [f"volume-{number}" for number in range(12)]


class Crowd:
    """Work that waits until as many are at it as may be, and counts the most at a time."""

    def __init__(self, size: int) -> None:
        self.most = 0
        self._inside = 0
        self._lock = threading.Lock()
        self._barrier = threading.Barrier(size)

    def __call__(self, name: str) -> str:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        self._barrier.wait(60)
        with self._lock:
            self._inside -= 1
        return name.upper()


@pytest.mark.parametrize("concurrency", [1, 3, 4])
def test_as_many_as_allowed_are_worked_on_and_never_more(concurrency: int) -> None:
    crowd = Crowd(concurrency)
    results = for_each(NAMES, crowd, concurrency=concurrency)
    assert crowd.most <= concurrency
    assert dict(results.values) == {name: name.upper() for name in NAMES}
    assert dict(results.errors) == {}


def test_by_default_eight_are_worked_on(  # the number in the documentation
) -> None:
    crowd = Crowd(CONCURRENCY)
    for_each([f"{number}" for number in range(16)], crowd)
    assert crowd.most <= CONCURRENCY == 8


def test_errors_and_values_come_by_name_in_the_order_asked_for() -> None:
    def work(name: str) -> int:
        number = NAMES.index(name)
        if number % 3 == 0:
            raise NotFound("volume", name)
        return number

    results = for_each(NAMES, work, concurrency=4)
    assert list(results.values) == [name for n, name in enumerate(NAMES) if n % 3]
    assert list(results.errors) == [name for n, name in enumerate(NAMES) if n % 3 == 0]
    assert {type(error) for error in results.errors.values()} == {NotFound}


def test_nothing_to_do_is_done() -> None:
    assert dict(for_each([], len).values) == {}


def test_a_concurrency_of_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="concurrency"):
        for_each(NAMES, len, concurrency=0)


@pytest.mark.parametrize("foreign", [ZeroDivisionError, KeyboardInterrupt])
def test_a_foreign_exception_stops_what_was_not_begun(foreign: type[BaseException]) -> None:
    begun: list[str] = []

    def work(name: str) -> None:
        begun.append(name)
        if len(begun) == 2:
            raise foreign

    with pytest.raises(foreign):
        for_each([f"{number}" for number in range(1000)], work, concurrency=1)
    assert begun == ["0", "1"]


def test_an_interrupt_while_names_are_still_coming_waits_for_what_was_begun() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def names() -> Iterator[str]:
        yield "a"
        assert begun.wait(60)
        go_on.set()
        raise KeyboardInterrupt

    def work(_: str) -> None:
        begun.set()
        assert go_on.wait(60)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        for_each(names(), work, concurrency=1)
    assert ended.is_set()


# --- reports ---


def test_every_step_is_reported_with_the_counts_of_all() -> None:
    reports: list[Report] = []
    tally = Tally(["a", "b"], reports.append)

    def work(name: str) -> None:
        tally.reached(name, Step.CREATING)
        if name == "b":
            raise NotFound("volume", name)

    for_each(["a", "b"], work, concurrency=1, tally=tally)
    assert [(each.name, each.step, dict(each.counts)) for each in reports] == [
        ("a", Step.CREATING, {Step.CREATING: 1, Step.WAITING: 1}),
        ("a", Step.DONE, {Step.DONE: 1, Step.WAITING: 1}),
        ("b", Step.CREATING, {Step.DONE: 1, Step.CREATING: 1}),
        ("b", Step.FAILED, {Step.DONE: 1, Step.FAILED: 1}),
    ]
    assert {each.total for each in reports} == {2}
    assert reports[-1].counts.get(Step.WAITING, 0) == 0


def test_reports_come_one_at_a_time_and_nobody_need_ask_for_them() -> None:
    inside = threading.Lock()

    def progress(_: Report) -> None:
        assert inside.acquire(blocking=False)
        inside.release()

    assert not for_each(NAMES, len, concurrency=4, tally=Tally(NAMES, progress)).errors
    assert not for_each(NAMES, len, concurrency=4, tally=Tally(NAMES, None)).errors


# --- volumes ---


def requests(*names: str) -> list[VolumeRequest]:
    return [attrs.evolve(REQUEST, name=name) for name in names]


def test_many_volumes_are_made_and_one_that_fails_is_named() -> None:
    plane, reports = ControlPlane(), list[Report]()
    plane.provider.faults["begin"] += [working, failing(QuotaExceeded("more")), working]
    results = plane.provisioner.ensure_volumes(
        requests("a", "b", "c"), concurrency=1, progress=reports.append
    )
    assert {name: volume.name for name, volume in results.values.items()} == {"a": "a", "c": "c"}
    assert {name: type(error) for name, error in results.errors.items()} == {"b": QuotaExceeded}
    assert dict(reports[-1].counts) == {Step.DONE: 2, Step.FAILED: 1}
    again = plane.provisioner.ensure_volumes(requests("a", "b", "c"), deadline=plane.deadline())
    assert (list(again.values), dict(again.errors)) == (["a", "b", "c"], {})
    assert len(plane.provider.volumes) == 3


def test_a_name_that_is_asked_for_twice_is_refused_before_anything_is_asked() -> None:
    plane = ControlPlane()
    twice = [VolumeRequest("a", MIB), VolumeRequest("a", 2 * MIB)]
    with pytest.raises(InvalidRequest, match="once"):
        plane.provisioner.ensure_volumes(twice)
    assert plane.provider.asked == []
