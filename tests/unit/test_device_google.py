"""A disk of GCE is found by the device name that it says itself, and by nothing else."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from cloudcrypt.device import locate
from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable
from cloudcrypt.model import Attachment, Blank, GoogleDeviceName
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing.fake_gce.devices import BOOT, GoogleNode, identify_page, page_83
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.node import NodeDevice

SIZE = 8192
ATTACHMENT = Attachment("gcp:p/z/1", "z/vm", SIZE, Blank(), GoogleDeviceName("data-1"))
BOTH = pytest.mark.parametrize("is_nvme", [False, True], ids=["scsi", "nvme"])


class Host:
    """A host with one disk under the name that is looked for, and one under another."""

    def __init__(self, folder: Path, *, is_nvme: bool) -> None:
        self.folder = folder
        self.node = GoogleNode(folder / "node", is_nvme=is_nvme)
        self.root = self.node.root
        self.attach("other", "data-2")

    def attach(self, key: str, device_name: str, size: int = SIZE) -> Path:
        backing = self.folder / key
        backing.write_bytes(bytes(size))
        self.node.attach(key, device_name, backing)
        return self.root / "dev" / self.name(key)

    def name(self, key: str) -> str:
        name = self.node.name(key)
        assert name is not None
        return name

    def say(self, key: str, page: bytes) -> None:
        """Let a disk say something else of itself."""
        place = "identify" if self.node.is_nvme else "device/vpd_pg83"
        self.root.joinpath("sys/block", self.name(key), place).write_bytes(page)

    def set(self, key: str, attribute: str, text: str) -> None:
        self.root.joinpath("sys/block", self.name(key), attribute).write_text(text)


@pytest.fixture
def scsi(tmp_path: Path) -> Host:
    return Host(tmp_path, is_nvme=False)


@pytest.fixture
def nvme(tmp_path: Path) -> Host:
    return Host(tmp_path, is_nvme=True)


@pytest.fixture
def host(tmp_path: Path, *, is_nvme: bool) -> Host:
    return Host(tmp_path, is_nvme=is_nvme)


@BOTH
def test_a_disk_is_found_by_its_device_name(host: Host) -> None:
    path = host.attach("wanted", "data-1")
    found = path.stat()
    device = locate(ATTACHMENT, root=host.root)
    assert (path, SIZE, (found.st_dev, found.st_ino)) == (device.path, device.size, device.identity)


@BOTH
def test_no_link_below_dev_disk_is_believed(host: Host) -> None:
    host.node.leave_stale_link("data-1", host.name("other"))
    with pytest.raises(DeviceUnavailable, match="no disk has device name data-1"):
        locate(ATTACHMENT, root=host.root)


@BOTH
def test_the_boot_disk_is_not_taken_for_a_disk_of_another_name(host: Host) -> None:
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=host.root)
    attachment = attrs.evolve(ATTACHMENT, identity=GoogleDeviceName(BOOT))
    assert locate(attachment, root=host.root).path.name in {"sda", "nvme0n1"}


@BOTH
@pytest.mark.parametrize("name", ["data-1x", "data", "DATA-1", "xdata-1"])
def test_a_name_is_compared_as_a_whole(host: Host, name: str) -> None:
    host.attach("similar", name)
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=host.root)


@BOTH
def test_two_disks_of_the_name_are_refused(host: Host) -> None:
    host.attach("one", "data-1")
    host.attach("two", "data-1")
    with pytest.raises(DeviceMismatch) as caught:
        locate(ATTACHMENT, root=host.root)
    assert f"{host.name('one')} and {host.name('two')}" == caught.value.device


@BOTH
def test_a_disk_that_has_grown_is_found_with_its_size(host: Host) -> None:
    os.truncate(host.attach("wanted", "data-1"), 4 * SIZE)
    host.node.grow("wanted", 4 * SIZE)
    assert locate(ATTACHMENT, root=host.root).size == 4 * SIZE


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


@BOTH
@pytest.mark.parametrize("change", [_link, _fifo, _shrunk, _size_of_another])
def test_a_node_that_is_not_the_one_in_sysfs_is_refused(
    host: Host, change: Callable[[Path], None]
) -> None:
    change(host.attach("wanted", "data-1"))
    with pytest.raises(DeviceMismatch):
        locate(ATTACHMENT, root=host.root)


@BOTH
def test_a_disk_without_a_node_is_unavailable(host: Host) -> None:
    host.attach("wanted", "data-1").unlink()
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=host.root)


@BOTH
def test_a_disk_that_says_what_nobody_can_read_is_not_the_one(host: Host) -> None:
    host.attach("wanted", "data-1")
    host.say("wanted", b"\xff" * 4096)
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=host.root)


@BOTH
def test_a_disk_that_appears_late_is_waited_for(host: Host) -> None:
    clock = FakeClock()

    def appear() -> None:
        if clock.monotonic() > 1:
            host.attach("wanted", "data-1")

    clock.listen(appear)
    device = locate(ATTACHMENT, root=host.root, deadline=Deadline.after(60, clock=clock))
    assert (device.path.name, clock.monotonic() < 10) == (host.name("wanted"), True)


@pytest.mark.parametrize(
    ("attribute", "text"),
    [("vendor", "Msft    "), ("vendor", "Googlee "), ("model", "EphemeralDisk   ")],
)
def test_a_scsi_disk_of_another_vendor_or_model_is_not_the_one(
    scsi: Host, attribute: str, text: str
) -> None:
    scsi.attach("wanted", "data-1")
    scsi.set("wanted", f"device/{attribute}", text)
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=scsi.root)


def test_a_scsi_disk_with_two_names_is_refused(scsi: Host) -> None:
    scsi.attach("wanted", "data-1")
    one, two = page_83("data-1")[4:], page_83("data-9")[4:]
    scsi.say("wanted", b"\x00\x83" + (len(one) + len(two)).to_bytes(2, "big") + one + two)
    with pytest.raises(DeviceMismatch, match="data-1 and data-9"):
        locate(ATTACHMENT, root=scsi.root)


def test_a_local_ssd_with_the_name_is_not_the_one(nvme: Host, tmp_path: Path) -> None:
    backing = tmp_path / "ssd"
    backing.write_bytes(bytes(SIZE))
    for number, model in enumerate(["nvme_card", "nvme_card0", "nvme_card-pd2"], start=1):
        ssd = NodeDevice(
            f"nvme{number}n1",
            (259, 100 + number),
            {"model": f"{model:<40}\n"},
            controller=f"class/nvme/nvme{number}",
            block={"nsid": "1\n", "identify": identify_page("data-1")},
        )
        nvme.node.plug(ssd, backing)
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=nvme.root)


def test_a_namespace_is_asked_over_its_open_node_and_its_folder_in_sysfs(nvme: Host) -> None:
    path = nvme.attach("wanted", "data-1")
    asked = list[tuple[int, str]]()

    def identify(fd: int, namespace: Path) -> bytes:
        asked.append((os.fstat(fd).st_ino, namespace.name))
        return identify_page("data-1" if namespace.name == path.name else "x")

    assert locate(ATTACHMENT, root=nvme.root, identify=identify).path == path
    assert (path.stat().st_ino, path.name) in asked


def test_as_long_as_one_namespace_does_not_answer_none_is_taken(nvme: Host) -> None:
    nvme.attach("wanted", "data-1")

    def identify(fd: int, namespace: Path) -> bytes:
        if namespace.name == nvme.name("other"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return identify_page("data-1")

    with pytest.raises(DeviceUnavailable, match="Operation not permitted"):
        locate(ATTACHMENT, root=nvme.root, identify=identify)


def test_a_namespace_that_vanishes_meanwhile_is_passed_over(nvme: Host) -> None:
    path = nvme.attach("wanted", "data-1")

    def identify(fd: int, namespace: Path) -> bytes:
        if namespace.name == path.name:
            return identify_page("data-1")
        if nvme.node.name("other") is not None:
            nvme.node.unplug(namespace.name)
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    assert locate(ATTACHMENT, root=nvme.root, identify=identify).path == path


def test_a_node_that_vanishes_with_its_disk_is_passed_over(nvme: Host) -> None:
    path = nvme.attach("wanted", "data-1")
    nvme.root.joinpath("dev", nvme.name("other")).unlink()
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=nvme.root)

    def identify(fd: int, namespace: Path) -> bytes:
        nvme.root.joinpath("sys/block", nvme.name("other"), "device").unlink(missing_ok=True)
        return identify_page("data-1" if namespace.name == path.name else "x")

    assert locate(ATTACHMENT, root=nvme.root, identify=identify).path == path


def test_a_namespace_without_a_recorded_page_is_unavailable(nvme: Host) -> None:
    nvme.attach("wanted", "data-1")
    nvme.root.joinpath("sys/block", nvme.name("wanted"), "identify").unlink()
    with pytest.raises(DeviceUnavailable, match="no page was recorded"):
        locate(ATTACHMENT, root=nvme.root)
