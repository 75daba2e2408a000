"""The cloud fails at every request of every verb, in every way: nothing is lost or done twice."""

from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import CloudcryptError, ProviderUnavailable, Throttled
from cloudcrypt.provisioning import Provisioner
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing.world import faults
from cloudcrypt_testing.world.clock import FakeClock
from tests.unit.cloud_jobs import JOBS, Given, Job, closed, provisioner
from tests.unit.clouds import Cloud

FAULTS: tuple[faults.Fault, ...] = (
    faults.Throttled(),
    faults.ServerError(500),
    faults.ServerError(503),
    faults.ConnectionLost(),
    faults.ReplyLost(),
    faults.StaleRead(),
    faults.StaleRead(changes=3),
)
each_job = pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)


@attrs.frozen
class Run:
    """One job, ready to go, in a cloud of its own."""

    cloud: Cloud
    job: Job
    plane: Provisioner
    given: Given

    @classmethod
    def of(cls, cloud: Cloud, job: Job, journal: Path) -> "Run":
        cloud.fake.reset(clock=FakeClock())
        plane = provisioner(cloud, journal)
        given = job.prepare(cloud, plane)
        cloud.fake.clock.advance(24 * 3600)
        cloud.fake.requests.clear()
        return cls(cloud, job, plane, given)

    def work(self) -> None:
        self.job.verb(self.plane, self.given, Deadline.after(300, clock=self.cloud.fake.clock))

    def check(self) -> None:
        closed(self.plane)
        assert self.cloud.truth() == self.job.expected


@each_job
def test_a_fault_at_any_request_is_survived(
    cloud: Cloud, job: Job, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    run = Run.of(cloud, job, tmp_path / "uncut.db")
    run.work()
    requests = len(cloud.fake.requests)
    run.check()
    for number in range(1, requests + 1):
        for place, fault in enumerate(FAULTS):
            with subtests.test(number=number, fault=str(fault)):
                run = Run.of(cloud, job, tmp_path / f"{number}-{place}.db")
                cloud.fake.faults.add(fault, occurrence=number)
                run.work()
                run.check()
    print(f"{cloud.name}, {job.name}: {requests * len(FAULTS)} points, at {requests} requests")


@each_job
@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (faults.Throttled(), Throttled, "throttled"),
        (faults.ServerError(503), ProviderUnavailable, "unavailable"),
    ],
    ids=["throttled", "unavailable"],
)
def test_the_last_error_is_that_of_the_service_and_nothing_is_lost(
    cloud: Cloud,
    job: Job,
    tmp_path: Path,
    subtests: pytest.Subtests,
    fault: faults.Fault,
    kind: type[CloudcryptError],
    code: str,
) -> None:
    run = Run.of(cloud, job, tmp_path / "uncut.db")
    run.work()
    requests = len(cloud.fake.requests)
    for number in range(1, requests + 1):
        with subtests.test(number=number):
            run = Run.of(cloud, job, tmp_path / f"{number}.db")
            cloud.fake.faults.add(fault, occurrence=number, times=None)
            with pytest.raises(kind) as caught:
                run.work()
            assert caught.value.cloud_code == getattr(cloud, code)
            assert bool(caught.value.request_id) is cloud.names_requests
            cloud.fake.faults.clear()
            run.work()
            run.check()
