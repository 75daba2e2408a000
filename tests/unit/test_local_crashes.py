"""The local provider is cut at every step on files, and the next one finishes what was accepted."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudcrypt.device import locate
from cloudcrypt.model import Volume, VolumeState
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    FromSnapshot,
    FromVolume,
    Intent,
    ResizeVolume,
    perform,
)
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider
from cloudcrypt_local._filesystem import FileSystem

SIZE = 256 * 1024
CONTENT = b"seven" * 1000


class Cut(BaseException):
    """The power fails, or the process is killed."""


class FailingPower(FileSystem):
    """Cuts at the step with the given number, before or after it happens."""

    def __init__(self, step: int, *, after: bool) -> None:
        self.step, self.after, self.steps = step, after, 0

    def _take(self, act: Callable[[], Any]) -> Any:
        self.steps += 1
        if self.steps == self.step and not self.after:
            raise Cut
        result = act()
        if self.steps == self.step:
            raise Cut
        return result

    def create(self, path: Path) -> int:
        return int(self._take(lambda: super(FailingPower, self).create(path)))

    def open(self, path: Path, *, writable: bool = False) -> int:
        return int(self._take(lambda: super(FailingPower, self).open(path, writable=writable)))

    def truncate(self, fd: int, size: int) -> None:
        self._take(lambda: super(FailingPower, self).truncate(fd, size))

    def copy(self, source: int, target: int, offset: int, count: int) -> int:
        half = max(1, count // 2)  # so that a copy can be cut in the middle
        return int(self._take(lambda: super(FailingPower, self).copy(source, target, offset, half)))

    def sync(self, fd: int) -> None:
        self._take(lambda: super(FailingPower, self).sync(fd))

    def unlink(self, path: Path) -> None:
        self._take(lambda: super(FailingPower, self).unlink(path))

    def sync_directory(self, directory: Path) -> None:
        self._take(lambda: super(FailingPower, self).sync_directory(directory))


@attrs.frozen
class Scenario:
    """What is asked for, and the volumes (with their sizes) and snapshots that must follow."""

    name: str
    volumes: dict[str, int]
    snapshots: set[str]

    def intent(self, volume_id: str, snapshot_id: str) -> Intent[Any]:
        """Return what is asked for, of a volume with content and a snapshot of it."""
        intents: dict[str, Intent[Any]] = {
            "create": CreateVolume("t", "new", SIZE),
            "restore": CreateVolume("t", "copy", 2 * SIZE, FromSnapshot(snapshot_id)),
            "clone": CreateVolume("t", "copy", SIZE, FromVolume(volume_id)),
            "snapshot": CreateSnapshot("t", volume_id, "second"),
            "grow": ResizeVolume("t", volume_id, 2 * SIZE),
            "delete": DeleteVolume("t", volume_id),
            "delete the snapshot": DeleteSnapshot("t", snapshot_id),
        }
        return intents[self.name]


_ALL = (
    Scenario("create", {"old": SIZE, "new": SIZE}, {"first"}),
    Scenario("restore", {"old": SIZE, "copy": 2 * SIZE}, {"first"}),
    Scenario("clone", {"old": SIZE, "copy": SIZE}, {"first"}),
    Scenario("snapshot", {"old": SIZE}, {"first", "second"}),
    Scenario("grow", {"old": 2 * SIZE}, {"first"}),
    Scenario("delete", {}, {"first"}),
    Scenario("delete the snapshot", {"old": SIZE}, set()),
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}


def _content(provider: LocalProvider, volume: Volume) -> bytes:
    attachment = perform(provider, AttachVolume(f"look {volume.id[-8:]}", volume.id, "looker"))
    return locate(attachment).path.read_bytes()


def _prepared(directory: Path, scenario: Scenario) -> Intent[Any]:
    provider = LocalProvider(directory)
    volume = perform(provider, CreateVolume("a", "old", SIZE))
    path = directory / f"{volume.id.rpartition('/')[2]}.img"
    with path.open("r+b") as file:
        file.write(CONTENT)
        file.seek(SIZE - len(CONTENT))
        file.write(CONTENT)
    snapshot = perform(provider, CreateSnapshot("b", volume.id, "first"))
    return scenario.intent(volume.id, snapshot.id)


def _check(provider: LocalProvider, directory: Path, scenario: Scenario) -> None:
    volumes, snapshots = list(provider.list()), list(provider.snapshots())
    assert {volume.name: volume.size for volume in volumes} == scenario.volumes
    assert {snapshot.name for snapshot in snapshots} == scenario.snapshots
    assert {volume.state for volume in volumes} <= {VolumeState.AVAILABLE}
    ids = [volume.id for volume in volumes] + [snapshot.id for snapshot in snapshots]
    files = {path.name for path in directory.glob("*.img")}
    assert files == {f"{each.rpartition('/')[2]}.img" for each in ids}
    whole = CONTENT + bytes(SIZE - 2 * len(CONTENT)) + CONTENT
    for volume in volumes:
        expected = bytes(SIZE) if volume.name == "new" else whole
        assert _content(provider, volume) == expected + bytes(volume.size - SIZE)


def _cuts(directory: Path, scenario: Scenario) -> Iterator[tuple[Path, Intent[Any]]]:
    """Yield a store for each point at which the work on ``scenario`` can be cut."""
    intent = _prepared(directory / "prepared", scenario)
    for after in (False, True):
        step, finished = 0, False
        while not finished:
            step += 1
            store = directory / f"{step}-{after}"
            shutil.copytree(directory / "prepared", store)
            try:
                perform(LocalProvider(store, filesystem=FailingPower(step, after=after)), intent)
                finished = True
            except Cut:
                yield store, intent
        assert step > 2


@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_is_cut_is_found_and_finished_by_the_next_process(
    tmp_path: Path, name: str
) -> None:
    for store, intent in _cuts(tmp_path, SCENARIOS[name]):
        provider = LocalProvider(store)
        handle = provider.find(intent)
        assert handle is not None
        provider.resume(handle, deadline=Deadline.after(0))
        _check(provider, store, SCENARIOS[name])


@pytest.mark.parametrize("name", SCENARIOS)
def test_whatever_is_cut_is_finished_by_asking_again(tmp_path: Path, name: str) -> None:
    for store, intent in _cuts(tmp_path, SCENARIOS[name]):
        provider = LocalProvider(store)
        perform(provider, intent)
        perform(provider, intent)
        _check(provider, store, SCENARIOS[name])


@pytest.mark.parametrize("name", ["delete", "delete the snapshot"])
def test_a_deletion_that_was_cut_is_finished_by_whoever_opens_the_store(
    tmp_path: Path, name: str
) -> None:
    for store, _ in _cuts(tmp_path, SCENARIOS[name]):
        _check(LocalProvider(store), store, SCENARIOS[name])


@pytest.mark.parametrize("name", ["create", "restore", "clone", "snapshot"])
def test_what_was_cut_while_it_was_made_can_be_given_up_and_leaves_no_file(
    tmp_path: Path, name: str
) -> None:
    for store, intent in _cuts(tmp_path, SCENARIOS[name]):
        provider = LocalProvider(store)
        for volume in provider.list():
            if volume.state is VolumeState.CREATING:
                perform(provider, DeleteVolume("give up", volume.id))
        if name != "snapshot":
            volumes = {"old": SIZE}
            _check(provider, store, attrs.evolve(SCENARIOS[name], volumes=volumes))
        assert provider.find(intent) is not None


def test_a_volume_whose_making_was_cut_is_visible_as_creating(tmp_path: Path) -> None:
    for store, _ in _cuts(tmp_path, SCENARIOS["create"]):
        states = {volume.name: volume.state for volume in LocalProvider(store).list()}
        assert states == {"old": VolumeState.AVAILABLE, "new": VolumeState.CREATING}


def test_an_accepted_intent_survives_the_death_of_the_process(tmp_path: Path) -> None:
    script = """
import os, sys
from cloudcrypt.spi import CreateVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider
from cloudcrypt_local._filesystem import FileSystem

class Deadly(FileSystem):
    def truncate(self, fd, size):
        os.kill(os.getpid(), 9)

provider = LocalProvider(sys.argv[1], filesystem=Deadly())
provider.resume(provider.begin(CreateVolume("t", "n", 4096)), deadline=Deadline.after(0))
"""
    store = tmp_path / "store"
    died = subprocess.run([sys.executable, "-c", script, str(store)], check=False, timeout=60)
    assert died.returncode == -9
    provider = LocalProvider(store)
    assert [volume.state for volume in provider.list()] == [VolumeState.CREATING]
    handle = provider.find(CreateVolume("t", "n", 4096))
    assert handle is not None
    assert provider.resume(handle, deadline=Deadline.after(0)).state is VolumeState.AVAILABLE
    assert len(list(store.glob("*.img"))) == 1
