"""Operations: what was accepted, and is done in the course of time."""

from collections.abc import Callable
from functools import partial

import attrs

from cloudcrypt_testing.fake_gce.errors import Failure, OperationFailed
from cloudcrypt_testing.fake_gce.names import new_id
from cloudcrypt_testing.fake_gce.quirks import FailureRule, Hold, Quirks
from cloudcrypt_testing.fake_gce.records import Operation
from cloudcrypt_testing.world.agenda import Agenda


def _nothing() -> None:
    """Do nothing."""


def _no_undoing(*, leaves_failed: bool) -> None:
    """Leave everything as it is."""
    del leaves_failed


@attrs.frozen
class Job:
    """What an operation is going to do."""

    action: str
    """The method that was called."""
    kind: str
    """What the API calls the type of the operation."""
    scope: str
    """Where the operation is."""
    target: str
    """The path of what it changes."""
    target_id: str
    seconds: float
    """From PENDING to DONE."""
    finish: Callable[[], None]
    """Does it, or raises `OperationFailed`."""
    start: Callable[[], None] = _nothing
    """Called when it begins to run."""
    undo: Callable[..., None] = _no_undoing
    """Called when it has failed, with ``leaves_failed``."""


@attrs.define
class _Run:
    """An operation on its way."""

    job: Job
    rule: FailureRule | None
    hold: Hold | None


class Runner:
    """Lets operations happen, on an agenda."""

    def __init__(self, agenda: Agenda, quirks: Quirks, queue: float) -> None:
        """Begin without operations; each is PENDING for at most ``queue`` of its seconds."""
        self.operations: dict[str, Operation] = {}
        self._agenda = agenda
        self._quirks = quirks
        self._queue = queue
        self._requests: dict[str, str] = {}
        self._runs: dict[str, _Run] = {}

    def repeated(self, request_id: str | None) -> Operation | None:
        """Return the operation that a request with this id has begun, whatever it was."""
        number = self._requests.get(request_id or "")
        return None if number is None else self.operations[number]

    def begin(self, job: Job, request_id: str | None = None, hold: Hold | None = None) -> Operation:
        """Accept ``job``, and return its operation, PENDING.

        Args:
            job: what is to be done.
            request_id: what makes the same request the same operation.
            hold: where it comes to a halt; None leaves that to what a test has asked for.
        """
        quirks, now = self._quirks, self._agenda.time
        run = _Run(job, quirks.take_failure(job.action), hold or quirks.take_hold(job.action))
        number = new_id()
        operation = Operation(
            number,
            f"operation-{int(now.timestamp() * 1000)}-{int(number):x}",
            job.scope,
            job.action,
            job.kind,
            job.target,
            job.target_id,
            now,
            request_id,
            due=self._due(run),
        )
        self.operations[number] = operation
        if request_id is not None:
            self._requests[request_id] = number
        self._runs[number] = run
        self._later(number, "PENDING", min(self._queue, job.seconds), self._start)
        return operation

    def let_go(self, number: str) -> None:
        """Let an operation go on that came to a halt. Idempotent."""
        run, operation = self._runs.get(number), self.operations[number]
        if run is None:
            return
        run.hold = None
        is_pending = operation.status == "PENDING"
        rest = max(0.0, run.job.seconds - self._queue) if is_pending else 0.0
        due = self._agenda.moment + rest
        self.operations[number] = attrs.evolve(operation, due=due)
        self._agenda.later(0, partial(self._start if is_pending else self._finish, number))

    def _due(self, run: _Run) -> float | None:
        held = run.hold.seconds if run.hold is not None else 0.0
        if held is None:
            return None
        return self._agenda.moment + held + run.job.seconds

    def _later(
        self, number: str, status: str, seconds: float, following: Callable[[str], None]
    ) -> None:
        """Go on in ``seconds``, unless the operation comes to a halt while it is ``status``."""
        hold = self._runs[number].hold
        if hold is not None and hold.status == status:
            if hold.seconds is None:
                return
            seconds += hold.seconds
        self._agenda.later(seconds, partial(following, number))

    def _start(self, number: str) -> None:
        operation = self.operations[number]
        if operation.status != "PENDING":
            return
        run = self._runs[number]
        self.operations[number] = attrs.evolve(
            operation, status="RUNNING", started=self._agenda.time
        )
        run.job.start()
        self._later(number, "RUNNING", max(0.0, run.job.seconds - self._queue), self._finish)

    def _finish(self, number: str) -> None:
        operation = self.operations[number]
        if operation.status != "RUNNING":
            return
        run = self._runs.pop(number)
        failure = _done(run)
        if failure is not None:
            run.job.undo(leaves_failed=run.rule is not None and run.rule.leaves_failed)
        moment = self._agenda.moment
        self.operations[number] = attrs.evolve(
            operation, status="DONE", ended=self._agenda.time, failure=failure, due=moment
        )


def _done(run: _Run) -> Failure | None:
    if run.rule is not None:
        return run.rule.failure
    try:
        run.job.finish()
    except OperationFailed as failed:
        return failed.failure
    return None
