"""A script that dies at any step of mounting or growing, and the next run of it.

A step is before and after each write to journal and ledger, each change that the provider, the
mapper or the kernel is asked for, and each program that is run.
"""

import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloudcrypt.facade import Grown
from cloudcrypt.ledger import Filesystem, State
from cloudcrypt.provisioning import VolumeRequest
from cloudcrypt.sizes import MIB
from tests.unit.cuts import Killed, Life
from tests.unit.mounting import GROWN, TEXT, MountVm, Process, mortal, mount_vm

After = Callable[[MountVm], None]
"""What happens between the death of a process and the next one."""

AFTERWARDS: dict[str, After] = {"at once": lambda _: None, "after a reboot": MountVm.reboot}
LARGER = VolumeRequest("data", GROWN)


@contextmanager
def used(folder: Path, filesystem: str) -> Generator[MountVm]:
    """Yield a VM with a volume that holds a file and is at rest."""
    with mount_vm(folder) as vm:
        with vm.mounted(filesystem=filesystem):
            vm.write()
        yield vm


def mount(vm: MountVm, process: Process, filesystem: str) -> None:
    """Mount the volume, and write a file if there is none."""
    with vm.mounted(process=process, filesystem=filesystem):
        if not vm.text():
            vm.write()


@pytest.mark.parametrize(
    ("filesystem", "steps", "afterwards"),
    [("ext4", 62, "at once"), ("ext4-integrity", 66, "after a reboot")],
)
def test_a_run_that_is_cut_anywhere_is_finished_by_the_next_and_makes_one_filesystem(
    tmp_path: Path, filesystem: str, steps: int, afterwards: str
) -> None:
    with mount_vm(tmp_path / "uncut") as vm:
        uncut = Life()
        mount(vm, mortal(vm, uncut.step), filesystem)
        assert vm.is_at_rest()
    assert steps == uncut.steps
    for step in range(steps):
        with mount_vm(tmp_path / f"{step}") as vm:
            with pytest.raises(Killed):
                mount(vm, mortal(vm, Life(step).step), filesystem)
            written = is_written(vm)
            AFTERWARDS[afterwards](vm)
            with vm.mounted(filesystem=filesystem):
                assert TEXT == vm.text() if written else not vm.text()
                vm.write() if not written else None
                record = vm.record()
                assert State.READY is record.state
                assert isinstance(record.payload, Filesystem)
            assert vm.is_at_rest()
            assert 1 == len(list(vm.provider.list()))
            with vm.mounted(filesystem=filesystem):
                assert (TEXT, record.payload) == (vm.text(), vm.record().payload)


def is_written(vm: MountVm) -> bool:
    """Say whether the process that died had written its file."""
    volumes = list(vm.provider.list())
    if not volumes or not vm.payload().exists():
        return False
    try:
        return bool(vm.text())
    except subprocess.CalledProcessError:
        return False


# --- growing ---


@pytest.mark.parametrize("is_mounted", [True, False], ids=["mounted", "closed"])
@pytest.mark.parametrize(
    ("filesystem", "afterwards"), [("ext4", "after a reboot"), ("ext4-integrity", "at once")]
)
def test_growth_that_is_cut_anywhere_is_finished_by_the_next(
    tmp_path: Path, filesystem: str, afterwards: str, *, is_mounted: bool
) -> None:
    def grow(vm: MountVm, process: Process | None = None) -> Grown:
        return vm.grow(process=process, integrity_growth=True)

    with used(tmp_path / "uncut", filesystem) as vm:
        vm.mount_as_another(filesystem, is_mounted=is_mounted)
        uncut = Life()
        expected = grow(vm, mortal(vm, uncut.step))
    for step in range(uncut.steps):
        with used(tmp_path / f"{step}", filesystem) as vm:
            vm.mount_as_another(filesystem, is_mounted=is_mounted)
            with pytest.raises(Killed):
                grow(vm, mortal(vm, Life(step).step))
            AFTERWARDS[afterwards](vm)
            grown = grow(vm)
            assert (expected.capacity, expected.payload) == (grown.capacity, grown.payload)
            with vm.mounted(LARGER, filesystem=filesystem):
                assert TEXT == vm.text()
                size = grow(vm).filesystem
                assert size is not None
                assert 0 <= expected.payload - size < MIB
            assert vm.is_at_rest()
