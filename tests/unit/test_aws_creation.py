"""Creating volumes on AWS: once for each name and token, whatever goes wrong."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import (
    AccessDenied,
    NotFound,
    OperationFailed,
    OperationPending,
    OutOfCapacity,
    ProviderUnavailable,
    QuotaExceeded,
    RequestConflict,
    Vanished,
)
from cloudcrypt.model import VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import (
    DeleteVolume,
)
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.aws_given import (
    ZONE,
    created,
    ebs,
    opened,
    passed,
    wanted,
    within,
)


@pytest.fixture
def provider(fake_aws: FakeAws) -> Iterator[AwsProvider]:
    with_url = opened(fake_aws)
    yield with_url
    with_url.close()


def test_a_conflict_on_the_token_names_the_fields_also_when_the_tags_show_late(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    created(provider)
    for occurrence in (1, 2, 3):
        fake_aws.faults.add(StaleRead(), on="DescribeVolumes", occurrence=occurrence)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted("other", token="token-data", size=4 * GIB))
    assert caught.value.fields == ("name", "size")


def test_a_volume_that_shows_late_is_not_created_twice(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    first = provider.begin(wanted())
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes")
    assert opened(fake_aws).begin(wanted()) == first
    assert len(fake_aws.volumes()) == 1


def test_what_was_accepted_and_is_not_shown_yet_is_waited_for(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    handle = provider.begin(wanted())
    for occurrence in (1, 2, 3, 4):
        fake_aws.faults.add(StaleRead(), on="DescribeVolumes", occurrence=occurrence)
    assert provider.resume(handle).state is VolumeState.AVAILABLE


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500)])
def test_a_reply_that_is_lost_is_asked_for_again_and_creates_one_volume(
    provider: AwsProvider, fake_aws: FakeAws, fault: ReplyLost | ConnectionLost | ServerError
) -> None:
    fake_aws.faults.add(fault, on="CreateVolume", times=2)
    volume = created(provider)
    assert set(fake_aws.volumes()) == {ebs(volume.id)}
    assert fake_aws.requests.count("CreateVolume") == 3


def test_a_process_that_dies_after_the_request_is_followed_by_one_that_finds_the_volume(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.faults.add(ReplyLost(), on="CreateVolume", times=None)
    with pytest.raises(ProviderUnavailable):
        provider.begin(wanted(), deadline=within(fake_aws, 3))
    fake_aws.faults.clear()
    other = opened(fake_aws)
    handle = other.find(wanted())
    assert handle is not None
    assert set(fake_aws.volumes()) == {ebs(other.resume(handle).id)}


def test_looking_for_a_volume_takes_the_time_until_ec2_would_show_it(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    provider.begin(wanted())
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=3)
    assert opened(fake_aws).find(wanted()) is not None


def test_a_volume_that_is_not_what_was_asked_for_is_not_found(provider: AwsProvider) -> None:
    created(provider)
    assert provider.find(wanted(size=4 * GIB)) is None


def test_a_creation_that_fails_later_fails_at_once_and_nothing_is_deleted(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.fail_next_creation("error")
    began = fake_aws.clock.monotonic()
    with pytest.raises(OperationFailed):
        created(provider)
    assert fake_aws.clock.monotonic() - began < 10
    assert [volume.state for volume in provider.list()] == [VolumeState.ERROR]


def test_after_a_failed_creation_a_new_token_creates_another_volume(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.fail_next_creation("error")
    with pytest.raises(OperationFailed):
        created(provider, token="attempt-1")
    with pytest.raises(OperationFailed):  # the same token is the same volume
        created(opened(fake_aws), token="attempt-1")
    assert created(opened(fake_aws), token="attempt-2").state is VolumeState.AVAILABLE


def test_a_token_that_is_burnt_by_a_volume_that_vanished_is_survived_across_restarts(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.fail_next_creation("vanish")
    with pytest.raises(Vanished):
        created(provider, token="attempt-1")
    with pytest.raises(Vanished):
        created(opened(fake_aws), token="attempt-1")
    assert created(opened(fake_aws), token="attempt-2").state is VolumeState.AVAILABLE


def test_a_burnt_token_that_ec2_refuses_is_told_as_such(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.faults.add(Refused("IdempotentParameterMismatch"), on="CreateVolume")
    with pytest.raises(Vanished) as caught:
        provider.begin(wanted())
    assert caught.value.cloud_code == "IdempotentParameterMismatch"


def test_a_key_that_cannot_be_used_makes_the_volume_vanish(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    with pytest.raises(Vanished):
        created(provider, cloud_key="alias/nobody")
    assert fake_aws.volumes() == {}


def test_at_the_quota_a_volume_that_exists_already_is_found_by_its_tag(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.limit_volumes(1, before_tokens=True)
    fake_aws.faults.add(ReplyLost(), on="CreateVolume")
    volume = created(provider)
    assert set(fake_aws.volumes()) == {ebs(volume.id)}


def test_at_the_quota_a_volume_that_does_not_exist_is_an_error(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.limit_volumes(0)
    with pytest.raises(QuotaExceeded) as caught:
        provider.begin(wanted())
    assert caught.value.cloud_code == "VolumeLimitExceeded"


def test_no_capacity_names_the_zone(provider: AwsProvider, fake_aws: FakeAws) -> None:
    fake_aws.faults.add(Refused("InsufficientVolumeCapacity", status=500), on="CreateVolume")
    with pytest.raises(OutOfCapacity) as caught:
        provider.begin(wanted())
    assert caught.value.place == ZONE
    assert fake_aws.requests.count("CreateVolume") == 1


def test_a_zone_that_does_not_exist_is_not_found(provider: AwsProvider) -> None:
    with pytest.raises(NotFound) as caught:
        provider.begin(wanted(place="eu-central-1z"))
    assert caught.value.kind == "zone"


def test_at_the_deadline_a_creation_is_pending_and_can_be_resumed(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    handle = provider.begin(wanted())
    with pytest.raises(OperationPending) as caught:
        opened(fake_aws).resume(handle, deadline=passed(fake_aws))
    assert caught.value.state == "creating"
    assert provider.resume(handle).name == "data"


def test_a_volume_that_is_missing_is_gone_only_for_who_has_waited(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    fake_aws.fail_next_creation("vanish")
    handle = provider.begin(wanted())
    fake_aws.clock.advance(5)
    for _ in range(2):
        with pytest.raises(OperationPending):
            provider.resume(handle, deadline=passed(fake_aws))
        fake_aws.clock.advance(60)
    with pytest.raises(Vanished):
        provider.resume(handle)


def test_a_refusal_after_a_lost_answer_leaves_it_open_unless_the_volume_shows(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    denied = Refused("UnauthorizedOperation", status=403)
    fake_aws.faults.add(ConnectionLost(), on="CreateVolume")
    fake_aws.faults.add(denied, on="CreateVolume", occurrence=2)
    with pytest.raises(ProviderUnavailable) as caught:
        provider.begin(wanted())
    assert caught.value.cloud_code == "UnauthorizedOperation"
    fake_aws.faults.add(ReplyLost(), on="CreateVolume")
    fake_aws.faults.add(denied, on="CreateVolume", occurrence=2)
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", occurrence=2, times=3)
    volume = created(provider)
    assert set(fake_aws.volumes()) == {ebs(volume.id)}
    fake_aws.faults.add(denied, on="CreateVolume")
    with pytest.raises(AccessDenied):  # answered at once
        provider.begin(wanted("other"))


def test_a_volume_that_is_looked_for_too_briefly_is_in_doubt(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    with pytest.raises(OperationPending) as caught:
        provider.find(wanted(), deadline=within(fake_aws, 3))
    assert caught.value.subject == "data"
    fake_aws.limit_volumes(0)
    with pytest.raises(OperationPending) as told:
        provider.begin(wanted(), deadline=within(fake_aws, 3))
    assert told.value.cloud_code == "VolumeLimitExceeded"


def test_a_used_token_is_burnt_only_for_who_has_waited_for_its_volume(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    volume = created(provider)
    other = wanted("other", token="token-data")
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=7)
    with pytest.raises(OperationPending) as caught:
        provider.begin(other, deadline=within(fake_aws, 10))
    assert caught.value.cloud_code == "IdempotentParameterMismatch"
    with pytest.raises(RequestConflict):
        provider.begin(other)
    assert set(fake_aws.volumes()) == {ebs(volume.id)}


def test_another_maker_gets_the_volume_of_the_first_one_also_when_it_shows_late(
    provider: AwsProvider, fake_aws: FakeAws
) -> None:
    first = created(provider, maker="host-1")
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=6)
    second = created(opened(fake_aws), maker="host-2")
    assert (second, second.maker) == (first, "host-1")
    assert fake_aws.requests.count("CreateVolume") == 2


def test_a_volume_that_is_being_deleted_was_not_created(provider: AwsProvider) -> None:
    handle = provider.begin(wanted())
    volume = provider.resume(handle)
    provider.begin(DeleteVolume("delete", volume.id))
    with pytest.raises(NotFound):
        provider.resume(handle)
