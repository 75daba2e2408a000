"""Every row of docs/reference/integrity-attacks.md, against a volume in use."""

import re
from pathlib import Path

import pytest

from cloudcrypt.errors import IntegrityError, SectorRefused, SuperblockRefused
from cloudcrypt.integrity import Geometry, superblock
from cloudcrypt.integrity.geometry import SUPERBLOCK_OFFSET
from cloudcrypt.luks2 import SectorFile
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.hosts import MemoryHost
from cloudcrypt_testing.power import Power
from tests.unit.machines import Machine, MachineStage, disk_of, format_it, new_machine, ready
from tests.unit.nodes import CONTENT, VOLUME
from tests.unit.protected import filled, sectors_of
from tests.unit.protected_machines import all_of, leave_dirty, machine_with_integrity
from tests.unit.tampering import SECTOR, TAMPERINGS, Disks, Tampering

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "integrity-attacks.md"
SIZE = 64 * MIB
LOOKED_AT = 12
"""Sectors from the first on that tests write and compare."""

by_name = pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda each: each.name)


def write(stage: MachineStage, host: MemoryHost, version: int) -> SectorFile:
    """Open the volume, write a version of the first sectors, and flush."""
    payload = stage.open(host.device(VOLUME)).open()
    payload.pwrite(0, filled(version, LOOKED_AT))
    payload.flush()
    return payload


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, MemoryDisk, MemoryDisk]:
    """Return a volume that was written twice, and the disk as it was after the first time."""
    machine = new_machine(tmp_path_factory.mktemp("prepared") / "machine")
    machine.host.add(VOLUME, SIZE)
    with machine.booted() as stage:
        format_it(stage, machine.host, mode=Mode.INTEGRITY)
        write(stage, machine.host, 1)
        unclean = disk_of(machine).copy()  # the journal holds what was flushed
        stage.close(VOLUME)
        older = disk_of(machine).copy()
        write(stage, machine.host, 2)
        stage.close(VOLUME)
    return machine, older, unclean


@pytest.fixture
def machine(prepared: tuple[Machine, MemoryDisk, MemoryDisk], tmp_path: Path) -> Machine:
    return prepared[0].copy(tmp_path / "machine")


@pytest.fixture
def disks(machine: Machine, prepared: tuple[Machine, MemoryDisk, MemoryDisk]) -> Disks:
    """Return all versions of the disk; what is changed in ``now`` is on the machine's."""
    _, older, unclean = prepared
    return Disks(Geometry.of(SIZE), older, unclean, disk_of(machine))


def found(machine: Machine, *, writable: bool, power: Power | None = None) -> list[bytes | None]:
    """Open the volume after a reboot; return each sector, None for one that is refused.

    Raises:
        IntegrityError: the volume is refused as a whole.
    """
    with machine.booted(power, boot="boot-2") as stage:
        with stage.open(machine.host.device(VOLUME), writable=writable).open() as payload:
            contents = [sector_of(payload, sector) for sector in range(LOOKED_AT)]
        stage.close(VOLUME)
    return contents


def sector_of(payload: SectorFile, sector: int) -> bytes | None:
    """Return a sector, or None if it is refused by its name."""
    try:
        return payload.pread(sector * SECTOR_SIZE, SECTOR_SIZE)
    except SectorRefused as refusal:
        return None if (refusal.volume, refusal.sector) == (VOLUME, sector) else b"misnamed"


OLD, NEW = sectors_of(filled(1, LOOKED_AT)), sectors_of(filled(2, LOOKED_AT))


def test_without_tampering_the_volume_reads_as_it_was_written(machine: Machine) -> None:
    for writable in (False, True):
        assert NEW == found(machine, writable=writable)


@by_name
@pytest.mark.parametrize("writable", [False, True])
def test_tampering_has_the_outcome_of_its_row(
    machine: Machine, disks: Disks, tampering: Tampering, *, writable: bool
) -> None:
    tampering.apply(disks)
    if tampering.refused is None:
        accepted = found(machine, writable=writable)
        assert accepted[SECTOR] == OLD[SECTOR]
        assert all(one in (OLD[i], NEW[i]) for i, one in enumerate(accepted))
        return
    power = Power()
    refused_at_once = tampering.refused is not SectorRefused
    if refused_at_once or (writable and "forged" in tampering.name):
        with pytest.raises(tampering.refused):
            found(machine, writable=writable, power=power)
        assert ready(machine).holder is None
    else:
        expected: list[bytes | None] = [*NEW[:SECTOR], None, *NEW[SECTOR + 1 :]]
        assert expected == found(machine, writable=writable, power=power)
    assert [] == power.disk_writes  # nor has a forged entry reached its place


@by_name
def test_whoever_only_looks_changes_nothing(
    machine: Machine, disks: Disks, tampering: Tampering
) -> None:
    tampering.apply(disks)
    record, power = machine.record(), Power()
    with machine.booted(power, boot="boot-2") as stage:
        stage.check(machine.host.device(VOLUME)).volume_key.wipe()  # the header is genuine
        examined(stage, machine)
    assert record == machine.record()
    assert ([], 0) == (power.disk_writes, power.ledger_writes)


def examined(stage: MachineStage, machine: Machine) -> type[IntegrityError] | None:
    """Read the whole payload without opening the volume; return the refusal, if there is one."""
    try:
        with stage.examine(machine.host.device(VOLUME)) as looked_at:
            SectorFile(looked_at.engine(), writable=False).readall()
    except IntegrityError as refusal:
        return type(refusal)
    return None


@by_name
def test_what_an_examination_meets_is_the_outcome_of_its_row(
    machine: Machine, disks: Disks, tampering: Tampering
) -> None:
    tampering.apply(disks)
    with machine.booted(boot="boot-2") as stage:
        assert tampering.refused == examined(stage, machine)


def test_the_superblock_of_another_capacity_is_refused(machine: Machine, disks: Disks) -> None:
    larger = Geometry.of(SIZE + MIB, disks.geometry.journal_sections)
    disks.now.write(SUPERBLOCK_OFFSET, superblock.build(larger))
    with pytest.raises(SuperblockRefused) as refusal:
        found(machine, writable=False)
    assert refusal.value.field == "provided_sectors"


@pytest.mark.parametrize(
    "upper_half", [b"\xff\xff\xff\xff", b"\0\1\0\0"], ids=["not used", "beyond the payload"]
)
def test_an_entry_of_a_live_journal_that_is_damaged_so_as_to_be_passed_over_is_replay(
    tmp_path: Path, upper_half: bytes
) -> None:
    machine = machine_with_integrity(tmp_path / "machine")
    leave_dirty(machine, filled(8, 2))
    entry = Geometry.of(disk_of(machine).size).section_offset(0)
    disk_of(machine).write(entry + 4, upper_half)  # of the number of its first unit
    after = all_of(machine)[: len(CONTENT)]
    assert CONTENT[:4096] + filled(8, 2)[4096:] + CONTENT[8192:] == after


# --- the page ---


REPLAY = "**accepted**: replay"


def rows() -> list[tuple[str, str, str]]:
    """Return the cells of each row of the table."""
    table = PAGE.read_text().split("|---|---|---|\n")[1].split("\n\n")[0]
    lines = re.findall(r"(?m)^\| (.+?) \| (.+?) \| (.+?) \|$", table)
    return [(name, kernel, here) for name, kernel, here in lines]


def test_the_page_has_a_row_for_every_case_with_its_outcome() -> None:
    expected = [
        (
            each.name,
            each.kernel,
            REPLAY if each.refused is None else f"`{each.refused.__name__}`",
        )
        for each in TAMPERINGS
    ]
    assert expected == rows()
