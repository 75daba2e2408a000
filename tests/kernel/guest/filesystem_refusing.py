"""Filesystems that are not what they should be: nothing is made, mounted or unmounted instead."""

import os
from pathlib import Path

from cloudcrypt.errors import (
    CloudcryptError,
    DeviceBusy,
    DeviceIOError,
    DeviceMismatch,
    DeviceNotBlank,
    FilesystemDamaged,
    FilesystemMismatch,
    MountConflict,
)
from cloudcrypt.filesystem import MappingNodes, MountOptions
from cloudcrypt.integrity import Geometry
from cloudcrypt.ledger import Untouched
from cloudcrypt.luks2 import layout
from cloudcrypt.model import Mode
from cloudcrypt.sizes import KIB
from tests.kernel.guest.filesystem_bench import CONTENT, FilesystemBench, case
from tests.kernel.guest.mapper_bench import NAME, VOLUME, refused, run, settle

MAPPING = Path("/dev/mapper", NAME)


def _payload_offset(bench: FilesystemBench, size: int) -> int:
    """Return where on the device the payload of a volume begins."""
    if bench.mode is Mode.CRYPT:
        return layout.DATA_OFFSET
    return Geometry.of(size).data_offset(0)


def _overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b", buffering=0) as raw:
        raw.seek(offset)
        raw.write(content)
        os.fsync(raw.fileno())


@case(("ext4", "ext4-integrity"))
def a_filesystem_that_the_storage_destroyed_is_not_made_anew(bench: FilesystemBench) -> None:
    device, target = bench.mounted()
    bench.filesystem.unmount(target)
    settle()
    bench.process.close(VOLUME)
    noise = os.urandom(64 * KIB)
    begin = _payload_offset(bench, device.size)
    _overwrite(device.path, begin, noise)
    settle()
    bench.process.open(bench.device(), raw=False)
    kind = FilesystemMismatch if bench.mode is Mode.CRYPT else DeviceIOError
    for ask in (
        lambda: bench.filesystem.make(device, bench.kind),
        lambda: bench.filesystem.mount(target),
        bench.filesystem.check,
        bench.filesystem.adopt,
    ):
        refused(kind, ask)
    bench.process.close(VOLUME)
    with device.path.open("rb", buffering=0) as raw:
        raw.seek(begin)
        assert noise == raw.read(len(noise))


@case(("ext4-integrity", "xfs"))
def an_untouched_payload_with_something_beneath_is_left_alone(bench: FilesystemBench) -> None:
    device = bench.opened()
    _overwrite(device.path, _payload_offset(bench, device.size), b"somebody's own")
    refused(DeviceNotBlank, lambda: bench.filesystem.make(device, bench.kind))
    assert Untouched() == bench.record().payload


@case(("ext4", "xfs"))
def a_device_that_is_claimed_is_not_written(bench: FilesystemBench) -> None:
    device = bench.opened()
    claim = os.open(MAPPING, os.O_RDONLY | os.O_EXCL)
    refused(DeviceBusy, lambda: bench.filesystem.make(device, bench.kind))
    os.close(claim)
    bench.filesystem.make(device, bench.kind)
    bench.filesystem.mount(bench.target())
    refused(DeviceBusy, bench.filesystem.check)


@case(("ext4",))
def what_is_mounted_otherwise_is_left_alone(bench: FilesystemBench) -> None:
    _, target = bench.mounted()
    elsewhere = bench.target("elsewhere")
    refused(MountConflict, lambda: bench.filesystem.mount(elsewhere))
    refused(MountConflict, lambda: bench.filesystem.mount(target, MountOptions(nosuid=False)))
    run("mount", "-t", "tmpfs", "none", str(elsewhere))
    refused(MountConflict, lambda: bench.filesystem.unmount(elsewhere))
    refused(MountConflict, lambda: bench.filesystem.mount(elsewhere))
    run("umount", str(elsewhere))
    run("mount", "-o", "remount,ro", str(target))
    refused(MountConflict, lambda: bench.filesystem.mount(target))
    run("mount", "-t", "tmpfs", "none", str(target))  # hides it
    refused(MountConflict, lambda: bench.filesystem.unmount(target))
    run("umount", str(target))
    run("mount", "--bind", str(target), str(elsewhere))
    bench.filesystem.unmount(elsewhere)
    assert CONTENT == (target / "file").read_bytes()


@case(("ext4",))
def a_mount_below_a_hidden_folder_is_not_mistaken(bench: FilesystemBench) -> None:
    bench.made()
    folder = bench.target()
    target = folder / "below"
    target.mkdir()
    bench.filesystem.mount(target)
    run("mount", "-t", "tmpfs", "none", str(folder))
    target.mkdir()  # of the same path, in another filesystem
    refused(MountConflict, lambda: bench.filesystem.unmount(target))
    run("umount", str(folder))
    bench.filesystem.unmount(target)


@case(("ext4",))
def another_device_is_not_the_mapping_of_the_volume(bench: FilesystemBench) -> None:
    device = bench.opened()
    uuid = bench.record().uuid
    assert uuid is not None
    nodes = MappingNodes()
    with nodes.opened(MAPPING, uuid, writable=True) as node:
        assert nodes.is_of(node.number, uuid)
        assert node.size == device.size - layout.DATA_OFFSET
    for path, luks_uuid in ((device.path, uuid), (MAPPING, uuid[::-1])):
        opening = nodes.opened(path, luks_uuid, writable=False)
        refused(DeviceMismatch, opening.__enter__)


@case(("ext4",))
def errors_that_ext4_has_met_are_repaired_or_left_to_a_person(bench: FilesystemBench) -> None:
    _, target = bench.mounted()
    bench.filesystem.unmount(target)
    run("debugfs", "-w", "-R", "set_super_value free_blocks_count 7", str(MAPPING))
    run("debugfs", "-w", "-R", "set_super_value state 2", str(MAPPING))
    bench.filesystem.mount(target)
    assert CONTENT == (target / "file").read_bytes()
    bench.filesystem.unmount(target)
    run("debugfs", "-w", "-R", "clri <2>", str(MAPPING))
    run("debugfs", "-w", "-R", "set_super_value state 2", str(MAPPING))
    refused(FilesystemDamaged, lambda: bench.filesystem.mount(target))
    assert not target.is_mount()


@case(("xfs",))
def errors_that_xfs_finds_when_it_is_mounted_are_left_to_a_person(bench: FilesystemBench) -> None:
    bench.made()
    settle()
    _overwrite(MAPPING, 8 * KIB, b"\xff" * 512)  # the headers of the first group's inodes
    error = refused(CloudcryptError, lambda: bench.filesystem.mount(bench.target()))
    assert isinstance(error, FilesystemDamaged)
    assert not bench.target().is_mount()
