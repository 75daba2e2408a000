"""What Azure shows of disks and snapshots, in the terms of all clouds."""

from collections.abc import Mapping
from typing import Final

from cloudcrypt.model import (
    Blank,
    ClonedFrom,
    Origin,
    RestoredFrom,
    Snapshot,
    SnapshotState,
    Volume,
    VolumeState,
)
from cloudcrypt_azure import _tags
from cloudcrypt_azure._ids import SNAPSHOT, Ids, canonical
from cloudcrypt_azure._records import DiskRecord, SnapshotRecord
from cloudcrypt_azure._tags import Source

_STATES: Final[Mapping[str, VolumeState]] = {
    "creating": VolumeState.CREATING,
    "deleting": VolumeState.DELETING,
}
_NOWHERE: Final = "unknown"


def to_volume(ids: Ids, record: DiskRecord) -> Volume:
    """Return what Azure shows in the terms of all clouds."""
    return Volume(
        id=ids.volume(record.unique),
        name=_tags.name_of(record.tags, record.name),
        size=record.size,
        state=_state(record),
        origin=origin_of(ids, record),
        created=record.created,
        holders=record.holders,
        place=record.place,
        kind=record.kind,
        iops=record.iops,
        throughput=record.throughput,
        cloud_key=record.key,
        multi_attach=record.is_shared,
        labels=_tags.labels_of(record.tags),
        maker=_tags.maker_of(record.tags, record.created),
    )


def to_snapshot(ids: Ids, record: SnapshotRecord) -> Snapshot:
    """Return what Azure shows in the terms of all clouds."""
    state = SnapshotState.ERROR if record.is_stillborn else SnapshotState.PENDING
    return Snapshot(
        id=ids.snapshot(record.unique),
        name=_tags.name_of(record.tags, record.name),
        volume_id=volume_of(ids, record),
        size=record.size,
        created=record.created,
        generation=_tags.generation_of(record.tags),
        state=SnapshotState.READY if record.is_ready else state,
    )


def volume_of(ids: Ids, record: SnapshotRecord) -> str:
    """Return the id of the volume that a snapshot was taken of: by our tag, else as Azure says.

    One that says neither names itself: it must not pass for one of something else.
    """
    recorded = _tags.tag(record.tags, _tags.VOLUME_TAG)
    return recorded or _id_of(ids, record.source, record.source_unique or SNAPSHOT + record.unique)


def origin_of(ids: Ids, record: DiskRecord) -> Origin:
    """Return what a volume was made from.

    A volume that other software restored from a snapshot names the snapshot itself: Azure does not
    say what that was taken of, and it must not pass for blank.
    """
    source = Source.of_tag(_tags.tag(record.tags, _tags.SOURCE_TAG))
    if source is not None:
        return source.origin
    if record.source is None:
        return Blank()
    if "/disks/" in record.source:
        return ClonedFrom(_id_of(ids, record.source, record.source_unique or _NOWHERE))
    unique = SNAPSHOT + (record.source_unique or _NOWHERE)
    return RestoredFrom(_id_of(ids, record.source, unique))


def source_of(record: DiskRecord) -> str | None:
    """Return what a volume was made from, as `Source.unique` has it; first what Azure says."""
    if record.source is None:
        return None
    prefix = "" if "/disks/" in record.source else SNAPSHOT
    if record.source_unique is not None:
        return prefix + record.source_unique
    source = Source.of_tag(_tags.tag(record.tags, _tags.SOURCE_TAG))
    return _NOWHERE if source is None else source.unique


def _state(record: DiskRecord) -> VolumeState:
    """Return the state; a change that failed leaves a volume that can be used."""
    if record.is_stillborn:
        return VolumeState.ERROR
    idle = VolumeState.ATTACHED if record.holders else VolumeState.AVAILABLE
    return _STATES.get(record.state, idle)


def _id_of(ids: Ids, path: str | None, unique: str) -> str:
    """Return the id of what is at ``path``, perhaps in another resource group."""
    parts = (path or "").split("/")
    is_path = len(parts) > 4 and parts[3] == "resourcegroups"
    group = parts[4] if is_path else ids.group
    subscription = parts[2] if is_path else ids.subscription
    return canonical(subscription, group, unique)
