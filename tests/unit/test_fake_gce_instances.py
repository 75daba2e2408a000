"""Instances: their limits, their hosts, their coming and going."""

from typing import Any

import pytest
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import FakeGce, Timings
from cloudcrypt_testing.fake_gce.devices import BOOT
from tests.unit.gce_calls import (
    OTHER_ZONE,
    PROJECT,
    ZONE,
    at,
    attach,
    attached,
    detach,
    disks,
    failure,
    instances,
    kind_of,
    made,
    read,
    refusal,
    refused,
    waited,
    write,
)


class TestLimits:
    @pytest.mark.parametrize(
        ("machine", "most"), [("e2-micro", 15), ("n4-standard-2", 15), ("c4d-highcpu-2", 3)]
    )
    def test_the_type_of_the_machine_limits_disks(
        self, fake_gce: FakeGce, machine: str, most: int
    ) -> None:
        instance = fake_gce.run_instance(machine=machine)
        kind = kind_of("hyperdisk-balanced")
        for _ in range(most):
            attached(fake_gce, made(fake_gce, type_=kind), instance)
        found = refused(attach, fake_gce, made(fake_gce, type_=kind), instance)
        assert found[:2] == (403, "limitExceeded")
        assert "Exceeded limit 'maximum_persistent_disks'" in found[2]
        assert found[2].endswith(f"Limit: {most + 1}.0")

    def test_a_test_can_set_the_limit(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance()
        fake_gce.limit_attachments(instance, 2)
        attached(fake_gce, made(fake_gce), instance)
        assert refusal(attach, fake_gce, made(fake_gce), instance) == (403, "limitExceeded")

    def test_two_attachments_at_once_cannot_pass_the_limit(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance()
        fake_gce.limit_attachments(instance, 2)
        wanted = [made(fake_gce), made(fake_gce)]
        begun = [attach(fake_gce, disk, instance) for disk in wanted]
        codes = [failure(waited(fake_gce, one))[0] for one in begun]
        assert codes == ["", "INVALID_USAGE"]

    def test_new_machines_take_hyperdisk_only(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance(machine="c4-standard-4")
        operation = waited(fake_gce, attach(fake_gce, made(fake_gce), instance))
        assert failure(operation) == ("UNSUPPORTED_OPERATION", 400)
        assert "[pd-standard] features are not compatible" in operation.error.errors[0].message


class TestNodes:
    @pytest.mark.parametrize(
        ("machine", "nvme", "name"),
        [
            ("n2-standard-4", None, "sdb"),
            ("n2-standard-4", True, "nvme0n2"),
            ("c3-standard-4", None, "nvme0n2"),
            ("c3-standard-4", False, "sdb"),
        ],
    )
    def test_the_host_shows_the_bytes(
        self, fake_gce: FakeGce, machine: str, *, nvme: bool | None, name: str
    ) -> None:
        disk = made(fake_gce, "data")
        instance = fake_gce.run_instance(machine=machine, nvme=nvme)
        write(fake_gce.backing(str(disk.id)), b"bytes")
        attached(fake_gce, disk, instance)
        node = fake_gce.node(instance)
        assert node.name(str(disk.id)) == name == node.target("google-data")
        assert read(node.root / "dev" / name, 5) == b"bytes"
        write(node.root / "dev" / name, b"other")
        waited(fake_gce, detach(fake_gce, instance, "data"))
        assert node.name(str(disk.id)) is None
        assert read(fake_gce.backing(str(disk.id)), 5) == b"other"

    def test_the_interface_is_that_of_the_machine(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance(nvme=True)
        attached(fake_gce, disk, instance, interface="NVME")
        host = instances(fake_gce).get(**at(), instance=instance.partition("/")[2])
        assert [one.interface for one in host.disks] == ["NVME", "NVME"]

    def test_a_device_can_appear_late(self, fake_gce: FakeGce) -> None:
        fake_gce.reset(timings=Timings(appear=60))
        disk, instance = made(fake_gce), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        assert fake_gce.node(instance).name(str(disk.id)) is None
        fake_gce.clock.advance(60)
        assert fake_gce.node(instance).name(str(disk.id)) is not None

    def test_a_device_does_not_appear_that_was_detached_meanwhile(self, fake_gce: FakeGce) -> None:
        fake_gce.reset(timings=Timings(appear=60))
        disk, instance = made(fake_gce), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        waited(fake_gce, detach(fake_gce, instance, disk.name))
        fake_gce.clock.advance(60)
        assert fake_gce.node(instance).name(str(disk.id)) is None


class TestInstances:
    def test_an_instance_has_a_boot_disk(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance(name="web")
        assert instance == f"{ZONE}/web"
        (boot,) = instances(fake_gce).get(**at(), instance="web").disks
        assert (boot.boot, boot.auto_delete, boot.device_name) == (True, True, BOOT)
        assert fake_gce.disks() == {}
        (disk,) = fake_gce.disks(boot=True).values()
        assert disk.users == (f"zones/{ZONE}/instances/web",)
        assert [one.disk_id for one in fake_gce.instances()[instance].disks] == [disk.id]

    def test_a_deleted_instance_leaves_its_data_disks(self, fake_gce: FakeGce) -> None:
        kept, gone = made(fake_gce), made(fake_gce)
        instance = fake_gce.run_instance(name="web")
        attached(fake_gce, kept, instance)
        attached(fake_gce, gone, instance, auto_delete=True)
        fake_gce.delete_instance(instance)
        assert list(fake_gce.disks(boot=True)) == [str(kept.id)]
        assert list(disks(fake_gce).get(**at(), disk=kept.name).users) == []
        get = instances(fake_gce).get
        assert refusal(get, **at(), instance="web") == (404, "notFound")
        again = fake_gce.run_instance(name="web")
        attached(fake_gce, kept, again)
        assert fake_gce.node(again).name(str(kept.id)) == "sdb"

    def test_an_operation_finds_its_instance_gone(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        begun = attach(fake_gce, disk, instance)
        fake_gce.delete_instance(instance)
        assert failure(waited(fake_gce, begun)) == ("RESOURCE_NOT_FOUND", 404)

    def test_instances_are_listed(self, fake_gce: FakeGce) -> None:
        first, second = fake_gce.run_instance(), fake_gce.run_instance(OTHER_ZONE)
        names = [one.name for one in instances(fake_gce).list(**at())]
        assert [f"{ZONE}/{name}" for name in names] == [first]
        groups = dict(instances(fake_gce).aggregated_list(project=PROJECT))
        (other,) = groups[f"zones/{OTHER_ZONE}"].instances
        assert f"{OTHER_ZONE}/{other.name}" == second

    @pytest.mark.parametrize(
        "arguments",
        [{"zone": "mars-a"}, {"machine": "n2-huge-4"}, {"machine": "zx81"}, {"name": "web"}],
    )
    def test_only_what_can_be_is_started(
        self, fake_gce: FakeGce, arguments: dict[str, Any]
    ) -> None:
        fake_gce.run_instance(name="web")
        with pytest.raises(ValueError, match=r"no zone|exists"):
            fake_gce.run_instance(**arguments)
        with pytest.raises(ValueError, match="no instance"):
            fake_gce.node(f"{ZONE}/none")


def test_the_documents_name_the_type_of_the_machine(fake_gce: FakeGce) -> None:
    instance = fake_gce.run_instance(machine="c3-standard-4")
    found: compute_v1.Instance = instances(fake_gce).get(
        **at(), instance=instance.partition("/")[2]
    )
    assert found.machine_type.endswith(f"/zones/{ZONE}/machineTypes/c3-standard-4")
    assert found.status == "RUNNING"
