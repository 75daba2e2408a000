"""The WSGI application of the fake: one door, and behind it the service that is asked for."""

from typing import TYPE_CHECKING, Final

from cloudcrypt_testing.fake_azure_keys.errors import ServiceError, answer_of
from cloudcrypt_testing.fake_azure_keys.incoming import Incoming
from cloudcrypt_testing.fake_azure_keys.storage import Storage
from cloudcrypt_testing.fake_azure_keys.tokens import Tokens
from cloudcrypt_testing.fake_azure_keys.vaults import Vaults
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.faults import Call, Refused, ServerError, Throttled
from cloudcrypt_testing.world.forking import ForkLock
from cloudcrypt_testing.world.layer import Answer, Layer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_READING: Final = frozenset({"blobs.get", "blobs.head", "blobs.list", "keys.get", "keys.versions"})
_THROTTLED: Final = {
    "keys": (429, "Throttled", "The request was not processed because too many were received."),
    "blobs": (503, "ServerBusy", "The server is busy."),
    "tokens": (429, "temporarily_unavailable", "AADSTS90055: Too many requests."),
}


class KeysLayer(Layer[Incoming]):
    """Answers for all services."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin with nothing."""
        super().__init__(_READING.__contains__, shows_past=False)
        self._clock = clock
        self.lock = ForkLock()
        self.tokens = Tokens()
        self.vaults = Vaults(clock, self.tokens)
        self.storage = Storage(clock, self.tokens)
        self.retry_after: int | None = 1
        """Seconds that a client is told to wait when it was throttled; None is not told."""

    @property
    def clock(self) -> FakeClock:
        """The time of keys and blobs."""
        return self._clock

    def read(self, environ: "WSGIEnvironment", body: bytes) -> tuple[Call, Incoming]:
        """Return a request to one of the services."""
        incoming = Incoming.of(environ, body)
        return incoming.call, incoming

    def refusal(self, incoming: Incoming, fault: Refused | Throttled | ServerError) -> Answer:
        """Return an error that has nothing to do with what was asked for."""
        return answer_of(incoming.service, self._error(incoming.service, fault))

    def answer(self, incoming: Incoming, stale: int) -> Answer:
        """Answer, by services of which each shows the present."""
        del stale  # always 0: this service shows the present
        services = {
            "keys": self.vaults.answer,
            "blobs": self.storage.answer,
            "tokens": self.tokens.answer,
        }
        with self.lock:
            try:
                return services[incoming.service](incoming)
            except ServiceError as error:
                return answer_of(incoming.service, error)

    def _error(self, service: str, fault: Refused | Throttled | ServerError) -> ServiceError:
        match fault:
            case Throttled():
                wait = self.retry_after
                headers = {} if wait is None else {"Retry-After": str(wait)}
                return ServiceError(*_THROTTLED[service], headers=headers)
            case ServerError(status):
                return ServiceError(status, "InternalError", "The server encountered an error.")
            case Refused(code, message, status):
                return ServiceError(status, code, message)
