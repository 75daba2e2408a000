"""What cases of filesystems need in a guest: open volumes, and folders to mount them at."""

import functools
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from cloudcrypt.filesystem import FilesystemKind, PayloadChoice
from cloudcrypt.ledger import Filesystem
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.model import BlockDevice
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage, VolumeFilesystem
from tests.kernel.guest.mapper_bench import VOLUME, Bench, settle
from tests.kernel.guest.mapper_loops import Loop

SIZES = {FilesystemKind.EXT4: 48 * MIB, FilesystemKind.XFS: 336 * MIB}
"""Bytes of a device: a filesystem of each kind fits beside header, tags and journal."""

CHOICES = ("ext4", "ext4-integrity", "xfs", "xfs-integrity")
CONTENT = b"what a file holds " * 5000


class FilesystemBench(Bench):
    """A node in the guest whose volumes get filesystems."""

    def __init__(self, choice: PayloadChoice) -> None:
        super().__init__(choice.mode)
        assert choice.kind is not None
        self.kind = choice.kind
        self._closing.callback(self._unmount_all)
        self.process = self.new_process()

    def new_process(self) -> Stage[KernelMapping]:
        """Return the stage of a process that knows no mapping."""
        return self.stage(KernelMapper())

    @property
    def filesystem(self) -> VolumeFilesystem[KernelMapping]:
        return self.process.filesystem(VOLUME)

    def opened(self, volume_id: str = VOLUME) -> BlockDevice:
        """Return the device of a new volume, which is open for a filesystem."""
        size = SIZES[self.kind]
        device = self.disk(volume_id, size)
        self.process.register_new(volume_id, capacity=size, mode=self.mode)
        self.process.format(device)
        settle()
        self.process.open(device, raw=False)
        return device

    def made(self) -> tuple[BlockDevice, Filesystem]:
        """Return the device of an open volume with a filesystem, and what that is."""
        device = self.opened()
        return device, self.filesystem.make(device, self.kind)

    def mounted(self) -> tuple[BlockDevice, Path]:
        """Return the device of a volume whose filesystem is mounted, and where; with a file."""
        device, _ = self.made()
        target = self.target()
        self.filesystem.mount(target)
        write(target / "file", CONTENT)
        return device, target

    def reopened(self, *, writable: bool = True) -> BlockDevice:
        """Close the volume and open it, as another process."""
        settle()
        self.process.close(VOLUME)
        self.process = self.new_process()
        device = self.device()
        self.process.open(device, raw=False, writable=writable)
        return device

    def copied(self, volume_id: str) -> Path:
        """Return a copy of what the storage has of a disk now, holes and all."""
        path = self.folder / f"copy-{len(self.loops)}.img"
        file = self.loops[volume_id].file
        subprocess.run(["cp", "--sparse=always", file, path], check=True)
        return path

    def attach(self, volume_id: str, file: Path) -> None:
        """Attach a disk with this content, in the place of the volume's if it has one."""
        self.loops[volume_id] = self._closing.enter_context(Loop(file))

    def target(self, name: str = "mnt") -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def _unmount_all(self) -> None:
        for path in self.folder.iterdir():
            while path.is_dir() and path.is_mount():
                subprocess.run(["umount", "--lazy", path], check=True)
        settle()


def write(path: Path, content: bytes) -> None:
    """Write a file, durably."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


Case = Callable[[str], None]
CASES: dict[str, list[str]] = {}
"""The choices that the cases of a module are for, by module and name."""


def case(
    choices: Iterable[str] = CHOICES,
) -> Callable[[Callable[[FilesystemBench], None]], Case]:
    """Make a case of a check: a function of a choice, with a bench of its own."""

    def made(check: Callable[[FilesystemBench], None]) -> Case:
        @functools.wraps(check)
        def checked(choice: str) -> None:
            with FilesystemBench(PayloadChoice.parse(choice)) as bench:
                check(bench)

        CASES[f"{check.__module__}:{check.__name__}"] = [*choices]
        return checked

    return made
