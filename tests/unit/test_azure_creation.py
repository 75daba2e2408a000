"""Creating volumes on Azure: once for each name and token, whatever gets in between."""

from collections.abc import Iterator
from functools import partial

import attrs
import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    NotFound,
    OperationFailed,
    OperationPending,
    OutOfCapacity,
    ProviderUnavailable,
    QuotaExceeded,
    RequestConflict,
    Throttled,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.model import Volume, VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import (
    AttachVolume,
    DeleteVolume,
    DetachVolume,
    Handle,
    ResizeVolume,
    perform,
)
from cloudcrypt_azure import AzureProvider
from cloudcrypt_azure._names import azure_names
from cloudcrypt_testing.fake_azure import Disk, FakeAzure, Timings
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.azure_given import (
    attached,
    created,
    disk,
    opened,
    passed,
    together,
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


def test_everything_goes_with_the_request_that_creates(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider, labels={"team": "storage"}, maker="journal-1")
    one = disk(fake_azure, volume)
    assert (one.tags["cloudcrypt-owner"], one.tags["cloudcrypt-name"]) == ("cloudcrypt", "data")
    assert one.tags["cloudcrypt-token"] == "token-data"
    assert one.tags["team"] == "storage"
    assert (one.network_policy, one.public_access) == ("DenyAll", "Disabled")
    assert (volume.labels, volume.maker) == ({"team": "storage"}, "journal-1")
    assert fake_azure.requests.count("disks.update") == 0


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500), Throttling()])
def test_a_reply_that_is_lost_is_cleared_up_by_a_look_and_one_disk_is_made(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    fault: ReplyLost | ConnectionLost | ServerError | Throttling,
) -> None:
    fake_azure.faults.add(fault, on="disks.createOrUpdate", times=2)
    volume = created(provider)
    assert set(fake_azure.disks()) == {unique(volume.id)}


def test_after_a_lost_reply_what_is_there_is_not_written_again(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is that each attempt looks first: `Creations._attempt`.
    fake_azure.faults.add(ReplyLost(), on="disks.createOrUpdate")
    created(provider)
    assert puts(fake_azure) == 1


def test_a_process_that_dies_after_the_request_is_followed_by_one_that_finds_the_volume(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.faults.add(ReplyLost(), on="disks.createOrUpdate", times=None)
    fake_azure.faults.add(ServerError(503), on="disks.get", occurrence=3, times=None)
    with pytest.raises(ProviderUnavailable):
        provider.begin(wanted(), deadline=within(fake_azure, 3))
    fake_azure.faults.clear()
    other = opened(fake_azure)
    handle = other.find(wanted())
    assert handle is not None
    assert set(fake_azure.disks()) == {unique(other.resume(handle).id)}
    assert puts(fake_azure) == 1


def test_a_disk_of_somebody_else_is_never_written_to(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is that only what `_existing` found to be free is written to. A PUT would be a
    # success here: it would grow the disk, and take its tags away.
    created(opened(fake_azure, owner="somebody"), "data")
    before = only(fake_azure)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted(size=8 * GIB))
    assert caught.value.fields == ("owner", "size")
    assert only(fake_azure) == before
    assert puts(fake_azure) == 1


def test_a_volume_that_exists_is_not_grown_by_asking_for_it_again(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider)
    for size in (1, 4, 100):
        with pytest.raises(RequestConflict) as caught:
            opened(fake_azure).begin(wanted(token="other", size=size * GIB))
        assert caught.value.fields == ("size",)
    assert provider.get(volume.id) == volume


def test_two_that_write_at_once_make_one_disk_and_the_loser_is_told(
    fake_azure: FakeAzure,
) -> None:
    # The defence is `_check_writer` in `Creations._judged`: the PUT of the loser was a success.
    one, two = opened(fake_azure), opened(fake_azure)
    fake_azure.reset(timings=Timings(create=0))
    made: dict[str, Handle[Volume]] = {}
    fake_azure.meanwhile(
        "disks.createOrUpdate",
        lambda: made.update(two=two.begin(wanted(token="two", size=2 * GIB, kind="Premium_LRS"))),
    )
    handle = one.begin(wanted(token="one", size=4 * GIB, kind="Premium_LRS"))
    assert len(fake_azure.disks()) == 1
    with pytest.raises(RequestConflict) as caught:
        two.resume(made["two"])
    assert caught.value.fields == ("size",)
    assert one.resume(handle).size == 4 * GIB


def test_what_cannot_be_changed_of_a_disk_made_meanwhile_is_a_conflict(
    fake_azure: FakeAzure,
) -> None:
    fake_azure.reset(timings=Timings(create=0))
    one, two = opened(fake_azure), opened(fake_azure)
    fake_azure.meanwhile(
        "disks.createOrUpdate", partial(two.begin, wanted(place="westeurope/2", token="two"))
    )
    with pytest.raises(RequestConflict) as caught:
        one.begin(wanted(place="westeurope/1", token="one"))
    assert caught.value.fields == ("place",)
    assert caught.value.cloud_code == "PropertyChangeNotAllowed"


def test_the_same_request_of_two_at_once_is_one_volume(fake_azure: FakeAzure) -> None:
    fake_azure.reset(timings=Timings(create=0))
    one, two = opened(fake_azure), opened(fake_azure)
    fake_azure.meanwhile("disks.createOrUpdate", partial(two.begin, wanted()))
    volume = created(one)
    assert created(two) == volume


def test_a_disk_that_is_being_created_by_another_process_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    opened(fake_azure).begin(wanted())
    assert created(provider, token="other").state is VolumeState.AVAILABLE
    assert puts(fake_azure) == 1


def test_many_callers_with_one_intent_make_one_disk(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volumes = together([partial(created, provider)] * 8)
    assert {volume.id for volume in volumes} == {volumes[0].id}
    assert len(fake_azure.disks()) == 1


def test_a_token_that_was_used_for_another_volume_is_refused_in_this_process(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is `memory.recall` in `Creations.begin`: Azure keeps no tokens.
    created(provider)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted("other", token="token-data", size=4 * GIB))
    assert caught.value.fields == ("name", "size")
    assert len(fake_azure.disks()) == 1


def test_a_token_whose_volume_was_deleted_makes_no_second_one_in_this_process(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider)
    perform(opened(fake_azure), DeleteVolume("delete", volume.id))
    with pytest.raises(Vanished):
        provider.begin(wanted())
    created(opened(fake_azure), token="other")
    with pytest.raises(Vanished):  # also when another one has the name by now
        provider.begin(wanted())


def test_a_look_that_is_old_does_not_make_a_volume_vanish(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is `_listed` in cloudcrypt_azure._shelf.Shelf.unique: two looks have to agree.
    volume = created(provider)
    fake_azure.faults.add(StaleRead(), on="disks.get")
    assert created(provider) == volume
    fake_azure.faults.add(StaleRead(), on="disks.get")
    assert provider.get(volume.id) == volume


def test_what_was_accepted_and_is_not_shown_yet_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    fake_azure.clock.advance(30)
    for occurrence in (1, 2, 3):
        fake_azure.faults.add(StaleRead(), on="disks.get", occurrence=occurrence)
    assert provider.resume(handle).state is VolumeState.AVAILABLE


def test_looking_for_a_volume_takes_the_time_until_azure_would_show_it(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    provider.begin(wanted())
    for occurrence in (1, 2, 3, 4):
        fake_azure.faults.add(StaleRead(), on="disks.get", occurrence=occurrence)
    assert opened(fake_azure).find(wanted()) is not None


def test_nobody_says_that_there_is_nothing_before_that_is_sure(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    with pytest.raises(OperationPending):
        provider.find(wanted(), deadline=within(fake_azure, 2))
    assert provider.find(wanted()) is None


def test_a_volume_that_is_not_what_was_asked_for_is_not_found(provider: AzureProvider) -> None:
    created(provider)
    assert provider.find(wanted(size=4 * GIB)) is None


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


@pytest.mark.parametrize("at_once", [True, False])
def test_no_capacity_is_told_whenever_it_shows(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    at_once: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    fake_azure.run_out_of_room("1", at_once=at_once)
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
    assert fake_azure.requests.actions[:6] == [*(["disks.get"] * 5), "disks.createOrUpdate"]


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
