"""What a new volume is asked for with, and whether a volume is what was asked for."""

from collections.abc import Mapping
from typing import Final

import attrs

from cloudcrypt.errors import InvalidRequest, NotFound, WrongVolumeState
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import CreateVolume, FromSnapshot, FromVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp import _marks, _names, _types
from cloudcrypt_gcp._ids import Scope, is_snapshot
from cloudcrypt_gcp._look import DISKS
from cloudcrypt_gcp._marks import Source
from cloudcrypt_gcp._records import SHARED, DiskRecord, SnapshotRecord, key_name
from cloudcrypt_gcp._region import Region
from cloudcrypt_gcp._url import is_zone_of
from cloudcrypt_gcp._volumes import source_of

_REPLICAS: Final = 2
"""Zones of a regional disk, always."""


@attrs.frozen
class Creation:
    """One request that creates a disk; ``path`` is that of what it makes."""

    action: str
    scope: Scope
    name: str
    path: str
    parameters: Mapping[str, object]
    names: Mapping[str, str]


@attrs.frozen
class _Where:
    """Where a new disk is: a zone, or a region and two zones of it."""

    scope: Scope
    replicas: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ",".join(self.replicas) or self.scope.name


@attrs.frozen
class _Made:
    """What a new disk is made from: fields of the request, the source, and what it is like."""

    fields: Mapping[str, object]
    source: Source | None = None
    disk: DiskRecord | None = None


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
            WrongVolumeState: the snapshot is not ready.
        """
        size = _types.whole(intent.size)
        made = self._made(intent, deadline)
        kind = _types.kind_of(intent)
        if made.disk is not None:  # GCE copies a disk to the same type only
            kind = intent.kind or made.disk.kind
        _types.check_new(intent, kind)
        where = self._where(intent, kind, made.disk, deadline)
        mark = _marks.of_volume(intent, self.region.owner, made.source)
        name = _names.disk_name(intent.name)
        project = self.region.site.project
        type_url = f"projects/{project}/{where.scope}/diskTypes/{kind}"
        zones = [f"projects/{project}/zones/{zone}" for zone in where.replicas]
        resource = {
            "name": name,
            "description": str(mark),
            "labels": _marks.labels_of(mark, intent.labels),
            "size_gb": size // _types.UNIT,
            "type_": type_url,
            **({"replica_zones": zones} if zones else {}),
            **made.fields,
            **_performance(intent, kind, made.disk),
            **_access(intent),
        }
        names = {"volume": intent.name, "zone": str(where)}
        if isinstance(intent.source, FromSnapshot):
            names["snapshot"] = intent.source.snapshot_id
        return Creation(
            f"{DISKS[where.scope.kind]}.insert",
            where.scope,
            name,
            f"projects/{project}/{where.scope}/disks/{name}",
            {**where.scope.parameters, "disk_resource": resource},
            names,
        )

    def differing(self, disk: DiskRecord, intent: CreateVolume) -> tuple[str, ...]:
        """Return the fields in which ``disk`` is not what ``intent`` asks for, sorted.

        What the intent leaves open does not differ. Labels are compared as they were asked for, or
        as they are: others may have put labels on the volume since. Keys are compared without the
        version, which GCE adds.
        """
        mark = disk.mark
        is_ours = mark is not None and mark.owner == self.region.owner
        labels = _marks.callers_labels(disk.labels)
        asked_labels = "" if mark is None else mark.labels
        same = {
            "name": mark is not None and mark.name == intent.name,
            "owner": is_ours,
            "size": disk.size == _types.whole(intent.size),
            "source": self._asked_source(intent) == self._source(disk),
            "place": intent.place is None or self._is_at(disk, intent.place),
            "kind": intent.kind in {None, disk.kind},
            "iops": intent.iops in {None, disk.iops},
            "throughput": intent.throughput is None
            or _types.mib(intent.throughput) * MIB == disk.throughput,
            "cloud_key": intent.cloud_key is None or key_name(intent.cloud_key) == disk.key,
            "multi_attach": intent.multi_attach == disk.is_shared,
            "labels": asked_labels == _marks.labels_digest(intent.labels)
            or labels == intent.labels,
        }
        return tuple(sorted(field for field, is_same in same.items() if not is_same))

    def _made(self, intent: CreateVolume, deadline: Deadline) -> _Made:
        match intent.source:
            case None:
                return _Made({})
            case FromSnapshot(snapshot_id):
                snapshot = self._snapshot(intent, snapshot_id, deadline)
                mark = snapshot.mark
                source = Source(snapshot_id, self._of(snapshot), mark.generation if mark else None)
                return _Made({"source_snapshot": snapshot.path}, source)
            case FromVolume(volume_id, generation):
                disk = self.region.disk(volume_id, deadline)
                _check_size(intent, disk.size, volume_id)
                source = Source(volume_id, volume_id, generation)
                return _Made({"source_disk": disk.path}, source, disk)

    def _snapshot(
        self, intent: CreateVolume, snapshot_id: str, deadline: Deadline
    ) -> SnapshotRecord:
        number = self.region.site.snapshot(snapshot_id)
        snapshot = self.region.look.snapshot(number, deadline)
        if snapshot is None or snapshot.is_going:
            raise NotFound("snapshot", snapshot_id)
        if snapshot.status != "READY":
            raise WrongVolumeState(snapshot_id, snapshot.status.lower(), "restoring")
        _check_size(intent, snapshot.size, snapshot_id)
        return snapshot

    def _of(self, snapshot: SnapshotRecord) -> str:
        """Return the id of the volume that a snapshot was taken of; GCE says it as well."""
        mark = snapshot.mark
        recorded = None if mark is None else mark.volume
        if recorded is not None and recorded.endswith(f"/{snapshot.disk}"):
            return recorded
        return snapshot_volume(self.region, snapshot)

    def _where(
        self, intent: CreateVolume, kind: str, source: DiskRecord | None, deadline: Deadline
    ) -> _Where:
        place, region = intent.place, self.region.site.region
        if place is None:
            return self._usual(intent, kind, source, deadline)
        if place == region:
            return self._regional(intent.name, deadline)
        zones = tuple(sorted(place.split(",")))
        if not all(is_zone_of(region, zone) for zone in zones) or len(zones) > _REPLICAS:
            rule = f"a zone of {region}, two with a comma, or {region} itself"
            raise InvalidRequest("place", place, rule)
        if len(zones) == _REPLICAS:
            return self._in_two(zones, place)
        if kind == _types.REGIONAL_ONLY:
            raise InvalidRequest("place", place, f"{kind} is in two zones: {region}, or both zones")
        if source is not None and not source.is_regional and zones[0] != source.scope.name:
            raise InvalidRequest("place", place, f"a copy is made in {source.scope.name}")
        return _Where(Scope.zone(zones[0]))

    def _usual(
        self, intent: CreateVolume, kind: str, source: DiskRecord | None, deadline: Deadline
    ) -> _Where:
        """Return where a volume is made that names no place: its copy beside it."""
        if source is not None:
            return _Where(source.scope, source.replicas)
        if kind == _types.REGIONAL_ONLY:
            return self._regional(intent.name, deadline)
        return _Where(Scope.zone(self.zone or self._ring(intent.name, deadline)[0]))

    def _regional(self, name: str, deadline: Deadline) -> _Where:
        """Return two zones that the name decides; the provider's own is one of them."""
        ring = self._ring(name, deadline)
        if self.zone is not None:
            first = ring.index(self.zone) if self.zone in ring else 0
            ring = (*ring[first:], *ring[:first])
        return self._in_two(ring[:_REPLICAS], self.region.site.region)

    def _in_two(self, zones: tuple[str, ...], place: str) -> _Where:
        if len(set(zones)) != _REPLICAS:
            raise InvalidRequest("place", place, "a regional volume is in two zones")
        return _Where(Scope.region(self.region.site.region), tuple(sorted(zones)))

    def _ring(self, name: str, deadline: Deadline) -> tuple[str, ...]:
        """Return the zones of the region, from that on which the name decides."""
        zones = self.region.look.zones(deadline)
        if not zones:
            raise NotFound("zone", self.region.site.region)
        first = _names.chosen(name, len(zones))
        return (*zones[first:], *zones[:first])

    def _is_at(self, disk: DiskRecord, place: str) -> bool:
        if place == self.region.site.region:
            return disk.is_regional
        return ",".join(sorted(place.split(","))) == disk.place

    def _asked_source(self, intent: CreateVolume) -> tuple[str, int | None] | None:
        match intent.source:
            case None:
                return None
            case FromSnapshot(snapshot_id):
                self.region.site.snapshot(snapshot_id)
                return snapshot_id, None
            case FromVolume(volume_id, generation):
                self.region.site.disk(volume_id)
                return volume_id, generation

    def _source(self, disk: DiskRecord) -> tuple[str, int | None] | None:
        """Return what a disk was made from, as it was asked for; a snapshot has its generation."""
        source = source_of(self.region.site, disk)
        if source is None:
            return None if disk.other_source is None else (disk.other_source, None)
        return source.id, None if is_snapshot(source.id) else source.generation


def snapshot_volume(region: Region, snapshot: SnapshotRecord) -> str:
    """Return the id of the volume that GCE says a snapshot was taken of."""
    parts = snapshot.disk_path.split("/")  # projects/P/zones/Z/disks/NAME
    place = parts[3] if len(parts) > 3 else "unknown"
    return region.site.volume_id(Scope.zone(place), snapshot.disk)


def _check_size(intent: CreateVolume, least: int, source: str) -> None:
    if intent.size < least:
        rule = f"it is at least that of its source {source}, {least} bytes"
        raise InvalidRequest("size", intent.size, rule)


def _performance(
    intent: CreateVolume, kind: str, source: DiskRecord | None
) -> Mapping[str, object]:
    """Return the performance that is asked for; a copy is like its source."""
    iops, throughput = intent.iops, intent.throughput
    if source is not None and source.kind == kind and _types.chooses_performance(kind):
        iops = iops or source.iops
        throughput = throughput or source.throughput
    whole = None if throughput is None else _types.mib(throughput)
    fields = {"provisioned_iops": iops, "provisioned_throughput": whole}
    return {name: value for name, value in fields.items() if value is not None}


def _access(intent: CreateVolume) -> Mapping[str, object]:
    """Return who may use it: whose key encrypts it, and how many may write to it."""
    key = {"disk_encryption_key": {"kms_key_name": intent.cloud_key}} if intent.cloud_key else {}
    shared = {"access_mode": SHARED} if intent.multi_attach else {}
    return {**key, **shared}
