"""An NVMe device is found by serial number and model in sysfs, and proven before it is used."""

import itertools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloudcrypt.device import _node, locate
from cloudcrypt.device._node import check_node
from cloudcrypt.device._sysfs import Disk
from cloudcrypt.errors import (
    DeviceMismatch,
    DeviceUnavailable,
    OperationCancelled,
)
from cloudcrypt.model import Attachment, Blank, NvmeSerial
from cloudcrypt.waiting import Cancellation, Deadline, SystemClock

SIZE = 8192
MODEL = "Amazon Elastic Block Store"
ATTACHMENT = Attachment("aws:x/vol-0a", "i-1", SIZE, Blank(), NvmeSerial("vol0a", MODEL))


class Node:
    """A folder that looks like the dev and sys of a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "sys/block").mkdir(parents=True)
        (root / "dev").mkdir()

    def add(self, name: str, serial: str, model: str = MODEL, size: int = SIZE) -> Path:
        device = self.root / "sys/block" / name
        (device / "device").mkdir(parents=True)
        (device / "device/serial").write_text(serial.ljust(20) + "\n")
        (device / "device/model").write_text(model.ljust(40) + "\n")
        (device / "dev").write_text("259:4\n")
        (device / "size").write_text(f"{size // 512}\n")
        path = self.root / "dev" / name
        path.write_bytes(bytes(size))
        return path


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.add("nvme0n1", "vol0root")
    return node


def test_a_device_is_found_by_its_serial_number(node: Node) -> None:
    path = node.add("nvme7n1", "vol0a")
    found = path.stat()
    device = locate(ATTACHMENT, root=node.root)
    assert (path, SIZE, (found.st_dev, found.st_ino)) == (device.path, device.size, device.identity)


def test_a_device_that_has_grown_is_found_with_its_size(node: Node) -> None:
    node.add("nvme7n1", "vol0a", size=4 * SIZE)
    assert locate(ATTACHMENT, root=node.root).size == 4 * SIZE


def test_links_below_dev_disk_are_not_believed(node: Node) -> None:
    other = node.add("nvme1n1", "vol0b")
    links = node.root / "dev/disk/by-id"
    links.mkdir(parents=True)
    (links / "nvme-Amazon_Elastic_Block_Store_vol0a").symlink_to(other)
    with pytest.raises(
        DeviceUnavailable, match="no disk has serial vol0a and model Amazon Elastic Block Store"
    ):
        locate(ATTACHMENT, root=node.root)


@pytest.mark.parametrize("name", ["sda", "nvme1n1p1", "nvme1c0n1", "xnvme1n1"])
def test_only_namespaces_are_looked_at(node: Node, name: str) -> None:
    node.add(name, "vol0a")
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=node.root)


def test_another_model_with_the_same_serial_number_is_not_the_device(node: Node) -> None:
    node.add("nvme1n1", "vol0a", model="QEMU NVMe Ctrl")
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=node.root)


def test_two_devices_with_the_serial_number_are_refused(node: Node) -> None:
    node.add("nvme1n1", "vol0a")
    node.add("nvme2n1", "vol0a")
    with pytest.raises(DeviceMismatch, match="nvme1n1 and nvme2n1"):
        locate(ATTACHMENT, root=node.root)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _shrunk(path: Path) -> None:
    os.truncate(path, SIZE - 512)


def _size_of_another(path: Path) -> None:
    os.truncate(path, 2 * SIZE)


@pytest.mark.parametrize("change", [_link, _fifo, _shrunk, _size_of_another])
def test_a_node_that_is_not_the_one_in_sysfs_is_refused(
    node: Node, change: Callable[[Path], None]
) -> None:
    change(node.add("nvme1n1", "vol0a"))
    with pytest.raises(DeviceMismatch):
        locate(ATTACHMENT, root=node.root)


def test_a_device_without_a_node_is_unavailable(node: Node) -> None:
    node.add("nvme1n1", "vol0a").unlink()
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=node.root)


def test_a_host_without_sysfs_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=tmp_path)


def test_a_controller_that_vanishes_meanwhile_is_passed_over(node: Node) -> None:
    (node.root / "sys/block/nvme3n1").mkdir()
    node.add("nvme4n1", "vol0a")
    assert locate(ATTACHMENT, root=node.root).path.name == "nvme4n1"


def test_on_this_host_a_regular_file_is_no_device(node: Node) -> None:
    path = node.add("nvme1n1", "vol0a")
    (node.root / "host").symlink_to("/")
    for root in (Path("/"), node.root / "host"):
        with pytest.raises(DeviceMismatch, match="a block device"):
            check_node(str(path), path.stat(), Disk(path), root)


def test_a_block_device_of_another_number_is_refused(node: Node) -> None:
    disk = Disk(node.root / "sys/block/nvme0n1")
    block = os.stat_result([stat.S_IFBLK, *[0] * 18])
    with pytest.raises(DeviceMismatch, match="259:4"):
        check_node("/dev/nvme0n1", block, disk, Path("/"))


def test_a_block_device_of_the_number_in_sysfs_is_the_one(node: Node) -> None:
    disk = Disk(node.root / "sys/block/nvme0n1")
    disk.path.joinpath("dev").write_text("0:0\n")
    check_node("/dev/nvme0n1", os.stat_result([stat.S_IFBLK, *[0] * 18]), disk, Path("/"))


class Appearing(SystemClock):
    """A clock on which a device appears while somebody sleeps, and nobody hears of it."""

    def __init__(self, node: Node, after: int) -> None:
        self.node = node
        self.left = after
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float, wake: object = None) -> None:
        del wake
        self.time += seconds
        self.left -= 1
        if self.left == 0:
            self.node.add("nvme1n1", "vol0a")


def test_a_device_that_appears_late_is_waited_for(node: Node) -> None:
    deadline = Deadline.after(10, clock=Appearing(node, 3))
    assert locate(ATTACHMENT, root=node.root, deadline=deadline).path.name == "nvme1n1"


def test_a_device_that_does_not_appear_is_unavailable_at_the_deadline(node: Node) -> None:
    clock = Appearing(node, -1)
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=node.root, deadline=Deadline.after(10, clock=clock))
    assert clock.time == pytest.approx(10)


def test_a_wait_for_a_device_can_be_cancelled(node: Node) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    deadline = Deadline.after(10, cancellation=cancellation)
    with pytest.raises(OperationCancelled):
        locate(ATTACHMENT, root=node.root, deadline=deadline)


def test_a_wait_ends_with_a_last_look_at_the_deadline(node: Node) -> None:
    deadline = Deadline.after(10, clock=Appearing(node, 4))  # after 1, 2, 4 and the rest
    assert locate(ATTACHMENT, root=node.root, deadline=deadline).path.name == "nvme1n1"
    assert deadline.has_passed


@pytest.mark.parametrize("size", ["0\n", "", None])
def test_a_disk_without_a_size_is_not_ready_yet(node: Node, size: str | None) -> None:
    node.add("nvme1n1", "vol0a")
    stated = node.root / "sys/block/nvme1n1/size"
    if size is None:
        stated.unlink()
    else:
        stated.write_text(size)
    with pytest.raises(DeviceUnavailable if size != "" else DeviceMismatch):
        locate(ATTACHMENT, root=node.root)


def test_a_disk_that_is_resized_while_it_is_looked_at_has_its_new_size(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = node.add("nvme1n1", "vol0a")
    attribute = Disk.attribute

    def resizing(disk: Disk, name: str) -> str | None:
        if name == "size" and path.stat().st_size == SIZE:
            os.truncate(path, 2 * SIZE)
            (disk.path / "size").write_text(f"{2 * SIZE // 512}\n")
        return attribute(disk, name)

    monkeypatch.setattr(Disk, "attribute", resizing)
    assert locate(ATTACHMENT, root=node.root).size == 2 * SIZE


def _becomes(node: Node, monkeypatch: pytest.MonkeyPatch, *, sequence: int | None) -> None:
    """Let sysfs say number 7 of a disk, and what is open be the disk ``sequence``."""
    node.add("nvme1n1", "vol0a")
    (node.root / "sys/block/nvme1n1/diskseq").write_text("7\n")
    _open_is(monkeypatch, itertools.repeat(sequence))


def _open_is(monkeypatch: pytest.MonkeyPatch, sequences: Iterator[int | None]) -> None:
    def next_sequence(_: int) -> int | None:
        return next(sequences)

    monkeypatch.setattr(_node, "disk_sequence", next_sequence)


@pytest.mark.parametrize("sequence", [7, None])
def test_what_sysfs_says_is_believed_if_it_is_of_the_open_disk(
    node: Node, monkeypatch: pytest.MonkeyPatch, sequence: int | None
) -> None:
    _becomes(node, monkeypatch, sequence=sequence)
    assert locate(ATTACHMENT, root=node.root).path.name == "nvme1n1"


def test_a_disk_that_takes_the_place_of_another_meanwhile_is_looked_at_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    _becomes(node, monkeypatch, sequence=6)
    with pytest.raises(DeviceUnavailable, match="took its place"):
        locate(ATTACHMENT, root=node.root)
    _open_is(monkeypatch, iter([6, 7]))
    clock = Appearing(node, -1)
    deadline = Deadline.after(10, clock=clock)
    assert locate(ATTACHMENT, root=node.root, deadline=deadline).path.name == "nvme1n1"
    assert clock.time == 1
