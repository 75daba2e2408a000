"""Long-running operations: what was accepted, how far it is, and what came of it."""

import pytest
from azure.core.exceptions import HttpResponseError

from cloudcrypt_testing.fake_azure import FakeAzure, FakeClock, Timings
from tests.unit.azure_calls import (
    GROUP,
    TIMES,
    attach,
    begin,
    client,
    create,
    delete,
    disk_id,
    made,
    outcome,
    patch,
    raw,
    record,
    refusal,
    said,
    shown,
    status,
    waited,
    wish,
)


class TestHeaders:
    def test_an_accepted_request_says_where_to_ask(self, fake_azure: FakeAzure) -> None:
        begun = create(fake_azure, "data")
        (number,) = fake_azure.operations()
        where = (
            f"{fake_azure.endpoint}/subscriptions/{fake_azure.subscription}/providers/"
            f"Microsoft.Compute/locations/westeurope/DiskOperations/{number}?api-version="
        )
        assert begun.headers["Azure-AsyncOperation"].startswith(where)
        assert begun.headers["Location"] == (
            begun.headers["Azure-AsyncOperation"] + "&monitor=true"
        )
        assert begun.headers["Retry-After"] == "0"

    def test_an_update_of_a_machine_says_so_with_200(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance()
        update = client(fake_azure).virtual_machines.begin_update
        begun = begin(update, GROUP, instance.partition("/")[2], {"tags": {"a": "b"}})
        assert (begun.status, "Location" in begun.headers) == (200, False)
        assert begun.document["properties"]["provisioningState"] == "Updating"
        assert "/locations/westeurope/operations/" in begun.headers["Azure-AsyncOperation"]

    def test_how_soon_to_ask_again_can_be_said(self, fake_azure: FakeAzure) -> None:
        fake_azure.reset(timings=Timings(retry_after=7))
        begun = create(fake_azure, "data")
        assert begun.headers["Retry-After"] == "7"
        for url in (begun.headers["Azure-AsyncOperation"], begun.headers["Location"]):
            assert raw(fake_azure, "GET", url).headers["Retry-After"] == "7"
        waited(fake_azure, begun)
        last = raw(fake_azure, "GET", begun.headers["Azure-AsyncOperation"])
        assert "Retry-After" not in last.headers

    def test_every_answer_can_be_told_from_others(self, fake_azure: FakeAzure) -> None:
        found = [
            raw(fake_azure, "GET", "disks", headers=headers).headers
            for headers in ({"Authorization": "x"}, {"Authorization": "x"}, {})
        ]
        for name in ("x-ms-request-id", "x-ms-correlation-request-id"):
            assert len({one[name] for one in found}) == 3

    def test_the_number_of_a_request_comes_back(self, fake_azure: FakeAzure) -> None:
        headers = {"Authorization": "x", "x-ms-client-request-id": "mine"}
        answer = raw(fake_azure, "GET", "disks", headers=headers)
        assert answer.headers["x-ms-client-request-id"] == "mine"


class TestStatus:
    def test_it_goes_with_the_clock(self, fake_azure: FakeAzure) -> None:
        begun = create(fake_azure, "data")
        (number,) = fake_azure.operations()
        started = "2030-01-01T00:00:00.000000+00:00"
        expected = {"startTime": started, "status": "InProgress", "name": number}
        assert status(fake_azure, begun) == expected
        fake_azure.clock.advance(TIMES.create)
        assert status(fake_azure, begun) == {
            "startTime": started,
            "endTime": "2030-01-01T00:00:02.000000+00:00",
            "status": "Succeeded",
            "properties": {"output": shown(fake_azure, "data")},
            "name": number,
        }

    def test_no_request_takes_time_of_its_own(self, fake_azure: FakeAzure) -> None:
        begun = create(fake_azure)
        for _ in range(5):
            assert status(fake_azure, begun)["status"] == "InProgress"
        assert fake_azure.clock.monotonic() == 0

    def test_a_failure_is_said_with_200(self, fake_azure: FakeAzure) -> None:
        fake_azure.fail_next("disks.createOrUpdate", "AllocationFailed", "No room.")
        begun = create(fake_azure, "data")
        found = waited(fake_azure, begun)
        assert found["status"] == "Failed"
        assert found["error"] == {"code": "AllocationFailed", "message": "No room."}
        assert said(raw(fake_azure, "GET", begun.headers["Location"])) == (409, "AllocationFailed")

    def test_the_client_raises_it(self, fake_azure: FakeAzure) -> None:
        fake_azure.reset(clock=FakeClock(tick=1))
        fake_azure.fail_next("disks.createOrUpdate", "AllocationFailed", "No room.")
        poller = client(fake_azure).disks.begin_create_or_update(GROUP, "data", wish())
        with pytest.raises(HttpResponseError) as caught:
            poller.result()
        assert caught.value.error is not None
        assert (caught.value.status_code, caught.value.error.code) == (200, "AllocationFailed")

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("westeurope", "westus"),
            ("DiskOperations", "operations"),
            ("/DiskOperations/", "/DiskOperations/0"),
        ],
    )
    def test_there_is_no_other_operation(self, fake_azure: FakeAzure, old: str, new: str) -> None:
        url = create(fake_azure).headers["Azure-AsyncOperation"].replace(old, new)
        assert said(raw(fake_azure, "GET", url)) == (404, "NotFound")

    def test_operations_are_forgotten_in_the_end(self, fake_azure: FakeAzure) -> None:
        over, begun = create(fake_azure), create(fake_azure)
        fake_azure.hold_next("disks.delete")
        waited(fake_azure, over)
        held = delete(fake_azure, next(iter(fake_azure.disks().values())).name)
        fake_azure.forget_operations()
        for old in (over, begun):
            url = old.headers["Azure-AsyncOperation"]
            assert said(raw(fake_azure, "GET", url)) == (404, "NotFound")
        assert status(fake_azure, held)["status"] == "InProgress"


class TestResult:
    def test_it_is_where_location_says(self, fake_azure: FakeAzure) -> None:
        begun = create(fake_azure, "data")
        early = raw(fake_azure, "GET", begun.headers["Location"])
        assert (early.status_code, early.content) == (202, b"")
        assert early.headers["Location"] == begun.headers["Location"]
        waited(fake_azure, begun)
        found = raw(fake_azure, "GET", begun.headers["Location"])
        assert (found.status_code, found.json()) == (200, shown(fake_azure, "data"))

    def test_nothing_is_left_of_what_was_deleted(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data")
        begun = delete(fake_azure, "data")
        assert "properties" not in waited(fake_azure, begun)
        found = raw(fake_azure, "GET", begun.headers["Location"])
        assert (found.status_code, found.content) == (204, b"")

    def test_an_attachment_results_in_the_list_of_disks(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        begun = attach(fake_azure, instance, disk)
        assert (begun.status, begun.document) == (202, {})
        assert "properties" not in waited(fake_azure, begun)
        found = raw(fake_azure, "GET", begun.headers["Location"]).json()
        assert [one["name"] for one in found["dataDisks"]] == [disk.name]

    def test_pollers_go_on_in_another_client(self, fake_azure: FakeAzure) -> None:
        fake_azure.reset(clock=FakeClock(tick=1))
        disks = client(fake_azure).disks
        token = disks.begin_create_or_update(GROUP, "data", wish()).continuation_token()
        poller = disks.begin_create_or_update(GROUP, "data", {}, continuation_token=token)
        assert poller.result().name == "data"

    def test_all_kinds_of_pollers_come_to_an_end(self, fake_azure: FakeAzure) -> None:
        fake_azure.reset(clock=FakeClock(tick=1))
        instance = fake_azure.run_instance().partition("/")[2]
        compute = client(fake_azure)
        disk = compute.disks.begin_create_or_update(GROUP, "data", wish()).result()
        change = {"dataDisksToAttach": [{"diskId": disk.id}]}
        profile = compute.virtual_machines.begin_attach_detach_data_disks(GROUP, instance, change)
        assert [one.name for one in profile.result().data_disks] == ["data"]
        larger = compute.disks.begin_update(GROUP, "data", {"properties": {"diskSizeGB": 8}})
        assert larger.result().properties.disk_size_gb == 8
        tagged = compute.virtual_machines.begin_update(GROUP, instance, {"tags": {"a": "b"}})
        assert tagged.result().tags == {"a": "b"}
        copy = {"createOption": "Copy", "sourceResourceId": disk.id}
        body = {"location": "westeurope", "properties": {"creationData": copy}}
        kept = compute.snapshots.begin_create_or_update(GROUP, "kept", body).result()
        assert kept.properties.provisioning_state == "Succeeded"
        assert compute.snapshots.begin_delete(GROUP, "kept").result() is None
        change = {"dataDisksToDetach": [{"diskId": disk.id}]}
        profile = compute.virtual_machines.begin_attach_detach_data_disks(GROUP, instance, change)
        assert not profile.result().data_disks
        assert compute.disks.begin_delete(GROUP, "data").result() is None


class TestHolding:
    def test_an_operation_can_last_longer(self, fake_azure: FakeAzure) -> None:
        fake_azure.hold_next("disks.createOrUpdate", seconds=60)
        begun = create(fake_azure)
        fake_azure.clock.advance(TIMES.create + 59)
        assert status(fake_azure, begun)["status"] == "InProgress"
        fake_azure.clock.advance(1)
        assert status(fake_azure, begun)["status"] == "Succeeded"

    def test_an_operation_can_last_until_it_is_let_go(self, fake_azure: FakeAzure) -> None:
        fake_azure.hold_next("disks.*")
        begun = create(fake_azure, "data")
        fake_azure.clock.advance(3600)
        assert record(fake_azure, "data").state == "Creating"
        (number,) = fake_azure.operations()
        fake_azure.let_go(number)
        assert outcome(fake_azure, begun) == ("Succeeded", "")

    def test_what_failed_to_be_made_is_gone(self, fake_azure: FakeAzure) -> None:
        fake_azure.fail_next("disks.createOrUpdate")
        begun = create(fake_azure, "data")
        unique = record(fake_azure, "data").unique_id
        assert outcome(fake_azure, begun) == ("Failed", "InternalServerError")
        assert fake_azure.disks() == {}
        assert not fake_azure.backing(unique).exists()
        location = raw(fake_azure, "GET", begun.headers["Location"])
        assert said(location) == (500, "InternalServerError")

    def test_what_failed_to_be_made_can_stay_failed(self, fake_azure: FakeAzure) -> None:
        fake_azure.fail_next("disks.createOrUpdate", leaves_failed=True)
        waited(fake_azure, create(fake_azure, "data"))
        disk = record(fake_azure, "data")
        assert shown(fake_azure, "data")["properties"]["provisioningState"] == "Failed"
        instance = fake_azure.run_instance()
        assert refusal(attach, fake_azure, instance, disk) == (409, "OperationNotAllowed")
        assert refusal(patch, fake_azure, disk, diskSizeGB=8) == (409, "OperationNotAllowed")
        assert outcome(fake_azure, create(fake_azure, "data", diskSizeGB=2)) == ("Succeeded", "")
        found = record(fake_azure, "data")
        assert (found.unique_id, found.size) == (disk.unique_id, 2)

    def test_a_failed_disk_can_be_deleted(self, fake_azure: FakeAzure) -> None:
        fake_azure.fail_next("disks.createOrUpdate", leaves_failed=True)
        waited(fake_azure, create(fake_azure, "data"))
        assert outcome(fake_azure, delete(fake_azure, "data")) == ("Succeeded", "")
        assert fake_azure.disks() == {}

    def test_deleting_can_fail(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        fake_azure.fail_next("disks.delete", times=1)
        assert outcome(fake_azure, delete(fake_azure, "data"))[0] == "Failed"
        assert record(fake_azure, "data") == disk
        assert outcome(fake_azure, patch(fake_azure, disk, diskSizeGB=8)) == ("Succeeded", "")
        assert disk_id(fake_azure, disk).endswith("/disks/data")
