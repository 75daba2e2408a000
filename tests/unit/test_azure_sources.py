"""Volumes that are made of something: what is asked for, and what they say about their origin."""

from collections.abc import Iterator

import attrs
import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    NotFound,
    RequestConflict,
    RequestRejected,
    WrongVolumeState,
)
from cloudcrypt.model import Blank, ClonedFrom, RestoredFrom
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import (
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    FromSnapshot,
    FromVolume,
    perform,
)
from cloudcrypt_azure import AzureProvider
from cloudcrypt_azure._tags import Source
from cloudcrypt_testing.fake_azure import FakeAzure, Timings
from tests.unit.azure_given import GONE, GROUP, SUBSCRIPTION, created, disk, opened, unique, wanted

MEGA = 1_000_000


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


def puts(azure: FakeAzure) -> int:
    return azure.requests.count("disks.createOrUpdate")


def test_a_snapshot_that_is_not_complete_is_not_restored(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.copy_in_background()
    volume = created(provider)
    provider.begin(CreateSnapshot("t", volume.id, "snap"))
    fake_azure.clock.advance(20)
    (snapshot,) = provider.snapshots()
    with pytest.raises(WrongVolumeState) as caught:
        provider.begin(wanted("restored", source=FromSnapshot(snapshot.id)))
    assert caught.value.state == "pending"
    assert puts(fake_azure) == 1


def test_a_restored_volume_says_what_it_was_taken_of(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider)
    snapshot = perform(provider, CreateSnapshot("t", volume.id, "snap", 7))
    restored = created(provider, "restored", source=FromSnapshot(snapshot.id))
    assert restored.origin == RestoredFrom(volume.id, 7)
    perform(provider, DeleteSnapshot("d", snapshot.id))
    assert opened(fake_azure).get(restored.id).origin == RestoredFrom(volume.id, 7)


@pytest.mark.parametrize("kind", ["PremiumV2_LRS", "UltraSSD_LRS"])
def test_a_snapshot_of_large_sectors_is_restored_as_a_type_that_has_them(
    provider: AzureProvider, kind: str
) -> None:
    volume = created(provider, kind=kind, size=4 * GIB)
    snapshot = perform(provider, CreateSnapshot("t", volume.id, "snap"))
    source = FromSnapshot(snapshot.id)
    assert created(provider, "one", source=source, size=4 * GIB).kind == "PremiumV2_LRS"
    with pytest.raises(RequestRejected):
        created(provider, "two", source=source, size=4 * GIB, kind="StandardSSD_LRS")


def test_a_clone_is_like_its_source(provider: AzureProvider) -> None:
    source = created(
        provider,
        "source",
        kind="PremiumV2_LRS",
        size=100 * GIB,
        iops=4000,
        throughput=200 * MEGA,
        place="westeurope/2",
    )
    clone = created(provider, "clone", size=200 * GIB, source=FromVolume(source.id, 2))
    assert (clone.kind, clone.iops, clone.throughput) == ("PremiumV2_LRS", 4000, 200 * MEGA)
    assert (clone.place, clone.origin) == ("westeurope/2", ClonedFrom(source.id, 2))


def test_a_clone_may_be_of_another_type(provider: AzureProvider) -> None:
    source = created(provider, "source", kind="Premium_LRS")
    clone = created(provider, "clone", source=FromVolume(source.id), kind="StandardSSD_LRS")
    assert (clone.kind, clone.origin) == ("StandardSSD_LRS", ClonedFrom(source.id))


def test_a_copy_is_neither_smaller_nor_in_another_location(provider: AzureProvider) -> None:
    source = created(provider, "source", size=4 * GIB)
    for change, parameter in (({"size": 3 * GIB}, "size"), ({"place": "northeurope"}, "place")):
        intent = attrs.evolve(wanted("clone", size=4 * GIB, source=FromVolume(source.id)), **change)
        with pytest.raises(InvalidRequest) as caught:
            provider.begin(intent)
        assert caught.value.parameter == parameter


def test_another_key_generation_of_the_source_is_another_source(provider: AzureProvider) -> None:
    source = created(provider, "source")
    created(provider, "clone", source=FromVolume(source.id, 1))
    with pytest.raises(RequestConflict) as caught:
        created(provider, "clone", source=FromVolume(source.id, 2), token="other")
    assert caught.value.fields == ("source",)


def test_a_copy_of_what_took_the_name_of_the_source_meanwhile_is_refused(
    fake_azure: FakeAzure,
) -> None:
    # The defence is `source_unique` in cloudcrypt_azure._volumes.source_of: requests name the
    # source by name, and somebody made it anew between our look and our PUT.
    fake_azure.reset(timings=Timings(create=0, delete=0))
    provider, other = opened(fake_azure), opened(fake_azure)
    source = created(provider, "source")

    def swap() -> None:
        perform(other, DeleteVolume("delete", source.id))
        created(other, "source", token="another one")

    fake_azure.meanwhile("disks.createOrUpdate", swap)
    with pytest.raises(RequestConflict) as caught:
        created(provider, "clone", source=FromVolume(source.id, 1))
    assert caught.value.fields == ("source",)


def test_a_source_that_goes_meanwhile_is_told_by_its_id(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.reset(timings=Timings(create=0, delete=0, snapshot=0))
    source = created(provider, "source")
    snapshot = perform(provider, CreateSnapshot("t", source.id, "snap"))
    other = opened(fake_azure)
    for asked, gone in (
        (FromVolume(source.id), DeleteVolume("d", source.id)),
        (FromSnapshot(snapshot.id), DeleteSnapshot("d", snapshot.id)),
    ):
        fake_azure.meanwhile("disks.createOrUpdate", lambda gone=gone: perform(other, gone))  # type: ignore[misc]
        with pytest.raises(NotFound) as caught:
            created(provider, f"copy-{len(fake_azure.disks())}", source=asked)
        assert caught.value.name in {source.id, snapshot.id}


def test_a_volume_that_others_copied_does_not_pass_for_blank(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    source = created(provider, "source")
    snapshot = perform(provider, CreateSnapshot("t", source.id, "snap"))
    clone = created(provider, "clone", source=FromVolume(source.id))
    restored = created(provider, "restored", source=FromSnapshot(snapshot.id))
    for volume in (clone, restored):
        fake_azure._cloud.put(attrs.evolve(disk(fake_azure, volume), tags={}))
    assert provider.get(clone.id).origin == ClonedFrom(source.id)
    root = f"azure:{SUBSCRIPTION}/{GROUP}"
    taken = RestoredFrom(f"{root}/snapshot-{unique(snapshot.id)}")
    assert provider.get(restored.id).origin == taken


def test_a_disk_made_of_an_image_does_not_pass_for_blank(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.run_instance()
    (system,) = fake_azure.disks(system=True)
    volume = provider.get(f"azure:{SUBSCRIPTION}/{GROUP}/{system}")
    assert volume.origin != Blank()
    assert volume.name.startswith("vm-1_osdisk")


def test_owners_do_not_see_each_other(fake_azure: FakeAzure) -> None:
    mine, yours = opened(fake_azure, owner="team a"), opened(fake_azure, owner="team-b")
    first, second = created(mine, "one"), created(yours, "two")
    assert [volume.id for volume in mine.list()] == [first.id]
    assert [volume.id for volume in yours.list()] == [second.id]
    assert list(yours.list(name="one")) == []
    assert yours.get(first.id) == first


@pytest.mark.parametrize("tag", ["", "x", "unique", "u of=v generation=x", "u of", "a b=c"])
def test_a_source_tag_of_somebody_else_is_none(tag: str) -> None:
    assert Source.of_tag(tag) is None


@pytest.mark.parametrize("generation", [None, 1, 2**63 - 1])
def test_a_source_survives_as_a_tag(generation: int | None) -> None:
    long = f"azure:{SUBSCRIPTION}/{'g' * 39}/{unique(GONE)}"
    source = Source(f"snapshot-{unique(GONE)}", long, generation)
    assert Source.of_tag(source.to_tag()) == source
    assert len(source.to_tag()) <= 256


def test_an_intent_with_a_source_of_another_group_is_not_found(provider: AzureProvider) -> None:
    elsewhere = FromVolume(GONE.replace(GROUP, "other"))
    with pytest.raises(NotFound):
        provider.begin(CreateVolume("t", "copy", GIB, elsewhere))


@pytest.mark.parametrize("kind", ["snapshot", "volume"])
def test_a_source_that_goes_meanwhile_is_named_as_the_caller_names_it(
    provider: AzureProvider, fake_azure: FakeAzure, kind: str
) -> None:
    volume = created(provider)
    snapshot = perform(provider, CreateSnapshot("t", volume.id, "snap"))
    other = opened(fake_azure)

    def away() -> None:
        if kind == "snapshot":
            perform(other, DeleteSnapshot("d", snapshot.id))
        else:
            perform(other, DeleteVolume("d", volume.id))

    fake_azure.meanwhile("disks.createOrUpdate", away)
    source = FromSnapshot(snapshot.id) if kind == "snapshot" else FromVolume(volume.id)
    with pytest.raises(NotFound) as caught:
        provider.begin(wanted("copy", source=source))
    assert (caught.value.kind, caught.value.name) == (
        kind,
        snapshot.id if kind == "snapshot" else volume.id,
    )
    assert caught.value.answer is not None  # it was Azure that said so
