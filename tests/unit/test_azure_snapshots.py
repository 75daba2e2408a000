"""Snapshots of Azure: incremental, ready when they are copied, one for each name."""

from collections.abc import Iterator
from functools import partial
from typing import Any

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
from cloudcrypt.model import GENERATION_MAX, Snapshot, SnapshotState, Volume
from cloudcrypt.spi import CreateSnapshot, DeleteSnapshot, DeleteVolume, Handle, perform
from cloudcrypt_azure import AzureProvider
from cloudcrypt_azure._volumes import to_snapshot
from cloudcrypt_testing.fake_azure import FakeAzure, Timings
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.azure_given import GONE, GROUP, SUBSCRIPTION, created, opened, together, within

PUT = "snapshots.createOrUpdate"


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


@pytest.fixture
def volume(provider: AzureProvider) -> Volume:
    return created(provider)


@pytest.fixture
def intent(volume: Volume) -> CreateSnapshot:
    return CreateSnapshot("token", volume.id, "nightly", 7)


def taken(provider: AzureProvider, intent: CreateSnapshot) -> Snapshot:
    return perform(provider, intent)


def test_a_snapshot_is_incremental_private_and_says_what_it_is_of(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    snapshot = taken(provider, intent)
    (one,) = fake_azure.snapshots().values()
    assert one.is_incremental
    assert (one.network_policy, one.public_access) == ("DenyAll", "Disabled")
    assert one.tags["cloudcrypt-volume"] == intent.volume_id
    assert one.tags["cloudcrypt-generation"] == "7"
    assert snapshot.id == f"azure:{SUBSCRIPTION}/{GROUP}/snapshot-{one.unique_id}"
    assert (snapshot.volume_id, snapshot.generation) == (intent.volume_id, 7)
    assert list(opened(fake_azure).snapshots(name="nightly")) == [snapshot]


def test_a_copy_in_the_background_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    # The defence is `percent` in cloudcrypt_azure._records.SnapshotRecord.is_ready.
    fake_azure.copy_in_background()
    handle = provider.begin(intent)
    with pytest.raises(OperationPending) as caught:
        provider.resume(handle, deadline=within(fake_azure, 30))
    assert "%" in caught.value.state
    (pending,) = provider.snapshots()
    assert pending.state is SnapshotState.PENDING
    assert provider.resume(handle).state is SnapshotState.READY


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500)])
def test_a_reply_that_is_lost_is_cleared_up_by_a_look_and_one_snapshot_is_taken(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    intent: CreateSnapshot,
    fault: ReplyLost | ConnectionLost | ServerError,
) -> None:
    fake_azure.faults.add(fault, on=PUT)
    taken(provider, intent)
    assert len(fake_azure.snapshots()) == 1
    assert fake_azure.requests.count(PUT) == (1 if isinstance(fault, ReplyLost) else 2)


def test_a_process_that_dies_is_followed_by_one_that_finds_the_snapshot(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    provider.begin(intent)
    other = opened(fake_azure)
    for occurrence in (1, 2):
        fake_azure.faults.add(StaleRead(), on="snapshots.get", occurrence=occurrence)
    handle = other.find(intent)
    assert handle is not None
    assert other.resume(handle).name == "nightly"
    assert fake_azure.requests.count(PUT) == 1


def test_a_snapshot_that_was_not_taken_is_not_found(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    assert provider.find(intent) is None
    with pytest.raises(OperationPending):
        provider.find(intent, deadline=within(fake_azure, 2))


@pytest.mark.parametrize(
    ("change", "fields"),
    [({"generation": 8}, ("generation",)), ({"generation": None}, ("generation",))],
)
def test_the_same_name_with_anything_else_conflicts(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    intent: CreateSnapshot,
    change: dict[str, Any],
    fields: tuple[str, ...],
) -> None:
    taken(provider, intent)
    other = attrs.evolve(intent, token="other", **change)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(other)
    assert caught.value.fields == fields
    assert provider.find(other) is None
    with pytest.raises(RequestConflict) as owned:
        opened(fake_azure, owner="somebody").begin(intent)
    assert owned.value.fields == ("owner",)
    assert fake_azure.requests.count(PUT) == 1


def test_a_token_that_was_used_for_another_snapshot_is_refused_in_this_process(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    taken(provider, intent)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(attrs.evolve(intent, name="weekly"))
    assert caught.value.fields == ("name",)
    assert len(fake_azure.snapshots()) == 1


def test_a_token_whose_snapshot_was_deleted_takes_no_second_one_in_this_process(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    snapshot = taken(provider, intent)
    perform(opened(fake_azure), DeleteSnapshot("d", snapshot.id))
    with pytest.raises(Vanished):
        provider.begin(intent)


def test_a_snapshot_that_fails_is_left_and_another_token_takes_another_one(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    fake_azure.fail_next(PUT, leaves_failed=True)
    with pytest.raises(OperationFailed):
        taken(provider, intent)
    with pytest.raises(OperationFailed):
        taken(opened(fake_azure), intent)
    again = taken(opened(fake_azure), attrs.evolve(intent, token="other"))
    assert [one.state for one in provider.snapshots(name="nightly")] == [
        SnapshotState.ERROR,
        SnapshotState.READY,
    ]
    assert again.state is SnapshotState.READY


def test_a_snapshot_that_fails_and_leaves_nothing_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    fake_azure.fail_next(PUT, "SomethingNew", "It broke.")
    with pytest.raises(OperationFailed) as caught:
        taken(provider, intent)
    assert caught.value.cloud_code == "SomethingNew"
    assert fake_azure.snapshots() == {}


def test_many_callers_with_one_intent_take_one_snapshot(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    snapshots = together([partial(taken, provider, intent)] * 6)
    assert {one.id for one in snapshots} == {snapshots[0].id}
    assert len(fake_azure.snapshots()) == 1


def test_a_snapshot_of_another_volume_that_was_taken_meanwhile_is_a_conflict(
    fake_azure: FakeAzure,
) -> None:
    fake_azure.reset(timings=Timings(create=0, snapshot=0))
    provider, other = opened(fake_azure), opened(fake_azure)
    first, second = created(provider, "first"), created(provider, "second")
    fake_azure.meanwhile(PUT, partial(other.begin, CreateSnapshot("a", first.id, "nightly")))
    with pytest.raises(RequestConflict) as caught:
        taken(provider, CreateSnapshot("b", second.id, "nightly"))
    assert caught.value.fields == ("volume_id",)


def test_a_snapshot_of_what_took_the_name_of_the_volume_meanwhile_is_refused(
    fake_azure: FakeAzure,
) -> None:
    # The defence is `source_unique` in `Snapshots._differing`: requests name volumes by name.
    fake_azure.reset(timings=Timings(create=0, delete=0, snapshot=0))
    provider, other = opened(fake_azure), opened(fake_azure)
    volume = created(provider)

    def swap() -> None:
        perform(other, DeleteVolume("d", volume.id))
        created(other, token="another one")

    fake_azure.meanwhile(PUT, swap)
    with pytest.raises(RequestConflict) as caught:
        taken(provider, CreateSnapshot("t", volume.id, "nightly"))
    assert caught.value.fields == ("volume_id",)


def test_a_snapshot_of_other_software_names_its_volume(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    snapshot = taken(provider, intent)
    (one,) = fake_azure.snapshots().values()
    fake_azure._cloud.snapshots[one.unique_id] = attrs.evolve(one, tags={})
    assert list(provider.snapshots()) == []
    record = provider._group.snapshot(snapshot.id, provider._until(None))
    foreign = to_snapshot(provider._group.ids, record)
    assert (foreign.volume_id, foreign.generation) == (intent.volume_id, None)


def test_a_volume_that_is_gone_is_not_found(provider: AzureProvider) -> None:
    with pytest.raises(NotFound):
        provider.begin(CreateSnapshot("t", GONE, "nightly"))


def test_a_generation_that_no_header_has_is_refused(
    provider: AzureProvider, intent: CreateSnapshot
) -> None:
    for change in ({"generation": GENERATION_MAX + 1}, {"name": "n" * 257}):
        with pytest.raises(InvalidRequest):
            provider.begin(attrs.evolve(intent, **change))


def test_a_name_that_is_being_given_up_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    snapshot = taken(provider, intent)
    fake_azure.hold_next("snapshots.delete")
    provider.begin(DeleteSnapshot("d", snapshot.id))
    again = attrs.evolve(intent, token="other")
    with pytest.raises(WrongVolumeState):
        opened(fake_azure).begin(again, deadline=within(fake_azure, 30))
    with pytest.raises(NotFound):
        opened(fake_azure).resume(Handle(intent, '{"name":"nightly"}'))


def test_a_snapshot_that_azure_never_shows_has_vanished(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    handle = provider.begin(intent)
    provider.resume(handle)
    fake_azure.forget_operations()
    fake_azure.faults.add(Refused("ResourceNotFound", status=404), on="snapshots.get", times=None)
    with pytest.raises(Vanished):
        opened(fake_azure).resume(handle)


def test_what_cannot_be_reached_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, intent: CreateSnapshot
) -> None:
    fake_azure.faults.add(ServerError(503), on=PUT, times=None)
    with pytest.raises(ProviderUnavailable):
        provider.begin(intent, deadline=within(fake_azure, 20))


def test_the_same_snapshot_is_the_same_handle(
    provider: AzureProvider, intent: CreateSnapshot
) -> None:
    first = provider.begin(intent)
    assert provider.begin(intent) == first
    provider.resume(first)
    assert provider.begin(intent) == provider.find(intent) == first
