"""The WSGI middleware in front of moto: faults, throttling, hooks, and the conformance to EC2."""

import io
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import attrs

from cloudcrypt_testing.fake_aws import dispatch, errors
from cloudcrypt_testing.fake_aws.cloud import Cloud
from cloudcrypt_testing.fake_aws.exchange import (
    ConnectionDropped,
    Exchange,
    Incoming,
    Request,
    RequestLog,
)
from cloudcrypt_testing.fake_aws.throttling import Buckets
from cloudcrypt_testing.world.faults import (
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

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Hook = Callable[[Exchange], None]
_XML = [("Content-Type", "text/xml;charset=UTF-8")]


@attrs.frozen
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class ConformanceLayer:
    """One WSGI application around another one, moto's."""

    def __init__(self, app: "WSGIApplication", cloud: Cloud) -> None:
        """Answer for ``cloud``, and pass on to ``app`` what is not answered here."""
        self._app = app
        self.cloud = cloud
        self.faults = FaultSchedule()
        self.buckets = Buckets()
        self.requests = RequestLog()
        self.hooks: list[Hook] = []

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request, or raise `ConnectionDropped`."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        incoming = Incoming.of(environ, body)
        self.cloud.clock.tick()
        if self.faults.latency:
            time.sleep(self.faults.latency)
        status = 0
        try:
            answer = self._answer(environ, incoming)
            status = answer.status
        finally:
            call = incoming.call
            self.requests.append(Request(call.service, call.action, call.parameters, status))
        start_response(f"{answer.status} Answer", answer.headers)
        return [answer.body]

    def _answer(self, environ: "WSGIEnvironment", incoming: Incoming) -> _Answer:
        call = incoming.call
        struck = self.faults.strike(call)
        self._tell(Exchange(call, "before"))
        error = self._hinder(struck)
        if error is None and not self.buckets.take(call.action, self.cloud.clock.monotonic()):
            error = errors.throttled()
        if error is not None:
            return _Answer(error.status, _XML, incoming.refusal(error))
        stale = max((fault.changes for fault in struck if isinstance(fault, StaleRead)), default=0)
        answer = self._done(environ, incoming, stale)
        self._tell(Exchange(call, "after"))
        if any(isinstance(fault, ReplyLost) for fault in struck):
            raise ConnectionDropped
        return answer

    def _tell(self, exchange: Exchange) -> None:
        for hook in tuple(self.hooks):
            hook(exchange)

    def _hinder(self, struck: tuple[Fault, ...]) -> errors.EC2Error | None:
        """Let happen what happens before a request is looked at."""
        for fault in struck:
            if isinstance(fault, Slow):
                self._linger(fault)
        for fault in struck:
            if isinstance(fault, ConnectionLost):
                raise ConnectionDropped
            error = _error(fault)
            if error is not None:
                return error
        return None

    def _linger(self, fault: Slow) -> None:
        if fault.is_real:
            time.sleep(fault.seconds)
        else:
            self.cloud.clock.advance(fault.seconds)

    def _done(self, environ: "WSGIEnvironment", incoming: Incoming, stale: int) -> _Answer:
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self.cloud.moto.account
        if incoming.service != "ec2" or incoming.region != self.cloud.moto.region:
            self.cloud.is_worn = True
            return self._ask_moto(environ)
        theirs: list[_Answer] = []

        def ask_moto() -> dispatch.Reply:
            theirs.append(self._ask_moto(environ))
            return theirs[0].status, theirs[0].body

        status, body = dispatch.answer(self.cloud, incoming.query, stale, ask_moto)
        return theirs[0] if theirs else _Answer(status, _XML, body)

    def _ask_moto(self, environ: "WSGIEnvironment") -> _Answer:
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        written: list[bytes] = []

        def start(
            status: str, headers: list[tuple[str, str]], *_exc_info: object
        ) -> Callable[[bytes], object]:
            begun.append((status, headers))
            return written.append

        written.extend(self._app(environ, start))
        status, headers = begun[-1]
        return _Answer(int(status.split()[0]), headers, b"".join(written))


def _error(fault: Fault) -> errors.EC2Error | None:
    match fault:
        case Throttled():
            return errors.throttled()
        case ServerError(status):
            return errors.server_error(status)
        case Refused(code, message, status):
            return errors.EC2Error(code, message, status)
        case ConnectionLost() | ReplyLost() | StaleRead() | Slow():
            return None
