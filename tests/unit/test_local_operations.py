"""What the local provider allows in which state, beyond what holds for every provider."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    CloudcryptError,
    InvalidRequest,
    InvalidVolumeId,
    NotFound,
    RequestConflict,
    UnsupportedOperation,
    WrongVolumeState,
)
from cloudcrypt.model import Snapshot, Volume, VolumeState
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    FromSnapshot,
    FromVolume,
    Intent,
    ResizeVolume,
    perform,
)
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIZE = 65536


@pytest.fixture
def provider(tmp_path: Path) -> LocalProvider:
    return LocalProvider(tmp_path / "store", clock=lambda: NOW)


@pytest.fixture
def volume(provider: LocalProvider) -> Volume:
    return perform(provider, CreateVolume("volume", "old", SIZE))


@pytest.fixture
def snapshot(provider: LocalProvider, volume: Volume) -> Snapshot:
    return perform(provider, CreateSnapshot("snapshot", volume.id, "snapshot"))


def test_the_time_of_creation_is_that_of_the_clock(volume: Volume, snapshot: Snapshot) -> None:
    assert (volume.created, snapshot.created) == (NOW, NOW)


def test_an_id_that_was_used_before_is_drawn_again(tmp_path: Path) -> None:
    store, operations, first, second = bytes(6), [b"a" * 9, b"b" * 9, b"c" * 9], b"1" * 9, b"2" * 9
    draws = iter([store, operations[0], first, operations[1], operations[2], first, second])
    provider = LocalProvider(tmp_path / "store", randomness=lambda _: next(draws))
    old = perform(provider, CreateVolume("t", "n", SIZE))
    perform(provider, DeleteVolume("u", old.id))
    new = perform(provider, CreateVolume("v", "n", SIZE))
    prefix = "local:000000000000/vol-"
    assert (old.id, new.id) == (f"{prefix}31313131313131313", f"{prefix}32323232323232323")


@pytest.mark.parametrize(
    ("parameter", "intent"),
    [
        ("place", CreateVolume("t", "n", SIZE, place="zone-a")),
        ("kind", CreateVolume("t", "n", SIZE, kind="ssd")),
        ("iops", CreateVolume("t", "n", SIZE, iops=100)),
        ("throughput", CreateVolume("t", "n", SIZE, throughput=1)),
    ],
)
def test_what_a_directory_does_not_have_is_refused(
    provider: LocalProvider, parameter: str, intent: CreateVolume
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(intent)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("name", ["", "n" * 256, "new\nline", "\udc80"])
def test_a_name_is_printable_text_of_bounded_length(provider: LocalProvider, name: str) -> None:
    with pytest.raises(InvalidRequest):
        provider.begin(CreateVolume("t", name, SIZE))
    assert list(provider.list()) == []


@pytest.mark.parametrize("generation", [-1, 2**63])
def test_a_generation_out_of_range_is_refused(
    provider: LocalProvider, volume: Volume, generation: int
) -> None:
    with pytest.raises(InvalidRequest):
        provider.begin(CreateSnapshot("t", volume.id, "n", generation))
    with pytest.raises(InvalidRequest):
        provider.begin(CreateVolume("t", "n", SIZE, FromVolume(volume.id, generation)))


def test_an_operation_that_is_not_known_is_not_offered(provider: LocalProvider) -> None:
    with pytest.raises(UnsupportedOperation):
        provider.begin(Intent("t"))


@pytest.mark.parametrize("volume_id", ["", "white space", "\udc80"])
def test_what_is_not_an_id_is_not_looked_for(provider: LocalProvider, volume_id: str) -> None:
    with pytest.raises(InvalidVolumeId):
        provider.get(volume_id)
    with pytest.raises(InvalidVolumeId):
        provider.begin(CreateVolume("t", "n", SIZE, FromSnapshot(volume_id)))


def test_volumes_and_snapshots_are_not_taken_for_each_other(
    provider: LocalProvider, volume: Volume, snapshot: Snapshot
) -> None:
    intents: list[Intent[Any]] = [
        DeleteVolume("t", snapshot.id),
        DeleteSnapshot("t", volume.id),
        AttachVolume("t", snapshot.id, "node"),
        CreateSnapshot("t", snapshot.id, "n"),
        CreateVolume("t", "n", SIZE, FromSnapshot(volume.id)),
        CreateVolume("t", "n", SIZE, FromVolume(snapshot.id)),
    ]
    for intent in intents:
        with pytest.raises(NotFound):
            provider.begin(intent)
    with pytest.raises(NotFound):
        provider.get(snapshot.id)


def test_deleting_what_belongs_to_another_store_is_not_a_success(
    provider: LocalProvider, tmp_path: Path
) -> None:
    other = LocalProvider(tmp_path / "other")
    foreign = perform(other, CreateVolume("t", "n", SIZE))
    with pytest.raises(NotFound):
        provider.begin(DeleteVolume("t", foreign.id))


def test_another_verb_with_a_used_token_conflicts(provider: LocalProvider, volume: Volume) -> None:
    with pytest.raises(RequestConflict) as caught:
        provider.begin(DeleteVolume("volume", volume.id))
    assert caught.value.fields == ("operation",)


def test_the_same_token_with_the_same_source_and_labels_is_the_same_operation(
    provider: LocalProvider, volume: Volume
) -> None:
    source = FromVolume(volume.id, 1)
    intent = CreateVolume("t", "n", SIZE, source, labels={"a": "1", "b": "2"})
    same = attrs.evolve(intent, labels={"b": "2", "a": "1"})
    assert provider.begin(intent).reference == provider.begin(same).reference
    with pytest.raises(RequestConflict) as caught:
        provider.begin(attrs.evolve(intent, source=FromVolume(volume.id, 2), labels={}))
    assert caught.value.fields == ("labels", "source")


def test_what_the_intent_leaves_open_does_not_differ(
    provider: LocalProvider, volume: Volume
) -> None:
    intent = CreateVolume("t", "n", SIZE, FromVolume(volume.id, 1), labels={"a": "1", "b": "2"})
    made = perform(provider, intent)
    less = attrs.evolve(intent, token="u", source=FromVolume(volume.id), labels={"b": "2"})
    assert perform(provider, less) == made
    taken = perform(provider, CreateSnapshot("s", volume.id, "nightly", 7))
    assert perform(provider, CreateSnapshot("r", volume.id, "nightly")) == taken
    for generation, wanted in ((2, less), (1, attrs.evolve(less, labels={"b": "3"}))):
        source = FromVolume(volume.id, generation)
        with pytest.raises(RequestConflict):
            provider.begin(attrs.evolve(wanted, token="v", source=source))


def test_the_same_token_of_another_maker_is_the_same_operation(provider: LocalProvider) -> None:
    intent = CreateVolume("t", "n", SIZE, maker="host-1")
    handle = provider.begin(intent)
    other = attrs.evolve(intent, maker="host-2")
    assert provider.begin(other).reference == handle.reference
    found = provider.find(other)
    assert found is not None
    assert provider.resume(found).maker == "host-1"


def test_the_same_name_with_other_labels_conflicts(provider: LocalProvider, volume: Volume) -> None:
    with pytest.raises(RequestConflict) as caught:
        provider.begin(CreateVolume("t", volume.name, SIZE, labels={"a": "1"}))
    assert caught.value.fields == ("labels",)


def test_a_handle_with_another_intent_than_it_was_begun_for_conflicts(
    provider: LocalProvider,
) -> None:
    handle = provider.begin(CreateVolume("t", "n", SIZE))
    with pytest.raises(RequestConflict):
        provider.resume(
            attrs.evolve(handle, intent=CreateVolume("t", "m", SIZE)), deadline=Deadline.after(0)
        )


def test_an_attachment_that_has_moved_on_is_not_claimed(
    provider: LocalProvider, volume: Volume
) -> None:
    handle = provider.begin(AttachVolume("a", volume.id, "one"))
    perform(provider, DetachVolume("d", volume.id, "one"))
    perform(provider, AttachVolume("b", volume.id, "two"))
    with pytest.raises(AttachedElsewhere) as caught:
        provider.resume(handle, deadline=Deadline.after(0))
    assert caught.value.holder == "two"


def test_what_is_still_being_created_cannot_be_used_yet(provider: LocalProvider) -> None:
    provider.begin(CreateVolume("t", "n", SIZE))
    volume = next(provider.list())
    assert volume.state is VolumeState.CREATING
    intents: list[Intent[Any]] = [
        AttachVolume("u", volume.id, "node"),
        ResizeVolume("u", volume.id, 2 * SIZE),
        CreateSnapshot("u", volume.id, "s"),
        CreateVolume("u", "m", SIZE, FromVolume(volume.id)),
    ]
    for intent in intents:
        with pytest.raises(WrongVolumeState) as caught:
            provider.begin(intent)
        assert (caught.value.state, caught.value.retryable) == ("creating", True)
    assert perform(provider, DetachVolume("u", volume.id, "node")) == volume


def test_a_snapshot_is_listed_and_restored_only_once_it_is_complete(
    provider: LocalProvider, volume: Volume
) -> None:
    handle = provider.begin(CreateSnapshot("s", volume.id, "s"))
    assert list(provider.snapshots()) == []
    snapshot_id = provider._operation(handle.intent).subject  # type: ignore[union-attr]
    restore = CreateVolume("t", "n", SIZE, FromSnapshot(snapshot_id))
    with pytest.raises(WrongVolumeState):
        provider.begin(restore)
    provider.resume(handle, deadline=Deadline.after(0))
    assert [snapshot.id for snapshot in provider.snapshots()] == [snapshot_id]
    assert perform(provider, restore).size == SIZE


def test_what_is_being_deleted_cannot_be_used_any_more(
    provider: LocalProvider, volume: Volume
) -> None:
    handle = provider.begin(DeleteVolume("d", volume.id))
    assert provider.get(volume.id).state is VolumeState.DELETING
    for intent in (AttachVolume("u", volume.id, "node"), CreateVolume("u", "old", SIZE)):
        with pytest.raises(WrongVolumeState) as caught:
            provider.begin(intent)
        assert caught.value.state == "deleting"
    assert provider.resume(handle, deadline=Deadline.after(0)) is None
    assert perform(provider, DeleteVolume("again", volume.id)) is None
    assert perform(provider, CreateVolume("u", "old", SIZE)).id != volume.id


def _snapshot(
    provider: LocalProvider, volume: Volume, _: Snapshot
) -> tuple[Intent[Any], Intent[Any]]:
    return CreateSnapshot("copy", volume.id, "s"), DeleteVolume("d", volume.id)


def _clone(provider: LocalProvider, volume: Volume, _: Snapshot) -> tuple[Intent[Any], Intent[Any]]:
    return CreateVolume("copy", "n", SIZE, FromVolume(volume.id)), DeleteVolume("d", volume.id)


def _restore(_: LocalProvider, __: Volume, snapshot: Snapshot) -> tuple[Intent[Any], Intent[Any]]:
    source = FromSnapshot(snapshot.id)
    return CreateVolume("copy", "n", SIZE, source), DeleteSnapshot("d", snapshot.id)


@pytest.mark.parametrize("make", [_snapshot, _clone, _restore])
def test_what_is_still_to_be_copied_is_not_deleted(
    provider: LocalProvider,
    volume: Volume,
    snapshot: Snapshot,
    make: Callable[..., tuple[Intent[Any], Intent[Any]]],
) -> None:
    copy, deletion = make(provider, volume, snapshot)
    handle = provider.begin(copy)
    with pytest.raises(WrongVolumeState, match="being copied"):
        provider.begin(deletion)
    provider.resume(handle, deadline=Deadline.after(0))
    assert perform(provider, deletion) is None


def test_an_accepted_size_shows_once_the_volume_has_it_and_the_largest_wins(
    provider: LocalProvider, volume: Volume
) -> None:
    larger = provider.begin(ResizeVolume("a", volume.id, 4 * SIZE))
    smaller = provider.begin(ResizeVolume("b", volume.id, 2 * SIZE))
    assert provider.get(volume.id).size == SIZE
    assert provider.resume(smaller, deadline=Deadline.after(0)).size == 4 * SIZE
    assert provider.resume(larger, deadline=Deadline.after(0)).size == 4 * SIZE


def test_an_attached_volume_keeps_its_holder_while_it_grows(
    provider: LocalProvider, volume: Volume
) -> None:
    handle = provider.begin(ResizeVolume("r", volume.id, 2 * SIZE))
    perform(provider, AttachVolume("a", volume.id, "node"))
    assert provider.resume(handle, deadline=Deadline.after(0)).holders == ("node",)


def test_a_refused_intent_is_not_recorded(provider: LocalProvider, volume: Volume) -> None:
    intent = ResizeVolume("t", volume.id, 4096)
    with pytest.raises(CloudcryptError):
        provider.begin(intent)
    assert provider.find(intent) is None
    assert perform(provider, ResizeVolume("t", volume.id, 2 * SIZE)).size == 2 * SIZE
