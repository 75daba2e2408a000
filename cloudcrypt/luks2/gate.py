"""A gate that is closed once: nothing is under way afterwards, and nothing begins."""

import threading

from cloudcrypt.errors import DeviceUnavailable


class Gate:
    """Guards what is torn down, a key and a file descriptor, against those that still use it.

    Users are within ``with gate:``; they do not exclude each other.
    """

    def __init__(self, name: str) -> None:
        """Open the gate to ``name``, which messages call what lies behind."""
        self._name = name
        self._changed = threading.Condition()
        self._users = 0
        self._closed = False

    def close(self) -> None:
        """Let nobody in any more, and wait until everybody has left. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._users == 0)

    def __enter__(self) -> None:
        """Go in.

        Raises:
            DeviceUnavailable: the gate was closed.
        """
        with self._changed:
            if self._closed:
                raise DeviceUnavailable(self._name, "the volume was closed")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        """Leave."""
        with self._changed:
            self._users -= 1
            self._changed.notify_all()
