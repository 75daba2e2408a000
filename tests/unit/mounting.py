"""A VM whose kernel is a fake: mappings are files that outlive processes, mounts are a table."""

import subprocess
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

from cloudcrypt.disk import HostDisk
from cloudcrypt.errors import DeviceBusy, StateForbids
from cloudcrypt.facade import Grown, grow_volume, mounted_volume, mounted_volumes
from cloudcrypt.filesystem import Filesystems, Number
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.ledger import Payload, Record, SqliteLedger
from cloudcrypt.luks2 import UnlockedVolume
from cloudcrypt.mapper import Reopen, UserspaceMapper
from cloudcrypt.model import Mode, Volume
from cloudcrypt.provisioning import Provisioner, Results, VolumeRequest
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from cloudcrypt_local import LocalProvider
from tests.unit.cuts import Killed
from tests.unit.mount_tables import FakeKernel
from tests.unit.nodes import PROFILES
from tests.unit.payloads import CountingTools, FileMapper, FileMapping, FileNodes
from tests.unit.vms import HERE, KEYS, vm_options

SIZE = 48 * MIB
GROWN = 64 * MIB
REQUEST = VolumeRequest("data", SIZE)
TEXT = b"what a file holds"


class KernelState:
    """What a kernel knows: which payloads are mapped, by whomever, and what is mounted."""

    def __init__(self) -> None:
        self.nodes = FileNodes()
        self.mounts = FakeKernel(self.nodes.number)
        self.active: dict[str, FileMapping] = {}
        self.tagged: set[str] = set()
        self.calls: list[str] = []
        """What was mapped and unmapped."""

    def is_mounted(self, path: Path) -> bool:
        """Say whether a payload is mounted."""
        return self.nodes.number(path) in {mount.number for mount in self.mounts.mounts}


class ProcessMapper(FileMapper):
    """The mapper of one process: it knows what it has mapped, and asks the kernel for the rest."""

    def __init__(self, folder: Path, kernel: KernelState) -> None:
        super().__init__(folder)
        self._kernel = kernel

    def activate(
        self, volume_id: str, disk: HostDisk, volume: UnlockedVolume, *, writable: bool
    ) -> FileMapping:
        active = self._kernel.active.get(volume_id)
        if active is not None and writable and not active.writable:
            raise StateForbids(volume_id, "open for reading", "open for writing")
        if active is not None:
            disk.close()
            volume.volume_key.wipe()
            self._mappings[volume_id] = active
            return active
        self._kernel.calls.append("map")
        if volume.header.mode is Mode.INTEGRITY:
            self._kernel.tagged.add(volume_id)
        mapping = super().activate(volume_id, disk, volume, writable=writable)
        self._kernel.active[volume_id] = mapping
        return mapping

    def get(self, volume_id: str) -> FileMapping | None:
        mapping = self._mappings.get(volume_id)
        return mapping if mapping is self._kernel.active.get(volume_id) else None

    def is_active(self, volume_id: str) -> bool:
        return volume_id in self._kernel.active

    def resize(self, volume_id: str, capacity: int, reopen: Reopen) -> None:
        is_resizable = volume_id not in self._kernel.tagged  # one with integrity keeps its size
        if is_resizable and volume_id in self._kernel.active:
            self._mappings[volume_id] = self._kernel.active[volume_id]
            super().resize(volume_id, capacity, reopen)

    def deactivate(self, volume_id: str, *, deferred: bool = False) -> bool:
        if self._kernel.is_mounted(self.path(volume_id)) and not deferred:
            raise DeviceBusy(str(self.path(volume_id)))
        if self._kernel.active.pop(volume_id, None) is None:
            return False
        self._kernel.calls.append("unmap")
        self._mappings.pop(volume_id, None)
        return True


@attrs.define
class Process:
    """What one process of the VM is made of; tests put parts that fail in the place of these."""

    provider: Any
    journal: Any
    ledger: Any
    mapper: Any
    filesystems: Filesystems


class MountVm:
    """A VM: its store, journal and ledger are files; its kernel lives as long as this object."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = folder / "mnt"
        self.target.mkdir(parents=True)
        self.kernel = KernelState()
        self.tools = CountingTools()
        self.provider = LocalProvider(folder / "store")
        self.journal = SqliteJournal(folder / "journal")
        self.ledger = SqliteLedger(folder / "ledger")
        self.provisioner = Provisioner(self.provider, self.journal)

    def reboot(self) -> None:
        """Forget what is mapped and mounted."""
        self.kernel = KernelState()

    def process(self) -> Process:
        """Return the parts of a new process."""
        return Process(
            self.provider,
            self.journal,
            self.ledger,
            ProcessMapper(self.folder, self.kernel),
            self.filesystems(),
        )

    def filesystems(self, kernel: Any = None, tools: Any = None) -> Filesystems:
        """Return how a process makes and mounts filesystems."""
        return Filesystems(
            tools=tools or self.tools,
            kernel=kernel or self.kernel.mounts,
            nodes=self.kernel.nodes,
            runtime=self.folder / "run",
        )

    def options(self, process: Process | None = None, **options: Any) -> dict[str, Any]:
        """Return what calls of the facade take, in a new process unless told otherwise."""
        parts = process or self.process()
        given = attrs.asdict(parts, recurse=False)
        del given["provider"]
        return vm_options(**{**given, **options})

    def mounted(
        self, request: VolumeRequest = REQUEST, process: Process | None = None, **options: Any
    ) -> AbstractContextManager[Path]:
        parts = process or self.process()
        chosen = {"target": self.target, **options}
        return mounted_volume(parts.provider, request, **self.options(parts, **chosen))

    def all_mounted(
        self, requests: list[VolumeRequest], **options: Any
    ) -> AbstractContextManager[Results[Path]]:
        return mounted_volumes(self.provider, requests, **self.options(**options))

    def grow(
        self, size: int = GROWN, name: str = "data", process: Process | None = None, **options: Any
    ) -> Grown:
        parts = process or self.process()
        return grow_volume(parts.provider, name, size, **self.options(parts, **options))

    def mount_as_another(self, filesystem: str = "ext4", *, is_mounted: bool = True) -> None:
        """Mount a volume, and leave it so, as a process does that was killed in its block."""

        def die() -> None:
            raise Killed

        process = self.process()
        process.filesystems = self.filesystems(Stepping(self.kernel.mounts, die, "unmount"))
        if is_mounted:
            with suppress(Killed), self.mounted(process=process, filesystem=filesystem):
                pass

    def volume(self, name: str = "data") -> Volume:
        (volume,) = self.provider.list(name=name)
        return volume

    def record(self, name: str = "data") -> Record:
        record = self.ledger.get(self.volume(name).id)
        assert record is not None
        return record

    def set_payload(self, payload: Payload, name: str = "data") -> None:
        """Let the ledger say something else of the payload."""
        record = self.record(name)
        self.ledger.replace(record, attrs.evolve(record, payload=payload))

    def stage_register(self, name: str = "data") -> None:
        """Register a volume as new, and no more."""
        volume = self.volume(name)
        stage = Stage(self.ledger, KEYS, UserspaceMapper(), profiles=PROFILES)
        stage.register_new(volume.id, capacity=volume.size)

    def image(self, name: str = "data") -> Path:
        return self.folder / "store" / f"{self.volume(name).id.rpartition('/')[2]}.img"

    def payload(self, name: str = "data") -> Path:
        return FileMapper(self.folder).path(self.volume(name).id)

    def number(self, name: str = "data") -> Number:
        return self.kernel.nodes.number(self.payload(name))

    def write(self, text: bytes = TEXT, name: str = "data") -> None:
        """Put a file into the filesystem, ext4, as a program does that writes to the mount."""
        assert self.kernel.is_mounted(self.payload(name))
        source = self.folder / "source"
        source.write_bytes(text)
        debugfs(self.payload(name), f"write {source} file", "-w")

    def text(self, name: str = "data") -> bytes:
        """Return what the file holds."""
        return debugfs(self.payload(name), "cat file")

    def holders(self, name: str = "data") -> tuple[str, ...]:
        return self.volume(name).holders

    def is_at_rest(self, name: str = "data") -> bool:
        """Say whether a volume is neither mounted nor open, nor held, nor attached."""
        idle = not self.kernel.mounts.mounts and not self.kernel.active
        return idle and self.record(name).holder is None and HERE not in self.holders(name)


def debugfs(payload: Path, request: str, *options: str) -> bytes:
    """Let debugfs of e2fsprogs do something with an ext4 filesystem in a file."""
    command = ["/usr/sbin/debugfs", *options, "-R", request, str(payload)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return done.stdout


@contextmanager
def mount_vm(folder: Path) -> Generator[MountVm]:
    """Yield a VM whose files are in ``folder``."""
    vm = MountVm(folder)
    with closing(vm.journal), closing(vm.ledger):
        yield vm


Step = Callable[[], None]


class Stepping:
    """Something of which each call of ``verbs`` is a step before and a step after it."""

    def __init__(self, real: Any, step: Step, *verbs: str) -> None:
        self._real = real
        self._step = step
        self._verbs = verbs

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in self._verbs:
            return found

        def stepped(*arguments: Any, **options: Any) -> Any:
            self._step()
            result = found(*arguments, **options)
            self._step()
            return result

        return stepped


def mortal(vm: MountVm, step: Step) -> Process:
    """Return a process that takes steps around everything that changes anything."""
    process = vm.process()
    kernel = Stepping(vm.kernel.mounts, step, "mount", "unmount")
    return Process(
        Stepping(process.provider, step, "begin", "resume"),
        Stepping(process.journal, step, "add", "replace"),
        Stepping(process.ledger, step, "add", "replace"),
        Stepping(process.mapper, step, "activate", "deactivate", "resize"),
        vm.filesystems(kernel, Stepping(vm.tools, step, "run")),
    )
