"""The WSGI application of a fake cloud: faults, throttling, hooks and a log around its answers."""

import io
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.exchange import ConnectionDropped, Exchange, Request, RequestLog
from cloudcrypt_testing.world.faults import (
    Call,
    ConnectionLost,
    Fault,
    FaultSchedule,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    StaleRead,
    Throttled,
)
from cloudcrypt_testing.world.throttling import Buckets

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Hook = Callable[[Exchange], None]
T = TypeVar("T")


@attrs.frozen
class Answer:
    """What goes back over HTTP."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Layer(ABC, Generic[T]):
    """One WSGI application; ``T`` is a request as the cloud reads it."""

    def __init__(self, is_reading: Callable[[str], bool], *, shows_past: bool = True) -> None:
        """Begin without faults.

        Args:
            is_reading: whether an action changes nothing.
            shows_past: whether a reading request may see the world as it was before.
        """
        self.faults = FaultSchedule(shows_past=shows_past)
        self.buckets = Buckets(is_reading)
        self.requests = RequestLog()
        self.hooks: list[Hook] = []

    @property
    @abstractmethod
    def clock(self) -> FakeClock:
        """The time that the cloud lives in."""

    @abstractmethod
    def read(self, environ: "WSGIEnvironment", body: bytes) -> tuple[Call, T]:
        """Return a request, for the rules and for `answer`."""

    @abstractmethod
    def answer(self, incoming: T, stale: int) -> Answer:
        """Do what is asked for; a reading request sees the world ``stale`` changes ago."""

    @abstractmethod
    def refusal(self, incoming: T, fault: Refused | Throttled | ServerError) -> Answer:
        """Return the error that the cloud answers with."""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request, or raise `ConnectionDropped`."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        call, incoming = self.read(environ, body)
        self.clock.tick()
        if self.faults.latency:
            time.sleep(self.faults.latency)
        status = 0
        try:
            answer = self._answered(call, incoming)
            status = answer.status
        finally:
            self.requests.append(Request(call.service, call.action, call.parameters, status))
        start_response(f"{answer.status} Answer", answer.headers)
        return [answer.body]

    def _answered(self, call: Call, incoming: T) -> Answer:
        struck = self.faults.strike(call)
        self._tell(Exchange(call, "before"))
        refused = self._hinder(struck)
        if refused is None and not self.buckets.take(call.action, self.clock.monotonic()):
            refused = Throttled()
        if refused is not None:
            return self.refusal(incoming, refused)
        stale = max((fault.changes for fault in struck if isinstance(fault, StaleRead)), default=0)
        answer = self.answer(incoming, stale)
        self._tell(Exchange(call, "after"))
        if any(isinstance(fault, ReplyLost) for fault in struck):
            raise ConnectionDropped
        return answer

    def _tell(self, exchange: Exchange) -> None:
        for hook in tuple(self.hooks):
            hook(exchange)

    def _hinder(self, struck: tuple[Fault, ...]) -> Refused | Throttled | ServerError | None:
        """Let happen what happens before a request is looked at."""
        for fault in struck:
            if isinstance(fault, Slow):
                self._linger(fault)
        for fault in struck:
            if isinstance(fault, ConnectionLost):
                raise ConnectionDropped
            if isinstance(fault, Refused | Throttled | ServerError):
                return fault
        return None

    def _linger(self, fault: Slow) -> None:
        if fault.is_real:
            time.sleep(fault.seconds)
        else:
            self.clock.advance(fault.seconds)
