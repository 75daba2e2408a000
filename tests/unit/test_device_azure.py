"""A managed disk of Azure is found by its LUN, on the right controller, and by its name if said."""

import os
from pathlib import Path

import attrs
import pytest

from cloudcrypt.device import locate
from cloudcrypt.device._azure import _scsi_lun
from cloudcrypt.device._sysfs import Disk
from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable
from cloudcrypt.model import Attachment, AzureLun, Blank
from cloudcrypt_testing.fake_azure.devices import (
    DATA_CONTROLLERS,
    LOCAL_MODEL,
    AzureNode,
    identify_page,
)

SIZE = 8192
ATTACHMENT = Attachment("azure:s/rg/1", "rg/vm", SIZE, Blank(), AzureLun(1, "data-1"))
EACH = pytest.mark.parametrize("kind", ["scsi", "nvme", "old nvme"])
NVME = pytest.mark.parametrize("kind", ["nvme"])


class Host:
    """A virtual machine with a data disk at LUN 0, where the disk of the system has one, too."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.node = AzureNode(
            folder / "node", is_nvme=kind != "scsi", has_names=not kind.startswith("old")
        )
        self.root = self.node.root
        self.attach("other", 0, "data-0")

    def attach(
        self,
        key: str,
        lun: int,
        name: str,
        *,
        size: int = SIZE,
        controller: str = DATA_CONTROLLERS[0],
    ) -> Path:
        backing = self.folder / key
        backing.write_bytes(bytes(size))
        self.node.attach(key, lun, name, backing, controller=controller)
        return self.root / "dev" / self.name(key)

    def name(self, key: str) -> str:
        name = self.node.name(key)
        assert name is not None
        return name

    def sys(self, key: str) -> Path:
        return self.root / "sys/block" / self.name(key)


@pytest.fixture
def host(tmp_path: Path, kind: str) -> Host:
    return Host(tmp_path, kind)


@pytest.fixture
def scsi(tmp_path: Path) -> Host:
    return Host(tmp_path, "scsi")


@pytest.fixture
def nvme(tmp_path: Path) -> Host:
    return Host(tmp_path, "nvme")


def _at(lun: int, name: str = "data-1") -> Attachment:
    return attrs.evolve(ATTACHMENT, identity=AzureLun(lun, name))


@EACH
@pytest.mark.parametrize("lun", [1, 5, 63])
def test_a_disk_is_found_by_its_lun(host: Host, lun: int) -> None:
    path = host.attach("wanted", lun, "data-1")
    found = path.stat()
    device = locate(_at(lun), root=host.root)
    assert (path, SIZE, (found.st_dev, found.st_ino)) == (device.path, device.size, device.identity)


@EACH
@pytest.mark.parametrize("lun", [0, 1])
def test_the_disks_of_the_system_are_never_taken_for_data_disks(host: Host, lun: int) -> None:
    host.node.detach("other")
    with pytest.raises(DeviceUnavailable, match=f"no disk has LUN {lun} of the data disks"):
        locate(_at(lun), root=host.root)


@EACH
def test_no_link_below_dev_disk_is_believed(host: Host) -> None:
    host.node.leave_stale_link(1, host.name("other"))
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=host.root)


@EACH
def test_a_smaller_disk_is_refused(host: Host) -> None:
    host.attach("wanted", 1, "data-1", size=SIZE - 512)
    with pytest.raises(DeviceMismatch, match="8192 bytes or more"):
        locate(ATTACHMENT, root=host.root)


@EACH
def test_a_disk_whose_size_is_not_the_one_in_sysfs_is_refused(host: Host) -> None:
    os.truncate(host.attach("wanted", 1, "data-1"), 2 * SIZE)
    with pytest.raises(DeviceMismatch, match="says sysfs"):
        locate(ATTACHMENT, root=host.root)
    host.node.grow("wanted", 2 * SIZE)
    assert locate(ATTACHMENT, root=host.root).size == 2 * SIZE


@EACH
def test_a_disk_without_a_node_is_unavailable(host: Host) -> None:
    host.attach("wanted", 1, "data-1").unlink()
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=host.root)


@pytest.mark.parametrize("controller", DATA_CONTROLLERS)
def test_each_controller_of_data_disks_is_one(scsi: Host, controller: str) -> None:
    path = scsi.attach("wanted", 1, "data-1", controller=controller)
    assert locate(ATTACHMENT, root=scsi.root).path == path


def test_one_lun_on_two_controllers_is_refused(scsi: Host) -> None:
    scsi.attach("one", 1, "data-1")
    scsi.attach("two", 1, "data-1", controller=DATA_CONTROLLERS[1])
    with pytest.raises(DeviceMismatch) as caught:
        locate(ATTACHMENT, root=scsi.root)
    assert f"{scsi.name('one')} and {scsi.name('two')}" == caught.value.device


@pytest.mark.parametrize(
    "text",
    [
        "{00000000-0001-8899-0000-000000000000}",
        "f8b3781b-1e82-4818-a1c3-63d806ec15bb",
        "{f8b3781e-1e82-4818-a1c3-63d806ec15bb}",
        "",
        None,
    ],
)
def test_a_disk_of_any_other_controller_is_not_the_one(scsi: Host, text: str | None) -> None:
    scsi.attach("wanted", 1, "data-1")
    stated = scsi.sys("wanted").joinpath("device").resolve().parents[2] / "device_id"
    if text is None:
        stated.unlink()
    else:
        stated.write_text(text)
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=scsi.root)


@pytest.mark.parametrize(("attribute", "text"), [("vendor", "QEMU"), ("model", "Virtual DVD-ROM")])
def test_a_scsi_disk_of_another_vendor_or_model_is_not_the_one(
    scsi: Host, attribute: str, text: str
) -> None:
    scsi.attach("wanted", 1, "data-1")
    scsi.sys("wanted").joinpath("device", attribute).write_text(text)
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=scsi.root)


@pytest.mark.parametrize("target", ["nowhere", "device", "../../block"])
def test_a_scsi_disk_with_no_address_in_sysfs_is_not_the_one(scsi: Host, target: str) -> None:
    scsi.attach("wanted", 1, "data-1")
    attributes = {"vendor": "Msft", "model": "Virtual Disk"}
    scsi.node.describe("block", attributes)
    link = scsi.sys("wanted") / "device"
    link.unlink()
    link.symlink_to(target)
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=scsi.root)


def test_a_link_in_sysfs_that_leads_to_itself_is_no_address(tmp_path: Path) -> None:
    (tmp_path / "device").symlink_to("device")
    assert _scsi_lun(Disk(tmp_path)) is None


def test_the_name_of_the_kernel_says_nothing_of_the_lun(nvme: Host) -> None:
    path = nvme.attach("wanted", 17, "data-1")
    assert path.name == "nvme0n3"
    assert locate(_at(17), root=nvme.root).path == path
    with pytest.raises(DeviceUnavailable):
        locate(_at(1), root=nvme.root)


def test_another_disk_at_the_lun_is_refused_by_its_name(nvme: Host) -> None:
    nvme.attach("newer", 1, "data-9")
    with pytest.raises(DeviceMismatch) as caught:
        locate(ATTACHMENT, root=nvme.root)
    assert (caught.value.found, caught.value.expected) == ("called data-9", "data-1")


def test_case_does_not_tell_names_apart(nvme: Host) -> None:
    path = nvme.attach("wanted", 1, "Data-1")
    assert locate(ATTACHMENT, root=nvme.root).path == path


@pytest.mark.parametrize("text", ["type=local,index=1", "type=os", "lun=1,name=data-1", "type=x"])
def test_a_namespace_that_is_no_data_disk_by_its_own_word_is_not_the_one(
    nvme: Host, text: str
) -> None:
    nvme.attach("wanted", 1, "data-1")
    nvme.sys("wanted").joinpath("identify").write_bytes(identify_page(text))
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=nvme.root)


def test_what_a_namespace_says_counts_more_than_its_number(nvme: Host) -> None:
    path = nvme.attach("wanted", 40, "data-1")
    said = nvme.sys("wanted") / "identify"
    said.write_bytes(identify_page("type=data,lun=1,name=data-1"))
    assert locate(ATTACHMENT, root=nvme.root).path == path
    with pytest.raises(DeviceUnavailable):
        locate(_at(40), root=nvme.root)


@pytest.mark.parametrize("text", ["type=data", "type=data,name=data-1", "type=data,lun=1"])
def test_what_a_namespace_does_not_say_is_taken_from_its_number(nvme: Host, text: str) -> None:
    path = nvme.attach("wanted", 1, "data-1")
    nvme.sys("wanted").joinpath("identify").write_bytes(identify_page(text))
    assert locate(ATTACHMENT, root=nvme.root).path == path


@pytest.mark.parametrize("page", [b"", identify_page("type"), identify_page("x" * 3712)])
def test_a_namespace_at_the_lun_that_nobody_can_read_is_refused(nvme: Host, page: bytes) -> None:
    path = nvme.attach("wanted", 1, "data-1")
    nvme.sys("wanted").joinpath("identify").write_bytes(page)
    with pytest.raises(DeviceMismatch, match="unreadable"):
        locate(ATTACHMENT, root=nvme.root)
    assert path != locate(_at(0, "data-0"), root=nvme.root).path


def test_the_namespace_of_the_system_is_never_the_one_whatever_it_says(nvme: Host) -> None:
    said = nvme.root / "sys/block/nvme0n1/identify"
    said.write_bytes(identify_page("type=data,lun=1,name=data-1"))
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=nvme.root)


def test_two_namespaces_of_the_lun_are_refused(nvme: Host) -> None:
    nvme.attach("one", 1, "data-1")
    nvme.attach("two", 7, "data-1")
    nvme.sys("two").joinpath("identify").write_bytes(identify_page("type=data,lun=1,name=data-1"))
    with pytest.raises(DeviceMismatch, match="nvme0n3 and nvme0n4"):
        locate(ATTACHMENT, root=nvme.root)


def test_a_disk_inside_the_host_is_never_the_one(nvme: Host) -> None:
    local = nvme.root / "sys/block/nvme1n1"
    assert LOCAL_MODEL == local.joinpath("device/model").read_text().strip()
    local.joinpath("nsid").write_text("3\n")
    local.joinpath("identify").write_bytes(identify_page("type=data,lun=1,name=data-1"))
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=nvme.root)


@pytest.mark.parametrize("nsid", ["", "-3", "3x", "\u0663", "99999999999", None])
def test_a_namespace_without_a_number_is_not_the_one(nvme: Host, nsid: str | None) -> None:
    nvme.attach("wanted", 1, "data-1")
    stated = nvme.sys("wanted") / "nsid"
    stated.unlink() if nsid is None else stated.write_text(nsid)
    with pytest.raises(DeviceUnavailable):
        locate(ATTACHMENT, root=nvme.root)
