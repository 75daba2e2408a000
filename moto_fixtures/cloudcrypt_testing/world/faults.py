"""What goes wrong between a client and a cloud, and when.

aws.faults.add(ReplyLost(), on="CreateVolume")                 # the next one
aws.faults.add(Throttled(), on="Describe*", occurrence=2, times=3)
aws.faults.add(Slow(30), when=lambda call: "Force" in call.parameters)
"""

import threading
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import attrs


@attrs.frozen
class Call:
    """One request, as rules look at it."""

    service: str
    action: str
    parameters: Mapping[str, str]


@attrs.frozen
class Refused:
    """The cloud answers with an error, and does nothing."""

    code: str
    message: str = "Refused on behalf of a test."
    status: int = 400


@attrs.frozen
class Throttled:
    """The cloud is asked too often, and does nothing."""


@attrs.frozen
class ServerError:
    """The cloud fails with an HTTP ``status`` of 500 or more, and does nothing."""

    status: int = 500


@attrs.frozen
class ConnectionLost:
    """The connection is closed before anything was done."""


@attrs.frozen
class ReplyLost:
    """The connection is closed after everything was done: the client cannot know."""


@attrs.frozen
class StaleRead:
    """A reading request sees the world as it was before the last ``changes`` changing requests."""

    changes: int = 1


@attrs.frozen
class Slow:
    """The request takes ``seconds``: on the clock of the world, or really."""

    seconds: float
    is_real: bool = False


Fault = Refused | Throttled | ServerError | ConnectionLost | ReplyLost | StaleRead | Slow


@attrs.define
class _Rule:
    fault: Fault
    on: str
    when: Callable[[Call], bool] | None
    first: int
    last: float
    seen: int = 0

    def applies(self, call: Call) -> bool:
        """Count ``call`` if it matches, and say whether its turn has come."""
        if not fnmatchcase(call.action, self.on):
            return False
        if self.when is not None and not self.when(call):
            return False
        self.seen += 1
        return self.first <= self.seen <= self.last


class FaultSchedule:
    """The rules that say which requests fail. Thread-safe."""

    def __init__(self, *, shows_past: bool = True) -> None:
        """Begin without faults.

        Args:
            shows_past: whether a read of this service can be stale.
        """
        self._shows_past = shows_past
        self.latency = 0.0
        """Real seconds that every request takes, for benchmarks."""
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []

    def add(
        self,
        fault: Fault,
        *,
        on: str = "*",
        occurrence: int = 1,
        times: int | None = 1,
        when: Callable[[Call], bool] | None = None,
    ) -> None:
        """Let ``fault`` happen.

        Args:
            fault: what goes wrong.
            on: the action that it happens to, or a pattern such as ``Describe*``.
            occurrence: the first matching request that it happens to, counted from 1 and from now.
            times: how many matching requests it happens to in a row; None means all from then on.
            when: a further condition on the request.

        Raises:
            ValueError: the fault is a `StaleRead`, and this service always shows the present.
        """
        if isinstance(fault, StaleRead) and not self._shows_past:
            raise ValueError("this service always shows the present: no read of it is stale")
        last = float("inf") if times is None else occurrence + times - 1
        with self._lock:
            self._rules.append(_Rule(fault, on, when, occurrence, last))

    def clear(self) -> None:
        """Let nothing go wrong any more, and take no time."""
        with self._lock:
            self._rules.clear()
            self.latency = 0.0

    def strike(self, call: Call) -> tuple[Fault, ...]:
        """Count ``call``, and return what goes wrong with it, in the order of the rules."""
        if not self._rules:
            return ()
        with self._lock:
            struck = tuple(rule.fault for rule in self._rules if rule.applies(call))
            self._rules = [rule for rule in self._rules if rule.seen < rule.last]
        return struck
