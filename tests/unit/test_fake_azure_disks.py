"""Making, seeing and deleting disks: what Azure does."""

import uuid
from typing import Any

import pytest

from cloudcrypt_testing.fake_azure import FakeAzure, FakeClock
from tests.unit.azure_calls import (
    GROUP,
    TIMES,
    attach,
    attached,
    begin,
    client,
    create,
    delete,
    detached,
    made,
    outcome,
    raw,
    read,
    record,
    refusal,
    refused,
    said,
    shown,
    snapshot,
    wish,
    write,
)

GIB = 1024**3
COMPUTE = "/subscriptions/{}/resourceGroups/demo-group/providers/Microsoft.Compute"


class TestMaking:
    def test_a_disk_is_announced_and_then_made(self, fake_azure: FakeAzure) -> None:
        begun = create(fake_azure, "data", tags={"a": "b"}, kind="Premium_LRS", diskSizeGB=32)
        assert begun.status == 202
        assert begun.document == {
            "name": "data",
            "location": "westeurope",
            "tags": {"a": "b"},
            "sku": {"name": "Premium_LRS"},
            "properties": {
                "creationData": {"createOption": "Empty"},
                "diskSizeGB": 32,
                "provisioningState": "Updating",
            },
        }
        assert shown(fake_azure, "data")["properties"]["provisioningState"] == "Creating"
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert fake_azure.clock.monotonic() == TIMES.create

    def test_a_disk_has_what_was_asked_for(self, fake_azure: FakeAzure) -> None:
        made(
            fake_azure,
            "data",
            tags={"a": "b"},
            kind="Premium_LRS",
            diskSizeGB=1024,
            networkAccessPolicy="DenyAll",
            publicNetworkAccess="Disabled",
            maxShares=2,
            dataAccessAuthMode="None",
        )
        found = shown(fake_azure, "data")
        unique = found["properties"].pop("uniqueId")
        assert str(uuid.UUID(unique)) == unique
        assert found == {
            "name": "data",
            "id": (
                f"/subscriptions/{fake_azure.subscription}/resourceGroups/demo-group/providers"
                "/Microsoft.Compute/disks/data"
            ),
            "type": "Microsoft.Compute/disks",
            "location": "westeurope",
            "tags": {"a": "b"},
            "zones": ["1"],
            "sku": {"name": "Premium_LRS", "tier": "Premium"},
            "properties": {
                "creationData": {"createOption": "Empty"},
                "dataAccessAuthMode": "None",
                "diskSizeGB": 1024,
                "diskSizeBytes": 1024 * GIB,
                "diskIOPSReadWrite": 5000,
                "diskMBpsReadWrite": 200,
                "diskState": "Unattached",
                "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
                "maxShares": 2,
                "networkAccessPolicy": "DenyAll",
                "provisioningState": "Succeeded",
                "publicNetworkAccess": "Disabled",
                "tier": "P30",
                "timeCreated": "2030-01-01T00:00:00.000000+00:00",
            },
        }

    def test_its_bytes_are_zeros(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, diskSizeGB=2)
        path = fake_azure.backing(disk.unique_id)
        assert path.stat().st_size == 2 * GIB
        assert path.stat().st_blocks == 0

    def test_the_poller_of_the_client_returns_it(self, fake_azure: FakeAzure) -> None:
        fake_azure.reset(clock=FakeClock(tick=1))
        poller = client(fake_azure).disks.begin_create_or_update(GROUP, "data", wish())
        assert poller.result().properties.unique_id == record(fake_azure, "data").unique_id

    def test_a_location_can_be_written_as_in_the_portal(self, fake_azure: FakeAzure) -> None:
        assert made(fake_azure, location="West Europe").location == "westeurope"

    @pytest.mark.parametrize("kind", ["StandardSSD_ZRS", "Premium_ZRS"])
    def test_a_redundant_disk_is_in_no_zone(self, fake_azure: FakeAzure, kind: str) -> None:
        assert made(fake_azure, zones=None, kind=kind).zones == ()
        assert refusal(create, fake_azure, kind=kind) == (400, "InvalidParameter")

    def test_customer_keys_are_kept_in_a_disk_encryption_set(self, fake_azure: FakeAzure) -> None:
        key = fake_azure.encryption_set("keys")
        disk = made(fake_azure, encryption={"diskEncryptionSetId": key.upper()})
        assert (disk.encryption, disk.encryption_set) == (
            "EncryptionAtRestWithCustomerKey",
            key.upper(),
        )
        found = refused(create, fake_azure, encryption={"diskEncryptionSetId": f"{key}-2"})
        assert found[:2] == (404, "ResourceNotFound")
        assert "Microsoft.Compute/diskEncryptionSets/keys-2" in found[2]

    @pytest.mark.parametrize(
        ("kind", "size", "expected"),
        [
            ("Standard_LRS", 4, (500, 60, None)),
            ("StandardSSD_LRS", 8193, (4000, 600, None)),
            ("Premium_LRS", 1, (120, 25, "P1")),
            ("Premium_LRS", 129, (1100, 125, "P15")),
            ("Premium_LRS", 8192, (16000, 500, "P60")),
            ("PremiumV2_LRS", 4, (3000, 125, None)),
            ("UltraSSD_LRS", 1024, (1024, 5, None)),
        ],
    )
    def test_performance_goes_with_kind_and_size(
        self, fake_azure: FakeAzure, kind: str, size: int, expected: tuple[int, int, str | None]
    ) -> None:
        made(fake_azure, "data", kind=kind, diskSizeGB=size)
        found = shown(fake_azure, "data")["properties"]
        assert expected == (
            found["diskIOPSReadWrite"],
            found["diskMBpsReadWrite"],
            found.get("tier"),
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"diskSizeGB": None}, (400, "InvalidParameter")),
            ({"diskSizeGB": 0}, (400, "InvalidParameter")),
            ({"diskSizeGB": 32768}, (400, "InvalidParameter")),
            ({"diskSizeGB": 65537, "kind": "PremiumV2_LRS"}, (400, "InvalidParameter")),
            ({"diskSizeGB": 3, "kind": "UltraSSD_LRS"}, (400, "InvalidParameter")),
            ({"kind": "Fast_LRS"}, (400, "InvalidAccountType")),
            ({"zones": ["4"]}, (400, "InvalidParameter")),
            ({"zones": ["1", "2"]}, (400, "InvalidParameter")),
            ({"zones": None, "kind": "UltraSSD_LRS"}, (400, "InvalidParameter")),
            ({"zones": None, "kind": "PremiumV2_LRS"}, (400, "InvalidParameter")),
            ({"location": "westus"}, (400, "LocationNotAvailableForResourceType")),
            ({"diskIOPSReadWrite": 4000}, (400, "InvalidParameter")),
            ({"kind": "UltraSSD_LRS", "diskIOPSReadWrite": 99}, (400, "InvalidParameter")),
            ({"kind": "UltraSSD_LRS", "diskIOPSReadWrite": 4001}, (400, "InvalidParameter")),
            ({"kind": "UltraSSD_LRS", "diskMBpsReadWrite": 26}, (400, "InvalidParameter")),
            ({"kind": "PremiumV2_LRS", "diskIOPSReadWrite": 3001}, (400, "InvalidParameter")),
            ({"kind": "PremiumV2_LRS", "diskMBpsReadWrite": 124}, (400, "InvalidParameter")),
            ({"kind": "PremiumV2_LRS", "diskMBpsReadWrite": 751}, (400, "InvalidParameter")),
            ({"kind": "Standard_LRS", "maxShares": 2}, (400, "InvalidParameter")),
            ({"kind": "Premium_LRS", "maxShares": 4}, (400, "InvalidParameter")),
            ({"kind": "UltraSSD_LRS", "maxShares": 16}, (400, "InvalidParameter")),
            (
                {"encryption": {"type": "EncryptionAtRestWithCustomerKey"}},
                (400, "InvalidParameter"),
            ),
            ({"encryption": {"diskEncryptionSetId": "key"}}, (400, "InvalidParameter")),
            ({"networkAccessPolicy": "None"}, (400, "InvalidParameter")),
            ({"creationData": {"createOption": "Import"}}, (501, "NotImplemented")),
            ({"encryptionSettingsCollection": {"enabled": True}}, (501, "NotImplemented")),
            ({"extendedLocation": {"name": "edge"}}, (501, "NotImplemented")),
            ({"kind": "Premium_LRS", "tier": "P80"}, (501, "NotImplemented")),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, fake_azure: FakeAzure, fields: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        assert refusal(create, fake_azure, **fields) == expected
        assert fake_azure.disks() == {}

    @pytest.mark.parametrize("kind", ["Standard_ZRS", "PremiumV2_ZRS"])
    def test_a_kind_of_other_resources_is_refused(self, fake_azure: FakeAzure, kind: str) -> None:
        assert refusal(create, fake_azure, kind=kind) == (400, "InvalidAccountType")
        assert fake_azure.disks() == {}

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"logicalSectorSize": 512}, 200),
            ({"logicalSectorSize": 4096}, 200),
            ({"logicalSectorSize": 1024}, 400),
            ({"performancePlus": True}, 400),
        ],
    )
    def test_ultra_disks_have_sectors_of_either_size(
        self, fake_azure: FakeAzure, fields: dict[str, Any], expected: int
    ) -> None:
        creation = {"createOption": "Empty", **fields}
        if expected == 400:
            found = refusal(create, fake_azure, kind="UltraSSD_LRS", creationData=creation)
            assert found == (400, "InvalidParameter")
        else:
            disk = made(fake_azure, kind="UltraSSD_LRS", creationData=creation)
            assert disk.sector_size == fields["logicalSectorSize"]

    def test_other_disks_have_sectors_of_512(self, fake_azure: FakeAzure) -> None:
        creation = {"createOption": "Empty", "logicalSectorSize": 4096}
        assert refusal(create, fake_azure, creationData=creation) == (400, "InvalidParameter")

    def test_performance_plus_needs_513_gib(self, fake_azure: FakeAzure) -> None:
        creation = {"createOption": "Empty", "performancePlus": True}
        fields = {"creationData": creation, "kind": "Premium_LRS"}
        assert refusal(create, fake_azure, diskSizeGB=512, **fields) == (400, "InvalidParameter")
        made(fake_azure, "data", diskSizeGB=513, **fields)
        assert shown(fake_azure, "data")["properties"]["creationData"] == creation

    @pytest.mark.parametrize("name", ["-data", "data!", "d" * 81, "da.ta"])
    def test_names_are_as_azure_has_them(self, fake_azure: FakeAzure, name: str) -> None:
        assert said(raw(fake_azure, "PUT", f"disks/{name}", wish())) == (400, "InvalidParameter")
        assert fake_azure.disks() == {}

    def test_names_have_up_to_80_characters(self, fake_azure: FakeAzure) -> None:
        assert made(fake_azure, f"D-{'d' * 77}_").state == "Succeeded"


class TestTags:
    @pytest.mark.parametrize(
        "tags",
        [
            {f"key-{number}": "" for number in range(51)},
            {"k" * 513: ""},
            {"": ""},
            {"key": "v" * 257},
            {"Key": "", "kEY": ""},
            *({f"a{character}b": ""} for character in "<>%&\\?/"),
        ],
    )
    def test_tags_that_cannot_be_are_refused(
        self, fake_azure: FakeAzure, tags: dict[str, str]
    ) -> None:
        assert refusal(create, fake_azure, tags=tags)[0] == 400
        assert fake_azure.disks() == {}

    def test_tags_can_be_long_and_many(self, fake_azure: FakeAzure) -> None:
        tags = {f"{number:0512}": "v" * 256 for number in range(50)}
        assert made(fake_azure, tags=tags).tags == tags


class TestNames:
    def test_a_name_means_the_same_in_capitals(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "Data")
        found = client(fake_azure).disks.get("DEMO-Group", "dATA")
        assert (found.name, found.properties.unique_id) == ("Data", disk.unique_id)

    def test_the_id_spells_the_group_as_it_was_asked_for(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data")
        found = client(fake_azure).disks.get("DEMO-Group", "data").id or ""
        assert "/resourceGroups/DEMO-Group/" in found

    def test_what_does_not_exist_is_not_found(self, fake_azure: FakeAzure) -> None:
        disks = client(fake_azure).disks
        message = (
            "The Resource 'Microsoft.Compute/disks/none' under resource group 'demo-group' was not "
            "found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        )
        assert refused(disks.get, GROUP, "none") == (404, "ResourceNotFound", message)
        assert refusal(disks.get, "none", "data") == (404, "ResourceGroupNotFound")
        assert refusal(disks.begin_update, GROUP, "none", {}) == (404, "ResourceNotFound")

    def test_groups_have_names_of_their_own(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data")
        fake_azure.add_group("other")
        disks = client(fake_azure).disks
        assert refusal(disks.get, "other", "data") == (404, "ResourceNotFound")
        begin(disks.begin_create_or_update, "Other", "data", wish())
        assert len({one.unique_id for one in fake_azure.disks().values()}) == 2


class TestDeleting:
    def test_a_disk_is_being_deleted_and_then_gone(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        begun = delete(fake_azure, "data")
        assert (begun.status, begun.document) == (202, {})
        assert shown(fake_azure, "data")["properties"]["provisioningState"] == "Deleting"
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert refusal(client(fake_azure).disks.get, GROUP, "data") == (404, "ResourceNotFound")
        assert not fake_azure.backing(disk.unique_id).exists()
        assert made(fake_azure, "data").unique_id != disk.unique_id

    def test_what_is_not_there_has_been_deleted(self, fake_azure: FakeAzure) -> None:
        begun = delete(fake_azure, "none")
        assert (begun.status, begun.document) == (204, {})

    def test_a_disk_that_is_being_deleted_is_deleted_once(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data")
        first, again = delete(fake_azure, "data"), delete(fake_azure, "DATA")
        assert first.headers["Location"] == again.headers["Location"]
        assert refusal(create, fake_azure, "data") == (409, "ConflictingConcurrentWriteNotAllowed")
        assert outcome(fake_azure, again) == ("Succeeded", "")

    def test_an_attached_disk_is_not_deleted(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        holder = COMPUTE.format(fake_azure.subscription) + "/virtualMachines/vm-1"
        message = f"Disk data is attached to VM {holder}."
        assert refused(delete, fake_azure, "data") == (409, "OperationNotAllowed", message)
        detached(fake_azure, instance, disk)
        assert outcome(fake_azure, delete(fake_azure, "data")) == ("Succeeded", "")

    def test_a_disk_that_is_being_made_is_not_deleted(self, fake_azure: FakeAzure) -> None:
        create(fake_azure, "data")
        assert refusal(delete, fake_azure, "data") == (409, "ConflictingConcurrentWriteNotAllowed")

    def test_a_disk_that_is_going_is_not_attached(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        delete(fake_azure, "data")
        assert refusal(attach, fake_azure, instance, disk) == (409, "OperationNotAllowed")


class TestCopies:
    def test_a_copy_of_a_disk_begins_as_it_was(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        write(fake_azure.backing(disk.unique_id), b"before")
        source = shown(fake_azure, "data")["id"]
        copy = {"createOption": "Copy", "sourceResourceId": source}
        begun = create(fake_azure, "copy", creationData=copy, diskSizeGB=None, zones=["2"])
        write(fake_azure.backing(disk.unique_id), b"after!")
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        found = record(fake_azure, "copy")
        assert read(fake_azure.backing(found.unique_id), 6) == b"before"
        assert (found.size, found.source_unique_id) == (4, disk.unique_id)
        assert shown(fake_azure, "copy")["properties"]["creationData"] == {
            **copy,
            "sourceUniqueId": disk.unique_id,
        }

    def test_a_copy_can_be_larger_and_not_smaller(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        copy = {"createOption": "Copy", "sourceResourceId": shown(fake_azure, "data")["id"]}
        found = made(fake_azure, creationData=copy, diskSizeGB=6)
        assert fake_azure.backing(found.unique_id).stat().st_size == 6 * GIB
        smaller = refusal(create, fake_azure, creationData=copy, diskSizeGB=disk.size - 1)
        assert smaller == (400, "InvalidParameter")

    def test_a_copy_inherits_the_key(self, fake_azure: FakeAzure) -> None:
        key = fake_azure.encryption_set("keys")
        made(fake_azure, "data", encryption={"diskEncryptionSetId": key})
        copy = {"createOption": "Copy", "sourceResourceId": shown(fake_azure, "data")["id"]}
        assert made(fake_azure, creationData=copy).encryption_set == key

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            (None, (400, "InvalidParameter")),
            ("data", (400, "InvalidParameter")),
            (COMPUTE + "/disks/none", (404, "ResourceNotFound")),
            (COMPUTE + "/virtualMachines/vm-1", (400, "InvalidParameter")),
            (COMPUTE.format("none") + "/disks/data", (404, "SubscriptionNotFound")),
        ],
    )
    def test_there_is_something_to_copy(
        self, fake_azure: FakeAzure, source: str | None, expected: tuple[int, str]
    ) -> None:
        copy = {"createOption": "Copy"}
        if source is not None:
            copy["sourceResourceId"] = source.format(fake_azure.subscription)
        assert refusal(create, fake_azure, creationData=copy) == expected

    def test_a_disk_that_is_not_made_yet_is_not_copied(self, fake_azure: FakeAzure) -> None:
        create(fake_azure, "data")
        disk = record(fake_azure, "data")
        assert refusal(snapshot, fake_azure, disk) == (409, "OperationNotAllowed")

    def test_sectors_are_those_of_the_source(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data", kind="UltraSSD_LRS")
        copy = {"createOption": "Copy", "sourceResourceId": shown(fake_azure, "data")["id"]}
        other = {**copy, "logicalSectorSize": 512}
        found = refusal(create, fake_azure, creationData=other, kind="UltraSSD_LRS")
        assert found == (400, "InvalidParameter")
        assert made(fake_azure, creationData=copy, kind="UltraSSD_LRS").sector_size == 4096
