"""Snapshots of AWS: EC2 has no token for them, and there is one of each name all the same."""

from collections.abc import Iterator

import attrs
import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    NotFound,
    OperationFailed,
    OperationPending,
    ProviderUnavailable,
    RequestConflict,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.model import GENERATION_MAX, SnapshotState, Volume
from cloudcrypt.spi import CreateSnapshot, DeleteSnapshot, perform
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.aws_given import GONE, REGION, created, ebs, opened, passed, tagged, wanted, within


@pytest.fixture
def provider(fake_aws: FakeAws) -> Iterator[AwsProvider]:
    with_url = opened(fake_aws)
    yield with_url
    with_url.close()


@pytest.fixture
def volume(provider: AwsProvider) -> Volume:
    return created(provider)


@pytest.fixture
def intent(volume: Volume) -> CreateSnapshot:
    return CreateSnapshot("token", volume.id, "nightly", 7)


def test_name_volume_and_generation_are_tags_of_the_request(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    snapshot = perform(provider, intent)
    tags = fake_aws.snapshots()[ebs(snapshot.id)].tags
    assert tags["Name"] == tags["cloudcrypt:name"] == "nightly"
    assert tags["cloudcrypt:volume"] == intent.volume_id
    assert tags["cloudcrypt:generation"] == "7"
    assert (snapshot.state, snapshot.generation) == (SnapshotState.READY, 7)


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500)])
def test_a_reply_that_is_lost_does_not_take_another_snapshot(
    provider: AwsProvider,
    fake_aws: FakeAws,
    intent: CreateSnapshot,
    fault: ReplyLost | ConnectionLost | ServerError,
) -> None:
    fake_aws.faults.add(fault, on="CreateSnapshot")
    perform(provider, intent)
    assert len(fake_aws.snapshots()) == 1


def test_a_reply_that_is_lost_and_shows_late_does_not_take_another_snapshot(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    fake_aws.faults.add(ReplyLost(), on="CreateSnapshot")
    fake_aws.faults.add(StaleRead(), on="DescribeSnapshots", occurrence=3, times=4)
    perform(provider, intent)
    assert len(fake_aws.snapshots()) == 1


def test_ec2_out_of_reach_is_told_at_the_deadline(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    fake_aws.faults.add(ServerError(503), on="CreateSnapshot", times=None)
    with pytest.raises(ProviderUnavailable) as caught:
        provider.begin(intent, deadline=within(fake_aws, 30))
    assert caught.value.cloud_code == "Unavailable"


def test_a_snapshot_that_shows_late_is_found_by_who_takes_the_time(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    handle = provider.begin(intent)
    fake_aws.faults.add(StaleRead(), on="DescribeSnapshots", times=4)
    assert opened(fake_aws).find(intent) == handle


def test_a_snapshot_that_was_never_asked_for_is_not_found(
    provider: AwsProvider, intent: CreateSnapshot
) -> None:
    assert provider.find(intent) is None


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"generation": 8}, ("generation",)),
        ({"name": "weekly"}, ("name",)),
    ],
)
def test_the_same_name_or_token_with_anything_else_conflicts(
    provider: AwsProvider, intent: CreateSnapshot, change: dict[str, object], fields: tuple[str]
) -> None:
    provider.begin(intent)
    other = attrs.evolve(intent, **change)  # type: ignore[arg-type]  # one row each
    with pytest.raises(RequestConflict) as caught:
        provider.begin(other)
    assert caught.value.fields == fields
    assert provider.find(other) is None


def test_a_generation_that_is_left_open_does_not_differ(
    provider: AwsProvider, intent: CreateSnapshot
) -> None:
    handle = provider.begin(intent)
    again = provider.begin(attrs.evolve(intent, token="other", generation=None))
    assert again.reference == handle.reference


def test_a_snapshot_that_was_refused_after_a_lost_answer_is_not_taken_twice(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    fake_aws.faults.add(ReplyLost(), on="CreateSnapshot")
    fake_aws.faults.add(Refused("SnapshotLimitExceeded"), on="CreateSnapshot", occurrence=2)
    fake_aws.faults.add(StaleRead(), on="DescribeSnapshots", times=14)
    with pytest.raises(ProviderUnavailable) as caught:
        provider.begin(intent)
    assert caught.value.cloud_code == "SnapshotLimitExceeded"
    perform(provider, intent)
    assert len(fake_aws.snapshots()) == 1


def test_a_snapshot_that_is_looked_for_too_briefly_is_in_doubt(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    with pytest.raises(OperationPending):
        provider.find(intent, deadline=within(fake_aws, 3))


def test_a_snapshot_that_fails_is_told_and_left(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    fake_aws.fail_next_snapshot()
    handle = provider.begin(intent)
    with pytest.raises(OperationFailed):
        provider.resume(handle)
    assert [one.state for one in provider.snapshots()] == [SnapshotState.ERROR]
    assert provider.begin(intent) == handle  # of the same token
    assert provider.begin(attrs.evolve(intent, token="other")) != handle


def test_at_the_deadline_a_snapshot_is_pending_and_listed_as_such(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    handle = provider.begin(intent)
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=passed(fake_aws))
    assert [one.state for one in provider.snapshots(name="nightly")] == [SnapshotState.PENDING]
    assert provider.resume(handle).state is SnapshotState.READY


def test_a_snapshot_that_shows_late_is_waited_for_and_one_that_is_gone_has_vanished(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    handle = provider.begin(intent)
    fake_aws.faults.add(StaleRead(), on="DescribeSnapshots", times=2)
    snapshot = provider.resume(handle)
    perform(provider, DeleteSnapshot("delete", snapshot.id))
    with pytest.raises(Vanished):
        provider.resume(handle)


def test_a_volume_that_is_not_there_is_not_found(
    provider: AwsProvider, intent: CreateSnapshot
) -> None:
    with pytest.raises(NotFound) as caught:
        provider.begin(attrs.evolve(intent, volume_id=GONE))
    assert caught.value.name == GONE


def test_a_volume_that_is_still_being_created_says_so(provider: AwsProvider) -> None:
    handle = provider.begin(wanted())
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(CreateSnapshot("token", f"aws:{REGION}/{handle.reference}", "early"))
    assert caught.value.state == "creating"


def test_the_rate_of_one_volume_is_waited_for(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    fake_aws.faults.add(Refused("SnapshotCreationPerVolumeRateExceeded"), on="CreateSnapshot")
    assert perform(provider, intent).name == "nightly"


@pytest.mark.parametrize(
    ("change", "parameter"),
    [({"name": "n" * 257}, "name"), ({"generation": GENERATION_MAX + 1}, "generation")],
)
def test_what_can_never_be_is_refused_without_a_request(
    provider: AwsProvider,
    fake_aws: FakeAws,
    intent: CreateSnapshot,
    change: dict[str, object],
    parameter: str,
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(attrs.evolve(intent, **change))  # type: ignore[arg-type]  # one row each
    assert caught.value.parameter == parameter
    assert fake_aws.requests.count("CreateSnapshot") == 0


def test_snapshots_are_listed_by_owner_and_name(fake_aws: FakeAws, intent: CreateSnapshot) -> None:
    mine, yours = opened(fake_aws), opened(fake_aws, owner="other")
    first = perform(mine, intent)
    second = perform(mine, attrs.evolve(intent, token="t2", name="weekly"))
    third = perform(yours, intent)
    assert list(mine.snapshots()) == [first, second]
    assert list(mine.snapshots(name="weekly")) == [second]
    assert list(yours.snapshots()) == [third]


def test_what_a_stranger_wrote_as_generation_is_no_generation(
    provider: AwsProvider, fake_aws: FakeAws, intent: CreateSnapshot
) -> None:
    snapshot = perform(provider, intent)
    tagged(fake_aws, snapshot.id, "cloudcrypt:generation", "seven")
    assert [one.generation for one in provider.snapshots()] == [None]
