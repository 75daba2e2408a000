"""The WSGI application of the fake Vault: which request does what."""

import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from cloudcrypt_testing.fake_vault import errors
from cloudcrypt_testing.fake_vault.access import Access, document
from cloudcrypt_testing.fake_vault.engine import Engine, Reply
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.faults import Call, Refused, ServerError, Throttled
from cloudcrypt_testing.world.forking import ForkLock
from cloudcrypt_testing.world.layer import Answer, Layer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_JSON: Final = [("Content-Type", "application/json")]
_READING: Final = frozenset({"health", "list", "lookup-self", "read"})


@attrs.frozen
class Incoming:
    """A request, its path without ``/v1/``."""

    method: str
    path: str
    action: str
    token: str = attrs.field(repr=False)
    namespace: str
    body: Mapping[str, Any] = attrs.field(repr=False)


class VaultLayer(Layer[Incoming]):
    """Answers for one Vault; `lock` is held by whoever looks or changes."""

    def __init__(self, clock: FakeClock, mount: str, namespace: str) -> None:
        """Have an engine at ``mount``, and no keys."""
        super().__init__(_READING.__contains__, shows_past=False)
        self.lock = ForkLock()
        self.engine = Engine(mount)
        self.namespace = namespace
        self.access = Access(clock)
        self.is_sealed = False
        self.active = ""
        """The URL of the active node, if this one is a standby that sends there."""

    @property
    def clock(self) -> FakeClock:
        """The time that Vault lives in."""
        return self.access.clock

    def read(self, environ: "WSGIEnvironment", body: bytes) -> tuple[Call, Incoming]:
        """Return a request to Vault."""
        path = str(environ.get("PATH_INFO", "")).removeprefix("/v1/").strip("/")
        method = "LIST" if "list=true" in environ.get("QUERY_STRING", "") else ""
        method = method or str(environ["REQUEST_METHOD"])
        action = self._action(method, path)
        incoming = Incoming(
            method,
            path,
            action,
            environ.get("HTTP_X_VAULT_TOKEN", ""),
            environ.get("HTTP_X_VAULT_NAMESPACE", "").strip("/"),
            _document(body),
        )
        return Call("vault", action, {"path": path}), incoming

    def refusal(self, incoming: Incoming, fault: Refused | Throttled | ServerError) -> Answer:
        """Return an error that has nothing to do with what was asked for."""
        match fault:
            case Throttled():
                refused = _refused(errors.throttled(incoming.path))
                return attrs.evolve(refused, headers=[*refused.headers, ("Retry-After", "1")])
            case ServerError(status):
                return _refused(errors.VaultError(status, "1 error occurred:\n\t* internal error"))
            case Refused(_, message, status):
                return _refused(errors.VaultError(status, message))

    def answer(self, incoming: Incoming, stale: int) -> Answer:
        """Do what is asked for, by the only node."""
        del stale  # always 0: this service shows the present
        with self.lock:
            if incoming.action == "health":
                return self._health()
            if self.active:
                return Answer(307, [("Location", f"{self.active}/v1/{incoming.path}")], b"")
            try:
                return self._replied(incoming)
            except errors.VaultError as error:
                return _refused(error)

    def _replied(self, incoming: Incoming) -> Answer:
        if self.is_sealed:
            raise errors.sealed()
        if incoming.namespace != self.namespace:
            raise errors.no_route(incoming.path)
        if incoming.action.startswith("login "):
            return self._login(incoming)
        token = self.access.check(incoming.token, incoming.path)
        if incoming.action in {"lookup-self", "renew-self"}:
            if token is None:
                raise errors.unsupported()  # of root, which has no life to speak of
            if incoming.action == "renew-self":
                self.access.renew(token)
            said = document(token, self.clock.monotonic())
            return _done(auth=said) if incoming.action == "renew-self" else _done(said)
        return _done(self.engine.do(incoming.action, incoming.path, incoming.body))

    def _login(self, incoming: Incoming) -> Answer:
        mount = incoming.path.removeprefix("auth/").removesuffix("/login")
        role, jwt = (str(incoming.body.get(name) or "") for name in ("role", "jwt"))
        token = self.access.log_in(mount, role, jwt)
        return _done(auth=document(token, self.clock.monotonic()))

    def _health(self) -> Answer:
        status = 503 if self.is_sealed else 429 if self.active else 200
        said = {"initialized": True, "sealed": self.is_sealed, "standby": bool(self.active)}
        return Answer(status, _JSON, json.dumps({**said, "version": "1.20.0"}).encode())

    def _action(self, method: str, path: str) -> str:
        """Return what a path is about: the last word of it that is not a name."""
        if path in {"sys/health", "auth/token/lookup-self", "auth/token/renew-self"}:
            return path.rpartition("/")[2]
        if path.startswith("auth/") and path.endswith("/login"):
            return f"login {path.removeprefix('auth/').removesuffix('/login')}"
        return self.engine.action(method, path)


def _done(data: Reply = None, *, auth: Reply = None) -> Answer:
    if data is None and auth is None:
        return Answer(204, [], b"")
    document = {
        "request_id": str(uuid.uuid4()),
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": data,
        "wrap_info": None,
        "warnings": None,
        "auth": auth,
    }
    return Answer(200, _JSON, json.dumps(document).encode())


def _refused(error: errors.VaultError) -> Answer:
    return Answer(error.status, _JSON, json.dumps({"errors": list(error.messages)}).encode())


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document: object = json.loads(body or b"{}")
    except ValueError:
        return {}
    return cast("Mapping[str, Any]", document) if isinstance(document, dict) else {}
