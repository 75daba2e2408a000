"""Machines with a volume that has integrity, and what is done to them."""

from pathlib import Path

from cloudcrypt.disk import read
from cloudcrypt.integrity import Geometry, journal
from cloudcrypt.integrity.geometry import TAG_SIZE
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import GIB, MIB
from cloudcrypt_testing.hosts import MemoryHost
from tests.unit.machines import Machine, MachineStage, disk_of, fill, format_it, new_machine
from tests.unit.nodes import SIZE, VOLUME

LARGE = 1 * GIB + 256 * MIB
"""More than the tags of which are written between two flushes."""


def machine_with_integrity(folder: Path) -> Machine:
    """Return a machine with a closed volume that holds `CONTENT`."""
    machine = new_machine(folder)
    fill(machine, mode=Mode.INTEGRITY)
    return machine


def format_with_integrity(stage: MachineStage, host: MemoryHost) -> object:
    return format_it(stage, host, mode=Mode.INTEGRITY)


def grow(stage: MachineStage, host: MemoryHost) -> object:
    return stage.grow(host.device(VOLUME), integrity_growth=True)


def all_of(machine: Machine, volume_id: str = VOLUME, *, boot: str = "boot-2") -> bytes:
    """Open a volume, read all of it, and close it."""
    with machine.booted(boot=boot) as stage:
        with stage.open(machine.host.device(volume_id)).open() as payload:
            found = payload.readall()
        stage.close(volume_id)
    return found


def leave_dirty(machine: Machine, content: bytes) -> None:
    """Write and flush, and let the process die: what was flushed is in the journal alone."""
    before, geometry = disk_of(machine).copy(), Geometry.of(SIZE)
    with machine.booted(boot="boot-1") as stage:
        payload = stage.open(machine.host.device(VOLUME)).open()
        payload.pwrite(0, content)
        payload.flush()
    disk, count = disk_of(machine), len(content) // SECTOR_SIZE
    assert count * SECTOR_SIZE == len(content)
    for offset, length in (
        (geometry.data_offset(0), count * SECTOR_SIZE),
        (geometry.tag_offset(0), count * TAG_SIZE),
    ):
        disk.write(offset, read(before, offset, length))
    assert count == len(journal.read("vol", disk, geometry).entries)
