"""A fake as tests hold it: served on loopback within a ``with`` block, with faults and a log."""

import os
import ssl
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.exchange import RequestLog
from cloudcrypt_testing.world.faults import FaultSchedule
from cloudcrypt_testing.world.layer import Hook, Layer
from cloudcrypt_testing.world.server import Server

L = TypeVar("L", bound=Layer[Any])


class Served(Generic[L]):
    """Answers by a layer, at `endpoint`, from the beginning of the ``with`` block to its end.

    A process that is forked within the block can leave it: only the one that began it stops it.
    """

    def __init__(self, layer: L, tls: ssl.SSLContext | None = None) -> None:
        """Begin with a layer, by TLS if there is a context."""
        self._layer = layer
        self._tls = tls
        self._endpoint = ""
        self._running = ExitStack()
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        """Serve."""
        server = Server(self._layer, self._tls)
        self._endpoint = server.endpoint
        self._running.enter_context(server.running())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, in the process that started it; files in a folder of the caller stay."""
        if os.getpid() == self._owner:
            self._running.close()

    @property
    def endpoint(self) -> str:
        """The base URL: scheme, address and port."""
        return self._endpoint

    @property
    def clock(self) -> FakeClock:
        """The time it lives in."""
        return self._layer.clock

    @property
    def faults(self) -> FaultSchedule:
        """What goes wrong, and when."""
        return self._layer.faults

    @property
    def requests(self) -> RequestLog:
        """What was asked for."""
        return self._layer.requests

    @property
    def hooks(self) -> list[Hook]:
        """Called before and after each request is done, in a thread of the server."""
        return self._layer.hooks
