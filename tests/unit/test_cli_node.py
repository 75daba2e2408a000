"""``cloudcrypt volume open, mount, grow, check, umount, close, status``, as a user types them.

The kernel is a fake one: mappings are files, mounts are a table.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result

from cloudcrypt.cli import main, node_plane
from cloudcrypt.errors import DeviceBusy
from cloudcrypt.keys import KeyService
from cloudcrypt.ledger import Ledger, Raw, Unrecorded, Untouched
from cloudcrypt.ledger.payload import payload_to_dict
from cloudcrypt.mapper import MappingState, MappingStatus
from cloudcrypt.model import Attachment, Mode
from cloudcrypt.provisioning import VolumeRequest
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import FromSnapshot
from cloudcrypt.stage import Stage
from tests.unit.mounting import GROWN, REQUEST, SIZE, TEXT, MountVm, ProcessMapper, mount_vm
from tests.unit.nodes import PROFILES
from tests.unit.vms import HERE

Document = dict[str, Any]


class CliMapper(ProcessMapper):
    """The mapper of one command."""

    def status(self, volume_id: str) -> MappingStatus | None:
        mapping = self._kernel.active.get(volume_id)
        if mapping is None:
            return None
        return MappingStatus(
            volume_id,
            "name",
            mapping.path,
            MappingState.ACTIVE,
            Mode.CRYPT,
            mapping.size,
            not mapping.writable,
            0,
            (),
            (),
        )


@attrs.define
class Shell:
    """What a user has at hand: a VM, an attached volume, and its document in a file."""

    vm: MountVm
    discards: list[bool]

    @property
    def document(self) -> Path:
        return self.vm.folder / "data.json"

    def attach(self, name: str = "data", size: int = SIZE) -> Attachment:
        """Create and attach a volume, and write its document as 'volume attach --json' does."""
        volume = self.vm.provisioner.ensure_volume(VolumeRequest(name, size))
        attachment = self.vm.provisioner.ensure_attached(volume.id, HERE)
        printed = {"size": attachment.size, "document": json.loads(attachment.to_json())}
        (self.vm.folder / f"{name}.json").write_text(json.dumps(printed))
        return attachment

    def run(self, verb: object, *words: object, stdin: str | None = None) -> Result:
        """Run a command of the node."""
        options = ["--ledger", str(self.vm.folder / "ledger")]
        if verb not in ("umount", "close", "status"):
            options += ["--master-secret", str(self.vm.folder / "secret.json")]
        given = ["volume", str(verb), *options, *map(str, words)]
        return CliRunner().invoke(main, given, input=stdin)

    def ask(self, verb: object, *words: object, stdin: str | None = None) -> Document:
        """Return what a command says that must succeed."""
        result = self.run(verb, "--json", *words, stdin=stdin)
        assert result.exit_code == 0, result.output
        document: Document = json.loads(result.stdout)
        return document

    def refused(self, verb: object, *words: object) -> tuple[int, str]:
        """Return exit code and type of the error of a command that must fail."""
        result = self.run(verb, "--json", *words)
        return result.exit_code, json.loads(result.stderr)["error"]["type"]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    with mount_vm(tmp_path / "vm") as vm:
        asked: list[bool] = []

        def mapper(*, discards: bool = False) -> CliMapper:
            asked.append(discards)
            return CliMapper(vm.folder, vm.kernel)

        def stage(ledger: Ledger, keys: KeyService, mapper: CliMapper) -> Stage[Any]:
            return Stage(ledger, keys, mapper, profiles=PROFILES, filesystems=vm.filesystems())

        monkeypatch.setattr(node_plane, "KernelMapper", mapper)
        monkeypatch.setattr(node_plane, "Stage", stage)
        key, salt = bytes(32), bytes(range(32))  # those of `tests.unit.nodes.key_service`
        secret = {"key": base64.b64encode(key), "salt": base64.b64encode(salt)}
        texts = {name: value.decode() for name, value in secret.items()}
        (vm.folder / "secret.json").write_text(json.dumps(texts))
        yield Shell(vm, asked)


# --- the whole way ---


@pytest.mark.parametrize("filesystem", ["ext4", "ext4-integrity"])
def test_a_volume_is_opened_mounted_grown_unmounted_and_closed(
    shell: Shell, filesystem: str
) -> None:
    volume_id = shell.attach().volume_id
    opened = shell.ask("open", shell.document, "--new", "--filesystem", filesystem)
    assert (volume_id, "ready", False) == (
        opened["volume_id"],
        opened["state"],
        opened["read_only"],
    )
    assert Path(opened["path"]).exists()
    assert ("filesystem", "ext4") == (opened["holds"]["is"], opened["holds"]["kind"])
    for _ in range(2):
        mounted = shell.ask("mount", shell.document, shell.vm.target)
        assert str(shell.vm.target) == mounted["mount"]["target"]
        assert {"nosuid", "nodev", "rw"} <= set(mounted["mount"]["options"])
    shell.vm.write()
    shell.vm.provisioner.ensure_size(volume_id, GROWN)
    growth = [shell.document, "--size", GROWN, "--integrity-growth"]
    grown = shell.ask("grow", *growth)
    assert (GROWN, True) == (grown["capacity"], grown["payload"] - grown["filesystem"] < MIB)
    assert grown == shell.ask("grow", *growth)
    status = shell.ask("status", volume_id)
    assert ("active", [str(shell.vm.target)]) == (
        status["open"],
        [mount["target"] for mount in status["mounts"]],
    )
    assert TEXT == shell.vm.text()
    for targets in ([str(shell.vm.target)], []):
        unmounted = shell.ask("umount", volume_id)
        assert {"volume_id": volume_id, "unmounted": targets} == unmounted
    assert "clean" == shell.ask("check", shell.document)["health"]
    for _ in range(2):
        assert {"volume_id": volume_id, "closed": True} == shell.ask("close", shell.document)
    status = shell.ask("status", shell.document)
    assert (None, [], None) == (status["open"], status["mounts"], status["holder"])
    assert "clean" == shell.ask("check", shell.document, "--quick")["health"]
    assert {} == shell.vm.kernel.active
    shell.ask("mount", shell.document, shell.vm.target, "--filesystem", filesystem)
    assert TEXT == shell.vm.text()
    assert 1 == shell.vm.tools.ran.count("mkfs.ext4")


def test_one_command_takes_a_new_volume_to_its_mount(shell: Shell) -> None:
    shell.attach()
    words = [shell.document, shell.vm.target, "--new", "--filesystem", "ext4", "--noexec"]
    mounted = shell.ask("mount", *words, "--noatime")
    assert {"noexec", "noatime"} <= set(mounted["mount"]["options"])
    assert mounted == shell.ask("mount", *words, "--noatime")


def test_people_read_lines(shell: Shell) -> None:
    volume_id = shell.attach().volume_id
    result = shell.run("open", shell.document, "--new", "--filesystem", "ext4-integrity")
    assert "of the device is overhead" in result.output
    assert "filesystem" in shell.run("status", volume_id).output
    assert "closed     yes" in shell.run("close", volume_id).output


def test_a_document_comes_from_standard_input_too(shell: Shell) -> None:
    attachment = shell.attach()
    for text in (shell.document.read_text(), attachment.to_json()):
        shell.ask("open", "-", "--new", "--raw", stdin=text)
        assert shell.ask("close", "-", stdin=text)["closed"]


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", '{"document": 1}', "[" * 5000, "\0"])
def test_what_is_no_document_is_a_wrong_request(shell: Shell, text: str) -> None:
    shell.attach()
    shell.document.write_text(text)
    assert (2, "InvalidRequest") == shell.refused("open", shell.document)


def test_a_document_that_is_not_there_is_an_error_of_the_device(shell: Shell) -> None:
    assert (5, "DeviceUnavailable") == shell.refused("open", shell.vm.folder / "none")
    assert (5, "DeviceUnavailable") == shell.refused("open", shell.vm.folder)
    assert (2, "InvalidRequest") == shell.refused("close", shell.vm.folder / "none")


# --- new, and what it is for ---


def test_unknown_is_not_new(shell: Shell) -> None:
    shell.attach()
    for verb in (["open"], ["check"], ["grow"], ["mount"]):
        target = [shell.vm.target] if verb == ["mount"] else []
        assert (7, "UnknownVolume") == shell.refused(*verb, shell.document, *target)
    assert (2, "InvalidRequest") == shell.refused("status", "local:unknown/vol-0")


def test_what_is_not_blank_is_refused_and_its_registration_taken_back(shell: Shell) -> None:
    volume_id = shell.attach().volume_id
    with shell.vm.image().open("r+b") as file:
        file.write(b"somebody was here")
    words = ["open", shell.document, "--new", "--filesystem", "ext4"]
    assert (5, "DeviceNotBlank") == shell.refused(*words)
    assert shell.vm.ledger.get(volume_id) is None


def test_saying_new_again_formats_nothing(shell: Shell) -> None:
    shell.attach()
    words = [shell.document, "--new", "--filesystem", "ext4"]
    first = shell.ask("open", *words)
    assert first == shell.ask("open", *words)
    assert (7, "AlreadyRegistered") == shell.refused("open", *words[:-1], "ext4-integrity")


def test_a_volume_that_nothing_was_written_to_needs_a_purpose(shell: Shell) -> None:
    volume_id = shell.attach().volume_id
    assert (2, "InvalidRequest") == shell.refused("open", shell.document, "--new")
    assert shell.vm.ledger.get(volume_id) is None
    shell.vm.stage_register()
    assert (2, "InvalidRequest") == shell.refused("open", shell.document)
    assert Untouched() == shell.vm.record().payload
    assert shell.ask("open", shell.document, "--read-only")["read_only"]
    assert Untouched() == shell.vm.record().payload
    assert (7, "StateForbids") == shell.refused("open", shell.document, "--raw")
    shell.ask("close", volume_id)
    assert {"is": "raw"} == shell.ask("open", shell.document, "--raw")["holds"]
    assert {"is": "raw"} == shell.ask("open", shell.document)["holds"]
    assert (7, "PayloadForbids") == shell.refused(
        "mount", shell.document, shell.vm.target, "--filesystem", "ext4"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--raw", "--filesystem", "ext4"],
        ["--integrity", "--filesystem", "ext4"],
        ["--new", "--raw", "--adopt"],
        ["--new", "--raw", "--read-only"],
        ["--raw", "--generation", "2"],
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_are_refused(shell: Shell, words: list[str]) -> None:
    shell.attach()
    assert (2, "InvalidRequest") == shell.refused("open", shell.document, *words)
    assert [] == list(shell.vm.ledger.records())


def test_a_block_device_has_a_mode_too(shell: Shell) -> None:
    shell.attach()
    opened = shell.ask("open", shell.document, "--new", "--raw", "--integrity")
    assert ("integrity", {"is": "raw"}) == (opened["mode"], opened["holds"])
    assert "integrity" == shell.ask("open", shell.document)["mode"]


# --- what others made ---


def test_what_the_ledger_does_not_know_is_adopted_if_that_is_said(shell: Shell) -> None:
    volume_id = shell.attach().volume_id
    words = ["mount", shell.document, shell.vm.target]
    shell.ask(*words, "--new", "--filesystem", "ext4-integrity")
    shell.vm.write()
    shell.ask("umount", volume_id, shell.vm.target)
    shell.ask("close", volume_id)
    shell.vm.ledger.forget(volume_id)
    assert (7, "UnknownVolume") == shell.refused(*words)
    assert 3 == shell.refused(*words, "--adopt")[0]  # it has integrity
    assert 3 == shell.refused(*words, "--adopt", "--integrity", "--generation", "2")[0]
    assert shell.vm.ledger.get(volume_id) is None
    adopted = shell.ask(*words, "--adopt", "--integrity", "--generation", "1")
    assert "filesystem" == adopted["holds"]["is"]
    assert TEXT == shell.vm.text()


def test_what_is_there_is_adopted_on_its_own_too(shell: Shell) -> None:
    shell.attach()
    words = ["mount", shell.document, shell.vm.target]
    shell.ask(*words, "--new", "--filesystem", "ext4")
    shell.ask("umount", shell.vm.volume().id)
    shell.vm.set_payload(Unrecorded())
    assert (7, "PayloadForbids") == shell.refused(*words)
    assert (7, "PayloadForbids") == shell.refused(*words, "--filesystem", "xfs", "--adopt")
    shell.vm.set_payload(Raw())
    assert "ext4" == shell.ask(*words, "--adopt")["holds"]["kind"]


def test_a_copy_gets_its_own_identity(shell: Shell) -> None:
    shell.attach()
    shell.ask("open", shell.document, "--new", "--filesystem", "ext4")
    shell.ask("close", shell.document)
    snapshot = shell.vm.provisioner.ensure_snapshot(shell.vm.volume().id, "backup", 1)
    copy = shell.vm.provisioner.ensure_volume(
        attrs.evolve(REQUEST, name="copy", source=FromSnapshot(snapshot.id))
    )
    document = shell.vm.folder / "copy.json"
    document.write_text(shell.vm.provisioner.ensure_attached(copy.id, HERE).to_json())
    assert (2, "InvalidRequest") == shell.refused("open", document, "--new", "--raw")
    opened = shell.ask("open", document)
    assert opened["uuid"] != shell.vm.record().uuid
    assert payload_to_dict(shell.vm.record().payload) == opened["holds"]


# --- what is in use, or broken ---


def test_a_mounted_volume_is_closed_later_if_that_is_said(shell: Shell) -> None:
    volume_id = shell.attach().volume_id
    shell.ask("mount", shell.document, shell.vm.target, "--new", "--filesystem", "ext4")
    assert (5, "DeviceBusy") == shell.refused("close", volume_id)
    assert 1 == len(shell.vm.kernel.active)
    shell.ask("close", volume_id, "--deferred")
    assert DeviceBusy.retryable


def test_a_damaged_filesystem_is_reported_with_an_exit_code_of_its_own(shell: Shell) -> None:
    shell.attach()
    shell.ask("open", shell.document, "--new", "--filesystem", "ext4")
    with shell.vm.payload().open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8 * 4096)  # group descriptors and bitmaps
    result = shell.run("check", shell.document, "--json")
    assert (5, "damaged") == (result.exit_code, json.loads(result.stdout)["health"])
    assert 1 == len(shell.vm.kernel.active)


def test_a_failure_to_mount_leaves_a_closed_volume_closed(shell: Shell) -> None:
    shell.attach()
    other = shell.vm.kernel.mounts.add(shell.vm.target, (8, 1))
    words = ["mount", shell.document, shell.vm.target, "--new", "--filesystem", "ext4"]
    assert (5, "MountConflict") == shell.refused(*words)
    assert (2, "InvalidRequest") == shell.refused(
        "mount", shell.document, shell.vm.folder / "none", "--filesystem", "ext4"
    )
    assert ({}, [other]) == (shell.vm.kernel.active, shell.vm.kernel.mounts.mounts)


def test_integrity_grows_only_if_that_is_said(shell: Shell) -> None:
    shell.attach()
    shell.ask("open", shell.document, "--new", "--filesystem", "ext4-integrity")
    assert (2, "UnsupportedOperation") == shell.refused("grow", shell.document)


def test_a_device_that_has_not_grown_is_waited_for(shell: Shell) -> None:
    shell.attach()
    shell.ask("open", shell.document, "--new", "--filesystem", "ext4")
    words = [shell.document, "--size", GROWN, "--timeout", "0"]
    assert (5, "DeviceNotGrown") == shell.refused("grow", *words)


def test_discards_are_asked_of_the_mapping_and_of_the_filesystem(shell: Shell) -> None:
    shell.attach()
    words = [shell.document, shell.vm.target, "--new", "--filesystem", "ext4", "--discards"]
    assert "discard" in shell.ask("mount", *words)["mount"]["options"]
    assert [True] == shell.discards


def test_what_is_mounted_is_lazily_unmounted(shell: Shell) -> None:
    volume_id = shell.attach().volume_id
    shell.ask("mount", shell.document, shell.vm.target, "--new", "--filesystem", "ext4")
    shell.ask("umount", shell.document, "--lazy")
    calls = shell.vm.kernel.mounts.calls
    (unmount,) = [call for call in calls if call[0] == "unmount"]
    assert 2 == unmount[2] & 2  # type: ignore[operator]  # MNT_DETACH
    assert shell.ask("close", volume_id)["closed"]


# --- the ledger ---


def test_the_ledger_shows_what_a_volume_holds(shell: Shell) -> None:
    volume_id = shell.attach().volume_id
    shell.ask("open", shell.document, "--new", "--filesystem", "ext4")
    options = ["--ledger", str(shell.vm.folder / "ledger")]
    listed = CliRunner().invoke(main, ["ledger", "list", "--json", *options])
    (record,) = json.loads(listed.stdout)["records"]
    shown = CliRunner().invoke(main, ["ledger", "get", volume_id, *options])
    assert "ext4" == record["holds"]["kind"]
    assert "kind=ext4" in shown.output
