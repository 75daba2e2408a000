"""The life of a volume, in the guest, with a mark in the log of its disk after each step.

A mark is a sector of zeros, written where the header has nothing but zeros and where nobody looks:
its number is its place. So the log itself says what was written before a step was over, and what
after it.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from cloudcrypt.disk import FileDisk
from cloudcrypt.filesystem import FilesystemKind
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import Holder, Record, SqliteLedger
from cloudcrypt.ledger.sqlite import _row
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.model import BlockDevice, KeyPolicy, Mode
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from cloudcrypt_testing.profiles import CHEAP
from tests.kernel.guest.power_files import Files
from tests.kernel.guest.sysfs import wait_for

VOLUME = "local:0123456789ab/vol-0123456789abcdef0"
SIZE = 26 * MIB
GROWN = 32 * MIB
MARKS = 15 * MIB
"""Where the mark of number 0 is; up to 16 MiB the header has keyslot space that is never used."""
MARK = 512

Step = dict[str, Any]
"""What is so after a mark: ``what`` happened, the ledger's ``record``, the ``files`` promised."""


def stage_of(ledger: Any, boot: str = "boot-1") -> Stage[KernelMapping]:
    """Return the stage of a node during one of its boots."""
    keys = MasterSecretKeyService(MasterSecret.from_bytes(bytes(32), bytes(range(32))))
    holder, profiles = Holder("node-1", boot), {KeyPolicy.BOUND: CHEAP}
    return Stage(ledger, keys, KernelMapper(), holder=holder, profiles=profiles)


def device_of(path: Path) -> BlockDevice:
    """Return the device of the volume as it is now."""
    with FileDisk(path) as disk:
        return BlockDevice(VOLUME, path, disk.size, disk.identity)


class Marks:
    """Takes note of each step on the disk itself."""

    def __init__(self, path: Path, before: list[Step]) -> None:
        """Mark the log of the disk at ``path``; go on after the steps ``before``."""
        self.steps: list[Step] = []
        self.record: str | None = before[-1]["record"] if before else None
        self.files: dict[str, list[int]] = dict(before[-1]["files"]) if before else {}
        self._path = path
        self._first = len(before)
        self._zeros = mmap.mmap(-1, mmap.PAGESIZE)  # as aligned as O_DIRECT wants it

    def note(self, what: str) -> None:
        """Let the log say that a step is over."""
        place = MARKS + MARK * (self._first + len(self.steps))
        disk = os.open(self._path, os.O_WRONLY | os.O_DIRECT)
        try:
            assert os.pwrite(disk, memoryview(self._zeros)[:MARK], place) == MARK
        finally:
            os.close(disk)
        self.steps.append({"what": what, "record": self.record, "files": dict(self.files)})


class MarkedLedger:
    """A ledger whose every change is marked once it is durable; see `cloudcrypt.ledger.Ledger`."""

    def __init__(self, ledger: SqliteLedger, marks: Marks) -> None:
        self._ledger = ledger
        self._marks = marks

    def get(self, volume_id: str) -> Record | None:
        return self._ledger.get(volume_id)

    def add(self, record: Record) -> Record:
        return self._marked(self._ledger.add(record))

    def replace(self, old: Record, new: Record) -> Record:
        return self._marked(self._ledger.replace(old, new))

    def forget(self, volume_id: str) -> None:
        raise AssertionError(f"nobody forgets {volume_id}")

    def records(self) -> Iterator[Record]:
        yield from self._ledger.records()

    def _marked(self, record: Record) -> Record:
        self._marks.record = _row(record)[1]
        self._marks.note(f"ledger: {record.state.value}")
        return record


class Life:
    """One process that works on the volume."""

    def __init__(self, path: Path, mode: Mode, before: list[Step], ledger: SqliteLedger) -> None:
        self.path = path
        self.mode = mode
        self.marks = Marks(path, before)
        self.stage = stage_of(MarkedLedger(ledger, self.marks))
        self.filesystem = self.stage.filesystem(VOLUME)
        self.target = Path("/run/power", mode.value, "mounted")
        self.target.mkdir(parents=True, exist_ok=True)
        self.files = Files(self.target, self.marks.files, self.marks.note)

    def made(self) -> None:
        """Register, format, make a filesystem, use it."""
        self.marks.note("begun")
        self.stage.register_new(VOLUME, capacity=SIZE, mode=self.mode)
        self._did("format", lambda: self.stage.format(self._device))
        self._did("open", lambda: self.stage.open(self._device, raw=False))
        self._did("make", lambda: self.filesystem.make(self._device, FilesystemKind.EXT4))
        self._did("mount", lambda: self.filesystem.mount(self.target))
        files = self.files
        files.create("small")
        files.create("large")
        files.create("inplace")
        files.cache("cached")
        files.cache("large-cached")
        files.replace("small", 2)
        files.overwrite("inplace", 2)
        files.sync()
        files.create("doomed")
        files.remove("doomed")
        self.close()

    def rotated(self) -> None:
        """Move the closed volume to the next generation, and leave it in use."""
        self._did("rotate", lambda: self.stage.rotate(self._device))
        self.open()
        self.files.replace("small", 3)
        if self.mode is Mode.INTEGRITY:
            self.close()  # it does not grow while it is open

    def grown(self) -> None:
        """Take up what the disk has become, and use it."""
        self.marks.note("the disk has grown")
        if self.mode is Mode.CRYPT:
            self._did("take over", lambda: self.stage.open(self._device, raw=False))
        device = self._device
        self._did("grow", lambda: self.stage.grow(device, integrity_growth=True))
        if self.mode is Mode.INTEGRITY:
            self.open()
        self._did("grow the filesystem", self.filesystem.grow)
        self.files.create("large-new", 2)
        self.files.overwrite("inplace", 3)
        self.files.cache("cached", 4)
        self.files.sync()
        self.close()

    def open(self) -> None:
        self._did("open", lambda: self.stage.open(self._device, raw=False))
        self._did("mount", lambda: self.filesystem.mount(self.target))

    def close(self) -> None:
        self._did("unmount", lambda: self.filesystem.unmount(self.target))
        self._did("close", lambda: self.stage.close(VOLUME))

    @property
    def _device(self) -> BlockDevice:
        return device_of(self.path)

    def _did(self, what: str, verb: Callable[[], object]) -> None:
        verb()
        self.marks.note(what)


def lived(facts: dict[str, Any], mode: str, before: list[Step]) -> list[Step]:
    """Live the first part of a life on the disk with these facts, or the one after ``before``."""
    path = Path("/dev", wait_for({**facts, "size": GROWN if before else SIZE}))
    folder = Path("/run/power", mode)
    with closing(SqliteLedger(folder / "ledger.sqlite")) as ledger:
        life = Life(path, Mode(mode), before, ledger)
        if before:
            life.grown()
        else:
            life.made()
            life.rotated()
    return life.marks.steps
