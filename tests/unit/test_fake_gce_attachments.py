"""Attaching and detaching: what Compute Engine does."""

import uuid
from typing import Any

import pytest

from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.fake_gce.devices import BOOT
from tests.unit.gce_calls import (
    OTHER_ZONE,
    PROJECT,
    THIRD_ZONE,
    TIMES,
    ZONE,
    at,
    attach,
    attached,
    detach,
    devices,
    disks,
    failure,
    insert,
    instances,
    kind_of,
    made,
    refusal,
    refused,
    region_disks,
    regional,
    waited,
    within,
)

IN_USE = "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"


class TestAttaching:
    def test_a_disk_is_attached_when_the_operation_is_done(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce, "data"), fake_gce.run_instance()
        operation = attach(fake_gce, disk, instance)
        assert devices(fake_gce, instance) == []
        assert failure(waited(fake_gce, operation)) == ("", 0)
        assert devices(fake_gce, instance) == ["data"]
        assert operation.operation_type == "attachDisk"

    def test_disk_and_instance_name_each_other_in_full(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce, "data"), fake_gce.run_instance(name="vm-10")
        attached(fake_gce, disk, instance, auto_delete=True)
        host = instances(fake_gce).get(**at(), instance="vm-10")
        found = host.disks[1]
        assert (found.source, found.device_name, found.mode) == (
            disk.self_link,
            "data",
            "READ_WRITE",
        )
        assert (found.auto_delete, found.index, found.disk_size_gb) == (True, 1, 10)
        assert list(disks(fake_gce).get(**at(), disk="data").users) == [host.self_link]
        assert host.self_link.endswith(
            f"/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances/vm-10"
        )

    def test_ids_stand_for_names(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce, "data"), fake_gce.run_instance()
        host = instances(fake_gce).get(**at(), instance=instance.partition("/")[2])
        source = f"projects/{PROJECT}/zones/{ZONE}/disks/{disk.id}"
        attached(fake_gce, disk, f"{ZONE}/{host.id}", source=source)
        assert devices(fake_gce, instance) == ["data"]

    def test_names_alone_may_be_taken_in_bodies(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce, "data"), fake_gce.run_instance()
        fake_gce.take_names_only()
        source = f"zones/{ZONE}/disks/{disk.id}"
        assert refusal(attach, fake_gce, disk, instance, source=source) == (400, "invalid")
        attached(fake_gce, disk, instance)

    def test_without_a_device_name_there_is_one(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance()
        for _ in range(2):
            attached(fake_gce, made(fake_gce), instance, device_name=None)
        assert devices(fake_gce, instance) == ["persistent-disk-1", "persistent-disk-2"]

    def test_the_same_request_id_attaches_once(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        token = str(uuid.uuid4())
        first = attach(fake_gce, disk, instance, request_id=token)
        waited(fake_gce, first)
        again = attach(fake_gce, disk, fake_gce.run_instance(), request_id=token)
        assert (again.id, failure(again)) == (first.id, ("", 0))

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"source": None}, (400, "required")),
            ({"source": f"zones/{ZONE}/disks/none"}, (404, "notFound")),
            ({"device_name": "d" * 64}, (400, "invalid")),
            ({"device_name": BOOT}, (400, "invalid")),
            ({"type_": "SCRATCH"}, (400, "invalid")),
            ({"mode": "WRITE"}, (400, "badRequest")),
            ({"interface": "NVME"}, (400, "invalid")),
            ({"boot": True}, (501, "notImplemented")),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, fake_gce: FakeGce, fields: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        assert refusal(attach, fake_gce, disk, instance, **fields) == expected
        assert devices(fake_gce, instance) == []

    def test_disk_and_instance_are_in_one_zone(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance(OTHER_ZONE)
        assert refusal(attach, fake_gce, disk, instance) == (400, "invalid")

    def test_a_disk_that_is_not_ready_is_not_attached(self, fake_gce: FakeGce) -> None:
        insert(fake_gce, "data")
        disk = disks(fake_gce).get(**at(), disk="data")
        found = refusal(attach, fake_gce, disk, fake_gce.run_instance())
        assert found == (400, "resourceNotReady")

    def test_an_instance_that_does_not_exist_is_not_found(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        assert refusal(attach, fake_gce, disk, f"{ZONE}/none") == (404, "notFound")
        assert refusal(detach, fake_gce, f"{ZONE}/none", "data") == (404, "notFound")


class TestInUse:
    def test_use_elsewhere_is_found_in_the_operation(self, fake_gce: FakeGce) -> None:
        disk, first = made(fake_gce, "data"), fake_gce.run_instance()
        attached(fake_gce, disk, first)
        for instance in (fake_gce.run_instance(), first):
            operation = waited(fake_gce, attach(fake_gce, disk, instance, device_name="other"))
            assert failure(operation) == (IN_USE, 400)
            assert operation.error.errors[0].message == (
                f"The disk resource 'projects/{PROJECT}/zones/{ZONE}/disks/data' is already being "
                f"used by 'projects/{PROJECT}/zones/{ZONE}/instances/{first.partition('/')[2]}'"
            )

    def test_use_elsewhere_can_be_found_at_once(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        attached(fake_gce, disk, fake_gce.run_instance())
        fake_gce.find_conflicts_early()
        found = refused(attach, fake_gce, disk, fake_gce.run_instance())
        assert found[:2] == (400, "resourceInUseByAnotherResource")
        assert "is already being used by" in found[2]

    def test_of_two_attachments_at_once_the_second_fails(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        hosts = [fake_gce.run_instance(), fake_gce.run_instance()]
        begun = [attach(fake_gce, disk, host) for host in hosts]
        assert [failure(waited(fake_gce, one))[0] for one in begun] == ["", IN_USE]
        assert [devices(fake_gce, host) for host in hosts] == [[disk.name], []]

    def test_many_instances_read_one_disk(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        for _ in range(2):
            attached(fake_gce, disk, fake_gce.run_instance(), mode="READ_ONLY")
        assert len(disks(fake_gce).get(**at(), disk=disk.name).users) == 2
        writer = waited(fake_gce, attach(fake_gce, disk, fake_gce.run_instance()))
        assert failure(writer)[0] == IN_USE

    def test_many_instances_write_to_a_shared_hyperdisk(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce, type_=kind_of("hyperdisk-balanced"), access_mode="READ_WRITE_MANY")
        for _ in range(2):
            attached(fake_gce, disk, fake_gce.run_instance())
        assert len(disks(fake_gce).get(**at(), disk=disk.name).users) == 2

    def test_a_hyperdisk_for_one_writer_is_not_shared_by_readers(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce, type_=kind_of("hyperdisk-balanced"))
        attached(fake_gce, disk, fake_gce.run_instance(), mode="READ_ONLY")
        begun = attach(fake_gce, disk, fake_gce.run_instance(), mode="READ_ONLY")
        assert failure(waited(fake_gce, begun))[0] == IN_USE

    def test_a_hyperdisk_for_readers_has_no_writer(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce, type_=kind_of("hyperdisk-ml"), access_mode="READ_ONLY_MANY")
        assert refusal(attach, fake_gce, disk, fake_gce.run_instance()) == (400, "invalid")
        for _ in range(2):
            attached(fake_gce, disk, fake_gce.run_instance(), mode="READ_ONLY")


class TestDetaching:
    def test_a_disk_is_detached_when_the_operation_is_done(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        operation = detach(fake_gce, instance, disk.name)
        assert devices(fake_gce, instance) == [disk.name]
        assert failure(waited(fake_gce, operation)) == ("", 0)
        assert devices(fake_gce, instance) == []
        found = disks(fake_gce).get(**at(), disk=disk.name)
        assert (list(found.users), bool(found.last_detach_timestamp)) == ([], True)

    def test_the_device_name_counts_not_that_of_the_disk(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce, "data"), fake_gce.run_instance()
        attached(fake_gce, disk, instance, device_name="other")
        found = refused(detach, fake_gce, instance, "data")
        assert found[:2] == (400, "invalid")
        assert found[2].endswith("No attached disk found with device name 'data'")
        assert failure(waited(fake_gce, detach(fake_gce, instance, "other"))) == ("", 0)

    def test_of_two_detachments_at_once_the_second_fails(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        begun = [detach(fake_gce, instance, disk.name) for _ in range(2)]
        codes = [failure(waited(fake_gce, one))[0] for one in begun]
        assert codes == ["", "INVALID_USAGE"]

    def test_the_boot_disk_stays(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance()
        assert refusal(detach, fake_gce, instance, BOOT) == (400, "invalid")


class TestRegionalDisks:
    def test_it_is_attached_in_its_zones_only(self, fake_gce: FakeGce) -> None:
        disk = regional(fake_gce, zones=(ZONE, OTHER_ZONE))
        elsewhere = fake_gce.run_instance(THIRD_ZONE)
        assert refusal(attach, fake_gce, disk, elsewhere) == (400, "invalid")
        attached(fake_gce, disk, fake_gce.run_instance(OTHER_ZONE))

    def test_it_can_be_taken_by_force(self, fake_gce: FakeGce) -> None:
        disk = regional(fake_gce)
        first, second = fake_gce.run_instance(ZONE), fake_gce.run_instance(OTHER_ZONE)
        attached(fake_gce, disk, first)
        assert failure(waited(fake_gce, attach(fake_gce, disk, second)))[0] == IN_USE
        attached(fake_gce, disk, second, force=True)
        (user,) = region_disks(fake_gce).get(**within(), disk=disk.name).users
        assert user.endswith(f"/zones/{second.replace('/', '/instances/')}")
        assert devices(fake_gce, first) == []
        assert fake_gce.node(first).name(str(disk.id)) is None

    def test_a_zonal_disk_cannot(self, fake_gce: FakeGce) -> None:
        found = refusal(attach, fake_gce, made(fake_gce), fake_gce.run_instance(), force=True)
        assert found == (400, "invalid")

    def test_force_in_the_body_does_nothing(self, fake_gce: FakeGce) -> None:
        disk = regional(fake_gce)
        attached(fake_gce, disk, fake_gce.run_instance())
        operation = attach(fake_gce, disk, fake_gce.run_instance(), force_attach=True)
        assert failure(waited(fake_gce, operation))[0] == IN_USE


def test_attaching_and_detaching_take_their_time(fake_gce: FakeGce) -> None:
    disk, instance = made(fake_gce), fake_gce.run_instance()
    begun = fake_gce.clock.monotonic()
    attached(fake_gce, disk, instance)
    middle = fake_gce.clock.monotonic()
    waited(fake_gce, detach(fake_gce, instance, disk.name))
    assert middle - begun == pytest.approx(TIMES.attach)
    assert fake_gce.clock.monotonic() - middle == pytest.approx(TIMES.detach)
    assert [one.action for one in fake_gce.operations().values()] == [
        "disks.insert",
        "instances.attachDisk",
        "instances.detachDisk",
    ]
