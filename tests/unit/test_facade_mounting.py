"""One call, one mounted filesystem: made once, by the ledger, and the same ever after."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import (
    AlreadyRegistered,
    DeviceIOError,
    FilesystemMismatch,
    InvalidRequest,
    MountBusy,
    MountConflict,
    PayloadForbids,
    UnknownVolume,
)
from cloudcrypt.filesystem import FilesystemKind, MountOptions, PayloadChoice
from cloudcrypt.ledger import Filesystem, Raw, Unrecorded
from cloudcrypt.model import Mode
from cloudcrypt.provisioning import Report, Step, VolumeRequest
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import CreateVolume, FromSnapshot, perform
from cloudcrypt.stage import Adopt
from tests.unit.mounting import SIZE, TEXT, MountVm, mount_vm
from tests.unit.vms import HERE, requests


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[MountVm]:
    with mount_vm(tmp_path / "vm") as vm:
        yield vm


def used(vm: MountVm, **options: Any) -> None:
    """Mount a new volume, and write a file."""
    with vm.mounted(**options):
        vm.write()


# --- one volume ---


def test_a_volume_is_made_mounted_and_the_same_next_time(vm: MountVm) -> None:
    with vm.mounted() as folder:
        assert folder == vm.target
        (mount,) = vm.kernel.mounts.mounts
        assert (mount.target, mount.kind, mount.is_read_only) == (vm.target, "ext4", False)
        assert {"nosuid", "nodev"} <= mount.options
        assert vm.holders() == (HERE,)
        vm.write()
    assert vm.is_at_rest()
    made = vm.record().payload
    assert isinstance(made, Filesystem)
    with vm.mounted():
        assert TEXT == vm.text()
    assert made == vm.record().payload
    assert 1 == vm.tools.ran.count("mkfs.ext4")


@pytest.mark.parametrize(
    ("filesystem", "mode"),
    [
        ("ext4-integrity", Mode.INTEGRITY),
        (PayloadChoice(FilesystemKind.EXT4, Mode.INTEGRITY), Mode.INTEGRITY),
        ("ext4", Mode.CRYPT),
        (FilesystemKind.EXT4, Mode.CRYPT),
    ],
    ids=repr,
)
def test_filesystem_and_mode_are_chosen_together(
    vm: MountVm, filesystem: str | FilesystemKind | PayloadChoice, mode: Mode
) -> None:
    for _ in range(2):
        with vm.mounted(filesystem=filesystem):
            vm.write()
    record = vm.record()
    assert isinstance(record.payload, Filesystem)
    assert (mode, FilesystemKind.EXT4) == (record.mode, record.payload.kind)
    assert 1 == vm.tools.ran.count("mkfs.ext4")


@pytest.mark.parametrize("filesystem", ["btrfs", "EXT4", "block", "block-integrity", ""])
def test_what_is_no_filesystem_is_refused_before_anything_is_asked(
    vm: MountVm, filesystem: str
) -> None:
    with pytest.raises(InvalidRequest), vm.mounted(filesystem=filesystem):
        pass
    assert [] == list(vm.provider.list())


def test_a_target_that_is_missing_is_refused_before_anything_is_asked(vm: MountVm) -> None:
    with pytest.raises(InvalidRequest, match="folder"), vm.mounted(target=vm.folder / "none"):
        pass
    assert [] == list(vm.provider.list())


def test_another_filesystem_or_mode_is_refused(vm: MountVm) -> None:
    used(vm)
    with pytest.raises(PayloadForbids, match="filesystem ext4"), vm.mounted(filesystem="xfs"):
        pass
    with pytest.raises(AlreadyRegistered), vm.mounted(filesystem="ext4-integrity"):
        pass
    assert vm.kernel.active == {}
    assert [] == vm.kernel.mounts.mounts
    with vm.mounted():
        assert TEXT == vm.text()


def test_options_are_those_of_the_mount(vm: MountVm) -> None:
    options = MountOptions(noexec=True, noatime=True, nosuid=False)
    with vm.mounted(options=options):
        (mount,) = vm.kernel.mounts.mounts
        assert {"noexec", "noatime", "nodev", "rw"} == mount.options


def test_a_volume_is_mounted_for_reading(vm: MountVm) -> None:
    options = MountOptions(read_only=True)
    with pytest.raises(PayloadForbids), vm.mounted(options=options):
        pass  # nothing is made in order to be read
    assert vm.kernel.active == {}
    used(vm)
    with vm.mounted(options=options):
        (mount,) = vm.kernel.mounts.mounts
        (mapping,) = vm.kernel.active.values()
        assert (True, False) == (mount.is_read_only, mapping.writable)
        assert TEXT == vm.text()


def test_it_stays_attached_if_the_caller_wants(vm: MountVm) -> None:
    used(vm, detach=False)
    assert vm.holders() == (HERE,)
    assert vm.kernel.active == {}


def test_what_fails_in_the_block_is_raised_after_all_was_undone(vm: MountVm) -> None:
    def fail() -> None:
        with vm.mounted():
            vm.write()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert vm.is_at_rest()
    with vm.mounted():
        assert TEXT == vm.text()


# --- what is not as it should be ---


def test_a_filesystem_that_is_in_use_stays_until_it_is_free(vm: MountVm) -> None:
    def busy() -> None:
        with vm.mounted():
            vm.write()
            vm.kernel.mounts.refusals["unmount"] = errno.EBUSY

    with pytest.raises(MountBusy):
        busy()
    assert (1, 1, (HERE,)) == (len(vm.kernel.mounts.mounts), len(vm.kernel.active), vm.holders())
    vm.kernel.mounts.refusals.clear()
    with vm.mounted():
        assert TEXT == vm.text()
    assert vm.is_at_rest()


def test_what_could_not_be_written_out_is_an_error_and_stays_attached(vm: MountVm) -> None:
    def lose() -> None:
        with vm.mounted():
            vm.kernel.mounts.refusals["sync"] = errno.EIO

    with pytest.raises(DeviceIOError):
        lose()
    assert ([], {}, (HERE,)) == (vm.kernel.mounts.mounts, vm.kernel.active, vm.holders())


def test_a_target_where_something_else_is_mounted_leaves_the_volume_closed(vm: MountVm) -> None:
    used(vm)
    other = vm.kernel.mounts.add(vm.target, (8, 1))
    with pytest.raises(MountConflict), vm.mounted():
        pass
    assert ([other], {}, (HERE,)) == (vm.kernel.mounts.mounts, vm.kernel.active, vm.holders())


def test_what_another_process_had_open_stays_open_when_mounting_fails(vm: MountVm) -> None:
    other = vm.folder / "other"
    other.mkdir()
    with vm.mounted(), pytest.raises(MountConflict), vm.mounted(target=other):
        pass
    with vm.mounted():
        with pytest.raises(MountConflict), vm.mounted(target=other):
            pass
        assert 1 == len(vm.kernel.active)
        vm.write()


def test_an_erased_filesystem_is_never_made_anew(vm: MountVm) -> None:
    used(vm)
    vm.payload().write_bytes(bytes(32 * MIB))
    for _ in range(2):
        with pytest.raises(FilesystemMismatch), vm.mounted():
            pass
    assert 1 == vm.tools.ran.count("mkfs.ext4")
    assert vm.kernel.active == {}


def test_a_volume_that_others_made_gets_no_filesystem(vm: MountVm) -> None:
    perform(vm.provider, CreateVolume("t", "data", SIZE))
    with pytest.raises(UnknownVolume), vm.mounted():
        pass
    assert [] == vm.tools.ran


def test_what_was_used_as_a_block_device_gets_no_filesystem_but_keeps_one(vm: MountVm) -> None:
    used(vm)
    record = vm.record()
    vm.ledger.replace(record, attrs.evolve(record, payload=Raw()))
    with pytest.raises(PayloadForbids), vm.mounted():
        pass
    with vm.mounted(adopt=True):
        assert TEXT == vm.text()
    with vm.mounted():
        assert TEXT == vm.text()


def test_a_volume_of_another_ledger_is_trusted_and_its_filesystem_adopted(vm: MountVm) -> None:
    used(vm)
    made = vm.record().payload
    vm.ledger.forget(vm.volume().id)
    with pytest.raises(UnknownVolume), vm.mounted():
        pass
    with pytest.raises(PayloadForbids), vm.mounted(trust=Adopt(Mode.CRYPT)):
        pass
    assert Unrecorded() == vm.record().payload
    with vm.mounted(adopt=True):
        assert TEXT == vm.text()
    assert made == vm.record().payload


def test_a_copy_has_its_own_identity_and_the_files_of_its_origin(vm: MountVm) -> None:
    used(vm)
    snapshot = vm.provisioner.ensure_snapshot(vm.volume().id, "backup", 1)
    copy = VolumeRequest("copy", SIZE, FromSnapshot(snapshot.id))
    volume = vm.provisioner.ensure_volume(copy)
    mapped = vm.process().mapper.path(volume.id)
    mapped.write_bytes(vm.payload().read_bytes())  # what the copy decrypts to
    for _ in range(2):
        with vm.mounted(copy):
            assert TEXT == vm.text("copy")
    assert vm.record("copy").uuid != vm.record().uuid
    assert vm.record("copy").payload == vm.record().payload


# --- many ---


def test_many_are_mounted_and_one_that_fails_does_not_lose_the_others(vm: MountVm) -> None:
    wanted = [attrs.evolve(each, size=SIZE) for each in requests("a", "b", "c")]
    perform(vm.provider, CreateVolume("t", "b", SIZE))  # by somebody else
    targets = {name: vm.folder / name for name in "abc"}
    for target in targets.values():
        target.mkdir()
    reports: list[Report] = []
    with vm.all_mounted(wanted, targets=targets, progress=reports.append) as mounted:
        assert {"a": targets["a"], "c": targets["c"]} == dict(mounted.values), mounted.errors
        assert {"b": UnknownVolume} == {name: type(e) for name, e in mounted.errors.items()}
        vm.write(b"of a", "a")
        vm.write(b"of c", "c")
    assert vm.is_at_rest("a")
    assert vm.is_at_rest("c")
    steps = [each.step for each in reports if each.name == "a"]
    expected = ["creating", "attaching", "formatting", "opening", "mounting", "done"]
    assert expected == [step.value for step in steps]
    assert {Step.DONE: 2, Step.FAILED: 1} == dict(reports[-1].counts)
    with vm.all_mounted([wanted[0], wanted[2]], targets=targets):
        assert (b"of a", b"of c") == (vm.text("a"), vm.text("c"))


@pytest.mark.parametrize("targets", [("one", "one"), ("one", None)])
def test_each_volume_needs_a_folder_of_its_own(
    vm: MountVm, targets: tuple[str | None, ...]
) -> None:
    (vm.folder / "one").mkdir()
    folders = {
        name: vm.folder / target for name, target in zip("ab", targets, strict=True) if target
    }
    with pytest.raises(InvalidRequest, match="folder"):
        vm.all_mounted(requests("a", "b"), targets=folders).__enter__()
    assert [] == list(vm.provider.list())
