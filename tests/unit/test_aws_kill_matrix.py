"""The process dies at every request of every verb, and another one finishes: once, no orphan."""

import enum
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from botocore.hooks import BaseEventHooks

from cloudcrypt.waiting import Deadline
from cloudcrypt_testing.fake_aws import FakeAws, FakeClock
from cloudcrypt_testing.world.faults import ReplyLost
from tests.unit.ec2_jobs import JOBS, Given, Job, closed, provisioner, with_session

KILLED = 9


class Death(enum.Enum):
    """When the process dies."""

    BEFORE = "before the request"
    AFTER = "after the commit"
    LOST = "after a reply was lost, before the next request"


@attrs.define
class Reaper:
    """Ends this process, without another word, at one of its requests."""

    number: int
    death: Death
    sent: int = 0
    answered: int = 0

    def register(self, events: BaseEventHooks) -> None:
        events.register("before-send.ec2", self.send)
        events.register("response-received.ec2", self.receive)

    def send(self, **_: object) -> None:
        self.sent += 1
        last = self.number + (self.death is Death.LOST)
        if self.death is not Death.AFTER and self.sent == last:
            os._exit(KILLED)

    def receive(self, **_: object) -> None:
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

    aws: FakeAws
    job: Job
    journal: Path
    given: Given

    @classmethod
    def of(cls, aws: FakeAws, job: Job, journal: Path) -> "Run":
        # Another process cannot move this clock: each of its requests does.
        aws.reset(clock=FakeClock(tick=5.0))
        plane = provisioner(aws, journal)
        run = cls(aws, job, journal, job.prepare(aws, plane))
        closed(plane)
        aws.clock.advance(24 * 3600)
        aws.requests.clear()
        return run

    def work(self, reaper: Reaper | None = None) -> int:
        """Return how a process ends that does the job."""

        def work() -> None:
            session = self.aws.session()
            if reaper is not None:
                reaper.register(session.events)
            clock = FakeClock(self.aws.clock.now())
            plane = with_session(self.aws, session, self.journal, clock)
            self.job.verb(plane, self.given, Deadline.after(clock=clock))
            closed(plane)

        return in_child(work)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the fake is made for it
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_whenever_the_process_dies_another_one_finishes(
    fake_aws: FakeAws, job: Job, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    run = Run.of(fake_aws, job, tmp_path / "uncut.db")
    assert run.work() == 0
    requests = len(fake_aws.requests)
    assert job.truth(fake_aws) == job.expected
    points = 0
    for number in range(1, requests + 1):
        for death in Death:
            with subtests.test(number=number, death=death.value):
                run = Run.of(fake_aws, job, tmp_path / f"{number}-{death.name}.db")
                if death is Death.LOST:
                    fake_aws.faults.add(ReplyLost(), occurrence=number)
                died = run.work(Reaper(number, death))
                assert died == KILLED or (died, death) == (0, Death.LOST)  # nothing was left to ask
                assert run.work() == 0
                assert job.truth(fake_aws) == job.expected
            points += 1
    print(f"{job.name}: {points} points, at {requests} requests")
    assert points == 3 * requests > 0
