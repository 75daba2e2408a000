"""Growth of a volume with integrity that was cut, and what has become of the device since."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudcrypt.errors import (
    CapacityRefused,
    SuperblockRefused,
)
from cloudcrypt.integrity import Geometry, journal
from cloudcrypt.integrity.geometry import SECTORS_PER_RUN
from cloudcrypt.integrity.initialise import SYNC_RUNS
from cloudcrypt.ledger import State
from cloudcrypt.model import Expectation, Mode
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.power import Cut, DiskCut, LedgerCut, Power
from tests.unit.machines import (
    GROWN,
    Machine,
    again,
    disk_of,
    enlarge,
    ready,
    run_into,
)
from tests.unit.nodes import CONTENT, SIZE, VOLUME, Node
from tests.unit.protected import filled
from tests.unit.protected_machines import (
    LARGE,
    all_of,
    grow,
    leave_dirty,
    machine_with_integrity,
)

OLD = Geometry.of(SIZE)
SECTIONS = OLD.journal_sections
NEW = Geometry.of(GROWN, SECTIONS)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_with_integrity(tmp_path / "machine")


def cut_at(machine: Machine, choose: Callable[[Power], Cut]) -> None:
    """Run into a cut of a growth that leaves the state GROWING."""
    enlarge(machine)
    power, copy = Power(), machine.copy(machine.folder / "uncut")
    with copy.booted(power) as stage:
        grow(stage, copy.host)
    run_into(choose(power), machine, grow)
    record = machine.record()
    assert record is not None
    assert (State.GROWING, SIZE, GROWN) == (record.state, record.capacity, record.goal)


def cut_before_the_superblock(machine: Machine) -> None:
    """Let the power go at the last write to the disk."""
    cut_at(machine, lambda power: DiskCut(len(power.disk_writes) - 1))


def cut_behind_the_superblock(machine: Machine) -> None:
    """Let the power go before the ledger, last but one, is told; then the hold is given up."""
    cut_at(machine, lambda power: LedgerCut(power.ledger_writes - 2, is_durable=False))


each_cut = pytest.mark.parametrize(
    ("cut", "geometry", "state"),
    [
        (cut_before_the_superblock, OLD, State.GROWING),
        (cut_behind_the_superblock, NEW, State.READY),
    ],
    ids=["before", "behind"],
)
"""A cut, the geometry that counts then, and the state after the next time that it is opened."""


def test_growing_brings_the_journal_to_an_end_first(machine: Machine) -> None:
    newer = filled(8, 4)
    leave_dirty(machine, newer)
    enlarge(machine)
    again(machine, grow, boot="boot-2")
    assert journal.read("vol", disk_of(machine), NEW).is_clean
    found = all_of(machine)
    assert NEW.payload_size == len(found)
    assert newer + CONTENT[len(newer) :] == found[: len(CONTENT)]


@each_cut
def test_opening_a_volume_that_is_growing_for_reading_writes_nothing_to_it(
    machine: Machine, cut: Callable[[Machine], None], geometry: Geometry, state: State
) -> None:
    cut(machine)
    power = Power()
    with machine.booted(power, boot="boot-2") as stage:
        mapping = stage.open(machine.host.device(VOLUME), writable=False)
        assert geometry.payload_size == mapping.size
        with mapping.open() as payload:
            assert CONTENT == payload.readall()[: len(CONTENT)]
        stage.close(VOLUME)
    assert [] == power.disk_writes
    record = machine.record()
    assert record is not None
    assert (state, None) == (record.state, record.holder)


@each_cut
def test_checking_a_volume_that_is_growing_writes_nothing_anywhere(
    machine: Machine, cut: Callable[[Machine], None], geometry: Geometry, state: State
) -> None:
    cut(machine)
    before, power = machine.record(), Power()
    with machine.booted(power, boot="boot-2") as stage:
        device = machine.host.device(VOLUME)
        stage.check(device).volume_key.wipe()
        with stage.examine(device) as examined:
            assert geometry.payload_size == examined.engine().size
    assert before == machine.record()
    assert ([], 0) == (power.disk_writes, power.ledger_writes)
    assert CONTENT == all_of(machine)[: len(CONTENT)]
    record = machine.record()
    assert record is not None
    assert state is record.state


def test_a_volume_that_is_growing_is_written_and_still_grows_afterwards(machine: Machine) -> None:
    cut_before_the_superblock(machine)
    newer = filled(9, 3)
    leave_dirty(machine, newer)
    power, expected = Power(), newer + CONTENT[len(newer) :]
    with machine.booted(power, boot="boot-2") as stage:
        with stage.open(machine.host.device(VOLUME), writable=False).open() as payload:
            assert expected == payload.pread(0, len(CONTENT))
        stage.close(VOLUME)
    assert [] == power.disk_writes
    again(machine, grow, boot="boot-3")
    found = all_of(machine, boot="boot-4")
    assert (NEW.payload_size, expected) == (len(found), found[: len(CONTENT)])


def test_a_growth_that_was_cut_goes_on_to_what_the_device_has_become_since(
    machine: Machine,
) -> None:
    cut_before_the_superblock(machine)
    enlarge(machine, GROWN + 3 * MIB)
    told: list[tuple[int, int]] = []
    with machine.booted(boot="boot-2") as stage:
        stage.grow(
            machine.host.device(VOLUME),
            integrity_growth=True,
            progress=lambda done, total: told.append((done, total)),
        )
    assert GROWN + 3 * MIB == ready(machine).capacity
    found, now = all_of(machine), Geometry.of(GROWN + 3 * MIB, SECTIONS)
    assert (now.payload_size, CONTENT) == (len(found), found[: len(CONTENT)])
    tail = now.payload_size - OLD.payload_size
    assert [(NEW.payload_size - OLD.payload_size, tail), (tail, tail)] == told


def test_a_growth_that_was_cut_does_not_go_on_where_the_device_shrank(machine: Machine) -> None:
    cut_before_the_superblock(machine)
    enlarge(machine, GROWN - 4096)
    with machine.booted(boot="boot-2") as stage, pytest.raises(CapacityRefused) as refusal:
        grow(stage, machine.host)
    assert f"at least {GROWN}" == refusal.value.expected
    assert CONTENT == all_of(machine)[: len(CONTENT)]


def test_the_tags_of_a_growth_over_more_than_a_gib_are_made_durable_in_parts(
    machine: Machine,
) -> None:
    enlarge(machine, LARGE)
    told: list[tuple[int, int]] = []
    with machine.booted() as stage:
        stage.grow(
            machine.host.device(VOLUME),
            integrity_growth=True,
            progress=lambda done, total: told.append((done, total)),
        )
    tail = Geometry.of(LARGE, SECTIONS).payload_size - OLD.payload_size
    first = SYNC_RUNS * SECTORS_PER_RUN * 4096 - OLD.payload_size
    assert [(first, tail), (tail, tail)] == told


def test_a_volume_that_grew_needs_its_journal_sections_said_by_whoever_has_no_ledger(
    node: Node, tmp_path: Path
) -> None:
    size = 32 * MIB  # one section; a device of 64 MiB would have three
    device = node.formatted(size=size, mode=Mode.INTEGRITY)
    device = node.resize(VOLUME, 64 * MIB)
    assert node.stage.grow(device, integrity_growth=True).journal_sections == 1
    assert CONTENT == node.content(device)
    (tmp_path / "elsewhere").mkdir()
    stranger = node.again(base=tmp_path / "elsewhere")
    with pytest.raises(SuperblockRefused, match="journal sections"):
        stranger.stage.open(device, trust=Expectation(Mode.INTEGRITY))
    assert stranger.ledger.get(VOLUME) is None
    assert CONTENT == stranger.content(
        device, trust=Expectation(Mode.INTEGRITY, journal_sections=1)
    )
    assert stranger.record().journal_sections == 1
