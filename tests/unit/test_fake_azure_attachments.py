"""Attaching and detaching: what Azure does."""

from typing import Any

import pytest

from cloudcrypt_testing.fake_azure import FakeAzure, Timings
from tests.unit.azure_calls import (
    GROUP,
    TIMES,
    attach,
    attached,
    change,
    create,
    data_disks,
    detach,
    detached,
    disk_id,
    luns,
    machine,
    made,
    outcome,
    read,
    record,
    refusal,
    refused,
    shown,
    waited,
    write,
)

GIB = 1024**3


class TestAttaching:
    def test_a_disk_is_in_the_list_at_once_and_on_the_host_later(
        self, fake_azure: FakeAzure
    ) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        begun = attach(fake_azure, instance, disk)
        assert begun.status == 202
        assert machine(fake_azure, instance)["properties"]["provisioningState"] == "Updating"
        assert luns(fake_azure, instance) == {0: "data"}
        assert fake_azure.node(instance).name(disk.unique_id) is None
        started = fake_azure.clock.monotonic()
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert fake_azure.clock.monotonic() - started == TIMES.attach
        assert fake_azure.node(instance).name(disk.unique_id) == "sdc"
        assert machine(fake_azure, instance)["properties"]["provisioningState"] == "Succeeded"

    def test_the_list_says_all_of_it(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        options = {"lun": 7, "caching": "ReadOnly", "deleteOption": "Delete"}
        attached(fake_azure, instance, disk, **options)
        assert data_disks(fake_azure, instance) == [
            {
                **options,
                "name": "data",
                "createOption": "Attach",
                "writeAcceleratorEnabled": False,
                "managedDisk": {
                    "id": disk_id(fake_azure, disk).replace(GROUP, "DEMO-GROUP"),
                    "storageAccountType": "Standard_LRS",
                },
                "diskSizeGB": 4,
                "toBeDetached": False,
            }
        ]

    def test_the_disk_says_who_has_it(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance(name="VM-A")
        attached(fake_azure, instance, disk)
        found = shown(fake_azure, "data")
        assert found["managedBy"] == (
            f"/subscriptions/{fake_azure.subscription}/resourceGroups/DEMO-GROUP/providers/"
            "Microsoft.Compute/virtualMachines/VM-A"
        )
        assert found["properties"]["diskState"] == "Attached"
        assert "LastOwnershipUpdateTime" in found["properties"]
        assert instance == "demo-group/vm-a"

    def test_the_host_shows_the_bytes_of_the_disk(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        node = fake_azure.node(instance)
        write(node.root / "dev" / str(node.name(disk.unique_id)), b"seen")
        assert read(fake_azure.backing(disk.unique_id), 4) == b"seen"

    def test_newer_sizes_show_namespaces(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance(size="Standard_D4s_v6")
        attached(fake_azure, instance, disk, lun=3)
        assert fake_azure.node(instance).name(disk.unique_id) == "nvme0n2"
        profile = machine(fake_azure, instance)["properties"]["storageProfile"]
        assert profile["diskControllerType"] == "NVMe"

    def test_the_device_can_come_late(self, fake_azure: FakeAzure) -> None:
        fake_azure.reset(timings=Timings(appear=5))
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        assert fake_azure.node(instance).name(disk.unique_id) is None
        fake_azure.clock.advance(5)
        assert fake_azure.node(instance).name(disk.unique_id) is not None

    def test_several_disks_are_attached_at_once(self, fake_azure: FakeAzure) -> None:
        disks, instance = [made(fake_azure) for _ in range(3)], fake_azure.run_instance()
        attached(fake_azure, instance, *disks)
        assert luns(fake_azure, instance) == {number: one.name for number, one in enumerate(disks)}

    def test_one_request_attaches_and_detaches(self, fake_azure: FakeAzure) -> None:
        old, new, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, old)
        body = {
            "dataDisksToAttach": [{"diskId": disk_id(fake_azure, new)}],
            "dataDisksToDetach": [{"diskId": disk_id(fake_azure, old)}],
        }
        assert outcome(fake_azure, change(fake_azure, instance, body)) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {1: new.name}

    def test_what_is_attached_meanwhile_stays(self, fake_azure: FakeAzure) -> None:
        mine, theirs, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, theirs)
        attached(fake_azure, instance, mine)
        assert luns(fake_azure, instance) == {0: theirs.name, 1: mine.name}

    def test_a_scale_set_has_machines_too(self, fake_azure: FakeAzure) -> None:
        fake_azure.run_scale_set_instance()
        disk, instance = made(fake_azure, "data"), fake_azure.run_scale_set_instance()
        assert instance == "demo-group/scaleset/1"
        attached(fake_azure, instance, disk)
        found = machine(fake_azure, instance)
        assert (found["name"], found["instanceId"]) == ("scaleset_1", "1")
        assert found["id"].endswith("/virtualMachineScaleSets/scaleset/virtualMachines/1")
        assert found["properties"]["storageProfile"]["dataDisks"][0]["name"] == "data"
        holder = shown(fake_azure, "data")["managedBy"]
        assert holder.endswith("/virtualMachineScaleSets/scaleset/virtualMachines/scaleset_1")
        detached(fake_azure, instance, disk)
        assert "managedBy" not in shown(fake_azure, "data")


class TestNumbers:
    def test_the_lowest_one_that_is_free(self, fake_azure: FakeAzure) -> None:
        disks, instance = [made(fake_azure) for _ in range(3)], fake_azure.run_instance()
        attached(fake_azure, instance, disks[0], lun=0)
        attached(fake_azure, instance, disks[1], lun=2)
        attached(fake_azure, instance, disks[2])
        assert list(luns(fake_azure, instance)) == [0, 1, 2]

    def test_one_that_is_taken_is_refused(self, fake_azure: FakeAzure) -> None:
        first, second, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, first, lun=5)
        expected = (400, "InvalidParameter", "A disk at LUN 5 already exists.")
        assert refused(attach, fake_azure, instance, second, lun=5) == expected
        both = [made(fake_azure), made(fake_azure)]
        expected = (400, "InvalidParameter", "A disk at LUN 9 already exists.")
        assert refused(attach, fake_azure, instance, *both, lun=9) == expected

    @pytest.mark.parametrize(("lun", "status"), [(63, 202), (64, 400), (-1, 400)])
    def test_there_are_64(self, fake_azure: FakeAzure, lun: int, status: int) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        if status == 202:
            assert attach(fake_azure, instance, disk, lun=lun).status == status
        else:
            found = refusal(attach, fake_azure, instance, disk, lun=lun)
            assert found == (status, "InvalidParameter")

    def test_the_size_says_how_many_disks(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance(size="Standard_DC2as_v5")
        attached(fake_azure, instance, *(made(fake_azure) for _ in range(4)))
        assert refused(attach, fake_azure, instance, made(fake_azure)) == (
            409,
            "OperationNotAllowed",
            "The maximum number of data disks allowed to be attached to a VM of this size is 4.",
        )

    def test_fewer_can_be_allowed(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance()
        fake_azure.limit_attachments(instance, 1)
        disk = made(fake_azure)
        attached(fake_azure, instance, disk)
        assert refusal(attach, fake_azure, instance, made(fake_azure))[1] == "OperationNotAllowed"
        detached(fake_azure, instance, disk)
        attached(fake_azure, instance, made(fake_azure))


class TestRefusals:
    def test_a_disk_that_another_machine_has(self, fake_azure: FakeAzure) -> None:
        disk, first, second = made(fake_azure), fake_azure.run_instance(), fake_azure.run_instance()
        attached(fake_azure, first, disk)
        status, code, message = refused(attach, fake_azure, second, disk)
        assert (status, code) == (409, "ConflictingUserInput")
        assert "already attached to VM" in message
        assert luns(fake_azure, second) == {}

    def test_that_can_be_found_late(self, fake_azure: FakeAzure) -> None:
        fake_azure.find_conflicts_late()
        disk, first, second = made(fake_azure), fake_azure.run_instance(), fake_azure.run_instance()
        attached(fake_azure, first, disk)
        begun = attach(fake_azure, second, disk)
        assert list(luns(fake_azure, second)) == [0]
        found = waited(fake_azure, begun)["error"]
        assert (found["code"], "already owned by VM" in found["message"]) == (
            "ConflictingUserInput",
            True,
        )
        assert luns(fake_azure, second) == {}
        (holder,) = record(fake_azure, disk.name).holders
        assert holder.endswith("/virtualMachines/vm-1")
        assert fake_azure.machines()[second].state == "Failed"

    def test_a_disk_that_is_there_already(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        assert refused(attach, fake_azure, instance, disk) == (
            400,
            "InvalidParameter",
            "A disk named 'data' already exists.",
        )

    @pytest.mark.parametrize("is_same", [True, False])
    def test_a_disk_on_its_way_out(self, fake_azure: FakeAzure, is_same: bool) -> None:  # noqa: FBT001
        disk, first, second = made(fake_azure), fake_azure.run_instance(), fake_azure.run_instance()
        attached(fake_azure, first, disk)
        fake_azure.linger(disk.unique_id)
        detached(fake_azure, first, disk)
        assert [one["toBeDetached"] for one in data_disks(fake_azure, first)] == [True]
        status, code, message = refused(attach, fake_azure, first if is_same else second, disk)
        assert (status, code) == (409, "AttachDiskWhileBeingDetached")
        assert "the disk is currently being detached" in message

    @pytest.mark.parametrize(
        ("zone", "fields", "is_fit"),
        [
            ("1", {"zones": ["1"]}, True),
            ("2", {"zones": ["1"]}, False),
            ("1", {"zones": None}, False),
            (None, {"zones": ["1"]}, False),
            (None, {"zones": None}, True),
            ("3", {"zones": None, "kind": "Premium_ZRS"}, True),
            (None, {"zones": None, "kind": "Premium_ZRS"}, True),
        ],
    )
    def test_disk_and_machine_are_in_one_zone(
        self,
        fake_azure: FakeAzure,
        zone: str | None,
        fields: dict[str, Any],
        is_fit: bool,  # noqa: FBT001
    ) -> None:
        disk, instance = made(fake_azure, **fields), fake_azure.run_instance(zone)
        if is_fit:
            attached(fake_azure, instance, disk)
        else:
            status, code, message = refused(attach, fake_azure, instance, disk)
            assert (status, code) == (400, "BadRequest")
            assert f"VM zone: '{zone or ''}'." in message

    def test_a_machine_without_ultra(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, kind="UltraSSD_LRS")
        instance = fake_azure.run_instance(ultra=False)
        status, code, message = refused(attach, fake_azure, instance, disk)
        assert (status, code) == (400, "InvalidParameter")
        assert "additionalCapabilities.ultraSSDEnabled" in message
        attached(fake_azure, fake_azure.run_instance(), disk)

    def test_a_size_without_premium(self, fake_azure: FakeAzure) -> None:
        disk, plain = made(fake_azure, kind="Premium_LRS"), made(fake_azure)
        instance = fake_azure.run_instance(size="Standard_D2_v5")
        assert refusal(attach, fake_azure, instance, disk) == (400, "InvalidParameter")
        attached(fake_azure, instance, plain)

    @pytest.mark.parametrize(
        "fields",
        [
            {"kind": "UltraSSD_LRS"},
            {"kind": "PremiumV2_LRS"},
            {"kind": "Premium_LRS", "diskSizeGB": 4096},
            {"kind": "Premium_LRS", "maxShares": 2},
        ],
    )
    def test_some_disks_are_not_cached(self, fake_azure: FakeAzure, fields: dict[str, Any]) -> None:
        disk, instance = made(fake_azure, **fields), fake_azure.run_instance()
        found = refusal(attach, fake_azure, instance, disk, caching="ReadOnly")
        assert found == (400, "InvalidParameter")
        attached(fake_azure, instance, disk)
        assert data_disks(fake_azure, instance)[0]["caching"] == "None"

    def test_premium_disks_are_cached_by_default(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, kind="Premium_LRS"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        assert data_disks(fake_azure, instance)[0]["caching"] == "ReadOnly"

    def test_a_disk_that_is_not_made_yet(self, fake_azure: FakeAzure) -> None:
        create(fake_azure, "data")
        instance = fake_azure.run_instance()
        found = refusal(attach, fake_azure, instance, record(fake_azure, "data"))
        assert found == (409, "OperationNotAllowed")

    @pytest.mark.parametrize(
        ("disk", "expected"),
        [
            ("data", (400, "InvalidParameter")),
            ("/subscriptions/{}/resourceGroups/g/providers/Microsoft.Compute/snapshots/s", None),
            ("/subscriptions/{}/resourceGroups/g/providers/Microsoft.Network/disks/d", None),
            (
                "/subscriptions/{}/resourceGroups/demo-group/providers/Microsoft.Compute/disks/d",
                (404, "ResourceNotFound"),
            ),
            ("/subscriptions/1/resourceGroups/g/providers/Microsoft.Compute/disks/d", None),
        ],
    )
    def test_what_is_no_disk(
        self, fake_azure: FakeAzure, disk: str, expected: tuple[int, str] | None
    ) -> None:
        instance = fake_azure.run_instance()
        body = {"dataDisksToAttach": [{"diskId": disk.format(fake_azure.subscription)}]}
        found = refusal(change, fake_azure, instance, body)
        assert found == (expected or (400, "InvalidParameter"))

    def test_a_request_for_nothing(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance()
        assert refusal(change, fake_azure, instance, {}) == (400, "InvalidParameter")

    @pytest.mark.parametrize("instance", ["demo-group/none", "demo-group/none/0"])
    def test_a_machine_that_does_not_exist(self, fake_azure: FakeAzure, instance: str) -> None:
        found = refusal(attach, fake_azure, instance, made(fake_azure))
        assert found == (404, "ResourceNotFound")

    @pytest.mark.parametrize("code", ["Conflict", "OperationNotAllowed"])
    def test_a_machine_that_is_busy(self, fake_azure: FakeAzure, code: Any) -> None:
        fake_azure.answer_busy(code)
        instance = fake_azure.run_instance()
        attach(fake_azure, instance, made(fake_azure))
        status, found, message = refused(attach, fake_azure, instance, made(fake_azure))
        assert (status, found) == (409, code)
        if code == "OperationNotAllowed":
            assert message.endswith("since another operation is in progress.")


class TestDetaching:
    def test_a_disk_is_going_and_then_gone(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        begun = detach(fake_azure, instance, disk)
        assert [one["toBeDetached"] for one in data_disks(fake_azure, instance)] == [True]
        assert fake_azure.node(instance).name(disk.unique_id) is not None
        started = fake_azure.clock.monotonic()
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert fake_azure.clock.monotonic() - started == TIMES.detach
        assert data_disks(fake_azure, instance) == []
        assert fake_azure.node(instance).name(disk.unique_id) is None
        found = shown(fake_azure, "data")
        assert ("managedBy" in found, found["properties"]["diskState"]) == (False, "Unattached")

    def test_the_bytes_stay(self, fake_azure: FakeAzure) -> None:
        disk, first, second = made(fake_azure), fake_azure.run_instance(), fake_azure.run_instance()
        write(fake_azure.backing(disk.unique_id), b"kept")
        attached(fake_azure, first, disk)
        detached(fake_azure, first, disk)
        attached(fake_azure, second, disk)
        node = fake_azure.node(second)
        assert read(node.root / "dev" / str(node.name(disk.unique_id)), 4) == b"kept"

    def test_what_is_not_attached_is_refused(self, fake_azure: FakeAzure) -> None:
        disk, other, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, other)
        assert refusal(detach, fake_azure, instance, disk) == (400, "InvalidParameter")
        body = {"dataDisksToDetach": [{"diskId": "data"}]}
        assert refusal(change, fake_azure, instance, body) == (400, "InvalidParameter")
        assert luns(fake_azure, instance) == {0: other.name}

    def test_a_disk_that_lingers_goes_by_force(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.linger(disk.unique_id)
        for _ in range(2):
            detached(fake_azure, instance, disk)
            assert luns(fake_azure, instance) == {0: disk.name}
        detached(fake_azure, instance, disk, detachOption="ForceDetach")
        assert luns(fake_azure, instance) == {}
        attached(fake_azure, instance, disk)

    def test_a_disk_can_be_ripped_out(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.rip_out(instance, disk.unique_id)
        assert luns(fake_azure, instance) == {}
        assert "managedBy" not in shown(fake_azure, "data")
        assert fake_azure.node(instance).name(disk.unique_id) is None
        with pytest.raises(ValueError, match="no disk"):
            fake_azure.rip_out(instance, disk.unique_id)
