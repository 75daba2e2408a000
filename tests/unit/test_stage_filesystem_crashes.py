"""The process dies anywhere while a filesystem is made: it is made then, and never a second time.

It dies before and after each write to the ledger, before and after mkfs, and within it: what mkfs
leaves then is a payload of which any part is written.
"""

import shutil
import subprocess
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import FilesystemMismatch, PayloadForbids
from cloudcrypt.filesystem import Ended, FilesystemKind, HostTools
from cloudcrypt.ledger import Filesystem, Ledger, Making, Record, Untouched
from cloudcrypt.sizes import KIB, MIB
from cloudcrypt.waiting import Deadline
from tests.unit.cuts import Killed, Life
from tests.unit.nodes import VOLUME
from tests.unit.payloads import PAYLOADS, PayloadHost

LEFT = (0, 4 * KIB, 64 * KIB, 1 * MIB, 8 * MIB)
"""Bytes at the start of the payload that mkfs has written when it dies within."""


@attrs.frozen
class MortalLedger:
    """A ledger as seen by a process that may die."""

    ledger: Ledger
    life: Life

    def get(self, volume_id: str) -> Record | None:
        return self.ledger.get(volume_id)

    def add(self, record: Record) -> Record:
        return self.ledger.add(record)

    def replace(self, old: Record, new: Record) -> Record:
        self.life.step()
        replaced = self.ledger.replace(old, new)
        self.life.step()
        return replaced

    def forget(self, volume_id: str) -> None:
        self.ledger.forget(volume_id)

    def records(self) -> Iterator[Record]:
        return self.ledger.records()


@attrs.frozen
class MortalTools:
    """Programs of a process that may die with them: before, within and after each."""

    life: Life
    payload: Path
    real: HostTools = attrs.field(factory=HostTools)

    def run(
        self, tool: str, arguments: Sequence[str], *, inherited: Collection[int], deadline: Deadline
    ) -> Ended:
        before = start_of(self.payload)
        self.life.step()
        ended = self.real.run(tool, arguments, inherited=inherited, deadline=deadline)
        after = start_of(self.payload)
        for length in LEFT:
            self.write(after[:length] + before[length:])
            self.life.step()
        self.write(before[: 4 * KIB] + after[4 * KIB :])  # the superblock last
        self.life.step()
        self.write(after)
        self.life.step()
        return ended

    def write(self, start: bytes) -> None:
        with self.payload.open("r+b") as file:
            file.write(start)


def start_of(payload: Path) -> bytes:
    with payload.open("rb") as file:
        return file.read(16 * MIB)


def copied(folder: Path, to: Path) -> Path:
    """Copy a host, and leave the holes of its files holes."""
    subprocess.run(["cp", "-r", "--sparse=always", folder, to], check=True)
    return to


@pytest.fixture(scope="module", params=FilesystemKind, ids=lambda kind: kind.value)
def prepared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[FilesystemKind, Path]:
    """Return a host with a formatted volume."""
    folder = tmp_path_factory.mktemp("prepared") / "host"
    with PayloadHost(folder) as host:
        host.formatted(request.param)
    return request.param, folder


def dying(folder: Path, kind: FilesystemKind, life: Life) -> None:
    """Make a filesystem in a process that ends with ``life``."""
    with PayloadHost(folder) as host:
        host.stage.open(host.device(), raw=False)
    with PayloadHost(folder) as host:
        ledger = MortalLedger(host.ledger, life)
        tools = MortalTools(life, host.payload_path)
        with PayloadHost(folder, ledger=ledger, tools=tools) as mortal:
            device = mortal.device()
            mortal.stage.open(device, raw=False)
            mortal.filesystem.make(device, kind)


STEPS = 4 + 3 + len(LEFT)
"""Around each of two writes to the ledger; before, within and after mkfs."""


def test_a_filesystem_is_made_wherever_the_process_died_and_once(
    prepared: tuple[FilesystemKind, Path], tmp_path: Path
) -> None:
    kind, folder = prepared
    uncut = Life()
    dying(copied(folder, tmp_path / "uncut"), kind, uncut)
    assert uncut.steps == STEPS
    seen = set[type]()
    for step in range(STEPS):
        left = copied(folder, tmp_path / f"{step}")
        with pytest.raises(Killed):
            dying(left, kind, Life(step))
        with PayloadHost(left) as host:
            seen.add(type(host.record().payload))
            made = made_and_used(host, kind)
            content = start_of(host.payload_path)
            host.filesystem.make(host.device(), kind)
            assert (made, content) == (host.record().payload, start_of(host.payload_path))
        shutil.rmtree(left)
    assert {Untouched, Making, Filesystem} == seen


def made_and_used(host: PayloadHost, kind: FilesystemKind) -> Filesystem:
    """Do what a process does that finds a volume whose maker died; return what is recorded."""
    begun = host.record().payload
    device = host.device()
    host.stage.open(device, raw=False)
    if not isinstance(begun, Filesystem):
        with pytest.raises(PayloadForbids):
            host.filesystem.mount(host.target())
    made = host.filesystem.make(device, kind)
    if isinstance(begun, Making | Filesystem):
        assert begun.uuid == made.uuid
    host.filesystem.mount(host.target())
    host.filesystem.unmount(host.target())
    assert made == host.record().payload
    return made


def test_an_erased_filesystem_is_an_error_for_ever(tmp_path: Path) -> None:
    kind = FilesystemKind.EXT4
    with PayloadHost(tmp_path / "host") as host:
        device = host.made(kind)
        host.payload_path.write_bytes(bytes(PAYLOADS[kind]))
        host.stage.close(VOLUME)
    for _ in range(2):
        with PayloadHost(tmp_path / "host") as host:
            host.stage.open(device, raw=False)
            with pytest.raises(FilesystemMismatch):
                host.filesystem.make(device, kind)
            assert bytes(PAYLOADS[kind]) == host.payload_path.read_bytes()
            host.stage.close(VOLUME)
