"""Snapshots and the bytes in them: what EC2 does and moto alone does not."""

from typing import Any

from cloudcrypt_testing.fake_aws import FakeAws
from tests.unit.ec2_calls import (
    NOBODY,
    TIMES,
    create,
    created,
    read,
    refusal,
    refused,
    state,
    write,
)

GIB = 1024**3
NO_SNAPSHOT = "snap-00000000000000000"


def take(aws: FakeAws, volume_id: str, **parameters: Any) -> str:
    """Take a snapshot, and return its id while it is pending."""
    return aws.client().create_snapshot(VolumeId=volume_id, **parameters)["SnapshotId"]


def taken(aws: FakeAws, volume_id: str, **parameters: Any) -> str:
    """Take a snapshot, wait for it, and return its id."""
    snapshot_id = take(aws, volume_id, **parameters)
    aws.clock.advance(TIMES.snapshot)
    return snapshot_id


def snapshot_state(aws: FakeAws, snapshot_id: str) -> str:
    answer = aws.client().describe_snapshots(SnapshotIds=[snapshot_id])
    return answer["Snapshots"][0].get("State", "")


class TestStates:
    def test_a_snapshot_is_pending_before_it_is_completed(self, fake_aws: FakeAws) -> None:
        snapshot_id = take(fake_aws, created(fake_aws))
        before = snapshot_state(fake_aws, snapshot_id)
        fake_aws.clock.advance(TIMES.snapshot)
        assert (before, snapshot_state(fake_aws, snapshot_id)) == ("pending", "completed")

    def test_a_snapshot_can_end_in_error_and_not_be_restored(self, fake_aws: FakeAws) -> None:
        fake_aws.fail_next_snapshot()
        snapshot_id = taken(fake_aws, created(fake_aws))
        assert snapshot_state(fake_aws, snapshot_id) == "error"
        assert refusal(create, aws=fake_aws, SnapshotId=snapshot_id) == "IncorrectState"

    def test_a_pending_snapshot_is_not_restored(self, fake_aws: FakeAws) -> None:
        snapshot_id = take(fake_aws, created(fake_aws))
        assert refusal(create, aws=fake_aws, SnapshotId=snapshot_id) == "IncorrectState"

    def test_only_a_volume_that_is_ready_has_snapshots(self, fake_aws: FakeAws) -> None:
        call = fake_aws.client().create_snapshot
        assert refusal(call, VolumeId=create(fake_aws)) == "IncorrectState"
        assert refusal(call, VolumeId=NOBODY) == "InvalidVolume.NotFound"

    def test_a_snapshot_keeps_the_size_of_its_time(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws)
        snapshot_id = taken(fake_aws, volume_id)
        fake_aws.client().modify_volume(VolumeId=volume_id, Size=2)
        fake_aws.clock.advance(TIMES.modify)
        answer = fake_aws.client().describe_snapshots(SnapshotIds=[snapshot_id])
        assert answer["Snapshots"][0].get("VolumeSize") == 1


class TestContent:
    def test_a_restored_volume_has_what_was_there_when_the_snapshot_was_taken(
        self, fake_aws: FakeAws
    ) -> None:
        source = created(fake_aws)
        write(fake_aws.backing(source), b"old", GIB // 2)
        snapshot_id = taken(fake_aws, source)
        write(fake_aws.backing(source), b"new", GIB // 2)
        restored = created(fake_aws, SnapshotId=snapshot_id, Size=2)
        found = fake_aws.backing(restored)
        assert read(found, 3, GIB // 2) == b"old"
        assert read(fake_aws.backing(source), 3, GIB // 2) == b"new"
        assert found.stat().st_size == 2 * GIB
        assert found.stat().st_blocks * 512 < GIB // 100

    def test_a_snapshot_outlives_its_volume(self, fake_aws: FakeAws) -> None:
        source = created(fake_aws)
        write(fake_aws.backing(source), b"kept")
        snapshot_id = taken(fake_aws, source)
        fake_aws.client().delete_volume(VolumeId=source)
        fake_aws.clock.advance(TIMES.delete)
        restored = created(fake_aws, SnapshotId=snapshot_id)
        assert read(fake_aws.backing(restored), 4) == b"kept"
        assert fake_aws.volumes()[restored].size == 1

    def test_a_restored_volume_is_never_smaller(self, fake_aws: FakeAws) -> None:
        snapshot_id = taken(fake_aws, created(fake_aws, Size=2))
        code = refusal(create, aws=fake_aws, SnapshotId=snapshot_id, Size=1)
        assert code == "InvalidParameterValue"

    def test_what_comes_from_an_encrypted_volume_is_encrypted(self, fake_aws: FakeAws) -> None:
        source = created(fake_aws, Encrypted=True)
        restored = created(fake_aws, SnapshotId=taken(fake_aws, source))
        key = fake_aws.volumes()[source].kms_key
        volume = fake_aws.volumes()[restored]
        assert volume.is_encrypted
        assert (volume.kms_key, str(key).startswith("arn:aws:kms:")) == (key, True)


class TestDescribing:
    def test_snapshots_are_found_by_filters_owners_and_in_pages(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws)
        tags: Any = [{"ResourceType": "snapshot", "Tags": [{"Key": "Name", "Value": "mine"}]}]
        ids = [taken(fake_aws, volume_id, TagSpecifications=tags) for _ in range(7)]
        taken(fake_aws, volume_id, Description="another")
        describe = fake_aws.client().describe_snapshots
        filters: Any = [{"Name": "tag:Name", "Values": ["mine"]}]
        first = describe(OwnerIds=["self"], Filters=filters, MaxResults=5)
        rest = describe(OwnerIds=["self"], Filters=filters, NextToken=first.get("NextToken", ""))
        pages = first["Snapshots"] + rest["Snapshots"]
        assert [one.get("SnapshotId") for one in pages] == ids
        assert len(first["Snapshots"]) == 5
        assert describe(OwnerIds=["amazon"])["Snapshots"] == []
        others: Any = [{"Name": "description", "Values": ["another"]}]
        assert len(describe(Filters=others)["Snapshots"]) == 1

    def test_a_snapshot_that_does_not_exist_is_named_in_the_message(
        self, fake_aws: FakeAws
    ) -> None:
        ec2, message = fake_aws.client(), f"The snapshot '{NO_SNAPSHOT}' does not exist."
        expected = ("InvalidSnapshot.NotFound", message)
        assert refused(ec2.describe_snapshots, SnapshotIds=[NO_SNAPSHOT]) == expected
        assert refused(ec2.delete_snapshot, SnapshotId=NO_SNAPSHOT) == expected
        assert refused(create, aws=fake_aws, SnapshotId=NO_SNAPSHOT) == expected

    def test_a_deleted_snapshot_is_gone_with_its_bytes(self, fake_aws: FakeAws) -> None:
        snapshot_id = taken(fake_aws, created(fake_aws))
        fake_aws.client().delete_snapshot(SnapshotId=snapshot_id)
        assert fake_aws.snapshots() == {}
        assert not fake_aws.backing(snapshot_id).exists()

    def test_snapshots_that_moto_takes_for_an_image_are_there(self, fake_aws: FakeAws) -> None:
        instance_id = fake_aws.run_instance()
        fake_aws.client().create_image(InstanceId=instance_id, Name="image")
        (snapshot,) = fake_aws.snapshots().values()
        assert snapshot.state == "completed"
        code = refusal(fake_aws.client().delete_snapshot, SnapshotId=snapshot.id)
        assert code == "InvalidSnapshot.InUse"
        restored = created(fake_aws, SnapshotId=snapshot.id)
        assert state(fake_aws, restored) == "available"
