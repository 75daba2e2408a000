"""The clock, the agenda, the faults, the files and the hosts that fake clouds share."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from cloudcrypt.waiting import Clock, Deadline
from cloudcrypt_testing.world.agenda import Agenda
from cloudcrypt_testing.world.backing import Backing
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.faults import (
    Call,
    FaultSchedule,
    ReplyLost,
    ServerError,
    StaleRead,
    Throttled,
)
from cloudcrypt_testing.world.node import FakeNode, NodeDevice

MIB = 1024 * 1024


class TestClock:
    def test_it_stands_still_until_it_is_moved(self) -> None:
        clock = FakeClock(datetime(2031, 5, 1, tzinfo=UTC))
        clock.advance(90)
        assert (clock.monotonic(), clock.now()) == (90, datetime(2031, 5, 1, 0, 1, 30, tzinfo=UTC))

    def test_sleeping_advances_it(self) -> None:
        clock = FakeClock()
        clock.sleep(2.5)
        assert clock.monotonic() == 2.5

    def test_who_was_woken_before_does_not_sleep(self) -> None:
        clock, wake = FakeClock(), threading.Event()
        wake.set()
        clock.sleep(100, wake)
        assert clock.monotonic() == 0

    def test_it_never_goes_back(self) -> None:
        with pytest.raises(ValueError, match="back"):
            FakeClock().advance(-1)

    def test_a_tick_moves_it_by_what_a_request_takes(self) -> None:
        clock = FakeClock(tick=0.5)
        clock.tick()
        assert clock.monotonic() == 0.5

    def test_real_time_passes_by_itself(self) -> None:
        clock = FakeClock(is_real=True)
        clock.advance(10)
        clock.sleep(0.001)
        assert 10.001 <= clock.monotonic() < 100

    def test_those_who_listen_hear_of_each_move_until_they_do_not(self) -> None:
        clock, heard = FakeClock(), list[float]()

        def listener() -> None:
            heard.append(clock.monotonic())

        clock.listen(listener)
        clock.advance(1)
        clock.unlisten(listener)
        clock.unlisten(listener)
        clock.advance(1)
        assert heard == [1]

    def test_deadlines_of_the_library_take_it(self) -> None:
        clock = FakeClock()
        taken: Clock = clock
        deadline = Deadline.after(10, clock=taken)
        clock.advance(4)
        assert deadline.remaining == 6

    def test_threads_that_advance_it_lose_nothing(self) -> None:
        clock = FakeClock()

        def work() -> None:
            for _ in range(500):
                clock.advance(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert clock.monotonic() == 2000


class TestAgenda:
    def test_what_is_due_happens_in_order_and_sees_its_own_time(self) -> None:
        clock = FakeClock()
        agenda, seen = Agenda(clock), list[tuple[str, float]]()
        agenda.later(5, lambda: seen.append(("late", agenda.moment)))
        agenda.later(2, lambda: seen.append(("early", agenda.moment)))
        agenda.later(9, lambda: seen.append(("never", agenda.moment)))
        clock.advance(6)
        agenda.settle()
        assert seen == [("early", 2), ("late", 5)]
        assert agenda.moment == 6

    def test_what_an_event_leads_to_happens_as_well(self) -> None:
        clock = FakeClock()
        agenda, seen = Agenda(clock), list[float]()
        agenda.later(1, lambda: agenda.later(1, lambda: seen.append(agenda.moment)))
        clock.advance(10)
        agenda.settle()
        assert seen == [2]


class TestFaults:
    def test_what_shows_the_present_cannot_be_stale(self) -> None:
        faults = FaultSchedule(shows_past=False)
        with pytest.raises(ValueError, match="shows the present"):
            faults.add(StaleRead())
        faults.add(ReplyLost())
        assert len(faults.strike(Call("s", "Get", {}))) == 1

    CREATE = Call("ec2", "CreateVolume", {"Size": "1"})
    DESCRIBE = Call("ec2", "DescribeVolumes", {})

    def test_a_fault_strikes_the_next_matching_call_once(self) -> None:
        faults = FaultSchedule()
        faults.add(ReplyLost(), on="CreateVolume")
        calls = (self.DESCRIBE, self.CREATE, self.CREATE)
        assert [faults.strike(call) for call in calls] == [(), (ReplyLost(),), ()]

    def test_a_fault_strikes_at_a_chosen_occurrence_and_some_times_in_a_row(self) -> None:
        faults = FaultSchedule()
        faults.add(Throttled(), on="Describe*", occurrence=2, times=2)
        struck = [bool(faults.strike(self.DESCRIBE)) for _ in range(5)]
        assert struck == [False, True, True, False, False]

    def test_a_fault_can_go_on_until_it_is_cleared(self) -> None:
        faults = FaultSchedule()
        faults.add(ServerError(), times=None)
        before = [faults.strike(self.CREATE) for _ in range(3)]
        faults.clear()
        assert before == [(ServerError(),)] * 3
        assert faults.strike(self.CREATE) == ()

    def test_a_condition_chooses_by_parameters(self) -> None:
        faults = FaultSchedule()
        faults.add(Throttled(), when=lambda call: call.parameters.get("Size") == "1")
        assert faults.strike(self.DESCRIBE) == ()
        assert faults.strike(self.CREATE) == (Throttled(),)

    def test_several_faults_can_strike_one_call(self) -> None:
        faults = FaultSchedule()
        faults.add(StaleRead(2))
        faults.add(ReplyLost())
        assert faults.strike(self.DESCRIBE) == (StaleRead(2), ReplyLost())


class TestBacking:
    def test_a_new_file_has_its_size_and_takes_no_space(self, tmp_path: Path) -> None:
        backing = Backing(tmp_path / "files")
        backing.create("a", 1024 * MIB)
        found = backing.path("a").stat()
        assert (found.st_size, found.st_blocks) == (1024 * MIB, 0)

    def test_a_copy_has_the_content_and_the_holes(self, tmp_path: Path) -> None:
        backing = Backing(tmp_path)
        backing.create("a", 1024 * MIB)
        with backing.path("a").open("r+b") as file:
            file.write(b"begin")
            file.seek(512 * MIB - 3)
            file.write(b"middle")
        backing.copy("a", "b", 0)
        with backing.path("b").open("rb") as file:
            assert file.read(5) == b"begin"
            file.seek(512 * MIB - 3)
            assert file.read(6) == b"middle"
        found = backing.path("b").stat()
        assert found.st_size == 1024 * MIB
        assert found.st_blocks * 512 <= MIB

    def test_a_copy_can_be_larger_and_ends_in_zeros(self, tmp_path: Path) -> None:
        backing = Backing(tmp_path)
        backing.create("a", 8)
        backing.path("a").write_bytes(b"x" * 8)
        backing.copy("a", "b", 16)
        assert backing.path("b").read_bytes() == b"x" * 8 + bytes(8)

    def test_growing_keeps_the_file_and_never_shrinks_it(self, tmp_path: Path) -> None:
        backing = Backing(tmp_path)
        backing.create("a", 8)
        inode = backing.path("a").stat().st_ino
        backing.grow("a", 16)
        backing.grow("a", 4)
        found = backing.path("a").stat()
        assert (found.st_ino, found.st_size) == (inode, 16)

    def test_removing_and_clearing_leave_nothing(self, tmp_path: Path) -> None:
        backing = Backing(tmp_path / "files")
        backing.create("a", 8)
        backing.create("b", 8)
        backing.remove("a")
        backing.remove("a")
        backing.clear()
        assert list((tmp_path / "files").iterdir()) == []


class TestNode:
    SCSI = NodeDevice("sda", (8, 0), {"vendor": "Google  \n"}, ("google-data",))

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Path:
        path = tmp_path / "disk"
        path.write_bytes(bytes(MIB))
        return path

    def test_a_device_shows_its_file_size_number_attributes_and_link(
        self, tmp_path: Path, disk: Path
    ) -> None:
        node = FakeNode(tmp_path / "node")
        node.plug(self.SCSI, disk)
        sys = node.root / "sys" / "block" / "sda"
        link = node.root / "dev" / "disk" / "by-id" / "google-data"
        assert (node.root / "dev" / "sda").samefile(disk)
        assert sys.joinpath("size").read_text() == "2048\n"
        assert sys.joinpath("dev").read_text() == "8:0\n"
        assert sys.joinpath("device", "vendor").read_text() == "Google  \n"
        assert link.readlink() == Path("../../sda")
        assert link.samefile(disk)
        assert (node.root / "sys" / "dev" / "block" / "8:0").samefile(sys)

    def test_nothing_is_left_of_a_device_that_was_unplugged(
        self, tmp_path: Path, disk: Path
    ) -> None:
        node = FakeNode(tmp_path / "node")
        empty = sorted(node.root.rglob("*"))
        node.plug(self.SCSI, disk)
        node.unplug("sda")
        node.unplug("sda")
        assert sorted(node.root.rglob("*")) == empty
        assert disk.exists()

    def test_a_link_that_points_elsewhere_outlives_its_device(
        self, tmp_path: Path, disk: Path
    ) -> None:
        node = FakeNode(tmp_path / "node")
        node.plug(self.SCSI, disk)
        node.point("google-data", "sdb")
        node.unplug("sda")
        assert node.target("google-data") == "sdb"

    def test_a_new_size_is_shown(self, tmp_path: Path, disk: Path) -> None:
        node = FakeNode(tmp_path / "node")
        node.plug(self.SCSI, disk)
        node.resize("sda", 2 * MIB)
        assert (node.root / "sys" / "block" / "sda" / "size").read_text() == "4096\n"

    def test_an_attribute_may_be_bytes_and_the_block_device_has_its_own(
        self, tmp_path: Path, disk: Path
    ) -> None:
        node = FakeNode(tmp_path / "node")
        page = bytes(range(256))
        node.plug(NodeDevice("sda", (8, 0), {"vpd_pg83": page}, block={"nsid": "3\n"}), disk)
        sys = node.root / "sys" / "block" / "sda"
        assert sys.joinpath("device", "vpd_pg83").read_bytes() == page
        assert sys.joinpath("nsid").read_text() == "3\n"

    def test_a_link_with_a_slash_is_below_dev_disk(self, tmp_path: Path, disk: Path) -> None:
        node = FakeNode(tmp_path / "node")
        node.plug(attrs.evolve(self.SCSI, links=("azure/data/by-lun/0",)), disk)
        link = node.root / "dev" / "disk" / "azure" / "data" / "by-lun" / "0"
        assert link.samefile(disk)
        assert node.target("azure/data/by-lun/0") == "sda"
        node.unplug("sda")
        assert not link.is_symlink()

    def test_the_attributes_of_a_scsi_disk_are_where_its_address_is(
        self, tmp_path: Path, disk: Path
    ) -> None:
        node = FakeNode(tmp_path / "node")
        address = "devices/pci0000:00/host0/target0:0:2/0:0:2:0"
        node.plug(attrs.evolve(self.SCSI, controller=address), disk)
        device = node.root / "sys" / "block" / "sda" / "device"
        assert device.resolve() == (node.root / "sys" / address).resolve()
        assert device.joinpath("vendor").read_text() == "Google  \n"
        node.unplug("sda")
        assert not node.root.joinpath("sys", address).exists()

    def test_what_disks_share_stays_until_the_last_of_them_is_unplugged(
        self, tmp_path: Path, disk: Path
    ) -> None:
        node = FakeNode(tmp_path / "node")
        controller = node.root / "sys" / "class" / "nvme" / "nvme0"
        for number in (1, 2):
            name = f"nvme0n{number}"
            node.plug(
                NodeDevice(name, (259, number), {"model": "m"}, controller="class/nvme/nvme0"), disk
            )
        node.unplug("nvme0n1")
        shared = node.root / "sys" / "block" / "nvme0n2" / "device" / "model"
        assert shared.read_text() == "m"
        node.unplug("nvme0n2")
        assert not controller.exists()

    def test_what_is_described_is_there_whatever_disks_there_are(self, tmp_path: Path) -> None:
        node = FakeNode(tmp_path / "node")
        node.describe("devices/VMBUS:01/f8b3781b", {"device_id": "{f8b3781b}\n"})
        node.describe("devices/VMBUS:01/f8b3781b", {"class_id": "x"})
        folder = node.root / "sys" / "devices" / "VMBUS:01" / "f8b3781b"
        assert sorted(each.name for each in folder.iterdir()) == ["class_id", "device_id"]
