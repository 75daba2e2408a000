"""Many lookups in few requests."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    OperationCancelled,
    ProviderUnavailable,
    Throttled,
)
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt_aws._batch import Batcher
from tests.unit.aws_given import together

NOW = Deadline.after(60)


class Cloud:
    """Answers lookups; the first one waits until the others are there."""

    def __init__(self, callers: int, *, error: CloudcryptError | None = None) -> None:
        self.batches: list[list[str]] = []
        self.batcher = Batcher[str](self.fetch, limit=500)
        self._callers = callers
        self._error = error

    def fetch(self, keys: Sequence[str], _deadline: Deadline) -> Mapping[str, str]:
        self.batches.append(list(keys))
        if len(self.batches) == 1:
            self._wait_for_others()
            if self._error is not None:
                raise self._error
        return {key: f"value of {key}" for key in keys if key != "missing"}

    def _wait_for_others(self) -> None:
        done = threading.Event()
        while len(self.batcher._waiting) < self._callers - 1:
            done.wait(0.001)

    def ask_for(self, *keys: str) -> list[str | None]:
        return together([partial(self.batcher.get, key, NOW) for key in keys])


def test_a_lone_lookup_is_sent_at_once() -> None:
    cloud = Cloud(1)
    assert cloud.batcher.get("a", NOW) == "value of a"
    assert cloud.batches == [["a"]]


def test_lookups_that_come_meanwhile_go_together() -> None:
    cloud = Cloud(64)
    keys = [str(number) for number in range(64)]
    assert cloud.ask_for(*keys) == [f"value of {key}" for key in keys]
    assert [len(batch) for batch in cloud.batches] == [1, 63]


def test_what_is_missing_is_none_for_whoever_asked_for_it() -> None:
    cloud = Cloud(3)
    assert cloud.ask_for("a", "missing", "b") == ["value of a", None, "value of b"]


def test_the_same_key_is_asked_for_once() -> None:
    cloud = Cloud(3)
    assert cloud.ask_for("a", "a", "a") == ["value of a"] * 3
    assert cloud.batches == [["a"], ["a"]]


def test_a_batch_is_no_larger_than_the_cloud_allows() -> None:
    cloud = Cloud(8)
    cloud.batcher = Batcher(cloud.fetch, limit=3)
    keys = [str(number) for number in range(8)]
    assert cloud.ask_for(*keys) == [f"value of {key}" for key in keys]
    assert sorted(map(len, cloud.batches)) == [1, 1, 3, 3]


def test_two_requests_are_under_way_where_that_is_allowed() -> None:
    both, pause = threading.Barrier(2), threading.Event()
    sizes: list[int] = []

    def fetch(keys: Sequence[str], _deadline: Deadline) -> Mapping[str, str]:
        sizes.append(len(keys))
        if len(sizes) <= 2:
            both.wait(60)  # which it would not get past if the other had to wait
            while sum(sizes) + len(batcher._waiting) < 5:
                pause.wait(0.001)
        return dict.fromkeys(keys, "value")

    batcher = Batcher(fetch, limit=10, at_once=2)
    calls = [partial(batcher.get, str(number), NOW) for number in range(5)]
    assert together(calls) == ["value"] * 5
    assert (sum(sizes), len(sizes) <= 3) == (5, True)


def test_an_error_is_raised_to_all_whose_request_it_was() -> None:
    cloud = Cloud(1, error=Throttled("DescribeVolumes"))
    with pytest.raises(Throttled):
        cloud.batcher.get("a", NOW)
    assert cloud.batcher.get("a", NOW) == "value of a"


def test_an_error_is_raised_with_its_cause() -> None:
    def fetch(_keys: Sequence[str], _deadline: Deadline) -> Mapping[str, str]:
        raise ProviderUnavailable("aws", "gone") from OSError("reset")

    with pytest.raises(ProviderUnavailable) as caught:
        Batcher[str](fetch, limit=1).get("a", NOW)
    assert isinstance(caught.value.__cause__, OSError)


def test_who_cancels_does_so_for_itself_alone() -> None:
    cancellation = Cancellation()
    asked: list[list[str]] = []
    batcher: Batcher[str]

    def fetch(keys: Sequence[str], deadline: Deadline) -> Mapping[str, str]:
        asked.append(list(keys))
        if deadline.cancellation is not None:
            while not batcher._waiting:
                threading.Event().wait(0.001)
            deadline.check()
        return dict.fromkeys(keys, "value")

    batcher = Batcher(fetch, limit=10)
    mine = Deadline.after(60, cancellation=cancellation)
    outcomes: list[object] = []

    def cancelled() -> None:
        with pytest.raises(OperationCancelled):
            batcher.get("mine", mine)
        outcomes.append("cancelled")

    leader = threading.Thread(target=cancelled)
    leader.start()
    while not asked:
        threading.Event().wait(0.001)
    cancellation.cancel()
    assert batcher.get("yours", NOW) == "value"
    leader.join()
    assert (outcomes, asked) == (["cancelled"], [["mine"], ["yours"]])


def test_a_cancellation_is_noticed_while_another_one_asks() -> None:
    cancellation, is_asking, go_on = Cancellation(), threading.Event(), threading.Event()

    def fetch(keys: Sequence[str], _deadline: Deadline) -> Mapping[str, str]:
        is_asking.set()
        go_on.wait(60)
        return dict.fromkeys(keys, "value")

    batcher = Batcher[str](fetch, limit=10)
    outcomes: list[str] = []

    def waiting() -> None:
        with pytest.raises(OperationCancelled):
            batcher.get("b", Deadline.after(60, cancellation=cancellation))
        outcomes.append("cancelled")

    leader = threading.Thread(target=batcher.get, args=("a", NOW))
    leader.start()
    is_asking.wait(60)
    follower = threading.Thread(target=waiting)
    follower.start()
    while not batcher._waiting:
        threading.Event().wait(0.001)
    cancellation.cancel()
    follower.join()
    assert outcomes == ["cancelled"]
    go_on.set()
    leader.join()


def test_the_others_ask_again_when_the_asker_is_interrupted() -> None:
    asked: list[list[str]] = []
    batcher: Batcher[str]

    def fetch(keys: Sequence[str], _deadline: Deadline) -> Mapping[str, str]:
        asked.append(list(keys))
        if len(asked) == 1:
            while not batcher._waiting:
                threading.Event().wait(0.001)
            raise KeyboardInterrupt
        return dict.fromkeys(keys, "value")

    batcher = Batcher(fetch, limit=1)
    interrupted: list[str] = []

    def leading() -> None:
        try:
            batcher.get("a", NOW)
        except KeyboardInterrupt:
            interrupted.append("a")

    leader = threading.Thread(target=leading)
    leader.start()
    while not asked:
        threading.Event().wait(0.001)
    assert batcher.get("b", NOW) == "value"
    leader.join()
    assert interrupted == ["a"]
