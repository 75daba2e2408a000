"""The connection of a client: made when it is needed, and anew when its certificates change."""

import threading
from typing import Any, Final, final

import attrs
import grpc  # type: ignore[import-untyped]

from cloudcrypt.keyservice.address import Address
from cloudcrypt.keyservice.certificates import Pem
from cloudcrypt.keyservice.messages import MESSAGE_MAX, PATH
from cloudcrypt.keyservice.watching import Watched
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_MAX),
    ("grpc.max_send_message_length", MESSAGE_MAX),
    # Keys go to the address that was named: not through a proxy of the environment, and by no
    # configuration that a name server hands out.
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),  # cloudcrypt.waiting decides
    # A connection whose other end is gone is noticed 20 s after something was sent. Servers in Go
    # take a ping each 5 minutes and no more.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Channels with the same address and options would share a connection, and with it the
    # certificates that it began with.
    ("grpc.use_local_subchannel_pool", 1),
)


@attrs.define(eq=False)
class _Connection:
    """A channel, how many calls use it, and whether another one has taken its place."""

    channel: Any
    call: Any
    users: int = 0
    retired: bool = False


@final
class Connections:
    """Makes calls to one address. Thread-safe."""

    def __init__(self, address: Address, clock: Clock = SYSTEM_CLOCK) -> None:
        """Read the certificates; nothing is connected yet.

        Raises:
            InvalidRequest: one is not good.
        """
        tls = address.tls
        self._address = address
        self._tls = None if tls is None else Watched(tls.files, tls.load, clock=clock)
        self._lock = threading.Lock()
        self._pem: Pem | None = None
        self._connection: _Connection | None = None
        self._closed = False

    def call(self, data: bytes, timeout: float) -> bytes:
        """Return the answer to the message ``data``; ``timeout`` is in seconds.

        Raises:
            grpc.RpcError: as gRPC says.
            ValueError: it is closed.
        """
        pem = None if self._tls is None else self._tls.current()
        with self._lock:
            connection = self._current(pem)
            connection.users += 1
        try:
            answer: bytes = connection.call(data, timeout=timeout)
            return answer
        finally:
            with self._lock:
                connection.users -= 1
                is_over = connection.retired and not connection.users
            if is_over:
                connection.channel.close()

    def close(self) -> None:
        """Close; calls in flight end with an error. Idempotent."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.channel.close()

    def _current(self, pem: Pem | None) -> _Connection:
        if self._closed:
            msg = "closed"
            raise ValueError(msg)
        if self._connection is None or pem is not self._pem:
            self._retire()
            self._pem = pem
            channel = self._channel(pem)
            self._connection = _Connection(channel, channel.unary_unary(PATH))
        return self._connection

    def _retire(self) -> None:
        """Let the calls of the old connection end, and close it after the last."""
        old = self._connection
        if old is not None:
            old.retired = True
            if not old.users:
                old.channel.close()

    def _channel(self, pem: Pem | None) -> Any:  # noqa: ANN401  # mypy does not know gRPC
        target = self._address.target
        if pem is None:
            return grpc.insecure_channel(target, options=_OPTIONS)
        credentials = grpc.ssl_channel_credentials(pem.ca, pem.key, pem.certificate)
        name = self._address.authority
        options = _OPTIONS if name is None else (*_OPTIONS, ("grpc.ssl_target_name_override", name))
        return grpc.secure_channel(target, credentials, options=options)
