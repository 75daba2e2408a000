"""Virtual machines as a whole: looking at them, and saying how they are to be."""

from collections.abc import Callable
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError

from cloudcrypt_testing.fake_azure import Disk, FakeAzure
from tests.unit.azure_calls import (
    AUTHORIZED,
    GROUP,
    Begun,
    attach,
    attached,
    begin,
    client,
    data_disks,
    detached,
    disk_id,
    luns,
    machine,
    made,
    outcome,
    raw,
    record,
    refusal,
    said,
    waited,
)

Update = Callable[..., Begun]


def name_of(instance: str) -> str:
    """Return the name of an instance without its group."""
    return instance.partition("/")[2]


def entry(azure: FakeAzure, disk: Disk, lun: int, **fields: Any) -> dict[str, Any]:
    """Return what stands in a list of data disks."""
    managed = {"id": disk_id(azure, disk)}
    return {"lun": lun, "createOption": "Attach", "managedDisk": managed, **fields}


def update(azure: FakeAzure, instance: str, disks: list[dict[str, Any]], **named: Any) -> Begun:
    """Begin to give an instance another list of data disks."""
    body = {"properties": {"storageProfile": {"dataDisks": disks}}}
    call = client(azure).virtual_machines.begin_update
    return begin(call, GROUP, name_of(instance), body, **named)


class TestLooking:
    def test_a_machine_shows_its_disks(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance("2", "Standard_DC4as_v5")
        found = machine(fake_azure, instance)
        os_disk = found["properties"]["storageProfile"].pop("osDisk")
        assert os_disk["name"].startswith("vm-1_OsDisk_1_")
        assert found["properties"].pop("vmId")
        assert found == {
            "name": "vm-1",
            "id": (
                f"/subscriptions/{fake_azure.subscription}/resourceGroups/demo-group/providers/"
                "Microsoft.Compute/virtualMachines/vm-1"
            ),
            "type": "Microsoft.Compute/virtualMachines",
            "location": "westeurope",
            "tags": {},
            "zones": ["2"],
            "etag": '"1"',
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_DC4as_v5"},
                "additionalCapabilities": {"ultraSSDEnabled": True},
                "storageProfile": {"dataDisks": [], "diskControllerType": "SCSI"},
                "provisioningState": "Succeeded",
                "timeCreated": "2030-01-01T00:00:00.000000+00:00",
            },
        }

    def test_the_view_says_whether_it_runs(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance()
        view = client(fake_azure).virtual_machines.get(
            GROUP, name_of(instance), expand="instanceView"
        )
        statuses = view.properties.instance_view.statuses
        assert [one.code for one in statuses] == [
            "ProvisioningState/succeeded",
            "PowerState/running",
        ]

    def test_the_etag_changes_with_the_machine_alone(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        seen = [machine(fake_azure, instance)["etag"], machine(fake_azure, instance)["etag"]]
        assert len(set(seen)) == 1
        begun = attach(fake_azure, instance, disk)
        seen.append(machine(fake_azure, instance)["etag"])
        waited(fake_azure, begun)
        seen.append(machine(fake_azure, instance)["etag"])
        fake_azure.rip_out(instance, disk.unique_id)
        seen.append(machine(fake_azure, instance)["etag"])
        assert len(set(seen)) == 4
        answer = raw(fake_azure, "GET", f"virtualMachines/{name_of(instance)}")
        assert answer.headers["ETag"] == seen[-1]


class TestLists:
    """An update says how the whole list of disks is to be."""

    def test_what_is_new_is_attached(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        begun = update(fake_azure, instance, [entry(fake_azure, disk, 4, name=disk.name)])
        assert begun.status == 200
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {4: disk.name}
        assert fake_azure.node(instance).name(disk.unique_id) is not None

    def test_what_is_not_repeated_is_detached(self, fake_azure: FakeAzure) -> None:
        old, new, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, old)
        begun = update(fake_azure, instance, [entry(fake_azure, new, 1)])
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {1: new.name}
        assert record(fake_azure, old.name).holders == ()

    def test_what_is_repeated_stays(self, fake_azure: FakeAzure) -> None:
        old, new, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, old)
        listed = data_disks(fake_azure, instance)
        begun = update(fake_azure, instance, [*listed, entry(fake_azure, new, 1)])
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {0: old.name, 1: new.name}

    def test_to_be_detached_says_so(self, fake_azure: FakeAzure) -> None:
        disk, other, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        listed = [{**one, "toBeDetached": True} for one in data_disks(fake_azure, instance)]
        listed.append(entry(fake_azure, other, 3, toBeDetached=True))
        assert outcome(fake_azure, update(fake_azure, instance, listed)) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {}

    def test_force_takes_out_what_lingers(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.linger(disk.unique_id)
        waited(fake_azure, update(fake_azure, instance, []))
        (left,) = data_disks(fake_azure, instance)
        assert left["toBeDetached"]
        back = [{**left, "toBeDetached": False}]
        found = refusal(update, fake_azure, instance, back)
        assert found == (409, "AttachDiskWhileBeingDetached")
        gone = [{**left, "detachOption": "ForceDetach"}]
        assert outcome(fake_azure, update(fake_azure, instance, gone)) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {}

    def test_caching_can_change_where_it_is(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, kind="Premium_LRS"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        begun = update(fake_azure, instance, [entry(fake_azure, disk, 0, caching="ReadWrite")])
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert data_disks(fake_azure, instance)[0]["caching"] == "ReadWrite"

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"lun": 5}, (409, "PropertyChangeNotAllowed")),
            ({"name": "other"}, (400, "InvalidParameter")),
            ({"managedDisk": {}}, (400, "InvalidParameter")),
            ({"managedDisk": {}, "createOption": "Empty"}, (501, "NotImplemented")),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, fake_azure: FakeAzure, fields: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        listed = [{**entry(fake_azure, disk, 0), **fields}]
        assert refusal(update, fake_azure, instance, listed) == expected
        assert luns(fake_azure, instance) == {0: disk.name}

    def test_two_disks_at_one_number_are_refused(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance()
        listed = [entry(fake_azure, made(fake_azure), 0) for _ in range(2)]
        assert refusal(update, fake_azure, instance, listed) == (400, "InvalidParameter")

    def test_a_machine_of_a_scale_set_is_put(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_scale_set_instance()
        body = machine(fake_azure, instance)
        body["properties"]["storageProfile"]["dataDisks"] = [entry(fake_azure, disk, 0)]
        call = client(fake_azure).virtual_machine_scale_set_vms.begin_update
        assert outcome(fake_azure, begin(call, GROUP, "scaleset", "0", body)) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {0: disk.name}


class TestConditions:
    @pytest.mark.parametrize(("etag", "is_right"), [('"1"', True), ("*", True), ('"9"', False)])
    def test_if_match_says_what_the_list_was_made_from(
        self,
        fake_azure: FakeAzure,
        etag: str,
        is_right: bool,  # noqa: FBT001
    ) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        listed = [entry(fake_azure, disk, 0)]
        headers = {"If-Match": etag}
        if is_right:
            waited(fake_azure, update(fake_azure, instance, listed, headers=headers))
            assert luns(fake_azure, instance) == {0: disk.name}
        else:
            found = refusal(update, fake_azure, instance, listed, headers=headers)
            assert found == (412, "PreconditionFailed")
            assert luns(fake_azure, instance) == {}

    def test_the_client_has_a_word_for_it(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance()
        condition = {"etag": '"9"', "match_condition": MatchConditions.IfNotModified}
        with pytest.raises(ResourceModifiedError):
            update(fake_azure, instance, [], **condition)

    def test_if_none_match_protects_what_exists(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance()
        body = machine(fake_azure, instance)
        headers = {**AUTHORIZED, "If-None-Match": "*"}
        path = f"virtualMachines/{name_of(instance)}"
        answer = raw(fake_azure, "PUT", path, body, headers=headers)
        assert said(answer) == (412, "PreconditionFailed")


class TestOthers:
    def test_what_was_seen_can_be_put_back(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        put = client(fake_azure).virtual_machines.begin_create_or_update
        begun = begin(put, GROUP, name_of(instance), machine(fake_azure, instance))
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {0: disk.name}

    def test_tags_can_change_and_be_dropped(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance()
        machines = client(fake_azure).virtual_machines
        name = name_of(instance)
        waited(fake_azure, begin(machines.begin_update, GROUP, name, {"tags": {"a": "b"}}))
        assert fake_azure.machines()[instance].tags == {"a": "b"}
        waited(fake_azure, begin(machines.begin_update, GROUP, name, {}))
        assert fake_azure.machines()[instance].tags == {"a": "b"}
        body = {"location": "westeurope"}
        waited(fake_azure, begin(machines.begin_create_or_update, GROUP, name, body))
        assert fake_azure.machines()[instance].tags == {}

    @pytest.mark.parametrize(
        ("properties", "expected"),
        [
            ({"hardwareProfile": {"vmSize": "Standard_D8s_v5"}}, (501, "NotImplemented")),
            ({"storageProfile": {"diskControllerType": "NVMe"}}, (409, "PropertyChangeNotAllowed")),
        ],
    )
    def test_nothing_else_changes(
        self, fake_azure: FakeAzure, properties: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        instance = fake_azure.run_instance()
        call = client(fake_azure).virtual_machines.begin_update
        body = {"properties": properties}
        assert refusal(begin, call, GROUP, name_of(instance), body) == expected

    def test_nor_do_zones(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance()
        call = client(fake_azure).virtual_machines.begin_update
        found = refusal(begin, call, GROUP, name_of(instance), {"zones": ["2"]})
        assert found == (501, "NotImplemented")
        begin(call, GROUP, name_of(instance), {"zones": ["1"]})

    def test_machines_are_not_made_by_request(self, fake_azure: FakeAzure) -> None:
        put = client(fake_azure).virtual_machines.begin_create_or_update
        found = refusal(begin, put, GROUP, "new", {"location": "westeurope"})
        assert found == (501, "NotImplemented")


class TestFailed:
    def test_any_update_repairs_a_machine(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        fake_azure.fail_instance(instance)
        assert machine(fake_azure, instance)["properties"]["provisioningState"] == "Failed"
        attached(fake_azure, instance, disk)
        assert machine(fake_azure, instance)["properties"]["provisioningState"] == "Succeeded"

    def test_some_take_no_disk_before_they_are_repaired(self, fake_azure: FakeAzure) -> None:
        disk, old, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, old)
        fake_azure.fail_instance(instance, takes_disks=False)
        assert refusal(attach, fake_azure, instance, disk) == (409, "OperationNotAllowed")
        call = client(fake_azure).virtual_machines.begin_update
        waited(fake_azure, begin(call, GROUP, name_of(instance), {}))
        attached(fake_azure, instance, disk)

    def test_a_disk_can_be_taken_out_of_them(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.fail_instance(instance, takes_disks=False)
        detached(fake_azure, instance, disk)
        assert luns(fake_azure, instance) == {}
