"""The process dies at every step of every verb, and another one finishes what it began: once."""

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudcrypt.journal import Journal, SqliteJournal
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import VolumeProvider
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider
from tests.unit.clocks import FakeClock
from tests.unit.cuts import Killed, Life, MortalJournal, MortalProvider
from tests.unit.shaky_provider import ShakyProvider

REQUEST = VolumeRequest("data", 20 * MIB, labels={"owner": "me"})
Act = Callable[[Provisioner], object]


def nothing(_: Provisioner) -> None:
    """Prepare nothing."""


def only_id(provisioner: Provisioner) -> str:
    """Return the id of the one volume that there is, or was."""
    (entry,) = provisioner.journal.entries(operation="CreateVolume")
    return entry.outcome or ""


def create(provisioner: Provisioner) -> object:
    return provisioner.ensure_volume(REQUEST)


def attach(provisioner: Provisioner) -> object:
    return provisioner.ensure_attached(only_id(provisioner), "node-1")


def detach(provisioner: Provisioner) -> object:
    return provisioner.ensure_detached(only_id(provisioner), "node-1")


def snapshot(provisioner: Provisioner) -> object:
    return provisioner.ensure_snapshot(only_id(provisioner), "backup", 7)


def modify(provisioner: Provisioner) -> object:
    return provisioner.ensure_modified(only_id(provisioner), size=40 * MIB, iops=3000)


def remove_snapshot(provisioner: Provisioner) -> None:
    (entry,) = provisioner.journal.entries(operation="CreateSnapshot")
    provisioner.ensure_snapshot_gone(entry.outcome or "")


def then(*acts: Act) -> Act:
    def all_of_them(provisioner: Provisioner) -> object:
        return [act(provisioner) for act in acts][-1]

    return all_of_them


@attrs.frozen
class Case:
    """A verb, what comes before it, and at how many steps it can be cut.

    Steps are: before and after each call to the provider and each write to the journal.
    """

    before: Act
    verb: Act
    steps: int


CASES = {
    # a look (2), the intent (2), begin (2), the handle (2), resume (2), the outcome (2)
    "volume": Case(nothing, create, 12),
    "attached": Case(create, attach, 10),  # no look: the journal knows no attachment
    "attached again": Case(then(create, attach, detach), attach, 12),
    "detached": Case(then(create, attach), detach, 12),
    "size": Case(create, lambda each: each.ensure_size(only_id(each), 40 * MIB), 12),
    "gone": Case(create, lambda each: each.ensure_gone(only_id(each)), 10),
    "snapshot": Case(create, snapshot, 12),
    "snapshot gone": Case(then(create, snapshot), remove_snapshot, 10),
    "all of them": Case(nothing, then(create, attach, detach, snapshot), 46),
}
MODIFYING = {"modified": Case(create, modify, 12)}


def again(provisioner: Provisioner, case: Case) -> None:
    """Ask for the same."""
    case.verb(provisioner)


def resumed(provisioner: Provisioner, case: Case) -> None:
    """Finish what the journal has, then ask for the same."""
    assert {resumption.error for resumption in provisioner.resume_all()} <= {None}
    assert provisioner.unfinished() == ()
    case.verb(provisioner)


RECOVERIES = {"again": again, "resumed": resumed}


class World:
    """A provider and a journal that outlive processes."""

    def __init__(self, provider: VolumeProvider, path: Path) -> None:
        self.provider = provider
        self.path = path

    def process(self, act: Act, life: Life | None = None) -> object:
        """Run ``act`` in a process of its own, which may die."""
        alive = life or Life()
        with closing(SqliteJournal(self.path)) as opened:
            journal: Journal = MortalJournal(opened, alive)
            provider: VolumeProvider = MortalProvider(self.provider, alive)
            return act(Provisioner(provider, journal, clock=FakeClock()))

    def facts(self) -> tuple[Any, ...]:
        """Return all that exists, without ids and times."""
        return (
            [(v.name, v.size, v.state, v.holders, v.iops) for v in self.provider.list()],
            [(s.name, s.size, s.state, s.generation) for s in self.provider.snapshots()],
        )


def shaky(_: Path) -> VolumeProvider:
    return ShakyProvider()


def local(folder: Path) -> VolumeProvider:
    return LocalProvider(folder / "store")


def finishes_after_every_cut(
    make: Callable[[Path], VolumeProvider],
    case: Case,
    recover: Callable[[Provisioner, Case], None],
    tmp_path: Path,
) -> None:
    uncut = World(make(tmp_path / "uncut"), tmp_path / "uncut" / "journal")
    uncut.process(case.before)
    life = Life()
    uncut.process(case.verb, life)
    assert case.steps == life.steps
    for end in range(case.steps):
        folder = tmp_path / f"cut-{end}"
        world = World(make(folder), folder / "journal")
        world.process(case.before)
        with pytest.raises(Killed):
            world.process(case.verb, Life(end))
        world.process(lambda provisioner: recover(provisioner, case))
        assert uncut.facts() == world.facts()
        with closing(SqliteJournal(world.path)) as journal:
            assert [each for each in journal.entries() if not each.is_finished] == []


@pytest.mark.parametrize("recovery", RECOVERIES)
@pytest.mark.parametrize("name", [*CASES, *MODIFYING])
def test_what_was_cut_at_any_step_is_finished_by_another_process(
    name: str, recovery: str, tmp_path: Path
) -> None:
    case = {**CASES, **MODIFYING}[name]
    finishes_after_every_cut(shaky, case, RECOVERIES[recovery], tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_so_it_is_with_volumes_that_are_files(name: str, tmp_path: Path) -> None:
    finishes_after_every_cut(local, CASES[name], again, tmp_path)


def test_what_is_cut_again_while_it_is_finished_is_finished_by_a_third_process(
    tmp_path: Path,
) -> None:
    cuts = 0
    for first in range(CASES["volume"].steps):
        for second in range(CASES["volume"].steps + 2):
            provider = ShakyProvider()
            world = World(provider, tmp_path / f"{first}-{second}" / "journal")
            with pytest.raises(Killed):
                world.process(create, Life(first))
            life = Life(second)
            try:
                world.process(create, life)
            except Killed:
                cuts += 1
            world.process(create)
            assert [volume.name for volume in provider.volumes.values()] == ["data"]
    assert cuts == 102


@pytest.mark.parametrize("end", range(4, 10))
def test_a_creation_that_was_cut_uses_one_token_whatever_the_provider_finds(
    end: int, tmp_path: Path
) -> None:
    provider = ShakyProvider()
    world = World(provider, tmp_path / "journal")
    with pytest.raises(Killed):
        world.process(create, Life(end))
    provider.faults["find"].append(lambda _: None)  # it shows new things late
    world.process(create)
    assert len(provider.tokens) == len(provider.volumes) == 1


def test_whatever_is_cut_however_often_nothing_is_deleted_or_made_twice(tmp_path: Path) -> None:
    provider = ShakyProvider()
    world = World(provider, tmp_path / "journal")
    for end in range(CASES["all of them"].steps):
        with suppress(Killed):
            world.process(CASES["all of them"].verb, Life(end))
        assert len(provider.volumes) <= 1
        assert len(provider.taken) <= 1
    assert {"DeleteVolume", "DeleteSnapshot"}.isdisjoint(provider.changes)


def test_a_deadline_that_has_passed_still_looks_once(tmp_path: Path) -> None:
    world = World(ShakyProvider(), tmp_path / "journal")
    with pytest.raises(Killed):
        world.process(create, Life(7))
    now = Deadline.after(0, clock=FakeClock())
    world.process(lambda each: each.ensure_volume(REQUEST, deadline=now))
