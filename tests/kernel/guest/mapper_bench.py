"""What cases of the kernel mapper need in a guest: disks, a ledger, stages of several processes."""

import functools
import importlib
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypeVar

import attrs

from cloudcrypt.disk import FileDisk
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import Holder, Record, SqliteLedger
from cloudcrypt.luks2 import UnlockedVolume
from cloudcrypt.mapper import KernelMapper, KernelMapping, UserspaceMapper
from cloudcrypt.mapper._devicemapper import DeviceMapper
from cloudcrypt.mapper._names import integrity_name, limit_name, mapping_name
from cloudcrypt.model import BlockDevice, KeyPolicy, Mode
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from tests.kernel.guest.mapper_loops import Loop

SIZE = 24 * MIB
VOLUME = "local:0123456789ab/vol-0123456789abcdef0"
NAME = "vol-0123456789abcdef0"
CONTENT = b"what only this VM reads " * 4000
PROFILES = {KeyPolicy.BOUND: CHEAP, KeyPolicy.CONSTELLATION: CHEAP_CONSTELLATION}


def run(*command: str) -> str:
    """Run a program of the guest and return what it says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@attrs.frozen
class Formatted:
    """A formatted volume as it is made once in a process, and copied from then on."""

    content: bytes
    record: Record


_FORMATTED: dict[Mode, Formatted] = {}


def settle() -> None:
    """Let udev, where it runs, finish what it does with devices that were written or removed."""
    if Path("/run/udev/control").exists():
        run("udevadm", "settle")


class Bench:
    """A node in the guest; its disks are loop devices over files in a folder of its own."""

    def __init__(self, mode: Mode, folder: Path | str | None = None) -> None:
        self.mode = mode
        self._closing = ExitStack()
        if folder is None:
            folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
        self.folder = Path(folder)
        self.ledger = SqliteLedger(self.folder / "ledger.sqlite")
        self.loops: dict[str, Loop] = {}
        self._closing.callback(self.ledger.close)

    def stage(self, mapper: Any, **others: Any) -> Stage[Any]:
        """Return the stage of another process, or of none before."""
        secret = MasterSecret.from_bytes(bytes(32), bytes(range(32)))
        keys, holder = MasterSecretKeyService(secret), Holder("node-1", "boot-1")
        return Stage(self.ledger, keys, mapper, holder=holder, profiles=PROFILES, **others)

    def disk(self, volume_id: str = VOLUME, size: int = SIZE) -> BlockDevice:
        """Attach a blank disk."""
        loop = Loop(self.folder / f"{len(self.loops)}.img", size)
        self.loops[volume_id] = self._closing.enter_context(loop)
        return self.device(volume_id)

    def device(self, volume_id: str = VOLUME) -> BlockDevice:
        """Return the device of a volume as it is now, its identity proven."""
        path = self.loops[volume_id].path
        settle()
        with FileDisk(path) as disk:
            return BlockDevice(volume_id, path, disk.size, disk.identity)

    def formatted(self, volume_id: str = VOLUME, size: int = SIZE) -> BlockDevice:
        """Return a volume that user space formatted, with `CONTENT` at its start."""
        made = _FORMATTED.get(self.mode) if (volume_id, size) == (VOLUME, SIZE) else None
        device = self.disk(volume_id, size)
        if made is not None:
            self.loops[volume_id].file.write_bytes(made.content)
            self.ledger.add(made.record)
            return device
        stage = self.stage(UserspaceMapper())
        stage.register_new(volume_id, capacity=size, mode=self.mode)
        stage.format(device)
        self.write(device, CONTENT)
        if (volume_id, size) == (VOLUME, SIZE):
            content = self.loops[volume_id].file.read_bytes()
            _FORMATTED[self.mode] = Formatted(content, self.record())
        return device

    def write(self, device: BlockDevice, content: bytes, offset: int = 0) -> None:
        """Write to a closed volume in user space."""
        stage = self.stage(UserspaceMapper())
        settle()
        with stage.open(device).open() as payload:
            payload.seek(offset)
            payload.write(content)
        stage.close(device.volume_id)

    def read(self, device: BlockDevice, offset: int = 0, length: int | None = None) -> bytes:
        """Read a closed volume in user space; by default as much as `CONTENT` has."""
        stage = self.stage(UserspaceMapper())
        settle()
        with stage.open(device, writable=False).open() as payload:
            payload.seek(offset)
            found = payload.read(len(CONTENT) if length is None else length)
        stage.close(device.volume_id)
        return found or b""

    def open(self, device: BlockDevice, mapper: KernelMapper | None = None) -> KernelMapping:
        """Open a volume with the kernel, as a process that has only begun."""
        settle()
        mapping: KernelMapping = self.stage(mapper or KernelMapper()).open(device)
        return mapping

    def close(self, volume_id: str = VOLUME) -> None:
        """Close a volume as another process does."""
        self.stage(KernelMapper()).close(volume_id)

    def record(self, volume_id: str = VOLUME) -> Record:
        """Return what the ledger says."""
        record = self.ledger.get(volume_id)
        assert record is not None
        return record

    def unlocked(self, device: BlockDevice) -> UnlockedVolume:
        """Return the volume, unlocked; whoever asks wipes its key."""
        settle()
        return self.stage(UserspaceMapper()).check(device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for volume_id in self.loops:
            name = mapping_name(volume_id)
            for each in (name, integrity_name(name), limit_name(name)):
                DeviceMapper().remove(each, deferred=True)
        settle()
        self._closing.close()


def joined(folder: str, path: str, mode: str) -> tuple[Bench, BlockDevice]:
    """Return the bench that another process made, and the device of its volume."""
    bench = Bench(Mode(mode), Path(folder))
    settle()
    with FileDisk(path) as disk:
        return bench, BlockDevice(VOLUME, Path(path), disk.size, disk.identity)


Case = Callable[[str], None]
CASES: dict[str, list[str]] = {}
"""The modes that the cases of a module are for, by module and name."""


def case(*modes: Mode) -> Callable[[Callable[[Bench], None]], Case]:
    """Make a case of a check: a function of the name of a mode, with a bench of its own."""

    def made(check: Callable[[Bench], None]) -> Case:
        @functools.wraps(check)
        def checked(mode: str) -> None:
            with Bench(Mode(mode)) as bench:
                check(bench)

        CASES[f"{check.__module__}:{check.__name__}"] = [mode.value for mode in modes or Mode]
        return checked

    return made


def outcomes(cases: list[tuple[str, str]]) -> dict[str, str | None]:
    """Run cases, given by name and mode, in this process; return what went wrong with each."""
    found = dict[str, str | None]()
    for name, mode in cases:
        module, _, function = name.partition(":")
        try:
            getattr(importlib.import_module(module), function)(mode)
        except Exception:  # noqa: BLE001  # all are told
            found[f"{name} {mode}"] = traceback.format_exc()
        else:
            found[f"{name} {mode}"] = None
    return found


ErrorT = TypeVar("ErrorT", bound=Exception)


def refused(kind: type[ErrorT], ask: Callable[[], object]) -> ErrorT:
    """Return the error of this kind that ``ask`` must raise."""
    try:
        ask()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def wait_until(holds: Callable[[], bool]) -> None:
    """Return when something holds that the kernel brings about by itself."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def mapped() -> set[str]:
    """Return the names of all mappings of the guest."""
    listed = run("dmsetup", "ls")
    return {line.split()[0] for line in listed.splitlines() if "No devices" not in line}


def table(name: str = NAME) -> str:
    """Return the table of a mapping, as dmsetup shows it."""
    return run("dmsetup", "table", name).strip()
