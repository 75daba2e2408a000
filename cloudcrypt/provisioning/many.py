"""Many volumes at once: a bound, a report of how far each is, and no error that hides others."""

import enum
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

import attrs

from cloudcrypt.errors import CloudcryptError, InvalidRequest, OperationCancelled

T = TypeVar("T")

CONCURRENCY: Final = 8
"""How many volumes are worked on at a time, unless the caller says otherwise: clouds throttle."""


class Step(enum.Enum):
    """How far one of many volumes is."""

    WAITING = "waiting"
    CREATING = "creating"
    ATTACHING = "attaching"
    FORMATTING = "formatting"
    OPENING = "opening"
    MOUNTING = "mounting"
    DONE = "done"
    FAILED = "failed"


@attrs.frozen
class Report:
    """Which volume has reached which step; ``counts`` says how many are at each step now."""

    name: str
    step: Step
    counts: Mapping[Step, int]

    @property
    def total(self) -> int:
        """How many volumes there are."""
        return sum(self.counts.values())


@attrs.frozen
class Results(Generic[T]):
    """What came of many: values and errors, by name, in the order in which they were asked for."""

    values: Mapping[str, T]
    errors: Mapping[str, CloudcryptError]


class Tally:
    """Counts at which step each volume is, and tells. Thread-safe; reports come one at a time."""

    def __init__(self, names: Iterable[str], progress: Callable[[Report], None] | None) -> None:
        """Start with all ``names`` waiting."""
        self._steps = dict.fromkeys(names, Step.WAITING)
        self._progress = progress
        self._lock = threading.Lock()

    def reached(self, name: str, step: Step) -> None:
        """Record that ``name`` has reached ``step``."""
        with self._lock:
            self._steps[name] = step
            if self._progress is not None:
                self._progress(Report(name, step, Counter(self._steps.values())))


def for_each(
    names: Iterable[str],
    work: Callable[[str], T],
    *,
    concurrency: int = CONCURRENCY,
    tally: Tally | None = None,
) -> Results[T]:
    """Do ``work`` for each name, several at once, and return what came of each.

    Any other exception than ours, an interrupt too, stops what was not begun, and is raised when
    what was begun has ended.

    Args:
        names: all different.
        work: for one name.
        concurrency: how many threads at most.
        tally: is told who is done and who has failed.

    Raises:
        InvalidRequest: the concurrency is less than 1.
    """
    if concurrency < 1:
        raise InvalidRequest("concurrency", concurrency, "at least 1")

    told = Tally([], None) if tally is None else tally
    stopped = threading.Event()

    def one(name: str) -> T | CloudcryptError:
        if stopped.is_set():
            return OperationCancelled()  # nobody gets this: what has stopped it is raised
        try:
            value = work(name)
        except CloudcryptError as error:
            told.reached(name, Step.FAILED)
            return error
        except BaseException:
            stopped.set()
            raise
        told.reached(name, Step.DONE)
        return value

    with ThreadPoolExecutor(concurrency, thread_name_prefix="cloudcrypt") as pool:
        try:
            futures = {name: pool.submit(one, name) for name in names}
            ended = {name: future.result() for name, future in futures.items()}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Results(
        {n: each for n, each in ended.items() if not isinstance(each, CloudcryptError)},
        {n: each for n, each in ended.items() if isinstance(each, CloudcryptError)},
    )
