"""The process dies at every request of every verb, and another one finishes: once, no orphan."""

import enum
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from urllib3.connectionpool import HTTPConnectionPool

from cloudcrypt.waiting import Deadline
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.faults import ReplyLost
from tests.unit.cloud_jobs import JOBS, Given, Job, closed, provisioner
from tests.unit.clouds import Cloud

KILLED = 9


class Death(enum.Enum):
    """When the process dies."""

    BEFORE = "before the request"
    AFTER = "after the commit"
    LOST = "after a reply was lost, before the next request"


@attrs.define
class Reaper:
    """Ends this process, without another word, at one of its requests, whichever SDK sends it."""

    number: int
    death: Death
    sent: int = 0
    answered: int = 0

    def wait(self) -> None:
        """Watch all requests of this process: each of the three SDKs sends them by urllib3."""
        really = HTTPConnectionPool.urlopen

        def urlopen(pool: HTTPConnectionPool, *args: Any, **kwargs: Any) -> object:
            self.send()
            answer = really(pool, *args, **kwargs)
            self.receive()
            return answer

        HTTPConnectionPool.urlopen = urlopen  # type: ignore[method-assign,assignment]

    def send(self) -> None:
        self.sent += 1
        last = self.number + (self.death is Death.LOST)
        if self.death is not Death.AFTER and self.sent == last:
            os._exit(KILLED)

    def receive(self) -> None:
        self.answered += 1
        if self.death is Death.AFTER and self.answered == self.number:
            os._exit(KILLED)


def in_child(work: Callable[[], None]) -> int:
    """Return the exit status of a process that does ``work``."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - nothing of the child reaches pytest
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@attrs.frozen
class Run:
    """One job in a cloud of its own; what works on it does so in processes of their own."""

    cloud: Cloud
    job: Job
    journal: Path
    given: Given

    @classmethod
    def of(cls, cloud: Cloud, job: Job, journal: Path) -> "Run":
        # Another process cannot move this clock: each of its requests does.
        cloud.fake.reset(clock=FakeClock(tick=5.0))
        plane = provisioner(cloud, journal)
        run = cls(cloud, job, journal, job.prepare(cloud, plane))
        closed(plane)
        cloud.fake.clock.advance(24 * 3600)
        cloud.fake.requests.clear()
        return run

    def work(self, reaper: Reaper | None = None) -> int:
        """Return how a process ends that does the job."""

        def work() -> None:
            if reaper is not None:
                reaper.wait()
            clock = FakeClock(self.cloud.fake.clock.now())
            plane = provisioner(self.cloud, self.journal, clock)
            self.job.verb(plane, self.given, Deadline.after(clock=clock))
            closed(plane)

        return in_child(work)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the fake is made for it
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_whenever_the_process_dies_another_one_finishes(
    cloud: Cloud, job: Job, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    run = Run.of(cloud, job, tmp_path / "uncut.db")
    assert run.work() == 0
    requests = len(cloud.fake.requests)
    assert cloud.truth() == job.expected
    points = 0
    for number in range(1, requests + 1):
        for death in Death:
            with subtests.test(number=number, death=death.value):
                run = Run.of(cloud, job, tmp_path / f"{number}-{death.name}.db")
                if death is Death.LOST:
                    cloud.fake.faults.add(ReplyLost(), occurrence=number)
                died = run.work(Reaper(number, death))
                assert died == KILLED or (died, death) == (0, Death.LOST)  # nothing was left to ask
                assert run.work() == 0
                assert cloud.truth() == job.expected
            points += 1
    print(f"{cloud.name}, {job.name}: {points} points, at {requests} requests")
    assert points == 3 * requests > 0
