"""A volume on a node by the command line, and by scripts, on a real kernel."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudcrypt.model import Attachment, Blank, NvmeSerial
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.vm import VM, PluggedDisk, ebs_volume

GUEST = "tests.kernel.guest.node"
SIZES = {
    "ext4": (48 * MIB, 80 * MIB),
    "ext4-integrity": (48 * MIB, 80 * MIB),
    "xfs": (336 * MIB, 464 * MIB),
}
NAME = "vol-0123456789abcdef0"
VOLUME = f"aws:eu-central-1/{NAME}"
IDENTITY = NvmeSerial("vol0123456789abcdef0", "Amazon Elastic Block Store")


@attrs.frozen
class NodeShell:
    """A user at a node, with an attached volume and its document in a file."""

    vm: VM
    folder: str

    @property
    def target(self) -> str:
        return f"{self.folder}/mnt"

    @property
    def file(self) -> str:
        return f"{self.target}/file"

    @property
    def document(self) -> str:
        return f"{self.folder}/data.json"

    def attach(self, image: Path, size: int) -> PluggedDisk:
        """Plug the disk in, and write what the control plane says of it."""
        disk = self.vm.plug(ebs_volume(NAME), image)
        attachment = Attachment(VOLUME, "node", size, Blank(), IDENTITY)
        self.vm.write_bytes(self.document, attachment.to_json().encode())
        return disk

    def run(self, verb: str, *words: object) -> dict[str, Any]:
        """Run a command of the node."""
        options = ["--ledger", f"{self.folder}/ledger", "--json"]
        if verb not in ("umount", "close", "status"):
            options += ["--master-secret", f"{self.folder}/secret.json"]
        words = ("volume", verb, *options, *words)
        found: dict[str, Any] = self.vm.python(f"{GUEST}:command", *map(str, words))
        return found

    def ask(self, verb: str, *words: object) -> dict[str, Any]:
        """Return what a command says that must succeed."""
        found = self.run(verb, *words)
        assert 0 == found["code"], found
        document: dict[str, Any] = json.loads(found["out"])
        return document

    def refused(self, verb: str, *words: object) -> tuple[int, str]:
        """Return exit code and type of the error of a command that must fail."""
        found = self.run(verb, *words)
        return found["code"], json.loads(found["err"])["error"]["type"]

    def mapped(self) -> bool:
        """Say whether the kernel has the volume mapped."""
        return NAME in self.vm.run(["dmsetup", "ls"], check=True).stdout

    def is_written(self) -> bool:
        """Say whether the file is there and whole."""
        return bool(self.vm.python(f"{GUEST}:is_written", self.file))

    def room(self) -> int:
        """Return the bytes of the mounted filesystem."""
        return int(self.vm.python(f"{GUEST}:room", self.target))


@pytest.fixture
def shell(vm: VM, request: pytest.FixtureRequest) -> NodeShell:
    folder = f"/run/node-{request.node.name.partition('[')[2].strip(']')}"
    vm.python(f"{GUEST}:prepare", folder)
    return NodeShell(vm, folder)


@pytest.mark.parametrize("filesystem", SIZES)
def test_a_volume_is_opened_mounted_grown_unmounted_and_closed(
    shell: NodeShell, image: Callable[..., Path], filesystem: str
) -> None:
    size, grown_size = SIZES[filesystem]
    disk = shell.attach(image(size=size), size)
    assert (2, "InvalidRequest") == shell.refused("open", shell.document)  # there is no ledger
    opened = shell.ask("open", shell.document, "--new", "--filesystem", filesystem)
    assert f"/dev/mapper/{NAME}" == opened["path"]
    assert filesystem.partition("-")[0] == opened["holds"]["kind"]
    assert opened == shell.ask("open", shell.document)
    for _ in range(2):
        mounted = shell.ask("mount", shell.document, shell.target)
        assert shell.target == mounted["mount"]["target"]
    shell.vm.python(f"{GUEST}:write", shell.file)
    assert (5, "DeviceBusy") == shell.refused("close", VOLUME)
    before = shell.room()
    disk.resize(grown_size)
    growth = [shell.document, "--size", grown_size, "--integrity-growth"]
    grown = shell.ask("grow", *growth)
    assert grown_size == grown["capacity"]
    assert grown == shell.ask("grow", *growth)
    assert shell.room() > before + (grown_size - size) * 3 // 4
    assert shell.is_written()
    status = shell.ask("status", VOLUME)
    assert ("active", [shell.target]) == (
        status["open"],
        [mount["target"] for mount in status["mounts"]],
    )
    assert [shell.target] == shell.ask("umount", VOLUME)["unmounted"]
    assert "clean" == shell.ask("check", shell.document)["health"]
    assert shell.mapped()
    for _ in range(2):
        assert shell.ask("close", VOLUME)["closed"]
    assert not shell.mapped()
    status = shell.ask("status", shell.document)
    assert (None, [], None) == (status["open"], status["mounts"], status["holder"])
    assert "clean" == shell.ask("check", shell.document, "--quick")["health"]
    assert not shell.mapped()
    shell.ask("mount", shell.document, shell.target, "--read-only")
    assert shell.is_written()
    shell.ask("umount", VOLUME, shell.target)
    shell.ask("close", VOLUME)
    disk.unplug()


@pytest.mark.parametrize("mode", ["crypt", "integrity"])
def test_a_block_device_is_opened_and_closed_when_it_is_free(
    shell: NodeShell, image: Callable[..., Path], mode: str
) -> None:
    disk = shell.attach(image(size=32 * MIB), 32 * MIB)
    flags = ["--integrity"] if mode == "integrity" else []
    opened = shell.ask("open", shell.document, "--new", "--raw", *flags)
    assert (mode, {"is": "raw"}) == (opened["mode"], opened["holds"])
    # A user of the device for as long as a pipe is not written to.
    using = f"mkfifo {shell.folder}/end; exec 3<{opened['path']}; read _ <{shell.folder}/end"
    user = shell.vm.start(["sh", "-c", using])
    shell.vm.run(["sh", "-c", f"until [ -p {shell.folder}/end ]; do sleep .1; done"], check=True)
    assert not shell.ask("close", VOLUME, "--deferred")["closed"]
    assert "leaving" == shell.ask("status", VOLUME)["open"]
    shell.vm.run(["sh", "-c", f"echo >{shell.folder}/end"], check=True)
    assert 0 == user.wait()
    assert not shell.mapped()
    disk.unplug()


def test_the_doctor_sees_a_node_that_is_ready(vm: VM) -> None:
    found = vm.python(f"{GUEST}:command", "doctor", "--json")
    document = json.loads(found["out"])
    assert {} == {area: missing for area, missing in document["missing"].items() if missing}
    assert {"crypt", "linear"} <= vm.python(f"{GUEST}:targets").keys()


@pytest.mark.parametrize("choice", ["ext4", "ext4-integrity"])
def test_a_script_that_is_killed_goes_on_with_the_same_files(vm: VM, choice: str) -> None:
    vm.python(f"{GUEST}:script", choice)


@pytest.mark.parametrize("mode", ["crypt", "integrity"])
def test_a_script_uses_a_block_device_of_the_kernel(vm: VM, mode: str) -> None:
    vm.python(f"{GUEST}:block_device", mode)
