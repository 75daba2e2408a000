"""Attachments that cannot be, that fail, or that end: each is told, and nothing is taken."""

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    AttachmentLimit,
    CloudRefused,
    InvalidRequest,
    NotFound,
    OperationFailed,
    OperationPending,
    ProviderUnavailable,
    RequestRejected,
    WrongVolumeState,
)
from cloudcrypt.model import Attachment, AzureLun, Volume, VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import AttachVolume, DeleteVolume, DetachVolume, ResizeVolume, perform
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.fake_azure import FakeAzure, Machine, Timings, render
from cloudcrypt_testing.world.faults import (
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.azure_given import (
    GONE,
    SUBSCRIPTION,
    attached,
    created,
    disk,
    opened,
    passed,
    unique,
    wanted,
    within,
)

ATTACH = "*.attachDetachDataDisks"


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


@pytest.fixture
def instance(fake_azure: FakeAzure) -> str:
    return fake_azure.run_instance(size="Standard_D64s_v5")


@pytest.fixture
def volume(provider: AzureProvider) -> Volume:
    return created(provider)


def asked(azure: FakeAzure) -> int:
    """Return how often it was asked to attach or detach something."""
    return sum(one.action.endswith("attachDetachDataDisks") for one in azure.requests)


def test_an_instance_that_is_full_is_told_with_its_limit(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    instance = fake_azure.run_instance(size="Standard_D2s_v5")
    for number in range(4):
        attached(provider, created(provider, f"volume-{number}"), instance)
    with pytest.raises(AttachmentLimit) as caught:
        attached(provider, created(provider, "one more"), instance)
    assert (caught.value.instance, caught.value.limit) == (instance, 4)


def test_the_limit_is_told_by_the_message_if_azure_does_not_say_the_sizes(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    instance = fake_azure.run_instance()
    fake_azure.limit_attachments(instance, 0)
    fake_azure.faults.add(Refused("AuthorizationFailed", status=403), on="resourceSkus.list")
    with pytest.raises(AttachmentLimit) as caught:
        attached(provider, volume, instance)
    assert caught.value.limit == 0


def test_an_instance_without_a_free_number_is_full(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    instance = fake_azure.run_instance(size="Standard_M416ms_v2")
    for number in range(64):
        fake_azure.attach(instance, unique(created(provider, f"volume-{number}").id))
    with pytest.raises(AttachmentLimit) as caught:
        attached(provider, volume, instance)
    assert caught.value.limit == 64


def test_the_limit_of_a_size_is_asked_for_once(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    small, large = fake_azure.run_instance(size="Standard_D2s_v5"), fake_azure.run_instance()
    in_set = fake_azure.run_scale_set_instance(size="Standard_DC8as_v5")
    limits = [provider.attachment_limit(one) for one in (small, large, in_set, small)]
    assert limits == [4, 8, 16, 4]
    assert fake_azure.requests.count("resourceSkus.list") == 1
    with pytest.raises(NotFound):
        provider.attachment_limit("nobody")


def test_an_instance_that_does_not_exist_is_not_found(
    provider: AzureProvider, volume: Volume
) -> None:
    for nobody in ("nobody", "no-group/nobody", "no-group/set/1"):
        with pytest.raises(NotFound) as caught:
            attached(provider, volume, nobody)
        assert (caught.value.kind, caught.value.name) == ("instance", nobody)


def test_a_volume_that_does_not_exist_is_not_found(provider: AzureProvider, instance: str) -> None:
    with pytest.raises(NotFound) as caught:
        provider.begin(AttachVolume("a", GONE, instance))
    assert (caught.value.kind, caught.value.name) == ("volume", GONE)
    assert provider.find(AttachVolume("a", GONE, instance)) is None


def test_an_instance_that_goes_while_attaching_is_not_found(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    handle = provider.begin(AttachVolume("a", volume.id, instance))
    fake_azure.delete_instance(instance)
    with pytest.raises(NotFound) as caught:
        provider.resume(handle)
    assert caught.value.kind == "instance"


def test_an_attachment_that_fails_says_how_the_instance_is(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    fake_azure.fail_next(ATTACH, "InternalExecutionError", "It broke.")
    with pytest.raises(OperationFailed) as caught:
        attached(provider, volume, instance)
    assert "It broke." in caught.value.reason
    assert "failed" in caught.value.reason
    assert caught.value.cloud_code == "InternalExecutionError"
    assert attached(provider, volume, instance).volume_id == volume.id  # the next update heals it


def test_a_disk_in_the_list_of_a_failed_instance_is_not_taken_for_attached(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The defence is `_is_good` in `Attachments.resume`: the host never saw this disk, although
    # disk and instance name one another.
    fake_azure.fail_next(ATTACH, leaves_failed=True)
    handle = provider.begin(AttachVolume("a", volume.id, instance))
    with pytest.raises(OperationFailed, match="failed"):
        provider.resume(handle)
    assert provider.get(volume.id).holders == (instance,)
    fake_azure.forget_operations()
    for process in (provider, opened(fake_azure)):
        with pytest.raises(OperationFailed, match="failed"):
            attached(process, volume, instance)


def test_an_instance_that_failed_for_another_reason_keeps_what_its_host_has(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    instance: str,
    volume: Volume,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attachment = attached(provider, volume, instance)
    fake_azure.fail_instance(instance)
    assert attached(provider, volume, instance) == attachment  # this process saw it succeed
    view = render._instance_view

    def with_disks(machine: Machine) -> dict[str, Any]:
        status = {"code": "ProvisioningState/succeeded", "level": "Info"}
        return {**view(machine), "disks": [{"name": "data", "statuses": [status]}]}

    monkeypatch.setattr(render, "_instance_view", with_disks)
    assert attached(opened(fake_azure), volume, instance) == attachment
    assert fake_azure.requests.count("virtualMachines.get") > 0


def test_an_attachment_that_is_ended_meanwhile_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The defence is `seat.is_leaving` in `Attachments._proven`.
    handle = provider.begin(AttachVolume("a", volume.id, instance))
    provider.resume(handle)
    fake_azure.hold_next(ATTACH)
    opened(fake_azure).begin(DetachVolume("d", volume.id, instance))
    with pytest.raises(WrongVolumeState) as caught:
        provider.resume(handle)
    assert caught.value.state == "being detached"


def test_instance_and_volume_have_to_agree(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    handle = provider.begin(AttachVolume("a", volume.id, instance))
    fake_azure.clock.advance(60)
    fake_azure.faults.add(StaleRead(), on="disks.get")
    with pytest.raises(OperationPending) as caught:
        provider.resume(handle, deadline=passed(fake_azure))
    assert caught.value.state == "shown by the instance, and not by the volume"
    fake_azure.faults.add(StaleRead(), on="virtualMachines.get", times=2)
    assert provider.resume(handle).identity == AzureLun(0, "data")
    fake_azure.faults.add(StaleRead(), on="virtualMachines.get", times=2)
    assert attached(opened(fake_azure), volume, instance).identity == AzureLun(0, "data")


def test_a_holder_that_is_no_machine_is_a_holder(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    other = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Other/things/x"
    fake_azure._cloud.put(attrs.evolve(disk(fake_azure, volume), holders=(other,)))
    with pytest.raises(AttachedElsewhere) as caught:
        attached(provider, volume, instance)
    assert caught.value.holder == other.lower()


def test_a_failed_instance_that_takes_no_disk_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    fake_azure.fail_instance(instance, takes_disks=False)
    with pytest.raises(CloudRefused, match="failed"):
        attached(provider, volume, instance)


def test_a_volume_of_another_zone_is_refused(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    with pytest.raises(RequestRejected, match="same zone"):
        attached(provider, volume, fake_azure.run_instance("2"))


def test_a_volume_whose_creation_failed_is_not_attached(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str
) -> None:
    fake_azure.fail_next("disks.createOrUpdate", leaves_failed=True)
    with pytest.raises(OperationFailed):
        created(provider)
    (failed,) = provider.list()
    with pytest.raises(WrongVolumeState) as caught:
        attached(provider, failed, instance)
    assert caught.value.state == VolumeState.ERROR.value
    assert asked(fake_azure) == 0


def test_a_volume_that_is_being_created_or_changed_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str
) -> None:
    fake_azure.reset(timings=Timings(create=30, resize=30))
    instance = fake_azure.run_instance()
    handle = provider.begin(wanted())
    fake_azure.clock.advance(1)
    (volume,) = provider.list()
    assert volume.state is VolumeState.CREATING
    assert attached(provider, volume, instance).volume_id == volume.id
    provider.resume(handle)
    perform(provider, DetachVolume("d", volume.id, instance))
    provider.begin(ResizeVolume("r", volume.id, 8 * GIB))
    assert attached(opened(fake_azure), volume, instance).size == 8 * GIB


def test_a_shared_volume_has_several_holders(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider, multi_attach=True)
    instances = [fake_azure.run_instance() for _ in range(3)]
    for instance in instances[:2]:
        attached(provider, volume, instance)
    assert sorted(provider.get(volume.id).holders) == instances[:2]
    with pytest.raises(AttachedElsewhere):  # Azure was asked for two shares
        provider.begin(AttachVolume("a", volume.id, instances[2]), deadline=within(fake_azure, 60))


def test_at_the_deadline_an_attachment_is_pending_and_can_be_resumed(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    handle = provider.begin(AttachVolume("a", volume.id, instance))
    with pytest.raises(OperationPending):
        opened(fake_azure).resume(handle, deadline=passed(fake_azure))
    assert isinstance(provider.resume(handle), Attachment)


def test_an_attachment_that_nobody_knows_the_operation_of_is_over_when_the_instance_says_so(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    fake_azure.faults.add(ReplyLost(), on=ATTACH)
    intent = AttachVolume("a", volume.id, instance)
    handle = provider.begin(intent)
    with pytest.raises(OperationPending) as caught:
        provider.resume(handle, deadline=passed(fake_azure))
    assert "updating" in caught.value.state
    assert provider.resume(handle).identity == AzureLun(0, "data")


def test_an_old_look_at_the_last_holder_does_not_fail_the_attachment(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The defence is `_is_leaving` in `Attachments._elsewhere`, which asks the holder, too.
    other = fake_azure.run_instance()
    attached(provider, volume, other)
    perform(provider, DetachVolume("d", volume.id, other))
    handle = provider.begin(AttachVolume("a", volume.id, instance))
    fake_azure.clock.advance(60)
    fake_azure.faults.add(StaleRead(changes=2), on="disks.get")
    assert provider.resume(handle).instance == instance


def test_the_same_attachment_is_the_same_handle(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    intent = AttachVolume("a", volume.id, instance)
    first = provider.begin(intent)
    provider.resume(first)
    assert provider.begin(intent) == provider.find(intent) == first
    perform(provider, DetachVolume("d", volume.id, instance))
    assert provider.find(intent) is None
    again = provider.begin(intent)  # Azure does not remember: it is attached anew
    assert again != first
    assert provider.resume(again).volume_id == volume.id


def test_what_cannot_be_reached_is_told_with_its_last_error(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    fake_azure.faults.add(ServerError(503), on=ATTACH, times=None)
    with pytest.raises(ProviderUnavailable) as caught:
        provider.begin(AttachVolume("a", volume.id, instance), deadline=within(fake_azure, 30))
    assert caught.value.answer is not None
    assert caught.value.answer.status == 503


def test_an_instance_is_checked_before_anyone_is_asked(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.requests.clear()
    for intent in (AttachVolume("a", volume.id, "a b"), DetachVolume("d", volume.id, "a b")):
        with pytest.raises(InvalidRequest):
            provider.begin(intent)
    assert len(fake_azure.requests) == 0


def test_a_volume_that_goes_while_attaching_is_not_found(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    fake_azure.meanwhile(ATTACH, lambda: perform(opened(fake_azure), DeleteVolume("d", volume.id)))
    with pytest.raises(NotFound) as caught:
        attached(provider, volume, instance)
    assert (caught.value.kind, caught.value.name) == ("volume", volume.id)


def test_a_disk_is_what_azure_says_after_it_was_attached(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    attached(provider, volume, instance)
    assert disk(fake_azure, volume).disk_state == "Attached"
    assert provider.get(volume.id).state is VolumeState.ATTACHED
