"""What there is on AWS: pages, owners, volumes of other software, and batches."""

from collections.abc import Iterator
from functools import partial

import pytest

from cloudcrypt.errors import NotFound, Throttled
from cloudcrypt.model import Attachment, Blank, ClonedFrom, RestoredFrom, Volume, VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import AttachVolume, CreateSnapshot, perform
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws import AwsProvider, _describe
from cloudcrypt_aws._describe import Look
from cloudcrypt_aws._records import Attached, InstanceKind, VolumeRecord
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import Refused, ServerError
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.aws_given import (
    GONE,
    REGION,
    ZONE,
    attached,
    created,
    ebs,
    opened,
    tagged,
    together,
    wanted,
)


@pytest.fixture
def provider(fake_aws: FakeAws) -> Iterator[AwsProvider]:
    with_url = opened(fake_aws)
    yield with_url
    with_url.close()


def test_all_pages_are_listed_oldest_first(provider: AwsProvider, fake_aws: FakeAws) -> None:
    for _ in range(501):
        made = fake_aws.client().create_volume(AvailabilityZone=ZONE, Size=1)
        tagged(fake_aws, made["VolumeId"], "cloudcrypt:owner", "cloudcrypt")
        fake_aws.clock.advance(0.001)
    fake_aws.requests.clear()
    listed = list(provider.list())
    assert [ebs(volume.id) for volume in listed] == list(fake_aws.volumes())
    assert fake_aws.requests.count("DescribeVolumes") == 2


def test_holders_are_listed_so_that_drift_can_be_seen(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    orphan, used = created(provider, "orphan"), created(provider, "used")
    instance = fake_aws.run_instance()
    attached(provider, used, instance)
    assert {volume.id: volume.holders for volume in provider.list()} == {
        orphan.id: (),
        used.id: (instance,),
    }


def test_volumes_of_others_are_not_listed_but_can_be_used(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    made = fake_aws.client().create_volume(AvailabilityZone=ZONE, Size=1, VolumeType="gp2")
    volume = provider.get(f"aws:{REGION}/{made['VolumeId']}")
    assert (volume.name, volume.origin, volume.labels) == (made["VolumeId"], Blank(), {})
    assert list(provider.list()) == []
    fake_aws.clock.advance(10)
    instance = fake_aws.run_instance()
    assert attached(provider, volume, instance).volume_id == volume.id


def test_a_volume_of_others_has_the_name_that_the_console_shows(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    ec2 = fake_aws.client()
    made = ec2.create_volume(AvailabilityZone=ZONE, Size=1)["VolumeId"]
    tagged(fake_aws, made, "Name", "theirs")
    assert provider.get(f"aws:{REGION}/{made}").name == "theirs"
    assert provider.get(f"aws:{REGION}/{made}").labels == {}


def test_a_volume_that_others_made_of_something_does_not_pass_for_blank(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    ec2, volume = fake_aws.client(), created(provider)
    taken = ec2.create_snapshot(VolumeId=ebs(volume.id))["SnapshotId"]
    fake_aws.clock.advance(60)
    restored = ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=taken)["VolumeId"]
    copied = ec2.copy_volumes(SourceVolumeId=ebs(volume.id))["Volumes"][0].get("VolumeId")
    assert provider.get(f"aws:{REGION}/{restored}").origin == RestoredFrom(f"aws:{REGION}/{taken}")
    assert provider.get(f"aws:{REGION}/{copied}").origin == ClonedFrom(volume.id)


def test_an_origin_that_a_stranger_wrote_is_not_believed(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    volume = created(provider)
    for value in ("nonsense", "vol-1 generation=1", "vol-1 of=x generation=one"):
        tagged(fake_aws, volume.id, "cloudcrypt:source", value)
        assert provider.get(volume.id).origin == Blank()


def test_a_volume_that_does_not_exist_is_not_found(provider: AwsProvider) -> None:
    with pytest.raises(NotFound) as caught:
        provider.get(GONE)
    assert caught.value.name == GONE


def test_one_missing_volume_does_not_spoil_the_others(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    ids = [created(provider, f"volume-{n}").id for n in range(20)]
    odd = f"aws:{REGION}/vol-0123456789"  # of a length that EC2 finds malformed
    fake_aws.faults.latency = 0.2  # long beside what starting a thread takes on a busy host
    fake_aws.requests.clear()

    def got(volume_id: str) -> str | None:
        try:
            return provider.get(volume_id).id
        except NotFound:
            return None

    wanted_ids = [*ids[:10], GONE, odd, *ids[10:]]
    assert together([partial(got, one) for one in wanted_ids]) == [*ids[:10], None, None, *ids[10:]]
    assert fake_aws.requests.count("DescribeVolumes") < 10


def test_five_hundred_ids_go_in_one_request_and_two_hundred_where_one_is_missing(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    look, deadline = provider._region.look, Deadline.after(60)
    volume = created(provider)
    fake_aws.requests.clear()
    ids = [ebs(volume.id), *(f"vol-{number:017x}" for number in range(499))]
    found = look._volumes._fetch(ids, deadline)
    assert set(found) == {ebs(volume.id)}
    sizes = [
        sum(key.startswith(("VolumeId.", "Filter.1.Value.")) for key in request.parameters)
        for request in fake_aws.requests
    ]
    assert sizes == [500, 199, 199, 102]


def test_what_exists_among_what_does_not_is_read_from_all_pages(
    provider: AwsProvider, fake_aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_describe, "PAGE", 5)
    look, deadline = provider._region.look, Deadline.after(60, clock=fake_aws.clock)
    volume = created(provider)
    taken = [
        perform(provider, CreateSnapshot(f"t{n}", volume.id, f"snap-{n}")).id for n in range(7)
    ]
    ids = [*map(ebs, taken), "snap-0123456789abcdef0"]
    fake_aws.requests.clear()
    assert set(look._snapshots._fetch(ids, deadline)) == set(ids[:-1])
    asked = [dict(one.parameters) for one in fake_aws.requests][1:]
    assert [one["MaxResults"] for one in asked] == ["5", "5"]
    # Neither do all public snapshots pass by.
    assert [one["RestorableBy.1"] for one in asked] == ["self", "self"]
    fake_aws.requests.clear()
    assert [one.id for one in provider.snapshots(name="snap-3")] == [taken[3]]
    (by_name,) = fake_aws.requests
    assert (by_name.parameters["Owner.1"], by_name.parameters["MaxResults"]) == ("self", "5")


def test_many_volumes_need_few_requests_each(fake_aws: FakeAws) -> None:
    provider = opened(fake_aws)
    fake_aws.faults.latency = 0.002
    together([partial(created, provider, f"volume-{n}") for n in range(64)])
    many = fake_aws.requests.count("DescribeVolumes") / 64
    assert many < 2
    assert fake_aws.requests.count("CreateVolume") == 64


def test_lookups_by_name_go_together_too(provider: AwsProvider, fake_aws: FakeAws) -> None:
    fake_aws.faults.latency = 0.02
    together([partial(provider.begin, wanted(f"volume-{n}")) for n in range(16)])
    assert fake_aws.requests.count("DescribeVolumes") < 12
    assert len(fake_aws.volumes()) == 16


@pytest.mark.parametrize("fault", [Throttling(), ServerError(502)])
def test_a_look_is_tried_again_where_that_helps(
    provider: AwsProvider, fake_aws: FakeAws, fault: Throttling | ServerError
) -> None:
    volume = created(provider)
    fake_aws.faults.add(fault, on="DescribeVolumes", times=3)
    assert provider.get(volume.id) == volume
    fake_aws.faults.add(fault, on="DescribeVolumes", times=3)
    assert list(provider.list()) == [volume]


def test_a_look_that_ec2_refuses_for_good_is_not_tried_again(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.faults.add(Throttling(), on="DescribeVolumes", times=None)
    with pytest.raises(Throttled):
        provider.get(GONE)
    fake_aws.requests.clear()
    fake_aws.faults.clear()
    fake_aws.faults.add(Refused("Blocked"), on="DescribeVolumes")
    with pytest.raises(Exception, match="Blocked"):
        provider.get(GONE)
    assert len(fake_aws.requests) == 1


def test_a_volume_that_aws_itself_holds_names_what_holds_it() -> None:
    arn = "arn:aws:eks:eu-central-1:123456789012:nodegroup/x"
    shown = {"VolumeId": "vol-1", "Attachments": [{"AssociatedResource": arn}]}
    assert VolumeRecord.of(shown).attached == (Attached(arn, "", "attached", None),)
    assert InstanceKind.of({}).attachments is None


def test_a_volume_of_two_holders_is_attached(provider: AwsProvider, fake_aws: FakeAws) -> None:
    volume = created(provider, multi_attach=True, iops=100, size=4 * GIB)
    first, second = fake_aws.run_instance(), fake_aws.run_instance()
    attachments: list[Attachment] = [
        perform(provider, AttachVolume(one, volume.id, one)) for one in (first, second)
    ]
    assert [one.instance for one in attachments] == [first, second]
    (listed,) = provider.list()
    assert isinstance(listed, Volume)
    assert (listed.state, set(listed.holders)) == (VolumeState.ATTACHED, {first, second})


def test_looks_of_another_owner_do_not_see_a_token(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    created(provider)
    look = Look(provider._api, "other")
    assert look.volumes_with("cloudcrypt:token", "token-data", Deadline.after(60)) == ()
