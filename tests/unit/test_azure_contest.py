"""Who made a disk, where two hosts create one name: never both of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from cloudcrypt.model import Volume
from cloudcrypt.spi import Handle
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure import AzureProvider, _contest
from cloudcrypt_azure._calls import Call
from cloudcrypt_azure._contest import CONTEST, Stopwatch, is_late, is_open
from cloudcrypt_azure._ids import Reference
from cloudcrypt_testing.fake_azure import FakeAzure, FakeClock, Timings
from cloudcrypt_testing.world.clock import START
from cloudcrypt_testing.world.faults import ReplyLost, Throttled
from tests.unit.azure_given import created, opened, wanted

ONE, TWO = wanted(maker="one"), wanted(maker="two")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, fake_azure: FakeAzure) -> Callable[[float], None]:
    """Let time pass for whoever measures it, on the clock and really."""
    really = [0.0]
    monkeypatch.setattr(_contest, "monotonic", lambda: really[0])

    def pass_by(seconds: float) -> None:
        really[0] += seconds
        fake_azure.clock.advance(seconds)

    return pass_by


def made(providers: list[AzureProvider], handles: list[Handle[Volume]]) -> list[str | None]:
    """Return whom each provider takes for the maker."""
    return [one.resume(handle).maker for one, handle in zip(providers, handles, strict=True)]


@pytest.mark.usefixtures("slow")
def test_of_two_that_write_within_the_time_the_last_one_is_the_maker_for_both(
    fake_azure: FakeAzure,
) -> None:
    # The defence is `is_open` in `Creations.resume`: who reads too soon takes itself for it.
    fake_azure.reset(timings=Timings(create=0, update=0))
    one, two = opened(fake_azure), opened(fake_azure)
    told: list[str | None] = []
    handles: list[Any] = []

    def first() -> None:
        handles.append(one.begin(ONE))

    fake_azure.meanwhile("disks.createOrUpdate", first)
    # The first one may read whom it likes for as long as the second one may still write.
    second = two.begin(TWO)
    told += made([one, two], [handles[0], second])
    assert told == ["two", "two"]


def test_who_was_too_slow_to_write_is_not_the_maker(
    fake_azure: FakeAzure, slow: Callable[[float], None]
) -> None:
    # The defence is `is_late` in `Creations.resume`: the PUT of the second host comes when the
    # first one was told long ago that it made the disk, and takes the tags away.
    fake_azure.reset(timings=Timings(create=0, update=0))
    one, two = opened(fake_azure), opened(fake_azure)
    told: list[str | None] = []

    def first() -> None:
        told.append(one.resume(one.begin(ONE)).maker)
        slow(CONTEST)

    fake_azure.meanwhile("disks.createOrUpdate", first)
    second = two.begin(TWO)
    told.append(two.resume(second).maker)
    assert told == ["one", None]
    (left,) = fake_azure.disks().values()
    assert left.tags["cloudcrypt-maker"] == "two"  # which is why the tag alone is not enough


def test_a_lost_reply_does_not_make_up_for_being_slow(
    fake_azure: FakeAzure, slow: Callable[[float], None]
) -> None:
    # The defence is `note` in `Creations._put`, whose PUT nobody answered.
    fake_azure.reset(timings=Timings(create=0, update=0))
    one, two = opened(fake_azure), opened(fake_azure)
    told: list[str | None] = []

    def first() -> None:
        told.append(one.resume(one.begin(ONE)).maker)
        slow(CONTEST)

    fake_azure.meanwhile("disks.createOrUpdate", first)
    fake_azure.faults.add(ReplyLost(), on="disks.createOrUpdate")
    told.append(two.resume(two.begin(TWO)).maker)
    assert told == ["one", None]


def test_who_is_alone_is_the_maker_also_after_a_lost_reply_and_in_another_process(
    fake_azure: FakeAzure,
) -> None:
    fake_azure.faults.add(ReplyLost(), on="disks.createOrUpdate")
    assert created(opened(fake_azure), maker="one").maker == "one"
    fake_azure.reset()
    opened(fake_azure).begin(ONE)
    other = opened(fake_azure)
    found = other.find(ONE)
    assert found is not None
    assert other.resume(found).maker == "one"


def test_throttling_costs_nobody_the_making(fake_azure: FakeAzure) -> None:
    # The defence is `wait_for_turn` in `Creations._attempt`: it is waited before it is looked.
    provider = opened(fake_azure)
    fake_azure._layer.wait = 60
    fake_azure.faults.add(Throttled(), on="disks.createOrUpdate", times=2)
    assert created(provider, maker="one").maker == "one"


def test_after_a_wait_it_is_looked_again_before_anything_is_written(
    fake_azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The defence is the second look in `Creations._attempt_alone`: who waited for its turn must not
    # write by what it saw before.
    fake_azure.reset(timings=Timings(create=0))
    provider, other = opened(fake_azure), opened(fake_azure)
    turns = provider._api.wait_for_turn

    def wait(call: Call, deadline: Deadline) -> None:
        monkeypatch.undo()
        created(other, maker="two")
        turns(call, deadline)

    monkeypatch.setattr(provider._api, "wait_for_turn", wait)
    assert created(provider, maker="one").maker == "two"
    assert fake_azure.requests.count("disks.createOrUpdate") == 1


def test_it_is_waited_from_the_answer_on_or_if_that_is_unknown_from_the_first_look(
    fake_azure: FakeAzure,
) -> None:
    fake_azure.reset(timings=Timings(create=0))
    provider = opened(fake_azure)
    handle = provider.begin(ONE)
    began = fake_azure.clock.monotonic()
    provider.resume(handle)
    assert fake_azure.clock.monotonic() - began >= CONTEST
    fake_azure.reset(timings=Timings(create=0))
    opened(fake_azure).begin(ONE)
    other = opened(fake_azure)
    found = other.find(ONE)
    assert found is not None
    began = fake_azure.clock.monotonic()
    other.resume(found)
    assert fake_azure.clock.monotonic() - began >= CONTEST


def test_a_disk_that_is_old_is_not_waited_for(fake_azure: FakeAzure) -> None:
    created(opened(fake_azure))
    fake_azure.clock.advance(3600)
    other = opened(fake_azure)
    began = fake_azure.clock.monotonic()
    created(other, token="other")
    assert fake_azure.clock.monotonic() == began


def test_a_clock_that_was_set_does_not_make_anyone_wait_for_ever(
    clock: FakeClock, fake_azure: FakeAzure
) -> None:
    volume = created(opened(fake_azure))
    record = opened(fake_azure)._group.volume(volume.id, opened(fake_azure)._until(None))
    tomorrow = (START + timedelta(days=1)).timestamp()
    waited = Stopwatch.start(clock)
    asked = Reference("data", time=tomorrow)
    assert is_open(asked, record, waited)
    clock.advance(CONTEST)
    assert not is_open(asked, record, waited)
    long_ago = attrs.evolve(record, created=START - timedelta(days=1))
    assert not is_open(Reference("data"), long_ago, Stopwatch.start(clock))


def test_a_clock_that_others_move_makes_nobody_late_by_itself(
    clock: FakeClock, fake_azure: FakeAzure
) -> None:
    watch = Stopwatch.start(clock)
    clock.advance(CONTEST)
    assert (watch.is_slow, watch.is_late) == (True, False)
    volume = created(opened(fake_azure))
    record = opened(fake_azure)._group.volume(volume.id, opened(fake_azure)._until(None))
    made = record.created.timestamp()
    slow = Reference("data", time=made + CONTEST - 1, is_slow=True)
    assert not is_late(slow, record)  # nobody can have been told by then
    assert is_late(attrs.evolve(slow, time=made + CONTEST), record)
    assert is_late(attrs.evolve(slow, is_late=True), record)
    assert not is_late(attrs.evolve(slow, time=made + CONTEST, is_slow=False), record)


def test_of_two_hosts_on_one_clock_the_slow_one_is_not_the_maker(fake_azure: FakeAzure) -> None:
    fake_azure.reset(timings=Timings(create=0, update=0))
    one, two = opened(fake_azure), opened(fake_azure)
    told: list[str | None] = []
    fake_azure.meanwhile(
        "disks.createOrUpdate", lambda: told.append(one.resume(one.begin(ONE)).maker)
    )
    told.append(two.resume(two.begin(TWO)).maker)
    assert told == ["one", None]
