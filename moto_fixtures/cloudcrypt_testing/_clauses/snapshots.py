"""Clauses about copies: snapshots, what is restored from them, and clones."""

from collections.abc import Callable

import pytest

from cloudcrypt.errors import InvalidRequest, NotFound, RequestConflict
from cloudcrypt.model import Attachment, ClonedFrom, RestoredFrom, Snapshot, Volume
from cloudcrypt.spi import (
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    FromSnapshot,
    FromVolume,
    VolumeProvider,
    perform,
)
from cloudcrypt_testing._clauses.given import Given, clause, interrupted, needs


class SnapshotClauses(Given):
    """A snapshot is of one volume, and outlives it."""

    @clause("8.1")
    def test_a_snapshot_names_its_volume_and_keeps_the_generation(
        self, provider: VolumeProvider, snapshot: Snapshot, volume: Volume
    ) -> None:
        assert (snapshot.volume_id, snapshot.size) == (volume.id, volume.size)
        assert snapshot.generation == 7
        assert [each for each in provider.snapshots() if each.id == snapshot.id] == [snapshot]

    @clause("8.2")
    def test_the_same_name_of_the_same_volume_is_the_same_snapshot(
        self, provider: VolumeProvider, fresh: Callable[[], str], snapshot: Snapshot
    ) -> None:
        intent = CreateSnapshot(fresh(), snapshot.volume_id, snapshot.name, snapshot.generation)
        assert perform(provider, intent) == snapshot

    @clause("8.3")
    def test_the_same_name_of_another_volume_conflicts_and_names_the_field(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        snapshot: Snapshot,
        create: Callable[..., Volume],
    ) -> None:
        other = create()
        with pytest.raises(RequestConflict) as caught:
            perform(provider, CreateSnapshot(fresh(), other.id, snapshot.name, 7))
        assert caught.value.fields == ("volume_id",)

    @clause("8.4")
    def test_a_snapshot_of_an_attached_volume_is_taken(
        self, provider: VolumeProvider, fresh: Callable[[], str], attachment: Attachment
    ) -> None:
        needs(provider.capabilities.snapshots, "snapshots")
        taken = perform(provider, CreateSnapshot(fresh(), attachment.volume_id, fresh()))
        assert taken.volume_id == attachment.volume_id

    @clause("1.4")
    def test_a_snapshot_whose_reply_was_lost_is_finished_by_another_process(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        fresh: Callable[[], str],
        volume: Volume,
    ) -> None:
        needs(provider.capabilities.snapshots, "snapshots")
        intent = CreateSnapshot(fresh(), volume.id, fresh())
        taken = interrupted(provider, reopen, intent)
        assert [each for each in provider.snapshots() if each.name == intent.name] == [taken]

    @clause("8.5")
    def test_a_snapshot_outlives_its_volume(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        snapshot: Snapshot,
        create: Callable[..., Volume],
    ) -> None:
        perform(provider, DeleteVolume(fresh(), snapshot.volume_id))
        restored = create(FromSnapshot(snapshot.id))
        assert restored.origin == RestoredFrom(snapshot.volume_id, 7)

    @clause("8.6")
    def test_a_deleted_snapshot_is_gone_and_deleting_it_again_succeeds(
        self, provider: VolumeProvider, fresh: Callable[[], str], snapshot: Snapshot
    ) -> None:
        perform(provider, DeleteSnapshot(fresh(), snapshot.id))
        assert snapshot.id not in [each.id for each in provider.snapshots()]
        perform(provider, DeleteSnapshot(fresh(), snapshot.id))

    @clause("8.7")
    def test_a_snapshot_of_a_volume_that_is_gone_is_not_taken(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        needs(provider.capabilities.snapshots, "snapshots")
        perform(provider, DeleteVolume(fresh(), volume.id))
        with pytest.raises(NotFound):
            perform(provider, CreateSnapshot(fresh(), volume.id, fresh()))


class RestoreClauses(Given):
    """A copy is another volume, and says what it is a copy of."""

    @clause("9.1")
    def test_a_restored_volume_is_another_one_with_its_origin(
        self, snapshot: Snapshot, create: Callable[..., Volume]
    ) -> None:
        restored = create(FromSnapshot(snapshot.id))
        assert restored.id != snapshot.volume_id
        assert restored.origin == RestoredFrom(snapshot.volume_id, 7)

    @clause("9.2")
    def test_a_restored_volume_may_be_larger_but_not_smaller(
        self, provider: VolumeProvider, fresh: Callable[[], str], snapshot: Snapshot
    ) -> None:
        source = FromSnapshot(snapshot.id)
        larger = CreateVolume(fresh(), fresh(), 2 * snapshot.size, source)
        assert perform(provider, larger).size == 2 * snapshot.size
        with pytest.raises(InvalidRequest) as caught:
            perform(provider, CreateVolume(fresh(), fresh(), snapshot.size - 1, source))
        assert caught.value.parameter == "size"

    @clause("9.3")
    def test_a_restored_volume_outlives_its_snapshot(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        snapshot: Snapshot,
        create: Callable[..., Volume],
    ) -> None:
        restored = create(FromSnapshot(snapshot.id))
        perform(provider, DeleteSnapshot(fresh(), snapshot.id))
        assert provider.get(restored.id) == restored

    @clause("9.4")
    def test_restoring_from_a_snapshot_that_is_gone_is_not_found(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        snapshot: Snapshot,
        create: Callable[..., Volume],
    ) -> None:
        perform(provider, DeleteSnapshot(fresh(), snapshot.id))
        with pytest.raises(NotFound):
            create(FromSnapshot(snapshot.id))

    @clause("9.5")
    def test_the_same_name_with_another_source_conflicts_and_names_the_field(
        self, volume: Volume, snapshot: Snapshot, create: Callable[..., Volume]
    ) -> None:
        with pytest.raises(RequestConflict) as caught:
            create(FromSnapshot(snapshot.id), name=volume.name)
        assert caught.value.fields == ("source",)

    @clause("9.6")
    def test_a_clone_is_another_volume_with_its_origin(
        self, provider: VolumeProvider, volume: Volume, create: Callable[..., Volume]
    ) -> None:
        needs(provider.capabilities.clones, "clones")
        clone = create(FromVolume(volume.id, 3))
        assert clone.id != volume.id
        assert clone.origin == ClonedFrom(volume.id, 3)

    @clause("9.4")
    def test_cloning_a_volume_that_is_gone_is_not_found(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        volume: Volume,
        create: Callable[..., Volume],
    ) -> None:
        needs(provider.capabilities.clones, "clones")
        perform(provider, DeleteVolume(fresh(), volume.id))
        with pytest.raises(NotFound):
            create(FromVolume(volume.id, 3))
