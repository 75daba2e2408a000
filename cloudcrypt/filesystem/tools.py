"""Running the programs that make, check and grow filesystems: no shell, bounded in every way.

A program gets no environment but a path and the C locale, no standard input, and the device as an
inherited descriptor. What it says is bounded, and printed only where it cannot name what the
filesystem holds.
"""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, Protocol

import attrs

from cloudcrypt.errors import HostUnready, shown
from cloudcrypt.waiting import Deadline

PACKAGES: Final = {
    "mkfs.ext4": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "xfs_growfs": "xfsprogs",
    "xfs_repair": "xfsprogs",
}
"""The Debian package of each program."""

_SYSTEM: Final = "/usr/sbin:/sbin"
"""Where these programs are, and where the path of a user often does not lead."""

KEPT: Final = 2000
"""Bytes of what a program says that are kept: so many of its first, and so many of its last."""

_SHOWN: Final = 400  # characters of it in a message

GRACE: Final = 5.0
"""Seconds for a program to end after SIGTERM, and after SIGKILL: it may wait for the device. One
that does not is left behind; it keeps its claim of the device until it ends."""

_CHUNK: Final = 4096
_FIRST, _LONGEST = 0.005, 0.1  # seconds between two looks: most programs here take some 20 ms


@attrs.frozen
class Ended:
    """How a program ended: its exit status, negative for a signal, and what it said.

    ``said`` is the end of that, ``began`` the beginning.
    """

    tool: str
    status: int
    said: str
    began: str

    def __str__(self) -> str:
        """Return all of it for a message."""
        return f"{self.how} ({shown(self.said, _SHOWN)})" if self.said else self.how

    @property
    def how(self) -> str:
        """How it ended, without what it said."""
        if self.status < 0:
            return f"{self.tool} was ended by signal {-self.status}"
        return f"{self.tool} ended with status {self.status}"


class ToolStopped(Exception):
    """A program did not end before the deadline, and was stopped."""


class Tools(Protocol):
    """How programs are run."""

    def run(
        self, tool: str, arguments: Sequence[str], *, inherited: Collection[int], deadline: Deadline
    ) -> Ended:
        """Run a program to its end.

        Args:
            tool: its name.
            arguments: what it is told.
            inherited: the descriptors that it gets.
            deadline: when it is stopped.

        Raises:
            HostUnready: it is not installed.
            ToolStopped: the deadline passed.
            OperationCancelled: the caller cancelled; the program was stopped.
        """
        ...


class HostTools:
    """The programs of this host; see `Tools`."""

    def __init__(self, path: str | None = None, *, grace: float = GRACE) -> None:
        """Look for programs in these folders.

        Args:
            path: as the variable PATH; by default that, and where root's programs are.
            grace: seconds that a program gets to end, each time it is asked to.
        """
        if path is None:
            path = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM}"
        self.path = path
        self._grace = grace

    def run(
        self, tool: str, arguments: Sequence[str], *, inherited: Collection[int], deadline: Deadline
    ) -> Ended:
        """Run a program to its end; see `Tools.run`."""
        deadline.check()
        command = [self._found(tool), *arguments]
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, arguments of our own
                command,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env={"PATH": self.path, "LC_ALL": "C"},
                pass_fds=tuple(inherited),
                start_new_session=True,  # an interrupt at the terminal is this process's to handle
            )
        except OSError as error:
            os.close(reading)
            what = f"a program {tool} that runs ({error.strerror})"
            raise HostUnready(what, _advice(tool)) from error
        finally:
            os.close(writing)
        listener = _Listener(reading)
        try:
            steps = deadline.steps(_FIRST, longest=_LONGEST)
            while (status := process.poll()) is None:
                if not steps.again() and process.poll() is None:
                    raise ToolStopped(f"{tool} did not end before the deadline, and was stopped")
        finally:
            if process.returncode is None:
                _stop(process, self._grace)
        return listener.ended(tool, status, self._grace)

    def where(self, tool: str) -> str | None:
        """Return the path of a program, if it is installed."""
        return shutil.which(tool, path=self.path)

    def _found(self, tool: str) -> str:
        found = self.where(tool)
        if found is None:
            raise HostUnready(f"the program {tool}", _advice(tool))
        return found


def _advice(tool: str) -> str:
    return f"apt-get install {PACKAGES[tool]}"


class _Listener:
    """Takes what a program says, so that it never waits for a reader, and keeps both ends."""

    def __init__(self, pipe: int) -> None:
        """Own the reading end ``pipe``."""
        self._pipe = pipe
        self._began = bytearray()
        self._said = bytearray()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def ended(self, tool: str, status: int, grace: float) -> Ended:
        """Return how the program ended; a child of it may have more to say, and is not waited for.

        Args:
            tool: its name.
            status: its exit status.
            grace: seconds to listen to the end.
        """
        self._thread.join(grace)
        said, began = (
            bytes(kept).decode("ascii", "replace").strip() for kept in (self._said, self._began)
        )
        return Ended(tool, status, said, began)

    def _listen(self) -> None:
        with open(self._pipe, "rb", buffering=0) as pipe:  # noqa: PTH123 - a descriptor
            while chunk := pipe.read(_CHUNK):
                self._began += chunk[: KEPT - len(self._began)]
                self._said += chunk
                del self._said[:-KEPT]


def _stop(process: "subprocess.Popen[bytes]", grace: float) -> None:
    """End a program, first as it can be asked to, with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            continue
        return
