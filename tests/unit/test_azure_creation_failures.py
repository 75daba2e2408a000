"""Creations that fail, wait, or come to another end than a new volume."""

from collections.abc import Iterator

import attrs
import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    NotFound,
    OperationFailed,
    OperationPending,
    OutOfCapacity,
    QuotaExceeded,
    RequestConflict,
    Throttled,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.model import VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import (
    AttachVolume,
    DeleteVolume,
    DetachVolume,
    ResizeVolume,
    perform,
)
from cloudcrypt_azure import AzureProvider
from cloudcrypt_azure._names import azure_names
from cloudcrypt_testing.fake_azure import Disk, FakeAzure, Timings
from cloudcrypt_testing.world.faults import Refused, StaleRead
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.azure_given import (
    attached,
    created,
    disk,
    opened,
    passed,
    unique,
    wanted,
    within,
)


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


def puts(azure: FakeAzure) -> int:
    return azure.requests.count("disks.createOrUpdate")


def only(azure: FakeAzure) -> Disk:
    """Return the only disk that there is."""
    (one,) = azure.disks().values()
    return one


def test_a_creation_that_fails_and_leaves_nothing_is_told_and_can_be_tried_again(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.fail_next("disks.createOrUpdate")
    with pytest.raises(OperationFailed):
        created(provider, token="attempt-1")
    assert fake_azure.disks() == {}
    assert created(provider, token="attempt-2").state is VolumeState.AVAILABLE


def test_a_disk_that_failed_is_left_as_it_is_and_another_token_makes_another_one(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is `is_left` in `Creations._existing`, and that the next attempt has another name:
    # to write to the failed disk might change one that is in use (aws-ebs-csi-driver#918).
    fake_azure.fail_next("disks.createOrUpdate", leaves_failed=True)
    with pytest.raises(OperationFailed):
        created(provider, token="attempt-1")
    failed = only(fake_azure)
    with pytest.raises(OperationFailed):  # the same token is the same disk
        created(opened(fake_azure), token="attempt-1")
    volume = created(opened(fake_azure), token="attempt-2")
    assert fake_azure.disks()[failed.unique_id] == failed
    assert disk(fake_azure, volume).name != failed.name
    assert [one.state for one in provider.list(name="data")] == [
        VolumeState.ERROR,
        VolumeState.AVAILABLE,
    ]
    assert created(opened(fake_azure), token="attempt-3") == volume


def test_when_the_failed_disk_is_deleted_the_volume_is_still_known_by_its_name(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is `_GAP` in cloudcrypt_azure._slots.
    fake_azure.fail_next("disks.createOrUpdate", leaves_failed=True)
    with pytest.raises(OperationFailed):
        created(provider, token="attempt-1")
    volume = created(provider, token="attempt-2")
    failed = next(one for one in provider.list() if one.state is VolumeState.ERROR)
    perform(provider, DeleteVolume("delete", failed.id))
    assert list(provider.list(name="data")) == [volume]
    assert created(opened(fake_azure), token="attempt-3") == volume
    assert len(fake_azure.disks()) == 1


def test_a_failed_disk_of_somebody_else_is_in_the_way(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.fail_next("disks.createOrUpdate", leaves_failed=True)
    with pytest.raises(OperationFailed):
        created(opened(fake_azure, owner="somebody"))
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted(token="mine"))
    assert "owner" in caught.value.fields


def test_a_volume_whose_change_failed_keeps_its_name_and_can_be_used(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is `was_held` in cloudcrypt_azure._records.DiskRecord.is_stillborn: a new, empty
    # disk in its place would pass for one that was erased.
    volume, instance = created(provider), fake_azure.run_instance()
    attached(provider, volume, instance)
    perform(provider, DetachVolume("detach", volume.id, instance))
    fake_azure.fail_next("disks.update", leaves_failed=True)
    with pytest.raises(OperationFailed):
        perform(provider, ResizeVolume("resize", volume.id, 4 * GIB))
    assert only(fake_azure).state == "Failed"
    assert provider.get(volume.id).state is VolumeState.AVAILABLE
    assert created(opened(fake_azure), token="other").id == volume.id
    assert perform(provider, AttachVolume("attach", volume.id, instance)).volume_id == volume.id


def test_a_name_that_is_being_given_up_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider)
    provider.begin(DeleteVolume("delete", volume.id))
    again = created(opened(fake_azure), token="other")
    assert again.id != volume.id
    assert set(fake_azure.disks()) == {unique(again.id)}


def test_a_name_that_is_never_given_up_is_told(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider)
    fake_azure.hold_next("disks.delete")
    provider.begin(DeleteVolume("delete", volume.id))
    with pytest.raises(WrongVolumeState) as caught:
        opened(fake_azure).begin(wanted(token="other"), deadline=within(fake_azure, 60))
    assert caught.value.state == "deleting"


def test_at_the_quota_that_is_told(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    fake_azure.limit_disks(0)
    with pytest.raises(QuotaExceeded) as caught:
        provider.begin(wanted())
    assert caught.value.cloud_code == "OperationNotAllowed"


@pytest.mark.parametrize("code", ["AllocationFailed", "SkuNotAvailable", "ZonalAllocationFailed"])
@pytest.mark.parametrize("at_once", [True, False])
def test_no_capacity_is_told_whenever_it_shows(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    code: str,
    at_once: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    # The stockout. The defences are `_no_capacity` in cloudcrypt_azure._errors.TABLE, and where it
    # shows in the operation, `OutOfCapacity` in cloudcrypt_azure._polling._PLAIN.
    fake_azure.run_out_of_room("1", code, at_once=at_once)
    with pytest.raises(OutOfCapacity):
        created(provider)
    assert puts(fake_azure) == 1
    assert created(provider, place="westeurope/2", token="elsewhere").place == "westeurope/2"


def test_the_error_of_a_stockout_names_the_place(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.run_out_of_room("1", at_once=True)
    with pytest.raises(OutOfCapacity) as caught:
        provider.begin(wanted())
    assert caught.value.place == "westeurope/1"


def test_at_the_deadline_a_creation_is_pending_and_can_be_resumed(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    with pytest.raises(OperationPending):
        opened(fake_azure).resume(handle, deadline=passed(fake_azure))
    assert provider.resume(handle).name == "data"


def test_a_volume_whose_name_is_used_again_has_vanished(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = opened(fake_azure).find(wanted()) or provider.begin(wanted())
    volume = provider.resume(handle)
    found = opened(fake_azure).find(wanted())
    assert found is not None
    perform(opened(fake_azure), DeleteVolume("d", volume.id))
    created(opened(fake_azure), token="another one")
    with pytest.raises(Vanished):
        opened(fake_azure).resume(found)


def test_a_volume_that_azure_never_shows_has_vanished(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    provider.resume(handle)
    fake_azure.forget_operations()
    fake_azure.faults.add(Refused("ResourceNotFound", status=404), on="disks.get", times=None)
    began = fake_azure.clock.monotonic()
    with pytest.raises(Vanished):
        opened(fake_azure).resume(handle)
    assert fake_azure.clock.monotonic() - began >= 20


def test_a_volume_that_is_being_deleted_was_not_created(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    volume = provider.resume(handle)
    fake_azure.hold_next("disks.delete")
    provider.begin(DeleteVolume("delete", volume.id))
    with pytest.raises(NotFound):
        opened(fake_azure).resume(handle)


def test_a_size_beyond_the_largest_is_refused_before_anyone_is_asked(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    with pytest.raises(InvalidRequest):
        provider.begin(wanted(size=65537 * GIB))
    assert len(fake_azure.requests) == 0


def test_throttling_is_told_at_the_deadline_with_what_azure_said_last(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.faults.add(Throttling(), on="disks.createOrUpdate", times=None)
    with pytest.raises(Throttled) as caught:
        provider.begin(wanted(), deadline=within(fake_azure, 30))
    assert caught.value.cloud_code == "TooManyRequests"
    assert fake_azure.disks() == {}


def test_the_cloud_is_asked_little_for_each_volume(fake_azure: FakeAzure) -> None:
    fake_azure.reset(timings=Timings(create=1.5, retry_after=2))
    created(opened(fake_azure))
    look, put, poll = "disks.get", "disks.createOrUpdate", "operations.get"
    assert fake_azure.requests.actions == [
        *(look, look),  # the name, and the next one
        look,  # one look may be old
        put,
        *(poll, poll, look, look),  # until the disk is known to be ours
    ]


def test_later_names_are_not_asked_for_without_end(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    names = azure_names("data")
    for attempt in range(3):
        fake_azure.fail_next("disks.createOrUpdate", leaves_failed=True)
        with pytest.raises(OperationFailed):
            created(provider, token=f"attempt-{attempt}")
    assert {one.name for one in fake_azure.disks().values()} == {next(names) for _ in range(3)}
    fake_azure.requests.clear()
    created(provider, token="attempt-9")
    assert fake_azure.requests.actions[:7] == [*(["disks.get"] * 6), "disks.createOrUpdate"]


def test_an_intent_is_the_same_handle_however_often_it_is_begun(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    intent = wanted()
    first = provider.begin(intent)
    assert provider.begin(intent) == first
    provider.resume(first)
    assert provider.begin(intent) == first
    assert provider.find(intent) == first
    same_again = attrs.evolve(intent, token="other")
    handle = provider.begin(same_again)
    assert provider.begin(same_again) == handle


def test_the_same_token_before_azure_shows_the_disk_is_the_same_request(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    first = provider.begin(wanted())
    fake_azure.faults.add(StaleRead(), on="disks.get")
    assert provider.begin(wanted()) == first
    assert puts(fake_azure) == 1
