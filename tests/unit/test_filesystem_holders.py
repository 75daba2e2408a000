"""Who keeps a filesystem busy: named as far as the kernel tells, and never asked in vain."""

import errno
from pathlib import Path

import pytest

from cloudcrypt.errors import MountBusy
from cloudcrypt.filesystem import Mounts, Number
from tests.unit.mount_tables import FakeKernel, add_process

OURS = (254, 7)


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel(lambda _: OURS)


@pytest.fixture
def mounts(kernel: FakeKernel, tmp_path: Path) -> Mounts:
    return Mounts(kernel, tmp_path / "proc")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "a target"
    path.mkdir()
    return path


def is_ours(number: Number) -> bool:
    return number == OURS


def busy_at(mounts: Mounts, kernel: FakeKernel, target: Path) -> tuple[str, ...]:
    kernel.add(target, OURS)
    kernel.refusals["unmount"] = errno.EBUSY
    with pytest.raises(MountBusy) as busy:
        mounts.unmount(target, is_ours, lazy=False)
    return busy.value.holders


def test_holders_are_found_by_every_kind_of_link(
    mounts: Mounts, kernel: FakeKernel, target: Path, tmp_path: Path
) -> None:
    proc = tmp_path / "proc"
    add_process(proc, 10, "shell", cwd=target)
    add_process(proc, 9, "editor", fd_1=Path("/dev/null"), fd_7=target / "a" / "b")
    add_process(proc, 11, "tool", exe=target / "bin" / "tool")
    add_process(proc, 12, "jail", root=target / "jail")
    add_process(proc, 13, "other", cwd=Path("/"), exe=target.with_name(target.name + "x"))
    (proc / "14").mkdir()  # has just ended
    (proc / "self").symlink_to("10")
    expected = ("9 (editor)", "10 (shell)", "11 (tool)", "12 (jail)")
    assert expected == busy_at(mounts, kernel, target)


def test_ten_holders_are_enough(
    mounts: Mounts, kernel: FakeKernel, target: Path, tmp_path: Path
) -> None:
    for pid in range(1, 30):
        add_process(tmp_path / "proc", pid, "many", cwd=target)
    assert 10 == len(busy_at(mounts, kernel, target))


def test_a_hostile_name_of_a_process_stays_printable(
    mounts: Mounts, kernel: FakeKernel, target: Path, tmp_path: Path
) -> None:
    add_process(tmp_path / "proc", 1, "\x1b[31mred", cwd=target)
    (tmp_path / "proc" / "2" / "fd").mkdir(parents=True)
    (tmp_path / "proc" / "2" / "cwd").symlink_to(target)  # no name any more
    assert ("1 (\\x1b[31mred)", "2 (?)") == busy_at(mounts, kernel, target)


def test_no_holder_may_be_seen(mounts: Mounts, kernel: FakeKernel, target: Path) -> None:
    assert () == busy_at(mounts, kernel, target)
