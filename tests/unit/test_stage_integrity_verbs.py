"""What the verbs of the stage do to a volume with integrity, and what they leave alone."""

from contextlib import closing
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import Disk, read
from cloudcrypt.errors import (
    IdentityRefused,
    SectorRefused,
    StateForbids,
    SuperblockRefused,
)
from cloudcrypt.integrity import Geometry, journal
from cloudcrypt.integrity.geometry import SECTORS_PER_RUN, TAG_SIZE
from cloudcrypt.integrity.initialise import SYNC_RUNS
from cloudcrypt.ledger import SqliteLedger, State
from cloudcrypt.luks2 import layout
from cloudcrypt.model import ClonedFrom, Expectation, KeyPolicy, Mode, RestoredFrom
from cloudcrypt.stage import Adopt
from cloudcrypt_testing.disks import Operation, PowerCut, RecordingDisk
from cloudcrypt_testing.hosts import MemoryHost
from cloudcrypt_testing.power import DiskCut, LedgerCut, Power
from tests.unit.machines import (
    GROWN,
    Machine,
    MachineStage,
    again,
    disk_of,
    enlarge,
    header_bytes,
    new_machine,
    ready,
    run_into,
)
from tests.unit.nodes import CONTENT, OTHER, SIZE, VOLUME, Node
from tests.unit.protected import filled
from tests.unit.protected_machines import (
    LARGE,
    all_of,
    format_with_integrity,
    grow,
    leave_dirty,
    machine_with_integrity,
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_with_integrity(tmp_path / "machine")


# --- formatting ---


class Watch(Power):
    """Power that stays; it remembers what is done to the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.disks: list[RecordingDisk] = []

    def wrap(self, disk: Disk) -> Disk:
        self.disks.append(RecordingDisk(disk))
        return super().wrap(self.disks[-1])

    def writes(self) -> list[Operation]:
        return [each for disk in self.disks for each in disk.operations if each.kind == "write"]


def test_a_format_that_was_cut_writes_no_tag_twice_that_the_ledger_knows_to_be_durable(
    tmp_path: Path,
) -> None:
    machine = new_machine(tmp_path / "machine")
    machine.host.add(VOLUME, LARGE)
    first_sync = 4  # after: registered, held, formatting, initialising
    run_into(LedgerCut(first_sync, is_durable=True), machine, format_with_integrity)
    record, geometry = machine.record(), Geometry.of(LARGE)
    assert record is not None
    assert (State.INITIALISING, SYNC_RUNS * SECTORS_PER_RUN) == (record.state, record.initialised)
    header, watch = header_bytes(machine.host), Watch()
    with machine.booted(watch, boot="boot-2") as stage:
        format_with_integrity(stage, machine.host)
    starts = range(SYNC_RUNS * SECTORS_PER_RUN, geometry.sectors, SECTORS_PER_RUN)
    assert len(starts) == 14
    expected = [
        Operation("write", geometry.tag_offset(sector), size * TAG_SIZE)
        for sector in starts
        for size in [min(SECTORS_PER_RUN, geometry.sectors - sector)]
    ]
    assert expected == watch.writes()[: len(expected)]
    assert len(expected) + geometry.journal_sections + 1 == len(watch.writes())
    assert header == header_bytes(machine.host)
    with machine.booted(boot="boot-2") as stage:
        payload = stage.open(machine.host.device(VOLUME)).open()
        for sector in (0, SYNC_RUNS * SECTORS_PER_RUN - 1, geometry.sectors - 1):
            assert len(payload.pread(sector * 4096, 4096)) == 4096


def test_progress_of_a_format_never_goes_back_and_ends_at_the_payload(node: Node) -> None:
    told: list[tuple[int, int]] = []
    device = node.blank(mode=Mode.INTEGRITY)
    node.stage.format(device, progress=lambda done, total: told.append((done, total)))
    payload = Geometry.of(SIZE).payload_size
    assert [(payload, payload)] == told


@pytest.mark.parametrize("policy", KeyPolicy)
def test_under_either_policy_a_volume_with_integrity_keeps_its_content(
    node: Node, policy: KeyPolicy
) -> None:
    device = node.formatted(mode=Mode.INTEGRITY, policy=policy)
    assert CONTENT == node.content(device, policy=policy)
    assert Geometry.of(SIZE).sectors == node.record().initialised


# --- opening ---


def test_opening_for_reading_replays_the_journal_and_writes_nothing(machine: Machine) -> None:
    newer = filled(8, 4)
    leave_dirty(machine, newer)
    before, power = disk_of(machine).copy(), Power()
    with machine.booted(power, boot="boot-2") as stage:
        mapping = stage.open(machine.host.device(VOLUME), writable=False)
        with mapping.open() as payload:
            assert newer + CONTENT[len(newer) :] == payload.pread(0, len(CONTENT))
        stage.close(VOLUME)
    assert [] == power.disk_writes
    assert read(before, 0, SIZE) == read(disk_of(machine), 0, SIZE)
    assert newer == all_of(machine, boot="boot-3")[: len(newer)]
    assert journal.read("vol", disk_of(machine), Geometry.of(SIZE)).is_clean


def test_checking_writes_nothing_whatever_the_journal_holds(machine: Machine) -> None:
    leave_dirty(machine, filled(8, 4))
    record, power = machine.record(), Power()
    with machine.booted(power, boot="boot-2") as stage:
        stage.check(machine.host.device(VOLUME)).volume_key.wipe()
        with stage.examine(machine.host.device(VOLUME)) as looked_at:
            assert Geometry.of(SIZE).payload_size == looked_at.engine().size
    assert record == machine.record()
    assert ([], 0) == (power.disk_writes, power.ledger_writes)


def test_a_volume_that_is_refused_is_not_held_and_its_device_not_locked(machine: Machine) -> None:
    disk_of(machine).write(layout.DATA_OFFSET, bytes(4096))
    with machine.booted(boot="boot-2") as stage:
        for _ in range(2):
            with pytest.raises(SuperblockRefused):
                stage.open(machine.host.device(VOLUME))
    assert ready(machine).holder is None


def test_a_volume_nobody_knew_is_forgotten_again_if_its_superblock_is_refused(
    machine: Machine,
) -> None:
    superblock = read(disk_of(machine), layout.DATA_OFFSET, 4096)
    disk_of(machine).write(layout.DATA_OFFSET, bytes(4096))
    device = machine.host.device(VOLUME)
    with closing(SqliteLedger(machine.ledger_path)) as ledger:
        ledger.forget(VOLUME)
    with machine.booted(boot="boot-2") as stage:
        for trust in (Adopt(Mode.INTEGRITY), Expectation(Mode.INTEGRITY)):
            with pytest.raises(SuperblockRefused):
                stage.open(device, trust=trust)
            assert machine.record() is None
        disk_of(machine).write(layout.DATA_OFFSET, superblock)
        stage.open(device, trust=Adopt(Mode.INTEGRITY))
        stage.close(VOLUME)
    assert CONTENT == all_of(machine)[: len(CONTENT)]


# --- changes of the header leave the data alone ---


def test_a_rotation_keeps_the_data_and_what_the_journal_holds(machine: Machine) -> None:
    newer = filled(8, 4)
    leave_dirty(machine, newer)
    before = read(disk_of(machine), layout.DATA_OFFSET, SIZE - layout.DATA_OFFSET)
    with machine.booted(boot="boot-2") as stage:
        assert stage.rotate(machine.host.device(VOLUME)).generation == 2
    assert before == read(disk_of(machine), layout.DATA_OFFSET, SIZE - layout.DATA_OFFSET)
    assert newer + CONTENT[len(newer) :] == all_of(machine)[: len(CONTENT)]


def test_a_header_backup_restores_a_volume_with_its_data(machine: Machine) -> None:
    device = machine.host.device(VOLUME)
    newer = filled(8, 4)
    with machine.booted() as stage:
        backup = stage.backup_header(device)
    leave_dirty(machine, newer)
    before = read(disk_of(machine), layout.DATA_OFFSET, SIZE - layout.DATA_OFFSET)
    disk_of(machine).write(0, bytes(layout.READ_SIZE))
    with machine.booted(boot="boot-2") as stage:
        stage.restore_header(device, backup)
    assert before == read(disk_of(machine), layout.DATA_OFFSET, SIZE - layout.DATA_OFFSET)
    assert newer + CONTENT[len(newer) :] == all_of(machine)[: len(CONTENT)]


@pytest.mark.parametrize("state", [State.INITIALISING, State.GROWING])
def test_a_volume_in_such_a_state_is_not_rotated(machine: Machine, state: State) -> None:
    with closing(SqliteLedger(machine.ledger_path)) as ledger:
        ledger.replace(ready(machine), attrs.evolve(ready(machine), state=state))
    with machine.booted() as stage, pytest.raises(StateForbids):
        stage.rotate(machine.host.device(VOLUME))


def test_a_copy_is_rebound_with_its_data_and_each_can_be_written(machine: Machine) -> None:
    machine.host.add(OTHER, disk_of(machine).copy())
    with machine.booted() as stage:
        stage.rebind(machine.host.device(OTHER), ClonedFrom(VOLUME))
        with stage.open(machine.host.device(OTHER)).open() as payload:
            payload.pwrite(0, filled(5))
        stage.close(OTHER)
    assert filled(5) == all_of(machine, OTHER)[:4096]
    assert CONTENT == all_of(machine, boot="boot-3")[: len(CONTENT)]
    assert ready(machine).uuid != ready(machine, OTHER).uuid


@pytest.mark.parametrize("taken", ["before", "after"])
def test_a_copy_of_a_volume_that_has_grown_is_as_large_as_its_superblock_says(
    machine: Machine, taken: str
) -> None:
    small = disk_of(machine).copy()
    enlarge(machine)
    again(machine, grow)
    machine.host.add(OTHER, small if taken == "before" else disk_of(machine).copy())
    with machine.booted() as stage:
        record = stage.rebind(machine.host.device(OTHER), RestoredFrom(VOLUME, 1))
    assert (SIZE if taken == "before" else GROWN) == record.capacity
    found = all_of(machine, OTHER)
    assert (Geometry.of(record.capacity, 1).payload_size, CONTENT) == (
        len(found),
        found[: len(CONTENT)],
    )


def test_a_copy_on_a_larger_device_counts_as_far_as_its_origin(
    machine: Machine, tmp_path: Path
) -> None:
    copy = machine.copy(tmp_path / "copy")
    enlarge(copy)
    machine.host.add(OTHER, disk_of(copy))
    with machine.booted() as stage:
        record = stage.rebind(machine.host.device(OTHER), ClonedFrom(VOLUME))
    assert SIZE == record.capacity
    assert CONTENT == all_of(machine, OTHER)[: len(CONTENT)]


def test_a_sector_of_a_clone_verifies_in_its_origin_as_both_have_one_volume_key(
    machine: Machine,
) -> None:
    # The price of not rewriting the data: between a volume and its copies sectors can be replayed.
    machine.host.add(OTHER, disk_of(machine).copy())
    with machine.booted() as stage:
        stage.rebind(machine.host.device(OTHER), ClonedFrom(VOLUME))
        with stage.open(machine.host.device(OTHER)).open() as payload:
            payload.pwrite(0, filled(5))
        stage.close(OTHER)
    geometry = Geometry.of(SIZE)
    for offset, length in ((geometry.data_offset(0), 4096), (geometry.tag_offset(0), 32)):
        disk_of(machine).write(offset, read(disk_of(machine, OTHER), offset, length))
    assert filled(5) == all_of(machine)[:4096]


def test_a_sector_of_another_volume_does_not_verify(machine: Machine) -> None:
    machine.host.add(OTHER, SIZE)
    with machine.booted() as stage:
        stage.register_new(OTHER, capacity=SIZE, mode=Mode.INTEGRITY)
        stage.format(machine.host.device(OTHER))
    geometry = Geometry.of(SIZE)
    for offset, length in ((geometry.data_offset(1), 4096), (geometry.tag_offset(1), 32)):
        disk_of(machine).write(offset, read(disk_of(machine, OTHER), offset, length))
    with pytest.raises(SectorRefused) as refusal:
        all_of(machine)
    assert refusal.value.sector == 1


def test_a_whole_disk_of_an_older_generation_is_refused_by_its_header(machine: Machine) -> None:
    older = disk_of(machine).copy()
    with machine.booted() as stage:
        stage.rotate(machine.host.device(VOLUME))
    machine.host.add(VOLUME, older)
    with pytest.raises(IdentityRefused):
        all_of(machine)


def test_a_power_cut_within_a_write_of_the_payload_leaves_old_or_new_sectors(
    machine: Machine,
) -> None:
    newer = filled(8, len(CONTENT) // 4096)

    def write(stage: MachineStage, host: MemoryHost) -> None:
        payload = stage.open(host.device(VOLUME)).open()
        payload.pwrite(0, newer)
        payload.flush()
        stage.close(VOLUME)

    power, copy = Power(), machine.copy(machine.folder / "uncut")
    with copy.booted(power, boot="boot-2") as stage:
        write(stage, copy.host)
    outcomes: set[bool] = set()
    for number in range(len(power.disk_writes)):
        left = machine.copy(machine.folder / f"cut-{number}")
        with left.booted(Power(DiskCut(number, 512)), "boot-2") as stage, pytest.raises(PowerCut):
            write(stage, left.host)
        found = all_of(left, boot="boot-3")[: len(newer)]
        assert found in (CONTENT[: len(newer)], newer)  # one batch: all of it, or nothing
        outcomes.add(found == newer)
    assert {True, False} == outcomes
    assert len(power.disk_writes) == 4  # journal, data, tags, and the ring is cleared
