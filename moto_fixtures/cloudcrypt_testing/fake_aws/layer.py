"""The WSGI middleware in front of moto: the conformance to EC2."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from moto.moto_server.werkzeug_app import (  # pyright: ignore[reportMissingTypeStubs] # none
    DomainDispatcherApplication,
    create_backend_app,
)

from cloudcrypt_testing.fake_aws import dispatch, errors, kms, s3
from cloudcrypt_testing.fake_aws.cloud import Cloud
from cloudcrypt_testing.fake_aws.incoming import Incoming
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.faults import Call, Refused, ServerError, Throttled
from cloudcrypt_testing.world.layer import Answer, Layer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

_XML = [("Content-Type", "text/xml;charset=UTF-8")]


def moto_application() -> "WSGIApplication":
    """Return moto, all of its services."""
    return DomainDispatcherApplication(create_backend_app)


@attrs.frozen
class Asked:
    """A request, in its own words and in those of WSGI, for whoever passes it on."""

    environ: "WSGIEnvironment"
    incoming: Incoming


class ConformanceLayer(Layer[Asked]):
    """One WSGI application around another one, moto's."""

    def __init__(self, app: "WSGIApplication", cloud: Cloud) -> None:
        """Answer for ``cloud``, and pass on to ``app`` what is not answered here."""
        super().__init__(dispatch.is_reading)
        self._app = app
        self.cloud = cloud

    @property
    def clock(self) -> FakeClock:
        """The time that EC2 lives in."""
        return self.cloud.clock

    def read(self, environ: "WSGIEnvironment", body: bytes) -> tuple[Call, Asked]:
        """Return a request to any service of AWS."""
        incoming = Incoming.of(environ, body)
        return incoming.call, Asked(environ, incoming)

    def refusal(self, incoming: Asked, fault: Refused | Throttled | ServerError) -> Answer:
        """Return the error in the way that the service would write it."""
        return _refused(incoming.incoming, _error(fault, incoming.incoming.service))

    def answer(self, incoming: Asked, stale: int) -> Answer:
        """Answer for EC2, or let moto."""
        environ = incoming.environ
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self.cloud.moto.account
        asked = incoming.incoming
        if asked.service != "ec2" or asked.region != self.cloud.moto.region:
            self.cloud.is_worn = True
            with self.cloud.lock:  # moto looks whether a condition holds, and then writes
                return self._passed_on(incoming)
        theirs: list[Answer] = []

        def ask_moto() -> dispatch.Reply:
            theirs.append(self._ask_moto(environ))
            return theirs[0].status, theirs[0].body

        status, body = dispatch.answer(self.cloud, asked.query, stale, ask_moto)
        return theirs[0] if theirs else Answer(status, _XML, body)

    def _passed_on(self, incoming: Asked) -> Answer:
        """Let moto answer for another service, unless that one checks more than moto does."""
        asked, account = incoming.incoming, self.cloud.moto.account
        action, error = asked.call.action, None
        if asked.service == "kms":
            error = kms.refused(account, asked.region, action, asked.body)
        elif asked.service == "s3":
            error = s3.refused(account, incoming.environ, asked.body)
        if error is not None:
            return _refused(asked, error)
        answer = self._ask_moto(incoming.environ)
        if (asked.service, action, answer.status) == ("kms", "DescribeKey", 200):
            return kms.completed(account, asked.region, answer)
        return answer

    def _ask_moto(self, environ: "WSGIEnvironment") -> Answer:
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        written: list[bytes] = []

        def start(
            status: str, headers: list[tuple[str, str]], *_exc_info: object
        ) -> Callable[[bytes], object]:
            begun.append((status, headers))
            return written.append

        written.extend(self._app(environ, start))
        status, headers = begun[-1]
        return Answer(int(status.split()[0]), headers, b"".join(written))


def _refused(incoming: Incoming, error: errors.EC2Error) -> Answer:
    headers = kms.JSON_HEADERS if incoming.target else _XML
    return Answer(error.status, headers, incoming.refusal(error))


def _error(fault: Refused | Throttled | ServerError, service: str) -> errors.EC2Error:
    match fault:
        case Throttled():
            throttled = {"kms": kms.throttled, "s3": s3.throttled}
            return throttled.get(service, errors.throttled)()
        case ServerError(status):
            return errors.server_error(status)
        case Refused(code, message, status):
            return errors.EC2Error(code, message, status)
