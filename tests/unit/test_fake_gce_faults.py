"""Faults, throttling, stale reads, hooks and the log, with real clients and real connections."""

import time
import uuid

import pytest
import requests
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import ConnectionDropped, Exchange, FakeClock, FakeGce
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    StaleRead,
    Throttled,
)
from tests.unit.gce_calls import (
    PROJECT,
    ZONE,
    at,
    attached,
    devices,
    disks,
    insert,
    made,
    operations,
    raw,
    refusal,
    refused,
    snapshot,
    snapshots,
    waited,
)


class TestFaults:
    def test_a_throttled_request_does_nothing(self, fake_gce: FakeGce) -> None:
        fake_gce.faults.add(Throttled(), on="disks.insert")
        with pytest.raises(GoogleAPICallError) as caught:
            insert(fake_gce)
        (error,) = caught.value.errors
        assert (caught.value.code, error["reason"]) == (403, "rateLimitExceeded")
        assert error["domain"] == "usageLimits"
        assert fake_gce.disks() == {}

    @pytest.mark.parametrize(
        ("number", "name"),
        [(500, "INTERNAL"), (502, None), (503, "UNAVAILABLE"), (504, None)],
    )
    def test_a_fault_of_the_server_does_nothing(
        self, fake_gce: FakeGce, number: int, name: str | None
    ) -> None:
        fake_gce.faults.add(ServerError(number), times=2)
        assert refusal(insert, fake_gce) == (number, "backendError")
        _, document = raw(fake_gce, "GET", f"zones/{ZONE}/disks")
        assert (document["error"]["code"], document["error"].get("status")) == (number, name)
        assert fake_gce.disks() == {}

    def test_any_error_can_be_had(self, fake_gce: FakeGce) -> None:
        fake_gce.faults.add(Refused("forbidden", "No.", 403), on="disks.insert")
        assert refused(insert, fake_gce) == (403, "forbidden", "No.")

    def test_a_lost_reply_leaves_the_disk(self, fake_gce: FakeGce) -> None:
        token = str(uuid.uuid4())
        fake_gce.faults.add(ReplyLost(), on="disks.insert")
        with pytest.raises(requests.ConnectionError):
            insert(fake_gce, request_id=token)
        (number,) = fake_gce.disks()
        assert str(insert(fake_gce, request_id=token).target_id) == number

    def test_a_lost_connection_leaves_nothing(self, fake_gce: FakeGce) -> None:
        fake_gce.faults.add(ConnectionLost(), on="disks.insert")
        with pytest.raises(requests.ConnectionError):
            insert(fake_gce)
        assert fake_gce.disks() == {}
        assert [request.status for request in fake_gce.requests] == [0]

    def test_a_lost_reply_of_a_wait_leaves_the_time_passed(self, fake_gce: FakeGce) -> None:
        operation = insert(fake_gce)
        fake_gce.faults.add(ReplyLost(), on="zoneOperations.wait")
        with pytest.raises(requests.ConnectionError):
            waited(fake_gce, operation)
        assert operations(fake_gce).get(**at(), operation=operation.name).end_time

    def test_a_slow_request_takes_time_of_the_world(self, fake_gce: FakeGce) -> None:
        fake_gce.faults.add(Slow(30), on="disks.insert")
        insert(fake_gce)
        assert fake_gce.clock.monotonic() == 30

    def test_a_slow_request_can_take_real_time(self, fake_gce: FakeGce) -> None:
        fake_gce.faults.add(Slow(0.05, is_real=True), on="disks.insert")
        fake_gce.faults.latency = 0.01
        begun = time.monotonic()
        insert(fake_gce)
        assert time.monotonic() - begun >= 0.06
        assert fake_gce.clock.monotonic() == 0

    def test_a_rule_can_look_at_paths_queries_and_bodies(self, fake_gce: FakeGce) -> None:
        fake_gce.faults.add(
            Throttled(),
            when=lambda call: (
                (call.parameters.get("name"), call.parameters["zone"]) == ("data", ZONE)
            ),
        )
        insert(fake_gce, "other")
        assert refusal(insert, fake_gce, "data") == (403, "rateLimitExceeded")


class TestThrottling:
    def test_a_bucket_holds_a_burst_and_fills_again(self, fake_gce: FakeGce) -> None:
        fake_gce.throttle("disks.insert", burst=2, rate=0.5)
        for _ in range(2):
            insert(fake_gce)
        assert refusal(insert, fake_gce) == (403, "rateLimitExceeded")
        fake_gce.clock.advance(2)
        insert(fake_gce)

    def test_it_can_be_429(self, fake_gce: FakeGce) -> None:
        fake_gce.throttle("disks.insert", burst=0, rate=0, status=429)
        assert refusal(insert, fake_gce) == (429, "rateLimitExceeded")

    def test_waiting_and_looking_share_a_bucket_that_changes_do_not_empty(
        self, fake_gce: FakeGce
    ) -> None:
        fake_gce.throttle("reading", burst=2, rate=0)
        fake_gce.throttle("changing", burst=1, rate=0)
        waited(fake_gce, insert(fake_gce))
        list(disks(fake_gce).list(**at()))
        assert refusal(disks(fake_gce).get, **at(), disk="d") == (403, "rateLimitExceeded")
        assert refusal(insert, fake_gce) == (403, "rateLimitExceeded")


class TestStaleReads:
    def test_a_new_disk_is_not_found(self, fake_gce: FakeGce) -> None:
        disk = made(fake_gce)
        fake_gce.faults.add(StaleRead(), on="disks.*", times=2)
        get = disks(fake_gce).get
        assert refusal(get, **at(), disk=str(disk.id)) == (404, "notFound")
        assert list(disks(fake_gce).list(**at())) == []
        assert get(**at(), disk=str(disk.id)).status == "READY"

    def test_a_change_is_not_seen_yet(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        fake_gce.faults.add(StaleRead(), on="instances.get")
        assert devices(fake_gce, instance) == []
        assert devices(fake_gce, instance) == [disk.name]

    def test_a_read_can_be_several_changes_behind(self, fake_gce: FakeGce) -> None:
        names = [made(fake_gce, name).name for name in "abc"]
        refusal(insert, fake_gce, "a")  # changes nothing
        fake_gce.faults.add(StaleRead(2), on="disks.aggregatedList")
        groups = dict(disks(fake_gce).aggregated_list(project=PROJECT))
        assert [one.name for one in groups[f"zones/{ZONE}"].disks] == names[:1]

    def test_snapshots_and_operations_are_stale_as_well(self, fake_gce: FakeGce) -> None:
        snapshot(fake_gce, made(fake_gce))
        fake_gce.faults.add(StaleRead(), on="*.list", times=2)
        assert list(snapshots(fake_gce).list(project=PROJECT)) == []
        kinds = [one.operation_type for one in operations(fake_gce).list(**at())]
        assert kinds == ["insert"]


class TestHooks:
    def test_hooks_hear_of_a_request_before_and_after_it_is_done(self, fake_gce: FakeGce) -> None:
        heard: list[tuple[str, str, int]] = []

        def hook(exchange: Exchange) -> None:
            heard.append((exchange.call.action, exchange.phase, len(fake_gce.disks())))

        fake_gce.hooks.append(hook)
        insert(fake_gce)
        assert heard == [("disks.insert", "before", 0), ("disks.insert", "after", 1)]

    @pytest.mark.parametrize(("phase", "count"), [("before", 0), ("after", 1)])
    def test_a_hook_can_break_the_connection_off(
        self, fake_gce: FakeGce, phase: str, count: int
    ) -> None:
        def hook(exchange: Exchange) -> None:
            if exchange.phase == phase:
                raise ConnectionDropped

        fake_gce.hooks.append(hook)
        with pytest.raises(requests.ConnectionError):
            insert(fake_gce)
        assert len(fake_gce.disks()) == count


class TestLog:
    def test_requests_are_counted_with_parameters_and_status(self, fake_gce: FakeGce) -> None:
        token = str(uuid.uuid4())
        insert(fake_gce, "data", size_gb=3, request_id=token)
        refusal(insert, fake_gce, "data")
        list(disks(fake_gce).list(**at()))
        first, second, third = fake_gce.requests
        assert (first.service, first.action, first.status) == ("compute", "disks.insert", 200)
        assert dict(first.parameters) == {
            "project": PROJECT,
            "zone": ZONE,
            "name": "data",
            "sizeGb": "3",
            "requestId": token,
        }
        assert (second.status, third.action) == (409, "disks.list")
        assert fake_gce.requests.count("disks.insert") == 2
        fake_gce.requests.clear()
        assert fake_gce.requests.actions == []

    def test_a_tick_moves_the_world_with_every_request(self, fake_gce: FakeGce) -> None:
        fake_gce.reset(clock=FakeClock(tick=2.5))
        insert(fake_gce, "data")
        assert disks(fake_gce).get(**at(), disk="data").status == "READY"


def test_what_the_clients_of_google_try_again_is_theirs(fake_gce: FakeGce) -> None:
    fake_gce.faults.add(ServerError(503), on="disks.get", times=None)
    request = compute_v1.GetDiskRequest(**at(), disk="data")
    with pytest.raises((GoogleAPICallError, RetryError)):
        disks(fake_gce).get(request=request, retry=None)
    assert fake_gce.requests.count("disks.get") == 1
