"""The ways into and out of a virtual machine: ports that lead to the host, disks of fake clouds."""

import socket
import threading
from pathlib import Path

import attrs
import pytest

from cloudcrypt_testing.fake_aws.devices import EBSNode
from cloudcrypt_testing.fake_azure.devices import OS_CONTROLLER, AzureNode
from cloudcrypt_testing.fake_gce.devices import GoogleNode
from cloudcrypt_testing.vm import (
    Presentation,
    azure_disk,
    azure_nvme_disk,
    ebs_volume,
    google_disk,
)
from cloudcrypt_testing.vm.following import Following, presentation_of
from cloudcrypt_testing.vm.forward import serve
from cloudcrypt_testing.world.node import NodeDevice

HOST = "127.0.0.2"


def test_a_port_leads_to_the_same_port_of_the_host() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=serve, args=(port, HOST), daemon=True).start()
        near = connected(port)
        far, _ = server.accept()
        with near, far:
            near.sendall(b"question")
            near.shutdown(socket.SHUT_WR)
            assert far.makefile("rb").read() == b"question"
            far.sendall(b"answer")
            far.shutdown(socket.SHUT_WR)
            assert near.makefile("rb").read() == b"answer"
    with connected(port) as near:
        assert near.recv(1) == b""


def connected(port: int) -> socket.socket:
    """Connect as soon as there is a server."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            continue


class Machine:
    """What a virtual machine has, without the machine."""

    def __init__(self) -> None:
        self.is_running = True
        self.disks: dict[Presentation, int] = {}

    def plug(self, presentation: Presentation, path: Path) -> "Plugged":
        self.disks[presentation] = path.stat().st_size
        return Plugged(self, presentation)

    def kill(self) -> None:
        self.is_running = False
        self.disks.clear()


@attrs.frozen
class Plugged:
    """A disk of a `Machine`."""

    machine: Machine
    presentation: Presentation

    def resize(self, size: int) -> None:
        self.machine.disks[self.presentation] = size

    def unplug(self) -> None:
        del self.machine.disks[self.presentation]


def test_disks_come_and_go_with_and_without_power(tmp_path: Path, backing: Path) -> None:
    node, machine = EBSNode(tmp_path / "node", is_nvme=True), Machine()
    following = Following(machine)
    node.attach("vol-before", "/dev/sde", backing)
    node.watch(following)
    node.attach("vol-1", "/dev/sdf", backing)
    node.grow("vol-1", 8192)
    assert machine.disks == {ebs_volume("vol-1"): 8192}
    machine.kill()
    node.attach("vol-2", "/dev/sdg", backing)
    node.attach("vol-3", "/dev/sdh", backing)
    node.grow("vol-2", 8192)
    node.detach("vol-1")
    assert machine.disks == {}
    machine.is_running = True
    following.restore()
    assert machine.disks == dict.fromkeys([ebs_volume("vol-2"), ebs_volume("vol-3")], 4096)
    for volume in ("vol-2", "vol-3", "vol-before"):
        node.grow(volume, 16384)
        node.detach(volume)
    assert machine.disks == {}


class Seen:
    """A watcher that remembers what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Presentation | int | None]] = []

    def plugged(self, device: NodeDevice, path: Path) -> None:
        assert path.exists()
        self.events.append((device.name, presentation_of(device)))

    def resized(self, name: str, size: int) -> None:
        self.events.append((name, size))

    def unplugged(self, name: str) -> None:
        self.events.append((name, None))


@pytest.fixture
def backing(tmp_path: Path) -> Path:
    path = tmp_path / "backing"
    path.write_bytes(bytes(4096))
    return path


def test_a_disk_of_ebs_is_followed(tmp_path: Path, backing: Path) -> None:
    node, seen = EBSNode(tmp_path / "node", is_nvme=True), Seen()
    node.watch(seen)
    node.attach("vol-1", "/dev/sdf", backing)
    node.grow("vol-1", 8192)
    node.detach("vol-1")
    assert seen.events == [
        ("nvme0n1", ebs_volume("vol-1")),
        ("nvme0n1", 8192),
        ("nvme0n1", None),
    ]


def test_a_persistent_disk_is_followed(tmp_path: Path, backing: Path) -> None:
    node, seen = GoogleNode(tmp_path / "node", is_nvme=False), Seen()
    node.watch(seen)
    node.attach("1", "data", backing)
    assert seen.events == [("sdb", google_disk("data"))]


@pytest.mark.parametrize("is_nvme", [True, False])
def test_a_managed_disk_is_followed(tmp_path: Path, backing: Path, *, is_nvme: bool) -> None:
    node, seen = AzureNode(tmp_path / "node", is_nvme=is_nvme), Seen()
    node.watch(seen)
    node.attach("1", 7, "data", backing)
    ((_, found),) = seen.events
    assert found == (azure_nvme_disk(7) if is_nvme else azure_disk(7))


def test_a_disk_on_the_controller_of_the_system_is_told_apart(
    tmp_path: Path, backing: Path
) -> None:
    node, seen = AzureNode(tmp_path / "node", is_nvme=False), Seen()
    node.watch(seen)
    node.attach("1", 7, "data", backing, controller=OS_CONTROLLER)
    ((_, found),) = seen.events
    assert found == azure_disk(7, controller="azure-os")


def test_what_no_virtual_machine_shows_is_refused(tmp_path: Path, backing: Path) -> None:
    node = EBSNode(tmp_path / "node", is_nvme=False)
    node.watch(Seen())
    with pytest.raises(ValueError, match="xvdf"):
        node.attach("vol-1", "/dev/sdf", backing)
