"""A volume grows from the cloud's disk to the mounted filesystem, or says why it does not."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    DeviceNotBlank,
    DeviceNotGrown,
    InvalidRequest,
    MountBusy,
    MountConflict,
    NotFound,
    PayloadForbids,
    StateForbids,
    UnknownVolume,
    UnsupportedOperation,
)
from cloudcrypt.facade import Grown, encrypted_volume, grow_volume
from cloudcrypt.filesystem import MountOptions
from cloudcrypt.ledger import Raw
from cloudcrypt.luks2.layout import DATA_OFFSET
from cloudcrypt.mapper import UserspaceMapper
from cloudcrypt.model import Mode
from cloudcrypt.provisioning import VolumeRequest
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import CreateVolume, Handle, ResizeVolume, T, perform
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider
from tests.unit.clocks import FakeClock
from tests.unit.mounting import GROWN, REQUEST, SIZE, TEXT, MountVm, mount_vm
from tests.unit.nodes import CONTENT
from tests.unit.vms import HERE

LARGER = VolumeRequest("data", GROWN)
PAYLOAD = GROWN - DATA_OFFSET


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[MountVm]:
    with mount_vm(tmp_path / "vm") as vm:
        yield vm


def test_a_mounted_volume_grows_while_it_is_in_use(vm: MountVm) -> None:
    with vm.mounted():
        vm.write()
        calls = list(vm.kernel.calls)
        grown = vm.grow()
        assert Grown(vm.volume().id, GROWN, PAYLOAD, PAYLOAD) == grown
        assert (GROWN, GROWN) == (vm.volume().size, vm.record().capacity)
        assert (calls, 1) == (vm.kernel.calls, len(vm.kernel.mounts.mounts))
        assert grown == vm.grow()
        assert 1 == vm.tools.ran.count("resize2fs")
        assert TEXT == vm.text()
    assert vm.is_at_rest()


def test_a_volume_at_rest_grows_and_its_filesystem_when_it_is_mounted(vm: MountVm) -> None:
    with vm.mounted(detach=False):
        vm.write()
    for name in ("data", vm.volume().id):
        assert Grown(vm.volume().id, GROWN, PAYLOAD, None) == vm.grow(name=name)
        assert ((HERE,), {}) == (vm.holders(), vm.kernel.active)
    vm.provisioner.ensure_detached(vm.volume().id, HERE)
    assert vm.grow().filesystem is None
    assert vm.holders() == ()
    assert [] == [tool for tool in vm.tools.ran if tool == "resize2fs"]
    with vm.mounted(LARGER):
        assert (1, TEXT) == (vm.tools.ran.count("resize2fs"), vm.text())
        assert PAYLOAD == vm.grow().filesystem


def test_a_volume_with_integrity_is_away_for_as_long_as_it_grows(vm: MountVm) -> None:
    options = MountOptions(noexec=True)
    with vm.mounted(filesystem="ext4-integrity", options=options):
        vm.write()
        vm.kernel.calls.clear()
        (before,) = vm.kernel.mounts.mounts
        grown = vm.grow(integrity_growth=True)
        assert ["unmap", "map"] == vm.kernel.calls
        (after,) = vm.kernel.mounts.mounts
        assert (before.target, before.options) == (after.target, after.options)
        assert grown.filesystem is not None
        assert 0 <= grown.payload - grown.filesystem < MIB  # no block group fits into the rest
        assert grown == vm.grow(integrity_growth=True)
        assert ["unmap", "map"] == vm.kernel.calls
        assert TEXT == vm.text()
    assert vm.is_at_rest()


def test_a_volume_with_integrity_grows_only_if_that_is_said(vm: MountVm) -> None:
    with vm.mounted(filesystem="ext4-integrity"):
        with pytest.raises(UnsupportedOperation, match="integrity"):
            vm.grow()
        assert SIZE == vm.volume().size


def test_an_open_block_device_grows_and_stays_open(vm: MountVm) -> None:
    process = vm.process()
    parts = vm.options(process)
    del parts["filesystems"]
    with encrypted_volume(vm.provider, REQUEST, mode=Mode.INTEGRITY, **parts) as disk:
        disk.write(TEXT)
        grown = vm.grow(integrity_growth=True)
        assert (GROWN, None) == (grown.capacity, grown.filesystem)
        assert 1 == len(vm.kernel.active)
    with encrypted_volume(vm.provider, LARGER, mode=Mode.INTEGRITY, **parts) as disk:
        assert TEXT == disk.read(len(TEXT))


def test_a_volume_that_is_open_in_user_space_grows(vm: MountVm) -> None:
    mapper = UserspaceMapper()
    parts = vm.options(mapper=mapper)
    del parts["filesystems"]
    with encrypted_volume(vm.provider, REQUEST, **parts) as disk:
        disk.write(CONTENT)
        assert PAYLOAD == grow_volume(vm.provider, "data", GROWN, **parts).payload
        mapping = mapper.get(vm.volume().id)
        assert mapping is not None
        assert PAYLOAD == mapping.size
    with encrypted_volume(vm.provider, LARGER, **parts) as disk:
        assert CONTENT == disk.read(len(CONTENT))


def test_what_is_mounted_for_reading_keeps_the_size_of_its_filesystem(vm: MountVm) -> None:
    with vm.mounted():
        vm.write()
    with vm.mounted(options=MountOptions(read_only=True)):
        assert (PAYLOAD, None) == (vm.grow().payload, vm.grow().filesystem)
    with vm.mounted(LARGER, options=MountOptions(read_only=True)):
        assert TEXT == vm.text()
    with vm.mounted(LARGER):
        assert PAYLOAD == vm.grow().filesystem


def test_integrity_that_is_mounted_for_reading_comes_back_for_reading(vm: MountVm) -> None:
    with vm.mounted(filesystem="ext4-integrity"):
        vm.write()
    options = MountOptions(read_only=True)
    with vm.mounted(filesystem="ext4-integrity", options=options):
        assert vm.grow(integrity_growth=True).filesystem is None
        (mount,) = vm.kernel.mounts.mounts
        (mapping,) = vm.kernel.active.values()
        assert (True, False) == (mount.is_read_only, mapping.writable)
        assert TEXT == vm.text()


# --- what is refused ---


def test_a_volume_that_is_in_use_elsewhere_or_unknown_is_not_touched(vm: MountVm) -> None:
    with pytest.raises(NotFound):
        vm.grow(name="none")
    perform(vm.provider, CreateVolume("t", "data", SIZE))
    with pytest.raises(UnknownVolume):
        vm.grow()
    vm.stage_register()
    with pytest.raises(StateForbids, match="new"):
        vm.grow()
    assert SIZE == vm.volume().size


def test_a_volume_that_another_instance_has_does_not_grow(vm: MountVm) -> None:
    with vm.mounted():
        pass
    vm.provisioner.ensure_attached(vm.volume().id, "other-vm")
    with pytest.raises(AttachedElsewhere):
        vm.grow()
    assert SIZE == vm.volume().size


def test_a_volume_never_shrinks(vm: MountVm) -> None:
    with vm.mounted():
        vm.grow()
        with pytest.raises(InvalidRequest):
            vm.grow(SIZE)


def test_a_disk_that_does_not_become_as_large_on_this_vm_is_no_growth(vm: MountVm) -> None:
    class Slow(LocalProvider):
        def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
            found = super().resume(handle, deadline=deadline)
            if isinstance(handle.intent, ResizeVolume):
                os.truncate(vm.image(), SIZE)
            return found

    with vm.mounted():
        vm.provider = Slow(vm.folder / "store")
        deadline = Deadline.after(5, clock=FakeClock())
        with pytest.raises(DeviceNotGrown):
            vm.grow(deadline=deadline)
        assert SIZE == vm.record().capacity


def test_what_is_in_use_is_not_closed_in_order_to_grow(vm: MountVm) -> None:
    with vm.mounted(filesystem="ext4-integrity"):
        vm.write()
        vm.kernel.mounts.refusals["unmount"] = errno.EBUSY
        with pytest.raises(MountBusy):
            vm.grow(integrity_growth=True)
        assert (1, 1) == (len(vm.kernel.active), len(vm.kernel.mounts.mounts))
        vm.kernel.mounts.refusals.clear()
        assert GROWN == vm.grow(integrity_growth=True).capacity


def test_what_is_mounted_twice_is_not_unmounted(vm: MountVm) -> None:
    with vm.mounted(filesystem="ext4-integrity"):
        second = vm.kernel.mounts.add(vm.folder / "second", vm.number(), root="/folder")
        with pytest.raises(MountConflict, match="there is 'it, and at "):
            vm.grow(integrity_growth=True)
        assert 2 == len(vm.kernel.mounts.mounts)
        vm.kernel.mounts.mounts.remove(second)


def test_what_was_mounted_by_hand_and_never_adopted_does_not_grow(vm: MountVm) -> None:
    with vm.mounted():
        record = vm.record()
        vm.set_payload(Raw())
        with pytest.raises(PayloadForbids, match="raw"):
            vm.grow()
        vm.set_payload(record.payload)


def test_what_cannot_grow_comes_back_as_it_was(vm: MountVm) -> None:
    with vm.mounted(filesystem="ext4-integrity"):
        vm.write()
        vm.provisioner.ensure_size(vm.volume().id, GROWN)
        with vm.image().open("r+b") as file:
            file.seek(GROWN - 4096)
            file.write(b"somebody was here")
        with pytest.raises(DeviceNotBlank):
            vm.grow(integrity_growth=True)
        assert SIZE == vm.record().capacity
        assert (1, 1) == (len(vm.kernel.active), len(vm.kernel.mounts.mounts))
        assert TEXT == vm.text()
    assert vm.is_at_rest()
