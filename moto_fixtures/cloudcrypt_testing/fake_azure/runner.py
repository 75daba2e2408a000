"""Long-running operations: what was accepted, and is done in the course of time."""

from collections.abc import Callable
from functools import partial
from typing import Final

import attrs

from cloudcrypt_testing.fake_azure import errors
from cloudcrypt_testing.fake_azure.errors import Failure
from cloudcrypt_testing.fake_azure.names import new_guid
from cloudcrypt_testing.fake_azure.quirks import FailureRule, Hold, Quirks
from cloudcrypt_testing.fake_azure.records import Operation
from cloudcrypt_testing.world.agenda import Agenda

DISK_OPERATIONS: Final = "DiskOperations"
"""How paths of operations on disks and snapshots say it."""
MACHINE_OPERATIONS: Final = "operations"
"""How those on virtual machines say it."""


@attrs.frozen
class Job:
    """What an operation is going to do."""

    action: str
    """What was asked for."""
    kind: str
    """How the path of the operation says it: DiskOperations or operations."""
    location: str
    target: str
    """The unique id of the disk or snapshot, or the text of the virtual machine."""
    seconds: float
    """Until it is done."""
    finish: Callable[[], None]
    """Does it."""
    undo: Callable[..., None]
    """Called when it has failed, with ``leaves_failed``."""
    failure: Failure | None = None
    """Why it is going to fail, if that is known already."""


@attrs.define
class _Run:
    """An operation on its way."""

    job: Job
    rule: FailureRule | None
    hold: Hold | None


class Runner:
    """Lets operations happen, on an agenda."""

    def __init__(self, agenda: Agenda, quirks: Quirks) -> None:
        """Begin without operations."""
        self.operations: dict[str, Operation] = {}
        self._agenda = agenda
        self._quirks = quirks
        self._runs: dict[str, _Run] = {}

    def begin(self, job: Job) -> Operation:
        """Accept ``job``, and return its operation, InProgress."""
        quirks = self._quirks
        run = _Run(job, quirks.take_failure(job.action), quirks.take_hold(job.action))
        number = new_guid()
        self.operations[number] = Operation(
            number, job.action, job.kind, job.location, job.target, self._agenda.time
        )
        self._runs[number] = run
        if run.hold is None or run.hold.seconds is not None:
            held = 0.0 if run.hold is None or run.hold.seconds is None else run.hold.seconds
            self._agenda.later(held + job.seconds, partial(self._finish, number))
        return self.operations[number]

    def running(self, target: str) -> Operation | None:
        """Return the operation that is being done to a resource, if there is one."""
        for number, run in self._runs.items():
            if run.job.target == target:
                return self.operations[number]
        return None

    def let_go(self, number: str) -> None:
        """Let an operation go on that came to a halt."""
        run = self._runs.get(number)
        if run is not None and run.hold is not None:
            run.hold = None
            self._agenda.later(0, partial(self._finish, number))

    def forget(self) -> None:
        """Forget all operations that are over."""
        for number in self.operations.keys() - self._runs.keys():
            del self.operations[number]

    def preempt(self, number: str) -> None:
        """End an operation in favour of a newer one; what it began is undone."""
        run = self._runs.pop(number)
        self._end(number, run, errors.failure("OperationPreempted"), "Canceled")

    def _finish(self, number: str) -> None:
        run = self._runs.pop(number, None)
        if run is not None:
            failure = _done(run)
            self._end(number, run, failure, "Succeeded" if failure is None else "Failed")

    def _end(self, number: str, run: _Run, failure: Failure | None, status: str) -> None:
        if failure is not None:
            run.job.undo(leaves_failed=run.rule is not None and run.rule.leaves_failed)
        self.operations[number] = attrs.evolve(
            self.operations[number], status=status, ended=self._agenda.time, failure=failure
        )


def _done(run: _Run) -> Failure | None:
    failure = run.rule.failure if run.rule is not None else run.job.failure
    if failure is None:
        run.job.finish()
    return failure
