"""A virtual machine with a stock kernel, whose root file system is this host's."""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cloudcrypt.sizes import GIB
from cloudcrypt_testing.vm import initramfs
from cloudcrypt_testing.vm.bed import Bed
from cloudcrypt_testing.vm.channel import Channel
from cloudcrypt_testing.vm.disks import Disks, PluggedDisk
from cloudcrypt_testing.vm.errors import VMFailed
from cloudcrypt_testing.vm.folders import TemporaryFolder
from cloudcrypt_testing.vm.guest import Guest
from cloudcrypt_testing.vm.machine import Machine
from cloudcrypt_testing.vm.measuring import Measurement
from cloudcrypt_testing.vm.presentations import Presentation
from cloudcrypt_testing.vm.running import Running

BOOT_TIMEOUT: Final = 180.0
"""Seconds; a host with nothing else to do takes less than ten."""

_AGENT: Final = Path(__file__).parent / "agent.py"
_LIBRARIES: Final = "/usr/lib/x86_64-linux-gnu"
_NETWORK: Final = "10.0.2.15/24"  # what QEMU's user network expects the guest to be
_NUMBERS: Final = itertools.count(1)


class VM(Guest):
    """A virtual machine; entering it boots it, leaving it turns it off and leaves nothing behind.

        with VM(Bed.load(folder)) as vm:
            disk = vm.plug(ebs_volume("vol-0123456789abcdef0"), image)
            vm.run(["cryptsetup", "open", ...], check=True)
            vm.python("tests.kernel.guest.reading:digest", "/dev/mapper/name")

    The guest sees the host's file system as its own: read-only, below changes that it keeps in
    memory. It sees files as they were when it first looked at them; what changes is handed over by
    `read_bytes`, `write_bytes` and disks. However this process ends, QEMU ends with it. Several
    may run at once; they may be booted from different threads.
    """

    def __init__(
        self,
        bed: Bed,
        *,
        name: str = "vm",
        cpus: int = 4,
        memory: int = 2 * GIB,
        folder: Path | None = None,
        python: Path | None = None,
        preload: Sequence[str] = (),
        has_udev: bool = False,
        has_network: bool = False,
        logs: Path | None = None,
        measurement: Measurement | None = None,
    ) -> None:
        """Plan a virtual machine.

        Args:
            bed: what it is made of.
            name: what its logs and its coverage data are named after.
            cpus: how many it has; `cryptsetup` makes keyslots with no more threads than that.
            memory: in bytes; the host gives it only what it uses.
            folder: where programs and calls work; None is this process's working directory.
            python: the interpreter; None is this process's.
            preload: modules that calls of `python` need not import each time.
            has_udev: whether udev makes links in /dev/disk and nodes in /dev/mapper; else the
                kernel makes all nodes and there are no links.
            has_network: whether the guest can reach servers of this host, at 10.0.2.2.
            logs: a folder that takes its logs if it does not boot, or the block that it is used in
                fails.
            measurement: how the coverage of calls of `python` is measured, if it is; usually
                `Measurement.current()`.
        """
        super().__init__(Path.cwd() if folder is None else folder, measurement)
        self.name = f"{name}-{next(_NUMBERS)}"
        self._bed = bed
        self._cpus = cpus
        self._memory = memory
        self._python = sys.executable if python is None else str(python)
        self._preload = preload
        self._has_udev = has_udev
        self._has_network = has_network
        self._logs = logs
        self._running: Running | None = None
        self._disks: Disks | None = None

    @property
    def release(self) -> str:
        """What ``uname -r`` says in the guest."""
        return str(self._run().facts["release"])

    @property
    def uptime(self) -> float:
        """Seconds from the start of the kernel to that of the agent."""
        return float(self._run().facts["uptime"])

    @property
    def disks(self) -> tuple[PluggedDisk, ...]:
        """The disks that are plugged in."""
        return () if self._disks is None else self._disks.plugged

    @property
    def is_running(self) -> bool:
        """Whether it was booted, and neither closed nor killed since."""
        return self._running is not None

    def boot(self, timeout: float = BOOT_TIMEOUT) -> Self:
        """Boot, and return when the guest answers.

        A virtual machine that was closed or killed boots again, with no disks.

        Raises:
            VMFailed: it does not answer within ``timeout`` seconds, or is running already.
        """
        if self._running is not None:
            raise VMFailed("the virtual machine is running already")
        self._running = self._planned()
        try:
            self._running.boot(timeout)
            self._disks = Disks(self._running.qmp, self.python)
            self.preload(self._preload)
        except BaseException:
            self._end(is_power_cut=True, is_failure=True)
            raise
        return self

    def plug(
        self,
        presentation: Presentation,
        path: Path,
        *,
        log: Path | None = None,
        is_shared: bool = False,
    ) -> PluggedDisk:
        """Plug in the disk whose content is the file ``path``; see `Disks.plug`."""
        if self._disks is None:
            raise VMFailed("the virtual machine is not running")
        return self._disks.plug(presentation, path, log=log, is_shared=is_shared)

    def console(self) -> str:
        """Return the end of what the guest's console, QEMU and virtiofsd have logged."""
        return "" if self._running is None else self._running.log()

    def kill(self) -> None:
        """Cut the power. What the guest has not written to its disks is lost. Idempotent."""
        self._end(is_power_cut=True)

    def close(self) -> None:
        """Turn it off without asking the guest. Idempotent."""
        self._end(is_power_cut=False)

    def _planned(self) -> Running:
        first = self._bed.initramfs().read_bytes()
        folder = TemporaryFolder()
        machine = Machine(
            folder.path,
            self._bed.qemu,
            self._bed.virtiofsd,
            self._bed.kernel,
            self._cpus,
            self._memory,
            self._has_network,
        )
        running = Running(machine, folder)
        settings = {
            "AGENT": str(_AGENT),
            "LIBRARIES": _LIBRARIES,
            "MODULES": str(self._bed.modules),
            "NETWORK": _NETWORK if self._has_network else "",
            "PYTHON": self._python,
            "UDEV": str(self._bed.udev) if self._has_udev else "",
        }
        machine.initramfs.write_bytes(first + initramfs.settings(settings))
        return running

    def _run(self) -> Running:
        if self._running is None:
            raise VMFailed("the virtual machine is not running")
        return self._running

    def _reach(self) -> Channel:
        return self._run().channel

    def _end(self, *, is_power_cut: bool, is_failure: bool = False) -> None:
        running, self._running, self._disks = self._running, None, None
        if running is None:
            return
        if is_failure and self._logs is not None:
            running.keep_logs(self._logs / self.name)
        running.stop(is_power_cut=is_power_cut)
        self.save_coverage(self.name)

    def __enter__(self) -> Self:
        """Boot."""
        return self.boot()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Turn it off; keep the logs after an error."""
        self._end(is_power_cut=False, is_failure=error is not None)
