"""Making, showing and deleting disks: what Compute Engine does."""

import uuid
from typing import Any

import pytest
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import FakeGce
from tests.unit.gce_calls import (
    DONE,
    OTHER_ZONE,
    PROJECT,
    REGION,
    THIRD_ZONE,
    TIMES,
    ZONE,
    at,
    attached,
    disks,
    failure,
    insert,
    kind_of,
    made,
    refusal,
    refused,
    region_disks,
    regional,
    waited,
    within,
)

KEY = f"projects/{PROJECT}/locations/{REGION}/keyRings/r/cryptoKeys/k"
NOBODY = "1234567890123456789"


class TestCreation:
    def test_a_disk_is_creating_before_its_operation_is_done(self, fake_gce: FakeGce) -> None:
        operation = insert(fake_gce, "data")
        before = disks(fake_gce).get(**at(), disk="data").status
        fake_gce.clock.advance(TIMES.create)
        assert (operation.status.name, before) == ("PENDING", "CREATING")
        assert disks(fake_gce).get(**at(), disk="data").status == "READY"

    def test_the_operation_says_which_disk_it_makes(self, fake_gce: FakeGce) -> None:
        operation = insert(fake_gce, "data")
        disk = disks(fake_gce).get(**at(), disk="data")
        assert operation.operation_type == "insert"
        assert (operation.target_link, operation.target_id) == (disk.self_link, disk.id)

    def test_what_was_asked_for_is_shown(self, fake_gce: FakeGce) -> None:
        disk = made(
            fake_gce,
            "data",
            size_gb=20,
            description='{"name": "data"}',
            labels={"owner": "me"},
            type_=kind_of("pd-ssd"),
        )
        assert (disk.name, disk.size_gb, disk.description) == ("data", 20, '{"name": "data"}')
        assert dict(disk.labels) == {"owner": "me"}
        assert disk.type_.endswith(f"/compute/v1/projects/{PROJECT}/{kind_of('pd-ssd')}")
        assert disk.zone.endswith(f"/zones/{ZONE}")
        assert list(disk.users) == []

    def test_without_type_and_size_it_is_a_standard_disk_of_500_gb(self, fake_gce: FakeGce) -> None:
        resource = compute_v1.Disk(name="data")
        waited(fake_gce, disks(fake_gce).insert_unary(**at(), disk_resource=resource))
        disk = disks(fake_gce).get(**at(), disk="data")
        assert (disk.size_gb, disk.type_.rpartition("/")[2]) == (500, "pd-standard")

    def test_a_name_is_taken_in_its_zone_only(self, fake_gce: FakeGce) -> None:
        made(fake_gce, "data")
        found = refused(insert, fake_gce, "data")
        message = f"The resource 'projects/{PROJECT}/zones/{ZONE}/disks/data' already exists"
        assert found == (409, "alreadyExists", message)
        made(fake_gce, "data", OTHER_ZONE)
        assert len(fake_gce.disks()) == 2

    def test_a_name_is_taken_while_its_disk_is_creating(self, fake_gce: FakeGce) -> None:
        insert(fake_gce, "data")
        assert refusal(insert, fake_gce, "data") == (409, "alreadyExists")

    def test_the_same_request_id_is_the_same_operation_whatever_is_asked(
        self, fake_gce: FakeGce
    ) -> None:
        token = str(uuid.uuid4())
        first = insert(fake_gce, "data", request_id=token)
        second = insert(fake_gce, "other", OTHER_ZONE, request_id=token, size_gb=99)
        assert first.client_operation_id == second.client_operation_id == token
        assert first.id == second.id
        assert [disk.name for disk in fake_gce.disks().values()] == ["data"]

    def test_a_refused_request_is_not_remembered(self, fake_gce: FakeGce) -> None:
        token = str(uuid.uuid4())
        assert refusal(insert, fake_gce, request_id=token, size_gb=0)[0] == 400
        insert(fake_gce, request_id=token)
        assert len(fake_gce.disks()) == 1

    @pytest.mark.parametrize("request_id", ["no-uuid", "00000000-0000-0000-0000-000000000000"])
    def test_a_request_id_is_a_uuid_and_not_zero(self, fake_gce: FakeGce, request_id: str) -> None:
        assert refusal(insert, fake_gce, request_id=request_id) == (400, "invalid")

    def test_a_key_of_the_key_service_is_shown_with_its_version(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce, disk_encryption_key={"kms_key_name": KEY})
        assert disk.disk_encryption_key.kms_key_name == f"{KEY}/cryptoKeyVersions/1"

    def test_the_bytes_of_a_blank_disk_are_holes(self, fake_gce: FakeGce) -> None:
        backing = fake_gce.backing(str(made(fake_gce, size_gb=7).id)).stat()
        assert (backing.st_size, backing.st_blocks) == (7 * 2**30, 0)


ROWS: list[tuple[dict[str, Any], tuple[int, str]]] = [
    ({"size_gb": 0}, (400, "invalid")),
    ({"size_gb": 65537}, (400, "invalid")),
    ({"name": "Data"}, (400, "invalid")),
    ({"name": None}, (400, "required")),
    ({"type_": "pd-ssd"}, (400, "invalid")),
    ({"type_": kind_of("pd-ssd", f"zones/{OTHER_ZONE}")}, (400, "invalid")),
    ({"type_": kind_of("pd-fast")}, (404, "notFound")),
    ({"type_": kind_of("hyperdisk-balanced-high-availability")}, (404, "notFound")),
    ({"type_": f"projects/other/{kind_of('pd-ssd')}"}, (404, "notFound")),
    ({"type_": kind_of("pd-extreme")}, (400, "invalid")),
    ({"type_": kind_of("hyperdisk-throughput"), "size_gb": 2047}, (400, "invalid")),
    ({"provisioned_iops": 3000}, (400, "invalid")),
    ({"provisioned_throughput": 140}, (400, "invalid")),
    ({"access_mode": "READ_WRITE_MANY"}, (400, "invalid")),
    ({"access_mode": "SHARED"}, (400, "badRequest")),
    ({"replica_zones": [f"zones/{ZONE}"]}, (400, "invalid")),
    ({"labels": {"Owner": "me"}}, (400, "invalid")),
    ({"labels": {"owner": "Me"}}, (400, "invalid")),
    ({"labels": {f"k{number}": "" for number in range(65)}}, (400, "invalid")),
    ({"disk_encryption_key": {"kms_key_name": "k"}}, (400, "invalid")),
    ({"disk_encryption_key": {"raw_key": "k"}}, (501, "notImplemented")),
    ({"source_image": "global/images/i"}, (501, "notImplemented")),
    ({"source_snapshot": "global/snapshots/s"}, (404, "notFound")),
    ({"source_disk": f"zones/{ZONE}/disks/d"}, (404, "notFound")),
    ({"source_disk": "d"}, (400, "invalid")),
]


@pytest.mark.parametrize(("fields", "expected"), ROWS)
def test_what_cannot_be_is_refused(
    fake_gce: FakeGce, fields: dict[str, Any], expected: tuple[int, str]
) -> None:
    resource = compute_v1.Disk(**{"name": "data", "size_gb": 10, **fields})
    call = disks(fake_gce).insert_unary
    assert refusal(call, **at(), disk_resource=resource) == expected
    assert fake_gce.disks() == {}
    assert fake_gce.operations() == {}


def test_an_unknown_zone_and_an_unknown_project_are_refused(fake_gce: FakeGce) -> None:
    assert refusal(insert, fake_gce, zone="mars-a") == (400, "invalid")
    call = disks(fake_gce).insert_unary
    where = {"project": "other", "zone": ZONE}
    assert refusal(call, **where, disk_resource=compute_v1.Disk(name="d")) == (404, "notFound")


class TestPerformance:
    def test_hyperdisk_takes_iops_throughput_and_an_access_mode(self, fake_gce: FakeGce) -> None:
        disk = made(
            fake_gce,
            type_=kind_of("hyperdisk-balanced"),
            provisioned_iops=4000,
            provisioned_throughput=200,
            access_mode="READ_WRITE_MANY",
        )
        assert (disk.provisioned_iops, disk.provisioned_throughput) == (4000, 200)
        assert disk.access_mode == "READ_WRITE_MANY"

    def test_what_is_not_chosen_has_a_default_that_fits_the_size(self, fake_gce: FakeGce) -> None:
        kind = kind_of("hyperdisk-balanced")
        small = made(fake_gce, type_=kind, size_gb=4)
        assert (small.provisioned_iops, small.provisioned_throughput) == (2000, 140)
        assert small.access_mode == "READ_WRITE_SINGLE"
        large = made(fake_gce, type_=kind_of("hyperdisk-extreme"), size_gb=4000)
        assert (large.provisioned_iops, large.provisioned_throughput) == (8000, 0)

    @pytest.mark.parametrize(
        ("kind", "size", "iops"),
        [
            ("hyperdisk-balanced", 10, 5001),
            ("hyperdisk-balanced", 10, 2999),
            ("hyperdisk-balanced", 1000, 160_001),
            ("hyperdisk-extreme", 1000, 1999),
            ("pd-extreme", 500, 9999),
        ],
    )
    def test_iops_have_bounds(self, fake_gce: FakeGce, kind: str, size: int, iops: int) -> None:
        fields = {"type_": kind_of(kind), "size_gb": size, "provisioned_iops": iops}
        assert refusal(insert, fake_gce, **fields) == (400, "invalid")

    def test_performance_cannot_be_chosen_without_a_size(self, fake_gce: FakeGce) -> None:
        resource = compute_v1.Disk(
            name="data", type_=kind_of("hyperdisk-balanced"), provisioned_iops=3000
        )
        call = disks(fake_gce).insert_unary
        assert refusal(call, **at(), disk_resource=resource) == (400, "required")


class TestIds:
    def test_an_id_stands_for_a_name_and_is_never_used_again(self, fake_gce: FakeGce) -> None:
        first = made(fake_gce, "data")
        assert disks(fake_gce).get(**at(), disk=str(first.id)).name == "data"
        waited(fake_gce, disks(fake_gce).delete_unary(**at(), disk=str(first.id)))
        second = made(fake_gce, "data")
        assert first.id != second.id
        get = disks(fake_gce).get
        assert refusal(get, **at(), disk=str(first.id)) == (404, "notFound")

    def test_an_id_is_found_in_its_place_only(self, fake_gce: FakeGce) -> None:
        number = str(made(fake_gce).id)
        get = disks(fake_gce).get
        assert refusal(get, **at(OTHER_ZONE), disk=number) == (404, "notFound")
        assert refusal(region_disks(fake_gce).get, **within(), disk=number) == (404, "notFound")

    def test_the_number_of_the_project_stands_for_its_name(self, fake_gce: FakeGce) -> None:
        made(fake_gce, "data")
        number = fake_gce.project_number
        assert disks(fake_gce).get(project=number, zone=ZONE, disk="data").name == "data"

    def test_what_does_not_exist_is_not_found(self, fake_gce: FakeGce) -> None:
        path = f"projects/{PROJECT}/zones/{ZONE}/disks/{NOBODY}"
        found = refused(disks(fake_gce).get, **at(), disk=NOBODY)
        assert found == (404, "notFound", f"The resource '{path}' was not found")
        assert refusal(disks(fake_gce).delete_unary, **at(), disk=NOBODY) == (404, "notFound")


class TestDeletion:
    def test_a_disk_is_deleting_before_it_is_gone(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce, "data")
        operation = disks(fake_gce).delete_unary(**at(), disk="data")
        before = disks(fake_gce).get(**at(), disk="data").status
        again = refusal(disks(fake_gce).delete_unary, **at(), disk="data")
        assert waited(fake_gce, operation).status == DONE
        assert (before, again) == ("DELETING", (400, "resourceNotReady"))
        assert refusal(disks(fake_gce).get, **at(), disk="data") == (404, "notFound")
        assert not fake_gce.backing(str(disk.id)).exists()

    def test_an_attached_disk_is_in_use(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        found = refused(disks(fake_gce).delete_unary, **at(), disk=disk.name)
        assert found[:2] == (400, "resourceInUseByAnotherResource")
        assert f"already being used by 'projects/{PROJECT}/zones/{ZONE}/instances/" in found[2]

    def test_a_disk_that_is_being_made_cannot_be_deleted(self, fake_gce: FakeGce) -> None:
        insert(fake_gce, "data")
        found = refusal(disks(fake_gce).delete_unary, **at(), disk="data")
        assert found == (400, "resourceNotReady")


class TestRegionalDisks:
    def test_a_regional_disk_is_in_exactly_the_zones_that_were_asked_for(
        self, fake_gce: FakeGce
    ) -> None:
        disk = regional(fake_gce, zones=(THIRD_ZONE, ZONE), labels={"a": "b"})
        zones = [url.rpartition("/")[2] for url in disk.replica_zones]
        assert (zones, disk.zone) == ([THIRD_ZONE, ZONE], "")
        assert disk.region.endswith(f"/regions/{REGION}")
        assert disk.self_link.endswith(f"/regions/{REGION}/disks/{disk.name}")

    def test_there_is_hyperdisk_for_it(self, fake_gce: FakeGce) -> None:
        disk = regional(fake_gce, kind="hyperdisk-balanced-high-availability")
        assert disk.provisioned_iops == 3000

    @pytest.mark.parametrize(
        "zones", [[], [ZONE], [ZONE, ZONE], [ZONE, "us-central1-a"], [ZONE, OTHER_ZONE, THIRD_ZONE]]
    )
    def test_it_has_two_zones_of_its_region(self, fake_gce: FakeGce, zones: list[str]) -> None:
        resource = compute_v1.Disk(
            name="data",
            size_gb=10,
            type_=kind_of("pd-ssd", f"regions/{REGION}"),
            replica_zones=[f"zones/{zone}" for zone in zones],
        )
        call = region_disks(fake_gce).insert_unary
        assert refusal(call, **within(), disk_resource=resource) == (400, "invalid")

    def test_it_needs_a_name_a_known_region_and_enough_size(self, fake_gce: FakeGce) -> None:
        call = region_disks(fake_gce).insert_unary
        kind = kind_of("pd-standard", f"regions/{REGION}")
        zones = [f"zones/{ZONE}", f"zones/{OTHER_ZONE}"]
        disk = compute_v1.Disk(size_gb=199, type_=kind, replica_zones=zones)
        assert refusal(call, **within(), disk_resource=disk) == (400, "required")
        disk.name = "data"
        assert refusal(call, **within(), disk_resource=disk) == (400, "invalid")
        assert refusal(call, **within("mars"), disk_resource=disk) == (400, "invalid")

    def test_it_is_deleted_by_an_operation_of_the_region(self, fake_gce: FakeGce) -> None:
        disk = regional(fake_gce)
        operation = region_disks(fake_gce).delete_unary(**within(), disk=str(disk.id))
        assert operation.region.endswith(f"/regions/{REGION}")
        assert failure(waited(fake_gce, operation)) == ("", 0)
        assert fake_gce.disks() == {}


class TestLimits:
    def test_a_quota_is_found_in_the_operation(self, fake_gce: FakeGce) -> None:
        fake_gce.run_instance()
        fake_gce.limit_disks(1)
        made(fake_gce)
        operation = waited(fake_gce, insert(fake_gce, "data"))
        assert failure(operation) == ("QUOTA_EXCEEDED", 403)
        assert operation.http_error_message == "FORBIDDEN"
        assert refusal(disks(fake_gce).get, **at(), disk="data") == (404, "notFound")

    def test_of_two_at_once_the_first_one_has_the_quota(self, fake_gce: FakeGce) -> None:
        fake_gce.limit_disks(1)
        begun = [insert(fake_gce), insert(fake_gce)]
        codes = [failure(waited(fake_gce, one))[0] for one in begun]
        assert codes == ["", "QUOTA_EXCEEDED"]

    def test_a_quota_can_be_found_at_once(self, fake_gce: FakeGce) -> None:
        fake_gce.limit_disks(1, at_once=True)
        made(fake_gce)
        assert refusal(insert, fake_gce) == (403, "quotaExceeded")

    def test_a_zone_can_be_out_of_room(self, fake_gce: FakeGce) -> None:
        fake_gce.run_out_of_room(ZONE)
        operation = waited(fake_gce, insert(fake_gce, "data"))
        code = "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
        assert failure(operation) == (code, 503)
        assert fake_gce.disks() == {}
        made(fake_gce, "data", OTHER_ZONE)
        fake_gce.have_room(ZONE)
        made(fake_gce, "data")
