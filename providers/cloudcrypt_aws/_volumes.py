"""What EC2 shows of a volume, in the terms of all clouds."""

from typing import Final

from cloudcrypt.model import Blank, ClonedFrom, Origin, RestoredFrom, Volume, VolumeState
from cloudcrypt_aws import _tags
from cloudcrypt_aws._ids import canonical
from cloudcrypt_aws._records import VolumeRecord
from cloudcrypt_aws._tags import Source

STATES: Final = {
    "creating": VolumeState.CREATING,
    "available": VolumeState.AVAILABLE,
    "in-use": VolumeState.ATTACHED,
    "deleting": VolumeState.DELETING,
    "deleted": VolumeState.DELETING,
    "error": VolumeState.ERROR,
}


def to_volume(region: str, record: VolumeRecord) -> Volume:
    """Return what EC2 shows in the terms of all clouds."""
    return Volume(
        id=canonical(region, record.id),
        name=_tags.name_of(record.tags, record.id),
        size=record.size,
        state=STATES.get(record.state, VolumeState.ERROR),
        origin=origin_of(region, record),
        created=record.created,
        holders=tuple(one.instance for one in record.attached),
        place=record.zone,
        kind=record.kind,
        iops=record.iops,
        throughput=record.throughput,
        cloud_key=record.key,
        multi_attach=record.is_multi_attach,
        labels=_tags.labels_of(record.tags),
        maker=record.tags.get(_tags.MAKER_TAG),
    )


def origin_of(region: str, record: VolumeRecord) -> Origin:
    """Return what a volume was made from.

    A volume that other software restored from a snapshot names the snapshot itself: EC2 does not
    say what that was taken of, and it must not pass for blank.
    """
    source = Source.of_tag(record.tags.get(_tags.SOURCE_TAG, ""))
    if source is not None:
        return source.origin
    if record.source is not None:
        return ClonedFrom(canonical(region, record.source))
    if record.snapshot is not None:
        return RestoredFrom(canonical(region, record.snapshot))
    return Blank()
