"""The host's end of the way to the agent in the guest: jobs, their output, and how they end."""

import contextlib
import json
import socket
import threading
from collections import defaultdict
from typing import IO, Any, Final

from cloudcrypt_testing.vm import agent
from cloudcrypt_testing.vm.errors import VMFailed

_GRACE: Final = 60.0  # seconds: how much later than the agent the host gives a job up


class GuestJob:
    """A program or a call in the guest, while it runs and afterwards."""

    def __init__(self, channel: "Channel", number: int, timeout: float) -> None:
        """Made by `Channel.begin` alone."""
        self._channel = channel
        self._number = number
        self._timeout = timeout
        self._parts: defaultdict[bytes, bytearray] = defaultdict(bytearray)
        self._exit: dict[str, Any] | None = None
        self._over = threading.Event()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or the virtual machine has."""
        return self._over.is_set()

    @property
    def stdout(self) -> bytes:
        """Its standard output so far."""
        return self.part(agent.OUTPUT)

    @property
    def stderr(self) -> bytes:
        """Its standard error so far."""
        return self.part(agent.ERROR)

    def part(self, kind: bytes) -> bytes:
        """Return what frames of this kind have brought so far."""
        return bytes(self._parts[kind])

    def signal(self, number: int) -> None:
        """Send a signal to it and what it started; does nothing once it has ended.

        Raises:
            VMFailed: the virtual machine has ended.
        """
        self._channel.send(self._number, agent.SIGNAL, b"%d" % number)

    def wait(self) -> int:
        """Return how it ended: an exit code, or the negative number of a signal.

        Raises:
            TimeoutError: it ran longer than it may; it was killed.
            OSError: it could not be started.
            VMFailed: the virtual machine ended first, or the agent does not answer.
        """
        if not self._over.wait(self._timeout + _GRACE):
            raise VMFailed(f"the agent did not end a job within {self._timeout:.0f} s")
        if self._exit is None:
            raise VMFailed("the virtual machine ended before the job did")
        if "error" in self._exit:
            facts = self._exit["error"]
            raise OSError(facts["errno"], facts["strerror"], facts["filename"])
        if self._exit["is_late"]:
            raise TimeoutError(f"not done after {self._timeout:.0f} s")
        returncode: int = self._exit["returncode"]
        return returncode

    def take(self, kind: bytes, payload: bytes) -> None:
        """Take one frame; the last one tells how it ended."""
        if kind == agent.EXIT:
            self._exit = json.loads(payload)
            self._over.set()
        else:
            self._parts[kind] += payload

    def lose(self) -> None:
        """Take note that no frame will come any more."""
        self._over.set()


class Channel:
    """A connection to the agent; safe to use from several threads."""

    def __init__(self, connection: socket.socket) -> None:
        """Use ``connection``, which is closed by `close`."""
        self._socket = connection
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._jobs: dict[int, GuestJob] = {}
        self._number = 0
        self._facts: dict[str, Any] | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._read, name="agent", daemon=True)
        self._thread.start()

    def ready(self, timeout: float) -> dict[str, Any] | None:
        """Wait for the agent and return what it says of the guest.

        None means that it did not come within ``timeout`` seconds, or will not.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._facts is not None, timeout)
            return self._facts

    def begin(self, kind: bytes, request: dict[str, Any], rest: bytes = b"") -> GuestJob:
        """Ask for a job; ``request["timeout"]`` is in seconds.

        Raises:
            VMFailed: the virtual machine has ended.
        """
        with self._changed:
            if self._is_over:
                raise VMFailed("the virtual machine has ended")
            self._number += 1
            number = self._number
            job = GuestJob(self, number, request["timeout"])
            self._jobs[number] = job
        self.send(number, kind, json.dumps(request).encode() + b"\n" + rest)
        return job

    def send(self, number: int, kind: bytes, payload: bytes) -> None:
        """Send one frame.

        Raises:
            VMFailed: the virtual machine has ended.
        """
        frame = agent.HEADER.pack(number, kind, len(payload)) + payload
        with self._sending:
            try:
                self._socket.sendall(frame)
            except OSError as error:
                raise VMFailed("the virtual machine has ended") from error

    def close(self) -> None:
        """Hang up, which ends the agent. Idempotent."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, EOFError), self._socket.makefile("rb") as incoming:
            while True:
                number, kind, length = agent.HEADER.unpack(_exactly(incoming, agent.HEADER.size))
                self._take(number, kind, _exactly(incoming, length))
        with self._changed:
            self._is_over = True
            lost = list(self._jobs.values())
            self._changed.notify_all()
        for job in lost:
            job.lose()

    def _take(self, number: int, kind: bytes, payload: bytes) -> None:
        with self._changed:
            if kind == agent.READY:
                self._facts = json.loads(payload)
                self._changed.notify_all()
                return
            job = self._jobs.pop(number) if kind == agent.EXIT else self._jobs[number]
        job.take(kind, payload)


def _exactly(incoming: IO[bytes], length: int) -> bytes:
    content = incoming.read(length)
    if len(content) < length:
        raise EOFError
    return content
