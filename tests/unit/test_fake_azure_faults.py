"""Faults, throttling, stale reads, hooks and the log, with a real client and real connections."""

import time

import pytest
import requests
from azure.core.exceptions import ServiceRequestError, ServiceResponseError

from cloudcrypt_testing.fake_azure import ConnectionDropped, Exchange, FakeAzure
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    StaleRead,
    Throttled,
)
from tests.unit.azure_calls import (
    GROUP,
    attach,
    attached,
    client,
    create,
    data_disks,
    delete,
    luns,
    machine,
    made,
    patch,
    raw,
    refusal,
    refused,
    said,
    shown,
    status,
    waited,
    wish,
)

DROPPED = (ServiceRequestError, ServiceResponseError)


class TestFaults:
    def test_a_throttled_request_does_nothing(self, fake_azure: FakeAzure) -> None:
        fake_azure.faults.add(Throttled(), on="disks.createOrUpdate")
        answer = raw(fake_azure, "PUT", "disks/data", wish())
        assert said(answer) == (429, "TooManyRequests")
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["x-ms-ratelimit-remaining-resource"].endswith(";0")
        assert fake_azure.disks() == {}

    @pytest.mark.parametrize(
        ("number", "code"),
        [
            (500, "InternalServerError"),
            (502, "InternalServerError"),
            (503, "ServerBusy"),
            (504, "GatewayTimeout"),
        ],
    )
    def test_a_fault_of_the_server_does_nothing(
        self, fake_azure: FakeAzure, number: int, code: str
    ) -> None:
        fake_azure.faults.add(ServerError(number))
        assert refusal(create, fake_azure) == (number, code)
        assert fake_azure.disks() == {}

    def test_any_error_can_be_had(self, fake_azure: FakeAzure) -> None:
        fake_azure.faults.add(Refused("ScopeLocked", "No.", 409), on="disks.delete")
        made(fake_azure, "data")
        assert refused(delete, fake_azure, "data") == (409, "ScopeLocked", "No.")
        assert "data" in {one.name for one in fake_azure.disks().values()}

    def test_a_lost_reply_leaves_the_disk(self, fake_azure: FakeAzure) -> None:
        fake_azure.faults.add(ReplyLost(), on="disks.createOrUpdate")
        with pytest.raises(DROPPED):
            create(fake_azure, "data")
        assert shown(fake_azure, "data")["properties"]["provisioningState"] == "Creating"

    def test_a_lost_connection_leaves_nothing(self, fake_azure: FakeAzure) -> None:
        fake_azure.faults.add(ConnectionLost(), on="disks.createOrUpdate")
        with pytest.raises(DROPPED):
            create(fake_azure)
        assert fake_azure.disks() == {}
        assert [request.status for request in fake_azure.requests] == [0]

    def test_a_look_at_an_operation_can_fail(self, fake_azure: FakeAzure) -> None:
        begun = create(fake_azure)
        fake_azure.faults.add(ServerError(503), on="operations.get")
        url = begun.headers["Azure-AsyncOperation"]
        assert said(raw(fake_azure, "GET", url)) == (503, "ServerBusy")
        assert status(fake_azure, begun)["status"] == "InProgress"

    def test_a_slow_request_takes_time_of_the_world(self, fake_azure: FakeAzure) -> None:
        fake_azure.faults.add(Slow(30), on="disks.createOrUpdate")
        create(fake_azure)
        assert fake_azure.clock.monotonic() == 30

    def test_a_slow_request_can_take_real_time(self, fake_azure: FakeAzure) -> None:
        fake_azure.faults.add(Slow(0.05, is_real=True), on="disks.createOrUpdate")
        begun = time.monotonic()
        create(fake_azure)
        assert time.monotonic() - begun >= 0.05
        assert fake_azure.clock.monotonic() == 0

    def test_a_rule_can_look_at_paths_and_queries(self, fake_azure: FakeAzure) -> None:
        fake_azure.faults.add(
            Throttled(),
            when=lambda call: (
                (call.parameters["diskName"], call.parameters["resourceGroupName"])
                == ("data", GROUP)
                and call.parameters["api-version"] > "2025"
            ),
        )
        create(fake_azure, "other")
        assert refusal(create, fake_azure, "data") == (429, "TooManyRequests")


class TestThrottling:
    def test_a_bucket_holds_a_burst_and_fills_again(self, fake_azure: FakeAzure) -> None:
        fake_azure.throttle("disks.createOrUpdate", burst=2, rate=0.2)
        for _ in range(2):
            create(fake_azure)
        answer = raw(fake_azure, "PUT", "disks/data", {})
        assert (said(answer), answer.headers["Retry-After"]) == ((429, "TooManyRequests"), "5")
        fake_azure.clock.advance(5)
        create(fake_azure)

    def test_looks_and_changes_can_be_told_apart(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data")
        fake_azure.throttle("reading", burst=0, rate=0)
        assert refusal(client(fake_azure).disks.get, GROUP, "data") == (429, "TooManyRequests")
        delete(fake_azure, "data")

    def test_a_machine_takes_twelve_updates_and_four_a_minute(self, fake_azure: FakeAzure) -> None:
        fake_azure.throttle_machines()
        first, second = (fake_azure.run_instance().partition("/")[2] for _ in range(2))
        fake_azure.preempt_updates()
        path = "virtualMachines/{}"
        for _ in range(12):
            assert raw(fake_azure, "PATCH", path.format(first), {}).status_code == 200
        answer = raw(fake_azure, "PATCH", path.format(first), {})
        assert (said(answer), answer.headers["Retry-After"]) == ((429, "TooManyRequests"), "15")
        assert answer.headers["x-ms-ratelimit-remaining-resource"] == (
            "Microsoft.Compute/UpdateVMResource;0"
        )
        assert raw(fake_azure, "PATCH", path.format(second), {}).status_code == 200
        fake_azure.clock.advance(15)
        assert raw(fake_azure, "PATCH", path.format(first), {}).status_code == 200

    def test_and_thirty_six_looks_and_twelve_a_minute(self, fake_azure: FakeAzure) -> None:
        fake_azure.throttle_machines()
        instance = fake_azure.run_instance()
        for _ in range(36):
            assert "error" not in machine(fake_azure, instance)
        assert machine(fake_azure, instance)["error"]["code"] == "TooManyRequests"
        fake_azure.clock.advance(5)
        assert "error" not in machine(fake_azure, instance)


class TestStaleReads:
    def test_a_look_can_see_the_world_before_the_last_change(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.faults.add(StaleRead(), on="virtualMachines.get")
        assert data_disks(fake_azure, instance) == []
        assert [one["name"] for one in data_disks(fake_azure, instance)] == ["data"]

    def test_a_disk_can_seem_not_to_be_there_yet(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data")
        fake_azure.faults.add(StaleRead(), on="disks.*", times=2)
        disks = client(fake_azure).disks
        assert refusal(disks.get, GROUP, "data") == (404, "ResourceNotFound")
        assert list(disks.list()) == []
        assert [one.name for one in disks.list()] == ["data"]

    def test_a_disk_can_seem_smaller_than_it_is(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        waited(fake_azure, patch(fake_azure, disk, diskSizeGB=8))
        fake_azure.faults.add(StaleRead(), on="disks.get")
        assert shown(fake_azure, "data")["properties"]["diskSizeGB"] == 4

    def test_changes_are_made_to_what_is(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.faults.add(StaleRead(), times=None)
        found = refusal(attach, fake_azure, instance, disk)
        assert found == (400, "InvalidParameter")


class TestHooks:
    def test_a_hook_sees_each_request_before_and_after(self, fake_azure: FakeAzure) -> None:
        seen: list[tuple[str, str, int]] = []

        def hook(exchange: Exchange) -> None:
            count = len(fake_azure.disks())
            seen.append((exchange.call.action, exchange.phase, count))

        fake_azure.hooks.append(hook)
        create(fake_azure)
        assert seen == [
            ("disks.createOrUpdate", "before", 0),
            ("disks.createOrUpdate", "after", 1),
        ]

    def test_a_hook_can_drop_the_connection(self, fake_azure: FakeAzure) -> None:
        def hook(exchange: Exchange) -> None:
            if exchange.phase == "after":
                raise ConnectionDropped

        fake_azure.hooks.append(hook)
        with pytest.raises(DROPPED):
            create(fake_azure)
        assert len(fake_azure.disks()) == 1


class TestLog:
    def test_it_says_what_was_asked_for(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        actions = [one for one in fake_azure.requests.actions if one != "operations.get"]
        assert actions == ["disks.createOrUpdate", "virtualMachines.attachDetachDataDisks"]
        last = next(one for one in fake_azure.requests if one.action.endswith("DataDisks"))
        assert (last.service, last.status) == ("compute", 202)
        assert last.parameters["vmName"] == "vm-1"
        assert luns(fake_azure, instance) == {0: "data"}

    def test_what_is_not_known_has_no_name(self, fake_azure: FakeAzure) -> None:
        requests.get(f"{fake_azure.endpoint}/x", timeout=60)
        assert [(one.action, one.status) for one in fake_azure.requests] == [("", 401)]
