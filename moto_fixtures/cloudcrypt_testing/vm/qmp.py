"""QEMU's monitor protocol: commands and events, from any thread.

docs/interop/qmp-spec of QEMU describes it.
"""

import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any, Final

from cloudcrypt_testing.vm.errors import QMPRefused, VMFailed

_TIMEOUT: Final = 60.0  # seconds for the answer to one command
_EVENTS: Final = 1000  # remembered


class QMP:
    """A connection to one QEMU."""

    def __init__(self, path: Path) -> None:
        """Connect to the socket ``path``, which QEMU listens on.

        Raises:
            OSError: it does not.
            VMFailed: what answers is not QEMU.
        """
        self._socket = socket.socket(socket.AF_UNIX)
        self._changed = threading.Condition()
        self._answers: dict[int, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []
        self._number = 0
        self._is_over = False
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._read, name="qmp", daemon=True)
        self._thread.start()
        try:
            self.command("qmp_capabilities")
        except VMFailed:
            self.close()
            raise

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Send a command and return what it returns.

        Raises:
            QMPRefused: QEMU refused it.
            VMFailed: QEMU is gone, or does not answer.
        """
        with self._changed:
            self._number += 1
            number = self._number
            request = {"execute": name, "arguments": arguments or {}, "id": number}
            try:
                self._socket.sendall(json.dumps(request).encode() + b"\n")
            except OSError as error:
                raise VMFailed(f"{name}: QEMU is gone") from error
            self._changed.wait_for(lambda: self._is_over or number in self._answers, _TIMEOUT)
            answer = self._answers.pop(number, None)
        if answer is None:
            raise VMFailed(f"{name}: QEMU is gone or did not answer for {_TIMEOUT:.0f} s")
        if "error" in answer:
            refusal = answer["error"]
            raise QMPRefused(refusal["desc"], "", name, refusal["class"])
        return answer["return"]

    def wait_for(self, event: str, field: str, value: str, timeout: float) -> None:
        """Wait for an event whose data have ``value`` in ``field``, and take it.

        Raises:
            VMFailed: it did not come within ``timeout`` seconds.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                for each in self._events:
                    if each["event"] == event and each.get("data", {}).get(field) == value:
                        self._events.remove(each)
                        return
                left = end - time.monotonic()
                if left <= 0 or self._is_over:
                    raise VMFailed(f"no event {event} of {value} for {timeout:.0f} s")
                self._changed.wait(left)

    def close(self) -> None:
        """Hang up. Idempotent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._take(json.loads(line))
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        with self._changed:
            if "event" in message:
                self._events.append(message)
                del self._events[:-_EVENTS]
            elif "id" in message:
                self._answers[message["id"]] = message
            self._changed.notify_all()
