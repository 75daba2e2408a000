"""What obeys the host from inside the virtual machine; a program of its own.

It needs nothing but the standard library. A frame is a `HEADER` and a payload: the number of the
job that it belongs to, its kind, the length of the payload.

A `CALL` runs in a fork of this process, which has imported what `PRELOAD` named: a new interpreter
takes seconds under emulation.
"""

import contextlib
import errno
import fcntl
import importlib
import importlib.util
import json
import math
import os
import selectors
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

PORT_NAME: Final = "cloudcrypt.agent"
"""The name of the virtio port."""

HEADER: Final = struct.Struct(">IcI")

RUN: Final = b"R"  # to the guest: JSON, a newline, and the standard input of the program
CALL: Final = b"C"  # to the guest: JSON, a newline; a Python function
SIGNAL: Final = b"S"  # to the guest: a number in decimal
PRELOAD: Final = b"P"  # to the guest: a JSON list of modules
READY: Final = b"B"  # to the host: JSON, once
OUTPUT: Final = b"O"  # to the host: what the job wrote to its standard output
ERROR: Final = b"E"  # to the host: the same, standard error
RESULT: Final = b"V"  # to the host: a part of the JSON that a call returns
COVERAGE: Final = b"D"  # to the host: a part of the coverage data of a call
EXIT: Final = b"X"  # to the host: JSON; the job is over

_CHUNK: Final = 65536


class Job:
    """A program, or a call, that runs: its process, and the pipes that are read from it."""

    def __init__(self, number: int, pid: int, pipes: dict[int, bytes], timeout: float) -> None:
        """Follow a process that leads a session of its own.

        Args:
            number: the number of its frames.
            pid: its process id.
            pipes: the kind of frame that each becomes.
            timeout: seconds until it is killed.
        """
        self.number = number
        self.pid = pid
        self.pipes = pipes
        self.handle = os.pidfd_open(pid)
        self.end = time.monotonic() + timeout
        self.is_late = False
        for pipe in pipes:
            flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
            fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_NONBLOCK)

    def signal(self, number: int) -> None:
        """Send a signal to all its processes that have not left its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class Agent:
    """Obeys the frames that come from one file descriptor."""

    def __init__(self, port: int) -> None:
        """Serve ``port``, whose other end is the host."""
        self._port = port
        self._incoming = bytearray()
        self._jobs: dict[int, Job] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(port, selectors.EVENT_READ, self._obey)

    def serve(self) -> None:
        """Obey until the host is gone."""
        with contextlib.suppress(EOFError):
            while True:
                for key, _ in self._selector.select(self._patience()):
                    if key.fd in self._selector.get_map():  # a job that ended takes its pipes along
                        key.data()
                self._kill_late()

    def send(self, number: int, kind: bytes, payload: bytes) -> None:
        """Send one frame."""
        frame = memoryview(HEADER.pack(number, kind, len(payload)) + payload)
        while frame:
            frame = frame[os.write(self._port, frame) :]

    def _obey(self) -> None:
        chunk = os.read(self._port, _CHUNK)
        if not chunk:
            raise EOFError
        self._incoming += chunk
        while len(self._incoming) >= HEADER.size:
            number, kind, length = HEADER.unpack_from(self._incoming)
            if len(self._incoming) < HEADER.size + length:
                return
            payload = bytes(self._incoming[HEADER.size : HEADER.size + length])
            del self._incoming[: HEADER.size + length]
            self._do(number, kind, payload)

    def _do(self, number: int, kind: bytes, payload: bytes) -> None:
        if kind == SIGNAL:
            if number in self._jobs:
                self._jobs[number].signal(int(payload))
            return
        if kind == PRELOAD:
            preload(json.loads(payload))
            return
        request, _, rest = payload.partition(b"\n")
        try:
            job = self._started(number, kind, json.loads(request), rest)
        except OSError as error:
            facts = {"errno": error.errno, "strerror": error.strerror, "filename": error.filename}
            self.send(number, EXIT, json.dumps({"error": facts}).encode())
            return
        self._jobs[number] = job
        self._selector.register(job.handle, selectors.EVENT_READ, lambda: self._end(job))
        for pipe in job.pipes:
            self._selector.register(pipe, selectors.EVENT_READ, lambda at=pipe: self._pass(job, at))

    def _started(self, number: int, kind: bytes, request: dict[str, Any], rest: bytes) -> Job:
        if kind == RUN:
            return _program(number, request, rest)
        return _call(number, request, self._port)

    def _pass(self, job: Job, pipe: int) -> bool:
        """Pass one chunk on to the host; say whether there may be more at once."""
        try:
            chunk = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            self._close(job, pipe)
            return False
        self.send(job.number, job.pipes[pipe], chunk)
        return True

    def _close(self, job: Job, pipe: int) -> None:
        self._selector.unregister(pipe)
        os.close(pipe)
        del job.pipes[pipe]

    def _end(self, job: Job) -> None:
        """Say how the process ended; what it left behind may go on, unheard."""
        _, status = os.waitpid(job.pid, 0)
        self._selector.unregister(job.handle)
        os.close(job.handle)
        del self._jobs[job.number]
        for pipe in list(job.pipes):
            while self._pass(job, pipe):
                pass
            if pipe in job.pipes:
                self._close(job, pipe)
        facts = {"returncode": os.waitstatus_to_exitcode(status), "is_late": job.is_late}
        self.send(job.number, EXIT, json.dumps(facts).encode())

    def _patience(self) -> float | None:
        ends = [job.end for job in self._jobs.values() if not job.is_late and job.end < math.inf]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _kill_late(self) -> None:
        now = time.monotonic()
        for job in self._jobs.values():
            if not job.is_late and job.end <= now:
                job.is_late = True
                job.signal(signal.SIGKILL)


def preload(modules: list[str]) -> None:
    """Import what calls will need; what cannot be imported, for whatever reason, tells them so."""
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    if "coverage" in modules:  # it imports most of itself when it is first used
        _measured({"has_branches": True, "include": ["/nothing"], "omit": []})()


def _program(number: int, request: dict[str, Any], stdin: bytes) -> Job:
    with os.fdopen(os.memfd_create("stdin"), "w+b") as file:
        file.write(stdin)
        file.seek(0)
        program = subprocess.Popen(  # noqa: S603 - what the host asks for
            request["arguments"],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=request["folder"],
            env={**os.environ, **request["environment"]},
            start_new_session=True,
        )
    assert program.stdout is not None
    assert program.stderr is not None
    pipes = {os.dup(program.stdout.fileno()): OUTPUT, os.dup(program.stderr.fileno()): ERROR}
    program.stdout.close()
    program.stderr.close()
    program.returncode = 0  # this process waits for it itself
    return Job(number, program.pid, pipes, request["timeout"])


def _call(number: int, request: dict[str, Any], port: int) -> Job:
    kinds = (OUTPUT, ERROR, RESULT, COVERAGE)
    ends = {kind: os.pipe() for kind in kinds}
    pid = os.fork()
    if pid == 0:
        try:
            os.close(port)
            _be_called(request, [ends[kind][1] for kind in kinds])
        finally:
            os._exit(1)
    for _, end in ends.values():
        os.close(end)
    return Job(number, pid, {end: kind for kind, (end, _) in ends.items()}, request["timeout"])


def _be_called(request: dict[str, Any], pipes: list[int]) -> NoReturn:
    """Call the function in this process, which was forked for it, and end the process."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(pipes[0], 1)
    os.dup2(pipes[1], 2)
    os.chdir(request["folder"])
    sys.path.insert(0, request["folder"])
    measured = _measured(request["coverage"])
    try:
        answer = {"value": find(request["function"])(*request["args"], **request["kwargs"])}
        text = json.dumps(answer)
    except BaseException as error:  # noqa: BLE001 - the host is told
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        facts = {"kind": kind, "message": str(error), "traceback": traceback.format_exc()}
        text = json.dumps({"error": facts})
    sys.stdout.flush()
    sys.stderr.flush()
    _write(pipes[2], text.encode())
    _write(pipes[3], measured())
    os._exit(0)


def find(name: str) -> Callable[..., Any]:
    """Return the function ``module:function``; a module may be the absolute path of a file."""
    module, _, function = name.rpartition(":")
    if module.startswith("/"):
        stem = Path(module).stem
        spec = importlib.util.spec_from_file_location(stem, module)
        if spec is None or spec.loader is None:
            raise ImportError(errno.ENOENT, f"no Python file {module}")
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[stem] = loaded
        spec.loader.exec_module(loaded)
    else:
        loaded = importlib.import_module(module)
    found: Callable[..., Any] = getattr(loaded, function)
    return found


def _measured(wanted: dict[str, Any] | None) -> Callable[[], bytes]:
    """Measure the coverage from now on, if it is ``wanted``."""
    if wanted is None:
        return bytes
    import coverage  # noqa: PLC0415 - only where it is asked for

    measurement = coverage.Coverage(
        data_file=None,
        config_file=False,
        branch=wanted["has_branches"],
        include=wanted["include"],
        omit=wanted["omit"],
    )
    measurement.set_option("run:disable_warnings", ["no-data-collected"])
    measurement.start()

    def measured() -> bytes:
        measurement.stop()
        return measurement.get_data().dumps()

    return measured


def _write(pipe: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _port() -> str:
    for name in Path("/sys/class/virtio-ports").glob("*/name"):
        if name.read_text().strip() == PORT_NAME:
            return f"/dev/{name.parent.name}"
    sys.exit(f"there is no port {PORT_NAME}")


def main() -> None:
    """Serve the host."""
    agent = Agent(os.open(_port(), os.O_RDWR | os.O_CLOEXEC))
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    facts = {"release": os.uname().release, "uptime": uptime}
    agent.send(0, READY, json.dumps(facts).encode())
    import site  # noqa: PLC0415 - reads the environment's folders, while the host is busy

    site.main()
    agent.serve()


if __name__ == "__main__":
    main()
