"""What a new volume is asked for with on AWS, and what makes it another one."""

import logging
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    InvalidRequest,
    NotFound,
    RequestConflict,
    RequestRejected,
    UnsupportedOperation,
    WrongVolumeState,
)
from cloudcrypt.model import ClonedFrom, RestoredFrom
from cloudcrypt.sizes import GIB, MIB
from cloudcrypt.spi import (
    CreateSnapshot,
    CreateVolume,
    DeleteVolume,
    FromSnapshot,
    FromVolume,
    perform,
)
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import (
    Refused,
    ReplyLost,
)
from tests.unit.aws_given import (
    GONE,
    OTHER_ZONE,
    REGION,
    ZONE,
    created,
    ebs,
    opened,
    tagged,
    wanted,
)


@pytest.fixture
def provider(fake_aws: FakeAws) -> Iterator[AwsProvider]:
    with_url = opened(fake_aws)
    yield with_url
    with_url.close()


def last(aws: FakeAws, action: str) -> dict[str, str]:
    """Return the parameters of the last request for ``action``."""
    return dict([one for one in aws.requests if one.action == action][-1].parameters)


def tags(aws: FakeAws, action: str) -> dict[str, str]:
    """Return the tags in the last request for ``action``."""
    sent = last(aws, action)
    prefix = "TagSpecification.1.Tag."
    numbers = [key.split(".")[3] for key in sent if key.startswith(prefix) and key.endswith(".Key")]
    return {sent[f"{prefix}{n}.Key"]: sent[f"{prefix}{n}.Value"] for n in numbers}


def test_all_tags_go_with_the_request_that_creates(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    volume = created(provider, labels={"team": "storage"})
    sent = tags(fake_aws, "CreateVolume")
    assert sent["Name"] == sent["cloudcrypt:name"] == volume.name == "data"
    assert (sent["cloudcrypt:owner"], sent["cloudcrypt:token"]) == ("cloudcrypt", "token-data")
    assert sent["team"] == "storage"
    assert volume.labels == {"team": "storage"}
    assert fake_aws.requests.count("CreateTags") == 0


def test_the_client_token_is_made_of_owner_and_token(fake_aws: FakeAws) -> None:
    tokens = []
    for owner, name, token in [("a", "one", "t"), ("b", "two", "t"), ("a", "three", "u")]:
        created(opened(fake_aws, owner=owner), name, token=token)
        tokens.append(last(fake_aws, "CreateVolume")["ClientToken"])
    assert len(set(tokens)) == 3
    assert all(len(token) == 64 and int(token, 16) for token in tokens)


def test_gp3_is_created_where_no_type_is_named(provider: AwsProvider) -> None:
    volume = created(provider)
    assert (volume.kind, volume.iops, volume.throughput) == ("gp3", 3000, 125 * MIB)


def test_io2_is_created_where_it_is_to_be_shared(provider: AwsProvider) -> None:
    volume = created(provider, multi_attach=True, iops=100, size=4 * GIB)
    assert (volume.kind, volume.multi_attach) == ("io2", True)


def test_performance_is_asked_for_in_the_units_of_ec2(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    volume = created(provider, size=100 * GIB, iops=4000, throughput=250 * MIB - 1)
    assert (volume.iops, volume.throughput) == (4000, 250 * MIB)
    assert last(fake_aws, "CreateVolume")["Throughput"] == "250"


def test_a_key_of_the_cloud_turns_encryption_on(provider: AwsProvider, fake_aws: FakeAws) -> None:
    key = fake_aws.client("kms").create_key()["KeyMetadata"]
    key_id, arn = key["KeyId"], key.get("Arn", "")
    volume = created(provider, cloud_key=key_id)
    assert volume.cloud_key == arn
    assert last(fake_aws, "CreateVolume")["Encrypted"] == "true"
    for name in (key_id, arn):  # however it is named
        assert perform(provider, wanted(cloud_key=name, token="other")).id == volume.id
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted(cloud_key="alias/other"))
    assert caught.value.fields == ("cloud_key",)


def test_a_key_by_its_alias_is_known_again(provider: AwsProvider, fake_aws: FakeAws) -> None:
    kms = fake_aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/disks", TargetKeyId=key)
    volume = created(provider, cloud_key="alias/disks")
    assert created(provider, cloud_key="alias/disks", token="other").id == volume.id


@pytest.mark.parametrize(
    ("place", "field"), [(ZONE, "AvailabilityZone"), ("euc1-az3", "AvailabilityZoneId")]
)
def test_a_zone_is_asked_for_by_name_or_id(
    provider: AwsProvider, fake_aws: FakeAws, place: str, field: str
) -> None:
    volume = created(provider, place=place)
    assert last(fake_aws, "CreateVolume")[field] == place
    assert created(provider, place=place, token="other") == volume


def test_without_a_zone_the_name_decides_and_the_same_one_each_time(fake_aws: FakeAws) -> None:
    provider = opened(fake_aws, zone=None)
    zones = {name: created(provider, name).place for name in "abcdefgh"}
    assert len(set(zones.values())) > 1
    assert fake_aws.requests.count("DescribeAvailabilityZones") == 1
    other = opened(fake_aws, zone=None)
    for name, zone in zones.items():
        perform(other, DeleteVolume("delete", next(other.list(name=name)).id))
        assert created(other, name, token=f"again-{name}").place == zone


def test_a_region_without_zones_is_told(fake_aws: FakeAws) -> None:
    fake_aws.faults.add(Refused("InvalidParameterValue"), on="DescribeAvailabilityZones")
    with pytest.raises(RequestRejected):
        opened(fake_aws, zone=None).begin(wanted())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size": 3 * GIB}, "size"),
        ({"place": OTHER_ZONE}, "place"),
        ({"kind": "gp2"}, "kind"),
        ({"iops": 5000}, "iops"),
        ({"throughput": 126 * MIB}, "throughput"),
        ({"cloud_key": "alias/x"}, "cloud_key"),
        ({"kind": "io2", "iops": 3000, "multi_attach": True}, "multi_attach"),
        ({"labels": {"a": "c"}}, "labels"),
        ({"source": FromVolume(GONE)}, "source"),
    ],
)
def test_the_same_name_with_anything_else_conflicts_and_names_it(
    provider: AwsProvider, change: dict[str, Any], field: str
) -> None:
    intent = attrs.evolve(wanted(size=20 * GIB), labels={"a": "b"})
    perform(provider, intent)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(attrs.evolve(intent, token="other", **change))
    assert field in caught.value.fields
    assert set(caught.value.fields) <= {field, "kind"}


def test_all_fields_that_differ_are_named(provider: AwsProvider) -> None:
    created(provider)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted(size=4 * GIB, place=OTHER_ZONE, kind="gp2", labels={"a": "b"}))
    assert caught.value.fields == ("kind", "labels", "place", "size")


def test_tags_that_others_put_on_a_volume_do_not_make_it_another_one(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    volume = created(provider, labels={"a": "b"})
    tagged(fake_aws, volume.id, "backup", "daily")
    again = created(provider, labels={"a": "b"}, token="other")
    assert again.id == volume.id
    assert again.labels == {"a": "b", "backup": "daily"}
    tagged(fake_aws, volume.id, "a", "c")
    for labels in ({"a": "b"}, {"a": "c"}, {"backup": "daily"}):  # as it was asked for, or as it is
        assert created(provider, labels=labels, token="third").id == volume.id


def test_what_the_intent_leaves_open_does_not_differ(provider: AwsProvider) -> None:
    source = created(provider, "source")
    made = created(provider, "clone", labels={"a": "b"}, source=FromVolume(source.id, 3))
    assert created(provider, "clone", source=FromVolume(source.id), token="other") == made


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"kind": "gp2", "iops": 3000}, "iops"),
        ({"kind": "gp2", "throughput": 125 * MIB}, "throughput"),
        ({"kind": "io2", "iops": 100, "throughput": 125 * MIB}, "throughput"),
        ({"kind": "io1"}, "iops"),
        ({"kind": "gp3", "multi_attach": True}, "multi_attach"),
        ({"labels": {"aws:x": "1"}}, "labels"),
        ({"labels": {"CloudCrypt:name": "1"}}, "labels"),
        ({"labels": {"Name": "1"}}, "labels"),
        ({"labels": {"": "1"}}, "labels"),
        ({"labels": {"a": "b" * 257}}, "labels"),
        ({"labels": {f"label-{n}": "1" for n in range(44)}}, "labels"),
        ({"name": "n" * 257}, "name"),
        ({"name": "a\nb"}, "name"),
    ],
)
def test_what_can_never_be_is_refused_without_a_request(
    provider: AwsProvider, fake_aws: FakeAws, change: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(attrs.evolve(wanted(), **change))
    assert caught.value.parameter == parameter
    assert fake_aws.requests.count("CreateVolume") == 0


def test_as_many_labels_as_there_is_room_for_are_taken(provider: AwsProvider) -> None:
    source = created(provider, "source")
    labels = {f"label-{n}": "1" for n in range(43)}
    made = created(provider, labels=labels, source=FromVolume(source.id, 1), maker="me")
    assert (made.labels, made.maker) == (labels, "me")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "gp2", "size": 20000 * GIB},
        {"kind": "gp3", "iops": 100_000},
        {"kind": "gp3", "iops": 50_000},
        {"kind": "gp3", "throughput": 9000 * MIB},
        {"kind": "st1"},
    ],
)
def test_what_only_our_table_forbids_is_for_ec2_to_decide(
    provider: AwsProvider,
    fake_aws: FakeAws,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, Any],
) -> None:
    with caplog.at_level(logging.WARNING, "cloudcrypt_aws"), pytest.raises(RequestRejected):
        provider.begin(attrs.evolve(wanted(), **change))
    assert fake_aws.requests.count("CreateVolume") == 1
    assert "documented" in caplog.text


def test_a_type_that_we_do_not_know_is_for_ec2_to_judge(provider: AwsProvider) -> None:
    with pytest.raises(RequestRejected) as caught:
        provider.begin(wanted(kind="gp4", iops=1, throughput=1))
    assert caught.value.cloud_code == "UnknownVolumeType"


def test_a_snapshot_that_is_not_complete_is_not_restored(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    volume = created(provider)
    handle = provider.begin(CreateSnapshot("t", volume.id, "snap"))
    source = FromSnapshot(f"aws:{REGION}/{handle.reference}")
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(wanted("restored", source=source))
    assert caught.value.state == "pending"
    assert fake_aws.requests.count("CreateVolume") == 1


def test_a_snapshot_of_other_software_names_its_volume(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    volume = created(provider)
    taken = fake_aws.client().create_snapshot(VolumeId=ebs(volume.id))["SnapshotId"]
    fake_aws.clock.advance(60)
    restored = created(provider, "restored", source=FromSnapshot(f"aws:{REGION}/{taken}"))
    assert restored.origin == RestoredFrom(volume.id, None)
    assert (
        created(
            opened(fake_aws), "restored", source=FromSnapshot(f"aws:{REGION}/{taken}"), token="x"
        )
        == restored
    )


def test_a_clone_is_like_its_source(provider: AwsProvider, fake_aws: FakeAws) -> None:
    source = created(
        provider, "source", size=100 * GIB, iops=4000, throughput=200 * MIB, place=OTHER_ZONE
    )
    clone = created(provider, "clone", size=200 * GIB, source=FromVolume(source.id, 2))
    assert (clone.kind, clone.iops, clone.throughput) == ("gp3", 4000, 200 * MIB)
    assert (clone.place, clone.origin) == (OTHER_ZONE, ClonedFrom(source.id, 2))
    assert last(fake_aws, "CopyVolumes")["SourceVolumeId"] == ebs(source.id)


def test_a_clone_may_be_of_another_type(provider: AwsProvider) -> None:
    source = created(provider, "source", kind="io2", iops=100, size=4 * GIB)
    clone = created(provider, "clone", size=4 * GIB, source=FromVolume(source.id), kind="gp2")
    assert (clone.kind, clone.origin) == ("gp2", ClonedFrom(source.id))
    same = created(provider, "same", size=4 * GIB, source=FromVolume(source.id))
    assert (same.kind, same.iops) == ("io2", 100)


def test_a_clone_whose_reply_was_lost_is_made_once(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    source = created(provider, "source")
    fake_aws.faults.add(ReplyLost(), on="CopyVolumes")
    created(provider, "clone", source=FromVolume(source.id))
    assert len(fake_aws.volumes()) == 2


def test_a_clone_is_neither_smaller_nor_in_another_zone(provider: AwsProvider) -> None:
    source = created(provider, "source", size=4 * GIB)
    for change, parameter in (({"size": 3 * GIB}, "size"), ({"place": OTHER_ZONE}, "place")):
        intent = attrs.evolve(wanted("clone", size=4 * GIB, source=FromVolume(source.id)), **change)
        with pytest.raises(InvalidRequest) as caught:
            provider.begin(intent)
        assert caught.value.parameter == parameter


def test_another_key_generation_of_the_source_is_another_source(provider: AwsProvider) -> None:
    source = created(provider, "source")
    created(provider, "clone", source=FromVolume(source.id, 1))
    with pytest.raises(RequestConflict) as caught:
        created(provider, "clone", source=FromVolume(source.id, 2))
    assert caught.value.fields == ("source",)


def test_a_boto3_that_does_not_know_clones_declares_none(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    source = created(provider, "source")
    provider._api._methods.pop("CopyVolumes")
    assert not provider.capabilities.clones
    with pytest.raises(UnsupportedOperation):
        created(provider, "clone", source=FromVolume(source.id))
    assert fake_aws.requests.count("CopyVolumes") == 0


def test_names_with_signs_that_filters_treat_specially_are_names(
    provider: AwsProvider,
) -> None:
    names = ["a*", "a?", "a\\b", "a[b]", "ab", "a b", "ä"]
    volumes = {name: created(provider, name, token=f"token {n}") for n, name in enumerate(names)}
    for name in names:
        assert [volume.id for volume in provider.list(name=name)] == [volumes[name].id]


def test_owners_do_not_see_each_other(fake_aws: FakeAws) -> None:
    mine, yours = opened(fake_aws, owner="team-*"), opened(fake_aws, owner="team-b")
    first, second = created(mine), created(yours)
    assert first.id != second.id
    assert [volume.id for volume in mine.list()] == [first.id]
    assert [volume.id for volume in yours.list()] == [second.id]


def test_the_cloud_is_asked_little_for_each_volume(fake_aws: FakeAws) -> None:
    created(opened(fake_aws))  # which takes EC2 two seconds
    looks = ["DescribeVolumes"] * 3
    assert fake_aws.requests.actions == ["DescribeVolumes", "CreateVolume", *looks]


def test_an_error_of_the_source_is_told_in_its_name(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    source = created(provider, "source")
    fake_aws.faults.add(Refused("InvalidVolume.NotFound"), on="CopyVolumes")
    with pytest.raises(NotFound) as caught:
        created(provider, "clone", source=FromVolume(source.id))
    error: CloudcryptError = caught.value
    assert source.id in str(error)


def test_an_intent_of_another_kind_is_not_supported(provider: AwsProvider) -> None:
    class Paint(CreateVolume):
        """Not an operation."""

    with pytest.raises(UnsupportedOperation):
        provider.begin(Paint("token", "name", GIB))
