"""The processes of one virtual machine and the ways to them, from boot to the end."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from cloudcrypt_testing.vm import processes
from cloudcrypt_testing.vm.channel import Channel
from cloudcrypt_testing.vm.errors import VMFailed
from cloudcrypt_testing.vm.folders import TemporaryFolder
from cloudcrypt_testing.vm.machine import Machine
from cloudcrypt_testing.vm.qmp import QMP

T = TypeVar("T")

_STEP: Final = 0.01  # seconds between two looks for a socket
_PATIENCE: Final = 5.0  # seconds for a process to end by itself, and once more when asked to
_LOGGED: Final = 6000  # characters of each log that an error shows


class Running:
    """A virtual machine that was started; its folder is removed when it is stopped."""

    def __init__(self, machine: Machine, folder: TemporaryFolder) -> None:
        """Have nothing running yet; ``folder`` is that of the machine, and is closed in the end."""
        self.machine = machine
        self._folder = folder
        self.facts: dict[str, Any] = {}
        """What the agent said of the guest when it came."""
        self._owner = os.getpid()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._qmp: QMP | None = None
        self._channel: Channel | None = None

    @property
    def qmp(self) -> QMP:
        """QEMU's monitor."""
        if self._qmp is None:
            raise VMFailed("the virtual machine is not running")
        return self._qmp

    @property
    def channel(self) -> Channel:
        """The way to the agent."""
        if self._channel is None:
            raise VMFailed("the virtual machine is not running")
        return self._channel

    def boot(self, timeout: float) -> None:
        """Start the processes, and return when the agent answers.

        Raises:
            VMFailed: it does not within ``timeout`` seconds.
        """
        try:
            self._boot(time.monotonic() + timeout)
        except VMFailed as failed:
            raise VMFailed(failed.reason, self.log()) from failed

    def log(self) -> str:
        """Return the end of what was logged, and how processes ended."""
        parts = [
            f"{name} ended with {process.returncode}"
            for name, process in self._processes.items()
            if process.poll() is not None
        ]
        for path in sorted(self.machine.folder.glob("*.log")):
            text = path.read_text(errors="replace")
            if text.strip():
                parts.append(f"--- {path.name}\n{text[-_LOGGED:].strip()}")
        return "\n".join(parts)

    def stop(self, *, is_power_cut: bool) -> None:
        """End all processes, and keep nothing but the files of disks. Idempotent.

        Nobody asks the guest, power cut or not: what it has not written is lost. Without a power
        cut what QEMU has been given reaches the files; with one that happens as far as it has.
        """
        if os.getpid() != self._owner:  # a copy of this object, in a forked process
            return
        if self._qmp is not None and not is_power_cut:
            with contextlib.suppress(VMFailed):
                self._qmp.command("quit")
        for process in reversed(self._processes.values()):
            if is_power_cut:
                process.kill()
            processes.stop(process, _PATIENCE)
        for way in (self._channel, self._qmp):
            if way is not None:
                way.close()
        self._channel = self._qmp = None
        self._folder.close()

    def keep_logs(self, folder: Path) -> None:
        """Copy the logs to ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in self.machine.folder.glob("*.log"):
            shutil.copy(path, folder)

    def _boot(self, end: float) -> None:
        machine = self.machine
        self._serve_host()
        self._waited_for(machine.host.exists, "virtiofsd", end)
        self._spawn("qemu", machine.emulator())
        self._qmp = self._waited_for(lambda: QMP(machine.monitor), "QEMU's monitor", end)
        self._channel = self._waited_for(lambda: Channel(_connected(machine.port)), "QEMU", end)
        facts = self._channel.ready(end - time.monotonic())
        if facts is None:
            raise VMFailed("the guest did not boot")
        self.facts = facts
        machine.initramfs.unlink()  # all that takes room, should nobody be left to clean up

    def _spawn(self, name: str, command: list[str | Path], host: Path | None = None) -> None:
        log = self.machine.folder / f"{name}.log"
        self._processes[name] = processes.spawn(command, log, host=host)

    def _serve_host(self) -> None:
        """Share the host's root: read-only if mounts may be made, else as the guest mounts it."""
        machine = self.machine
        root = machine.folder / "root"
        root.mkdir()
        is_mounted = processes.may_mount()
        help_text = subprocess.run(  # noqa: S603 - a program that was found
            [machine.virtiofsd, "--help"], check=False, capture_output=True, text=True
        )
        command = machine.file_server(root if is_mounted else Path("/"), help_text.stdout)
        self._spawn("virtiofsd", command, root if is_mounted else None)

    def _waited_for(self, look: Callable[[], T], what: str, end: float) -> T:
        while True:
            with contextlib.suppress(OSError):
                if found := look():
                    return found
            if any(process.poll() is not None for process in self._processes.values()):
                raise VMFailed(f"{what} ended")
            if time.monotonic() > end:
                raise VMFailed(f"{what} did not start in time")
            time.sleep(_STEP)


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection
