"""After a resize the device is proven again, rescanned where its bus needs that, and waited for."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from cloudcrypt.device import grown, locate
from cloudcrypt.errors import (
    DeviceMismatch,
    DeviceNotGrown,
    DeviceUnavailable,
    OperationCancelled,
)
from cloudcrypt.model import (
    Attachment,
    AzureLun,
    Blank,
    DeviceIdentity,
    FilePath,
    GoogleDeviceName,
    NvmeSerial,
)
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt_testing.fake_aws.devices import MODEL, EBSNode
from cloudcrypt_testing.fake_azure.devices import AzureNode
from cloudcrypt_testing.fake_gce.devices import GoogleNode
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.node import FakeNode

SIZE = 8192
GROWN = 4 * SIZE
SCSI, NVME = "device/rescan", "device/rescan_controller"

Shown = tuple[FakeNode, str, DeviceIdentity]
"""A host, what it calls the disk, and what the provider says of it."""


class Host:
    """A virtual machine with one volume, whose size the kernel learns when somebody says so."""

    def __init__(self, node: FakeNode, name: str, attachment: Attachment, backing: Path) -> None:
        self.node = node
        self.name = name
        self.attachment = attachment
        self.backing = backing
        self.root = node.root

    def resize(self, size: int = GROWN) -> None:
        os.truncate(self.backing, size)
        self.node.resize(self.name, size)

    def trigger(self, name: str) -> Path:
        path = self.root / "sys/block" / self.name / name
        path.write_text("-")
        return path


def _ebs(folder: Path, backing: Path) -> Shown:
    node = EBSNode(folder, is_nvme=True)
    node.attach("vol-0a", "/dev/sdf", backing)
    return node, node.name("vol-0a") or "", NvmeSerial("vol0a", MODEL)


def _google(folder: Path, backing: Path, *, is_nvme: bool) -> Shown:
    node = GoogleNode(folder, is_nvme=is_nvme)
    node.attach("data-1", "data-1", backing)
    return node, node.name("data-1") or "", GoogleDeviceName("data-1")


def _azure(folder: Path, backing: Path, *, is_nvme: bool) -> Shown:
    node = AzureNode(folder, is_nvme=is_nvme)
    node.attach("data-1", 1, "data-1", backing)
    return node, node.name("data-1") or "", AzureLun(1, "data-1")


HOSTS: dict[str, tuple[Callable[[Path, Path], Shown], str]] = {
    "ebs": (_ebs, NVME),
    "google-scsi": (lambda folder, backing: _google(folder, backing, is_nvme=False), SCSI),
    "google-nvme": (lambda folder, backing: _google(folder, backing, is_nvme=True), NVME),
    "azure-scsi": (lambda folder, backing: _azure(folder, backing, is_nvme=False), SCSI),
    "azure-nvme": (lambda folder, backing: _azure(folder, backing, is_nvme=True), NVME),
}


@pytest.fixture(params=HOSTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def host(tmp_path: Path, kind: str) -> Host:
    backing = tmp_path / "backing"
    backing.write_bytes(bytes(SIZE))
    node, name, identity = HOSTS[kind][0](tmp_path / "host", backing)
    attachment = Attachment("volume", "vm", SIZE, Blank(), identity)
    return Host(node, name, attachment, backing)


def test_a_device_that_has_the_size_is_returned_without_a_rescan(host: Host, kind: str) -> None:
    host.resize()
    trigger = host.trigger(HOSTS[kind][1])
    first = grown(host.attachment, GROWN, root=host.root)
    assert first == grown(host.attachment, GROWN, root=host.root)
    assert first == locate(host.attachment, root=host.root)
    assert (first.size, trigger.read_text()) == (GROWN, "-")


def test_a_larger_one_will_do(host: Host) -> None:
    host.resize(2 * GROWN)
    assert grown(host.attachment, GROWN, root=host.root).size == 2 * GROWN


def test_a_smaller_one_is_rescanned_and_then_refused(host: Host, kind: str) -> None:
    trigger = host.trigger(HOSTS[kind][1])
    with pytest.raises(DeviceNotGrown, match="it was rescanned") as caught:
        grown(host.attachment, GROWN, root=host.root)
    assert (caught.value.size, caught.value.expected) == (SIZE, GROWN)
    assert host.name in caught.value.device
    assert trigger.read_text() == "1"
    assert caught.value.retryable
    assert "rescan" in caught.value.remedy


def test_what_the_rescan_shows_is_returned(
    host: Host, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SCSI disk has its new size as soon as the rescan returns."""
    host.trigger(HOSTS[kind][1])
    write = os.write

    def writing(fd: int, data: bytes) -> int:
        if stat.S_ISREG(os.fstat(fd).st_mode) and data == b"1":
            host.resize()
        return write(fd, data)

    monkeypatch.setattr(os, "write", writing)
    assert grown(host.attachment, GROWN, root=host.root).size == GROWN


def test_an_attachment_of_after_the_resize_says_what_is_awaited(host: Host) -> None:
    attachment = attrs.evolve(host.attachment, size=GROWN)
    with pytest.raises(DeviceMismatch):
        locate(attachment, root=host.root)
    with pytest.raises(DeviceNotGrown) as caught:
        grown(attachment, SIZE, root=host.root)
    assert caught.value.expected == GROWN
    host.resize()
    assert grown(attachment, SIZE, root=host.root).size == GROWN


def test_a_host_that_has_nothing_to_rescan_is_told_so(host: Host) -> None:
    with pytest.raises(DeviceNotGrown, match="nothing to rescan"):
        grown(host.attachment, GROWN, root=host.root)


def test_a_rescan_that_is_refused_is_told(host: Host, kind: str) -> None:
    host.trigger(HOSTS[kind][1]).unlink()
    (host.root / "sys/block" / host.name / HOSTS[kind][1]).mkdir()
    with pytest.raises(DeviceNotGrown, match="could not be rescanned: Is a directory"):
        grown(host.attachment, GROWN, root=host.root)


def test_a_size_that_is_shown_late_is_waited_for(host: Host) -> None:
    clock = FakeClock()

    def resized() -> None:
        if clock.monotonic() > 20:
            host.resize()

    clock.listen(resized)
    deadline = Deadline.after(60, clock=clock)
    assert grown(host.attachment, GROWN, root=host.root, deadline=deadline).size == GROWN
    assert 20 < clock.monotonic() < 30


def test_a_size_that_is_not_shown_is_an_error_at_the_deadline(host: Host) -> None:
    clock = FakeClock()
    with pytest.raises(DeviceNotGrown):
        grown(host.attachment, GROWN, root=host.root, deadline=Deadline.after(60, clock=clock))
    assert clock.monotonic() == pytest.approx(60)


def test_waiting_for_a_size_can_be_cancelled(host: Host) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    deadline = Deadline.after(60, cancellation=cancellation)
    with pytest.raises(OperationCancelled):
        grown(host.attachment, GROWN, root=host.root, deadline=deadline)


def test_another_device_of_the_right_size_is_not_taken(host: Host) -> None:
    host.resize()
    host.node.unplug(host.name)
    with pytest.raises(DeviceUnavailable):
        grown(host.attachment, GROWN, root=host.root)


def test_a_file_grows_without_a_rescan(tmp_path: Path) -> None:
    path = tmp_path / "sda"  # the name of a disk, perhaps, but not a disk
    path.write_bytes(bytes(SIZE))
    found = path.stat()
    identity = FilePath(str(path), found.st_dev, found.st_ino)
    attachment = Attachment("local:0/vol-1", "node", SIZE, Blank(), identity)
    with pytest.raises(DeviceNotGrown, match="nothing to rescan"):
        grown(attachment, GROWN)
    os.truncate(path, GROWN)
    assert grown(attachment, GROWN).size == GROWN
