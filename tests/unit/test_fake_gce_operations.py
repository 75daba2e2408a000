"""Operations: how they go on, how they are waited for, and how they fail."""

import time

import pytest
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import FakeClock, FakeGce, Timings
from tests.unit.gce_calls import (
    DONE,
    OTHER_ZONE,
    PROJECT,
    REGION,
    TIMES,
    ZONE,
    at,
    client,
    disks,
    failure,
    insert,
    made,
    operations,
    raw,
    refusal,
    regional,
    snapshots,
    waited,
    within,
)


def looked(gce: FakeGce, operation: compute_v1.Operation) -> compute_v1.Operation:
    """Look at an operation of the zone, without waiting."""
    return operations(gce).get(**at(), operation=operation.name)


class TestProgress:
    def test_an_operation_is_pending_then_running_then_done(self, fake_gce: FakeGce) -> None:
        operation = insert(fake_gce)
        seen = [operation]
        for seconds in (TIMES.queue, TIMES.create - TIMES.queue):
            fake_gce.clock.advance(seconds)
            seen.append(looked(fake_gce, operation))
        assert [one.status.name for one in seen] == ["PENDING", "RUNNING", "DONE"]
        assert [one.progress for one in seen] == [0, 50, 100]
        assert [bool(one.start_time) for one in seen] == [False, True, True]
        assert [bool(one.end_time) for one in seen] == [False, False, True]

    def test_times_are_those_of_the_clock(self, fake_gce: FakeGce) -> None:
        operation = insert(fake_gce)
        fake_gce.clock.advance(TIMES.create + 60)
        done = looked(fake_gce, operation)
        assert done.insert_time == "2030-01-01T00:00:00.000+00:00"
        assert done.start_time == "2030-01-01T00:00:00.500+00:00"
        assert done.end_time == "2030-01-01T00:00:02.500+00:00"

    def test_with_no_time_it_is_done_when_the_next_request_arrives(self, fake_gce: FakeGce) -> None:
        fake_gce.reset(timings=Timings(create=0))
        assert looked(fake_gce, insert(fake_gce)).status == DONE

    def test_its_id_stands_for_its_name(self, fake_gce: FakeGce) -> None:
        operation = insert(fake_gce)
        get = operations(fake_gce).get
        assert get(**at(), operation=str(operation.id)).name == operation.name
        assert refusal(get, **at(OTHER_ZONE), operation=operation.name) == (404, "notFound")
        assert refusal(get, **at(), operation="operation-1") == (404, "notFound")

    def test_the_document_has_numbers_as_text(self, fake_gce: FakeGce) -> None:
        operation = insert(fake_gce)
        status, document = raw(fake_gce, "GET", f"zones/{ZONE}/operations/{operation.name}")
        assert (status, document["kind"]) == (200, "compute#operation")
        assert document["id"] == str(operation.id)
        assert document["targetId"] == str(operation.target_id)


class TestWaiting:
    def test_a_wait_takes_until_the_end_and_no_real_time(self, fake_gce: FakeGce) -> None:
        operation, begun = insert(fake_gce), time.monotonic()
        assert waited(fake_gce, operation).status == DONE
        assert fake_gce.clock.monotonic() == pytest.approx(TIMES.create)
        assert waited(fake_gce, operation).status == DONE
        assert fake_gce.clock.monotonic() == pytest.approx(TIMES.create)
        assert time.monotonic() - begun < TIMES.create

    def test_a_wait_takes_at_most_two_minutes(self, fake_gce: FakeGce) -> None:
        fake_gce.reset(timings=Timings(create=200))
        operation = insert(fake_gce)
        first, then = waited(fake_gce, operation), fake_gce.clock.monotonic()
        assert first.status.name == "RUNNING"
        assert then == pytest.approx(120)
        assert waited(fake_gce, operation).status == DONE
        assert fake_gce.clock.monotonic() == pytest.approx(200)

    def test_a_wait_may_return_at_once(self, fake_gce: FakeGce) -> None:
        operation = insert(fake_gce)
        fake_gce.hurry_waits(2)
        early = [waited(fake_gce, operation).status.name for _ in range(2)]
        assert (early, fake_gce.clock.monotonic()) == (["PENDING"] * 2, 0)
        assert waited(fake_gce, operation).status == DONE

    def test_a_wait_for_nothing_is_not_found(self, fake_gce: FakeGce) -> None:
        assert refusal(operations(fake_gce).wait, **at(), operation="o") == (404, "notFound")
        assert fake_gce.clock.monotonic() == 0

    def test_operations_of_regions_and_of_the_project_are_waited_for_as_well(
        self, fake_gce: FakeGce
    ) -> None:
        disk = made(fake_gce)
        regional(fake_gce)
        resource = compute_v1.Snapshot(name="kept", source_disk=disk.self_link)
        call = snapshots(fake_gce).insert_unary
        operation = call(project=PROJECT, snapshot_resource=resource)
        assert (operation.zone, operation.region) == ("", "")
        assert waited(fake_gce, operation).status == DONE
        listed = client(fake_gce, compute_v1.RegionOperationsClient).list(**within())
        assert [one.region.rpartition("/")[2] for one in listed] == [REGION]
        everywhere = client(fake_gce, compute_v1.GlobalOperationsClient)
        assert [one.id for one in everywhere.list(project=PROJECT)] == [operation.id]
        groups = dict(everywhere.aggregated_list(project=PROJECT))
        assert len(groups["global"].operations) == len(groups[f"zones/{ZONE}"].operations) == 1

    def test_on_a_clock_that_passes_by_itself_a_wait_waits(self, fake_gce: FakeGce) -> None:
        fake_gce.reset(clock=FakeClock(is_real=True), timings=Timings(create=0.05))
        operation, begun = insert(fake_gce), time.monotonic()
        assert waited(fake_gce, operation).status == DONE
        assert time.monotonic() - begun < 5


class TestLists:
    def test_operations_are_found_by_what_they_are_about(self, fake_gce: FakeGce) -> None:
        token = "5f0c7d12-7a9d-4d6a-8a8e-0f1f3c6b2a10"
        first = insert(fake_gce, request_id=token)
        fake_gce.clock.advance(60)
        second = insert(fake_gce)
        rows = {
            "status!=DONE": [second.id],
            "status=DONE": [first.id],
            f"targetId={first.target_id}": [first.id],
            f'clientOperationId="{token}"': [first.id],
            f"(targetId={second.target_id}) AND (status=DONE)": [],
            "operationType=insert": [first.id, second.id],
        }
        for text, ids in rows.items():
            request = compute_v1.ListZoneOperationsRequest(**at(), filter=text)
            assert [one.id for one in operations(fake_gce).list(request=request)] == ids

    def test_the_newest_can_come_first(self, fake_gce: FakeGce) -> None:
        ids = []
        for _ in range(3):
            ids.append(insert(fake_gce).id)
            fake_gce.clock.advance(1)
        order = "creationTimestamp desc"
        request = compute_v1.ListZoneOperationsRequest(**at(), order_by=order, max_results=2)
        pages = list(operations(fake_gce).list(request=request).pages)
        assert [[one.id for one in page.items] for page in pages] == [ids[:0:-1], ids[:1]]


class TestFailures:
    def test_the_next_operation_is_accepted_and_fails(self, fake_gce: FakeGce) -> None:
        fake_gce.fail_next("disks.insert", "INTERNAL_ERROR", "Something broke.")
        operation = waited(fake_gce, insert(fake_gce, "data"))
        assert (operation.status, failure(operation)) == (DONE, ("INTERNAL_ERROR", 500))
        assert operation.error.errors[0].message == "Something broke."
        assert operation.http_error_message == "INTERNAL SERVER ERROR"
        assert fake_gce.disks() == {}
        made(fake_gce, "data")

    def test_a_failed_disk_can_stay(self, fake_gce: FakeGce) -> None:
        fake_gce.fail_next("disks.insert", leaves_failed=True)
        waited(fake_gce, insert(fake_gce, "data"))
        assert disks(fake_gce).get(**at(), disk="data").status == "FAILED"
        waited(fake_gce, disks(fake_gce).delete_unary(**at(), disk="data"))
        assert fake_gce.disks() == {}

    def test_several_operations_of_a_pattern_fail(self, fake_gce: FakeGce) -> None:
        fake_gce.fail_next("disks.*", times=2)
        codes = [failure(waited(fake_gce, insert(fake_gce)))[0] for _ in range(3)]
        assert codes == ["INTERNAL_ERROR", "INTERNAL_ERROR", ""]

    def test_a_deletion_that_fails_leaves_the_disk(self, fake_gce: FakeGce) -> None:
        made(fake_gce, "data")
        fake_gce.fail_next("disks.delete", "RESOURCE_OPERATION_RATE_EXCEEDED")
        operation = waited(fake_gce, disks(fake_gce).delete_unary(**at(), disk="data"))
        assert failure(operation) == ("RESOURCE_OPERATION_RATE_EXCEEDED", 429)
        assert disks(fake_gce).get(**at(), disk="data").status == "READY"

    def test_codes_that_the_fake_does_not_know_are_server_errors(self, fake_gce: FakeGce) -> None:
        fake_gce.fail_next("disks.insert", "SOMETHING_NEW")
        assert failure(waited(fake_gce, insert(fake_gce))) == ("SOMETHING_NEW", 500)


class TestHolds:
    @pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
    def test_an_operation_stays_until_it_is_let_go(self, fake_gce: FakeGce, status: str) -> None:
        if status == "PENDING":
            fake_gce.hold_next("disks.insert", status="PENDING")
        else:
            fake_gce.hold_next("disks.insert")
        operation = insert(fake_gce, "data")
        fake_gce.clock.advance(3600)
        assert looked(fake_gce, operation).status.name == status
        assert waited(fake_gce, operation).status.name == status
        assert fake_gce.clock.monotonic() == pytest.approx(3720)
        assert disks(fake_gce).get(**at(), disk="data").status == "CREATING"
        fake_gce.let_go(operation.name)
        assert waited(fake_gce, operation).status == DONE
        fake_gce.let_go(str(operation.id))  # once more, and nothing happens
        assert disks(fake_gce).get(**at(), disk="data").status == "READY"

    def test_an_operation_takes_longer(self, fake_gce: FakeGce) -> None:
        fake_gce.hold_next("disks.insert", seconds=60)
        operation = insert(fake_gce)
        fake_gce.clock.advance(59)
        assert looked(fake_gce, operation).status.name == "RUNNING"
        assert waited(fake_gce, operation).status == DONE
        assert fake_gce.clock.monotonic() == pytest.approx(TIMES.create + 60)

    def test_only_what_exists_is_let_go(self, fake_gce: FakeGce) -> None:
        with pytest.raises(ValueError, match="no operation"):
            fake_gce.let_go("operation-1")
