"""Hosts that share a disk, are switched off or deleted, and those that cannot be."""

import pytest

from cloudcrypt_testing.fake_azure import FakeAzure
from tests.unit.azure_calls import (
    attach,
    attached,
    detach,
    detached,
    machine,
    made,
    outcome,
    record,
    refusal,
    shown,
)


class TestSharing:
    def test_several_machines_can_have_a_disk(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data", kind="Premium_LRS", maxShares=2)
        instances = [fake_azure.run_instance() for _ in range(3)]
        for instance in instances[:2]:
            attached(fake_azure, instance, disk)
        found = shown(fake_azure, "data")
        names = [holder.rpartition("/")[2] for holder in found["managedByExtended"]]
        assert (names, "managedBy" in found) == (["vm-1", "vm-2"], False)
        assert [one["vmUri"] for one in found["properties"]["shareInfo"]] == (
            found["managedByExtended"]
        )
        assert refusal(attach, fake_azure, instances[2], disk) == (409, "ConflictingUserInput")
        detached(fake_azure, instances[0], disk)
        attached(fake_azure, instances[2], disk)
        holders = shown(fake_azure, "data")["managedByExtended"]
        assert [holder.rpartition("/")[2] for holder in holders] == ["vm-2", "vm-3"]


class TestMachines:
    def test_a_disk_of_a_machine_that_is_off_is_reserved(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.deallocate(instance)
        assert shown(fake_azure, "data")["properties"]["diskState"] == "Reserved"
        assert fake_azure.node(instance).name(disk.unique_id) is None
        other = made(fake_azure, "other")
        attached(fake_azure, instance, other)
        assert record(fake_azure, "other").disk_state == "Reserved"
        view = machine(fake_azure, instance, "instanceView")
        codes = [one["code"] for one in view["properties"]["instanceView"]["statuses"]]
        assert codes == ["ProvisioningState/succeeded", "PowerState/deallocated"]
        fake_azure.start(instance)
        assert record(fake_azure, "other").disk_state == "Attached"
        node = fake_azure.node(instance)
        assert None not in {node.name(disk.unique_id), node.name(other.unique_id)}

    def test_a_machine_that_is_deleted_leaves_its_disks(self, fake_azure: FakeAzure) -> None:
        kept, gone, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, kept)
        attached(fake_azure, instance, gone, deleteOption="Delete")
        begun = detach(fake_azure, instance, kept)
        fake_azure.delete_instance(instance)
        assert outcome(fake_azure, begun) == ("Canceled", "OperationPreempted")
        assert list(fake_azure.disks(system=True)) == [kept.unique_id]
        assert record(fake_azure, kept.name).disk_state == "Unattached"
        assert fake_azure.machines() == {}

    def test_disks_of_systems_are_kept_apart(self, fake_azure: FakeAzure) -> None:
        fake_azure.run_instance(zone=None)
        assert fake_azure.disks() == {}
        (disk,) = fake_azure.disks(system=True).values()
        assert (disk.size, disk.create_option, disk.disk_state) == (30, "FromImage", "Attached")

    @pytest.mark.parametrize(("zone", "size"), [("4", "Standard_D4s_v5"), ("1", "Standard_X")])
    def test_there_are_no_other_machines(self, fake_azure: FakeAzure, zone: str, size: str) -> None:
        with pytest.raises(ValueError, match="no zone"):
            fake_azure.run_instance(zone, size)

    def test_names_are_used_once(self, fake_azure: FakeAzure) -> None:
        assert fake_azure.run_instance(name="Mine") == "demo-group/mine"
        with pytest.raises(ValueError, match="exists"):
            fake_azure.run_instance(name="mIne")
        with pytest.raises(ValueError, match="no instance"):
            fake_azure.node("demo-group/other")
