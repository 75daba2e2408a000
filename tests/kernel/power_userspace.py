"""What a moment without power has left, looked at in user space: no kernel has to map it.

The filesystem in a payload is a file for e2fsck and debugfs, which need no kernel either.
"""

import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import read
from cloudcrypt.errors import StateForbids, UnknownVolume
from cloudcrypt.filesystem.superblock import PROBED, superblock_in
from cloudcrypt.ledger import Filesystem, Holder, Record, SqliteLedger, State
from cloudcrypt.luks2 import layout
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping
from cloudcrypt.model import BlockDevice, KeyPolicy
from cloudcrypt.stage import Stage
from cloudcrypt_testing.hosts import MemoryHost
from cloudcrypt_testing.profiles import CHEAP
from tests.kernel.guest.power_files import broken
from tests.kernel.guest.power_recording import VOLUME
from tests.kernel.power_moments import Moment, Recording
from tests.unit.nodes import key_service

UNFORMATTED = (State.NEW, State.FORMATTING, State.INITIALISING)
PROGRAMS = "/usr/sbin:/sbin:/usr/bin:/bin"

FIXED = 1
"""e2fsck(8): errors were corrected, none is left."""


@attrs.define
class Tried:
    """How many moments were looked at, and what was found."""

    moments: int = 0
    unknown: int = 0
    """The ledger did not know the volume yet, and it did not open."""
    new: int = 0
    """The volume could be formatted, and was."""
    whole: int = 0
    """It opened, and every sector could be read."""
    filesystems: int = 0
    """It has the filesystem that the ledger says, and that is consistent."""
    files: int = 0
    """The files of so many promises were found."""

    def add(self, other: "Tried") -> None:
        """Count what another has counted, too."""
        for name, value in attrs.asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


class Found:
    """One moment on a host of its own, after the reboot."""

    def __init__(self, moment: Moment, folder: Path) -> None:
        """Look at ``moment``; files go to ``folder``."""
        self.moment = moment
        self.folder = folder
        self.host = MemoryHost()
        self.device: BlockDevice = self.host.add(VOLUME, moment.disk())
        self.ledger = SqliteLedger.in_memory()
        if moment.step.record is not None:
            self.ledger.add(moment.step.record)
        self.stage: Stage[UserspaceMapping] = Stage(
            self.ledger,
            key_service(),
            UserspaceMapper(),
            holder=Holder("node-1", "boot-2"),
            profiles={KeyPolicy.BOUND: CHEAP},
            open_disk=self.host.open_disk,
        )

    def check(self) -> Tried:
        """Require that the volume is new or whole, and that it keeps its promises."""
        tried = Tried(moments=1)
        with closing(self.ledger):
            record = self.moment.step.record
            if record is None or record.state in UNFORMATTED:
                self._require_new(record)
            if record is None:
                tried.unknown = 1
                return tried
            self._require_whole(tried)
            tried.new = record.state in UNFORMATTED
            tried.whole = not tried.new
            return tried

    def _require_new(self, record: Record | None) -> None:
        """Require that nothing opens and that, if it is registered, the format goes on."""
        before = read(self.host.disks[self.device.path], 0, layout.DATA_OFFSET)
        with pytest.raises((UnknownVolume, StateForbids)):
            self.stage.open(self.device)
        assert before == read(self.host.disks[self.device.path], 0, layout.DATA_OFFSET)
        if record is not None:
            assert self.stage.format(self.device).state is State.READY

    def _require_whole(self, tried: Tried) -> None:
        mapping = self.stage.open(self.device, raw=False)
        with mapping.open() as payload:
            content = payload.readall()  # with integrity every sector is verified
        record = self.ledger.get(VOLUME)
        assert record is not None
        if isinstance(record.payload, Filesystem):
            there = superblock_in(content[:PROBED])
            assert there is not None
            assert (record.payload.kind, record.payload.uuid) == (there.kind, there.uuid)
            (self.folder / "payload").write_bytes(content)
            self._require_files()
            tried.filesystems = 1
            tried.files = len(self.moment.step.files)
        self.stage.close(VOLUME)
        if record.state is State.GROWING:
            record = self.stage.grow(self.device, integrity_growth=True)
            assert record.capacity == self.device.size
        assert record.state is State.READY

    def _require_files(self) -> None:
        """Require a filesystem that its own journal makes whole, and the promised files in it."""
        payload, files = self.folder / "payload", self.folder / "files"
        replayed = _run("e2fsck", "-fp", str(payload))
        assert replayed.returncode in (0, FIXED), replayed.stdout
        for path in files.iterdir():
            path.unlink()
        promises = self.moment.step.files
        commands = "".join(f"dump /{name} {files / name}\n" for name in promises)
        (self.folder / "commands").write_text(commands)
        _run("debugfs", "-f", str(self.folder / "commands"), str(payload))
        # It makes an empty file for one that is not there; no promised version is empty.
        for path in files.iterdir():
            if path.stat().st_size == 0:
                path.unlink()
        assert broken(files, promises) == []


def check(moment: Moment, folder: Path) -> Tried:
    """Require that what a moment has left is a volume that is new, or whole with all promises.

    Raises:
        AssertionError: it says at which moment.
    """
    (folder / "files").mkdir(exist_ok=True)
    try:
        return Found(moment, folder).check()
    except Exception as error:
        raise AssertionError(f"{moment}: {error!r}") from error


def check_share(recording: Recording, share: range) -> list[tuple[str, Tried]]:
    """Check the moments of a recording whose numbers are in ``share``; return what was tried."""
    kinds = {"prefixes": recording.prefixes(), "losses": recording.losses()}
    found: list[tuple[str, Tried]] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, moments in kinds.items():
            tried = Tried()
            for number, moment in enumerate(moments):
                if number in share:
                    tried.add(check(moment, Path(folder)))
            found.append((kind, tried))
    return found


def _run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": PROGRAMS, "LC_ALL": "C"}
    command = [program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
