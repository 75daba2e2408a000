"""The key service as a gRPC server: mutual TLS, health, reload and a graceful end."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast, final

import grpc  # type: ignore[import-untyped]
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from cloudcrypt.errors import CloudcryptError, HostUnready, InvalidRequest
from cloudcrypt.keys import KeyService
from cloudcrypt.keyservice.audit import AuditLog
from cloudcrypt.keyservice.certificates import TlsFiles
from cloudcrypt.keyservice.desk import Desk
from cloudcrypt.keyservice.edge import credentials, handlers
from cloudcrypt.keyservice.limits import Limiter, Limits
from cloudcrypt.keyservice.messages import MESSAGE_MAX, SERVICE
from cloudcrypt.keyservice.policy import DEFAULT, PLAINTEXT, Policy
from cloudcrypt.keyservice.watching import Watched
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock

T = TypeVar("T")

WORKERS: Final = 16
"""Threads that answer calls; a call that waits for an external key service holds one."""

CALLS: Final = 1024
"""Calls at most that are answered or wait; one more is RESOURCE_EXHAUSTED at once."""

GRACE: Final = 20.0
"""Seconds that calls in flight have to end; Kubernetes kills after 30."""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_MAX),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.so_reuseport", 0),  # a second server on the same port is an error, not a lottery
    # A connection begins anew after an hour, and with it the check of the caller's certificate.
    ("grpc.max_connection_age_ms", 3600 * 1000),
    ("grpc.max_connection_age_grace_ms", 60 * 1000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 60 * 1000),
)


@final
class KeyServer:
    """Serves the keys of a `KeyService` to callers over gRPC.

    It hands out keys from `start` to `stop`; as a context manager it does both. The key service
    stays the caller's, to be closed after `stop`.
    """

    def __init__(
        self,
        keys: KeyService,
        listen: str,
        *,
        tls: TlsFiles | None,
        policy: Policy | Path | None = None,
        limits: Limits | None = None,
        audit: AuditLog | None = None,
        workers: int = WORKERS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Read certificates and policy, and bind the address; nothing is answered yet.

        Args:
            keys: asked for each key; it must be safe to use from several threads.
            listen: address and port, such as ``0.0.0.0:9000``; port 0 is a free one.
            tls: certificates, for mutual TLS; None is plain text, in which callers are anonymous.
            policy: who may ask for what, or the file that says so, which is read again when it
                changes. Without one, the keys of volumes are given to whoever can call.
            limits: how often.
            audit: where calls are put on record; by default standard error.
            workers: threads.
            clock: tells the time.

        Raises:
            InvalidRequest: a certificate, a key or the policy is not one.
            HostUnready: the address cannot be bound.
        """
        self._audit = AuditLog(clock=clock) if audit is None else audit
        self._clock = clock
        self._policy = self._watched_policy(policy, PLAINTEXT if tls is None else DEFAULT)
        _check_tls(tls)
        self._tls = None if tls is None else self._watched(tls.files, tls.load, "certificates")
        desk = Desk(
            keys,
            policy=self._policy.current,
            limiter=Limiter(limits or Limits(), clock),
            audit=self._audit,
            clock=clock,
        )
        self._pool = ThreadPoolExecutor(workers, "cloudcrypt-keyservice")
        self._health = health.HealthServicer(
            experimental_non_blocking=True, experimental_thread_pool=self._pool
        )
        self._server = grpc.server(self._pool, options=_OPTIONS, maximum_concurrent_rpcs=CALLS)
        self._server.add_generic_rpc_handlers((handlers(desk),))
        cast("Any", health_pb2_grpc).add_HealthServicer_to_server(self._health, self._server)
        self._listen = listen
        self._port = self._bind()

    @property
    def address(self) -> str:
        """Where it listens, with the real port."""
        return f"{self._listen.rpartition(':')[0]}:{self._port}"

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()
        for service in ("", SERVICE):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        security = "plaintext" if self._tls is None else "mutual TLS"
        self._audit.record("started", listen=self.address, security=security)
        if self._tls is None and not _is_loopback(self._listen):
            reason = "plaintext: whoever is on the network reads the keys, and may ask for them"
            self._audit.record("warning", listen=self.address, reason=reason)

    def stop(self, grace: float = GRACE) -> None:
        """Take no new calls, let those in flight end within ``grace`` seconds. Idempotent."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()
        self._pool.shutdown(wait=False)
        self._audit.record("stopped", listen=self.address)

    def reload(self) -> None:
        """Read certificates and policy again, and open the audit log anew.

        What is not good leaves what was good in force, with a line in the log. Changed files are
        noticed without this, within a second of the next call.
        """
        for reopened in (self._audit.reopen, self._policy.reload):
            try:
                reopened()
            except CloudcryptError as error:
                self._audit.record("reload failed", what="audit log", reason=error.message)
        if self._tls is not None:
            self._tls.reload()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def _watched_policy(self, policy: Policy | Path | None, default: Policy) -> Watched[Policy]:
        if isinstance(policy, Path):
            return self._watched((policy,), lambda: Policy.from_file(policy), "policy")
        chosen = policy or default
        return self._watched((), lambda: chosen, "policy")

    def _watched(self, files: Sequence[Path], load: Callable[[], T], what: str) -> Watched[T]:
        def changed(error: CloudcryptError | None) -> None:
            if error is None:
                self._audit.record("reloaded", what=what)
            else:
                self._audit.record("reload failed", what=what, reason=error.message)

        return Watched(files, load, changed=changed, clock=self._clock)

    def _bind(self) -> int:
        try:
            if self._tls is None:
                port: int = self._server.add_insecure_port(self._listen)
            else:
                port = self._server.add_secure_port(self._listen, credentials(self._tls))
        except RuntimeError as error:
            self._pool.shutdown(wait=False)
            what = f"the address {self._listen!r} to listen at"
            raise HostUnready(what, "name an address of this host and a free port") from error
        return port


def _is_loopback(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_tls(tls: TlsFiles | None) -> None:
    if tls is not None and (tls.certificate is None or tls.key is None):
        raise InvalidRequest("certificate", None, "a server has one, and its key")
