"""What this process knows of the intents that it has begun: Azure keeps no tokens.

It is a help, not a proof: another process does not have it, and it forgets the oldest.
"""

import threading
from typing import Final

import attrs

_REMEMBERED: Final = 10_000
"""Intents; each takes some hundred bytes."""


@attrs.frozen
class Begun:
    """An intent that was accepted: what Azure calls its volume or snapshot, and the handle's text.

    ``unique`` is the ``uniqueId``, once Azure has shown it.
    """

    azure_name: str
    reference: str
    unique: str | None = None


class Memory:
    """Intents by kind and token. Thread-safe."""

    def __init__(self) -> None:
        """Start without memory."""
        self._lock = threading.Lock()
        self._begun: dict[tuple[str, str], Begun] = {}

    def recall(self, kind: str, token: str) -> Begun | None:
        """Return what was begun by this token, if this process did."""
        with self._lock:
            return self._begun.get((kind, token))

    def keep(self, kind: str, token: str, begun: Begun) -> Begun:
        """Remember ``begun``, unless something is remembered already; return what is now."""
        with self._lock:
            self._make_room()
            return self._begun.setdefault((kind, token), begun)

    def put(self, kind: str, token: str, begun: Begun) -> Begun:
        """Remember ``begun``, in the place of what was remembered; return it."""
        with self._lock:
            self._make_room()
            self._begun[kind, token] = begun
            return begun

    def shown(self, kind: str, token: str, unique: str) -> None:
        """Remember the ``uniqueId`` of what a token began."""
        with self._lock:
            begun = self._begun.get((kind, token))
            if begun is not None:
                self._begun[kind, token] = attrs.evolve(begun, unique=unique)

    def _make_room(self) -> None:
        while len(self._begun) >= _REMEMBERED:
            del self._begun[next(iter(self._begun))]
