"""Threads, processes, other services and other fakes beside one fake AWS."""

import http.client
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError, HTTPClientError

from cloudcrypt_testing.fake_aws import FakeAws, FakeClock
from cloudcrypt_testing.world.faults import ReplyLost
from tests.unit.ec2_calls import TIMES, attached, create, created, outcome, read, refusal, state

ELSEWHERE = """
import sys, boto3
endpoint, name = sys.argv[1:]
session = boto3.Session("testing", "testing", region_name="eu-central-1")
ec2 = session.client("ec2", endpoint_url=endpoint)
volume = ec2.create_volume(AvailabilityZone="eu-central-1a", Size=1, ClientToken=name)
ec2.get_waiter("volume_available").wait(
    VolumeIds=[volume["VolumeId"]], WaiterConfig={"Delay": 0, "MaxAttempts": 9}
)
print(volume["VolumeId"])
ec2.close()
"""


class TestThreads:
    def test_many_threads_create_and_attach_without_losing_anything(
        self, fake_aws: FakeAws
    ) -> None:
        instance_id, ec2 = fake_aws.run_instance(), fake_aws.client()
        fake_aws.limit_attachments(instance_id, 100)

        def work(number: int) -> str:
            volume_id = create(fake_aws, ClientToken=f"t{number % 20}")
            fake_aws.clock.advance(TIMES.create)
            if number < 20:
                device = f"/dev/xvdb{chr(ord('a') + number)}"
                ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)
            return volume_id

        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(work, range(40)))
        fake_aws.clock.advance(TIMES.attach)
        assert len(set(ids)) == len(fake_aws.volumes()) == 20
        assert ids[:20] == ids[20:]
        states = [volume.state for volume in fake_aws.volumes().values()]
        assert states == ["in-use"] * 20
        assert len(fake_aws.node(instance_id).devices) == 21

    def test_one_device_name_is_won_by_one_of_many_threads(self, fake_aws: FakeAws) -> None:
        instance_id = fake_aws.run_instance()
        volumes = [created(fake_aws) for _ in range(8)]

        def work(volume_id: str) -> str:
            where = {"InstanceId": instance_id, "Device": "/dev/xvdba"}
            return outcome(fake_aws.client().attach_volume, VolumeId=volume_id, **where)

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(work, volumes))
        assert outcomes.count("") == 1
        assert outcomes.count("InvalidParameterValue") == 7


class TestProcesses:
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_a_forked_child_talks_to_the_server_of_its_parent(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = attached(fake_aws)
        child = os.fork()
        if child == 0:  # pragma: no cover - not measured in a child
            try:
                device = fake_aws.node(instance_id).root / "dev" / "nvme1n1"
                with device.open("r+b") as file:
                    file.write(b"child")
                fake_aws.client().detach_volume(VolumeId=volume_id)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the parent looks at the exit status alone
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        fake_aws.clock.advance(TIMES.detach)
        assert state(fake_aws, volume_id) == "available"
        assert read(fake_aws.backing(volume_id), 5) == b"child"

    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_a_lost_reply_is_noticed_although_a_child_has_the_connection_open(
        self, fake_aws: FakeAws
    ) -> None:
        ec2 = fake_aws.client()
        ec2.describe_volumes()  # from now on there is a connection, and the child has it too
        end, blocker = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover - not measured in a child
            os.close(blocker)
            os.read(end, 1)
            os._exit(0)
        fake_aws.faults.add(ReplyLost())
        with pytest.raises(HTTPClientError):
            ec2.describe_volumes()
        os.close(end)
        os.close(blocker)
        assert os.waitpid(child, 0)[1] == 0

    def test_another_program_polls_to_its_end_because_the_clock_ticks(
        self, fake_aws: FakeAws
    ) -> None:
        fake_aws.reset(clock=FakeClock(tick=0.5))
        command = [sys.executable, "-c", ELSEWHERE, fake_aws.endpoint, "t"]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        assert list(fake_aws.volumes()) == [run.stdout.strip()]
        assert fake_aws.requests.count("DescribeVolumes") > 1


class TestConnections:
    def test_one_connection_carries_many_requests_with_or_without_a_length(
        self, fake_aws: FakeAws
    ) -> None:
        connection = http.client.HTTPConnection(fake_aws.endpoint.removeprefix("http://"))
        scope = f"testing/20300101/{fake_aws.region}/ec2/aws4_request"
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, Signature=none",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        sockets = set[object]()
        for body in (b"Action=DescribeVolumes", iter([b"Action=Describe", b"Volumes"])):
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            assert (answer.status, b"<volumeSet>" in answer.read()) == (200, True)
            sockets.add(connection.sock)
        connection.close()
        assert len(sockets) == 1
        assert fake_aws.requests.count("DescribeVolumes") == 2


class TestOtherServices:
    def test_keys_of_kms_work(self, fake_aws: FakeAws) -> None:
        kms = fake_aws.client("kms")
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        made = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
        opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"])
        assert opened["Plaintext"] == made["Plaintext"]

    def test_the_caller_has_the_account_that_owns_the_snapshots(self, fake_aws: FakeAws) -> None:
        sts: Any = fake_aws.client("sts")
        account = sts.get_caller_identity()["Account"]
        snapshot = fake_aws.client().create_snapshot(VolumeId=created(fake_aws))
        assert snapshot["OwnerId"] == account

    def test_objects_of_s3_keep_their_bytes(self, fake_aws: FakeAws) -> None:
        s3: Any = fake_aws.client("s3")
        place = {"LocationConstraint": fake_aws.region}
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration=place)
        s3.put_object(Bucket="bucket", Key="a", Body=b"bytes" * 10_000, Metadata={"k_x": "v"})
        found = s3.get_object(Bucket="bucket", Key="a")
        assert found["Body"].read() == b"bytes" * 10_000
        assert s3.head_object(Bucket="bucket", Key="a")["ContentLength"] == 50_000
        s3.delete_object(Bucket="bucket", Key="a")
        assert refusal(s3.get_object, Bucket="bucket", Key="a") == "NoSuchKey"

    def test_ec2_of_another_region_is_moto_alone(self, fake_aws: FakeAws) -> None:
        make = cast("Any", fake_aws.session()).client
        ec2 = make("ec2", region_name="us-east-1", endpoint_url=fake_aws.endpoint)
        volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=0)
        ec2.close()
        assert volume["State"] == "available"
        assert fake_aws.volumes(roots=True) == {}


class TestSeveralFakes:
    def test_two_fakes_share_nothing(self, fake_aws: FakeAws, tmp_path: Path) -> None:
        mine = created(fake_aws)
        with FakeAws(tmp_path) as other:
            theirs = created(other)
            assert list(other.volumes()) == [theirs]
            assert list(fake_aws.volumes()) == [mine]
            assert other.endpoint.startswith("http://127.0.0.1:")
        assert state(fake_aws, mine) == "available"

    def test_a_fake_that_was_left_answers_no_more(self, tmp_path: Path) -> None:
        with FakeAws(tmp_path) as aws:
            ec2 = cast("Any", aws.session()).client("ec2", endpoint_url=aws.endpoint)
            ec2.describe_volumes()
        with pytest.raises(EndpointConnectionError):
            ec2.describe_volumes()
        ec2.close()

    def test_a_reset_leaves_nothing_behind(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = attached(fake_aws, Encrypted=True)
        fake_aws.client("kms").create_key()
        fake_aws.fail_next_creation()
        fake_aws.reset()
        ec2 = fake_aws.client()
        assert ec2.describe_instances()["Reservations"] == []
        assert ec2.describe_volumes()["Volumes"] == []
        assert fake_aws.client("kms").list_keys()["Keys"] == []
        assert not fake_aws.backing(volume_id).exists()
        assert not fake_aws.node(fake_aws.run_instance()).root.with_name(instance_id).exists()
        assert state(fake_aws, created(fake_aws)) == "available"
