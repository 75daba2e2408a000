"""The recorded filesystem is adopted, checked, mounted, grown and unmounted; no other one is."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import (
    DeviceIOError,
    FilesystemDamaged,
    FilesystemFailed,
    FilesystemMismatch,
    MountConflict,
    PayloadForbids,
    StateForbids,
)
from cloudcrypt.filesystem import Ended, FilesystemKind, Health, MountOptions
from cloudcrypt.ledger import Filesystem, Making, Payload, Raw, Unrecorded, Untouched
from cloudcrypt.model import ClonedFrom
from cloudcrypt.sizes import MIB
from tests.unit.nodes import VOLUME
from tests.unit.payloads import CountingTools, FileMapper, PayloadHost

EXT4, XFS = FilesystemKind.EXT4, FilesystemKind.XFS
UUID = "0f1e2d3c-4b5a-4697-8877-665544332211"


@pytest.fixture
def tools() -> CountingTools:
    return CountingTools()


@pytest.fixture
def host(tmp_path: Path, tools: CountingTools) -> Iterator[PayloadHost]:
    with PayloadHost(tmp_path / "host", tools=tools) as host:
        yield host


# --- adopting ---


@pytest.mark.parametrize("kind", FilesystemKind)
@pytest.mark.parametrize("before", [Unrecorded(), Raw()])
def test_what_somebody_else_made_is_adopted_as_it_is(
    host: PayloadHost, tools: CountingTools, kind: FilesystemKind, before: Payload
) -> None:
    device = host.made(kind)
    made = host.record().payload
    host.set_payload(before)
    left = host.payload_path.read_bytes()
    assert made == host.filesystem.adopt() == host.record().payload
    assert made == host.filesystem.adopt()
    assert made == host.filesystem.make(device, kind)
    assert ([f"mkfs.{kind.value}"], left) == (tools.ran, host.payload_path.read_bytes())


@pytest.mark.parametrize("payload", [Unrecorded(), Raw()])
def test_what_is_not_known_is_not_adopted(host: PayloadHost, payload: Payload) -> None:
    host.opened()
    host.set_payload(payload)
    with pytest.raises(FilesystemMismatch, match="holds None"):
        host.filesystem.adopt()
    assert payload == host.record().payload


@pytest.mark.parametrize("payload", [Untouched(), Making(EXT4, UUID)])
def test_what_is_recorded_as_not_there_is_not_adopted(host: PayloadHost, payload: Payload) -> None:
    host.made()
    host.set_payload(payload)
    with pytest.raises(PayloadForbids, match="adopting"):
        host.filesystem.adopt()
    assert payload == host.record().payload


def test_what_is_larger_than_its_device_is_not_adopted(host: PayloadHost) -> None:
    host.made()
    host.set_payload(Raw())
    os.truncate(host.payload_path, 16 * MIB)
    with pytest.raises(FilesystemMismatch, match="at most"):
        host.filesystem.adopt()
    assert Raw() == host.record().payload


def test_a_volume_that_is_open_for_reading_can_be_adopted(host: PayloadHost) -> None:
    device = host.made()
    made = host.record().payload
    host.set_payload(Unrecorded())
    host.stage.close(VOLUME)
    host.stage.open(device, writable=False)
    assert made == host.filesystem.adopt()


# --- checking ---


@pytest.mark.parametrize("kind", FilesystemKind)
def test_a_filesystem_is_checked(
    host: PayloadHost, tools: CountingTools, kind: FilesystemKind
) -> None:
    host.made(kind)
    assert Health.CLEAN is host.filesystem.check()
    assert {EXT4: "e2fsck", XFS: "xfs_repair"}[kind] == tools.ran[-1]


# --- mounting ---


@pytest.mark.parametrize("kind", FilesystemKind)
def test_the_recorded_filesystem_is_mounted_and_unmounted(
    host: PayloadHost, tools: CountingTools, kind: FilesystemKind
) -> None:
    host.made(kind)
    target = host.target()
    mount = host.filesystem.mount(target)
    assert mount == host.filesystem.mount(target)
    assert (target, kind.value) == (mount.target, mount.kind)
    assert (mount,) == host.filesystem.status().mounts
    host.filesystem.unmount(target)
    host.filesystem.unmount(target)
    assert ["mount", "sync", "unmount"] == host.kernel.made()
    checks = ["e2fsck"] if kind is EXT4 else []
    assert [f"mkfs.{kind.value}", *checks] == tools.ran  # once, and not while it was mounted


@pytest.mark.parametrize("payload", [Untouched(), Making(EXT4, UUID), Raw(), Unrecorded()])
def test_what_is_not_recorded_is_not_mounted(host: PayloadHost, payload: Payload) -> None:
    host.made()
    host.set_payload(payload)
    for ask in (lambda: host.filesystem.mount(host.target()), host.filesystem.check):
        with pytest.raises(PayloadForbids):
            ask()
    assert [] == host.kernel.made()


def test_a_check_can_be_left_out(host: PayloadHost, tools: CountingTools) -> None:
    host.made()
    host.filesystem.mount(host.target(), check=False)
    assert ["mkfs.ext4"] == tools.ran


def test_for_reading_nothing_is_checked_or_written(host: PayloadHost, tools: CountingTools) -> None:
    device = host.made()
    host.stage.close(VOLUME)
    host.stage.open(device, writable=False)
    with pytest.raises(StateForbids, match="open for reading"):
        host.filesystem.mount(host.target())
    mount = host.filesystem.mount(host.target(), MountOptions(read_only=True))
    assert mount.is_read_only
    assert ["mkfs.ext4"] == tools.ran


class Judging(CountingTools):
    """Programs of which checks end with a status of the test's."""

    status = 0

    def run(self, tool: str, *arguments: object, **options: object) -> Ended:
        if tool == "e2fsck":
            return Ended(tool, self.status, "", "")
        return super().run(tool, *arguments, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "is_mounted"), [(0, True), (1, True), (4, False)])
def test_what_needs_a_person_is_not_mounted(
    host: PayloadHost, status: int, *, is_mounted: bool
) -> None:
    host.made()
    judging = Judging()
    judging.status = status
    host.filesystems.tools = judging
    if is_mounted:
        host.filesystem.mount(host.target())
    else:
        with pytest.raises(FilesystemDamaged, match="needs a person"):
            host.filesystem.mount(host.target())
    assert is_mounted == bool(host.kernel.mounts)


def test_a_check_that_could_not_be_made_is_not_a_clean_one(host: PayloadHost) -> None:
    host.made()
    judging = Judging()
    judging.status = 8
    host.filesystems.tools = judging
    with pytest.raises(FilesystemFailed, match="status 8"):
        host.filesystem.mount(host.target())
    assert [] == host.kernel.mounts


@pytest.mark.parametrize("origin", [None, ClonedFrom("local/here/vol-0")])
def test_a_copy_is_mounted_beside_its_origin(host: PayloadHost, origin: ClonedFrom | None) -> None:
    host.made(XFS)
    if origin is not None:
        record = host.record()
        host.ledger.replace(record, attrs.evolve(record, origin=origin))
    host.filesystem.mount(host.target())
    (called,) = [call for call in host.kernel.calls if call[0] == "mount"]
    assert ("" if origin is None else "nouuid") == called[-1]


def test_another_process_unmounts_without_opening_the_volume(host: PayloadHost) -> None:
    host.made()
    target = host.target()
    host.filesystem.mount(target)
    other = host.stage_with(FileMapper(host.folder)).filesystem(VOLUME)
    assert 1 == len(other.status().mounts)
    other.unmount(target)
    assert [] == host.kernel.mounts


def test_a_filesystem_of_another_volume_is_not_unmounted(host: PayloadHost) -> None:
    host.made()
    target = host.target()
    host.kernel.add(target, (8, 1))
    with pytest.raises(MountConflict, match="the filesystem of the volume"):
        host.filesystem.unmount(target)
    assert [] == host.kernel.made()


def test_a_volume_without_a_uuid_has_no_mounts(host: PayloadHost) -> None:
    host.made()
    host.filesystem.mount(host.target())
    record = host.record()
    host.ledger.replace(record, attrs.evolve(record, uuid=None))
    with pytest.raises(MountConflict):
        host.filesystem.unmount(host.target())
    with pytest.raises(StateForbids):
        host.filesystem.grow()


# --- growing ---


class Growing(CountingTools):
    """Programs that are told to grow, and do as the test says."""

    def __init__(self, host: PayloadHost, *, obedient: bool = True) -> None:
        super().__init__()
        self.host = host
        self.obedient = obedient

    def run(self, tool: str, *arguments: object, **options: object) -> Ended:
        if tool == "xfs_growfs":
            self.ran.append(tool)
            if self.obedient:
                tell_size(self.host)
            return Ended(tool, 0, "", "")
        if tool == "resize2fs" and not self.obedient:
            return Ended(tool, 0, "", "")
        return super().run(tool, *arguments, **options)  # type: ignore[arg-type]


def tell_size(host: PayloadHost) -> None:
    """Let statfs say that XFS is as large as its device, but for its log."""
    found = host.filesystem.status().found
    assert found is not None
    size = host.payload_path.stat().st_size - found.log_size
    host.kernel.sizes[host.nodes.number(host.payload_path)] = size


@pytest.fixture(params=FilesystemKind, ids=lambda kind: kind.value)
def mounted(host: PayloadHost, request: pytest.FixtureRequest) -> FilesystemKind:
    """Mount a filesystem of each kind, on a mapping that has grown since by 64 MiB."""
    kind: FilesystemKind = request.param
    device = host.made(kind)
    host.filesystem.mount(host.target())
    tell_size(host)
    host.stage.grow(host.device(device.size + 64 * MIB))
    return kind


def test_a_filesystem_grows_to_the_end_of_its_mapping(
    host: PayloadHost, mounted: FilesystemKind
) -> None:
    growing = Growing(host)
    host.filesystems.tools = growing
    size = host.payload_path.stat().st_size
    assert size == host.filesystem.grow()
    assert size == host.filesystem.grow()
    assert [{EXT4: "resize2fs", XFS: "xfs_growfs"}[mounted]] == growing.ran


def test_growth_is_not_believed_before_it_is_seen(
    host: PayloadHost, mounted: FilesystemKind
) -> None:
    host.filesystems.tools = Growing(host, obedient=False)
    with pytest.raises(FilesystemFailed, match=f"growing {mounted.value}.*the device has"):
        host.filesystem.grow()


def test_growth_that_cannot_be_seen_is_no_success(
    host: PayloadHost, mounted: FilesystemKind
) -> None:
    if mounted is XFS:
        host.kernel.refusals["size"] = errno.EIO
        with pytest.raises(DeviceIOError, match="statfs"):
            host.filesystem.grow()


def test_a_small_rest_that_no_group_fits_into_stays_unused(host: PayloadHost) -> None:
    device = host.made(XFS)
    host.filesystem.mount(host.target())
    tell_size(host)
    host.stage.grow(host.device(device.size + 63 * 4096))
    host.filesystems.tools = Growing(host, obedient=False)
    assert device.size - 16 * MIB == host.filesystem.grow()


@pytest.mark.parametrize("how", ["not mounted", "bound", "read-only", "turned read-only"])
def test_only_what_is_mounted_for_writing_grows(host: PayloadHost, how: str) -> None:
    host.made()
    target, number = host.target(), host.nodes.number(host.payload_path)
    if how == "bound":
        host.kernel.add(target, number, root="/folder")
    if how == "read-only":
        host.filesystem.mount(target, MountOptions(read_only=True))
    if how == "turned read-only":
        host.kernel.turn_read_only(host.filesystem.mount(target))
    with pytest.raises(StateForbids, match="mounted"):
        host.filesystem.grow()


# --- status ---


def test_a_closed_volume_has_a_status(host: PayloadHost) -> None:
    host.made()
    made = host.record().payload
    host.stage.close(VOLUME)
    status = host.filesystem.status()
    assert (made, (), None, None) == (status.payload, status.mounts, status.size, status.found)


def test_an_open_volume_says_what_is_there(host: PayloadHost) -> None:
    host.opened()
    status = host.filesystem.status()
    assert (Untouched(), None) == (status.payload, status.found)
    assert host.payload_path.stat().st_size == status.size
    host.filesystem.make(host.device(), EXT4)
    status = host.filesystem.status()
    assert isinstance(status.payload, Filesystem)
    assert status.found is not None
