"""What a moment without power has left, as the kernel of the next boot finds it; in the guest."""

import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from cloudcrypt.errors import StateForbids
from cloudcrypt.filesystem import FilesystemKind
from cloudcrypt.ledger import Filesystem, Record, SqliteLedger, State
from cloudcrypt.ledger.sqlite import _from_json
from cloudcrypt.mapper import KernelMapping
from cloudcrypt.model import BlockDevice
from cloudcrypt.stage import Stage
from tests.kernel.guest.power_files import Promises, broken
from tests.kernel.guest.power_recording import VOLUME, device_of, stage_of
from tests.kernel.guest.sysfs import wait_for

UNFORMATTED = (State.NEW, State.FORMATTING, State.INITIALISING)


class Reboot:
    """The volume on a node that has just booted; ``target`` is where it is mounted."""

    def __init__(self, device: BlockDevice, stage: Stage[KernelMapping], target: Path) -> None:
        self.device = device
        self.stage = stage
        self.filesystem = stage.filesystem(VOLUME)
        self.target = target

    def check(self, record: Record, promises: Promises, *, is_grown: bool) -> str:
        """Require that the volume is new or whole; return which."""
        is_new = record.state in UNFORMATTED
        if is_new:
            self._require_new()
        mapping = self.stage.open(self.device, raw=False)
        if not isinstance(record.payload, Filesystem):  # it never was handed out
            self.filesystem.make(self.device, FilesystemKind.EXT4)
        self._require_files(promises)
        fsck(mapping.path)
        self.stage.close(VOLUME)
        if is_grown:
            self._require_growth(promises)
        return "new" if is_new else "whole"

    def _require_new(self) -> None:
        try:
            self.stage.open(self.device, raw=False)
        except StateForbids:
            self.stage.format(self.device)
        else:
            raise AssertionError("a volume that is not formatted has opened")

    def _require_files(self, promises: Promises) -> None:
        """Let the kernel replay the journal, and look for the files."""
        self.filesystem.mount(self.target, check=False)
        assert (found := broken(self.target, promises)) == [], found
        (self.target / "after the reboot").write_bytes(b"it can be written, too")
        self.filesystem.unmount(self.target)

    def _require_growth(self, promises: Promises) -> None:
        """Finish the growth, or grow for the first time."""
        self.stage.grow(self.device, integrity_growth=True)
        mapping = self.stage.open(self.device, raw=False)
        self.filesystem.mount(self.target, check=False)
        self.filesystem.grow()
        assert (found := broken(self.target, promises)) == [], found
        self.filesystem.unmount(self.target)
        fsck(mapping.path)
        self.stage.close(VOLUME)


def fsck(path: Path) -> None:
    """Require a filesystem without any error; nothing is repaired."""
    done = subprocess.run(["e2fsck", "-fn", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def check(facts: dict[str, Any], stored: str, promises: Promises, *, is_grown: bool) -> str:
    """Check the disk with these facts; ``stored`` is the ledger's record as it is stored."""
    device = device_of(Path("/dev", wait_for(facts)))
    record = _from_json(stored)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(SqliteLedger(Path(folder, "ledger.sqlite"))) as ledger,
    ):
        target = Path(folder, "mounted")
        target.mkdir()
        ledger.add(record)
        reboot = Reboot(device, stage_of(ledger, "boot-2"), target)
        return reboot.check(record, promises, is_grown=is_grown)
