"""Volumes with integrity, from format to growth: cut at every write."""

from pathlib import Path

import pytest

from cloudcrypt.errors import (
    DeviceNotBlank,
    JournalRefused,
    StateForbids,
    UnknownVolume,
    UnsupportedOperation,
)
from cloudcrypt.integrity import Geometry
from cloudcrypt.integrity.geometry import SECTION_SIZE
from cloudcrypt.ledger import State
from cloudcrypt.model import Mode
from cloudcrypt_testing.power import DiskCut
from tests.unit import integrity_facts as facts
from tests.unit.machines import (
    GROWN,
    Machine,
    again,
    disk_of,
    enlarge,
    every_cut,
    fill,
    new_machine,
    ready,
)
from tests.unit.nodes import CONTENT, SIZE, VOLUME, Node
from tests.unit.protected import filled, sectors_of
from tests.unit.protected_machines import all_of, format_with_integrity, grow, leave_dirty


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return new_machine(tmp_path / "machine")


FORMAT_CUTS = (3 + 1 + 1) * 9 + 8 + 7 * 2
"""Header, tags and journal are torn in 9 ways, the superblock in 8; and 7 writes to the ledger."""


def test_a_format_that_is_cut_is_gone_on_with(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for cut, left in every_cut(machine, format_with_integrity, tmp_path, FORMAT_CUTS):
        with subtests.test(cut=str(cut)):
            record = left.record()
            if record is None or record.state is not State.READY:
                refused = pytest.raises((UnknownVolume, StateForbids))
                with left.booted(boot="boot-2") as stage, refused:
                    stage.open(left.host.device(VOLUME))
            fill(left, mode=Mode.INTEGRITY)
            assert CONTENT == all_of(left)[: len(CONTENT)]
            assert ready(left).holder is None


def test_every_sector_of_a_fresh_volume_reads_without_an_error(machine: Machine) -> None:
    again(machine, format_with_integrity)
    assert Geometry.of(SIZE).payload_size == len(all_of(machine))


def test_a_disk_that_is_not_blank_is_refused(machine: Machine) -> None:
    disk_of(machine).write(SIZE - 4096, b"precious")
    with machine.booted() as stage:
        stage.register_new(VOLUME, capacity=SIZE, mode=Mode.INTEGRITY)
        with pytest.raises(DeviceNotBlank):
            stage.format(machine.host.device(VOLUME))


def test_growth_has_to_be_asked_for(machine: Machine) -> None:
    again(machine, format_with_integrity)
    enlarge(machine)
    with machine.booted() as stage, pytest.raises(UnsupportedOperation) as refusal:
        stage.grow(machine.host.device(VOLUME))
    assert "--integrity-growth" in refusal.value.remedy
    assert "Constellation" in refusal.value.remedy


GROWTH_CUTS = {False: 8 + 8 + 4 * 2, True: (8 + 9 + 9) + 8 + 8 + 2 * 2}
"""Tags and superblock; and 4 writes to the ledger.

If the journal is not clean: a sector, its tag and the ring before them. The hold is there already,
and stays: two writes fewer to the ledger.
"""


@pytest.mark.parametrize("is_dirty", [False, True])
def test_growth_that_is_cut_leaves_the_old_size_or_the_new_one(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests, *, is_dirty: bool
) -> None:
    fill(machine, mode=Mode.INTEGRITY)
    expected = CONTENT
    if is_dirty:
        leave_dirty(machine, filled(8))
        expected = filled(8) + CONTENT[4096:]
    enlarge(machine)
    sections = Geometry.of(SIZE).journal_sections
    old, new = Geometry.of(SIZE), Geometry.of(GROWN, sections)
    sizes: set[int] = set()
    for cut, left in every_cut(machine, grow, tmp_path, GROWTH_CUTS[is_dirty]):
        with subtests.test(cut=str(cut)):
            if isinstance(cut, DiskCut) and cut.tear == SECTION_SIZE - 1:
                with pytest.raises(JournalRefused):  # within the last 512 bytes of the ring
                    all_of(left)
                continue
            opened = all_of(left.copy(left.folder / "opened"))
            assert expected == opened[: len(CONTENT)]
            sizes.add(len(opened))
            again(left, grow)
            assert (GROWN, sections) == (ready(left).capacity, ready(left).journal_sections)
            found = all_of(left)
            assert (new.payload_size, expected) == (len(found), found[: len(CONTENT)])
    assert {old.payload_size, new.payload_size} == sizes


def test_a_tail_that_is_not_blank_is_refused(machine: Machine) -> None:
    again(machine, format_with_integrity)
    enlarge(machine)
    disk_of(machine).write(GROWN - 4096, b"precious")
    with machine.booted() as stage, pytest.raises(DeviceNotBlank):
        stage.grow(machine.host.device(VOLUME), integrity_growth=True)
    assert ready(machine).capacity == SIZE


# --- capacities that are no multiple of a sector; SIZE holds 62 sectors and not a byte more ---


@pytest.mark.parametrize(
    ("excess", "sectors"), [(1, 62), (511, 62), (512, 62), (4095, 62), (4097, 63), (7 * 512, 62)]
)
def test_what_is_less_than_a_sector_at_the_end_of_a_device_is_left_alone(
    node: Node, excess: int, sectors: int
) -> None:
    content = filled(3, sectors)
    device = node.formatted(size=SIZE + excess, mode=Mode.INTEGRITY, content=content)
    assert SIZE + excess == node.record().capacity
    with node.stage.open(device, writable=False).open() as payload:
        assert sectors_of(content) == sectors_of(payload.readall())
    node.stage.close(VOLUME)
    raw = device.path.read_bytes()
    end = facts.data_byte(sectors - 1, 1) + 4096
    assert bytes(SIZE + excess - end) == raw[end:]
    assert facts.superblock(1, 8 * sectors) == raw[2**24 : 2**24 + 4096]


@pytest.mark.parametrize(
    ("excess", "more", "sectors"),
    [(1, 1, 62), (4095, 1, 63), (512, 4096, 63), (511, 2**20 + 513, 62 + 256)],
)
def test_growth_goes_as_far_as_whole_sectors_do(
    node: Node, excess: int, more: int, sectors: int
) -> None:
    node.formatted(size=SIZE + excess, mode=Mode.INTEGRITY, content=filled(3, 62))
    device = node.resize(VOLUME, SIZE + excess + more)
    for _ in range(2):
        assert SIZE + excess + more == node.stage.grow(device, integrity_growth=True).capacity
    with node.stage.open(device).open() as payload:
        found = payload.readall()
        assert (sectors * 4096, filled(3, 62)) == (len(found), found[: 62 * 4096])
        payload.pwrite((sectors - 1) * 4096, filled(4))
    node.stage.close(VOLUME)
    with node.stage.open(device, writable=False).open() as payload:
        assert filled(4) == payload.pread((sectors - 1) * 4096, 4096)
    node.stage.close(VOLUME)
