"""The WSGI application of the fake Azure Resource Manager."""

import json
import math
from email.utils import format_datetime
from typing import TYPE_CHECKING

from cloudcrypt_testing.fake_azure import dispatch, errors, routes
from cloudcrypt_testing.fake_azure.cloud import Cloud
from cloudcrypt_testing.fake_azure.errors import ArmError
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.names import new_guid
from cloudcrypt_testing.fake_azure.replies import Reply
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.faults import Call, Refused, ServerError, Throttled
from cloudcrypt_testing.world.layer import Answer, Layer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class ArmLayer(Layer[Incoming]):
    """Answers for one cloud, which can be replaced."""

    def __init__(self, cloud: Cloud) -> None:
        """Answer for ``cloud``."""
        super().__init__(routes.is_reading)
        self.cloud = cloud
        self.wait = 1
        """Seconds that a client is told to wait when it was throttled."""

    @property
    def clock(self) -> FakeClock:
        """The time that the subscription lives in."""
        return self.cloud.clock

    def throttle(self, family: str, burst: float, rate: float) -> None:
        """Give requests of ``family`` a bucket of ``burst``, filled by ``rate`` a second."""
        self.wait = max(1, math.ceil(1 / rate)) if rate else self.wait
        self.buckets.limit(family, burst, rate, self.clock.monotonic())

    def read(self, environ: "WSGIEnvironment", body: bytes) -> tuple[Call, Incoming]:
        """Return a request to ARM."""
        incoming = Incoming.of(environ, body)
        return incoming.call, incoming

    def refusal(self, incoming: Incoming, fault: Refused | Throttled | ServerError) -> Answer:
        """Return an error that has nothing to do with what was asked for."""
        error = self._error(fault)
        return self._answer(incoming, Reply.refusal(error))

    def answer(self, incoming: Incoming, stale: int) -> Answer:
        """Answer."""
        return self._answer(incoming, dispatch.answer(self.cloud, incoming, stale))

    def _error(self, fault: Refused | Throttled | ServerError) -> ArmError:
        match fault:
            case Throttled():
                return errors.throttled(self.wait)
            case ServerError(status):
                return errors.server_error(status)
            case Refused(code, message, status):
                return ArmError(status, code, message)

    def _answer(self, incoming: Incoming, reply: Reply) -> Answer:
        headers = [
            *reply.headers,
            ("Date", format_datetime(self.clock.now(), usegmt=True)),
            ("Cache-Control", "no-cache"),
            ("x-ms-request-id", new_guid()),
            ("x-ms-correlation-request-id", new_guid()),
        ]
        if incoming.client_request_id is not None:
            headers.append(("x-ms-client-request-id", incoming.client_request_id))
        if reply.document is None:
            return Answer(reply.status, headers, b"")
        headers.append(("Content-Type", "application/json; charset=utf-8"))
        return Answer(reply.status, headers, json.dumps(reply.document).encode())
