"""Looking at volumes: ids, filters, pages, tags and status as EC2 has them and moto has not."""

from typing import Any

import pytest

from cloudcrypt_testing.fake_aws import FakeAws
from tests.unit.ec2_calls import (
    NOBODY,
    ZONE,
    attached,
    create,
    created,
    refusal,
    refused,
)

OTHER_NOBODY = "vol-11111111111111111"


def found(aws: FakeAws, *filters: tuple[str, list[str]]) -> list[str]:
    """Return the ids of the volumes that pass all filters, root disks apart."""
    spelled: Any = [{"Name": name, "Values": values} for name, values in filters]
    answer = aws.client().describe_volumes(Filters=spelled)
    return [one.get("VolumeId", "") for one in answer["Volumes"]]


def named(aws: FakeAws, name: str) -> str:
    tags = [{"Key": "Name", "Value": name}]
    return created(aws, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}])


class TestIds:
    def test_ids_are_answered_once_each(self, fake_aws: FakeAws) -> None:
        first, _, third = (created(fake_aws) for _ in range(3))
        answer = fake_aws.client().describe_volumes(VolumeIds=[third, first, third])
        assert {one.get("VolumeId") for one in answer["Volumes"]} == {first, third}
        assert len(answer["Volumes"]) == 2

    def test_the_message_names_the_missing_ids_and_no_others(self, fake_aws: FakeAws) -> None:
        volume_id, describe = created(fake_aws), fake_aws.client().describe_volumes
        code, message = refused(describe, VolumeIds=[NOBODY, volume_id])
        assert (code, message) == (
            "InvalidVolume.NotFound",
            f"The volume '{NOBODY}' does not exist.",
        )
        _, message = refused(describe, VolumeIds=[NOBODY, volume_id, OTHER_NOBODY])
        assert message == f"The volumes '{NOBODY}, {OTHER_NOBODY}' do not exist."

    @pytest.mark.parametrize("wrong", ["vol-1", "vol-g0000000", "snap-00000000", "", "vol"])
    def test_an_id_that_is_none_is_a_wrong_value(self, fake_aws: FakeAws, wrong: str) -> None:
        code, message = refused(fake_aws.client().describe_volumes, VolumeIds=[wrong])
        assert (code, f"Value ({wrong})" in message) == ("InvalidParameterValue", True)

    def test_five_hundred_ids_at_most_can_be_asked_for(self, fake_aws: FakeAws) -> None:
        describe = fake_aws.client().describe_volumes
        ids = [f"vol-{number:017x}" for number in range(501)]
        assert refusal(describe, VolumeIds=ids) == "InvalidParameterValue"
        assert refusal(describe, VolumeIds=ids[:500]) == "InvalidVolume.NotFound"


class TestFilters:
    def test_tags_match_exactly_or_by_wildcards(self, fake_aws: FakeAws) -> None:
        first, second = named(fake_aws, "data-1"), named(fake_aws, "data-2")
        starred = named(fake_aws, "data-*")
        assert found(fake_aws, ("tag:Name", ["data-1"])) == [first]
        assert found(fake_aws, ("tag:Name", ["data-?"])) == [first, second, starred]
        assert found(fake_aws, ("tag:Name", ["data-\\*"])) == [starred]
        assert found(fake_aws, ("tag:Name", ["data-2", "data-1"])) == [first, second]
        assert found(fake_aws, ("tag-key", ["N*"])) == [first, second, starred]
        assert found(fake_aws, ("tag:Other", ["*"])) == []

    def test_every_filter_has_to_match(self, fake_aws: FakeAws) -> None:
        volume_id, _ = attached(fake_aws, VolumeType="gp3")
        other = created(fake_aws, VolumeType="gp3")
        kind = ("volume-type", ["gp3"])
        assert found(fake_aws, kind) == [volume_id, other]
        assert found(fake_aws, kind, ("status", ["in-use"])) == [volume_id]

    def test_attachments_zone_size_and_the_rest_can_be_filtered(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = attached(fake_aws, Size=7)
        plain = ("size", ["7"])
        rows = [
            ("attachment.instance-id", instance_id, "i-1"),
            ("attachment.device", "/dev/xvdba", "/dev/xvdbb"),
            ("attachment.status", "attached", "detaching"),
            ("attachment.delete-on-termination", "false", "true"),
            ("availability-zone", ZONE, "eu-central-1b"),
            ("availability-zone-id", "euc1-az1", "euc1-az2"),
            ("encrypted", "false", "true"),
            ("multi-attach-enabled", "false", "true"),
            ("snapshot-id", "", "snap-1"),
            ("volume-id", volume_id, NOBODY),
        ]
        for name, right, wrong in rows:
            assert found(fake_aws, plain, (name, [right])) == [volume_id], name
            assert found(fake_aws, plain, (name, [wrong])) == [], name

    def test_an_unknown_filter_is_refused(self, fake_aws: FakeAws) -> None:
        filters = [{"Name": "colour", "Values": ["red"]}]
        code = refusal(fake_aws.client().describe_volumes, Filters=filters)
        assert code == "InvalidParameterValue"


class TestPages:
    def test_pages_follow_each_other_while_volumes_come_and_go(self, fake_aws: FakeAws) -> None:
        ids = [created(fake_aws) for _ in range(12)]
        ec2 = fake_aws.client()
        first = ec2.describe_volumes(MaxResults=5)
        ec2.delete_volume(VolumeId=ids[0])
        fake_aws.clock.advance(10)
        late = created(fake_aws)
        second = ec2.describe_volumes(MaxResults=5, NextToken=first.get("NextToken", ""))
        third = ec2.describe_volumes(MaxResults=5, NextToken=second.get("NextToken", ""))
        pages = [[one.get("VolumeId") for one in page["Volumes"]] for page in (first, second)]
        assert pages == [ids[:5], ids[5:10]]
        assert [one.get("VolumeId") for one in third["Volumes"]] == [*ids[10:], late]
        assert "NextToken" not in third

    def test_a_paginator_of_boto_sees_every_volume_once(self, fake_aws: FakeAws) -> None:
        ids = [create(fake_aws) for _ in range(11)]
        paginator = fake_aws.client().get_paginator("describe_volumes")
        pages = paginator.paginate(PaginationConfig={"PageSize": 5})
        assert [one.get("VolumeId") for page in pages for one in page["Volumes"]] == ids

    @pytest.mark.parametrize("token", ["abc", "YWZ0ZXIgeA==", "Zm9vIDE="])
    def test_a_token_that_ec2_did_not_give_is_refused(self, fake_aws: FakeAws, token: str) -> None:
        call = fake_aws.client().describe_volumes
        assert refusal(call, MaxResults=5, NextToken=token) == "InvalidNextToken"

    def test_pages_have_bounds_and_do_not_go_with_ids(self, fake_aws: FakeAws) -> None:
        describe = fake_aws.client().describe_volumes
        for most in (4, 1001):
            assert refusal(describe, MaxResults=most) == "InvalidParameterValue"
        ids = [created(fake_aws)]
        code = refusal(describe, VolumeIds=ids, MaxResults=5)
        assert code == "InvalidParameterCombination"


class TestTags:
    def test_tags_that_change_later_are_shown_and_filtered(self, fake_aws: FakeAws) -> None:
        volume_id, ec2 = named(fake_aws, "old"), fake_aws.client()
        ec2.create_tags(Resources=[volume_id], Tags=[{"Key": "Name", "Value": "new"}])
        assert found(fake_aws, ("tag:Name", ["new"])) == [volume_id]
        ec2.delete_tags(Resources=[volume_id], Tags=[{"Key": "Name"}])
        assert found(fake_aws, ("tag-key", ["Name"])) == []
        assert fake_aws.volumes()[volume_id].tags == {}

    def test_snapshots_have_tags_as_well(self, fake_aws: FakeAws) -> None:
        snapshot = fake_aws.client().create_snapshot(VolumeId=created(fake_aws))
        snapshot_id = snapshot["SnapshotId"]
        tag: Any = {"Key": "Name", "Value": "mine"}
        fake_aws.client().create_tags(Resources=[snapshot_id], Tags=[tag])
        assert fake_aws.snapshots()[snapshot_id].tags == {"Name": "mine"}

    def test_what_does_not_exist_cannot_be_tagged(self, fake_aws: FakeAws) -> None:
        call = fake_aws.client().create_tags
        tags = [{"Key": "Name", "Value": "x"}]
        assert refusal(call, Resources=[NOBODY], Tags=tags) == "InvalidVolume.NotFound"

    def test_strange_characters_survive(self, fake_aws: FakeAws) -> None:
        name = "<&>\"' ü€ \n=%/+"
        volume_id = named(fake_aws, name)
        answer = fake_aws.client().describe_volumes(VolumeIds=[volume_id])
        assert answer["Volumes"][0].get("Tags") == [{"Key": "Name", "Value": name}]


class TestStatus:
    def test_the_status_of_a_volume_is_ok_once_it_exists(self, fake_aws: FakeAws) -> None:
        volume_id, describe = create(fake_aws), fake_aws.client().describe_volume_status
        before = describe(VolumeIds=[volume_id])["VolumeStatuses"][0].get("VolumeStatus", {})
        fake_aws.clock.advance(10)
        after = describe(VolumeIds=[volume_id])["VolumeStatuses"][0].get("VolumeStatus", {})
        assert (before.get("Status"), after.get("Status")) == ("insufficient-data", "ok")
        filters: Any = [{"Name": "volume-status.status", "Values": ["ok"]}]
        assert len(describe(Filters=filters)["VolumeStatuses"]) == 1
        assert refusal(describe, VolumeIds=[NOBODY]) == "InvalidVolume.NotFound"
