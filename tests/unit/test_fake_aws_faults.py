"""Faults, throttling, hooks and the log, with real clients and real connections."""

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from cloudcrypt_testing.fake_aws import ConnectionDropped, Exchange, FakeAws, FakeClock
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    StaleRead,
    Throttled,
)
from tests.unit.ec2_calls import NOBODY, TIMES, ZONE, create, created, refusal, state


def status(aws: FakeAws, **parameters: Any) -> int:
    """Return the HTTP status of a failed creation."""
    with pytest.raises(ClientError) as caught:
        create(aws, **parameters)
    return caught.value.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


class TestFaults:
    def test_a_throttled_request_does_nothing(self, fake_aws: FakeAws) -> None:
        fake_aws.faults.add(Throttled(), on="CreateVolume", times=2)
        assert refusal(create, aws=fake_aws) == "RequestLimitExceeded"
        assert status(fake_aws) == 503
        assert fake_aws.volumes() == {}

    @pytest.mark.parametrize(("number", "code"), [(500, "InternalError"), (503, "Unavailable")])
    def test_a_fault_of_the_server_does_nothing(
        self, fake_aws: FakeAws, number: int, code: str
    ) -> None:
        fake_aws.faults.add(ServerError(number), times=2)
        assert refusal(create, aws=fake_aws) == code
        assert status(fake_aws) == number
        assert fake_aws.volumes() == {}

    def test_any_error_can_be_had(self, fake_aws: FakeAws) -> None:
        fake_aws.faults.add(Refused("InsufficientVolumeCapacity"), on="CreateVolume")
        assert refusal(create, aws=fake_aws) == "InsufficientVolumeCapacity"

    def test_a_lost_reply_leaves_the_volume(self, fake_aws: FakeAws) -> None:
        fake_aws.faults.add(ReplyLost(), on="CreateVolume")
        with pytest.raises(HTTPClientError):
            create(fake_aws, ClientToken="t")
        (volume_id,) = fake_aws.volumes()
        assert create(fake_aws, ClientToken="t") == volume_id

    def test_a_lost_connection_leaves_nothing(self, fake_aws: FakeAws) -> None:
        fake_aws.faults.add(ConnectionLost(), on="CreateVolume")
        with pytest.raises(HTTPClientError):
            create(fake_aws)
        assert fake_aws.volumes() == {}
        assert [request.status for request in fake_aws.requests] == [0]

    def test_a_slow_request_takes_time_of_the_world(self, fake_aws: FakeAws) -> None:
        fake_aws.faults.add(Slow(30), on="CreateVolume")
        create(fake_aws)
        assert fake_aws.clock.monotonic() == 30

    def test_a_slow_request_can_take_real_time(self, fake_aws: FakeAws) -> None:
        fake_aws.faults.add(Slow(0.05, is_real=True), on="CreateVolume")
        fake_aws.faults.latency = 0.01
        begun = time.monotonic()
        create(fake_aws)
        assert time.monotonic() - begun >= 0.06
        assert fake_aws.clock.monotonic() == 0

    def test_other_services_fail_in_their_own_words(self, fake_aws: FakeAws) -> None:
        fake_aws.faults.add(Throttled(), on="ListKeys")
        assert refusal(fake_aws.client("kms").list_keys) == "ThrottlingException"


class TestStaleReads:
    def test_a_new_volume_is_not_found(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws)
        fake_aws.faults.add(StaleRead(), on="DescribeVolumes")
        describe = fake_aws.client().describe_volumes
        assert refusal(describe, VolumeIds=[volume_id]) == "InvalidVolume.NotFound"
        assert state(fake_aws, volume_id) == "available"

    def test_a_change_is_not_seen_yet(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance()
        where: Any = {"InstanceId": instance_id, "Device": "/dev/xvdba"}
        fake_aws.client().attach_volume(VolumeId=volume_id, **where)
        refusal(fake_aws.client().attach_volume, VolumeId=NOBODY, **where)  # changes nothing
        fake_aws.faults.add(StaleRead(), on="Describe*", times=2)
        answer = fake_aws.client().describe_instances(InstanceIds=[instance_id])
        instance = answer["Reservations"][0].get("Instances", [])[0]
        assert len(instance.get("BlockDeviceMappings", [])) == 1
        assert state(fake_aws, volume_id) == "available"
        assert state(fake_aws, volume_id) == "in-use"

    def test_a_read_can_be_several_changes_behind(self, fake_aws: FakeAws) -> None:
        ids = [created(fake_aws) for _ in range(3)]
        fake_aws.faults.add(StaleRead(2), on="DescribeVolumes")
        answer = fake_aws.client().describe_volumes()
        assert [one.get("VolumeId") for one in answer["Volumes"]] == ids[:1]


class TestThrottling:
    def test_a_bucket_holds_a_burst_and_fills_again(self, fake_aws: FakeAws) -> None:
        fake_aws.throttle("CreateVolume", burst=2, rate=0.5)
        for _ in range(2):
            create(fake_aws)
        codes = [refusal(create, aws=fake_aws)]
        fake_aws.clock.advance(2)
        create(fake_aws)
        codes.append(refusal(create, aws=fake_aws))
        assert codes == ["RequestLimitExceeded"] * 2

    def test_a_family_shares_one_bucket_that_others_do_not_empty(self, fake_aws: FakeAws) -> None:
        ec2 = fake_aws.client()
        fake_aws.throttle("reading", burst=2, rate=0)
        fake_aws.throttle("changing", burst=1, rate=0)
        fake_aws.throttle("Delete*", burst=9, rate=0)
        ec2.describe_volumes()
        ec2.describe_snapshots()
        create(fake_aws)
        assert refusal(ec2.describe_volumes) == "RequestLimitExceeded"
        assert refusal(ec2.delete_volume, VolumeId=NOBODY) == "RequestLimitExceeded"


class TestHooks:
    def test_hooks_hear_of_a_request_before_and_after_it_is_done(self, fake_aws: FakeAws) -> None:
        heard: list[tuple[str, str, int]] = []

        def hook(exchange: Exchange) -> None:
            heard.append((exchange.call.action, exchange.phase, len(fake_aws.volumes())))

        fake_aws.hooks.append(hook)
        create(fake_aws)
        assert heard == [("CreateVolume", "before", 0), ("CreateVolume", "after", 1)]

    @pytest.mark.parametrize(("phase", "volumes"), [("before", 0), ("after", 1)])
    def test_a_hook_can_break_the_connection_off(
        self, fake_aws: FakeAws, phase: str, volumes: int
    ) -> None:
        def hook(exchange: Exchange) -> None:
            if exchange.phase == phase:
                raise ConnectionDropped

        fake_aws.hooks.append(hook)
        with pytest.raises(HTTPClientError):
            create(fake_aws)
        assert len(fake_aws.volumes()) == volumes


class TestLog:
    def test_requests_are_counted_with_parameters_and_status(self, fake_aws: FakeAws) -> None:
        create(fake_aws, Size=3)
        refusal(create, aws=fake_aws, Size=0)
        fake_aws.client().describe_volumes()
        found = [(r.service, r.parameters.get("Size"), r.status) for r in fake_aws.requests]
        assert found == [("ec2", "3", 200), ("ec2", "0", 400), ("ec2", None, 200)]
        assert fake_aws.requests.actions == ["CreateVolume", "CreateVolume", "DescribeVolumes"]
        assert (fake_aws.requests.count("CreateVolume"), len(fake_aws.requests)) == (2, 3)
        fake_aws.requests.clear()
        assert fake_aws.requests.actions == []

    def test_a_tick_moves_the_world_with_every_request(self, fake_aws: FakeAws) -> None:
        fake_aws.reset(clock=FakeClock(tick=TIMES.create))
        volume_id = create(fake_aws)
        assert state(fake_aws, volume_id) == "available"


def test_a_bug_of_the_fake_is_an_error_of_the_server(
    fake_aws: FakeAws, capfd: pytest.CaptureFixture[str]
) -> None:
    def hook(_exchange: Exchange) -> None:
        raise ZeroDivisionError

    fake_aws.hooks.append(hook)
    with pytest.raises(ClientError):
        fake_aws.client().create_volume(AvailabilityZone=ZONE, Size=1)
    assert "ZeroDivisionError" in capfd.readouterr().err
