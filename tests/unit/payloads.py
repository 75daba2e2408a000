"""A node whose payloads are plain files: the programs that make filesystems are the real ones."""

import itertools
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Self

import attrs

from cloudcrypt.disk import FileDisk, HostDisk, OpenDisk
from cloudcrypt.errors import DeviceUnavailable
from cloudcrypt.filesystem import Ended, FilesystemKind, Filesystems, HostTools, Node, Number, Tools
from cloudcrypt.ledger import Holder, Ledger, Payload, Record, SqliteLedger
from cloudcrypt.luks2 import UnlockedVolume, layout
from cloudcrypt.mapper import Reopen, payload_size
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.sizes import KIB, MIB
from cloudcrypt.stage import Stage, VolumeFilesystem
from cloudcrypt.waiting import Deadline
from tests.unit.mount_tables import FakeKernel
from tests.unit.nodes import PROFILES, VOLUME, key_service

PAYLOADS = {FilesystemKind.EXT4: 32 * MIB, FilesystemKind.XFS: 304 * MIB}
"""Bytes of payload that a filesystem of each kind easily fits into."""

NOISE = bytes(range(1, 256)) * 4 * KIB
"""What a payload starts with that nothing was written to: nothing that is known."""


def size_for(kind: FilesystemKind) -> int:
    """Return how large a device must be for a payload of that size."""
    return layout.DATA_OFFSET + PAYLOADS[kind]


@attrs.frozen
class FileMapping:
    """A payload that is a file, as the kernel's is a block device."""

    volume_id: str
    writable: bool
    device_identity: tuple[int, int]
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def open(self) -> FileIO:
        return FileIO(self.path, "r+" if self.writable else "r")


class FileMapper:
    """Keeps payloads in files of a folder, where another process finds them again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mappings: dict[str, FileMapping] = {}

    def activate(
        self, volume_id: str, disk: HostDisk, volume: UnlockedVolume, *, writable: bool
    ) -> FileMapping:
        path = self.path(volume_id)
        if not path.exists():
            path.write_bytes(NOISE)
        with path.open("ab") as file:
            file.truncate(payload_size(volume.header.mode, volume.header.capacity))
        identity = disk.identity
        disk.close()
        volume.volume_key.wipe()
        self._mappings[volume_id] = FileMapping(volume_id, writable, identity, path)
        return self._mappings[volume_id]

    def path(self, volume_id: str) -> Path:
        return self.folder / f"{volume_id.replace('/', '-')}.payload"

    def get(self, volume_id: str) -> FileMapping | None:
        return self._mappings.get(volume_id)

    def is_active(self, volume_id: str) -> bool:
        return volume_id in self._mappings

    def resize(self, volume_id: str, capacity: int, reopen: Reopen) -> None:
        del reopen  # a file needs no key
        if volume_id in self._mappings:
            with self.path(volume_id).open("ab") as file:
                file.truncate(payload_size(Mode.CRYPT, capacity))

    def deactivate(self, volume_id: str, *, deferred: bool = False) -> bool:
        del deferred  # a file is free at once
        return self._mappings.pop(volume_id, None) is not None


class FileNodes:
    """Files in the place of block devices; each path has a number, and belongs to a UUID."""

    def __init__(self) -> None:
        self.owners: dict[Number, str] = {}
        self._numbers: dict[Path, Number] = {}
        self._minors = itertools.count()  # not the length: two threads would get the same one

    def number(self, path: Path) -> Number:
        return self._numbers.setdefault(path, (253, next(self._minors)))

    @contextmanager
    def opened(self, path: Path, luks_uuid: str, *, writable: bool) -> Generator[Node]:
        number = self.number(path)
        self.owners[number] = luks_uuid
        try:
            file = FileIO(path, "r+" if writable else "r")
        except OSError as error:
            raise DeviceUnavailable(str(path), "No such file") from error
        with file:
            yield Node(path, file.fileno(), number, path.stat().st_size)

    def is_of(self, number: Number, luks_uuid: str) -> bool:
        return self.owners.get(number) == luks_uuid


@attrs.define
class CountingTools:
    """The programs of this host, counted; an error of ``failures`` happens in the place of one."""

    real: HostTools = attrs.field(factory=HostTools)
    ran: list[str] = attrs.field(factory=list[str])
    failures: list[BaseException] = attrs.field(factory=list[BaseException])

    def run(
        self, tool: str, arguments: Sequence[str], *, inherited: Collection[int], deadline: Deadline
    ) -> Ended:
        self.ran.append(tool)
        if self.failures:
            raise self.failures.pop()
        return self.real.run(tool, arguments, inherited=inherited, deadline=deadline)


class PayloadHost:
    """A host during one boot, with its folder, ledger, mounts and programs."""

    def __init__(
        self,
        folder: Path,
        *,
        tools: Tools | None = None,
        ledger: Ledger | None = None,
        open_disk: OpenDisk = FileDisk,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._own = SqliteLedger(folder / "ledger.sqlite")
        self.ledger: Ledger = self._own if ledger is None else ledger
        self.nodes = FileNodes()
        self.kernel = FakeKernel(self.nodes.number)
        self.mapper = FileMapper(folder)
        self.filesystems = Filesystems(
            tools=HostTools() if tools is None else tools,
            kernel=self.kernel,
            nodes=self.nodes,
            runtime=folder / "run",
        )
        self.open_disk = open_disk
        self.stage = self.stage_with(self.mapper)

    def stage_with(self, mapper: FileMapper, holder: str = "node-1") -> Stage[FileMapping]:
        """Return the stage of a process with this mapper."""
        return Stage(
            self.ledger,
            key_service(),
            mapper,
            holder=Holder(holder, "boot-1"),
            profiles=PROFILES,
            open_disk=self.open_disk,
            filesystems=self.filesystems,
        )

    @property
    def filesystem(self) -> VolumeFilesystem[FileMapping]:
        return self.stage.filesystem(VOLUME)

    @property
    def image(self) -> Path:
        return self.folder / "device.img"

    @property
    def payload_path(self) -> Path:
        return self.mapper.path(VOLUME)

    def device(self, size: int | None = None) -> BlockDevice:
        """Return the device, made or grown to ``size`` first."""
        if size is not None:
            with self.image.open("ab") as file:
                file.truncate(size)
        return BlockDevice(VOLUME, self.image, self.image.stat().st_size)

    def formatted(
        self, kind: FilesystemKind = FilesystemKind.EXT4, mode: Mode = Mode.CRYPT
    ) -> BlockDevice:
        """Return the device of a formatted volume that is not open."""
        size = size_for(kind)
        device = self.device(size)
        self.stage.register_new(VOLUME, capacity=size, mode=mode)
        self.stage.format(device)
        return device

    def opened(self, kind: FilesystemKind = FilesystemKind.EXT4) -> BlockDevice:
        """Return the device of a volume that was formatted, and is open for a filesystem."""
        device = self.formatted(kind)
        self.stage.open(device, raw=False)
        return device

    def made(self, kind: FilesystemKind = FilesystemKind.EXT4) -> BlockDevice:
        """Return the device of an open volume with a filesystem."""
        device = self.opened(kind)
        self.filesystem.make(device, kind)
        return device

    def record(self) -> Record:
        record = self.ledger.get(VOLUME)
        assert record is not None
        return record

    def set_payload(self, payload: Payload) -> None:
        """Let the ledger say something else of the payload."""
        record = self.record()
        self.ledger.replace(record, attrs.evolve(record, payload=payload))

    def target(self, name: str = "mnt") -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._own.close()
