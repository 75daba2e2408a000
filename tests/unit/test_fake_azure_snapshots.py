"""Snapshots: what Azure does."""

from typing import Any

import pytest

from cloudcrypt_testing.fake_azure import FakeAzure, Snapshot
from tests.unit.azure_calls import (
    GROUP,
    TIMES,
    begin,
    client,
    create,
    delete,
    disk_id,
    made,
    outcome,
    patch,
    raw,
    read,
    record,
    refusal,
    shown,
    snapshot,
    waited,
    wish,
    write,
)


def kept(azure: FakeAzure, name: str = "kept") -> Snapshot:
    """Return the snapshot with a name, as it is."""
    (found,) = (one for one in azure.snapshots().values() if one.name == name)
    return found


def seen(azure: FakeAzure, name: str = "kept") -> dict[str, Any]:
    """Return a snapshot as the API shows it."""
    document: dict[str, Any] = raw(azure, "GET", f"snapshots/{name}").json()
    return document


def copy(azure: FakeAzure, name: str = "kept") -> dict[str, Any]:
    """Return what makes a disk a copy of a snapshot."""
    source = {"createOption": "Copy", "sourceResourceId": seen(azure, name)["id"]}
    return {"creationData": source, "diskSizeGB": None}


class TestMaking:
    def test_a_snapshot_is_announced_and_then_made(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        begun = snapshot(fake_azure, disk, tags={"a": "b"})
        assert begun.status == 202
        assert begun.document["properties"]["provisioningState"] == "Updating"
        assert "uniqueId" not in begun.document["properties"]
        assert seen(fake_azure)["properties"]["provisioningState"] == "Creating"
        started = fake_azure.clock.monotonic()
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert fake_azure.clock.monotonic() - started == TIMES.snapshot
        found = seen(fake_azure)
        assert found["id"].endswith(
            "/resourceGroups/demo-group/providers/Microsoft.Compute/snapshots/kept"
        )
        assert found["tags"] == {"a": "b"}
        assert found["properties"] == {
            "creationData": {
                "createOption": "Copy",
                "sourceResourceId": disk_id(fake_azure, disk),
                "sourceUniqueId": disk.unique_id,
            },
            "diskSizeGB": 4,
            "diskSizeBytes": 4 * 1024**3,
            "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
            "incremental": True,
            "incrementalSnapshotFamilyId": disk.unique_id,
            "networkAccessPolicy": "AllowAll",
            "publicNetworkAccess": "Enabled",
            "timeCreated": "2030-01-01T00:00:02.000000+00:00",
            "provisioningState": "Succeeded",
            "diskState": "Unattached",
            "uniqueId": kept(fake_azure).unique_id,
        }

    def test_it_keeps_the_bytes_of_the_moment_it_was_asked_for(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        write(fake_azure.backing(disk.unique_id), b"before")
        begun = snapshot(fake_azure, disk)
        write(fake_azure.backing(disk.unique_id), b"after!")
        waited(fake_azure, begun)
        waited(fake_azure, delete(fake_azure, "data"))
        again = made(fake_azure, "again", **copy(fake_azure))
        assert read(fake_azure.backing(again.unique_id), 6) == b"before"
        assert (again.size, again.source_unique_id) == (4, kept(fake_azure).unique_id)

    def test_full_ones_belong_to_no_family(self, fake_azure: FakeAzure) -> None:
        waited(fake_azure, snapshot(fake_azure, made(fake_azure), incremental=False))
        found = seen(fake_azure)["properties"]
        assert (found["incremental"], "incrementalSnapshotFamilyId" in found) == (False, False)

    def test_a_snapshot_can_be_copied(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure)
        waited(fake_azure, snapshot(fake_azure, disk))
        body = wish(zones=None, **copy(fake_azure))
        begun = begin(client(fake_azure).snapshots.begin_create_or_update, GROUP, "second", body)
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert kept(fake_azure, "second").source_unique_id == kept(fake_azure).unique_id

    def test_it_can_be_in_all_zones(self, fake_azure: FakeAzure) -> None:
        waited(fake_azure, snapshot(fake_azure, made(fake_azure), kind="Standard_ZRS"))
        assert seen(fake_azure)["sku"] == {"name": "Standard_ZRS", "tier": "Standard"}

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"kind": "UltraSSD_LRS"}, (400, "InvalidAccountType")),
            ({"location": "westus"}, (400, "InvalidParameter")),
            ({"creationData": {"createOption": "CopyStart"}}, (501, "NotImplemented")),
            ({"creationData": {"createOption": "Copy"}}, (400, "InvalidParameter")),
            (
                {"encryption": {"type": "EncryptionAtRestWithCustomerKey"}},
                (400, "InvalidParameter"),
            ),
            ({"tags": {"a/b": ""}}, (400, "InvalidTagNameCharacters")),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, fake_azure: FakeAzure, fields: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        disk = made(fake_azure)
        assert refusal(snapshot, fake_azure, disk, **fields) == expected
        assert fake_azure.snapshots() == {}

    def test_names_are_as_those_of_disks(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure)
        for name in ("-kept", "kept.", "k" * 81):
            assert refusal(snapshot, fake_azure, disk, name) == (400, "InvalidParameter")
        assert outcome(fake_azure, snapshot(fake_azure, disk, "k.ept")) == ("Succeeded", "")

    def test_making_can_fail(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure)
        fake_azure.fail_next("snapshots.*")
        begun = snapshot(fake_azure, disk)
        unique = kept(fake_azure).unique_id
        assert outcome(fake_azure, begun) == ("Failed", "InternalServerError")
        assert fake_azure.snapshots() == {}
        assert not fake_azure.backing(unique).exists()

    def test_what_failed_can_stay_and_be_made_again(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure)
        fake_azure.fail_next("snapshots.createOrUpdate", leaves_failed=True)
        waited(fake_azure, snapshot(fake_azure, disk))
        assert seen(fake_azure)["properties"]["provisioningState"] == "Failed"
        assert refusal(create, fake_azure, **copy(fake_azure)) == (409, "OperationNotAllowed")
        assert outcome(fake_azure, snapshot(fake_azure, disk)) == ("Succeeded", "")


class TestCopying:
    @pytest.mark.parametrize("kind", ["UltraSSD_LRS", "PremiumV2_LRS"])
    def test_some_kinds_are_copied_in_the_background(
        self, fake_azure: FakeAzure, kind: str
    ) -> None:
        disk = made(fake_azure, kind=kind)
        waited(fake_azure, snapshot(fake_azure, disk))
        percents = [seen(fake_azure)["properties"]["completionPercent"]]
        assert refusal(create, fake_azure, **copy(fake_azure)) == (409, "OperationNotAllowed")
        for _ in range(4):
            fake_azure.clock.advance(TIMES.copy / 4)
            percents.append(seen(fake_azure)["properties"]["completionPercent"])
        assert percents == [0, 25, 50, 75, 100]
        again = made(fake_azure, "again", kind=kind, **copy(fake_azure))
        assert shown(fake_azure, "again")["properties"]["completionPercent"] == 0
        assert refusal(patch, fake_azure, again, diskSizeGB=8) == (409, "OperationNotAllowed")
        fake_azure.clock.advance(TIMES.copy)
        assert outcome(fake_azure, patch(fake_azure, again, diskSizeGB=8)) == ("Succeeded", "")

    def test_they_have_to_be_incremental(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, kind="UltraSSD_LRS")
        found = refusal(snapshot, fake_azure, disk, incremental=False)
        assert found == (400, "InvalidParameter")

    def test_all_of_them_can_be_slow(self, fake_azure: FakeAzure) -> None:
        fake_azure.copy_in_background()
        waited(fake_azure, snapshot(fake_azure, made(fake_azure)))
        assert seen(fake_azure)["properties"]["completionPercent"] == 0

    def test_a_copy_ends_with_what_is_copied(self, fake_azure: FakeAzure) -> None:
        waited(fake_azure, snapshot(fake_azure, made(fake_azure, kind="UltraSSD_LRS")))
        call = client(fake_azure).snapshots.begin_delete
        waited(fake_azure, begin(call, GROUP, "kept"))
        fake_azure.clock.advance(TIMES.copy)
        assert fake_azure.snapshots() == {}


class TestChanging:
    def test_tags_can_change(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure)
        waited(fake_azure, snapshot(fake_azure, disk, tags={"a": "b"}))
        update = client(fake_azure).snapshots.begin_update
        begun = begin(update, GROUP, "KEPT", {"tags": {"c": "d"}})
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert kept(fake_azure).tags == {"c": "d"}
        assert snapshot(fake_azure, disk, tags={"c": "d"}).status == 200
        waited(fake_azure, snapshot(fake_azure, disk))
        assert kept(fake_azure).tags == {}

    def test_what_it_is_made_of_stays(self, fake_azure: FakeAzure) -> None:
        disk, other = made(fake_azure), made(fake_azure)
        waited(fake_azure, snapshot(fake_azure, disk))
        expected = (409, "PropertyChangeNotAllowed")
        assert refusal(snapshot, fake_azure, other) == expected
        assert refusal(snapshot, fake_azure, disk, incremental=False) == expected
        update = client(fake_azure).snapshots.begin_update
        body = {"properties": {"diskSizeGB": 8}}
        assert refusal(begin, update, GROUP, "kept", body) == expected

    def test_one_thing_is_done_at_a_time(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure)
        snapshot(fake_azure, disk)
        busy = (409, "ConflictingConcurrentWriteNotAllowed")
        snapshots = client(fake_azure).snapshots
        assert refusal(snapshot, fake_azure, disk) == busy
        assert refusal(begin, snapshots.begin_update, GROUP, "kept", {}) == busy
        assert refusal(begin, snapshots.begin_delete, GROUP, "kept") == busy


class TestDeleting:
    def test_a_snapshot_is_being_deleted_and_then_gone(self, fake_azure: FakeAzure) -> None:
        waited(fake_azure, snapshot(fake_azure, made(fake_azure)))
        unique = kept(fake_azure).unique_id
        call = client(fake_azure).snapshots.begin_delete
        first, again = begin(call, GROUP, "kept"), begin(call, GROUP, "kept")
        assert (first.status, first.headers["Location"]) == (202, again.headers["Location"])
        assert seen(fake_azure)["properties"]["provisioningState"] == "Deleting"
        assert outcome(fake_azure, first) == ("Succeeded", "")
        assert begin(call, GROUP, "kept").status == 204
        assert refusal(client(fake_azure).snapshots.get, GROUP, "kept") == (404, "ResourceNotFound")
        assert not fake_azure.backing(unique).exists()

    def test_disks_outlive_it(self, fake_azure: FakeAzure) -> None:
        waited(fake_azure, snapshot(fake_azure, made(fake_azure)))
        begun = create(fake_azure, "again", **copy(fake_azure))
        waited(fake_azure, begin(client(fake_azure).snapshots.begin_delete, GROUP, "kept"))
        assert record(fake_azure, "again").state == "Succeeded"
        assert outcome(fake_azure, begun) == ("Succeeded", "")

    def test_deleting_can_fail(self, fake_azure: FakeAzure) -> None:
        waited(fake_azure, snapshot(fake_azure, made(fake_azure)))
        fake_azure.fail_next("snapshots.delete")
        begun = begin(client(fake_azure).snapshots.begin_delete, GROUP, "kept")
        assert outcome(fake_azure, begun)[0] == "Failed"
        assert kept(fake_azure).state == "Succeeded"
