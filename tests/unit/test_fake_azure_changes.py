"""Changing disks: other sizes, kinds, performance and tags, by PATCH and by PUT."""

from typing import Any

import pytest

from cloudcrypt_testing.fake_azure import FakeAzure
from tests.unit.azure_calls import (
    GROUP,
    TIMES,
    attached,
    begin,
    client,
    create,
    made,
    outcome,
    patch,
    raw,
    record,
    refusal,
    refused,
    said,
    shown,
    waited,
    wish,
)

GIB = 1024**3
DAY = 24 * 3600


def changed(azure: FakeAzure, name: str, **fields: Any) -> None:
    """Change a disk by PUT, as if it were made anew, and wait for it."""
    assert outcome(azure, create(azure, name, **fields)) == ("Succeeded", "")


class TestGrowing:
    def test_a_disk_grows_when_the_operation_is_over(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        begun = patch(fake_azure, disk, diskSizeGB=8)
        assert begun.status == 202
        assert begun.document["properties"]["diskSizeGB"] == 8
        found = shown(fake_azure, "data")["properties"]
        assert (found["provisioningState"], found["diskSizeGB"]) == ("Updating", 4)
        begun_at = fake_azure.clock.monotonic()
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert fake_azure.clock.monotonic() - begun_at == TIMES.resize
        assert shown(fake_azure, "data")["properties"]["diskSizeGB"] == 8
        assert fake_azure.backing(disk.unique_id).stat().st_size == 8 * GIB

    def test_a_host_sees_it(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        assert outcome(fake_azure, patch(fake_azure, disk, diskSizeGB=8)) == ("Succeeded", "")
        node = fake_azure.node(instance)
        name = node.name(disk.unique_id)
        size = (node.root / "sys" / "block" / str(name) / "size").read_text()
        assert int(size) * 512 == 8 * GIB

    def test_a_disk_does_not_shrink(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        for found in (
            refused(patch, fake_azure, disk, diskSizeGB=3),
            refused(create, fake_azure, "data", diskSizeGB=3),
        ):
            assert found[:2] == (409, "OperationNotAllowed")
            assert "cannot be resized down" in found[2]
        assert record(fake_azure, "data") == disk

    @pytest.mark.parametrize(
        ("kind", "before", "after", "expected"),
        [
            ("Premium_LRS", 4095, 4096, "OperationNotAllowed"),
            ("StandardSSD_LRS", 1, 5000, "OperationNotAllowed"),
            ("Premium_LRS", 4094, 4095, ""),
            ("Premium_LRS", 4096, 5000, ""),
            ("UltraSSD_LRS", 4095, 4096, ""),
            ("PremiumV2_LRS", 4, 5000, ""),
        ],
    )
    def test_a_plain_disk_crosses_4_tib_only_when_it_is_free(
        self, fake_azure: FakeAzure, kind: str, before: int, after: int, expected: str
    ) -> None:
        disk, instance = made(fake_azure, kind=kind, diskSizeGB=before), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        if expected:
            found = refused(patch, fake_azure, disk, diskSizeGB=after)
            assert found[:2] == (409, expected)
            assert "while it is attached to running VM" in found[2]
            fake_azure.deallocate(instance)
        assert outcome(fake_azure, patch(fake_azure, disk, diskSizeGB=after)) == ("Succeeded", "")

    def test_a_shared_disk_does_not_grow_while_it_is_attached(self, fake_azure: FakeAzure) -> None:
        disk, instance = (
            made(fake_azure, maxShares=2, kind="Premium_LRS"),
            fake_azure.run_instance(),
        )
        attached(fake_azure, instance, disk)
        response = refused(patch, fake_azure, disk, diskSizeGB=8)
        assert response[:2] == (409, "OperationNotAllowed")
        fake_azure.rip_out(instance, disk.unique_id)
        assert outcome(fake_azure, patch(fake_azure, disk, diskSizeGB=8)) == ("Succeeded", "")

    def test_growing_online_can_be_forbidden(self, fake_azure: FakeAzure) -> None:
        fake_azure.forbid_online_resize()
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        answer = raw(fake_azure, "PATCH", "disks/data", {"properties": {"diskSizeGB": 8}})
        assert said(answer) == (409, "OperationNotAllowed")
        error = answer.json()["error"]
        assert error["innererror"] == {"internalErrorCode": "ChangeDiskSizeWhileAttachedNotAllowed"}
        assert error["message"].startswith(
            "Cannot resize disk data while it is attached to running"
        )

    def test_one_thing_is_done_to_a_disk_at_a_time(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        patch(fake_azure, disk, diskSizeGB=8)
        busy = (409, "ConflictingConcurrentWriteNotAllowed")
        assert refusal(patch, fake_azure, disk, diskSizeGB=9) == busy
        assert refusal(create, fake_azure, "data") == busy


class TestPutting:
    def test_a_disk_that_exists_is_changed_without_a_word(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data", tags={"owner": "me"}, kind="Standard_LRS")
        changed(fake_azure, "data", diskSizeGB=8, kind="Premium_LRS", tags={"owner": "you"})
        found = record(fake_azure, "data")
        assert (found.unique_id, found.size, found.sku) == (disk.unique_id, 8, "Premium_LRS")
        assert found.tags == {"owner": "you"}

    def test_tags_that_are_not_repeated_are_gone(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data", tags={"owner": "me"})
        changed(fake_azure, "DATA")
        assert record(fake_azure, "data").tags == {}

    def test_what_changes_nothing_is_done_at_once(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data", tags={"owner": "me"})
        begun = create(fake_azure, "data", tags={"owner": "me"})
        assert (begun.status, "Location" in begun.headers) == (200, False)
        assert begun.document == shown(fake_azure, "data")

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"zones": ["2"]}, "PropertyChangeNotAllowed"),
            ({"zones": None}, "PropertyChangeNotAllowed"),
            ({"location": "westus"}, "InvalidResourceLocation"),
            (
                {"creationData": {"createOption": "Copy", "sourceResourceId": "x"}},
                "PropertyChangeNotAllowed",
            ),
            (
                {"creationData": {"createOption": "Empty", "sourceResourceId": "x"}},
                "PropertyChangeNotAllowed",
            ),
            ({"kind": "UltraSSD_LRS"}, "PropertyChangeNotAllowed"),
            ({"kind": "Premium_ZRS", "zones": None}, "PropertyChangeNotAllowed"),
        ],
    )
    def test_what_a_disk_is_made_of_stays(
        self, fake_azure: FakeAzure, fields: dict[str, Any], expected: str
    ) -> None:
        disk = made(fake_azure, "data")
        assert refusal(create, fake_azure, "data", **fields) == (409, expected)
        assert record(fake_azure, "data") == disk

    def test_a_copy_can_be_asked_for_again(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "source")
        copy = {"createOption": "Copy", "sourceResourceId": shown(fake_azure, "source")["id"]}
        disk = made(fake_azure, "data", creationData=copy, diskSizeGB=None)
        assert create(fake_azure, "data", creationData=copy, diskSizeGB=None).status == 200
        assert record(fake_azure, "data") == disk


class TestKinds:
    def test_the_kind_of_a_free_disk_can_change(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        body = {"sku": {"name": "Premium_LRS"}}
        begun = begin(client(fake_azure).disks.begin_update, GROUP, "data", body)
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert record(fake_azure, "data").sku == "Premium_LRS"
        assert record(fake_azure, "data").unique_id == disk.unique_id

    def test_that_of_an_attached_one_only_when_its_machine_is_off(
        self, fake_azure: FakeAzure
    ) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        change = (
            client(fake_azure).disks.begin_update,
            GROUP,
            "data",
            {"sku": {"name": "Premium_LRS"}},
        )
        assert refusal(begin, *change) == (409, "PropertyChangeNotAllowed")
        fake_azure.deallocate(instance)
        assert outcome(fake_azure, begin(*change)) == ("Succeeded", "")

    def test_it_has_to_fit_the_rest(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, zones=None)
        change = {"sku": {"name": "PremiumV2_LRS"}}
        found = refusal(begin, client(fake_azure).disks.begin_update, GROUP, disk.name, change)
        assert found == (400, "InvalidParameter")


class TestPerformance:
    def test_it_can_be_chosen_anew(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data", kind="PremiumV2_LRS", diskSizeGB=20)
        begun = patch(fake_azure, disk, diskIOPSReadWrite=10_000, diskMBpsReadWrite=500)
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        found = shown(fake_azure, "data")["properties"]
        assert (found["diskIOPSReadWrite"], found["diskMBpsReadWrite"]) == (10_000, 500)

    @pytest.mark.parametrize(("kind", "left"), [("UltraSSD_LRS", 4), ("PremiumV2_LRS", 3)])
    def test_four_times_in_24_hours(self, fake_azure: FakeAzure, kind: str, left: int) -> None:
        disk = made(fake_azure, kind=kind, diskSizeGB=20, diskIOPSReadWrite=3100)
        for number in range(left):
            begun = patch(fake_azure, disk, diskIOPSReadWrite=3200 + number)
            assert outcome(fake_azure, begun) == ("Succeeded", "")
        found = refusal(patch, fake_azure, disk, diskIOPSReadWrite=4000)
        assert found == (409, "OperationNotAllowed")
        fake_azure.clock.advance(DAY)
        begun = patch(fake_azure, disk, diskIOPSReadWrite=4000)
        assert outcome(fake_azure, begun) == ("Succeeded", "")

    def test_other_changes_do_not_count(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data", kind="UltraSSD_LRS")
        for number in range(6):
            begun = patch(fake_azure, disk, diskSizeGB=5 + number)
            assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert record(fake_azure, "data").size == 10

    @pytest.mark.parametrize("asked", [{"diskIOPSReadWrite": 4001}, {"diskMBpsReadWrite": 2}])
    def test_it_stays_within_its_limits(self, fake_azure: FakeAzure, asked: dict[str, int]) -> None:
        disk = made(fake_azure, kind="PremiumV2_LRS")
        assert refusal(patch, fake_azure, disk, **asked) == (400, "InvalidParameter")


class TestSharing:
    def test_shares_change_while_the_disk_is_free(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data", kind="Premium_LRS"), fake_azure.run_instance()
        assert outcome(fake_azure, patch(fake_azure, disk, maxShares=2)) == ("Succeeded", "")
        attached(fake_azure, instance, disk)
        found = refusal(patch, fake_azure, disk, maxShares=3)
        assert found == (409, "OperationNotAllowed")
        assert record(fake_azure, "data").max_shares == 2


class TestOthers:
    def test_tags_alone_can_change(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data", tags={"a": "b"}, kind="Premium_LRS")
        update = client(fake_azure).disks.begin_update
        waited(fake_azure, begin(update, GROUP, "data", {"tags": {"c": "d"}}))
        found = record(fake_azure, "data")
        assert (found.tags, found.sku) == ({"c": "d"}, "Premium_LRS")

    def test_access_over_networks_can_change(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        begun = patch(
            fake_azure, disk, networkAccessPolicy="denyall", publicNetworkAccess="disabled"
        )
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        found = record(fake_azure, "data")
        assert (found.network_policy, found.public_access) == ("DenyAll", "Disabled")

    def test_what_is_shown_can_be_repeated(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data", kind="Premium_LRS")
        call = client(fake_azure).disks.begin_create_or_update
        assert begin(call, GROUP, "data", shown(fake_azure, "data")).status == 200
        body = {"sku": {}, "properties": {"diskMBpsReadWrite": 25, "diskIOPSReadWrite": 120}}
        update = client(fake_azure).disks.begin_update
        assert begin(update, GROUP, "data", body).status == 200
        assert record(fake_azure, "data") == disk

    def test_tiers_go_with_the_size(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, kind="Premium_LRS")
        assert patch(fake_azure, disk, tier="P1").status == 200
        assert refusal(patch, fake_azure, disk, tier="P30") == (501, "NotImplemented")

    def test_what_failed_stays_as_it_was(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        fake_azure.fail_next("disks.update")
        begun = patch(fake_azure, disk, diskSizeGB=8)
        assert outcome(fake_azure, begun) == ("Failed", "InternalServerError")
        assert record(fake_azure, "data") == disk

    def test_what_failed_can_stay_failed_and_keeps_its_bytes(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        fake_azure.fail_next("disks.update", leaves_failed=True)
        waited(fake_azure, patch(fake_azure, disk, diskSizeGB=8))
        assert shown(fake_azure, "data")["properties"]["provisioningState"] == "Failed"
        begun = begin(
            client(fake_azure).disks.begin_create_or_update, GROUP, "data", wish(diskSizeGB=9)
        )
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        found = record(fake_azure, "data")
        assert (found.unique_id, found.size, found.state) == (disk.unique_id, 9, "Succeeded")
