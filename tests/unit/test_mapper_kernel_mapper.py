"""The kernel mapper where it needs no block device: names, locks, hosts that lack something."""

from pathlib import Path
from typing import Any, NoReturn

import attrs
import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    DeviceBusy,
    DeviceIOError,
    DeviceUnavailable,
    HostUnready,
    MappingConflict,
    MappingFailed,
    UnsupportedOperation,
)
from cloudcrypt.luks2 import layout
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.mapper._devicemapper import Active, DeviceMapper, Target
from cloudcrypt.mapper._libcryptsetup import CallError, Library
from cloudcrypt.mapper._locks import PATIENCE, MappingLocks
from cloudcrypt.model import Mode
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.hosts import MemoryHost
from tests.unit.clocks import FakeClock

VOLUME = "local:0123456789ab/vol-0123456789abcdef0"
NAME = "vol-0123456789abcdef0"
UUID = f"CRYPT-LUKS2-{32 * '0'}-{NAME}"


def active(name: str = NAME, uuid: str = UUID, **facts: Any) -> Active:
    """Return a device of the device-mapper, in rest and of 1 MiB unless told otherwise."""
    found = Active(
        name=name,
        uuid=uuid,
        number="253:0",
        users=0,
        readonly=False,
        suspended=False,
        leaving=False,
        pending=False,
        targets=(Target(0, MIB // 512, "crypt", ""),),
        sequence=7,
    )
    return attrs.evolve(found, **facts)


@attrs.define
class Devices:
    """A device-mapper whose devices are what a test says; ``lingering`` ones do not go at once."""

    found: dict[str, Active] = attrs.Factory(dict[str, Active])
    removed: list[tuple[str, bool]] = attrs.Factory(list[tuple[str, bool]])
    lingering: set[str] = attrs.Factory(set[str])

    def find(self, name: str) -> Active | None:
        return self.found.get(name)

    def remove(self, name: str, *, deferred: bool = False) -> None:
        self.removed.append((name, deferred))
        if name not in self.lingering:
            self.found.pop(name, None)

    def limit(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("nothing is mapped here, only found and removed")

    def holders(self, number: str) -> tuple[str, ...]:
        return {"253:0": ("dm-7",)}.get(number, ())


class Libcryptsetup:
    """A library that unmaps, or fails with an error number."""

    def __init__(self, devices: Devices, code: int = 0) -> None:
        self.devices = devices
        self.code = code

    def activate(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("nothing is mapped here, only found and removed")

    def resize(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("nothing is mapped here, only found and removed")

    def deactivate(self, name: str) -> None:
        if self.code:
            raise CallError(self.code, ("why",))
        self.devices.found.pop(name)
        self.devices.found.pop(f"{name}_dif", None)


@pytest.fixture
def devices() -> Devices:
    return Devices()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def mapper(devices: Devices, clock: FakeClock, tmp_path: Path) -> KernelMapper:
    return mapper_with(devices, clock, tmp_path, Libcryptsetup(devices))


def mapper_with(devices: Devices, clock: FakeClock, folder: Path, library: Library) -> KernelMapper:
    return KernelMapper(
        runtime=folder / "run", devices=devices, library=lambda: library, clock=clock
    )


def never() -> NoReturn:
    pytest.fail("the volume was unlocked")


def test_what_is_mapped_by_others_is_active_and_not_got(
    mapper: KernelMapper, devices: Devices
) -> None:
    assert (False, None) == (mapper.is_active(VOLUME), mapper.get(VOLUME))
    for name in (NAME, f"{NAME}_dif", f"{NAME}_lim"):  # the latter are what a crash leaves
        devices.found = {name: active(name)}
        assert (True, None) == (mapper.is_active(VOLUME), mapper.get(VOLUME))


def test_what_is_not_mapped_is_neither_closed_nor_resized(
    mapper: KernelMapper, devices: Devices
) -> None:
    assert mapper.deactivate(VOLUME) is False
    mapper.resize(VOLUME, 32 * MIB, never)
    assert [] == devices.removed


def test_what_a_crash_left_is_removed_by_closing(mapper: KernelMapper, devices: Devices) -> None:
    for uuid in ("CRYPT-INTEGRITY-1", "CRYPT-SUBDEV-1", "CLOUDCRYPT-LIMIT-1"):
        devices.found = {name: active(name, uuid) for name in (f"{NAME}_dif", f"{NAME}_lim")}
        assert mapper.deactivate(VOLUME) is False
        assert {} == devices.found
    assert {(f"{NAME}_dif", True), (f"{NAME}_lim", True)} == set(devices.removed)


def test_what_a_crash_left_and_somebody_uses_is_busy(
    mapper: KernelMapper, devices: Devices, clock: FakeClock
) -> None:
    devices.found = {f"{NAME}_dif": active(f"{NAME}_dif", "CRYPT-INTEGRITY-1")}
    devices.lingering = {f"{NAME}_dif"}
    began = clock.monotonic()
    with pytest.raises(DeviceBusy, match=NAME):
        mapper.deactivate(VOLUME)
    assert 2.5 < clock.monotonic() - began < 4


def test_a_device_of_somebody_else_below_is_left_alone(
    mapper: KernelMapper, devices: Devices
) -> None:
    devices.found = {f"{NAME}_dif": active(f"{NAME}_dif", "LVM-1")}
    with pytest.raises(MappingConflict, match="LVM-1"):
        mapper.deactivate(VOLUME)
    assert [] == devices.removed


@pytest.mark.parametrize("uuid", ["", "LVM-1", "CRYPT-PLAIN-x", f"CRYPT-LUKS2-{32 * '0'}-other"])
def test_a_mapping_of_somebody_else_is_not_closed(
    mapper: KernelMapper, devices: Devices, uuid: str
) -> None:
    devices.found = {NAME: active(uuid=uuid)}
    with pytest.raises(MappingConflict) as refusal:
        mapper.deactivate(VOLUME)
    assert (NAME, "uuid", uuid) == (
        refusal.value.mapping,
        refusal.value.field,
        refusal.value.found,
    )
    assert NAME in devices.found


def test_a_mapping_whose_node_is_not_there_is_unmapped_and_reported(
    mapper: KernelMapper, devices: Devices
) -> None:
    other = "local:0123456789ab/vol-ffffffffffffffff0"
    name = "vol-ffffffffffffffff0"
    devices.found = {name: active(name, f"CRYPT-LUKS2-{32 * '0'}-{name}")}
    with pytest.raises(DeviceIOError, match="flush") as failure:
        mapper.deactivate(other)
    assert isinstance(failure.value.__cause__, DeviceUnavailable)
    assert {} == devices.found


@pytest.mark.parametrize(("code", "kind"), [(5, MappingFailed), (16, DeviceBusy)])
def test_a_removal_that_fails_is_an_error(
    devices: Devices, clock: FakeClock, tmp_path: Path, code: int, kind: type[Exception]
) -> None:
    mapper = mapper_with(devices, clock, tmp_path, Libcryptsetup(devices, code))
    devices.found = {NAME: active()}
    with pytest.raises(kind):
        mapper.deactivate(VOLUME)
    assert NAME in devices.found


def test_a_mapping_in_use_is_busy_after_a_while(
    mapper: KernelMapper, devices: Devices, clock: FakeClock
) -> None:
    devices.found = {NAME: active(users=1)}
    began = clock.monotonic()
    with pytest.raises(DeviceBusy, match=NAME):
        mapper.deactivate(VOLUME)
    assert 2.5 < clock.monotonic() - began < 4


def test_a_flush_that_failed_is_told_though_the_mapping_was_in_use_then(
    mapper: KernelMapper, devices: Devices
) -> None:
    devices.found = {NAME: active(users=1)}  # without a node here, so that it cannot be flushed
    with pytest.raises(DeviceBusy):
        mapper.deactivate(VOLUME)
    devices.found = {}  # its user closed it
    with pytest.raises(DeviceIOError, match="flush"):
        mapper.deactivate(VOLUME)
    assert mapper.deactivate(VOLUME) is False  # once


def test_closing_waits_for_what_is_below(mapper: KernelMapper, devices: Devices) -> None:
    limit = f"{NAME}_lim"  # removed by itself, unless somebody looks at it just then
    devices.found = {NAME: active(), limit: active(limit, "CLOUDCRYPT-LIMIT-1")}
    with pytest.raises(DeviceIOError):  # there is no node here to flush
        mapper.deactivate(VOLUME)
    assert {} == devices.found
    devices.found = {NAME: active(), limit: active(limit, "CLOUDCRYPT-LIMIT-1")}
    devices.lingering = {limit}
    with pytest.raises(DeviceBusy, match=NAME):
        mapper.deactivate(VOLUME)
    assert {limit} == set(devices.found)


def test_the_end_of_a_mapping_in_use_is_left_to_the_kernel(
    mapper: KernelMapper, devices: Devices
) -> None:
    devices.found = {NAME: active(users=1), f"{NAME}_dif": active(f"{NAME}_dif", users=1)}
    devices.lingering = set(devices.found)
    with pytest.raises(DeviceIOError):  # there is no node here to flush
        mapper.deactivate(VOLUME, deferred=True)
    assert [(NAME, True), (f"{NAME}_dif", True)] == devices.removed
    with pytest.raises(DeviceIOError):  # not gone yet
        mapper.deactivate(VOLUME, deferred=True)
    devices.found = {}
    assert [True, False] == [mapper.deactivate(VOLUME) for _ in range(2)]


def test_a_mapping_that_is_large_enough_is_not_unlocked_for_growing(
    mapper: KernelMapper, devices: Devices
) -> None:
    devices.found = {NAME: active()}
    mapper.resize(VOLUME, layout.DATA_OFFSET + MIB, never)
    mapper.resize(VOLUME, layout.DATA_OFFSET + MIB - 4096, never)  # never made smaller


def test_a_mapping_with_integrity_keeps_its_size(mapper: KernelMapper, devices: Devices) -> None:
    devices.found = {NAME: active(), f"{NAME}_dif": active(f"{NAME}_dif")}
    mapper.resize(VOLUME, layout.DATA_OFFSET + 2 * MIB, never)


def test_a_mapping_is_known_again_by_number_and_sequence(devices: Devices) -> None:
    mine = active()
    mapping = KernelMapping(VOLUME, Mode.CRYPT, mine, (1, 2), devices)
    assert (VOLUME, True, (1, 2), Path("/dev/mapper", NAME)) == (
        mapping.volume_id,
        mapping.writable,
        mapping.device_identity,
        mapping.path,
    )
    assert mapping.is_of(mine)
    assert mapping.is_of(attrs.evolve(mine, users=3))
    for other in (
        None,
        attrs.evolve(mine, number="253:1"),
        attrs.evolve(mine, sequence=8),
        attrs.evolve(mine, leaving=True),
    ):
        assert not mapping.is_of(other)
    unnumbered = attrs.evolve(mine, sequence=None)  # before Linux 5.15: it may be another one
    assert not KernelMapping(VOLUME, Mode.CRYPT, unnumbered, (1, 2), devices).is_of(unnumbered)


def test_the_size_of_a_mapping_is_what_the_kernel_says_now(devices: Devices) -> None:
    devices.found = {NAME: active()}
    mapping = KernelMapping(VOLUME, Mode.CRYPT, active(readonly=True), (1, 2), devices)
    assert not mapping.writable
    assert mapping.size == MIB
    devices.found[NAME] = active(targets=(Target(0, 5 * MIB // 512, "crypt", ""),))
    assert mapping.size == 5 * MIB
    devices.found = {}
    with pytest.raises(DeviceUnavailable, match="closed"):
        _ = mapping.size


def test_a_volume_in_memory_or_in_a_file_is_not_mapped(
    mapper: KernelMapper, tmp_path: Path
) -> None:
    host = MemoryHost()
    disk = host.open_disk(host.add("vol", MemoryDisk(MIB)).path)
    with pytest.raises((DeviceUnavailable, UnsupportedOperation)):
        mapper.activate(VOLUME, disk, None, writable=True)  # type: ignore[arg-type]
    assert not disk.is_closed


def test_what_cannot_be_removed_after_a_failure_is_left_to_the_kernel_and_told(
    devices: Devices, clock: FakeClock, tmp_path: Path
) -> None:
    mapper = mapper_with(devices, clock, tmp_path, Libcryptsetup(devices, 5))
    devices.found = {NAME: active(), f"{NAME}_dif": active(f"{NAME}_dif")}
    first = MappingConflict(NAME, "length", "8", "16")
    with pytest.raises(MappingConflict) as failure, mapper._removing_on_failure(NAME):
        raise first
    assert failure.value is first
    assert "could not be removed at once" in first.__notes__[0]
    assert {} == devices.found
    assert [(NAME, True), (f"{NAME}_dif", True)] == devices.removed


def test_an_interrupt_after_the_activation_leaves_nothing_mapped(
    mapper: KernelMapper, devices: Devices
) -> None:
    devices.found = {NAME: active()}
    with (
        pytest.raises(KeyboardInterrupt),
        mapper._removing_on_failure(NAME, unless=CloudcryptError),
    ):
        raise KeyboardInterrupt
    assert {} == devices.found
    devices.found = {NAME: active()}  # of somebody else, who was faster
    with (
        pytest.raises(MappingConflict),
        mapper._removing_on_failure(NAME, unless=CloudcryptError),
    ):
        raise MappingConflict(NAME, "name", "in use", "free")
    assert NAME in devices.found


# --- hosts ---


def test_a_host_without_device_mapper_says_so_at_the_first_question(tmp_path: Path) -> None:
    absent = DeviceMapper(tmp_path / "control")
    mapper = KernelMapper(runtime=tmp_path, devices=absent)
    for ask in (
        lambda: mapper.is_active(VOLUME),
        lambda: mapper.deactivate(VOLUME),
        lambda: mapper.resize(VOLUME, 32 * MIB, never),
    ):
        with pytest.raises(HostUnready, match="device-mapper"):
            ask()
    assert mapper.get(VOLUME) is None  # there can be none


def test_a_folder_for_locks_that_cannot_be_made_is_named(
    devices: Devices, clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / "run").touch()
    mapper = mapper_with(devices, clock, tmp_path, Libcryptsetup(devices))
    with pytest.raises(HostUnready, match="lock file") as refusal:
        mapper.deactivate(VOLUME)
    assert str(tmp_path / "run") in str(refusal.value)


# --- locks ---


def test_one_change_of_a_mapping_at_a_time(
    mapper: KernelMapper, clock: FakeClock, tmp_path: Path
) -> None:
    locks = MappingLocks(tmp_path / "run", clock)
    with locks.held(NAME):
        began = clock.monotonic()
        with pytest.raises(DeviceBusy, match=NAME):
            mapper.deactivate(VOLUME)
        assert PATIENCE <= clock.monotonic() - began < PATIENCE + 1
        assert mapper.deactivate("local:0123456789ab/vol-00000000000000000") is False
    assert mapper.deactivate(VOLUME) is False
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "run" / "mapper.lock").stat().st_mode & 0o777 == 0o600
