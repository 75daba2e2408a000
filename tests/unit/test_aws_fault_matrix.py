"""EC2 fails at every request of every verb, in every way: nothing is lost, nothing done twice."""

from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import CloudcryptError, ProviderUnavailable, Throttled
from cloudcrypt.provisioning import Provisioner
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing.fake_aws import FakeAws, FakeClock
from cloudcrypt_testing.world import faults
from tests.unit.ec2_jobs import JOBS, Given, Job, closed, provisioner

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

    aws: FakeAws
    job: Job
    plane: Provisioner
    given: Given

    @classmethod
    def of(cls, aws: FakeAws, job: Job, journal: Path) -> "Run":
        aws.reset(clock=FakeClock())
        plane = provisioner(aws, journal)
        given = job.prepare(aws, plane)
        aws.clock.advance(24 * 3600)
        aws.requests.clear()
        return cls(aws, job, plane, given)

    def work(self, patience: float = 300.0) -> None:
        self.job.verb(self.plane, self.given, Deadline.after(patience, clock=self.aws.clock))

    def check(self) -> None:
        closed(self.plane)
        assert self.job.truth(self.aws) == self.job.expected


@each_job
def test_a_fault_at_any_request_is_survived(
    fake_aws: FakeAws, job: Job, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    run = Run.of(fake_aws, job, tmp_path / "uncut.db")
    run.work()
    requests = len(fake_aws.requests)
    run.check()
    for number in range(1, requests + 1):
        for place, fault in enumerate(FAULTS):
            with subtests.test(number=number, fault=str(fault)):
                run = Run.of(fake_aws, job, tmp_path / f"{number}-{place}.db")
                fake_aws.faults.add(fault, occurrence=number)
                run.work()
                run.check()
    print(f"{job.name}: {requests * len(FAULTS)} points, at {requests} requests")


@each_job
@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (faults.Throttled(), Throttled, "RequestLimitExceeded"),
        (faults.ServerError(503), ProviderUnavailable, "Unavailable"),
    ],
    ids=["throttled", "unavailable"],
)
def test_the_last_error_is_that_of_the_service_and_nothing_is_lost(
    fake_aws: FakeAws,
    job: Job,
    tmp_path: Path,
    subtests: pytest.Subtests,
    fault: faults.Fault,
    kind: type[CloudcryptError],
    code: str,
) -> None:
    run = Run.of(fake_aws, job, tmp_path / "uncut.db")
    run.work()
    requests = len(fake_aws.requests)
    for number in range(1, requests + 1):
        with subtests.test(number=number):
            run = Run.of(fake_aws, job, tmp_path / f"{number}.db")
            fake_aws.faults.add(fault, occurrence=number, times=None)
            with pytest.raises(kind) as caught:
                run.work(patience=60)
            assert caught.value.cloud_code == code
            assert caught.value.request_id
            fake_aws.faults.clear()
            run.work()
            run.check()
