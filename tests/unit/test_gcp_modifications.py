"""Changing volumes on GCE: all at once, never smaller, and the real size looked at."""

import logging
from collections.abc import Callable, Iterator

import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    NotFound,
    OperationFailed,
    RequestRejected,
    UnsupportedOperation,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.sizes import GIB, MIB
from cloudcrypt.spi import DeleteVolume, ModifyVolume, ResizeVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.world.faults import ReplyLost, StaleRead
from tests.unit.gcp_given import (
    ZONE,
    another,
    attached,
    created,
    disk,
    edited,
    opened,
    wanted,
    within,
)


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


@pytest.fixture
def volume(provider: GcpProvider) -> Volume:
    return created(provider)


@pytest.fixture
def fast(provider: GcpProvider) -> Volume:
    return created(provider, "fast", kind="hyperdisk-balanced", iops=3000, throughput=150 * MIB)


def changes(gce: FakeGce) -> list[str]:
    """Return the methods that changed something, in order."""
    changing = {"disks.resize", "disks.update", "regionDisks.resize", "regionDisks.update"}
    return [one.action for one in gce.operations().values() if one.action in changing]


def test_a_volume_grows_by_its_number(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    assert perform(provider, ResizeVolume("r", volume.id, 20 * GIB)).size == 20 * GIB
    call = next(one for one in fake_gce.requests if one.action == "disks.resize")
    assert call.parameters["disk"] == volume.id.rpartition("/")[2]


def test_a_size_is_rounded_up(provider: GcpProvider, volume: Volume) -> None:
    assert perform(provider, ResizeVolume("r", volume.id, 10 * GIB + 1)).size == 11 * GIB


def test_an_attached_volume_grows(provider: GcpProvider, fake_gce: FakeGce, volume: Volume) -> None:
    attached(provider, volume, fake_gce.run_instance(ZONE))
    assert perform(provider, ResizeVolume("r", volume.id, 20 * GIB)).size == 20 * GIB


def test_size_and_performance_are_changed_by_one_request(
    provider: GcpProvider, fake_gce: FakeGce, fast: Volume
) -> None:
    """Hyperdisk takes few changes in a row, and some need each other: 8 GiB need 3000 IOPS."""
    intent = ModifyVolume("m", fast.id, 20 * GIB, iops=6000, throughput=300 * MIB)
    changed = perform(provider, intent)
    assert (changed.size, changed.iops, changed.throughput) == (20 * GIB, 6000, 300 * MIB)
    assert changes(fake_gce) == ["disks.update"]
    call = next(one for one in fake_gce.requests if one.action == "disks.update")
    assert call.parameters["updateMask"] == "provisionedIops,provisionedThroughput,sizeGb"


def test_only_what_differs_is_asked_for(
    provider: GcpProvider, fake_gce: FakeGce, fast: Volume
) -> None:
    intent = ModifyVolume("m", fast.id, fast.size, fast.kind, 3000, throughput=200 * MIB)
    assert perform(provider, intent).throughput == 200 * MIB
    call = next(one for one in fake_gce.requests if one.action == "disks.update")
    assert call.parameters["updateMask"] == "provisionedThroughput"


def test_a_size_alone_is_a_resize_whoever_asks(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    perform(provider, ModifyVolume("m", volume.id, 20 * GIB))
    assert changes(fake_gce) == ["disks.resize"]


def test_performance_goes_down_as_well(provider: GcpProvider, fast: Volume) -> None:
    up = perform(provider, ModifyVolume("up", fast.id, iops=4000))
    down = perform(provider, ModifyVolume("down", fast.id, iops=3000))
    assert (up.iops, down.iops) == (4000, 3000)


def test_an_intent_that_was_undone_is_done_again(
    provider: GcpProvider, fake_gce: FakeGce, fast: Volume
) -> None:
    for each in range(2):
        assert perform(provider, ModifyVolume("up", fast.id, iops=4000)).iops == 4000
        perform(provider, ModifyVolume(f"down-{each}", fast.id, iops=3000))
    assert len(changes(fake_gce)) == 4


Change = Callable[[Volume], ResizeVolume | ModifyVolume]
NOTHING: dict[str, Change] = {
    "resize": lambda volume: ResizeVolume("r", volume.id, volume.size),
    "all": lambda volume: ModifyVolume("m", volume.id, volume.size, volume.kind, volume.iops),
    "nothing": lambda volume: ModifyVolume("m", volume.id),
    "throughput": lambda volume: ModifyVolume("m", volume.id, throughput=volume.throughput),
}
IMPOSSIBLE: dict[str, tuple[Change, str]] = {
    "smaller": (lambda volume: ResizeVolume("r", volume.id, 9 * GIB), "size"),
    "modified smaller": (lambda volume: ModifyVolume("m", volume.id, 9 * GIB), "size"),
    "too large": (lambda volume: ResizeVolume("r", volume.id, 2**60), "size"),
    "iops": (lambda volume: ModifyVolume("m", volume.id, iops=3000), "iops"),
    "throughput": (lambda volume: ModifyVolume("m", volume.id, throughput=MIB), "throughput"),
}


@pytest.mark.parametrize("change", NOTHING)
def test_what_is_so_already_is_not_asked_for(
    provider: GcpProvider, fake_gce: FakeGce, fast: Volume, change: str
) -> None:
    assert perform(provider, NOTHING[change](fast)) == fast
    assert changes(fake_gce) == []


@pytest.mark.parametrize("change", IMPOSSIBLE)
def test_what_cannot_be_is_refused_before_the_request(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, change: str
) -> None:
    intent, parameter = IMPOSSIBLE[change]
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(intent(volume))
    assert caught.value.parameter == parameter
    assert changes(fake_gce) == []


def test_another_type_is_not_offered(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    with pytest.raises(UnsupportedOperation) as caught:
        provider.begin(ModifyVolume("m", volume.id, 20 * GIB, "pd-ssd"))
    assert "snapshot" in caught.value.remedy
    assert changes(fake_gce) == []


def test_what_only_the_table_forbids_is_asked_for_with_a_warning(
    provider: GcpProvider, fake_gce: FakeGce, fast: Volume, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cloudcrypt_gcp"), pytest.raises(RequestRejected):
        provider.begin(ModifyVolume("m", fast.id, iops=200_000))
    assert "outside of the documented" in caplog.text
    assert fake_gce.requests.count("disks.update") == 1


def test_a_reply_that_is_lost_is_asked_for_again_and_changes_once(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.faults.add(ReplyLost(), on="disks.resize", times=3)
    perform(provider, ResizeVolume("r", volume.id, 20 * GIB))
    assert changes(fake_gce) == ["disks.resize"]


def test_an_old_look_does_not_ask_for_a_second_change(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    perform(provider, ResizeVolume("r", volume.id, 20 * GIB))
    fake_gce.faults.add(StaleRead(), on="disks.get")
    with another(fake_gce) as other:
        assert perform(other, ResizeVolume("another", volume.id, 20 * GIB)).size == 20 * GIB
    assert changes(fake_gce) == ["disks.resize"]


def test_the_real_size_is_looked_at_and_not_the_one_that_was_asked_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    """The operation is DONE without an error, and the disk has not grown.

    The defence is in `Modifications.resume`: ``if not differing``.
    """
    handle = provider.begin(ResizeVolume("r", volume.id, 20 * GIB))
    fake_gce.clock.advance(60)
    edited(fake_gce, volume, size=10)
    with pytest.raises(OperationFailed) as caught:
        provider.resume(handle)
    assert "sizeGb" in str(caught.value)


def test_a_size_that_shows_late_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    handle = provider.begin(ResizeVolume("r", volume.id, 20 * GIB))
    fake_gce.faults.add(StaleRead(), on="disks.get", times=3)
    assert provider.resume(handle).size == 20 * GIB


def test_a_volume_that_grew_beyond_is_as_it_was_asked_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    handle = provider.begin(ResizeVolume("r", volume.id, 20 * GIB))
    provider.resume(handle)
    edited(fake_gce, volume, size=40)
    assert provider.resume(handle).size == 40 * GIB


def test_an_operation_that_fails_leaves_the_volume_as_it_was(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.resize")
    with pytest.raises(OperationFailed):
        perform(provider, ResizeVolume("r", volume.id, 20 * GIB))
    assert provider.get(volume.id) == volume


def test_a_volume_that_is_still_being_created_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.hold_next("disks.insert", seconds=20)
    provider.begin(wanted("slow"))
    (volume,) = provider.list(name="slow")
    assert perform(provider, ResizeVolume("r", volume.id, 20 * GIB)).size == 20 * GIB
    fake_gce.hold_next("disks.insert")
    provider.begin(wanted("slower"))
    (volume,) = provider.list(name="slower")
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(ResizeVolume("s", volume.id, 20 * GIB), deadline=within(fake_gce, 20))
    assert caught.value.state == "creating"


def test_a_volume_that_is_gone_is_not_found(provider: GcpProvider, volume: Volume) -> None:
    handle = provider.begin(ResizeVolume("r", volume.id, 20 * GIB))
    provider.resume(handle)
    perform(provider, DeleteVolume("d", volume.id))
    for call in (
        lambda: provider.resume(handle),
        lambda: provider.begin(ResizeVolume("s", volume.id, 30 * GIB)),
    ):
        with pytest.raises(NotFound):
            call()
    assert provider.find(ResizeVolume("s", volume.id, 30 * GIB)) is None


def test_a_change_that_others_have_made_is_found(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    assert provider.find(ResizeVolume("r", volume.id, 20 * GIB)) is None
    edited(fake_gce, volume, size=20)
    handle = provider.find(ResizeVolume("r", volume.id, 20 * GIB))
    assert handle is not None
    assert provider.resume(handle).size == 20 * GIB


def test_a_regional_volume_is_changed_in_its_region(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider, kind="hyperdisk-balanced-high-availability", iops=3000)
    perform(provider, ResizeVolume("r", volume.id, 20 * GIB))
    changed = perform(provider, ModifyVolume("m", volume.id, 30 * GIB, iops=4000))
    assert (changed.size, changed.iops) == (30 * GIB, 4000)
    assert changes(fake_gce) == ["regionDisks.resize", "regionDisks.update"]
    assert disk(fake_gce, volume).size == 30
