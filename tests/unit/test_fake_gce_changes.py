"""Sizes, performance and labels: what Compute Engine does."""

from typing import Any

import pytest
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import FakeGce
from tests.unit.gce_calls import (
    PROJECT,
    ZONE,
    at,
    attached,
    disks,
    failure,
    insert,
    kind_of,
    made,
    raw,
    read,
    reason,
    refusal,
    refused,
    region_disks,
    regional,
    snapshot,
    snapshots,
    waited,
    within,
    write,
)


def resize(gce: FakeGce, disk: compute_v1.Disk, size: int) -> compute_v1.Operation:
    """Begin to resize a disk."""
    wanted = compute_v1.DisksResizeRequest(size_gb=size)
    return disks(gce).resize_unary(**at(), disk=str(disk.id), disks_resize_request_resource=wanted)


def update(
    gce: FakeGce, disk: compute_v1.Disk, paths: str | None, **fields: Any
) -> compute_v1.Operation:
    """Begin to change other things of a disk."""
    request = compute_v1.UpdateDiskRequest(
        **at(),
        disk=str(disk.id),
        disk_resource=compute_v1.Disk(name=disk.name, **fields),
        paths=paths,
    )
    return disks(gce).update_unary(request=request)


def set_labels(gce: FakeGce, disk: compute_v1.Disk, **labels: str) -> compute_v1.Operation:
    """Begin to set the labels of a disk as it was read."""
    wanted = compute_v1.ZoneSetLabelsRequest(
        labels=labels, label_fingerprint=disk.label_fingerprint
    )
    call = disks(gce).set_labels_unary
    return call(**at(), resource=disk.name, zone_set_labels_request_resource=wanted)


def now(gce: FakeGce, disk: compute_v1.Disk) -> compute_v1.Disk:
    """Return a disk as it is now."""
    return disks(gce).get(**at(), disk=str(disk.id))


class TestSize:
    def test_a_disk_has_its_new_size_when_the_operation_is_done(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        operation = resize(fake_gce, disk, 12)
        before = now(fake_gce, disk).size_gb
        assert failure(waited(fake_gce, operation)) == ("", 0)
        assert (before, now(fake_gce, disk).size_gb) == (10, 12)

    def test_it_grows_in_place_and_the_host_sees_it(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        node = fake_gce.node(instance)
        name = node.name(str(disk.id)) or ""
        write(node.root / "dev" / name, b"bytes")
        waited(fake_gce, resize(fake_gce, disk, 12))
        sectors = node.root.joinpath("sys", "block", name, "size").read_text()
        assert int(sectors) * 512 == 12 * 2**30 == (node.root / "dev" / name).stat().st_size
        assert read(fake_gce.backing(str(disk.id)), 5) == b"bytes"

    @pytest.mark.parametrize("size", [5, 10])
    def test_it_does_not_shrink_nor_stay(self, fake_gce: FakeGce, size: int) -> None:
        found = refused(resize, fake_gce, made(fake_gce), size)
        message = f"New disk size '{size}' GB must be larger than existing size '10' GB."
        assert found == (400, "invalid", f"Invalid value for field 'sizeGb': '{size}'. {message}")

    def test_the_type_bounds_it(self, fake_gce: FakeGce) -> None:
        assert refusal(resize, fake_gce, made(fake_gce), 65537) == (400, "invalid")

    def test_it_has_to_be_ready_and_a_size_is_needed(self, fake_gce: FakeGce) -> None:
        insert(fake_gce, "data")
        disk = disks(fake_gce).get(**at(), disk="data")
        assert refusal(resize, fake_gce, disk, 12) == (400, "resourceNotReady")
        assert refusal(resize, fake_gce, made(fake_gce), 0) == (400, "invalid")
        path = f"zones/{ZONE}/disks/{made(fake_gce).name}/resize"
        assert reason(raw(fake_gce, "POST", path, {})) == (400, "required")

    def test_of_two_at_once_the_smaller_one_may_fail(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        begun = [resize(fake_gce, disk, size) for size in (14, 12)]
        codes = [failure(waited(fake_gce, one))[0] for one in begun]
        assert (codes, now(fake_gce, disk).size_gb) == (["", "INVALID_USAGE"], 14)

    def test_it_can_fail(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        fake_gce.fail_next("disks.resize")
        operation = waited(fake_gce, resize(fake_gce, disk, 12))
        assert failure(operation) == ("INTERNAL_ERROR", 500)
        assert now(fake_gce, disk).size_gb == 10
        assert fake_gce.backing(str(disk.id)).stat().st_size == 10 * 2**30

    def test_a_regional_disk_grows_as_well(self, fake_gce: FakeGce) -> None:
        disk = regional(fake_gce)
        wanted = compute_v1.RegionDisksResizeRequest(size_gb=12)
        call = region_disks(fake_gce).resize_unary
        operation = call(**within(), disk=disk.name, region_disks_resize_request_resource=wanted)
        assert failure(waited(fake_gce, operation)) == ("", 0)
        assert region_disks(fake_gce).get(**within(), disk=disk.name).size_gb == 12

    def test_a_disk_that_is_deleted_meanwhile_is_not_found(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        operation = resize(fake_gce, disk, 12)
        disks(fake_gce).delete_unary(**at(), disk=disk.name)
        assert failure(waited(fake_gce, operation)) == ("RESOURCE_NOT_FOUND", 404)


class TestPerformance:
    @pytest.fixture
    def disk(self, fake_gce: FakeGce) -> compute_v1.Disk:
        return made(fake_gce, type_=kind_of("hyperdisk-balanced"))

    def test_iops_and_throughput_go_up_and_down(
        self, fake_gce: FakeGce, disk: compute_v1.Disk
    ) -> None:
        paths = "provisionedIops,provisionedThroughput"
        for iops, throughput in ((5000, 200), (3000, 140)):
            operation = update(
                fake_gce, disk, paths, provisioned_iops=iops, provisioned_throughput=throughput
            )
            assert failure(waited(fake_gce, operation)) == ("", 0)
            found = now(fake_gce, disk)
            assert (found.provisioned_iops, found.provisioned_throughput) == (iops, throughput)

    def test_only_what_the_mask_names_is_changed(
        self, fake_gce: FakeGce, disk: compute_v1.Disk
    ) -> None:
        fields: dict[str, Any] = {"provisioned_iops": 4000, "provisioned_throughput": 200}
        waited(fake_gce, update(fake_gce, disk, "provisionedIops", **fields))
        found = now(fake_gce, disk)
        assert (found.provisioned_iops, found.provisioned_throughput) == (4000, 140)

    def test_the_mask_can_be_repeated_or_be_the_other_one(
        self, fake_gce: FakeGce, disk: compute_v1.Disk
    ) -> None:
        path = f"zones/{ZONE}/disks/{disk.name}"
        body = {"provisionedIops": "4000", "sizeGb": "20"}
        assert raw(fake_gce, "PATCH", path, body, paths=["provisionedIops", "sizeGb"])[0] == 200
        fake_gce.clock.advance(60)
        body = {"provisionedThroughput": "150"}
        assert raw(fake_gce, "PATCH", path, body, updateMask="provisionedThroughput")[0] == 200
        fake_gce.clock.advance(60)
        found = now(fake_gce, disk)
        assert (found.provisioned_iops, found.size_gb) == (4000, 20)
        assert found.provisioned_throughput == 150

    @pytest.mark.parametrize(
        ("paths", "fields", "expected"),
        [
            (None, {"provisioned_iops": 4000}, (400, "required")),
            ("provisionedIops", {}, (400, "required")),
            ("description", {"description": "d"}, (400, "invalid")),
            ("provisionedIops", {"provisioned_iops": 5001}, (400, "invalid")),
            ("provisionedThroughput", {"provisioned_throughput": 139}, (400, "invalid")),
            ("sizeGb", {"size_gb": 10}, (400, "invalid")),
        ],
    )
    def test_what_cannot_be_is_refused(
        self,
        fake_gce: FakeGce,
        disk: compute_v1.Disk,
        paths: str | None,
        fields: dict[str, Any],
        expected: tuple[int, str],
    ) -> None:
        assert refusal(update, fake_gce, disk, paths, **fields) == expected

    def test_the_size_is_part_of_the_bound(self, fake_gce: FakeGce, disk: compute_v1.Disk) -> None:
        operation = update(
            fake_gce, disk, "provisionedIops,sizeGb", provisioned_iops=6000, size_gb=12
        )
        assert failure(waited(fake_gce, operation)) == ("", 0)


class TestLabels:
    def test_labels_are_replaced_and_the_fingerprint_changes(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce, labels={"a": "1"})
        assert failure(waited(fake_gce, set_labels(fake_gce, disk, b="2"))) == ("", 0)
        found = now(fake_gce, disk)
        assert dict(found.labels) == {"b": "2"}
        waited(fake_gce, set_labels(fake_gce, found, a="1"))
        assert now(fake_gce, disk).label_fingerprint != disk.label_fingerprint

    def test_an_old_fingerprint_is_refused(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        waited(fake_gce, set_labels(fake_gce, disk, a="1"))
        found = refused(set_labels, fake_gce, disk, b="2")
        message = "Labels fingerprint either invalid or resource labels have changed"
        assert found == (412, "conditionNotMet", message)

    def test_of_two_at_once_the_second_fails(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        begun = [set_labels(fake_gce, disk, a=value) for value in "12"]
        codes = [failure(waited(fake_gce, one)) for one in begun]
        assert codes == [("", 0), ("CONDITION_NOT_MET", 412)]
        assert dict(now(fake_gce, disk).labels) == {"a": "1"}

    def test_what_is_no_label_is_refused(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        assert refusal(set_labels, fake_gce, disk, A="1") == (400, "invalid")

    def test_regional_disks_and_snapshots_have_labels(self, fake_gce: FakeGce) -> None:
        disk, kept = regional(fake_gce), snapshot(fake_gce, made(fake_gce))
        for_region = compute_v1.RegionSetLabelsRequest(
            labels={"a": "1"}, label_fingerprint=disk.label_fingerprint
        )
        begun = region_disks(fake_gce).set_labels_unary(
            **within(), resource=disk.name, region_set_labels_request_resource=for_region
        )
        assert failure(waited(fake_gce, begun)) == ("", 0)
        everywhere = compute_v1.GlobalSetLabelsRequest(
            labels={"b": "2"}, label_fingerprint=kept.label_fingerprint
        )
        call = snapshots(fake_gce).set_labels_unary
        arguments: dict[str, Any] = {
            "project": PROJECT,
            "resource": kept.name,
            "global_set_labels_request_resource": everywhere,
        }
        both = [call(**arguments) for _ in range(2)]
        codes = [failure(waited(fake_gce, one))[0] for one in both]
        assert codes == ["", "CONDITION_NOT_MET"]
        assert refusal(call, **arguments) == (412, "conditionNotMet")
        labels = region_disks(fake_gce).get(**within(), disk=disk.name).labels
        assert dict(labels) == {"a": "1"}
        assert dict(snapshots(fake_gce).get(project=PROJECT, snapshot="kept").labels) == {"b": "2"}
