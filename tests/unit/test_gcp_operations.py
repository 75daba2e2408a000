"""Operations of GCE: waited for by name, in any process, and what a finished one says."""

from collections.abc import Callable, Iterator

import pytest

from cloudcrypt.errors import (
    OperationCancelled,
    OperationFailed,
    OperationPending,
    ProviderUnavailable,
    Vanished,
)
from cloudcrypt.model import VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    DeleteVolume,
    DetachVolume,
    Intent,
    ResizeVolume,
    perform,
)
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt.wire import handle_from_json, handle_to_json
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import Exchange, FakeGce
from cloudcrypt_testing.world.faults import ServerError, StaleRead, Throttled
from tests.unit.gcp_given import (
    ZONE,
    another,
    attached,
    created,
    hooked,
    number,
    opened,
    passed,
    wanted,
    within,
)

VERBS: dict[str, Callable[[str, str], Intent[object]]] = {
    "attach": lambda volume, instance: AttachVolume("verb", volume, instance),
    "detach": lambda volume, instance: DetachVolume("verb", volume, instance),
    "resize": lambda volume, _: ResizeVolume("verb", volume, 20 * GIB),
    "snapshot": lambda volume, _: CreateSnapshot("verb", volume, "nightly"),
    "delete": lambda volume, _: DeleteVolume("verb", volume),
}


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


@pytest.fixture(params=VERBS)
def verb(
    request: pytest.FixtureRequest, provider: GcpProvider, fake_gce: FakeGce
) -> Intent[object]:
    """Give an intent that GCE has not seen, about a volume that is there."""
    volume, instance = created(provider), fake_gce.run_instance(ZONE)
    if request.param == "detach":
        attached(provider, volume, instance)
    intent = VERBS[str(request.param)](volume.id, instance)
    fake_gce.requests.clear()
    return intent


def _operations(gce: FakeGce, requests: int) -> int:
    """Return how many operations there are beyond those of the preparation."""
    return len(gce.operations()) - requests


def test_a_handle_is_resumed_by_another_process_and_begins_nothing(
    provider: GcpProvider, fake_gce: FakeGce, verb: Intent[object]
) -> None:
    before = len(fake_gce.operations())
    stored = handle_to_json(provider.begin(verb))
    with another(fake_gce) as other:
        handle = handle_from_json(stored)
        with pytest.raises(OperationPending):
            other.resume(handle, deadline=passed(fake_gce))
        other.resume(handle)
        other.resume(handle)
    assert _operations(fake_gce, before) == 1


def test_the_same_intent_twice_has_equal_handles_before_and_after_it_is_done(
    provider: GcpProvider, fake_gce: FakeGce, verb: Intent[object]
) -> None:
    before = len(fake_gce.operations())
    handles = [provider.begin(verb)]
    with another(fake_gce) as other:
        handles.append(other.begin(verb))
        other.resume(handles[0])
        if not isinstance(verb, DeleteVolume):  # of what is gone only that is left
            handles.append(other.begin(verb))
    assert handles == [handles[0]] * len(handles)
    assert _operations(fake_gce, before) == 1


def test_an_operation_that_gce_does_not_know_any_more_is_not_missed(
    provider: GcpProvider, fake_gce: FakeGce, verb: Intent[object]
) -> None:
    handle = provider.begin(verb)
    outcome = provider.resume(handle)
    with fake_gce._cloud.lock:
        fake_gce._cloud.operations.clear()
    with another(fake_gce) as other:
        assert other.resume(handle) == outcome


def test_an_error_in_a_finished_operation_is_an_error(
    provider: GcpProvider, fake_gce: FakeGce, verb: Intent[object]
) -> None:
    fake_gce.fail_next("*", "INTERNAL_ERROR", "the disk is on fire")
    handle = provider.begin(verb)
    with another(fake_gce) as other:
        for process in (provider, other):
            with pytest.raises(OperationFailed) as caught:
                process.resume(handle)
            assert "the disk is on fire" in str(caught.value)
            assert caught.value.request_id in {one.name for one in fake_gce.operations().values()}


@pytest.mark.parametrize(
    "code", ["RATE_LIMIT_EXCEEDED", "RESOURCE_OPERATION_RATE_EXCEEDED", "RESOURCE_NOT_READY"]
)
def test_an_operation_that_failed_before_anything_was_tried_is_asked_for_anew(
    provider: GcpProvider, fake_gce: FakeGce, verb: Intent[object], code: str
) -> None:
    before = len(fake_gce.operations())
    fake_gce.fail_next("*", code, times=2)
    handle = provider.begin(verb)
    with another(fake_gce) as other:
        other.resume(handle)
    with another(fake_gce) as third:  # which finds the attempts, and makes none
        third.resume(handle)
    assert _operations(fake_gce, before) == 3


@pytest.mark.parametrize("fault", [Throttled(), ServerError(503)])
def test_a_look_at_an_operation_that_fails_is_made_again(
    provider: GcpProvider, fake_gce: FakeGce, verb: Intent[object], fault: Throttled | ServerError
) -> None:
    handle = provider.begin(verb)
    fake_gce.faults.add(fault, on="zoneOperations.get", times=3)
    provider.resume(handle)


def test_while_an_operation_cannot_be_looked_at_nothing_is_said_about_it(
    provider: GcpProvider, fake_gce: FakeGce, verb: Intent[object]
) -> None:
    handle = provider.begin(verb)
    fake_gce.faults.add(ServerError(503), on="zoneOperations.get", times=None)
    with pytest.raises(ProviderUnavailable) as caught:
        provider.resume(handle, deadline=within(fake_gce, 30))
    assert caught.value.cloud_code == "backendError"
    fake_gce.faults.clear()
    provider.resume(handle)


def test_an_operation_that_is_not_shown_yet_is_not_taken_for_an_old_one(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.hold_next("disks.insert", seconds=30)
    handle = provider.begin(wanted())
    fake_gce.faults.add(StaleRead(), on="zoneOperations.get")
    assert provider.resume(handle).state is VolumeState.AVAILABLE


def test_a_wait_that_is_cancelled_leaves_the_operation_alone(
    provider: GcpProvider, fake_gce: FakeGce, verb: Intent[object]
) -> None:
    handle, cancellation = provider.begin(verb), Cancellation()

    def cancel(exchange: Exchange) -> None:
        if exchange.call.action == "zoneOperations.get" and exchange.phase == "after":
            cancellation.cancel()

    deadline = Deadline.after(300, clock=fake_gce.clock, cancellation=cancellation)
    with hooked(fake_gce, cancel), pytest.raises(OperationCancelled):
        provider.resume(handle, deadline=deadline)
    provider.resume(handle)


def test_operations_on_a_regional_disk_are_those_of_the_region(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider, place="europe-west3")
    perform(provider, ResizeVolume("r", volume.id, 20 * GIB))
    perform(provider, CreateSnapshot("s", volume.id, "nightly"))
    attached(provider, volume, fake_gce.run_instance(str(volume.place).split(",")[1]))
    assert fake_gce.requests.count("regionOperations.get") > 0
    assert fake_gce.requests.count("zoneOperations.get") > 0
    assert fake_gce.requests.count("disks.resize") == 0


def test_a_regional_volume_is_detached_and_deleted(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider, place="europe-west3")
    instance = fake_gce.run_instance(str(volume.place).split(",")[1])
    attached(provider, volume, instance)
    perform(provider, DetachVolume("d", volume.id, instance))
    perform(provider, DeleteVolume("x", volume.id))
    assert fake_gce.disks() == {}


def test_a_volume_whose_operation_succeeded_and_that_is_gone_has_vanished(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    handle = provider.begin(wanted())
    volume = provider.resume(handle)
    with fake_gce._cloud.lock:
        fake_gce._cloud.bury(number(volume.id))
    with pytest.raises(Vanished):
        provider.resume(handle)
