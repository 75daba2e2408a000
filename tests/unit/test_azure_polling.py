"""Long-running operations of Azure: resumed from a stored handle, looked at when Azure wants it."""

import json
from collections.abc import Iterator

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    NotFound,
    OperationFailed,
    OperationPending,
    OutOfCapacity,
    ProviderUnavailable,
    QuotaExceeded,
    Throttled,
)
from cloudcrypt.model import VolumeState
from cloudcrypt.spi import AttachVolume, DeleteVolume, Handle, perform
from cloudcrypt.wire import handle_from_json, handle_to_json
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.fake_azure import FakeAzure, Timings
from cloudcrypt_testing.world.faults import Refused, ServerError, StaleRead
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.azure_given import created, opened, passed, wanted, within


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


def looks(azure: FakeAzure) -> int:
    return azure.requests.count("operations.get")


def operation(handle: Handle[object]) -> str:
    """Return the URL of the operation that a handle has."""
    return str(json.loads(handle.reference)["operation"])


def test_a_handle_has_the_url_of_the_operation_and_no_token(provider: AzureProvider) -> None:
    handle = provider.begin(wanted())
    assert "/DiskOperations/" in operation(handle)
    assert "worthless" not in handle_to_json(handle)


def test_a_stored_handle_goes_on_with_the_operation_in_another_process(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.hold_next("disks.createOrUpdate")
    stored = handle_to_json(provider.begin(wanted()))
    provider.close()
    other = opened(fake_azure)
    with pytest.raises(OperationPending) as caught:
        other.resume(handle_from_json(stored), deadline=within(fake_azure, 60))
    assert caught.value.state == "inprogress"
    (number,) = fake_azure.operations()
    fake_azure.let_go(number)
    fake_azure.clock.advance(10)
    assert other.resume(handle_from_json(stored)).state is VolumeState.AVAILABLE


def test_what_fails_later_fails_in_a_200_and_its_code_is_told(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is `_ENDS` in cloudcrypt_azure._polling: the HTTP status says nothing.
    fake_azure.fail_next("disks.createOrUpdate", "SomethingNew", "It broke.")
    handle = provider.begin(wanted())
    with pytest.raises(OperationFailed) as caught:
        opened(fake_azure).resume(handle)
    assert caught.value.cloud_code == "SomethingNew"
    assert caught.value.reason == "It broke."
    assert caught.value.answer is not None
    assert caught.value.answer.status == 200


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("ZonalAllocationFailed", None, OutOfCapacity),
        ("QuotaExceeded", None, QuotaExceeded),
        # What would be worth another attempt is over all the same: this operation is.
        ("InternalServerError", None, OperationFailed),
        ("OperationPreempted", None, OperationFailed),
        ("Conflict", "busy", OperationFailed),
    ],
)
def test_an_operation_that_failed_is_over_whatever_the_code(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    code: str,
    message: str | None,
    kind: type[CloudcryptError],
) -> None:
    fake_azure.fail_next("disks.createOrUpdate", code, message)
    handle = provider.begin(wanted())
    with pytest.raises(kind) as caught:
        provider.resume(handle)
    assert type(caught.value) is kind
    assert caught.value.cloud_code == code


def test_an_operation_that_was_canceled_has_failed(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # Another update of the machine preempts the one before it, which is then Canceled.
    fake_azure.preempt_updates()
    instance = fake_azure.run_instance()
    first, second = created(provider, "first"), created(provider, "second")
    handle = provider.begin(AttachVolume("a", first.id, instance))
    provider.begin(AttachVolume("b", second.id, instance))
    with pytest.raises(OperationFailed) as caught:
        provider.resume(handle)
    assert caught.value.cloud_code == "OperationPreempted"


def test_a_result_url_that_answers_with_the_error_is_a_failure_too(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.fail_next("disks.createOrUpdate", "SomethingNew", "It broke.")
    handle = provider.begin(wanted())
    reference = json.loads(handle.reference)
    monitored = json.dumps({**reference, "operation": reference["operation"] + "&monitor=true"})
    with pytest.raises(OperationFailed) as caught:
        provider.resume(Handle(handle.intent, monitored))
    assert caught.value.cloud_code == "SomethingNew"


def test_a_result_url_that_answers_with_the_result_is_success(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    reference = json.loads(handle.reference)
    monitored = json.dumps({**reference, "operation": reference["operation"] + "&monitor=true"})
    with pytest.raises(OperationPending):
        provider.resume(Handle(handle.intent, monitored), deadline=passed(fake_azure))
    assert provider.resume(Handle(handle.intent, monitored)).name == "data"


def test_an_operation_that_azure_has_forgotten_is_told_by_its_result(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    fake_azure.clock.advance(3600)
    fake_azure.forget_operations()
    assert opened(fake_azure).resume(handle).state is VolumeState.AVAILABLE


def test_an_operation_that_azure_does_not_show_yet_is_no_success(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    fake_azure.faults.add(StaleRead(), on="operations.get")
    with pytest.raises(OperationPending):
        provider.resume(handle, deadline=passed(fake_azure))
    assert provider.resume(handle).state is VolumeState.AVAILABLE


def test_a_pause_that_azure_asks_for_is_kept(fake_azure: FakeAzure) -> None:
    # The defence is `_next` in cloudcrypt_azure._polling.Progress.
    fake_azure.reset(timings=Timings(create=65, retry_after=30))
    provider = opened(fake_azure)
    handle = provider.begin(wanted())
    provider.resume(handle)
    assert looks(fake_azure) == 4  # at once, after 30, 60 and 90 seconds
    fake_azure.reset(timings=Timings(create=65, retry_after=0))
    other = opened(fake_azure)
    other.resume(other.begin(wanted()))
    assert looks(fake_azure) > 6


def test_an_operation_that_is_over_is_not_looked_at_again(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    fake_azure.clock.advance(60)
    provider.resume(handle)
    assert looks(fake_azure) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Throttling(), Throttled), (ServerError(503), ProviderUnavailable)],
)
def test_trouble_with_looking_is_no_failure_of_the_operation(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    fault: Throttling | ServerError,
    kind: type[CloudcryptError],
) -> None:
    handle = provider.begin(wanted())
    fake_azure.faults.add(fault, on="operations.get", times=None)
    with pytest.raises(kind):
        provider.resume(handle, deadline=within(fake_azure, 20))
    fake_azure.faults.clear()
    assert provider.resume(handle).name == "data"


def test_a_redirect_is_not_followed_with_the_token(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    fake_azure.faults.add(Refused("Moved", status=302), on="operations.get", times=None)
    with pytest.raises(ProviderUnavailable):
        provider.resume(handle, deadline=within(fake_azure, 5))


def test_a_url_that_azure_does_not_have_is_not_kept(provider: AzureProvider) -> None:
    assert provider._group.operation("https://example.org/steal") is None
    assert provider._group.operation(None) is None


def test_a_volume_that_was_deleted_since_is_not_found_by_its_old_handle(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    handle = provider.begin(wanted())
    volume = provider.resume(handle)
    perform(opened(fake_azure), DeleteVolume("delete", volume.id))
    with pytest.raises(NotFound):
        opened(fake_azure).resume(handle)
