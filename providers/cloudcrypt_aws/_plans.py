"""What a new volume is asked for with, and whether a volume is what was asked for."""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

import attrs

from cloudcrypt.errors import InvalidRequest, NotFound, WrongVolumeState
from cloudcrypt.spi import CreateVolume, FromSnapshot, FromVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws import _tags, _types
from cloudcrypt_aws._records import SnapshotRecord, VolumeRecord
from cloudcrypt_aws._region import Region
from cloudcrypt_aws._tags import Source

_ZONE_ID: Final = re.compile(r"[a-z]{2,4}[0-9](-[a-z0-9]+)*-az[0-9]+", re.ASCII)  # euc1-az2
_UNKNOWN_VOLUME: Final = "vol-ffffffff"
"""What EC2 shows as the volume of a snapshot that was copied (EC2 API reference, CopySnapshot)."""


@attrs.frozen
class Creation:
    """One request that creates a volume, and what its errors name."""

    action: str
    parameters: Mapping[str, object]
    names: Mapping[str, str]


@attrs.frozen
class Plans:
    """Turns intents into requests; ``zone`` is for those that name no place."""

    region: Region
    zone: str | None

    def creation(self, intent: CreateVolume, deadline: Deadline) -> Creation:
        """Return the request for ``intent``; looks at the source, where there is one.

        Raises:
            InvalidRequest: it cannot be.
            NotFound: there is no such source.
            WrongVolumeState: the snapshot is not complete.
        """
        size = _types.whole(intent.size)
        match intent.source:
            case None:
                return self._blank(intent, size, None, {}, deadline)
            case FromSnapshot():
                snapshot = self._snapshot(intent, intent.source, deadline)
                source = Source(snapshot.id, self._of(snapshot), _tags.generation_of(snapshot.tags))
                extra = {"SnapshotId": snapshot.id}
                return self._blank(intent, size, source, extra, deadline)
            case FromVolume():
                return self._copy(intent, intent.source, size, deadline)

    def differing(self, volume: VolumeRecord, intent: CreateVolume) -> tuple[str, ...]:
        """Return the fields in which ``volume`` is not what ``intent`` asks for, sorted.

        What the intent leaves open does not differ, and who asks is no difference. Labels agree as
        they were asked for, or with the tags of now: others may have put tags on the volume since.
        """
        was_asked = _tags.asked_of(volume.tags)
        same = {
            "name": volume.tags.get(_tags.NAME_TAG) == intent.name,
            "size": volume.size == _types.whole(intent.size),
            "source": _is_of(self._asked_source(intent), _source_of(volume)),
            "place": intent.place in {None, volume.zone, volume.zone_id},
            "kind": intent.kind in {None, volume.kind},
            "iops": intent.iops in {None, volume.iops},
            "throughput": intent.throughput is None
            or volume.throughput is None
            or _types.mib(intent.throughput) == _types.mib(volume.throughput),
            "cloud_key": intent.cloud_key is None or _is_key(intent.cloud_key, volume, was_asked),
            "multi_attach": intent.multi_attach == volume.is_multi_attach,
            "labels": was_asked.get("labels") == _tags.labels_digest(intent.labels)
            or intent.labels.items() <= volume.tags.items(),
        }
        return tuple(sorted(field for field, is_same in same.items() if not is_same))

    def _blank(
        self,
        intent: CreateVolume,
        size: int,
        source: Source | None,
        extra: Mapping[str, object],
        deadline: Deadline,
    ) -> Creation:
        kind = _types.kind_of(intent)
        _types.check_new(intent, kind, intent.iops)
        common = self._common(intent, size, source)
        place = intent.place or self.zone or self._some_zone(intent.name, deadline)
        field = "AvailabilityZoneId" if _ZONE_ID.fullmatch(place) else "AvailabilityZone"
        parameters = {
            **common,
            **extra,
            field: place,
            "VolumeType": kind,
            **_given(Iops=intent.iops, Throughput=_mib(intent.throughput)),
        }
        names = {**_names(intent), "zone": place}
        return Creation("CreateVolume", parameters, names)

    def _copy(
        self, intent: CreateVolume, asked: FromVolume, size: int, deadline: Deadline
    ) -> Creation:
        volume = self.region.volume(asked.volume_id, deadline)
        _check_size(intent, volume.size, asked.volume_id)
        if intent.place not in {None, volume.zone, volume.zone_id}:
            raise InvalidRequest("place", intent.place, f"a copy is made in {volume.zone}")
        # A copy is like its source: EC2's own default would be another type (CopyVolumes).
        is_same_kind = intent.kind in {None, volume.kind}
        can_choose = volume.kind in {"gp3", "io1", "io2"}
        iops, throughput = intent.iops, _mib(intent.throughput)
        if is_same_kind and can_choose:
            iops = iops or volume.iops
        if is_same_kind and volume.kind == "gp3":
            throughput = throughput or _mib(volume.throughput)
        kind = intent.kind or volume.kind or _types.kind_of(intent)
        _types.check_new(intent, kind, iops)
        source = Source(volume.id, asked.volume_id, asked.generation)
        parameters = {
            **self._common(intent, size, source),
            "SourceVolumeId": volume.id,
            "VolumeType": kind,
            **_given(Iops=iops, Throughput=throughput),
        }
        names = {**_names(intent), "zone": volume.zone or "zone", "volume": asked.volume_id}
        return Creation("CopyVolumes", parameters, names)

    def _common(self, intent: CreateVolume, size: int, source: Source | None) -> dict[str, object]:
        key = {} if intent.cloud_key is None else {"Encrypted": True, "KmsKeyId": intent.cloud_key}
        shared = {"MultiAttachEnabled": True} if intent.multi_attach else {}
        tags = _tags.of_volume(intent, self.region.owner, source)
        return {
            "ClientToken": _tags.client_token(self.region.owner, intent),
            "Size": size // _types.UNIT,
            "TagSpecifications": _tags.specification("volume", tags),
            **key,
            **shared,
        }

    def _snapshot(
        self, intent: CreateVolume, asked: FromSnapshot, deadline: Deadline
    ) -> SnapshotRecord:
        ebs_id = self.region.ebs_snapshot(asked.snapshot_id)
        snapshot = self.region.look.snapshot(ebs_id, deadline)
        if snapshot is None:
            raise NotFound("snapshot", asked.snapshot_id)
        if snapshot.state != "completed":
            raise WrongVolumeState(asked.snapshot_id, snapshot.state, "restoring")
        _check_size(intent, snapshot.size, asked.snapshot_id)
        return snapshot

    def _of(self, snapshot: SnapshotRecord) -> str:
        """Return the id of the volume that a snapshot was taken of, as far as anybody knows."""
        recorded = snapshot.tags.get(_tags.VOLUME_TAG)
        is_known = snapshot.volume not in {"", _UNKNOWN_VOLUME}
        return recorded or self.region.volume_id(snapshot.volume if is_known else snapshot.id)

    def _asked_source(self, intent: CreateVolume) -> tuple[str, int | None] | None:
        match intent.source:
            case None:
                return None
            case FromSnapshot(snapshot_id):
                return self.region.ebs_snapshot(snapshot_id), None
            case FromVolume(volume_id, generation):
                return self.region.ebs_volume(volume_id), generation

    def _some_zone(self, name: str, deadline: Deadline) -> str:
        """Return a zone that the name of the volume decides: the same one whenever it is asked."""
        zones = self.region.look.zones(deadline)
        if not zones:
            raise NotFound("zone", self.region.name)
        return zones[int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % len(zones)]


def _source_of(volume: VolumeRecord) -> tuple[str, int | None] | None:
    """Return what was asked for as the source of a volume; a snapshot has its own generation."""
    source = Source.of_tag(volume.tags.get(_tags.SOURCE_TAG, ""))
    if source is None:
        made_from = volume.snapshot or volume.source
        return None if made_from is None else (made_from, None)
    return source.ebs_id, None if source.ebs_id.startswith("snap-") else source.generation


def _is_of(asked: tuple[str, int | None] | None, found: tuple[str, int | None] | None) -> bool:
    """Say whether a source is the one that is asked for; a generation may be left open."""
    if asked is None or found is None:
        return asked is found
    return asked[0] == found[0] and asked[1] in {None, found[1]}


def _check_size(intent: CreateVolume, least: int, source: str) -> None:
    if intent.size < least:
        rule = f"it is at least that of its source {source}, {least} bytes"
        raise InvalidRequest("size", intent.size, rule)


def _is_key(key: str, volume: VolumeRecord, asked: Mapping[str, str]) -> bool:
    if asked.get("key") == _tags.key_digest(key):
        return True
    return volume.key is not None and key in {volume.key, volume.key.rpartition("/")[2]}


def _mib(throughput: int | None) -> int | None:
    return None if throughput is None else _types.mib(throughput)


def _given(**parameters: object) -> dict[str, object]:
    return {name: value for name, value in parameters.items() if value is not None}


def _names(intent: CreateVolume) -> dict[str, str]:
    names = {"volume": intent.name}
    if isinstance(intent.source, FromSnapshot):
        names["snapshot"] = intent.source.snapshot_id
    return names
