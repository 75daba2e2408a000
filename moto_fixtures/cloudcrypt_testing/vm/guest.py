"""What is done inside a running virtual machine: programs, Python functions, files."""

import abc
import json
import math
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cloudcrypt_testing.vm import agent
from cloudcrypt_testing.vm.channel import Channel, GuestJob
from cloudcrypt_testing.vm.errors import GuestRaised
from cloudcrypt_testing.vm.measuring import Measurement

TIMEOUT: Final = 120.0
"""Seconds for one program or call, unless said otherwise: emulation is slow on a busy host."""

_FORWARD: Final = Path(__file__).parent / "forward.py"
_STEP: Final = 0.02  # seconds between two looks for output


class Guest(abc.ABC):
    """The inside of a virtual machine; safe to use from several threads."""

    def __init__(self, folder: Path, measurement: Measurement | None) -> None:
        """Work in ``folder``; measure calls as ``measurement`` says (see `save_coverage`)."""
        self._folder = folder
        self._measurement = measurement
        self._results: list[bytes] = []

    def start(
        self,
        arguments: Sequence[str | Path],
        *,
        stdin: bytes = b"",
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> GuestJob:
        """Start a program and leave it running; arguments as for `run`.

        Raises:
            VMFailed: the virtual machine has ended.
        """
        request = {
            "arguments": [str(each) for each in arguments],
            "folder": str(folder or self._folder),
            "environment": dict(environment or {}),
            "timeout": timeout,
        }
        return self._reach().begin(agent.RUN, request, stdin)

    def run(
        self,
        arguments: Sequence[str | Path],
        *,
        stdin: bytes = b"",
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        check: bool = False,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end, as `subprocess.run` does.

        Returns when the program has ended; what it left running in the background goes on.

        Args:
            arguments: the program and its arguments; no shell is involved.
            stdin: its standard input.
            folder: its working directory; None is that of the virtual machine.
            environment: variables beside those that all programs of the guest have.
            timeout: seconds after which it is killed, with all that it started.
            check: whether an exit code other than 0 is an error.

        Returns:
            The exit code, or the negative number of a signal; the output.

        Raises:
            subprocess.CalledProcessError: as ``check`` says.
            subprocess.TimeoutExpired: it took longer.
            OSError: there is no such program.
            VMFailed: the virtual machine has ended.
        """
        job = self.start(
            arguments, stdin=stdin, folder=folder, environment=environment, timeout=timeout
        )
        command = [str(each) for each in arguments]
        try:
            returncode = job.wait()
        except TimeoutError as error:
            raise subprocess.TimeoutExpired(command, timeout, job.stdout, job.stderr) from error
        done = subprocess.CompletedProcess(
            command, returncode, _text(job.stdout), _text(job.stderr)
        )
        if check:
            _check(done)
        return done

    def python(
        self,
        function: str,
        *arguments: Any,  # noqa: ANN401 - JSON
        timeout: float = TIMEOUT,
        **named: Any,  # noqa: ANN401 - JSON
    ) -> Any:  # noqa: ANN401 - JSON
        """Call a Python function in the guest, in a process of its own, and return its result.

        The process has the interpreter and the packages of this one, and the working directory of
        the virtual machine in front of its path. It comes ready made, so that it costs a fraction
        of a second and not the seconds that an interpreter takes to start.

        Args:
            function: ``package.module:function``; for the module also the absolute path of a file.
            arguments: what JSON can express, as is the result.
            timeout: seconds after which it is killed, with all that it started.
            named: further arguments.

        Raises:
            GuestRaised: the function raised, or its process died.
            TimeoutError: it took longer.
            VMFailed: the virtual machine has ended.
        """
        job = self._call(function, arguments, named, timeout)
        returncode = job.wait()
        if result := job.part(agent.COVERAGE):
            self._results.append(result)
        if returncode != 0:
            message = f"its process ended with {returncode}"
            raise GuestRaised(function, "died", message, f"{message}\n{_text(job.stderr)}")
        answer: dict[str, Any] = json.loads(job.part(agent.RESULT))
        if "error" in answer:
            raise GuestRaised(function, **answer["error"])
        return answer["value"]

    def forward(self, port: int) -> None:
        """Let the guest reach, at the same port of its own loopback, a server on the host's.

        For a virtual machine that has a network. It lasts as long as the virtual machine.

        Raises:
            GuestRaised: the port is taken in the guest.
        """
        job = self._call(f"{_FORWARD}:serve", (port,), {}, math.inf)
        while not job.stdout:
            if job.is_over:
                raise GuestRaised("forward", "died", f"port {port}", _text(job.part(agent.RESULT)))
            time.sleep(_STEP)

    def read_bytes(self, path: Path | str) -> bytes:
        """Return the content of a file of the guest.

        Raises:
            subprocess.CalledProcessError: it cannot be read.
        """
        job = self.start(["cat", "--", str(path)])
        _check(subprocess.CompletedProcess(["cat", str(path)], job.wait(), "", _text(job.stderr)))
        return job.stdout

    def write_bytes(self, path: Path | str, content: bytes) -> None:
        """Write a file of the guest, which forgets it when it ends.

        Raises:
            subprocess.CalledProcessError: it cannot be written.
        """
        self.run(["sh", "-c", f"cat >{shlex.quote(str(path))}"], stdin=content, check=True)

    def preload(self, modules: Sequence[str]) -> None:
        """Import modules once, so that no call of `python` has to; returns at once.

        What the modules of a call do when imported is then not measured.
        """
        measuring = [] if self._measurement is None else ["coverage"]
        self._reach().send(0, agent.PRELOAD, json.dumps([*modules, *measuring]).encode())

    def save_coverage(self, name: str) -> None:
        """Write what the calls of `python` have covered, to be combined with that of the tests."""
        if self._measurement is not None and self._results:
            self._measurement.save(name, self._results)
            self._results.clear()

    def _call(
        self, function: str, arguments: Sequence[Any], named: Mapping[str, Any], timeout: float
    ) -> GuestJob:
        request = {
            "function": function,
            "args": arguments,
            "kwargs": named,
            "folder": str(self._folder),
            "coverage": None if self._measurement is None else self._measurement.request(),
            "timeout": timeout,
        }
        return self._reach().begin(agent.CALL, request)

    @abc.abstractmethod
    def _reach(self) -> Channel:
        """Return the way to the agent.

        Raises:
            VMFailed: there is none.
        """


def _text(output: bytes) -> str:
    return output.decode("utf-8", "backslashreplace")


def _check(done: "subprocess.CompletedProcess[str]") -> None:
    """Raise `subprocess.CalledProcessError` with the output in its notes: pytest shows them."""
    if done.returncode != 0:
        error = subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
        error.add_note(f"{done.stdout}{done.stderr}")
        raise error
