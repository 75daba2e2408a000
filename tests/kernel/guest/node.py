"""What a node does, in the guest: commands as a user types them, and scripts with the facade."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import attrs
from click.testing import CliRunner

from cloudcrypt.cli import main, node_plane
from cloudcrypt.facade import encrypted_volume, grow_volume, mounted_volume
from cloudcrypt.filesystem import PayloadChoice
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.mapper import KernelMapper
from cloudcrypt.mapper.readiness import target_versions
from cloudcrypt.model import Attachment, FilePath, Mode
from cloudcrypt.provisioning import VolumeRequest
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import DetachVolume, Handle, ResizeVolume, T
from cloudcrypt.stage import Stage
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider
from tests.kernel.guest.mapper_bench import PROFILES, run, settle
from tests.kernel.guest.mapper_loops import Loop

SIZE, GROWN = 48 * MIB, 80 * MIB
TEXT = b"what only this VM reads " * 4000
HERE = "this-vm"
_KEY, _SALT = bytes(32), bytes(range(32))


def prepare(folder: str) -> None:
    """Make the folder of a node, with a master secret and where something is mounted."""
    (Path(folder) / "mnt").mkdir(parents=True)
    secret = {"key": _KEY, "salt": _SALT}
    texts = {name: base64.b64encode(value).decode() for name, value in secret.items()}
    (Path(folder) / "secret.json").write_text(json.dumps(texts))


def command(*words: str) -> dict[str, Any]:
    """Run ``cloudcrypt`` in this process, with a key derivation that costs little."""

    def stage(*parts: Any) -> Stage[Any]:
        return Stage(*parts, profiles=PROFILES)

    settle()
    with mock.patch.object(node_plane, "Stage", stage):
        result = CliRunner().invoke(main, words)
    return {"code": result.exit_code, "out": result.stdout, "err": result.stderr}


def write(path: str) -> None:
    """Write a file, durably."""
    with Path(path).open("wb") as file:
        file.write(TEXT)
        file.flush()
        os.fsync(file.fileno())


def is_written(path: str) -> bool:
    """Say whether a file holds what `write` writes."""
    return Path(path).read_bytes() == TEXT


def room(path: str) -> int:
    """Return the bytes of the filesystem at a path."""
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize


def targets() -> dict[str, str]:
    """Return the targets that the device-mapper has loaded, with their versions."""
    return target_versions()


# --- scripts ---


class LoopProvider(LocalProvider):
    """The local provider, whose volumes come as loop devices: the kernel maps no files."""

    def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
        outcome = super().resume(handle, deadline=deadline)
        if isinstance(outcome, Attachment) and isinstance(outcome.identity, FilePath):
            path = loop_of(Path(outcome.identity.path)) or Loop(Path(outcome.identity.path)).path
            found = path.stat()
            identity = FilePath(str(path), found.st_dev, found.st_ino)
            return attrs.evolve(outcome, identity=identity)
        if isinstance(handle.intent, ResizeVolume):
            run("losetup", "--set-capacity", str(self._loop(handle.intent.volume_id)))
        if isinstance(handle.intent, DetachVolume):
            settle()
            run("losetup", "--detach", str(self._loop(handle.intent.volume_id)))
        return outcome

    def _loop(self, volume_id: str) -> Path | None:
        folder = Path(self.url.removeprefix("local://"))
        return loop_of(folder / f"{volume_id.rpartition('/')[2]}.img")


def loop_of(file: Path) -> Path | None:
    """Return the loop device over a file, if there is one."""
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        if path.read_text().strip() == str(file):
            return Path("/dev") / path.parts[3]
    return None


@attrs.frozen
class Script:
    """A script on a node, in its folder."""

    folder: Path
    choice: PayloadChoice
    size: int = SIZE

    @property
    def target(self) -> Path:
        return self.folder / "mnt"

    @property
    def request(self) -> VolumeRequest:
        return VolumeRequest("data", self.size)

    @contextmanager
    def parts(self) -> Generator[tuple[LoopProvider, dict[str, Any]]]:
        """Yield the provider, and what every call of the facade takes."""
        with ExitStack() as closing_all:
            provider = closing_all.enter_context(closing(LoopProvider(self.folder / "store")))
            ledger = closing_all.enter_context(closing(SqliteLedger(self.folder / "ledger")))
            journal = closing_all.enter_context(closing(SqliteJournal(self.folder / "journal")))
            keys = MasterSecretKeyService(
                MasterSecret.from_bytes(bytearray(_KEY), bytearray(_SALT))
            )
            named = {"instance": HERE, "keys": keys, "ledger": ledger, "journal": journal}
            yield provider, {**named, "profiles": PROFILES}

    @contextmanager
    def mounted(self) -> Generator[dict[str, Any]]:
        """Mount the volume; yield what `grow_volume` takes."""
        settle()
        with (
            self.parts() as (provider, parts),
            mounted_volume(
                provider, self.request, target=self.target, filesystem=self.choice, **parts
            ),
        ):
            yield {"provider": provider, "volume": "data", "integrity_growth": True, **parts}


def script(choice: str) -> None:
    """Use a volume as a script does that is run again and again, and is killed in between."""
    with TemporaryDirectory() as folder:
        this = Script(Path(folder), PayloadChoice.parse(choice))
        this.target.mkdir()
        command = [sys.executable, "-m", "tests.kernel.guest.node", folder, choice]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert b"mounted\n" == other.stdout.readline()
            other.send_signal(signal.SIGKILL)
        assert this.target.is_mount()
        with this.mounted() as growth:
            assert is_written(f"{folder}/mnt/file")
            before = room(f"{folder}/mnt")
            grown = grow_volume(size=GROWN, **growth)
            assert grown.filesystem is not None
            assert grown.filesystem > grown.payload - MIB
            assert grown == grow_volume(size=GROWN, **growth)
            assert room(f"{folder}/mnt") > before + 24 * MIB
            assert is_written(f"{folder}/mnt/file")
        assert not this.target.is_mount()
        assert "No devices" in run("dmsetup", "ls")
        this = attrs.evolve(this, size=GROWN)
        with this.mounted():
            assert is_written(f"{folder}/mnt/file")


def block_device(mode: str) -> None:
    """Use a volume as a block device of the kernel, and read it back in user space."""
    with TemporaryDirectory() as folder:
        this = Script(Path(folder), PayloadChoice(None, Mode(mode)))
        with this.parts() as (provider, parts):
            wanted: dict[str, Any] = {**parts, "mode": Mode(mode)}
            mapper = KernelMapper()
            with encrypted_volume(provider, this.request, mapper=mapper, **wanted) as disk:
                assert len(TEXT) == disk.write(TEXT)
                assert "No devices" not in run("dmsetup", "ls")
            settle()
            assert "No devices" in run("dmsetup", "ls")
            with encrypted_volume(provider, this.request, **wanted) as disk:
                assert TEXT == disk.read(len(TEXT))


def _mounted_for_ever(folder: str, choice: str) -> None:
    """Mount a volume, write a file, say so, and wait to be killed."""
    with Script(Path(folder), PayloadChoice.parse(choice)).mounted():
        write(f"{folder}/mnt/file")
        print("mounted", flush=True)  # noqa: T201 - to the process that waits for it
        signal.pause()


if __name__ == "__main__":
    _mounted_for_ever(*sys.argv[1:])
