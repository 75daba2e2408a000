"""The device of a volume is opened once, proven, and never taken for another one."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import (
    DeviceBusy,
    DeviceIOError,
    DeviceMismatch,
    DeviceUnavailable,
    HostUnready,
)
from cloudcrypt.filesystem import Filesystems, HostKernel, MappingNodes, Node
from cloudcrypt.waiting import Deadline
from tests.unit.clocks import FakeClock
from tests.unit.payloads import FileNodes

UUID = "0f1e2d3c-4b5a-4697-8877-665544332211"
OURS = "CRYPT-LUKS2-0f1e2d3c4b5a46978877665544332211-vol-1"
NOW = Deadline.after(0)


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """Return what the kernel says of three devices."""
    for number, text in {"254:1": OURS, "254:2": OURS.replace("LUKS2", "LUKS1")}.items():
        folder = tmp_path / "sys" / "dev" / "block" / number / "dm"
        folder.mkdir(parents=True)
        (folder / "uuid").write_text(f"{text}\n")
    (tmp_path / "sys" / "dev" / "block" / "8:0").mkdir()
    return tmp_path / "sys"


@pytest.mark.parametrize(
    ("number", "uuid", "expected"),
    [
        ((254, 1), UUID, True),
        ((254, 1), UUID.replace("0", "1"), False),
        ((254, 1), UUID[:-1], False),
        ((254, 1), "", False),
        ((254, 2), UUID, False),
        ((254, 3), UUID, False),
        ((8, 0), UUID, False),
    ],
)
def test_a_mapping_is_known_by_its_uuid(
    sysfs: Path, number: tuple[int, int], uuid: str, *, expected: bool
) -> None:
    assert expected is MappingNodes(sysfs).is_of(number, uuid)


@pytest.mark.parametrize("path", ["file", "/dev/null"])
def test_what_is_no_block_device_is_no_mapping(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DeviceMismatch, match="no block device"),
        MappingNodes().opened(tmp_path / path, UUID, writable=False),
    ):
        pass


def test_what_is_not_there_cannot_be_opened(tmp_path: Path) -> None:
    with (
        pytest.raises(DeviceUnavailable, match="No such file"),
        MappingNodes().opened(tmp_path / "gone", UUID, writable=True),
    ):
        pass


def test_a_descriptor_stays_with_what_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "payload"
    path.write_bytes(b"one")
    with FileNodes().opened(path, UUID, writable=False) as node:
        path.rename(tmp_path / "moved")
        path.write_bytes(b"two")
        assert b"one" == Path(node.pinned).read_bytes()


def test_what_cannot_be_read_is_not_without_a_filesystem(tmp_path: Path) -> None:
    path = tmp_path / "payload"
    path.write_bytes(bytes(4096))
    with FileNodes().opened(path, UUID, writable=False) as node:
        assert node.superblock() is None
        with pytest.raises(DeviceIOError, match="ends here"):
            attrs.evolve(node, size=8192).superblock()
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(DeviceIOError, match="Is a directory"):
        Node(path, folder, (254, 0), 4096).superblock()
    os.close(folder)


def test_what_is_used_is_not_free(tmp_path: Path) -> None:
    path = tmp_path / "payload"
    path.touch()
    with FileNodes().opened(path, UUID, writable=False) as node:
        node.require_free()  # nobody uses a file as a device
    one, other = socket.socketpair()  # open(2) refuses sockets
    with one, other, pytest.raises(DeviceUnavailable):
        Node(path, one.fileno(), (1, 1), 0).require_free()


# --- one change of a volume at a time ---


def test_two_processes_do_not_change_one_volume(tmp_path: Path) -> None:
    one, two = Filesystems(runtime=tmp_path), Filesystems(runtime=tmp_path)
    with one.locked("vol-1", NOW), two.locked("vol-2", NOW) as other:
        assert other >= 0
        with pytest.raises(DeviceBusy, match="vol-1"), two.locked("vol-1", NOW):
            pass
    with two.locked("vol-1", NOW):
        pass


def test_who_waits_gets_the_lock_when_it_is_given_back(tmp_path: Path) -> None:
    holder = Filesystems(runtime=tmp_path).locked("vol-1", NOW)
    holder.__enter__()
    clock = FakeClock(while_sleeping=lambda: holder.__exit__(None, None, None))
    filesystems = Filesystems(runtime=tmp_path, clock=clock)
    with filesystems.locked("vol-1", filesystems.until(None)):
        assert 1 == len(clock.pauses)


def test_a_lock_that_cannot_be_had_is_the_hosts_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(HostUnready, match="a lock file in"),
        Filesystems(runtime=tmp_path / "file" / "run").locked("vol-1", NOW),
    ):
        pass


# --- the kernel of this host, as far as nobody is disturbed by asking ---


def test_the_table_of_mounts_has_a_root() -> None:
    assert " / " in HostKernel().table().decode("utf-8", "replace")


def test_sizes_and_devices_of_folders_are_those_of_the_system(tmp_path: Path) -> None:
    found, number = os.statvfs(tmp_path), tmp_path.stat().st_dev
    assert found.f_blocks * found.f_frsize == HostKernel().size(tmp_path)
    assert (os.major(number), os.minor(number)) == HostKernel().device(tmp_path)
    HostKernel().sync(tmp_path)


@pytest.mark.parametrize("verb", ["mount", "unmount", "sync"])
def test_what_the_kernel_refuses_is_an_error_with_its_number(tmp_path: Path, verb: str) -> None:
    kernel, gone = HostKernel(), tmp_path / "gone"
    ask: dict[str, Callable[[], None]] = {
        "mount": lambda: kernel.mount(gone, gone, "ext4", 0, ""),
        "unmount": lambda: kernel.unmount(gone, 0),
        "sync": lambda: kernel.sync(gone),
    }
    with pytest.raises(OSError, match=r"No such file|not permitted") as refusal:
        ask[verb]()
    assert refusal.value.errno in {errno.ENOENT, errno.EPERM}
