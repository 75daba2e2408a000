"""The power goes at every write of a verb, to the disk or to the ledger; afterwards all is well.

For each moment the verb runs into the cut on a copy of one machine. Then, on two copies of what the
cut left, the machine is rebooted and the volume opened, and the verb is called again.
"""

from pathlib import Path

import pytest

from cloudcrypt.errors import HeaderRefused, IdentityRefused, StateForbids, UnknownVolume
from cloudcrypt.ledger import State
from cloudcrypt.model import KeyPolicy
from cloudcrypt_testing.hosts import MemoryHost
from tests.unit.machines import (
    GROWN,
    Machine,
    MachineStage,
    again,
    backed_up,
    disk_of,
    enlarge,
    every_cut,
    fill,
    format_it,
    generations,
    header_bytes,
    new_machine,
    ready,
    rebind,
    rotate,
    volume_key,
)
from tests.unit.nodes import CONTENT, OTHER, VOLUME

TEARS = 7
"""At how many bytes each write to the disk is torn: none, 1, 512, 4096, half, all but 1, all."""

LOST = 2
"""How often what was not made durable is lost: nothing of the write arrives, or only that."""


def points(*, disk: int, ledger: int) -> int:
    """Return how many moments that many writes have."""
    return disk * (TEARS + LOST) + ledger * 2


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine with a blank device and an empty ledger."""
    return new_machine(tmp_path / "machine")


def test_a_format_that_is_cut_is_done_again(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for cut, left in every_cut(machine, format_it, tmp_path, points(disk=3, ledger=5)):
        with subtests.test(cut=str(cut)):
            before = header_bytes(left.host)
            with left.booted(boot="boot-2") as stage:
                record = left.record()
                if record is None or record.state is not State.READY:
                    with pytest.raises((UnknownVolume, StateForbids)):
                        stage.open(left.host.device(VOLUME))
            assert before == header_bytes(left.host)
            again(left, format_it)
            fill(left)
            assert CONTENT == left.content()
            assert ready(left).holder is None


def test_a_rotation_that_is_cut_leaves_one_of_two_generations(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    fill(machine)
    key = volume_key(machine)
    old = header_bytes(machine.host)
    seen: set[int] = set()
    for cut, left in every_cut(machine, rotate, tmp_path, points(disk=7, ledger=4)):
        with subtests.test(cut=str(cut)):
            assert key == volume_key(left)
            opened = left.copy(left.folder / "opened")
            assert CONTENT == opened.content()
            generation = ready(opened).generation
            assert [generation] == generations(opened)
            seen.add(generation)
            again(left, rotate)
            assert (2, CONTENT) == (ready(left).generation, left.content(boot="boot-1"))
            assert [2] == generations(left)
            disk_of(left).write(0, old)
            with pytest.raises(IdentityRefused):
                left.content()
    assert {1, 2} == seen


def test_a_rebinding_that_is_cut_is_finished(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    fill(machine)
    machine.host.add(OTHER, disk_of(machine).copy())
    for cut, left in every_cut(machine, rebind, tmp_path, points(disk=10, ledger=4)):
        with subtests.test(cut=str(cut)):
            record = left.record(OTHER)
            if record is None or record.state is not State.READY:
                with (
                    left.booted(boot="boot-2") as stage,
                    pytest.raises((UnknownVolume, StateForbids)),
                ):
                    stage.open(left.host.device(OTHER))
            else:
                assert CONTENT == left.copy(left.folder / "opened").content(OTHER)
            again(left, rebind)
            assert CONTENT == left.content(OTHER)
            assert CONTENT == left.content(VOLUME)
            one, two = ready(left, VOLUME), ready(left, OTHER)
            assert (1, 1) == (one.generation, two.generation)
            assert one.uuid != two.uuid


def test_a_restore_that_is_cut_never_closes_a_volume_that_opened(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    restore = backed_up(machine, policy=KeyPolicy.BOUND, damaged=False)
    key = volume_key(machine)
    for cut, left in every_cut(machine, restore, tmp_path, points(disk=7, ledger=4)):
        with subtests.test(cut=str(cut)):
            assert key == volume_key(left)
            opened = left.copy(left.folder / "opened")
            assert CONTENT == opened.content()
            assert ready(opened).generation == 1
            again(left, restore)
            assert (State.READY, CONTENT) == (ready(left).state, left.content(boot="boot-1"))
            assert [1] == generations(left)


@pytest.mark.parametrize(("policy", "disk"), [(KeyPolicy.BOUND, 7), (KeyPolicy.CONSTELLATION, 3)])
def test_a_restore_over_a_damaged_header_that_is_cut_is_done_again(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests, policy: KeyPolicy, disk: int
) -> None:
    restore = backed_up(machine, policy=policy, damaged=True)
    outcomes: set[str] = set()
    for cut, left in every_cut(machine, restore, tmp_path, points(disk=disk, ledger=4)):
        with subtests.test(cut=str(cut)):
            opened = left.copy(left.folder / "opened")
            try:
                assert CONTENT == opened.content(policy=policy)
                outcomes.add("opened")
            except (HeaderRefused, StateForbids):
                outcomes.add("refused")
            again(left, restore)
            assert CONTENT == left.content(policy=policy)
            assert ready(left).holder is None
    assert outcomes == {"opened", "refused"}


def test_growth_that_is_cut_is_finished(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    fill(machine)
    enlarge(machine)

    def grow(stage: MachineStage, host: MemoryHost) -> object:
        return stage.grow(host.device(VOLUME))

    for cut, left in every_cut(machine, grow, tmp_path, points(disk=0, ledger=3)):
        with subtests.test(cut=str(cut)):
            assert CONTENT == left.copy(left.folder / "opened").content()
            again(left, grow)
            assert GROWN == ready(left).capacity
            assert CONTENT == left.content()


def test_a_hold_that_is_cut_is_taken_over_after_the_reboot(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    fill(machine)

    def use(stage: MachineStage, host: MemoryHost) -> None:
        stage.open(host.device(VOLUME))
        stage.close(VOLUME)

    for cut, left in every_cut(machine, use, tmp_path, points(disk=0, ledger=2)):
        with subtests.test(cut=str(cut)):
            assert CONTENT == left.content(boot="boot-2")
            assert ready(left).holder is None
