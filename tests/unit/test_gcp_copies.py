"""Copies on GCE: restored volumes and clones, and what they are copies of."""

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from google.cloud import compute_v1

from cloudcrypt.errors import InvalidRequest, NotFound, RequestConflict, WrongVolumeState
from cloudcrypt.model import ClonedFrom, RestoredFrom
from cloudcrypt.sizes import GIB, MIB
from cloudcrypt.spi import CreateSnapshot, DeleteSnapshot, FromSnapshot, FromVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_gcp._ids import Site
from cloudcrypt_gcp._records import DiskRecord
from cloudcrypt_gcp._volumes import origin_of
from cloudcrypt_testing.fake_gce import FakeGce
from tests.unit.gcp_given import (
    OTHER_ZONE,
    REGION,
    ZONE,
    created,
    disk,
    edited,
    opened,
    wanted,
)

HA = "hyperdisk-balanced-high-availability"
FAST: dict[str, Any] = {"kind": "hyperdisk-balanced", "iops": 3000, "throughput": 150 * MIB}


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


# --- copies --------------------------------------------------------------------------------------


def test_a_restored_volume_says_what_the_snapshot_was_taken_of(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    snapshot = perform(provider, CreateSnapshot("s", volume.id, "nightly", 3))
    source = FromSnapshot(snapshot.id)
    restored = created(provider, "copy", source=source, place=OTHER_ZONE)
    assert restored.origin == RestoredFrom(volume.id, 3)
    assert restored.place == OTHER_ZONE
    assert created(provider, "copy", token="t2", source=source, place=OTHER_ZONE) == restored
    perform(provider, DeleteSnapshot("d", snapshot.id))
    assert provider.get(restored.id).origin == RestoredFrom(volume.id, 3)
    # What the description says counts only as far as GCE says the same.
    edited(fake_gce, restored, source_snapshot_id="99")
    assert provider.get(restored.id).origin == RestoredFrom("gcp:demo-project/snapshots/99")


def test_a_snapshot_of_a_namesake_is_not_what_was_asked_for(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    snapshot = perform(provider, CreateSnapshot("s", volume.id, "nightly"))
    handle = provider.begin(wanted("copy", source=FromSnapshot(snapshot.id)))
    restored = provider.resume(handle)
    # A body names a snapshot by its name only: between look and request it may be another one.
    edited(fake_gce, restored, source_snapshot_id="99")
    with pytest.raises(RequestConflict) as caught:
        provider.resume(handle)
    assert caught.value.fields == ("source",)


def test_a_snapshot_that_is_not_ready_is_not_restored(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    provider.begin(CreateSnapshot("s", volume.id, "nightly"))
    (snapshot,) = provider.snapshots()
    with pytest.raises(WrongVolumeState):
        provider.begin(wanted("copy", source=FromSnapshot(snapshot.id)))
    assert len(fake_gce.disks()) == 1


def test_a_snapshot_that_is_being_deleted_is_not_found(provider: GcpProvider) -> None:
    snapshot = perform(provider, CreateSnapshot("s", created(provider).id, "nightly"))
    provider.begin(DeleteSnapshot("d", snapshot.id))
    with pytest.raises(NotFound):
        provider.begin(wanted("copy", source=FromSnapshot(snapshot.id)))


def test_a_clone_is_like_its_source_and_beside_it(provider: GcpProvider) -> None:
    volume = created(provider, **FAST, place=OTHER_ZONE)
    clone = created(provider, "copy", source=FromVolume(volume.id, 2))
    assert clone.origin == ClonedFrom(volume.id, 2)
    for field in ("place", "kind", "iops", "throughput", "size"):
        assert getattr(clone, field) == getattr(volume, field)


def test_a_clone_of_a_regional_volume_is_regional(provider: GcpProvider) -> None:
    volume = created(provider, place=REGION)
    clone = created(provider, "copy", source=FromVolume(volume.id))
    assert clone.place == volume.place
    assert clone.origin == ClonedFrom(volume.id)


def test_a_clone_in_another_zone_is_refused(provider: GcpProvider) -> None:
    volume = created(provider)
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(wanted("copy", source=FromVolume(volume.id), place=OTHER_ZONE))
    assert caught.value.parameter == "place"


def test_a_clone_that_is_smaller_than_its_source_is_refused(provider: GcpProvider) -> None:
    volume = created(provider)
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(wanted("copy", size=9 * GIB, source=FromVolume(volume.id)))
    assert caught.value.parameter == "size"


def test_a_clone_with_another_generation_is_another_source(provider: GcpProvider) -> None:
    volume = created(provider)
    created(provider, "copy", source=FromVolume(volume.id, 1))
    with pytest.raises(RequestConflict) as caught:
        created(provider, "copy", token="another", source=FromVolume(volume.id, 2))
    assert caught.value.fields == ("source",)


def test_a_disk_that_other_software_made_of_something_is_not_blank(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    theirs = {"description": "", "labels": {}}
    edited(fake_gce, volume, **theirs, source_disk=disk(fake_gce, volume).path, source_disk_id="7")
    assert provider.get(volume.id).origin == ClonedFrom(f"gcp:demo-project/{ZONE}/7")
    assert provider.get(volume.id).name == "data"


def test_a_snapshot_of_other_software_is_restored_as_a_copy_of_its_disk(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    snapshot = perform(provider, CreateSnapshot("s", volume.id, "nightly", 3))
    with fake_gce._cloud.lock:
        (record,) = fake_gce.snapshots().values()
        fake_gce._cloud.snapshots[record.id] = attrs.evolve(record, description="", labels={})
    restored = created(provider, "copy", source=FromSnapshot(snapshot.id))
    assert restored.origin == RestoredFrom(volume.id)


def test_a_copy_is_one_also_when_gce_forgets_of_what(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    clone = created(provider, "copy", source=FromVolume(volume.id, 2))
    edited(fake_gce, clone, source_disk=None, source_disk_id=None)
    assert provider.get(clone.id).origin == ClonedFrom(volume.id, 2)
    assert created(provider, "copy", token="t2", source=FromVolume(volume.id, 2)).id == clone.id


@pytest.mark.parametrize(
    "field", ["source_image", "source_image_id", "source_instant_snapshot", "source_storage_object"]
)
def test_a_disk_of_an_image_is_not_blank(field: str) -> None:
    shown = compute_v1.Disk(id=7, name="boot", zone="projects/p/zones/z-a", **{field: "debian"})
    record = DiskRecord.of(shown)
    assert origin_of(Site("p", "z"), record) == RestoredFrom("gcp:debian")


def test_a_time_that_nobody_can_read_is_the_first_one() -> None:
    assert DiskRecord.of(compute_v1.Disk(creation_timestamp="yesterday")).created.year == 1970
