"""What the kernel made durable in an integrity volume, after the power of its machine went."""

import shutil
from collections.abc import Callable
from pathlib import Path

from cloudcrypt.disk import FileDisk
from cloudcrypt.integrity import Geometry, journal
from cloudcrypt.ledger import Holder, SqliteLedger
from cloudcrypt.mapper import UserspaceMapper
from cloudcrypt.model import BlockDevice, Expectation, Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from cloudcrypt_testing.vm import VM, google_disk
from tests.kernel.guest.mapper_bench import VOLUME
from tests.kernel.guest.mapper_power import content, sectors
from tests.unit.nodes import PROFILES, key_service

SYSFS = "tests.kernel.guest.sysfs"
GUEST = "tests.kernel.guest.mapper_power"
SIZE = 64 * MIB


def plugged(machine: VM, path: Path) -> str:
    """Plug in the disk and return its path in the guest."""
    machine.plug(google_disk("data"), path)
    return f"/dev/{machine.python(f'{SYSFS}:wait_for', {'vendor': 'Google'})}"


def lost_in_user_space(path: Path, folder: Path, *, writable: bool) -> list[int]:
    """Return the sectors that user space does not find as they were made durable."""
    folder.mkdir()
    ledger, holder = SqliteLedger(folder / "ledger.sqlite"), Holder("host", "boot")
    try:
        stage = Stage(ledger, key_service(), UserspaceMapper(), holder=holder, profiles=PROFILES)
        trust = Expectation(Mode.INTEGRITY, generation=1, capacity=SIZE)
        mapping = stage.open(BlockDevice(VOLUME, path, SIZE), trust=trust, writable=writable)
        with mapping.open() as payload:
            found = [
                sector
                for sector in sectors()
                if payload.pread(sector * SECTOR_SIZE, SECTOR_SIZE) != content(sector)
            ]
            assert len(payload.readall()) == mapping.size
        stage.close(VOLUME)
    finally:
        ledger.close()
    return found


def is_clean(path: Path) -> bool:
    with FileDisk(path) as disk:
        return journal.read(VOLUME, disk, Geometry.of(SIZE)).is_clean


def test_what_was_durable_is_found_by_user_space_and_by_the_kernel_after_a_power_cut(
    new_vm: Callable[..., VM], image: Callable[..., Path], tmp_path: Path
) -> None:
    path = image(size=SIZE)
    with new_vm(name="cut") as machine:
        machine.python(f"{GUEST}:format_and_write", plugged(machine, path))
        machine.kill()
        assert not is_clean(path)
        before = path.read_bytes()
        assert [] == lost_in_user_space(path, tmp_path / "reading", writable=False)
        assert before == path.read_bytes()  # it replays in memory

        replayed = tmp_path / "replayed"
        shutil.copyfile(path, replayed)
        assert [] == lost_in_user_space(replayed, tmp_path / "writing", writable=True)
        assert is_clean(replayed)

        machine.boot()
        assert [] == machine.python(f"{GUEST}:open_and_read", plugged(machine, path))
        machine.close()
    assert is_clean(path)
    assert [] == lost_in_user_space(path, tmp_path / "after", writable=False)
