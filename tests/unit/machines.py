"""A machine that loses power at a chosen moment, and what is found after the reboot."""

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import read
from cloudcrypt.errors import HeaderRefused
from cloudcrypt.keys import KeyService, bound_key_id, get_data_key
from cloudcrypt.ledger import Holder, Ledger, Record, SqliteLedger, State
from cloudcrypt.luks2 import derive, layout, parse, read_header, verify
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping
from cloudcrypt.model import ClonedFrom, Expectation, KeyPolicy, Mode
from cloudcrypt.secret import Secret
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from cloudcrypt_testing.disks import MemoryDisk, PowerCut
from cloudcrypt_testing.hosts import MemoryHost
from cloudcrypt_testing.power import Cut, CutLedger, DiskCut, LedgerCut, Power
from tests.unit.nodes import CONTENT, OTHER, PROFILES, SIZE, VOLUME, key_service

MachineStage = Stage[UserspaceMapping]
KEYS: KeyService = key_service()
GROWN = SIZE + MIB
"""What the device has become when the volume is to grow."""


@attrs.frozen
class Machine:
    """Disks in memory, and a ledger in a folder."""

    host: MemoryHost
    folder: Path

    @property
    def ledger_path(self) -> Path:
        return self.folder / "ledger.sqlite"

    def copy(self, folder: Path) -> "Machine":
        """Return an independent machine in the same situation."""
        folder.mkdir(parents=True)
        twin = Machine(self.host.copy(), folder)
        shutil.copyfile(self.ledger_path, twin.ledger_path)
        return twin

    @contextmanager
    def booted(self, power: Power | None = None, boot: str = "boot-1") -> Generator[MachineStage]:
        """Yield a stage of a process that dies when the block ends, or when the power goes."""
        supply = power or Power()
        ledger = SqliteLedger(self.ledger_path)
        running = MemoryHost(supply.wrap)
        running.disks = self.host.disks
        with closing(ledger):
            yield self.stage(CutLedger(ledger, supply), running, boot)

    def stage(self, ledger: Ledger, host: MemoryHost, boot: str) -> MachineStage:
        return Stage(
            ledger,
            KEYS,
            UserspaceMapper(),
            holder=Holder("node-1", boot),
            profiles=PROFILES,
            open_disk=host.open_disk,
        )

    def record(self, volume_id: str = VOLUME) -> Record | None:
        with closing(SqliteLedger(self.ledger_path)) as ledger:
            return ledger.get(volume_id)

    def content(
        self,
        volume_id: str = VOLUME,
        *,
        policy: KeyPolicy = KeyPolicy.BOUND,
        boot: str = "boot-2",
    ) -> bytes:
        """Open a volume after a reboot, return what it holds, and close it."""
        with self.booted(boot=boot) as stage:
            with stage.open(self.host.device(volume_id), policy=policy).open() as payload:
                found = payload.pread(0, len(CONTENT))
            stage.close(volume_id)
        return found


Verb = Callable[[MachineStage, MemoryHost], object]


def cuts_of(machine: Machine, verb: Verb, folder: Path) -> list[Cut]:
    """Run ``verb`` once on a copy, and return every moment at which the power could have gone."""
    power, copy = Power(), machine.copy(folder)
    with copy.booted(power) as stage:
        verb(stage, copy.host)
    cuts: list[Cut] = [
        LedgerCut(write, is_durable)
        for write in range(power.ledger_writes)
        for is_durable in (False, True)
    ]
    for write, length in enumerate(power.disk_writes):
        tears = sorted({0, 1, 512, 4096, length // 2, length - 1, length})
        cuts += [DiskCut(write, tear) for tear in tears]
        cuts += [DiskCut(write, tear, lose_unsynced=True) for tear in (0, length)]
    return cuts


def run_into(cut: Cut, machine: Machine, verb: Verb, boot: str = "boot-1") -> None:
    """Run ``verb`` and let the power go at ``cut``, which it must reach."""
    with machine.booted(Power(cut), boot) as stage, pytest.raises(PowerCut):
        verb(stage, machine.host)


def every_cut(
    machine: Machine, verb: Verb, folder: Path, expected: int
) -> Iterator[tuple[Cut, Machine]]:
    """Yield every cut of ``verb`` with what it leaves; there must be ``expected`` of them."""
    cuts = cuts_of(machine, verb, folder / "uncut")
    assert expected == len(cuts) == len({str(cut) for cut in cuts})
    for number, cut in enumerate(cuts):
        left = machine.copy(folder / f"cut-{number}")
        run_into(cut, left, verb)
        yield cut, left


# --- what is done to a machine ---


def new_machine(folder: Path) -> Machine:
    """Return a machine with a blank device and an empty ledger."""
    machine = Machine(MemoryHost(), folder)
    SqliteLedger(machine.ledger_path).close()
    machine.host.add(VOLUME, SIZE)
    return machine


def disk_of(machine: Machine, volume_id: str = VOLUME) -> MemoryDisk:
    return machine.host.disks[machine.host.device(volume_id).path]


def enlarge(machine: Machine, size: int = GROWN) -> None:
    """Give the device of the volume another size; what fits stays."""
    before, after = disk_of(machine), MemoryDisk(size)
    for begin, end in before.extents(0, min(before.size, size)):
        after.write(begin, read(before, begin, end - begin))
    machine.host.add(VOLUME, after)


def format_it(
    stage: MachineStage,
    host: MemoryHost,
    *,
    policy: KeyPolicy = KeyPolicy.BOUND,
    mode: Mode = Mode.CRYPT,
) -> object:
    device = host.device(VOLUME)
    stage.register_new(VOLUME, capacity=device.size, policy=policy, mode=mode)
    return stage.format(device)


def fill(machine: Machine, *, policy: KeyPolicy = KeyPolicy.BOUND, mode: Mode = Mode.CRYPT) -> None:
    """Format the volume and write to it."""
    with machine.booted() as stage:
        format_it(stage, machine.host, policy=policy, mode=mode)
        with stage.open(machine.host.device(VOLUME), policy=policy).open() as payload:
            payload.write(CONTENT)
        stage.close(VOLUME)


def again(machine: Machine, verb: Verb, boot: str = "boot-1") -> None:
    with machine.booted(boot=boot) as stage:
        verb(stage, machine.host)


def ready(machine: Machine, volume_id: str = VOLUME) -> Record:
    """Return the record of a volume that is ready and held by nobody any more."""
    record = machine.record(volume_id)
    assert record is not None
    assert record.state is State.READY
    return record


def generations(machine: Machine) -> list[int]:
    """Return under which generations the header, both of its copies, verifies."""
    raw = read_header(disk_of(machine))
    found: list[int] = []
    for generation in (1, 2, 3):
        seal = derive(get_data_key(KEYS, bound_key_id(VOLUME)), VOLUME, generation).seal
        try:
            verify(parse(raw), PROFILES[KeyPolicy.BOUND], Expectation(Mode.CRYPT, generation), seal)
        except HeaderRefused:
            continue
        found.append(generation)
    return found


def volume_key(machine: Machine) -> Secret:
    """Check the volume without changing anything, and return its key."""
    before = machine.record(), machine.host.copy()
    with (
        machine.booted(boot="boot-2") as stage,
        stage.check(machine.host.device(VOLUME)) as volume,
    ):
        key = volume.volume_key.copy()
    assert machine.record() == before[0]
    assert header_bytes(machine.host) == header_bytes(before[1])
    return key


def header_bytes(host: MemoryHost) -> bytes:
    return read(host.disks[host.device(VOLUME).path], 0, layout.READ_SIZE)


def rotate(stage: MachineStage, host: MemoryHost) -> object:
    return stage.rotate(host.device(VOLUME), generation=2)


def rebind(stage: MachineStage, host: MemoryHost) -> object:
    return stage.rebind(host.device(OTHER), ClonedFrom(VOLUME))


def backed_up(machine: Machine, *, policy: KeyPolicy, damaged: bool) -> Verb:
    """Take a backup, give the volume another header than that, and return what restores it."""
    fill(machine, policy=policy)
    device = machine.host.device(VOLUME)
    disk = disk_of(machine)
    with machine.booted() as stage:
        backup = stage.backup_header(device, policy=policy)
        disk.write(0, b"\xa5" * layout.READ_SIZE)
        if not damaged:  # a header that is whole, and not the one that was backed up
            stage.restore_header(device, backup, policy=policy, overwrite=True)

    def restore(stage: MachineStage, host: MemoryHost) -> object:
        return stage.restore_header(host.device(VOLUME), backup, policy=policy, overwrite=True)

    return restore
