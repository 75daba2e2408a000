"""How a device is opened: the real `FileDisk` and the fake `MemoryHost` keep the same promises."""

from contextlib import closing
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import FileDisk, OpenDisk, read
from cloudcrypt.errors import DeviceBusy, DeviceIOError, DeviceUnavailable
from cloudcrypt.ledger import Record, SqliteLedger, State
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.disks import MemoryDisk, PowerCut
from cloudcrypt_testing.hosts import MemoryHost
from cloudcrypt_testing.power import CutLedger, DiskCut, LedgerCut, Power

RECORD = Record("vol", State.NEW, Mode.CRYPT, KeyPolicy.BOUND, MIB)


@attrs.frozen
class World:
    """One way to open devices, and two devices of 1 MiB."""

    open_disk: OpenDisk
    one: Path
    two: Path


@pytest.fixture(params=["files", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        host = MemoryHost()
        return World(host.open_disk, host.add("one", MIB).path, host.add("two", MIB).path)
    for name in ("one", "two"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(MIB)
    return World(FileDisk, tmp_path / "one", tmp_path / "two")


def test_what_was_written_is_read_by_the_next(world: World) -> None:
    with world.open_disk(world.one, writable=True) as disk:
        disk.write(4000, b"hello" * 100)
        disk.sync()
    with world.open_disk(world.one) as disk:
        assert b"hello" * 100 == read(disk, 4000, 500)
        assert sum(end - start for start, end in disk.extents(0, 8192)) == 8192


def test_a_blank_disk_has_no_extents(world: World) -> None:
    with world.open_disk(world.one) as disk:
        assert (MIB, []) == (disk.size, list(disk.extents(0, disk.size)))


def test_two_devices_are_told_apart(world: World) -> None:
    with world.open_disk(world.one) as one, world.open_disk(world.two) as two:
        assert one.identity != two.identity
    with world.open_disk(world.one) as again:
        assert one.identity == again.identity


def test_a_device_has_many_readers(world: World) -> None:
    with world.open_disk(world.one) as one, world.open_disk(world.one) as two:
        assert one.name == two.name == str(world.one)


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_a_writer_is_alone(world: World, *, first: bool, second: bool) -> None:
    with world.open_disk(world.one, writable=first):
        with pytest.raises(DeviceBusy) as refusal:
            world.open_disk(world.one, writable=second)
        assert str(world.one) == refusal.value.device
        world.open_disk(world.two, writable=True).close()
    world.open_disk(world.one, writable=second).close()


def test_closing_twice_is_closing_once(world: World) -> None:
    disk = world.open_disk(world.one, writable=True)
    disk.close()
    disk.close()
    world.open_disk(world.one, writable=True).close()


def test_what_is_not_there_is_unavailable(world: World) -> None:
    with pytest.raises(DeviceUnavailable):
        world.open_disk(world.one.with_name("three"))


def test_nothing_is_read_or_written_beyond_the_end(world: World) -> None:
    with world.open_disk(world.one, writable=True) as disk:
        with pytest.raises(DeviceIOError):
            disk.write(MIB - 1, b"ab")
        with pytest.raises(DeviceIOError):
            read(disk, MIB - 1, 2)


def test_a_device_in_memory_that_grew_is_larger_once_refreshed() -> None:
    host = MemoryHost()
    with host.open_disk(host.add("one", MIB).path) as disk:
        host.add("one", 2 * MIB)
        before = disk.size
        disk.refresh()
        assert (MIB, 2 * MIB) == (before, disk.size)


def test_a_copy_of_a_host_is_independent() -> None:
    host = MemoryHost()
    path = host.add("one", MIB).path
    twin = host.copy()
    with host.open_disk(path, writable=True) as disk:
        disk.write(0, b"hello")
    with twin.open_disk(path) as disk:
        assert bytes(5) == read(disk, 0, 5)


# --- power ---


@pytest.mark.parametrize("tear", [0, 1, 4])
def test_a_cut_of_the_disk_leaves_what_arrived_and_takes_everything_off(tear: int) -> None:
    disk, other, power = MemoryDisk(MIB), MemoryDisk(MIB), Power(DiskCut(1, tear))
    first, second = power.wrap(disk), power.wrap(other)
    first.write(0, b"aaaa")
    with pytest.raises(PowerCut):
        first.write(0, b"bbbb")
    for attempt in (
        lambda: second.write(0, b"cccc"),
        lambda: read(second, 0, 4),
        second.sync,
        power.check,
    ):
        with pytest.raises(PowerCut):
            attempt()
    assert b"bbbb"[:tear] + b"aaaa"[tear:] == read(disk, 0, 4)
    assert bytes(4) == read(other, 0, 4)


def test_writes_are_counted_over_all_times_a_disk_is_opened() -> None:
    power = Power(DiskCut(1))
    disk = MemoryDisk(MIB)
    power.wrap(disk).write(0, b"aaaa")
    with pytest.raises(PowerCut):
        power.wrap(disk).write(0, b"bbbb")
    assert [4, 4] == power.disk_writes


def test_power_without_a_cut_counts() -> None:
    power = Power()
    disk = power.wrap(MemoryDisk(MIB))
    disk.write(0, b"aaaa")
    disk.write(0, b"bb")
    disk.sync()
    power.check()
    assert [4, 2] == power.disk_writes
    assert not power.is_cut_at_ledger_write(is_durable=True)


def test_a_ledger_with_power_is_the_ledger() -> None:
    power = Power()
    with closing(SqliteLedger.in_memory()) as behind:
        ledger = CutLedger(behind, power)
        assert RECORD == ledger.add(RECORD) == ledger.get("vol")
        ready = attrs.evolve(RECORD, state=State.READY)
        assert ready == ledger.replace(RECORD, ready)
        assert [ready] == list(ledger.records())
        ledger.forget("vol")
        assert (None, 3) == (behind.get("vol"), power.ledger_writes)


@pytest.mark.parametrize("is_durable", [False, True])
def test_a_ledger_without_power_does_nothing(*, is_durable: bool) -> None:
    power = Power(LedgerCut(0, is_durable=is_durable))
    disk = power.wrap(MemoryDisk(MIB))
    with closing(SqliteLedger.in_memory()) as behind:
        ledger = CutLedger(behind, power)
        with pytest.raises(PowerCut):
            ledger.add(RECORD)
        for attempt in (
            lambda: ledger.get("vol"),
            lambda: ledger.add(RECORD),
            lambda: ledger.replace(RECORD, RECORD),
            lambda: ledger.forget("vol"),
            lambda: list(ledger.records()),
            lambda: disk.write(0, b"x"),
        ):
            with pytest.raises(PowerCut):
                attempt()
        assert (RECORD if is_durable else None) == behind.get("vol")
        assert (1, []) == (power.ledger_writes, power.disk_writes)


def test_a_cut_of_the_ledger_loses_what_the_disk_had_not_made_durable() -> None:
    disk, power = MemoryDisk(MIB), Power(LedgerCut(0, is_durable=True))
    cached = power.wrap(disk)
    cached.write(0, b"aaaa")
    cached.sync()
    cached.write(0, b"bbbb")
    with closing(SqliteLedger.in_memory()) as behind, pytest.raises(PowerCut):
        CutLedger(behind, power).add(RECORD)
    assert b"aaaa" == read(disk, 0, 4)
