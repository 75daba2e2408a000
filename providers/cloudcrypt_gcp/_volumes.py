"""What GCE shows of a volume, in the terms of all clouds."""

from typing import Final

from cloudcrypt.model import Blank, ClonedFrom, Origin, RestoredFrom, Volume, VolumeState
from cloudcrypt_gcp import _marks
from cloudcrypt_gcp._ids import Site, holder, is_snapshot
from cloudcrypt_gcp._marks import Source
from cloudcrypt_gcp._records import DiskRecord

STATES: Final = {
    "CREATING": VolumeState.CREATING,
    "RESTORING": VolumeState.CREATING,
    "READY": VolumeState.AVAILABLE,
    "DELETING": VolumeState.DELETING,
    "FAILED": VolumeState.ERROR,
    "UNAVAILABLE": VolumeState.ERROR,
}
"""GCE does not call a disk that is attached differently."""


def to_volume(site: Site, record: DiskRecord) -> Volume:
    """Return what GCE shows in the terms of all clouds."""
    state = STATES.get(record.status, VolumeState.ERROR)
    if state is VolumeState.AVAILABLE and record.users:
        state = VolumeState.ATTACHED
    return Volume(
        id=site.volume_id(record.scope, record.number),
        name=record.name if record.mark is None else record.mark.name,
        size=record.size,
        state=state,
        origin=origin_of(site, record),
        created=record.created,
        holders=holders_of(site, record),
        place=record.place,
        kind=record.kind,
        iops=record.iops,
        throughput=record.throughput,
        cloud_key=record.key,
        multi_attach=record.is_shared,
        labels=_marks.callers_labels(record.labels),
        maker=None if record.mark is None else record.mark.maker,
    )


def holders_of(site: Site, record: DiskRecord) -> tuple[str, ...]:
    """Return the instances that a disk is attached to, as cloudcrypt calls them."""
    return tuple(holder(site.project, path) for path in record.users)


def origin_of(site: Site, record: DiskRecord) -> Origin:
    """Return what a volume was made from.

    A volume that other software made from something must not pass for blank.
    """
    source = source_of(site, record)
    if source is not None:
        kind = RestoredFrom if is_snapshot(source.id) else ClonedFrom
        return kind(source.of, source.generation)
    if record.other_source is not None:
        return RestoredFrom(f"gcp:{record.other_source}")
    return Blank()


def source_of(site: Site, record: DiskRecord) -> Source | None:
    """Return the snapshot or volume that a volume was made from, or None.

    What GCE says counts. Where the description says the same, or GCE nothing, it adds whom a
    snapshot was taken of, and the generation.
    """
    known = None if record.mark is None else record.mark.source
    number = record.snapshot or record.disk
    if number is None or (known is not None and _is_of(known, number, record)):
        return known
    if record.snapshot is not None:
        shown = site.snapshot_id(number)
    else:
        shown = site.volume_id(record.scope, number)
    return Source(shown, shown)


def _is_of(known: Source, number: str, record: DiskRecord) -> bool:
    """Say whether a description means what GCE shows; the scope of a source is not shown."""
    is_same_kind = is_snapshot(known.id) == (record.snapshot is not None)
    return is_same_kind and known.id.endswith(f"/{number}")
