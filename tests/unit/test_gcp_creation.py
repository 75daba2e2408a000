"""Creating volumes on GCE: once for each name and token, whatever goes wrong."""

from collections.abc import Iterator
from functools import partial

import pytest

from cloudcrypt.errors import (
    NotFound,
    OperationPending,
    ProviderUnavailable,
    RequestConflict,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.model import VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import DeleteVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.gcp_given import (
    OTHER_ZONE,
    REGION,
    another,
    created,
    disk,
    edited,
    number,
    opened,
    passed,
    together,
    wanted,
    within,
)


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


# --- once for each name and token ----------------------------------------------------------------


def test_the_handle_names_operation_and_disk_and_is_the_same_whoever_asks(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    handle = provider.begin(wanted())
    operation = next(iter(fake_gce.operations().values()))
    assert operation.name in handle.reference
    assert operation.target_id in handle.reference
    with another(fake_gce) as other:
        assert other.begin(wanted()) == handle
        assert other.find(wanted()) == handle
        other.resume(handle)
        assert other.begin(wanted()) == handle
    assert len(fake_gce.operations()) == 1


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500)])
def test_a_reply_that_is_lost_is_asked_for_again_and_creates_one_volume(
    provider: GcpProvider, fake_gce: FakeGce, fault: ReplyLost | ConnectionLost | ServerError
) -> None:
    fake_gce.faults.add(fault, on="disks.insert", times=2)
    volume = created(provider)
    assert set(fake_gce.disks()) == {number(volume.id)}
    assert fake_gce.requests.count("disks.insert") == 3
    assert len(fake_gce.operations()) == 1


def test_a_process_that_dies_after_the_request_is_followed_by_one_that_finds_the_volume(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.faults.add(ReplyLost(), on="disks.insert", times=None)
    with pytest.raises(ProviderUnavailable):
        provider.begin(wanted(), deadline=within(fake_gce, 3))
    fake_gce.faults.clear()
    with another(fake_gce) as other:
        handle = other.find(wanted())
        assert handle is not None
        assert set(fake_gce.disks()) == {number(other.resume(handle).id)}


def test_a_volume_that_a_list_does_not_show_is_not_created_twice(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    first = provider.begin(wanted())
    fake_gce.faults.add(StaleRead(), on="disks.aggregatedList")
    with another(fake_gce) as other:
        assert other.begin(wanted()) == first
    assert len(fake_gce.disks()) == 1


def test_a_volume_that_a_list_does_not_show_is_found_by_its_name_with_another_token(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider, token="one")
    fake_gce.faults.add(StaleRead(), on="disks.aggregatedList")
    assert created(provider, token="two") == volume
    assert fake_gce.requests.count("disks.insert") == 2


def test_looking_for_a_volume_takes_the_time_until_gce_would_show_it(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    provider.begin(wanted())
    fake_gce.faults.add(StaleRead(), on="disks.aggregatedList", times=3)
    with another(fake_gce) as other:
        assert other.find(wanted()) is not None


def test_a_look_that_ends_too_early_is_no_answer(provider: GcpProvider, fake_gce: FakeGce) -> None:
    with pytest.raises(OperationPending):
        provider.find(wanted(), deadline=within(fake_gce, 1))
    assert provider.find(wanted()) is None


def test_many_callers_with_many_tokens_make_one_volume_of_one_name(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    made = together([partial(created, provider, token=f"t{each}") for each in range(6)])
    assert {volume.id for volume in made} == {made[0].id}
    assert len(fake_gce.disks()) == 1


def test_a_volume_that_another_token_is_still_making_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    provider.begin(wanted(token="one"))
    handle = provider.begin(wanted(token="two"))
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=passed(fake_gce))
    assert provider.resume(handle).state is VolumeState.AVAILABLE


def test_a_volume_is_taken_for_what_it_is_after_it_was_deleted_and_made_anew(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    handle = provider.begin(wanted())
    first = provider.resume(handle)
    perform(provider, DeleteVolume("d", first.id))
    second = created(provider, token="another")
    assert disk(fake_gce, second).name == "data"
    with pytest.raises(Vanished):
        provider.resume(handle)
    with pytest.raises(Vanished):  # the same token is the same operation, which is over
        created(provider, "other-name", token="token-data")
    assert set(fake_gce.disks()) == {number(second.id)}


def test_a_volume_that_is_being_deleted_was_not_created(
    provider: GcpProvider,
) -> None:
    handle = provider.begin(wanted())
    volume = provider.resume(handle)
    provider.begin(DeleteVolume("delete", volume.id))
    with pytest.raises(NotFound):
        provider.resume(handle)


def test_a_name_whose_volume_is_being_deleted_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    first = created(provider, token="one")
    provider.begin(DeleteVolume("delete", first.id))
    assert created(provider, token="two").id != first.id
    third = created(provider, "third")
    fake_gce.hold_next("disks.delete")
    provider.begin(DeleteVolume("delete-third", third.id))
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(wanted("third", "four"), deadline=within(fake_gce, 30))
    assert caught.value.state == "deleting"


# --- conflicts ---------------------------------------------------------------------------------


def test_a_conflict_on_the_token_names_the_fields_also_when_a_list_shows_nothing(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    created(provider)
    fake_gce.faults.add(StaleRead(), on="disks.aggregatedList")
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted("other", token="token-data", size=12 * GIB))
    assert caught.value.fields == ("name", "size")
    assert len(fake_gce.disks()) == 1


def test_the_same_token_at_another_place_is_a_conflict_also_when_a_list_shows_nothing(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    created(provider)
    for place in (OTHER_ZONE, REGION):
        fake_gce.faults.add(StaleRead(), on="disks.aggregatedList")
        with pytest.raises(RequestConflict) as caught:
            provider.begin(wanted(place=place))
        assert caught.value.fields == ("place",)


def test_the_same_token_and_name_with_another_size_is_seen_when_the_volume_is_there(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    created(provider)
    fake_gce.faults.add(StaleRead(), on="disks.aggregatedList")
    other = wanted(size=12 * GIB)
    handle = provider.begin(other)  # GCE answers with the operation that has made the first one
    with pytest.raises(RequestConflict) as caught:
        provider.resume(handle)
    assert caught.value.fields == ("size",)


def test_a_volume_that_has_grown_since_is_the_one_that_was_created(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    handle = provider.begin(wanted())
    volume = provider.resume(handle)
    edited(fake_gce, volume, size=20)
    assert provider.resume(handle).size == 20 * GIB


def test_a_provider_with_another_zone_takes_what_the_token_has_made(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    fake_gce.faults.add(StaleRead(), on="disks.aggregatedList")
    with another(fake_gce, zone=OTHER_ZONE) as other:
        assert created(other) == volume
    assert len(fake_gce.disks()) == 1


def test_a_token_whose_volume_is_gone_and_that_made_another_name_is_burnt(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    perform(provider, DeleteVolume("d", volume.id))
    with pytest.raises(Vanished):
        provider.begin(wanted("other", token="token-data"))
    assert fake_gce.disks() == {}


def test_a_disk_of_another_owner_has_the_name(provider: GcpProvider, fake_gce: FakeGce) -> None:
    with another(fake_gce, owner="somebody") as theirs:
        volume = created(theirs)
    with pytest.raises(RequestConflict) as caught:
        created(provider)
    assert caught.value.fields == ("owner",)
    assert set(fake_gce.disks()) == {number(volume.id)}


def test_a_disk_of_other_software_has_the_name(provider: GcpProvider, fake_gce: FakeGce) -> None:
    volume = created(provider)
    edited(fake_gce, volume, description="made by hand", labels={})
    with pytest.raises(RequestConflict) as caught:
        created(provider, token="another")
    assert set(caught.value.fields) >= {"name", "owner"}


def test_a_volume_that_is_not_what_was_asked_for_is_not_found(provider: GcpProvider) -> None:
    created(provider)
    assert provider.find(wanted(size=12 * GIB)) is None
