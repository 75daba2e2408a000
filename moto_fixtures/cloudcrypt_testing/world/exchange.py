"""One request and its answer, as tests watch and count them."""

import threading
from collections.abc import Iterator, Mapping
from typing import Literal

import attrs

from cloudcrypt_testing.world.faults import Call


class ConnectionDropped(Exception):
    """Close the connection without an answer. A hook may raise it too."""


@attrs.frozen
class Exchange:
    """What a hook is called with."""

    call: Call
    phase: Literal["before", "after"]
    """Before anything is done, or when it is done and not yet answered."""


@attrs.frozen
class Request:
    """One request that was answered, or whose connection was closed."""

    service: str
    action: str
    parameters: Mapping[str, str]
    status: int
    """HTTP status; 0 if the connection was closed."""


class RequestLog:
    """The requests since the last `clear`. Thread-safe."""

    def __init__(self) -> None:
        """Begin empty."""
        self._requests: list[Request] = []
        self._lock = threading.Lock()

    def append(self, request: Request) -> None:
        """Add a request."""
        with self._lock:
            self._requests.append(request)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._requests.clear()

    def count(self, action: str) -> int:
        """Return how many requests there were for ``action``."""
        return sum(request.action == action for request in self)

    @property
    def actions(self) -> list[str]:
        """What was asked for, in order."""
        return [request.action for request in self]

    def __iter__(self) -> Iterator[Request]:
        """Yield the requests in the order in which they were answered."""
        with self._lock:
            return iter(tuple(self._requests))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._requests)
