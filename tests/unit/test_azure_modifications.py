"""Changing volumes of Azure: by one request, checked before, confirmed after."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    InvalidRequest,
    ModificationLimited,
    NotFound,
    OperationFailed,
    OperationPending,
    ProviderUnavailable,
    RequestRejected,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.sizes import GIB, TIB
from cloudcrypt.spi import DetachVolume, ModifyVolume, ResizeVolume, perform
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.fake_azure import FakeAzure, Timings
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    StaleRead,
)
from tests.unit.azure_given import GONE, attached, created, disk, opened, passed, within

MEGA = 1_000_000
PATCH = "disks.update"


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


@pytest.fixture
def volume(provider: AzureProvider) -> Volume:
    return created(provider, kind="PremiumV2_LRS", size=20 * GIB, iops=4000)


def grow(volume: Volume, size: int) -> ResizeVolume:
    return ResizeVolume(f"grow-{size}", volume.id, size)


def patches(azure: FakeAzure) -> int:
    return azure.requests.count(PATCH)


def test_all_that_differs_is_asked_for_at_once_and_nothing_else(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    intent = ModifyVolume("m", volume.id, 30 * GIB, iops=5000, throughput=200 * MEGA - 7)
    changed = perform(provider, intent)
    assert (changed.size, changed.iops, changed.throughput) == (30 * GIB, 5000, 200 * MEGA)
    assert patches(fake_azure) == 1
    assert (changed.labels, changed.name, changed.maker) == (volume.labels, "data", volume.maker)


def test_another_type_is_asked_for_by_name(provider: AzureProvider) -> None:
    volume = created(provider, "plain")
    assert perform(provider, ModifyVolume("m", volume.id, kind="Premium_LRS")).kind == "Premium_LRS"


def test_what_it_has_already_is_not_asked_for(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    same = ModifyVolume("m", volume.id, 20 * GIB, "PremiumV2_LRS", 4000, volume.throughput)
    assert perform(provider, same) == volume
    assert perform(provider, grow(volume, 20 * GIB)) == volume
    assert patches(fake_azure) == 0


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost(), ServerError(500)])
def test_a_reply_that_is_lost_is_cleared_up_by_a_look_and_nothing_is_changed_twice(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    volume: Volume,
    fault: ReplyLost | ConnectionLost | ServerError,
) -> None:
    # The defence is `is_in_flight` in `Modifications._attempt`: Azure counts changes.
    fake_azure.faults.add(fault, on=PATCH)
    assert perform(provider, ModifyVolume("m", volume.id, iops=5000)).iops == 5000
    assert patches(fake_azure) == (1 if isinstance(fault, ReplyLost) else 2)
    assert len(disk(fake_azure, volume).performance_changes) == 2  # creating it was the first


def test_a_process_that_dies_is_followed_by_one_that_finds_the_change(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    intent = grow(volume, 40 * GIB)
    provider.begin(intent)
    other = opened(fake_azure)
    handle = other.find(intent)
    assert handle is not None
    assert other.resume(handle).size == 40 * GIB
    assert patches(fake_azure) == 1


def test_a_change_that_was_not_asked_for_is_not_found(
    provider: AzureProvider, volume: Volume
) -> None:
    assert provider.find(grow(volume, 40 * GIB)) is None
    assert provider.find(ResizeVolume("r", GONE, 40 * GIB)) is None


def test_another_change_that_is_under_way_is_waited_for(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    provider.begin(grow(volume, 30 * GIB))
    assert perform(opened(fake_azure), grow(volume, 40 * GIB)).size == 40 * GIB
    assert patches(fake_azure) == 2


def test_another_change_that_does_not_end_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.hold_next(PATCH)
    provider.begin(grow(volume, 30 * GIB))
    with pytest.raises(WrongVolumeState) as caught:
        opened(fake_azure).begin(grow(volume, 40 * GIB), deadline=within(fake_azure, 60))
    assert caught.value.state == "updating"


def test_a_volume_never_shrinks(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    for intent in (grow(volume, 20 * GIB - 1), ModifyVolume("m", volume.id, GIB)):
        with pytest.raises(InvalidRequest, match="never shrinks"):
            provider.begin(intent)
    assert patches(fake_azure) == 0


def test_an_attached_volume_grows_and_its_machine_shows_it(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    instance = fake_azure.run_instance()
    attached(provider, volume, instance)
    assert perform(provider, grow(volume, 40 * GIB)).holders == (instance,)
    assert attached(provider, volume, instance).size == 40 * GIB


@pytest.mark.parametrize(
    ("kind", "before", "after", "is_refused"),
    [
        ("Premium_LRS", 4 * TIB, 4 * TIB + GIB, True),
        ("StandardSSD_LRS", TIB, 8 * TIB, True),
        ("Standard_LRS", 4 * TIB - GIB, 5 * TIB, True),
        ("Premium_LRS", 4 * TIB + GIB, 8 * TIB, False),
        ("Premium_LRS", TIB, 2 * TIB, False),
        ("PremiumV2_LRS", TIB, 8 * TIB, False),
        ("UltraSSD_LRS", TIB, 8 * TIB, False),
    ],
)
def test_the_older_types_cross_4_tib_only_while_they_are_detached(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    kind: str,
    before: int,
    after: int,
    is_refused: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    # The defence is `BOUNDARY` in cloudcrypt_azure._types._check_size.
    volume, instance = created(provider, kind=kind, size=before), fake_azure.run_instance()
    attached(provider, volume, instance)
    if is_refused:
        with pytest.raises(InvalidRequest, match="4 TiB") as caught:
            provider.begin(grow(volume, after))
        assert instance in caught.value.rule
        assert patches(fake_azure) == 0
        perform(provider, DetachVolume("d", volume.id, instance))
    assert perform(provider, grow(volume, after)).size == after


def test_a_shared_volume_grows_only_while_it_is_detached(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume, instance = created(provider, multi_attach=True), fake_azure.run_instance()
    attached(provider, volume, instance)
    with pytest.raises(InvalidRequest, match="shared") as caught:
        provider.begin(grow(volume, 4 * GIB))
    assert instance in caught.value.rule
    assert patches(fake_azure) == 0
    perform(provider, DetachVolume("d", volume.id, instance))
    assert perform(provider, grow(volume, 4 * GIB)).size == 4 * GIB


def test_a_subscription_that_does_not_grow_attached_volumes_is_told(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.forbid_online_resize()
    volume, instance = created(provider), fake_azure.run_instance()
    attached(provider, volume, instance)
    with pytest.raises(CloudcryptError) as caught:
        provider.begin(grow(volume, 4 * GIB))
    assert caught.value.cloud_code is not None


def test_a_fifth_change_in_a_day_is_limited(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    for iops in (5000, 6000, 7000):  # and its creation was one
        perform(provider, ModifyVolume(f"m{iops}", volume.id, iops=iops))
    with pytest.raises(ModificationLimited) as caught:
        provider.begin(ModifyVolume("m", volume.id, iops=8000))
    assert caught.value.volume_id == volume.id
    fake_azure.clock.advance(24 * 3600)
    assert perform(provider, ModifyVolume("m", volume.id, iops=8000)).iops == 8000


@pytest.mark.parametrize(
    ("change", "parameter"),
    [({"iops": 500}, "iops"), ({"throughput": MEGA}, "throughput")],
)
def test_performance_is_only_for_types_that_let_it_be_chosen(
    provider: AzureProvider, fake_azure: FakeAzure, change: dict[str, Any], parameter: str
) -> None:
    volume = created(provider, "plain")
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(ModifyVolume("m", volume.id, **change))
    assert caught.value.parameter == parameter
    assert patches(fake_azure) == 0


def test_what_only_our_table_forbids_is_for_azure_to_decide(
    provider: AzureProvider, volume: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cloudcrypt_azure"), pytest.raises(RequestRejected):
        provider.begin(ModifyVolume("m", volume.id, iops=79_000))
    assert "documented" in caplog.text


def test_the_size_is_confirmed_by_the_disk_and_not_by_the_operation(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    # The defence is `missing_in(record)` in `Modifications.resume`.
    handle = provider.begin(grow(volume, 40 * GIB))
    fake_azure.clock.advance(60)
    for occurrence in (1, 2, 3):
        fake_azure.faults.add(StaleRead(), on="disks.get", occurrence=occurrence)
    with pytest.raises(OperationPending) as caught:
        provider.resume(handle, deadline=passed(fake_azure))
    assert caught.value.state == "not shown yet"
    assert provider.resume(handle).size == 40 * GIB


def test_a_size_that_never_shows_is_a_failure(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    handle = provider.begin(grow(volume, 40 * GIB))
    fake_azure.clock.advance(60)
    fake_azure.faults.add(StaleRead(), on="disks.get", times=None)
    with pytest.raises(OperationFailed, match="another size"):
        provider.resume(handle)


@pytest.mark.parametrize("leaves_failed", [True, False])
def test_a_change_that_fails_is_told_and_the_volume_stays_as_it_was(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    volume: Volume,
    leaves_failed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    fake_azure.fail_next(PATCH, leaves_failed=leaves_failed)
    with pytest.raises(OperationFailed) as caught:
        perform(provider, grow(volume, 40 * GIB))
    assert caught.value.cloud_code == "InternalServerError"
    assert provider.get(volume.id).size == 20 * GIB


def test_a_disk_that_failed_without_an_operation_is_told(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.fail_next(PATCH, leaves_failed=True)
    handle = provider.begin(grow(volume, 40 * GIB))
    fake_azure.clock.advance(60)
    fake_azure.forget_operations()
    with pytest.raises(OperationFailed, match="failed"):
        opened(fake_azure).resume(handle)


def test_a_volume_that_is_gone_is_not_found(provider: AzureProvider) -> None:
    with pytest.raises(NotFound):
        provider.begin(ResizeVolume("r", GONE, GIB))


def test_a_refusal_names_the_volume(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.faults.add(
        Refused("ConflictingConcurrentWriteNotAllowed", "busy", 409), on=PATCH, times=None
    )
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(grow(volume, 40 * GIB), deadline=within(fake_azure, 30))
    assert caught.value.volume_id == volume.id
    fake_azure.faults.clear()
    fake_azure.faults.add(ServerError(503), on=PATCH, times=None)
    with pytest.raises(ProviderUnavailable):
        provider.begin(grow(volume, 40 * GIB), deadline=within(fake_azure, 30))


def test_the_same_change_is_the_same_handle(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    fake_azure.clock.advance(60)
    intent = grow(volume, 40 * GIB)
    first = provider.begin(intent)
    provider.resume(first)
    assert provider.begin(intent) == provider.find(intent) == first


def test_a_change_while_the_disk_is_copied_waits_for_nobody(fake_azure: FakeAzure) -> None:
    fake_azure.reset(timings=Timings(resize=0))
    provider = opened(fake_azure)
    volume = created(provider)
    assert perform(provider, grow(volume, 4 * GIB)).size == 4 * GIB
