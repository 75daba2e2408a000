"""Volumes with integrity, from format to growth: cut at every write, and tampered with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudcrypt.disk import Disk, read
from cloudcrypt.errors import (
    DeviceNotBlank,
    IntegrityError,
    SectorRefused,
    StateForbids,
    SuperblockRefused,
    UnknownVolume,
    UnsupportedOperation,
)
from cloudcrypt.integrity import Geometry, superblock
from cloudcrypt.integrity.geometry import SUPERBLOCK_OFFSET, TAG_SIZE
from cloudcrypt.ledger import State
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.hosts import MemoryHost
from tests.unit.machines import (
    Machine,
    MachineStage,
    Verb,
    again,
    cuts_of,
    new_machine,
    ready,
    run_into,
)
from tests.unit.nodes import CONTENT, SIZE, VOLUME

GROWN = SIZE + MIB


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return new_machine(tmp_path / "machine")


def format_it(stage: MachineStage, host: MemoryHost) -> object:
    stage.register_new(VOLUME, capacity=SIZE, mode=Mode.INTEGRITY)
    return stage.format(host.device(VOLUME))


def grow(stage: MachineStage, host: MemoryHost) -> object:
    return stage.grow(host.device(VOLUME), integrity_growth=True)


def write_it(stage: MachineStage, host: MemoryHost) -> None:
    with stage.open(host.device(VOLUME)).open() as payload:
        payload.write(CONTENT)
    stage.close(VOLUME)


def disk_of(machine: Machine) -> MemoryDisk:
    return machine.host.disks[machine.host.device(VOLUME).path]


def enlarge(machine: Machine) -> None:
    small, large = disk_of(machine), MemoryDisk(GROWN)
    for begin, end in small.extents(0, SIZE):
        large.write(begin, read(small, begin, end - begin))
    machine.host.disks[machine.host.device(VOLUME).path] = large


def every_cut(machine: Machine, verb: Verb, tmp_path: Path) -> Iterator[tuple[object, Machine]]:
    for number, cut in enumerate(cuts_of(machine, verb, tmp_path / "uncut")):
        left = machine.copy(tmp_path / f"cut-{number}")
        run_into(cut, left, verb)
        yield cut, left


def everything(machine: Machine, boot: str = "boot-2") -> bytes:
    """Open the volume, read all of it, and close it."""
    with machine.booted(boot=boot) as stage:
        with stage.open(machine.host.device(VOLUME)).open() as payload:
            found = payload.readall()
        stage.close(VOLUME)
    return found


def test_a_format_that_is_cut_is_gone_on_with(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    tried = 0
    for cut, left in every_cut(machine, format_it, tmp_path):
        tried += 1
        with subtests.test(cut=str(cut)):
            record = left.record()
            if record is None or record.state is not State.READY:
                refused = pytest.raises((UnknownVolume, StateForbids))
                with left.booted(boot="boot-2") as stage, refused:
                    stage.open(left.host.device(VOLUME))
            again(left, format_it)
            again(left, write_it)
            assert CONTENT == everything(left)[: len(CONTENT)]
            assert ready(left).holder is None
    assert tried > 60


def test_every_sector_of_a_fresh_volume_reads_without_an_error(machine: Machine) -> None:
    again(machine, format_it)
    assert Geometry.of(SIZE).payload_size == len(everything(machine))


def test_a_disk_that_is_not_blank_is_refused(machine: Machine) -> None:
    disk_of(machine).write(SIZE - 4096, b"precious")
    with machine.booted() as stage:
        stage.register_new(VOLUME, capacity=SIZE, mode=Mode.INTEGRITY)
        with pytest.raises(DeviceNotBlank):
            stage.format(machine.host.device(VOLUME))


def test_growth_has_to_be_asked_for(machine: Machine) -> None:
    again(machine, format_it)
    enlarge(machine)
    with machine.booted() as stage, pytest.raises(UnsupportedOperation) as refusal:
        stage.grow(machine.host.device(VOLUME))
    assert "--integrity-growth" in refusal.value.remedy
    assert "Constellation" in refusal.value.remedy


def test_growth_that_is_cut_leaves_the_old_size_or_the_new_one(
    machine: Machine, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    again(machine, format_it)
    again(machine, write_it)
    enlarge(machine)
    sections = Geometry.of(SIZE).journal_sections
    old, new = Geometry.of(SIZE), Geometry.of(GROWN, sections)
    sizes: set[int] = set()
    tried = 0
    for cut, left in every_cut(machine, grow, tmp_path):
        tried += 1
        with subtests.test(cut=str(cut)):
            opened = everything(left.copy(left.folder / "opened"))
            assert CONTENT == opened[: len(CONTENT)]
            sizes.add(len(opened))
            again(left, grow)
            assert (GROWN, sections) == (ready(left).capacity, ready(left).journal_sections)
            found = everything(left)
            assert (new.payload_size, CONTENT) == (len(found), found[: len(CONTENT)])
    assert {old.payload_size, new.payload_size} == sizes
    assert tried > 20


def test_a_tail_that_is_not_blank_is_refused(machine: Machine) -> None:
    again(machine, format_it)
    enlarge(machine)
    disk_of(machine).write(GROWN - 4096, b"precious")
    with machine.booted() as stage, pytest.raises(DeviceNotBlank):
        stage.grow(machine.host.device(VOLUME), integrity_growth=True)
    assert ready(machine).capacity == SIZE


# --- the tamper table: what is done to the disk, and what comes of it ---


def field(offset: int, content: bytes) -> tuple[int, bytes]:
    return SUPERBLOCK_OFFSET + offset, content


SUPERBLOCK_TAMPERING = {
    "provided too big": field(16, (2**40).to_bytes(8, "little")),
    "provided halved": field(16, (64).to_bytes(8, "little")),
    "tag size 16": field(10, b"\x10"),
    "interleave": field(9, b"\x0e"),
    "fewer journal sections": field(12, b"\x00"),
    "flags 0": field(24, b"\x00"),
    "RECALC": field(24, b"\x0a"),
    "BITMAP": field(24, b"\x18"),
    "JMAC": field(24, b"\x09"),
    "log2_spb 0": field(28, b"\x00"),
    "bitmap exponent": field(29, b"\x0d"),
    "version": field(8, b"\x05"),
    "salt": field(48, b"\x01"),
    "padding": field(4095, b"\x01"),
    "zeroed": field(0, bytes(4096)),
}


@pytest.mark.parametrize("name", SUPERBLOCK_TAMPERING)
def test_a_tampered_superblock_is_refused(machine: Machine, name: str) -> None:
    again(machine, format_it)
    disk_of(machine).write(*SUPERBLOCK_TAMPERING[name])
    with pytest.raises(SuperblockRefused):
        everything(machine)


def flip(disk: Disk, offset: int) -> None:
    disk.write(offset, bytes([read(disk, offset, 1)[0] ^ 1]))


@pytest.mark.parametrize("where", ["data", "tag"])
def test_a_flipped_bit_is_an_error_that_names_volume_and_sector(
    machine: Machine, where: str
) -> None:
    again(machine, format_it)
    geometry = Geometry.of(SIZE)
    offset = geometry.data_offset(3) if where == "data" else geometry.tag_offset(3)
    flip(disk_of(machine), offset + 7)
    with pytest.raises(SectorRefused) as refusal:
        everything(machine)
    assert (VOLUME, 3) == (refusal.value.volume, refusal.value.sector)


def test_a_moved_sector_is_an_error(machine: Machine) -> None:
    again(machine, format_it)
    again(machine, write_it)
    disk, geometry = disk_of(machine), Geometry.of(SIZE)
    disk.write(geometry.data_offset(5), read(disk, geometry.data_offset(0), SECTOR_SIZE))
    disk.write(geometry.tag_offset(5), read(disk, geometry.tag_offset(0), TAG_SIZE))
    with pytest.raises(SectorRefused) as refusal:
        everything(machine)
    assert refusal.value.sector == 5


def test_a_sector_with_its_own_older_tag_is_accepted_which_no_tag_can_prevent(
    machine: Machine,
) -> None:
    again(machine, format_it)
    disk, geometry = disk_of(machine), Geometry.of(SIZE)
    places = ((geometry.data_offset(0), SECTOR_SIZE), (geometry.tag_offset(0), TAG_SIZE))
    older = [(offset, read(disk, offset, length)) for offset, length in places]
    before = everything(machine)
    again(machine, write_it)
    for offset, content in older:
        disk.write(offset, content)
    assert before[:SECTOR_SIZE] == everything(machine)[:SECTOR_SIZE]


def test_a_damaged_commit_id_is_refused(machine: Machine) -> None:
    again(machine, format_it)
    flip(disk_of(machine), Geometry.of(SIZE).section_offset(0) + 511)
    with pytest.raises(IntegrityError):
        everything(machine)


def test_a_superblock_of_another_capacity_is_refused(machine: Machine) -> None:
    again(machine, format_it)
    disk_of(machine).write(SUPERBLOCK_OFFSET, superblock.build(Geometry.of(GROWN)))
    with pytest.raises(SuperblockRefused):
        everything(machine)
