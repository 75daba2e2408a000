"""Everything of a host that filesystems depend on, and one change of a volume's at a time."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cloudcrypt.errors import DeviceBusy, HostUnready
from cloudcrypt.filesystem.mounts import Mounts
from cloudcrypt.filesystem.node import MappingNodes, Nodes
from cloudcrypt.filesystem.syscalls import HostKernel, Kernel
from cloudcrypt.filesystem.tools import HostTools, Tools
from cloudcrypt.hostlocks import HostLocks
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline

RUNTIME: Final = Path("/run/cloudcrypt")
"""Where the lock file is: forgotten by a reboot, as mounts are."""


class Filesystems:
    """A host; each of its parts comes in as an argument."""

    def __init__(
        self,
        *,
        tools: Tools | None = None,
        kernel: Kernel | None = None,
        nodes: Nodes | None = None,
        runtime: Path = RUNTIME,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Act with these parts; by default those of this host.

        Args:
            tools: runs programs.
            kernel: mounts and unmounts.
            nodes: opens the devices of open volumes.
            runtime: a folder for the lock file, the same for all processes of this host.
            clock: for waiting, where the caller gives no deadline.
        """
        self.tools = HostTools() if tools is None else tools
        self.mounts = Mounts(HostKernel() if kernel is None else kernel)
        self.nodes = MappingNodes() if nodes is None else nodes
        self._runtime = runtime
        self._locks = HostLocks(runtime / "filesystem.lock")
        self._clock = clock

    def until(self, deadline: Deadline | None) -> Deadline:
        """Return ``deadline``, or the usual one."""
        return Deadline.after(clock=self._clock) if deadline is None else deadline

    @contextmanager
    def locked(self, volume_id: str, deadline: Deadline) -> Generator[int]:
        """Hold the lock of a volume within the block; yield its descriptor, to be inherited.

        Raises:
            DeviceBusy: another one holds it, and the deadline has passed.
            OperationCancelled: the caller cancelled.
            HostUnready: the lock file cannot be used.
        """
        steps = deadline.steps(0.02, longest=0.5)
        while (taken := self._take(volume_id)) is None:
            if not steps.again():
                raise DeviceBusy(volume_id)
        try:
            yield taken
        finally:
            self._locks.give(volume_id, taken)

    def _take(self, volume_id: str) -> int | None:
        try:
            self._runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._locks.take(volume_id)
        except OSError as error:
            what = f"a lock file in {self._runtime} ({error.strerror})"
            raise HostUnready(what, "run as root, or choose another folder") from error
