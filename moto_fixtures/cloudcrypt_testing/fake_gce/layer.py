"""The WSGI application of the fake compute API."""

import json
import threading
from typing import TYPE_CHECKING

from cloudcrypt_testing.fake_gce import dispatch, errors, operations
from cloudcrypt_testing.fake_gce.cloud import Cloud
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.faults import Call, Refused, ServerError, Throttled
from cloudcrypt_testing.world.layer import Answer, Layer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_JSON = [("Content-Type", "application/json; charset=UTF-8")]


class ComputeLayer(Layer[Incoming]):
    """Answers for one cloud, which can be replaced."""

    def __init__(self, cloud: Cloud) -> None:
        """Answer for ``cloud``."""
        super().__init__(dispatch.is_reading)
        self.cloud = cloud
        # Not a ForkLock: those of all fakes are taken at a fork, and while the clock moves.
        self._waiting = threading.Lock()

    @property
    def clock(self) -> FakeClock:
        """The time that the project lives in."""
        return self.cloud.clock

    def read(self, environ: "WSGIEnvironment", body: bytes) -> tuple[Call, Incoming]:
        """Return a request to the compute API."""
        incoming = Incoming.of(environ, body)
        return incoming.call, incoming

    def refusal(self, incoming: Incoming, fault: Refused | Throttled | ServerError) -> Answer:
        """Return an error that has nothing to do with what was asked for."""
        del incoming
        error = self._error(fault)
        return _answer(error.status, error.document)

    def answer(self, incoming: Incoming, stale: int) -> Answer:
        """Answer; a wait lets the time pass first, on the clock of the world."""
        if incoming.action.endswith(".wait"):
            self._wait(incoming)
        return _answer(*dispatch.answer(self.cloud, incoming, stale))

    def _wait(self, incoming: Incoming) -> None:
        """Let the time pass that a wait takes; of several at once, no second passes twice."""
        with self._waiting:
            with self.cloud.lock:
                self.cloud.agenda.settle()
                seconds = operations.remaining(self.cloud, incoming)
            self.clock.sleep(seconds)

    def _error(self, fault: Refused | Throttled | ServerError) -> errors.GceError:
        match fault:
            case Throttled():
                return errors.throttled(self.cloud.quirks.throttled_status)
            case ServerError(status):
                return errors.server_error(status)
            case Refused(code, message, status):
                return errors.GceError(status, code, message)


def _answer(status: int, document: object) -> Answer:
    return Answer(status, _JSON, json.dumps(document).encode())
