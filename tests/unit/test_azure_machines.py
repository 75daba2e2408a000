"""Disks of machines where Azure does not know how to attach one: no update of others is lost."""

from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import UnsupportedOperation, WrongVolumeState
from cloudcrypt.model import AzureLun, Volume
from cloudcrypt.spi import AttachVolume, DetachVolume, perform
from cloudcrypt_azure import AzureProvider, _machines
from cloudcrypt_azure._records import MachineRecord, Shown
from cloudcrypt_testing.fake_azure import FakeAzure
from cloudcrypt_testing.world.faults import ReplyLost, StaleRead
from tests.unit.azure_given import attached, created, luns, opened, unique, within

PATCH = "virtualMachines.update"


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


@pytest.fixture
def instance(fake_azure: FakeAzure) -> str:
    return fake_azure.run_instance()


@pytest.fixture
def volume(provider: AzureProvider) -> Volume:
    return created(provider)


REFUSALS = [
    ("NotFound", 404, None),
    ("InvalidResourceType", 404, "The resource type could not be found."),
    ("InvalidResourceType", 400, "The resource type could not be found."),
    ("NoRegisteredProviderFound", 400, "No registered resource provider found for location."),
    ("UnsupportedOperation", 400, "no"),
    ("MethodNotAllowed", 405, "no"),
    ("Surprise", 405, "no"),
    ("Surprise", 404, "no"),
    ("BadRequest", 400, "The attach detach data disks API is not enabled for the region."),
    ("OperationNotAllowed", 409, "The Attach Detach Data Disks API is not enabled for the x."),
]


@pytest.mark.parametrize(("code", "status", "message"), REFUSALS)
def test_where_the_action_is_not_known_the_list_is_written(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    instance: str,
    volume: Volume,
    code: str,
    status: int,
    message: str | None,
) -> None:
    fake_azure.withdraw_attach_detach(code, status, message)
    attachment = attached(provider, volume, instance)
    assert attachment.identity == AzureLun(0, "data")
    (one,) = fake_azure.machines()[instance].data_disks
    assert (one.caching, one.delete_option) == ("None", "Detach")
    perform(provider, DetachVolume("d", volume.id, instance))
    assert luns(fake_azure, instance) == {}
    assert fake_azure.requests.count(PATCH) == 2


def test_what_is_attached_stays_when_the_list_is_written(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str
) -> None:
    fake_azure.withdraw_attach_detach()
    volumes = [created(provider, f"volume-{n}", kind="PremiumV2_LRS") for n in range(3)]
    for volume in volumes:
        attached(provider, volume, instance)
    assert luns(fake_azure, instance) == {0: "volume-0", 1: "volume-1", 2: "volume-2"}
    perform(provider, DetachVolume("d", volumes[1].id, instance))
    assert luns(fake_azure, instance) == {0: "volume-0", 2: "volume-2"}


def test_a_disk_that_another_writer_attaches_meanwhile_is_not_lost(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The lost update. The defence is If-Match in cloudcrypt_azure._calls.patch_machine.
    fake_azure.withdraw_attach_detach()
    theirs = created(provider, "theirs")
    fake_azure.attach_meanwhile(instance, unique(theirs.id), 5)
    assert attached(provider, volume, instance).identity == AzureLun(0, "data")
    assert luns(fake_azure, instance) == {0: "data", 5: "theirs"}
    assert fake_azure.requests.count(PATCH) == 2


def test_a_disk_that_another_writer_attaches_while_we_detach_is_not_lost(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    # The defence is the same.
    fake_azure.withdraw_attach_detach()
    theirs = created(provider, "theirs")
    attached(provider, volume, instance)
    fake_azure.attach_meanwhile(instance, unique(theirs.id))
    perform(provider, DetachVolume("d", volume.id, instance))
    assert luns(fake_azure, instance) == {1: "theirs"}


def test_a_machine_that_always_changes_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    fake_azure.withdraw_attach_detach()
    fake_azure.faults.add(StaleRead(), on="virtualMachines.get", times=None)
    others = [created(provider, f"other-{n}") for n in range(2)]
    for other in others:
        fake_azure.attach(instance, unique(other.id))
        fake_azure.clock.advance(1)
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(AttachVolume("a", volume.id, instance), deadline=within(fake_azure, 30))
    assert caught.value.cloud_code == "PreconditionFailed"
    assert luns(fake_azure, instance) == {0: "other-0", 1: "other-1"}


def test_a_machine_without_etag_is_not_written_to(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    instance: str,
    volume: Volume,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The defence is `etag is None` in cloudcrypt_azure._machines.Machines._written.
    fake_azure.withdraw_attach_detach()
    read = MachineRecord.of

    def without_etag(shown: Shown, _etag: str | None = None) -> MachineRecord:
        return attrs.evolve(read(shown), etag=None)

    monkeypatch.setattr(MachineRecord, "of", without_etag)
    with pytest.raises(UnsupportedOperation):
        provider.begin(AttachVolume("a", volume.id, instance))
    assert fake_azure.requests.count(PATCH) == 0


def test_an_instance_of_a_scale_set_has_no_list_to_write(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.withdraw_attach_detach()
    instance = fake_azure.run_scale_set_instance()
    with pytest.raises(UnsupportedOperation) as caught:
        provider.begin(AttachVolume("a", volume.id, instance))
    assert caught.value.cloud_code == "NotFound"


def test_detaching_by_force_is_asked_for_in_the_list_too(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    attached(provider, volume, instance)
    fake_azure.withdraw_attach_detach()
    fake_azure.linger(unique(volume.id))
    forced = DetachVolume("d", volume.id, instance, force=True)
    assert perform(provider, forced).holders == ()


def test_a_reply_to_the_list_that_is_lost_is_cleared_up_by_a_look(
    provider: AzureProvider, fake_azure: FakeAzure, instance: str, volume: Volume
) -> None:
    fake_azure.withdraw_attach_detach()
    fake_azure.faults.add(ReplyLost(), on=PATCH)
    attached(provider, volume, instance)
    assert fake_azure.requests.count(PATCH) == 1


def test_another_refusal_does_not_lead_to_the_list(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    with pytest.raises(Exception, match="same zone"):
        attached(provider, volume, fake_azure.run_instance("2"))
    assert fake_azure.requests.count(PATCH) == 0


def test_what_azure_shows_and_does_not_take_back_is_left_out() -> None:
    # Azure refuses these for machines outside of scale sets (azuredisk-csi-driver#3403).
    shown: dict[str, Any] = {"lun": 0, "diskIOPSReadWrite": 1, "diskMBpsReadWrite": 1, "x": 1}
    assert _machines._kept(shown) == {"lun": 0, "x": 1}
