"""A node whose storage is hostile: copies of prepared volumes, on loop devices."""

import functools
import hashlib
import importlib
import os
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Final, Self

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import CloudcryptError
from cloudcrypt.filesystem import FilesystemKind
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import Record, SqliteLedger
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.mapper._devicemapper import DeviceMapper
from cloudcrypt.mapper._names import integrity_name, mapping_name
from cloudcrypt.model import BlockDevice, KeyPolicy, Mode
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from tests.kernel.guest.mapper_bench import mapped, settle
from tests.kernel.guest.mapper_loops import Loop

SECTOR: Final = 4096
SIZE: Final = 28 * MIB
SAMPLES: Final = 64
"""Sectors of a payload that are looked at: each that is an error takes the kernel long."""
IDS: Final = {"a": "local:0123456789ab/vol-a", "b": "local:0123456789ab/vol-b"}
FILE: Final = "file"
CONTENTS: Final = {name: hashlib.shake_256(name.encode()).digest(96 * 1024) for name in ("a", "b")}
PROFILES: Final = {KeyPolicy.BOUND: CHEAP, KeyPolicy.CONSTELLATION: CHEAP_CONSTELLATION}
MORE: Final = b"written while it was attacked " * 700
VOLUME: Final = IDS["a"]


def key_service() -> MasterSecretKeyService:
    """Return the key service of the volumes that are prepared."""
    return MasterSecretKeyService(MasterSecret.from_bytes(bytes(32), bytes(range(32))))


class Hostile:
    """The node; ``file`` is what the storage has of volume a, and can change behind its back."""

    def __init__(self, prepared: Path, mode: Mode) -> None:
        self.mode = mode
        self.prepared = prepared / mode.value
        self._closing = ExitStack()
        self.folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
        self.target = self.folder / "mounted"
        self.target.mkdir()
        self._closing.callback(self._clear)
        shutil.copyfile(self.prepared / "ledger.sqlite", self.folder / "ledger.sqlite")
        self.ledger = SqliteLedger(self.folder / "ledger.sqlite")
        self._closing.enter_context(closing(self.ledger))
        self.file = self.folder / "a.img"
        self.put("a")
        self.loop: Loop | None = None
        self.new_process()

    # --- the storage's side ---

    def image(self, name: str) -> bytes:
        """Return a disk as it was prepared: ``a``, ``b`` or ``old``."""
        return _content(self.prepared / f"{name}.img")

    def put(self, name: str) -> None:
        """Let the storage have this disk."""
        self.file.write_bytes(self.image(name))

    def place(self, name: str) -> int:
        """Return where in the payload of a volume its file begins, in bytes."""
        found = _content(self.prepared / f"{name}.ext4").index(CONTENTS[name][:SECTOR])
        assert found % SECTOR == 0
        return found

    def overwrite(self, offset: int, content: bytes) -> None:
        """Let the storage change its bytes."""
        with self.file.open("r+b", buffering=0) as file:
            file.seek(offset)
            file.write(content)

    def flip(self, offset: int) -> None:
        """Let the storage flip one bit."""
        with self.file.open("rb") as file:
            file.seek(offset)
            self.overwrite(offset, bytes([file.read(1)[0] ^ 1]))

    def stored(self) -> bytes:
        """Return all that the storage has."""
        return self.file.read_bytes()

    # --- the node's side ---

    def new_process(self) -> None:
        """Begin as a process that knows no mapping."""
        self.stage: Stage[KernelMapping] = Stage(
            self.ledger, key_service(), KernelMapper(), profiles=PROFILES
        )
        self.filesystem = self.stage.filesystem(VOLUME)

    def attach(self) -> BlockDevice:
        """Attach the disk as it is now."""
        if self.loop is None:
            self.loop = self._closing.enter_context(Loop(self.file))
        settle()
        with FileDisk(self.loop.path) as disk:
            return BlockDevice(VOLUME, self.loop.path, disk.size, disk.identity)

    def mounted(self) -> BlockDevice:
        """Attach, open and mount the volume."""
        device = self.attach()
        self.stage.open(device, raw=False)
        self.filesystem.mount(self.target)
        return device

    def closed(self) -> None:
        """Unmount and close the volume."""
        self.filesystem.unmount(self.target)
        settle()
        self.stage.close(VOLUME)

    def record(self) -> Record:
        record = self.ledger.get(VOLUME)
        assert record is not None
        return record

    def read(self) -> bytes:
        """Return the file, as the storage has it now."""
        forget()
        return (self.target / FILE).read_bytes()

    def require_refused(self, kind: type[CloudcryptError], **facts: object) -> None:
        """Require that a closed volume is refused like this by all verbs that could write to it."""
        device, before, record = self.attach(), self.stored(), self.record()
        asks: Iterable[Callable[[], object]] = (
            lambda: self.stage.open(device, raw=False),
            lambda: self.stage.open(device, writable=False),
            lambda: self.stage.format(device),
            lambda: self.stage.rotate(device),
            lambda: self.stage.backup_header(device),
        )
        for ask in asks:
            require_error(ask, kind, **facts)
        require_error(
            lambda: self.filesystem.make(device, FilesystemKind.EXT4), state="not open here"
        )
        require_error(lambda: self.filesystem.mount(self.target), state="not open here")
        self.require_untouched(before, record)

    def require_untouched(self, before: bytes, record: Record) -> None:
        """Require that disk and ledger are as before, and that nothing is mapped or held."""
        os.sync()
        assert before == self.stored(), "the disk was written to"
        assert record == self.record()
        assert (None, set[str]()) == (record.holder, mapped())

    def _clear(self) -> None:
        while self.target.is_mount():
            subprocess.run(["umount", "--lazy", self.target], check=True)
        name = mapping_name(VOLUME)
        for each in (name, integrity_name(name)):
            DeviceMapper().remove(each, deferred=True)
        settle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()


@functools.cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


def readable(path: Path, places: Iterable[int]) -> dict[int, bytes]:
    """Return the sectors of a device that can be read, by where they begin."""
    found = dict[int, bytes]()
    with path.open("rb", buffering=0) as device:
        for at in places:
            with suppress(OSError):
                found[at] = os.pread(device.fileno(), SECTOR, at)
    return found


def forget() -> None:
    """Let the kernel forget what it can read again."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def require_error(
    ask: Callable[[], object], kind: type[CloudcryptError] = CloudcryptError, **facts: object
) -> CloudcryptError:
    """Return the error of exactly this class, with these facts, that ``ask`` must raise."""
    error = _raised(ask)
    assert error is not None, f"{kind.__name__} was not raised"
    if kind not in (CloudcryptError, type(error)):
        raise error
    found = {name: getattr(error, name) for name in facts}
    assert facts == found, f"{found}, not {facts}: {error}"
    return error


def _raised(ask: Callable[[], object]) -> CloudcryptError | None:
    try:
        ask()
    except CloudcryptError as error:
        return error
    return None


Case = Callable[[Path, str], None]
CASES: dict[str, list[str]] = {}
"""The modes that cases are for, by module and name."""


def case(*modes: Mode) -> Callable[[Callable[[Hostile], None]], Case]:
    """Make a case of a check: a function of the folder of prepared volumes and a mode."""

    def made(check: Callable[[Hostile], None]) -> Case:
        @functools.wraps(check)
        def checked(prepared: Path, mode: str) -> None:
            with Hostile(prepared, Mode(mode)) as hostile:
                check(hostile)

        CASES[f"{check.__module__}:{check.__name__}"] = [mode.value for mode in modes or Mode]
        return checked

    return made


def outcomes(prepared: str, cases: list[tuple[str, str]]) -> dict[str, str | None]:
    """Run cases, given by name and mode, in this process; return what went wrong with each."""
    found = dict[str, str | None]()
    for name, mode in cases:
        module, _, function = name.partition(":")
        try:
            getattr(importlib.import_module(module), function)(Path(prepared), mode)
        except Exception:  # noqa: BLE001  # all are told
            found[f"{name} {mode}"] = traceback.format_exc()
        else:
            found[f"{name} {mode}"] = None
    return found
