"""GCE and other callers: what they have made counts, and one who is throttled stops nobody else."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import CloudcryptError
from cloudcrypt.model import Volume
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import DetachVolume, ResizeVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce
from tests.unit.gcp_given import ZONE, attached, attaching, created, opened, within


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


@pytest.fixture
def instance(fake_gce: FakeGce) -> str:
    return fake_gce.run_instance(ZONE, name="vm-1")


@pytest.fixture
def volume(provider: GcpProvider) -> Volume:
    return created(provider)


# --- what others have done meanwhile --------------------------------------------------------------


def test_an_attachment_that_was_throttled_and_that_another_one_has_made_is_made(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.fail_next("instances.attachDisk", "RATE_LIMIT_EXCEEDED")
    handle = provider.begin(attaching(volume, instance))
    fake_gce.clock.advance(10)
    perform(provider, attaching(volume, instance, "another"))
    assert provider.resume(handle).instance == instance


def test_a_detachment_that_was_throttled_and_that_another_one_has_made_is_made(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    attached(provider, volume, instance)
    fake_gce.fail_next("instances.detachDisk", "RATE_LIMIT_EXCEEDED")
    handle = provider.begin(DetachVolume("d", volume.id, instance))
    fake_gce.clock.advance(10)
    perform(provider, DetachVolume("another", volume.id, instance))
    assert provider.resume(handle).holders == ()


def test_a_change_that_was_throttled_and_that_another_one_has_made_is_made(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.resize", "RESOURCE_OPERATION_RATE_EXCEEDED")
    handle = provider.begin(ResizeVolume("r", volume.id, 20 * GIB))
    fake_gce.clock.advance(10)
    perform(provider, ResizeVolume("another", volume.id, 20 * GIB))
    assert provider.resume(handle).size == 20 * GIB


def test_two_who_attach_to_one_instance_at_once_have_one_attachment(
    provider: GcpProvider, volume: Volume, instance: str
) -> None:
    handles = [provider.begin(attaching(volume, instance, token)) for token in ("a", "b")]
    documents = {provider.resume(handle) for handle in handles}
    assert len(documents) == 1


def test_a_change_that_is_refused_within_the_operation_since_it_is_so_already_is_made(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.resize", "INVALID_USAGE")
    handle = provider.begin(ResizeVolume("r", volume.id, 20 * GIB))
    perform(provider, ResizeVolume("another", volume.id, 20 * GIB))
    assert provider.resume(handle).size == 20 * GIB


# --- throttling -----------------------------------------------------------------------------------


def test_labels_that_were_throttled_after_they_were_accepted_are_set(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.fail_next("disks.setLabels", "RATE_LIMIT_EXCEEDED")
    assert provider.set_labels(volume.id, {"team": "storage"}).labels == {"team": "storage"}


def test_a_full_queue_of_one_instance_does_not_slow_down_the_others(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    """The defence is in `Api.once`: ``and not _is_of_one(refusal)``."""
    fake_gce.limit_pending(instance, 0)
    with pytest.raises(CloudcryptError) as caught:
        provider.begin(attaching(volume, instance), deadline=within(fake_gce, 30))
    assert caught.value.retryable
    assert provider._api._families["attach"].bucket.rate == float("inf")
    begun = fake_gce.clock.monotonic()
    provider.begin(attaching(volume, fake_gce.run_instance(ZONE, name="vm-2")))
    assert fake_gce.clock.monotonic() == begun
