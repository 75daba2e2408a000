"""The hosts of the fakes look as udev rules and kernels of the clouds expect them to look."""

from pathlib import Path

import pytest

from cloudcrypt_testing.fake_azure.devices import OS_CONTROLLER, AzureNode
from cloudcrypt_testing.fake_gce.devices import BOOT, GoogleNode, page_83

SIZE = 8192


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(bytes(SIZE))
    return path


def _links(root: Path) -> dict[str, str]:
    folder = root / "dev/disk"
    links = (each for each in folder.rglob("*") if each.is_symlink())
    return {str(each.relative_to(folder)): each.readlink().name for each in links}


def _tree(root: Path) -> list[Path]:
    return sorted(each for each in root.rglob("*") if not each.is_dir())


class TestGoogle:
    @pytest.mark.parametrize("is_nvme", [False, True])
    def test_attaching_and_detaching_twice_is_doing_so_once(
        self, tmp_path: Path, disk: Path, *, is_nvme: bool
    ) -> None:
        node = GoogleNode(tmp_path / "node", is_nvme=is_nvme)
        empty = _tree(node.root)
        node.attach("1", "data-1", disk)
        node.attach("1", "data-1", disk)
        name = "nvme0n2" if is_nvme else "sdb"
        assert name == node.name("1")
        assert (node.root / "dev" / name).samefile(disk)
        node.grow("1", 2 * SIZE)
        assert (node.root / "sys/block" / name / "size").read_text() == "32\n"
        node.detach("1")
        node.detach("1")
        node.grow("1", SIZE)
        assert (node.name("1"), _tree(node.root)) == (None, empty)

    def test_a_scsi_disk_has_the_links_and_the_page_of_scsi_id(
        self, tmp_path: Path, disk: Path
    ) -> None:
        node = GoogleNode(tmp_path / "node", is_nvme=False)
        node.attach("1", "data-1", disk)
        assert _links(node.root) == {
            f"by-id/google-{BOOT}": "sda",
            f"by-id/scsi-0Google_PersistentDisk_{BOOT}": "sda",
            "by-id/google-data-1": "sdb",
            "by-id/scsi-0Google_PersistentDisk_data-1": "sdb",
        }
        page = (node.root / "sys/block/sdb/device/vpd_pg83").read_bytes()
        assert page == page_83("data-1")
        # Header, then code set ASCII, type vendor-specific, and the length of what follows.
        assert page[:8] + page[8:14] == b"\x00\x83\x00\x1c\x02\x00\x00\x06data-1"

    def test_all_disks_are_namespaces_of_one_controller(self, tmp_path: Path, disk: Path) -> None:
        node = GoogleNode(tmp_path / "node", is_nvme=True)
        node.attach("1", "data-1", disk)
        node.attach("2", "data-2", disk)
        sys = node.root / "sys/block"
        names = ["nvme0n1", "nvme0n2", "nvme0n3"]
        assert sorted(each.name for each in sys.iterdir()) == names
        assert len({sys.joinpath(each, "device").resolve() for each in names}) == 1
        assert [sys.joinpath(each, "nsid").read_text() for each in names] == ["1\n", "2\n", "3\n"]

    def test_a_name_that_became_free_is_used_again(self, tmp_path: Path, disk: Path) -> None:
        node = GoogleNode(tmp_path / "node", is_nvme=True)
        for key in "123":
            node.attach(key, f"data-{key}", disk)
        node.detach("2")
        node.attach("4", "data-4", disk)
        assert node.name("4") == "nvme0n3"

    def test_more_disks_than_letters_have_names_and_numbers_of_their_own(
        self, tmp_path: Path, disk: Path
    ) -> None:
        node = GoogleNode(tmp_path / "node", is_nvme=False)
        for key in range(30):
            node.attach(str(key), f"data-{key}", disk)
        numbers = {each.number for each in node.devices.values()}
        assert (node.name("15"), node.name("24"), node.name("25")) == ("sdq", "sdz", "sdaa")
        assert node.devices["sdq"].number == (65, 0)
        assert len(numbers) == 31


class TestAzure:
    @pytest.mark.parametrize("is_nvme", [False, True])
    def test_attaching_and_detaching_twice_is_doing_so_once(
        self, tmp_path: Path, disk: Path, *, is_nvme: bool
    ) -> None:
        node = AzureNode(tmp_path / "node", is_nvme=is_nvme)
        empty = _tree(node.root)
        node.attach("1", 5, "data-1", disk)
        node.attach("1", 5, "data-1", disk)
        name = "nvme0n2" if is_nvme else "sdc"
        assert name == node.name("1")
        assert _links(node.root)["azure/data/by-lun/5"] == name
        node.grow("1", 2 * SIZE)
        assert (node.root / "sys/block" / name / "size").read_text() == "32\n"
        node.detach("1")
        node.detach("1")
        node.grow("1", SIZE)
        assert (node.name("1"), _tree(node.root)) == (None, empty)

    def test_disks_of_the_system_are_on_a_controller_of_their_own(
        self, tmp_path: Path, disk: Path
    ) -> None:
        node = AzureNode(tmp_path / "node", is_nvme=False)
        node.attach("1", 0, "data-1", disk)
        addresses = {
            each.name: each.joinpath("device").resolve()
            for each in (node.root / "sys/block").iterdir()
        }
        assert {name: each.name for name, each in addresses.items()} == {
            "sda": "0:0:0:0",
            "sdb": "0:0:0:1",
            "sdc": "1:0:0:0",
        }
        assert addresses["sda"].parents[2].name == OS_CONTROLLER
        assert (addresses["sdc"].parents[2] / "device_id").read_text().startswith("{f8b3781b-")

    def test_an_older_host_says_nothing_in_the_vendor_data(
        self, tmp_path: Path, disk: Path
    ) -> None:
        for has_names, expected in ((True, b"type=data,lun=0,name=data-1"), (False, b"")):
            node = AzureNode(tmp_path / str(has_names), is_nvme=True, has_names=has_names)
            node.attach("1", 0, "data-1", disk)
            page = (node.root / "sys/block/nvme0n2/identify").read_bytes()
            assert (len(page), page[384:].rstrip(b"\0")) == (4096, expected)
