"""Attaching volumes of Azure: one holder, one logical unit number, and proof."""

from collections.abc import Iterator
from functools import partial
from typing import Literal

import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    CloudcryptError,
    NotFound,
    OperationFailed,
    WrongVolumeState,
)
from cloudcrypt.model import AzureLun, Blank, Volume
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import AttachVolume, DetachVolume, perform
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.fake_azure import FakeAzure
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.azure_given import (
    SUBSCRIPTION,
    attached,
    created,
    luns,
    opened,
    together,
    unique,
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


def test_a_volume_is_known_by_its_logical_unit_number_and_name(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    attachment = attached(provider, volume, instance)
    assert attachment.identity == AzureLun(0, "data")
    assert (attachment.size, attachment.origin) == (2 * GIB, Blank())
    assert attachment.instance == instance
    (one,) = fake_azure.machines()[instance].data_disks
    assert (one.caching, one.delete_option) == ("None", "Detach")
    assert fake_azure.node(instance).name(unique(volume.id)) is not None


def test_number_0_is_taken_first_and_then_the_lowest_that_is_free(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str
) -> None:
    volumes = [created(provider, f"volume-{n}") for n in range(4)]
    for number, volume in enumerate(volumes):
        assert attached(provider, volume, instance).identity == AzureLun(number, f"volume-{number}")
    for number in (2, 0):
        perform(provider, DetachVolume("d", volumes[number].id, instance))
    assert attached(opened(fake_azure), volumes[2], instance).identity == AzureLun(0, "volume-2")


def test_a_number_that_somebody_takes_meanwhile_is_picked_again(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The defence is `WrongVolumeState` in `Attachments._attach`: look again, pick again.
    theirs = fake_azure.take_lun(instance)
    assert attached(provider, volume, instance).identity == AzureLun(1, "data")
    assert {one.unique_id for one in fake_azure.machines()[instance].data_disks} == {
        theirs,
        unique(volume.id),
    }


def test_a_look_that_is_old_does_not_put_two_disks_at_one_number(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str
) -> None:
    first, second = created(provider, "first"), created(provider, "second")
    attached(provider, first, instance)
    fake_azure.faults.add(StaleRead(), on="virtualMachines.get")
    attached(provider, second, instance)
    assert luns(fake_azure, instance) == {0: "first", 1: "second"}


def test_many_volumes_go_to_one_instance_at_once(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str
) -> None:
    volumes = [created(provider, f"volume-{n}") for n in range(8)]
    attachments = together([partial(attached, provider, one, instance) for one in volumes])
    assert {one.volume_id for one in attachments} == {volume.id for volume in volumes}
    assert sorted(luns(fake_azure, instance)) == list(range(8))


def test_an_instance_that_is_being_changed_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str
) -> None:
    codes: tuple[Literal["Conflict", "OperationNotAllowed"], ...]
    codes = ("Conflict", "OperationNotAllowed")
    for code in codes:
        fake_azure.answer_busy(code)
        first, second = created(provider, f"first-{code}"), created(provider, f"second-{code}")
        provider.begin(AttachVolume("a", first.id, instance))
        assert attached(provider, second, instance).volume_id == second.id
    assert len(luns(fake_azure, instance)) == 4


def test_an_instance_that_stays_busy_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    fake_azure.hold_next(ATTACH)
    provider.begin(AttachVolume("a", created(provider, "first").id, instance))
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(AttachVolume("b", volume.id, instance), deadline=within(fake_azure, 60))
    assert caught.value.retryable
    assert caught.value.cloud_code == "Conflict"


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500)])
def test_a_reply_that_is_lost_is_cleared_up_by_a_look(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    instance: str,
    volume: Volume,
    fault: ReplyLost | ConnectionLost | ServerError,
) -> None:
    fake_azure.faults.add(fault, on=ATTACH)
    assert attached(provider, volume, instance).identity == AzureLun(0, "data")
    assert asked(fake_azure) == (1 if isinstance(fault, ReplyLost) else 2)


def test_a_process_that_dies_is_followed_by_one_that_finds_the_attachment(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    intent = AttachVolume("a", volume.id, instance)
    provider.begin(intent)
    other = opened(fake_azure)
    handle = other.find(intent)
    assert handle is not None
    assert other.resume(handle).identity == AzureLun(0, "data")
    assert asked(fake_azure) == 1


def test_a_volume_is_never_taken_from_its_holder(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    attached(provider, volume, instance)
    other = fake_azure.run_instance()
    began = fake_azure.clock.monotonic()
    with pytest.raises(AttachedElsewhere) as caught:
        attached(provider, volume, other)
    assert caught.value.holder == instance
    assert fake_azure.clock.monotonic() == began  # nor is it waited for what is not under way
    assert luns(fake_azure, other) == {}
    assert asked(fake_azure) == 1


def test_a_holder_that_shows_only_in_the_answer_is_named_canonically(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    other = fake_azure.run_instance(name="OTHER")
    fake_azure.meanwhile(ATTACH, lambda: fake_azure.attach(other, unique(volume.id)))
    with pytest.raises(AttachedElsewhere) as caught:
        attached(provider, volume, instance)
    assert caught.value.holder == "demo-group/other"
    assert caught.value.cloud_code == "ConflictingUserInput"


def test_a_holder_that_azure_finds_in_the_operation_only_is_told_as_well(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    fake_azure.find_conflicts_late()
    other = fake_azure.run_instance()
    fake_azure.meanwhile(ATTACH, lambda: fake_azure.attach(other, unique(volume.id)))
    with pytest.raises(AttachedElsewhere) as caught:
        attached(provider, volume, instance)
    assert caught.value.holder == other
    assert provider.get(volume.id).holders == (other,)


def test_a_volume_that_is_being_detached_elsewhere_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The late detachment: it must not take the disk from its new holder, nor fail the attachment.
    # The defence is `_is_leaving` in `Attachments._elsewhere`.
    attached(provider, volume, instance)
    provider.begin(DetachVolume("d", volume.id, instance))
    other = fake_azure.run_instance()
    attached(provider, volume, other)
    fake_azure.clock.advance(600)
    assert provider.get(volume.id).holders == (other,)


def test_a_volume_that_is_being_detached_here_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The late detachment. The defence is `is_leaving` in `Attachments._attempt`: what is
    # toBeDetached does not count as attached.
    attached(provider, volume, instance)
    provider.begin(DetachVolume("d", volume.id, instance))
    attached(opened(fake_azure), volume, instance)
    fake_azure.clock.advance(600)
    assert provider.get(volume.id).holders == (instance,)
    assert luns(fake_azure, instance) == {0: "data"}


def test_a_volume_that_lingers_on_its_way_out_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # toBeDetached lingers. The defence is again `is_leaving` in `Attachments._attempt`.
    attached(provider, volume, instance)
    fake_azure.linger(unique(volume.id))
    provider.begin(DetachVolume("d", volume.id, instance))
    fake_azure.clock.advance(60)
    with pytest.raises(WrongVolumeState) as caught:
        opened(fake_azure).begin(
            AttachVolume("b", volume.id, instance), deadline=within(fake_azure, 60)
        )
    assert caught.value.state == "being detached"
    other = fake_azure.run_instance()
    with pytest.raises(AttachedElsewhere):  # it is not taken from there, either
        opened(fake_azure).begin(
            AttachVolume("b", volume.id, other), deadline=within(fake_azure, 60)
        )


def test_an_attachment_that_is_taken_away_is_not_waited_for_without_end(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The disk that is ripped out. The defence is `seat is None` in `Attachments.resume`, which
    # looks at the instance whatever the operation said.
    handle = provider.begin(AttachVolume("a", volume.id, instance))
    provider.resume(handle)
    fake_azure.rip_out(instance, unique(volume.id))
    with pytest.raises(NotFound) as caught:
        opened(fake_azure).resume(handle)
    assert caught.value.kind == "attachment"


def test_a_disk_that_is_ripped_out_before_it_was_shown_is_not_told_as_attached(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The defence is the same; and the disk alone, by a look that is old, is not believed.
    handle = provider.begin(AttachVolume("a", volume.id, instance))
    fake_azure.rip_out(instance, unique(volume.id))
    fake_azure.faults.add(StaleRead(), on="disks.get")
    with pytest.raises(NotFound):
        provider.resume(handle)
    assert attached(provider, volume, instance).instance == instance


def test_a_disk_that_is_at_another_number_than_asked_for_is_refused(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The defence is `asked.lun` in `Attachments._proven`.
    handle = provider.begin(AttachVolume("a", volume.id, instance))
    provider.resume(handle)
    fake_azure.rip_out(instance, unique(volume.id))
    fake_azure.attach(instance, unique(volume.id), 7)
    with pytest.raises(OperationFailed, match="LUN 7"):
        provider.resume(handle)
    again = provider.begin(AttachVolume("a", volume.id, instance))
    assert provider.resume(again).identity == AzureLun(7, "data")


def test_an_attachment_is_proven_by_the_id_of_the_disk_and_not_by_its_name(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str
) -> None:
    # The defence is `seat.path == path` in `_records.MachineRecord.seat`: by name, another group's
    # disk at this instance would pass for ours.
    fake_azure.add_group("other-group")
    other = AzureProvider(
        SUBSCRIPTION,
        "other-group",
        location=fake_azure.location,
        zone="1",
        credential=fake_azure.credential(),
        endpoint=fake_azure.endpoint,
        clock=fake_azure.clock,
    )
    theirs, ours = created(other, "data"), created(provider, "data")
    attached(other, theirs, instance)
    with pytest.raises(CloudcryptError):  # Azure takes no two disks of one name
        perform(provider, AttachVolume("a", ours.id, instance))
    assert asked(fake_azure) == 2  # ours was not taken for attached already
    assert provider.get(ours.id).holders == ()


@pytest.mark.parametrize("spelling", ["upper", "lower", "as it is"])
def test_the_case_of_ids_does_not_matter(
    fake_azure: FakeAzure, spelling: Literal["upper", "lower", "as it is"]
) -> None:
    fake_azure.spell_groups(spelling)
    provider = opened(fake_azure)
    volume, instance = created(provider, "Data"), fake_azure.run_instance(name="VM-Loud")
    attachment = attached(provider, volume, "vm-LOUD")
    assert attachment.instance == instance == "demo-group/vm-loud"
    assert provider.get(volume.id).holders == (instance,)
    path = (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/DEMO-group/providers/Microsoft.Compute"
        "/virtualMachines/vm-loud"
    )
    assert perform(provider, AttachVolume("b", volume.id, path)) == attachment
    perform(provider, DetachVolume("d", volume.id, path))
    assert provider.get(volume.id).holders == ()


def test_an_instance_of_a_scale_set_has_operations_of_its_own(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.run_scale_set_instance()
    instance = fake_azure.run_scale_set_instance()
    assert instance.endswith("/1")
    attachment = attached(provider, volume, instance)
    assert (attachment.instance, attachment.identity) == (instance, AzureLun(0, "data"))
    assert provider.get(volume.id).holders == (instance,)
    assert attached(opened(fake_azure), volume, instance) == attachment
    with pytest.raises(AttachedElsewhere) as caught:
        attached(provider, volume, fake_azure.run_instance())
    assert caught.value.holder == instance
    perform(provider, DetachVolume("d", volume.id, instance))
    assert provider.get(volume.id).holders == ()
    assert fake_azure.requests.count("virtualMachineScaleSetVMs.attachDetachDataDisks") == 2
