"""Snapshots, and disks made from them and from each other: what Compute Engine does."""

from typing import Any

import pytest
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import FakeGce, Timings
from tests.unit.gce_calls import (
    OTHER_ZONE,
    PROJECT,
    REGION,
    THIRD_ZONE,
    TIMES,
    ZONE,
    at,
    attached,
    detach,
    disks,
    failure,
    insert,
    kind_of,
    made,
    read,
    refusal,
    region_disks,
    regional,
    snapshot,
    snapshots,
    waited,
    within,
    write,
)


def bytes_of(gce: FakeGce, number: object, count: int = 5) -> bytes:
    """Return the first bytes of a disk or snapshot."""
    return read(gce.backing(str(number)), count)


def status(gce: FakeGce, name: str = "kept") -> str:
    """Return the status of a snapshot."""
    return snapshots(gce).get(project=PROJECT, snapshot=name).status


def begun(gce: FakeGce, disk: compute_v1.Disk, name: str = "kept") -> compute_v1.Operation:
    """Begin to make a snapshot."""
    resource = compute_v1.Snapshot(name=name)
    return disks(gce).create_snapshot_unary(**at(), disk=str(disk.id), snapshot_resource=resource)


class TestSnapshots:
    def test_a_snapshot_is_creating_then_uploading_then_ready(self, fake_gce: FakeGce) -> None:
        operation = begun(fake_gce, made(fake_gce))
        seen = [status(fake_gce)]
        for seconds in (TIMES.queue, TIMES.snapshot):
            fake_gce.clock.advance(seconds)
            seen.append(status(fake_gce))
        assert seen == ["CREATING", "UPLOADING", "READY"]
        assert failure(waited(fake_gce, operation)) == ("", 0)

    def test_it_can_be_ready_later_than_its_operation_is_done(self, fake_gce: FakeGce) -> None:
        fake_gce.reset(timings=Timings(upload=60))
        waited(fake_gce, begun(fake_gce, made(fake_gce)))
        before = status(fake_gce)
        fake_gce.clock.advance(60)
        assert (before, status(fake_gce)) == ("UPLOADING", "READY")

    def test_it_has_the_bytes_of_the_moment_of_the_request(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        backing = fake_gce.backing(str(disk.id))
        write(backing, b"first")
        operation = begun(fake_gce, disk)
        write(backing, b"other")
        waited(fake_gce, operation)
        kept = snapshots(fake_gce).get(project=PROJECT, snapshot="kept")
        assert bytes_of(fake_gce, kept.id) == b"first"

    def test_it_says_what_it_is_of(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce, size_gb=12)
        kept = snapshot(fake_gce, disk, description="d", labels={"a": "b"})
        assert (kept.source_disk, int(kept.source_disk_id)) == (disk.self_link, disk.id)
        assert (kept.disk_size_gb, kept.description, dict(kept.labels)) == (12, "d", {"a": "b"})
        assert list(kept.storage_locations) == [REGION]
        assert kept.self_link.endswith(f"/projects/{PROJECT}/global/snapshots/kept")

    def test_the_operation_is_about_the_disk(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        operation = begun(fake_gce, disk)
        assert operation.operation_type == "createSnapshot"
        assert (operation.target_link, operation.target_id) == (disk.self_link, disk.id)
        assert operation.zone.endswith(f"/zones/{ZONE}")

    def test_it_can_be_asked_for_without_a_zone(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        call = snapshots(fake_gce).insert_unary
        resource = compute_v1.Snapshot(name="kept", source_disk=disk.self_link)
        operation = call(project=PROJECT, snapshot_resource=resource)
        assert failure(waited(fake_gce, operation)) == ("", 0)
        assert (status(fake_gce), operation.zone) == ("READY", "")
        resource = compute_v1.Snapshot(name="other")
        found = refusal(call, project=PROJECT, snapshot_resource=resource)
        assert found == (400, "required")

    def test_an_attached_disk_and_a_regional_one_can_be_kept(self, fake_gce: FakeGce) -> None:
        disk = regional(fake_gce)
        attached(fake_gce, disk, fake_gce.run_instance())
        resource = compute_v1.Snapshot(name="kept")
        call = region_disks(fake_gce).create_snapshot_unary
        operation = call(**within(), disk=disk.name, snapshot_resource=resource)
        assert failure(waited(fake_gce, operation)) == ("", 0)
        resource = compute_v1.Snapshot()
        found = refusal(call, **within(), disk=disk.name, snapshot_resource=resource)
        assert found == (400, "required")

    def test_its_name_is_taken_everywhere(self, fake_gce: FakeGce) -> None:
        begun(fake_gce, made(fake_gce))
        found = refusal(snapshot, fake_gce, made(fake_gce, zone=OTHER_ZONE))
        assert found == (409, "alreadyExists")

    def test_its_id_stands_for_its_name(self, fake_gce: FakeGce) -> None:
        kept = snapshot(fake_gce, made(fake_gce))
        get = snapshots(fake_gce).get
        assert get(project=PROJECT, snapshot=str(kept.id)).name == "kept"
        assert refusal(get, project=PROJECT, snapshot="12345") == (404, "notFound")

    def test_a_disk_that_is_not_ready_cannot_be_kept(self, fake_gce: FakeGce) -> None:
        insert(fake_gce, "data")
        disk = disks(fake_gce).get(**at(), disk="data")
        assert refusal(begun, fake_gce, disk) == (400, "resourceNotReady")

    def test_it_is_encrypted_with_the_key_of_its_disk(self, fake_gce: FakeGce) -> None:
        key = f"projects/{PROJECT}/locations/{REGION}/keyRings/r/cryptoKeys/k"
        disk = made(fake_gce, disk_encryption_key={"kms_key_name": key})
        kept = snapshot(fake_gce, disk)
        assert kept.snapshot_encryption_key.kms_key_name == f"{key}/cryptoKeyVersions/1"

    @pytest.mark.parametrize(("leaves_failed", "left"), [(False, []), (True, [("kept", "FAILED")])])
    def test_it_can_fail(
        self, fake_gce: FakeGce, *, leaves_failed: bool, left: list[tuple[str, str]]
    ) -> None:
        code = "RESOURCE_OPERATION_RATE_EXCEEDED"
        fake_gce.fail_next("*.createSnapshot", code, leaves_failed=leaves_failed)
        operation = waited(fake_gce, begun(fake_gce, made(fake_gce)))
        assert failure(operation) == (code, 429)
        found = snapshots(fake_gce).list(project=PROJECT)
        assert [(one.name, one.status) for one in found] == left

    def test_it_outlives_its_disk_and_is_deleted_by_itself(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        kept = snapshot(fake_gce, disk)
        waited(fake_gce, disks(fake_gce).delete_unary(**at(), disk=disk.name))
        delete = snapshots(fake_gce).delete_unary
        operation = delete(project=PROJECT, snapshot=str(kept.id))
        assert status(fake_gce) == "DELETING"
        assert refusal(delete, project=PROJECT, snapshot="kept") == (400, "resourceNotReady")
        assert failure(waited(fake_gce, operation)) == ("", 0)
        assert fake_gce.snapshots() == {}
        assert not fake_gce.backing(str(kept.id)).exists()

    def test_its_deletion_can_fail(self, fake_gce: FakeGce) -> None:
        snapshot(fake_gce, made(fake_gce))
        fake_gce.fail_next("snapshots.delete")
        delete = snapshots(fake_gce).delete_unary
        operation = waited(fake_gce, delete(project=PROJECT, snapshot="kept"))
        assert (failure(operation)[0], status(fake_gce)) == ("INTERNAL_ERROR", "READY")

    def test_it_cannot_be_deleted_before_it_is_ready(self, fake_gce: FakeGce) -> None:
        begun(fake_gce, made(fake_gce))
        delete = snapshots(fake_gce).delete_unary
        assert refusal(delete, project=PROJECT, snapshot="kept") == (400, "resourceNotReady")


class TestRestoring:
    def test_a_disk_begins_as_the_snapshot_is(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce, size_gb=12)
        write(fake_gce.backing(str(disk.id)), b"first")
        kept = snapshot(fake_gce, disk)
        operation = insert(fake_gce, "copy", OTHER_ZONE, source_snapshot=kept.self_link)
        fake_gce.clock.advance(TIMES.queue)
        before = disks(fake_gce).get(**at(OTHER_ZONE), disk="copy").status
        waited(fake_gce, operation)
        copy = disks(fake_gce).get(**at(OTHER_ZONE), disk="copy")
        assert (before, copy.status, copy.size_gb) == ("RESTORING", "READY", 12)
        assert (copy.source_snapshot, int(copy.source_snapshot_id)) == (kept.self_link, kept.id)
        assert bytes_of(fake_gce, copy.id) == b"first"
        write(fake_gce.backing(str(copy.id)), b"other")
        assert bytes_of(fake_gce, kept.id) == bytes_of(fake_gce, disk.id) == b"first"

    def test_it_can_be_larger_and_not_smaller(self, fake_gce: FakeGce) -> None:
        kept = snapshot(fake_gce, made(fake_gce))
        source = f"global/snapshots/{kept.id}"
        copy = made(fake_gce, source_snapshot=source, size_gb=20)
        assert fake_gce.backing(str(copy.id)).stat().st_size == 20 * 2**30
        found = refusal(insert, fake_gce, source_snapshot=source, size_gb=9)
        assert found == (400, "invalid")

    def test_a_snapshot_has_to_be_ready(self, fake_gce: FakeGce) -> None:
        begun(fake_gce, made(fake_gce))
        found = refusal(insert, fake_gce, source_snapshot="global/snapshots/kept")
        assert found == (400, "resourceNotReady")

    def test_one_source_is_enough(self, fake_gce: FakeGce) -> None:
        kept = snapshot(fake_gce, made(fake_gce))
        fields: dict[str, Any] = {
            "source_snapshot": kept.self_link,
            "source_disk": kept.source_disk,
        }
        assert refusal(insert, fake_gce, **fields) == (400, "invalid")


class TestCloning:
    def test_a_clone_begins_as_its_source_is(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce, size_gb=12), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        write(fake_gce.backing(str(disk.id)), b"first")
        copy = made(fake_gce, source_disk=disk.self_link)
        assert (copy.size_gb, bytes_of(fake_gce, copy.id)) == (12, b"first")
        assert (copy.source_disk, int(copy.source_disk_id)) == (disk.self_link, disk.id)
        waited(fake_gce, detach(fake_gce, instance, disk.name))

    @pytest.mark.parametrize(
        ("zone", "fields"),
        [
            (OTHER_ZONE, {}),
            (ZONE, {"type_": kind_of("pd-ssd")}),
            (ZONE, {"size_gb": 9}),
        ],
    )
    def test_it_has_the_place_the_type_and_the_size_of_its_source(
        self, fake_gce: FakeGce, zone: str, fields: dict[str, Any]
    ) -> None:
        source = made(fake_gce).self_link
        found = refusal(insert, fake_gce, zone=zone, source_disk=source, **fields)
        assert found == (400, "invalid")

    def test_a_regional_clone_has_a_replica_where_its_source_is(self, fake_gce: FakeGce) -> None:
        source = made(fake_gce, type_=kind_of("pd-balanced"))
        write(fake_gce.backing(str(source.id)), b"first")
        copy = regional(fake_gce, source_disk=source.self_link)
        assert bytes_of(fake_gce, copy.id) == b"first"
        resource = compute_v1.Disk(
            name="other",
            type_=kind_of("pd-balanced", f"regions/{REGION}"),
            replica_zones=[f"zones/{OTHER_ZONE}", f"zones/{THIRD_ZONE}"],
            source_disk=source.self_link,
        )
        call = region_disks(fake_gce).insert_unary
        assert refusal(call, **within(), disk_resource=resource) == (400, "invalid")

    def test_a_regional_disk_has_no_zonal_clone(self, fake_gce: FakeGce) -> None:
        source = regional(fake_gce, kind="pd-standard", size_gb=200)
        found = refusal(insert, fake_gce, source_disk=source.self_link)
        assert found == (400, "invalid")
