"""The audit log of the key service: who asked for which key, and what came of it, a line each.

A line is one JSON document in ASCII: whatever a caller sends, it cannot begin another line. There
is no key material in it. A line is written before its key is handed out; if it cannot be written,
the key is not handed out.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import final

from cloudcrypt.errors import HostUnready
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock

TEXT_MAX = 256
"""Characters of a foreign text that a line repeats."""

Write = Callable[[bytes], None]


@final
class AuditLog:
    """Writes lines, to standard error or to a file. Thread-safe."""

    def __init__(self, path: Path | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Append to the file at ``path``, made with mode 0600, or to standard error.

        Raises:
            HostUnready: the file cannot be opened.
        """
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._fd = self._open()

    def record(self, event: str, **facts: object) -> None:
        """Write one line: the time, the event and its facts.

        Raises:
            HostUnready: it could not be written, or not to its end.
        """
        now = self._clock.now().isoformat(timespec="milliseconds")
        shown = {name: _bounded(value) for name, value in facts.items()}
        line = json.dumps({"time": now, "event": event, **shown}).encode("ascii") + b"\n"
        with self._lock:
            try:
                written = self._write(line)
            except OSError as error:
                raise self._unready(error) from error
        if written != len(line):
            raise self._unready(None)

    def reopen(self) -> None:
        """Open the file anew, for whoever has renamed it. Idempotent.

        Raises:
            HostUnready: it cannot be opened; lines go where they went before.
        """
        with self._lock:
            old, self._fd = self._fd, self._open()
            if old is not None:
                os.close(old)

    def close(self) -> None:
        """Close the file. Idempotent; a line after that goes to standard error."""
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
            self._fd = None

    def _open(self) -> int | None:
        if self._path is None:
            return None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._path, flags, 0o600)
        except (OSError, ValueError) as error:
            raise self._unready(error) from error

    def _write(self, line: bytes) -> int:
        if self._fd is not None:
            return os.write(self._fd, line)
        sys.stderr.write(line.decode("ascii"))
        sys.stderr.flush()
        return len(line)

    def _unready(self, error: Exception | None) -> HostUnready:
        reason = getattr(error, "strerror", None) or "it is incomplete"
        where = "standard error" if self._path is None else f"the file {str(self._path)!r}"
        what = f"an audit log that can be written, at {where}: {reason}"
        return HostUnready(what, "free space, or name another file")


def _bounded(value: object) -> object:
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return value[:TEXT_MAX] + "..."
    return value
