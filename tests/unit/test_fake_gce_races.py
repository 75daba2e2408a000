"""What goes wrong in Compute Engine itself: each race happens when a test asks for it."""

import pytest
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import FakeGce
from tests.unit.gce_calls import (
    DONE,
    TIMES,
    at,
    attach,
    attached,
    detach,
    devices,
    disks,
    failure,
    made,
    operations,
    read,
    refused,
    waited,
    write,
)


def held(gce: FakeGce) -> tuple[compute_v1.Disk, str]:
    """Return a disk and the instance that it is attached to."""
    disk, instance = made(gce), gce.run_instance()
    attached(gce, disk, instance)
    return disk, instance


class TestLateDetach:
    def test_it_rips_out_what_was_attached_after_it_had_begun(self, fake_gce: FakeGce) -> None:
        disk, instance = held(fake_gce)
        late = fake_gce.late_detach(instance, disk.name)
        waited(fake_gce, detach(fake_gce, instance, disk.name))
        attached(fake_gce, disk, instance)
        assert devices(fake_gce, instance) == [disk.name]
        fake_gce.let_go(late)
        fake_gce.clock.advance(TIMES.detach)
        assert devices(fake_gce, instance) == []
        assert list(disks(fake_gce).get(**at(), disk=disk.name).users) == []
        assert fake_gce.node(instance).name(str(disk.id)) is None
        done = operations(fake_gce).get(**at(), operation=late)
        assert (done.status, failure(done)) == (DONE, ("", 0))

    def test_who_lists_operations_sees_it_coming(self, fake_gce: FakeGce) -> None:
        disk, instance = held(fake_gce)
        late = fake_gce.late_detach(instance, disk.name)
        (target,) = {one.target_id for one in fake_gce.operations().values() if one.name == late}
        request = compute_v1.ListZoneOperationsRequest(
            **at(), filter=f"(targetId={target}) (status!=DONE)"
        )
        (found,) = operations(fake_gce).list(request=request)
        assert (found.name, found.operation_type) == (late, "detachDisk")
        assert found.status.name == "PENDING"

    def test_it_comes_by_itself_after_some_time(self, fake_gce: FakeGce) -> None:
        disk, instance = held(fake_gce)
        fake_gce.late_detach(instance, disk.name, seconds=60)
        fake_gce.clock.advance(60)
        assert devices(fake_gce, instance) == [disk.name]
        fake_gce.clock.advance(TIMES.detach)
        assert devices(fake_gce, instance) == []

    def test_the_wait_for_it_ends(self, fake_gce: FakeGce) -> None:
        disk, instance = held(fake_gce)
        late = fake_gce.late_detach(instance, disk.name, seconds=60)
        assert operations(fake_gce).wait(**at(), operation=late).status == DONE

    def test_it_finds_nothing_if_nothing_is_there(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance()
        late = fake_gce.late_detach(instance, "data", seconds=0)
        fake_gce.clock.advance(TIMES.detach)
        done = operations(fake_gce).get(**at(), operation=late)
        assert failure(done) == ("INVALID_USAGE", 400)

    def test_requests_of_a_client_can_be_as_late(self, fake_gce: FakeGce) -> None:
        disk, instance = held(fake_gce)
        fake_gce.hold_next("instances.detachDisk", status="PENDING", seconds=60)
        first = detach(fake_gce, instance, disk.name)
        waited(fake_gce, detach(fake_gce, instance, disk.name))
        attached(fake_gce, disk, instance)
        assert failure(waited(fake_gce, first)) == ("", 0)
        assert devices(fake_gce, instance) == []


class TestQueues:
    def test_an_instance_takes_so_many_operations(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance()
        wanted = [made(fake_gce) for _ in range(3)]
        fake_gce.limit_pending(instance, 2)
        first, _ = (attach(fake_gce, disk, instance) for disk in wanted[:2])
        found = refused(attach, fake_gce, wanted[2], instance)
        message = "Too many pending operations on a resource."
        assert found == (403, "rateLimitExceeded", message)
        waited(fake_gce, first)
        attached(fake_gce, wanted[2], instance)

    def test_detaching_counts_and_other_instances_do_not(self, fake_gce: FakeGce) -> None:
        disk, instance = held(fake_gce)
        fake_gce.limit_pending(instance, 1)
        detach(fake_gce, instance, disk.name)
        assert refused(detach, fake_gce, instance, disk.name)[:2] == (403, "rateLimitExceeded")
        attach(fake_gce, disk, fake_gce.run_instance())


class TestRippedOut:
    def test_a_disk_vanishes_from_its_instance(self, fake_gce: FakeGce) -> None:
        disk, instance = held(fake_gce)
        fake_gce.rip_out(instance, disk.name)
        assert devices(fake_gce, instance) == []
        assert list(disks(fake_gce).get(**at(), disk=disk.name).users) == []
        assert fake_gce.node(instance).name(str(disk.id)) is None
        assert len(fake_gce.operations()) == 2
        with pytest.raises(ValueError, match="no disk"):
            fake_gce.rip_out(instance, disk.name)


class TestDeviceNames:
    def test_a_device_name_of_another_disk_is_refused(self, fake_gce: FakeGce) -> None:
        disk, instance = held(fake_gce)
        found = refused(attach, fake_gce, made(fake_gce), instance, device_name=disk.name)
        assert found[:2] == (400, "invalid")

    def test_two_disks_can_have_one(self, fake_gce: FakeGce) -> None:
        fake_gce.share_device_names()
        first, instance = held(fake_gce)
        second = made(fake_gce)
        write(fake_gce.backing(str(second.id)), b"other")
        attached(fake_gce, second, instance, device_name=first.name)
        assert devices(fake_gce, instance) == [first.name, first.name]
        node = fake_gce.node(instance)
        assert read(node.root / "dev" / node.target(f"google-{first.name}"), 5) == b"other"
        waited(fake_gce, detach(fake_gce, instance, first.name))
        assert list(disks(fake_gce).get(**at(), disk=second.name).users) == []
        assert len(disks(fake_gce).get(**at(), disk=first.name).users) == 1

    def test_of_two_at_once_the_second_fails(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance()
        wanted = [made(fake_gce), made(fake_gce)]
        begun = [attach(fake_gce, disk, instance, device_name="data") for disk in wanted]
        codes = [failure(waited(fake_gce, one))[0] for one in begun]
        assert codes == ["", "INVALID_USAGE"]


class TestFailures:
    @pytest.mark.parametrize(
        ("code", "status"),
        [
            ("RATE_LIMIT_EXCEEDED", 429),
            ("RESOURCE_NOT_FOUND", 404),
            ("UNSUPPORTED_OPERATION", 400),
            ("OPERATION_CANCELED_BY_USER", 409),
        ],
    )
    def test_an_accepted_attachment_fails(self, fake_gce: FakeGce, code: str, status: int) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        fake_gce.fail_next("instances.attachDisk", code)
        operation = waited(fake_gce, attach(fake_gce, disk, instance))
        assert failure(operation) == (code, status)
        assert devices(fake_gce, instance) == []
        attached(fake_gce, disk, instance)

    def test_an_accepted_detachment_fails(self, fake_gce: FakeGce) -> None:
        disk, instance = held(fake_gce)
        fake_gce.fail_next("instances.detachDisk")
        operation = waited(fake_gce, detach(fake_gce, instance, disk.name))
        assert failure(operation) == ("INTERNAL_ERROR", 500)
        assert devices(fake_gce, instance) == [disk.name]

    def test_a_disk_deleted_while_it_is_being_attached_wins(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        begun = attach(fake_gce, disk, instance)
        deletion = disks(fake_gce).delete_unary(**at(), disk=disk.name)
        assert failure(waited(fake_gce, begun)) == ("INVALID_USAGE", 400)
        assert failure(waited(fake_gce, deletion)) == ("", 0)
        assert fake_gce.disks() == {}
