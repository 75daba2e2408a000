"""Creating volumes on Azure: once for each name and token, whatever gets in between."""

from collections.abc import Iterator
from functools import partial

import pytest

from cloudcrypt.errors import (
    OperationPending,
    ProviderUnavailable,
    RequestConflict,
    Vanished,
)
from cloudcrypt.model import Volume, VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import (
    DeleteVolume,
    Handle,
    perform,
)
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.fake_azure import Disk, FakeAzure, Timings
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    ReplyLost,
    ServerError,
    StaleRead,
)
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.azure_given import (
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
    fake_azure.faults.add(ServerError(503), on="disks.get", occurrence=4, times=None)
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


def test_of_callers_of_one_process_the_second_sees_what_the_first_has_made(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is `locks.hold` in `Creations._attempt`: in one process nobody writes twice.
    intents = [wanted(token=f"token-{n}", maker=f"maker-{n}") for n in range(6)]
    volumes = together([partial(perform, provider, intent) for intent in intents])
    assert volumes == [volumes[0]] * 6
    assert puts(fake_azure) == 1


def test_a_caller_does_not_wait_for_another_one_for_longer_than_its_deadline(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    long = within(fake_azure, 1000)
    with provider._group.locks.hold("disk data", long) as is_held:
        assert is_held
        with pytest.raises(OperationPending) as caught:
            provider.begin(wanted(), deadline=passed(fake_azure))
    assert "another caller" in caught.value.state
    assert provider._group.locks._locks == {}
    assert len(fake_azure.requests) == 0


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
