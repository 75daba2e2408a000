"""Deleting volumes and snapshots of Azure: what is gone is deleted, and nothing else is."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import (
    AccessDenied,
    NotFound,
    OperationFailed,
    OperationPending,
    ProviderUnavailable,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.model import Snapshot, Volume, VolumeState
from cloudcrypt.spi import (
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    ResizeVolume,
    perform,
)
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.fake_azure import FakeAzure, Timings
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.azure_given import GONE, attached, created, opened, passed, unique, within


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


@pytest.fixture
def volume(provider: AzureProvider) -> Volume:
    return created(provider)


@pytest.fixture
def snapshot(provider: AzureProvider, volume: Volume) -> Snapshot:
    return perform(provider, CreateSnapshot("t", volume.id, "nightly"))


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500)])
def test_a_reply_that_is_lost_is_cleared_up_by_a_look(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    snapshot: Snapshot,
    fault: ReplyLost | ConnectionLost | ServerError,
) -> None:
    fake_azure.faults.add(fault, on="*.delete", times=2)
    perform(provider, DeleteVolume("d", snapshot.volume_id))
    fake_azure.faults.add(fault, on="*.delete", times=2)
    perform(provider, DeleteSnapshot("d", snapshot.id))
    assert (fake_azure.disks(), fake_azure.snapshots()) == ({}, {})


def test_what_is_gone_is_deleted(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    perform(provider, DeleteVolume("d", GONE))
    perform(provider, DeleteSnapshot("d", GONE.replace("01234567", "snapshot-01234567")))
    assert fake_azure.requests.count("disks.delete") == 0


def test_it_is_waited_until_it_is_gone(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    handle = provider.begin(DeleteVolume("d", volume.id))
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=passed(fake_azure))
    assert provider.get(volume.id).state is VolumeState.DELETING
    with pytest.raises(NotFound):
        provider.begin(ResizeVolume("r", volume.id, 2 * volume.size))
    provider.resume(handle)
    assert fake_azure.disks() == {}


def test_another_disk_that_has_the_name_by_now_is_never_deleted(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    # The defence is `shelf.unique` in `_deletions._Going.begin`: names are used again, and the API
    # deletes by name.
    other = opened(fake_azure)
    perform(other, DeleteVolume("d", volume.id))
    fake_azure.clock.advance(60)
    again = created(other, token="another one")
    for process in (provider, opened(fake_azure)):
        perform(process, DeleteVolume("late", volume.id))
    assert set(fake_azure.disks()) == {unique(again.id)}


def test_a_look_that_is_older_than_the_new_disk_does_not_delete_it(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    # The defence is `_bury` in cloudcrypt_azure._shelf.Shelf: what was seen to be gone stays so.
    other = opened(fake_azure)
    perform(other, DeleteVolume("d", volume.id))
    fake_azure.clock.advance(60)
    again = created(other, token="another one")
    with pytest.raises(NotFound):
        provider.get(volume.id)
    fake_azure.faults.add(StaleRead(changes=2), on="disks.get", times=None)
    perform(provider, DeleteVolume("late", volume.id))
    assert set(fake_azure.disks()) == {unique(again.id)}


@pytest.mark.parametrize("action", ["disks.get", "disks.listByResourceGroup"])
def test_a_look_that_is_old_does_not_pass_for_gone(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume, action: str
) -> None:
    # The defence is that two looks have to agree: `Shelf.unique`.
    fake_azure.faults.add(StaleRead(), on=action)
    process = provider if action == "disks.get" else opened(fake_azure)
    perform(process, DeleteVolume("d", volume.id))
    assert fake_azure.disks() == {}


@pytest.mark.parametrize("things", ["disks", "snapshots"])
def test_what_nobody_shows_has_to_stay_away_before_it_counts_as_deleted(
    fake_azure: FakeAzure, snapshot: Snapshot, things: str
) -> None:
    """Looks that stay old for seconds: a deletion that was never asked for is not told as done.

    The defence is `_is_away` in `_deletions._Going.resume`.
    """
    volume = created(opened(fake_azure), "new")
    new = perform(opened(fake_azure), CreateSnapshot("new", snapshot.volume_id, "new"))
    make = {"disks": DeleteVolume("d", volume.id), "snapshots": DeleteSnapshot("d", new.id)}
    process = opened(fake_azure)
    fake_azure.faults.add(StaleRead(3), on=f"{things}.listByResourceGroup", times=6)
    with pytest.raises(OperationFailed):
        perform(process, make[things])
    perform(process, make[things])
    left = fake_azure.disks() if things == "disks" else fake_azure.snapshots()
    assert len(left) == 1


def test_what_is_known_to_be_gone_is_not_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    perform(provider, DeleteVolume("d", volume.id))
    created(provider, token="another one")
    with pytest.raises(NotFound):
        provider.get(volume.id)  # the name has another one
    began = fake_azure.clock.monotonic()
    perform(provider, DeleteVolume("again", volume.id))
    assert fake_azure.clock.monotonic() == began


def test_a_volume_that_is_attached_is_not_deleted(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    instance = fake_azure.run_instance()
    attached(provider, volume, instance)
    with pytest.raises(VolumeInUse) as caught:
        provider.begin(DeleteVolume("d", volume.id))
    assert caught.value.holder == instance
    assert fake_azure.requests.count("disks.delete") == 0


def test_a_volume_that_is_attached_meanwhile_is_not_deleted_and_its_holder_is_named(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    instance = fake_azure.run_instance()
    fake_azure.meanwhile("disks.delete", lambda: fake_azure.attach(instance, unique(volume.id)))
    with pytest.raises(VolumeInUse) as caught:
        provider.begin(DeleteVolume("d", volume.id))
    assert caught.value.holder == instance
    assert caught.value.cloud_code == "OperationNotAllowed"
    assert provider.get(volume.id).holders == (instance,)


def test_a_volume_that_is_being_changed_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    provider.begin(ResizeVolume("r", volume.id, 2 * volume.size))
    perform(provider, DeleteVolume("d", volume.id))
    assert fake_azure.disks() == {}


def test_a_volume_that_stays_busy_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.hold_next("disks.update")
    provider.begin(ResizeVolume("r", volume.id, 2 * volume.size))
    with pytest.raises(WrongVolumeState):
        provider.begin(DeleteVolume("d", volume.id), deadline=within(fake_azure, 30))


def test_a_deletion_is_found_when_it_is_under_way_or_over(
    provider: AzureProvider, fake_azure: FakeAzure, snapshot: Snapshot
) -> None:
    for intent in (DeleteVolume("d", snapshot.volume_id), DeleteSnapshot("d", snapshot.id)):
        assert provider.find(intent) is None
        with pytest.raises(OperationPending):
            provider.find(intent, deadline=within(fake_azure, 2))
        first = provider.begin(intent)
        assert provider.find(intent) == first
        handle = opened(fake_azure).find(intent)
        assert handle is not None
        opened(fake_azure).resume(handle)
        assert provider.find(intent) == provider.begin(intent) == first


def test_a_deletion_that_fails_is_told_and_the_volume_stays(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.fail_next("disks.delete", "SomethingNew", "It broke.")
    with pytest.raises(OperationFailed) as caught:
        perform(provider, DeleteVolume("d", volume.id))
    assert caught.value.cloud_code == "SomethingNew"
    assert provider.get(volume.id) == volume


def test_what_is_not_being_deleted_is_not_waited_for_without_end(
    provider: AzureProvider, fake_azure: FakeAzure, snapshot: Snapshot
) -> None:
    for intent in (DeleteVolume("d", snapshot.volume_id), DeleteSnapshot("d", snapshot.id)):
        fake_azure.fail_next("*.delete")
        handle = provider.begin(intent)
        fake_azure.clock.advance(60)
        fake_azure.forget_operations()
        with pytest.raises(OperationFailed, match="succeeded"):
            opened(fake_azure).resume(handle)


def test_what_azure_says_to_be_gone_is_looked_at(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.faults.add(Refused("ResourceNotFound", status=404), on="disks.delete")
    perform(provider, DeleteVolume("d", volume.id))
    assert fake_azure.disks() == {}


def test_a_permission_that_is_missing_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    for code, status in (("AuthorizationFailed", 403), ("ScopeLocked", 409)):
        fake_azure.faults.add(Refused(code, status=status), on="disks.delete")
        with pytest.raises(AccessDenied):
            provider.begin(DeleteVolume("d", volume.id))
    assert len(fake_azure.disks()) == 1


def test_what_cannot_be_reached_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.faults.add(ServerError(503), on="disks.delete", times=None)
    with pytest.raises(ProviderUnavailable):
        provider.begin(DeleteVolume("d", volume.id), deadline=within(fake_azure, 20))


def test_a_snapshot_can_go_while_a_volume_made_of_it_stays(fake_azure: FakeAzure) -> None:
    fake_azure.reset(timings=Timings(create=0, delete=0, snapshot=0))
    provider = opened(fake_azure)
    volume = created(provider)
    snapshot = perform(provider, CreateSnapshot("t", volume.id, "nightly"))
    perform(provider, DeleteVolume("d", volume.id))
    perform(provider, DeleteSnapshot("d", snapshot.id))
    assert list(provider.snapshots()) == []
