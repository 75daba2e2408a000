"""A device that is known by its name alone is a candidate, and only a sealed header proves it."""

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from cloudcrypt.device import grown, locate
from cloudcrypt.errors import (
    DeviceMismatch,
    DeviceUnavailable,
    HeaderRefused,
    UnsupportedOperation,
)
from cloudcrypt.model import (
    Attachment,
    Blank,
    BlockDevice,
    DeviceName,
    KeyPolicy,
    Mode,
    RestoredFrom,
)
from cloudcrypt.stage import Adopt
from cloudcrypt_testing.fake_aws.devices import EBSNode
from tests.unit.nodes import CONTENT, OTHER, VOLUME, Node

SIZE = 8192
ATTACHMENT = Attachment("aws:x/vol-0a", "i-1", SIZE, Blank(), DeviceName("/dev/sdf"))


class Host:
    """An instance with Xen disks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = EBSNode(folder / "host", is_nvme=False)
        self.root = self.node.root

    def attach(self, volume_id: str, asked: str, size: int = SIZE) -> Path:
        backing = self.folder / volume_id
        backing.write_bytes(bytes(size))
        self.node.attach(volume_id, asked, backing)
        return self.root / "dev" / self.node.devices[self.node.name(volume_id) or ""].name


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.attach("vol-root", "/dev/xvda")
    return host


def _named(name: str) -> Attachment:
    return attrs.evolve(ATTACHMENT, identity=DeviceName(name))


def test_it_is_refused_unless_the_caller_insists(host: Host) -> None:
    host.attach("vol-0a", "/dev/sdf")
    with pytest.raises(UnsupportedOperation, match="by its name alone"):
        locate(ATTACHMENT, root=host.root)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [("/dev/sdf", "xvdf"), ("/dev/xvdf", "xvdf"), ("/dev/xvdba", "xvdba"), ("/dev/sdz", "xvdz")],
)
def test_it_is_found_as_the_kernel_calls_it_and_said_to_be_unproven(
    host: Host, asked: str, shown: str
) -> None:
    path = host.attach("vol-0a", asked)
    found = path.stat()
    assert path.name == shown
    device = locate(_named(asked), root=host.root, unproven=True)
    assert device == BlockDevice(
        "aws:x/vol-0a", path, SIZE, (found.st_dev, found.st_ino), proven=False
    )


@pytest.mark.parametrize(
    "asked", ["/dev/sdf1", "/dev/xvdf1", "/dev/nvme1n1", "sdf", "/dev/../dev/sdf", "/dev/sdf\n", ""]
)
def test_a_name_that_is_of_no_whole_disk_of_xen_is_refused(host: Host, asked: str) -> None:
    with pytest.raises(UnsupportedOperation):
        locate(_named(asked), root=host.root, unproven=True)


def test_a_disk_of_that_name_on_another_bus_is_not_the_one(host: Host) -> None:
    path = host.attach("vol-0a", "/dev/sdf")
    (host.root / "sys/block" / path.name / "dev").write_text("8:80\n")
    with pytest.raises(DeviceUnavailable, match="no disk has name xvdf"):
        locate(ATTACHMENT, root=host.root, unproven=True)


def test_a_disk_that_is_too_small_is_not_even_a_candidate(host: Host) -> None:
    host.attach("vol-0a", "/dev/sdf", SIZE - 512)
    with pytest.raises(DeviceMismatch):
        locate(ATTACHMENT, root=host.root, unproven=True)


def test_it_is_awaited_to_grow_like_any_other_and_stays_unproven(host: Host) -> None:
    host.attach("vol-0a", "/dev/sdf", 2 * SIZE)
    with pytest.raises(UnsupportedOperation):
        grown(ATTACHMENT, 2 * SIZE, root=host.root)
    device = grown(ATTACHMENT, 2 * SIZE, root=host.root, unproven=True)
    assert (device.size, device.proven) == (2 * SIZE, False)


# --- what the stage does with it ---


def _unproven(device: BlockDevice) -> BlockDevice:
    return attrs.evolve(device, proven=False)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_blank_one_is_not_formatted_unless_somebody_vouches_for_it(node: Node) -> None:
    with node:
        device = _unproven(node.blank())
        with pytest.raises(UnsupportedOperation, match="formatting"):
            node.stage.format(device)
        assert not any(device.path.read_bytes())
        node.stage.format(attrs.evolve(device, proven=True))


def test_its_sealed_header_proves_it(node: Node) -> None:
    with node:
        device = node.formatted()
        assert node.content(_unproven(device)) == CONTENT


def test_a_header_of_another_volume_does_not(node: Node) -> None:
    with node:
        node.formatted()
        other = node.formatted(OTHER)
        with pytest.raises(HeaderRefused):
            node.stage.open(_unproven(attrs.evolve(other, volume_id=VOLUME)))


def test_a_header_without_a_seal_proves_nothing(node: Node) -> None:
    with node:
        device = _unproven(node.formatted(policy=KeyPolicy.CONSTELLATION))
        for trust in (None, Adopt(Mode.CRYPT)):
            with pytest.raises(UnsupportedOperation, match="no seal"):
                node.stage.open(device, policy=KeyPolicy.CONSTELLATION, trust=trust)


WRITES: dict[str, Callable[[Node, BlockDevice, bytes], object]] = {
    "restore": lambda node, device, backup: node.stage.restore_header(device, backup),
    "overwrite": lambda node, device, backup: node.stage.restore_header(
        device, backup, overwrite=True
    ),
    "rebind": lambda node, device, _: node.stage.rebind(
        attrs.evolve(device, volume_id=OTHER), RestoredFrom(VOLUME)
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_to_it_that_its_header_did_not_prove(node: Node, write: str) -> None:
    with node:
        device = node.formatted()
        backup = node.stage.backup_header(device)
        before = device.path.read_bytes()
        with pytest.raises(UnsupportedOperation):
            WRITES[write](node, _unproven(device), backup)
        assert device.path.read_bytes() == before
