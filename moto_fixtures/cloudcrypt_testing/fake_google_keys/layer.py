"""The WSGI application of the fake: which request is answered by what, and in which form."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from cloudcrypt_testing.fake_google_keys import crypto, errors, objects, schema
from cloudcrypt_testing.fake_google_keys.cloud import Cloud
from cloudcrypt_testing.fake_google_keys.discovery import MEDIA
from cloudcrypt_testing.fake_google_keys.errors import GoogleError
from cloudcrypt_testing.fake_google_keys.incoming import Incoming
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.faults import Call, Refused, ServerError, Throttled
from cloudcrypt_testing.world.layer import Answer, Layer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_JSON: Final = [("Content-Type", "application/json; charset=UTF-8")]
_TEXT: Final = [("Content-Type", "text/html; charset=UTF-8")]
_METHODS: Final[Mapping[str, Callable[[Cloud, Incoming], dict[str, Any] | Answer]]] = {
    "cryptoKeys.decrypt": crypto.decrypt,
    "cryptoKeys.encrypt": crypto.encrypt,
    "cryptoKeys.get": crypto.get,
    "objects.delete": objects.delete,
    "objects.get": objects.get,
    f"objects.get{MEDIA}": objects.download,
    f"objects.insert{MEDIA}": objects.insert,
    "objects.list": objects.list_,
}


def is_reading(action: str) -> bool:
    """Say whether a method changes nothing."""
    return not action.startswith(("objects.insert", "objects.delete"))


class GoogleLayer(Layer[Incoming]):
    """Answers for one cloud, which can be replaced."""

    def __init__(self, cloud: Cloud) -> None:
        """Answer for ``cloud``."""
        super().__init__(is_reading, shows_past=False)
        self.cloud = cloud

    @property
    def clock(self) -> FakeClock:
        """The time that the cloud lives in."""
        return self.cloud.clock

    def read(self, environ: "WSGIEnvironment", body: bytes) -> tuple[Call, Incoming]:
        """Return a request to either service."""
        incoming = Incoming.of(environ, body)
        return incoming.call, incoming

    def refusal(self, incoming: Incoming, fault: Refused | Throttled | ServerError) -> Answer:
        """Return an error that has nothing to do with what was asked for."""
        match fault:
            case Throttled():
                return _refused(incoming, errors.throttled(incoming.api))
            case ServerError(status):
                return _refused(incoming, errors.server_error(incoming.api, status))
            case Refused(code, message, status):
                return _refused(incoming, GoogleError(status, code, message))

    def answer(self, incoming: Incoming, stale: int) -> Answer:
        """Do what is asked for; both services are consistent, so nothing is stale."""
        del stale  # always 0: this service shows the present
        with self.cloud.lock:
            try:
                method = incoming.check()
                answer = _METHODS[method.action](self.cloud, incoming)
            except GoogleError as error:
                return _refused(incoming, error)
        if isinstance(answer, Answer):
            return answer
        if method.response is None:
            return Answer(204, [], b"")
        schema.check_answer(method.api, method.response, answer)
        return Answer(200, _JSON, json.dumps(answer).encode())


def _refused(incoming: Incoming, error: GoogleError) -> Answer:
    """Return an error: as text where content was asked for, as JSON elsewhere."""
    if incoming.action == f"objects.get{MEDIA}":
        return Answer(error.status, _TEXT, error.message.encode())
    return Answer(error.status, _JSON, json.dumps(error.document).encode())
