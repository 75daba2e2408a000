"""Detaching volumes of Azure: never by force unless that is asked for."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    CloudcryptError,
    DetachBlocked,
    NotFound,
    OperationFailed,
    OperationPending,
    ProviderUnavailable,
    WrongVolumeState,
)
from cloudcrypt.model import Volume, VolumeState
from cloudcrypt.spi import DetachVolume, perform
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.fake_azure import FakeAzure, Timings
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.azure_given import GONE, attached, created, luns, opened, passed, unique, within

DETACH = "*.attachDetachDataDisks"


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


@pytest.fixture
def instance(fake_azure: FakeAzure) -> str:
    return fake_azure.run_instance()


@pytest.fixture
def volume(provider: AzureProvider, fake_azure: FakeAzure, instance: str) -> Volume:
    """Return an attached volume."""
    volume = created(provider)
    attached(provider, volume, instance)
    fake_azure.requests.clear()
    return volume


@pytest.fixture
def detach(volume: Volume, instance: str) -> DetachVolume:
    return DetachVolume("detach", volume.id, instance)


def asked(azure: FakeAzure) -> int:
    return azure.requests.count("virtualMachines.attachDetachDataDisks")


def test_only_the_one_disk_is_taken_and_others_stay(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, detach: DetachVolume
) -> None:
    other = created(provider, "other")
    attached(provider, other, instance)
    volume = perform(provider, detach)
    assert (volume.state, volume.holders) == (VolumeState.AVAILABLE, ())
    assert luns(fake_azure, instance) == {1: "other"}


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500)])
def test_a_reply_that_is_lost_is_cleared_up_by_a_look(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    detach: DetachVolume,
    fault: ReplyLost | ConnectionLost | ServerError,
) -> None:
    fake_azure.faults.add(fault, on=DETACH)
    assert perform(provider, detach).holders == ()
    assert asked(fake_azure) == (1 if isinstance(fault, ReplyLost) else 2)


def test_a_process_that_dies_is_followed_by_one_that_finds_the_detachment(
    provider: AzureProvider, fake_azure: FakeAzure, detach: DetachVolume
) -> None:
    provider.begin(detach)
    other = opened(fake_azure)
    handle = other.find(detach)
    assert handle is not None
    assert other.resume(handle).holders == ()
    assert asked(fake_azure) == 1


def test_what_is_attached_is_not_found_to_be_detached(
    provider: AzureProvider, detach: DetachVolume
) -> None:
    assert provider.find(detach) is None
    assert provider.find(DetachVolume("d", GONE, detach.instance)) is None


@pytest.mark.parametrize("action", ["disks.get", "virtualMachines.get"])
@pytest.mark.parametrize("changes", [1, 3])
def test_a_look_that_is_old_does_not_pass_for_detached(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    detach: DetachVolume,
    action: str,
    changes: int,
) -> None:
    # The defence is that volume and instance have to agree: `_Held.is_free`.
    fake_azure.faults.add(StaleRead(changes), on=action)
    assert perform(provider, detach).holders == ()
    assert asked(fake_azure) == 1
    assert luns(fake_azure, detach.instance) == {}


def test_it_is_not_over_before_volume_and_instance_say_so(
    provider: AzureProvider, fake_azure: FakeAzure, detach: DetachVolume
) -> None:
    handle = provider.begin(detach)
    fake_azure.clock.advance(60)
    for action in ("disks.get", "virtualMachines.get"):
        fake_azure.faults.add(StaleRead(), on=action)
    assert provider.resume(handle).holders == ()


def test_from_another_instance_than_the_holder_nothing_is_detached(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume, instance: str
) -> None:
    other = fake_azure.run_instance()
    for force in (False, True):
        with pytest.raises(AttachedElsewhere) as caught:
            perform(provider, DetachVolume("d", volume.id, other, force))
        assert caught.value.holder == instance
    assert asked(fake_azure) == 0


def test_a_shared_volume_stays_with_its_other_holder(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider, "shared", multi_attach=True)
    instances = [fake_azure.run_instance() for _ in range(2)]
    for one in instances:
        attached(provider, volume, one)
    assert perform(provider, DetachVolume("d", volume.id, instances[0])).holders == (instances[1],)
    again = perform(provider, DetachVolume("e", volume.id, instances[0]))
    assert again.holders == (instances[1],)


def test_an_instance_that_keeps_a_volume_for_long_blocks_it(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume, detach: DetachVolume
) -> None:
    fake_azure.linger(unique(volume.id))
    with pytest.raises(DetachBlocked) as caught:
        perform(provider, detach)
    assert caught.value.seconds >= 240
    assert provider.get(volume.id).holders == (detach.instance,)
    assert asked(fake_azure) == 1  # and it is not forced by itself


def test_an_operation_that_does_not_end_blocks_too(
    fake_azure: FakeAzure, detach: DetachVolume
) -> None:
    provider = opened(fake_azure, blocked_after=50)
    fake_azure.hold_next(DETACH)
    handle = provider.begin(detach)
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=within(fake_azure, 30))
    with pytest.raises(DetachBlocked) as caught:
        provider.resume(handle)
    assert 50 <= caught.value.seconds < 70


def test_by_force_and_only_then_it_is_detached_all_the_same(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume, detach: DetachVolume
) -> None:
    fake_azure.linger(unique(volume.id))
    with pytest.raises(DetachBlocked):
        perform(provider, detach)
    forced = DetachVolume("force", volume.id, detach.instance, force=True)
    assert perform(provider, forced).holders == ()


def test_what_is_being_detached_is_not_asked_for_again(
    provider: AzureProvider, fake_azure: FakeAzure, detach: DetachVolume
) -> None:
    provider.begin(detach)
    again = DetachVolume("e", detach.volume_id, detach.instance)
    assert perform(opened(fake_azure), again).holders == ()
    assert asked(fake_azure) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_instance_that_is_gone_holds_nothing(
    provider: AzureProvider, fake_azure: FakeAzure, detach: DetachVolume, when: str
) -> None:
    if when == "before":
        fake_azure.delete_instance(detach.instance)
        handle = provider.begin(detach)
    else:
        handle = provider.begin(detach)
        fake_azure.delete_instance(detach.instance)
    assert provider.resume(handle).holders == ()


def test_a_volume_that_names_an_instance_which_is_gone_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, detach: DetachVolume
) -> None:
    # Azure deletes the machine first, and frees its disks a little later.
    gone = Refused("ResourceNotFound", "no machine", 404)
    fake_azure.faults.add(gone, on="virtualMachines.get", times=None)
    handle = provider.begin(detach)
    with pytest.raises(OperationPending) as caught:
        provider.resume(handle, deadline=passed(fake_azure))
    assert "gone" in caught.value.state
    assert asked(fake_azure) == 0
    fake_azure.delete_instance(detach.instance)
    assert provider.resume(handle).holders == ()


def test_a_detachment_that_fails_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, detach: DetachVolume
) -> None:
    fake_azure.fail_next(DETACH, "InternalExecutionError", "It broke.")
    with pytest.raises(OperationFailed) as caught:
        perform(provider, detach)
    assert caught.value.cloud_code == "InternalExecutionError"
    assert provider.get(detach.volume_id).holders == (detach.instance,)


def test_what_is_attached_again_since_is_not_detached(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume, detach: DetachVolume
) -> None:
    handle = provider.begin(detach)
    provider.resume(handle)
    fake_azure.attach(detach.instance, unique(volume.id))
    with pytest.raises(OperationFailed, match="attached"):
        provider.resume(handle)


@pytest.mark.parametrize("action", ["disks.get", "virtualMachines.get"])
def test_one_old_look_does_not_pass_for_detached_afterwards_either(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    volume: Volume,
    detach: DetachVolume,
    action: str,
) -> None:
    # The defence is again `_Held.is_free`: either side alone would say that it is over.
    handle = provider.begin(detach)
    provider.resume(handle)
    fake_azure.attach(detach.instance, unique(volume.id))
    fake_azure.forget_operations()
    fake_azure.faults.add(StaleRead(), on=action, times=None)
    with pytest.raises(OperationFailed, match="attached"):
        opened(fake_azure).resume(handle, deadline=within(fake_azure, 60))


def test_a_volume_that_is_gone_cannot_be_detached(provider: AzureProvider, instance: str) -> None:
    with pytest.raises(NotFound):
        provider.begin(DetachVolume("d", GONE, instance))


def test_an_instance_that_is_busy_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, detach: DetachVolume
) -> None:
    other = created(provider, "other")
    _ = attached(provider, other, detach.instance)
    provider.begin(DetachVolume("first", other.id, detach.instance))
    assert perform(provider, detach).holders == ()
    assert luns(fake_azure, detach.instance) == {}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(ServerError(503), ProviderUnavailable), (ConnectionLost(), ProviderUnavailable)],
)
def test_what_cannot_be_reached_is_told(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    detach: DetachVolume,
    fault: ServerError | ConnectionLost,
    kind: type[CloudcryptError],
) -> None:
    fake_azure.faults.add(fault, on=DETACH, times=None)
    with pytest.raises(kind):
        provider.begin(detach, deadline=within(fake_azure, 30))


def test_a_volume_of_which_only_one_side_speaks_is_told_at_the_deadline(
    provider: AzureProvider, fake_azure: FakeAzure, detach: DetachVolume
) -> None:
    fake_azure.faults.add(StaleRead(), on="virtualMachines.get", times=None)
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(detach, deadline=within(fake_azure, 30))
    assert caught.value.state == "not shown by its instance"
    assert asked(fake_azure) == 0


def test_a_detached_volume_is_detached_without_a_request_that_changes_anything(
    fake_azure: FakeAzure,
) -> None:
    fake_azure.reset(timings=Timings(detach=0))
    provider, instance = opened(fake_azure), fake_azure.run_instance()
    volume = created(provider)
    assert perform(provider, DetachVolume("d", volume.id, instance)) == volume
    assert asked(fake_azure) == 0


def test_what_is_detached_is_found_at_once_by_any_process(
    provider: AzureProvider, fake_azure: FakeAzure, detach: DetachVolume
) -> None:
    perform(provider, detach)
    other = opened(fake_azure)
    handle = other.find(detach, deadline=passed(fake_azure))
    assert handle is not None
    assert other.resume(handle).holders == ()
    assert asked(fake_azure) == 1
