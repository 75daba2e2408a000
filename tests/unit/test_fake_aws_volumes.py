"""Creating, copying and deleting volumes: what EC2 does and moto alone does not."""

from typing import Any

import pytest

from cloudcrypt_testing.fake_aws import FakeAws
from tests.unit.ec2_calls import (
    NOBODY,
    TIMES,
    ZONE,
    attached,
    create,
    created,
    read,
    refusal,
    refused,
    state,
    write,
)

TWELVE_HOURS = 12 * 3600


def tagged(name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": name}]}]


class TestStates:
    def test_a_volume_is_creating_before_it_is_available(self, fake_aws: FakeAws) -> None:
        volume_id = create(fake_aws)
        before = state(fake_aws, volume_id)
        fake_aws.clock.advance(TIMES.create)
        assert (before, state(fake_aws, volume_id)) == ("creating", "available")

    def test_a_deleted_volume_is_deleting_before_it_is_gone(self, fake_aws: FakeAws) -> None:
        ec2, volume_id = fake_aws.client(), created(fake_aws)
        ec2.delete_volume(VolumeId=volume_id)
        ec2.delete_volume(VolumeId=volume_id)
        before = state(fake_aws, volume_id)
        fake_aws.clock.advance(TIMES.delete)
        assert before == "deleting"
        code = refusal(ec2.describe_volumes, VolumeIds=[volume_id])
        assert code == "InvalidVolume.NotFound"
        assert refusal(ec2.delete_volume, VolumeId=volume_id) == "InvalidVolume.NotFound"
        assert not fake_aws.backing(volume_id).exists()

    def test_a_volume_that_is_being_created_or_attached_cannot_be_deleted(
        self, fake_aws: FakeAws
    ) -> None:
        ec2, volume_id = fake_aws.client(), create(fake_aws)
        assert refusal(ec2.delete_volume, VolumeId=volume_id) == "IncorrectState"
        volume_id, _ = attached(fake_aws)
        assert refusal(ec2.delete_volume, VolumeId=volume_id) == "VolumeInUse"

    def test_a_creation_can_end_in_error_and_the_volume_be_deleted(self, fake_aws: FakeAws) -> None:
        fake_aws.fail_next_creation()
        volume_id = created(fake_aws)
        assert state(fake_aws, volume_id) == "error"
        fake_aws.client().delete_volume(VolumeId=volume_id)
        fake_aws.clock.advance(TIMES.delete)
        assert fake_aws.volumes() == {}

    def test_a_volume_can_vanish_while_it_is_created(self, fake_aws: FakeAws) -> None:
        fake_aws.fail_next_creation("vanish")
        created(fake_aws)
        assert fake_aws.volumes() == {}

    def test_a_key_that_does_not_exist_is_found_out_later(self, fake_aws: FakeAws) -> None:
        volume_id = create(fake_aws, Encrypted=True, KmsKeyId="alias/nowhere")
        assert state(fake_aws, volume_id) == "creating"
        fake_aws.clock.advance(TIMES.create)
        describe = fake_aws.client().describe_volumes
        assert refusal(describe, VolumeIds=[volume_id]) == "InvalidVolume.NotFound"

    def test_a_key_that_exists_is_shown_by_its_arn(self, fake_aws: FakeAws) -> None:
        arn = fake_aws.client("kms").create_key()["KeyMetadata"].get("Arn")
        key_id = str(arn).rpartition("/")[2]
        volume_id = created(fake_aws, Encrypted=True, KmsKeyId=key_id)
        assert fake_aws.volumes()[volume_id].kms_key == arn

    def test_the_volume_exists_in_moto_as_well(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws, TagSpecifications=tagged("here"))
        tags = fake_aws.client().describe_tags()["Tags"]
        assert [tag.get("ResourceId") for tag in tags] == [volume_id]


class TestTokens:
    def test_the_same_token_twice_is_the_same_volume(self, fake_aws: FakeAws) -> None:
        first = created(fake_aws, ClientToken="t")
        assert create(fake_aws, ClientToken="t") == first
        assert list(fake_aws.volumes()) == [first]

    def test_the_same_token_with_other_parameters_is_refused(self, fake_aws: FakeAws) -> None:
        created(fake_aws, ClientToken="t")
        code = refusal(create, aws=fake_aws, ClientToken="t", Size=2)
        assert code == "IdempotentParameterMismatch"

    @pytest.mark.parametrize("how", ["error", "vanish"])
    def test_a_volume_that_failed_burns_its_token(self, fake_aws: FakeAws, how: Any) -> None:
        fake_aws.fail_next_creation(how)
        dead = created(fake_aws, ClientToken="t")
        assert create(fake_aws, ClientToken="t") == dead

    def test_a_volume_that_was_deleted_burns_its_token(self, fake_aws: FakeAws) -> None:
        dead = created(fake_aws, ClientToken="t")
        fake_aws.client().delete_volume(VolumeId=dead)
        fake_aws.clock.advance(TIMES.delete)
        assert create(fake_aws, ClientToken="t") == dead
        assert fake_aws.volumes() == {}

    def test_a_token_is_forgotten_after_twelve_hours(self, fake_aws: FakeAws) -> None:
        first = create(fake_aws, ClientToken="t")
        fake_aws.clock.advance(TWELVE_HOURS - 1)
        same = create(fake_aws, ClientToken="t")
        fake_aws.clock.advance(1)
        assert same == first
        assert create(fake_aws, ClientToken="t") != first

    def test_a_token_that_is_too_long_is_refused(self, fake_aws: FakeAws) -> None:
        assert refusal(create, aws=fake_aws, ClientToken="t" * 65) == "InvalidParameterValue"


class TestQuota:
    def test_the_limit_of_volumes_does_not_count_root_disks(self, fake_aws: FakeAws) -> None:
        fake_aws.run_instance()
        fake_aws.limit_volumes(1)
        create(fake_aws, ClientToken="t")
        assert refusal(create, aws=fake_aws, ClientToken="u") == "VolumeLimitExceeded"
        assert create(fake_aws, ClientToken="t") in fake_aws.volumes()

    def test_a_repeated_creation_can_be_refused_although_its_volume_exists(
        self, fake_aws: FakeAws
    ) -> None:
        fake_aws.limit_volumes(1, before_tokens=True)
        create(fake_aws, ClientToken="t")
        assert refusal(create, aws=fake_aws, ClientToken="t") == "VolumeLimitExceeded"
        assert len(fake_aws.volumes()) == 1


class TestParameters:
    @pytest.mark.parametrize(
        ("parameters", "code", "words"),
        [
            ({"Size": 0}, "InvalidParameterValue", "minimum is 1GiB"),
            ({"Size": 16385}, "InvalidParameterValue", "maximum is 16384GiB"),
            ({"VolumeType": "st1", "Size": 124}, "InvalidParameterValue", "minimum is 125GiB"),
            ({"VolumeType": "standard", "Size": 1025}, "InvalidParameterValue", "is 1024GiB"),
            ({"VolumeType": "io1", "Size": 3, "Iops": 100}, "InvalidParameterValue", "4GiB"),
            ({"VolumeType": "gp3", "Iops": 2999}, "InvalidParameterValue", "minimum is 3000"),
            ({"VolumeType": "gp3", "Size": 500, "Iops": 80001}, "InvalidParameterValue", "80000"),
            ({"VolumeType": "gp3", "Iops": 3001}, "InvalidParameterValue", "ratio of 3001"),
            ({"VolumeType": "io1", "Size": 4, "Iops": 201}, "InvalidParameterValue", "ratio"),
            ({"VolumeType": "gp3", "Throughput": 124}, "InvalidParameterValue", "is 125"),
            ({"VolumeType": "gp3", "Throughput": 2001}, "InvalidParameterValue", "is 2000"),
            ({"VolumeType": "gp3", "Throughput": 751}, "InvalidParameterValue", "to iops ratio"),
            ({"VolumeType": "gp2", "Iops": 3000}, "InvalidParameterCombination", "iops"),
            ({"VolumeType": "io1", "Throughput": 125, "Size": 4, "Iops": 100}, "", "throughput"),
            ({"VolumeType": "io2", "Size": 4}, "MissingParameter", "iops"),
            ({"VolumeType": "gp9"}, "UnknownVolumeType", "gp9"),
            ({"MultiAttachEnabled": True}, "InvalidParameterCombination", "gp2"),
            ({"KmsKeyId": "alias/aws/ebs"}, "InvalidParameterDependency", "Encrypted"),
            ({"SnapshotId": "snap-1"}, "InvalidParameterValue", "snap-1"),
            ({"SnapshotId": "snap-00000000000000000"}, "InvalidSnapshot.NotFound", "snap-0"),
            ({"DryRun": True}, "DryRunOperation", "would have succeeded"),
        ],
    )
    def test_what_no_volume_can_have_is_refused(
        self, fake_aws: FakeAws, parameters: dict[str, Any], code: str, words: str
    ) -> None:
        found = refused(create, aws=fake_aws, **parameters)
        assert found[0] == code or (not code and found[0] == "InvalidParameterCombination")
        assert words in found[1]
        assert fake_aws.volumes() == {}

    def test_a_volume_needs_a_zone_that_exists_by_name_or_by_id(self, fake_aws: FakeAws) -> None:
        make = fake_aws.client().create_volume
        by_id = make(AvailabilityZoneId="euc1-az2", Size=1)
        assert by_id.get("AvailabilityZone") == "eu-central-1b"
        assert refusal(make, AvailabilityZone="mars-1a", Size=1) == "InvalidZone.NotFound"
        assert refusal(make, Size=1) == "MissingParameter"
        both = {"AvailabilityZone": ZONE, "AvailabilityZoneId": "euc1-az1"}
        assert refusal(make, **both, Size=1) == "InvalidParameterCombination"
        assert refusal(make, AvailabilityZone=ZONE) == "MissingParameter"

    def test_the_defaults_are_those_of_ec2(self, fake_aws: FakeAws) -> None:
        plain: Any = fake_aws.client().create_volume(AvailabilityZone=ZONE, Size=100)
        gp3 = fake_aws.client().create_volume(AvailabilityZone=ZONE, Size=1, VolumeType="gp3")
        assert (plain["VolumeType"], plain["Iops"]) == ("gp2", 300)
        assert "Throughput" not in plain
        assert (gp3.get("Iops"), gp3.get("Throughput")) == (3000, 125)
        assert plain.get("AvailabilityZoneId") == "euc1-az1"

    def test_more_than_fifty_tags_are_refused_and_leave_nothing(self, fake_aws: FakeAws) -> None:
        tags = [{"Key": str(number), "Value": ""} for number in range(51)]
        specification = [{"ResourceType": "volume", "Tags": tags}]
        code = refusal(create, aws=fake_aws, TagSpecifications=specification)
        assert (code, fake_aws.volumes()) == ("TagLimitExceeded", {})

    def test_tags_for_something_else_are_refused(self, fake_aws: FakeAws) -> None:
        specification = [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]
        code = refusal(create, aws=fake_aws, TagSpecifications=specification)
        assert code == "InvalidParameterValue"


class TestCopies:
    def test_a_copy_is_a_volume_of_its_own_with_the_same_content(self, fake_aws: FakeAws) -> None:
        source = created(fake_aws)
        write(fake_aws.backing(source), b"content")
        answer = fake_aws.client().copy_volumes(SourceVolumeId=source, Size=2, ClientToken="t")
        copy = answer["Volumes"][0]
        copy_id = copy.get("VolumeId", "")
        write(fake_aws.backing(source), b"changed")
        assert read(fake_aws.backing(copy_id), 7) == b"content"
        assert (copy.get("SourceVolumeId"), copy.get("Size")) == (source, 2)
        assert copy.get("State") == "creating"
        assert fake_aws.backing(copy_id).stat().st_size == 2 * 1024**3
        again = fake_aws.client().copy_volumes(SourceVolumeId=source, Size=2, ClientToken="t")
        assert again["Volumes"][0].get("VolumeId") == copy_id

    def test_what_cannot_be_copied_is_refused(self, fake_aws: FakeAws) -> None:
        copy, source = fake_aws.client().copy_volumes, create(fake_aws, Size=2)
        assert refusal(copy, SourceVolumeId=source) == "IncorrectState"
        fake_aws.clock.advance(TIMES.create)
        assert refusal(copy, SourceVolumeId=source, Size=1) == "InvalidParameterValue"
        assert refusal(copy, SourceVolumeId=NOBODY) == "InvalidVolume.NotFound"
