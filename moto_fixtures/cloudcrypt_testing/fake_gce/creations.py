"""Making disks: blank ones, and those that begin as a snapshot or another disk is."""

from collections.abc import Iterable
from functools import partial
from typing import Final

import attrs

from cloudcrypt_testing.fake_gce import bodies, disks, errors, kinds, labels
from cloudcrypt_testing.fake_gce.bodies import Body
from cloudcrypt_testing.fake_gce.cloud import GIB, Cloud, named
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.kinds import Shape
from cloudcrypt_testing.fake_gce.names import new_id
from cloudcrypt_testing.fake_gce.records import Disk, Snapshot
from cloudcrypt_testing.fake_gce.runner import Job

_FIELDS: Final = frozenset(
    {
        "accessMode",
        "description",
        "diskEncryptionKey",
        "labels",
        "name",
        "provisionedIops",
        "provisionedThroughput",
        "replicaZones",
        "sizeGb",
        "sourceDisk",
        "sourceSnapshot",
        "type",
    }
)
_REPLICAS: Final = 2
_UNFINISHED: Final = ("CREATING", "RESTORING")

Source = Disk | Snapshot | None


def insert(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``disks.insert`` and ``regionDisks.insert``."""
    body, scope = bodies.known_fields(incoming.body, _FIELDS), incoming.scope
    if incoming.text("sourceImage") is not None:
        raise errors.not_implemented("images")
    name = bodies.name(body)
    if named(cloud.disks, scope, name) is not None:
        raise errors.exists(cloud.site.full(f"{scope}/disks/{name}"))
    replica_zones = _replica_zones(cloud, scope, body)
    source = _source(cloud, body)
    shape = _shape(cloud, scope, body, source)
    if isinstance(source, Disk):
        _check_clone(scope, replica_zones, shape, source)
    disk = _described(
        Disk(
            new_id(),
            name,
            scope,
            shape.size,
            shape.kind,
            cloud.agenda.time,
            replica_zones=replica_zones,
            iops=shape.iops,
            throughput=shape.throughput,
            access_mode=shape.access_mode,
        ),
        body,
        source,
    )
    if cloud.quirks.is_quota_at_once and _is_quota_used_up(cloud, cloud.disks.values()):
        raise errors.quota_exceeded(_quota_message(cloud))
    _make(cloud, disk, source)
    return Job(
        incoming.action,
        "insert",
        scope,
        disk.path,
        disk.id,
        cloud.timings.create,
        finish=partial(_finish, cloud, disk.id),
        start=partial(_begin_restoring, cloud, disk.id),
        undo=partial(_undo, cloud, disk.id),
    )


def _replica_zones(cloud: Cloud, scope: str, body: Body) -> tuple[str, ...]:
    field = "resource.replicaZones"
    urls: list[str] = body.get("replicaZones", [])
    if scope.startswith("zones/"):
        if urls:
            raise errors.invalid(field, urls, "The disk is not regional.")
        return ()
    zones = tuple(cloud.path(field, url).removeprefix("zones/") for url in urls)
    known = cloud.site.regions[cloud.site.region(scope)]
    if len(zones) != _REPLICAS or len(set(zones) & set(known)) != _REPLICAS:
        raise errors.invalid(field, urls, f"Exactly {_REPLICAS} zones of the region are needed.")
    return zones


def _source(cloud: Cloud, body: Body) -> Source:
    if "sourceSnapshot" in body and "sourceDisk" in body:
        message = "Only one of sourceSnapshot and sourceDisk can be specified."
        raise errors.GceError(400, "invalid", message)
    if "sourceDisk" in body:
        return disks.resolved(cloud, "resource.sourceDisk", body["sourceDisk"])
    if "sourceSnapshot" not in body:
        return None
    path = cloud.path("resource.sourceSnapshot", body["sourceSnapshot"])
    snapshot = named(cloud.snapshots, "global", path.removeprefix("global/snapshots/"))
    if snapshot is None:
        raise errors.not_found(cloud.site.full(path))
    if snapshot.status != "READY":
        raise errors.not_ready(cloud.site.full(path))
    return snapshot


def _check_clone(scope: str, zones: tuple[str, ...], shape: Shape, source: Disk) -> None:
    """Raise unless a clone is of its source's type and at its place, or has a replica there."""
    is_there = scope == source.scope or (not source.replica_zones and source.zones[0] in zones)
    if not is_there or shape.kind != source.kind:
        why = "The clone must have the place and the type of the source disk."
        raise errors.invalid("resource.sourceDisk", source.path, why)


def _shape(cloud: Cloud, scope: str, body: Body, source: Source) -> Shape:
    kind = _kind(cloud, scope, body, source)
    asked = bodies.number(body, "sizeGb")
    iops = bodies.number(body, "provisionedIops")
    throughput = bodies.number(body, "provisionedThroughput")
    if asked is None and (iops is not None or throughput is not None):
        raise errors.required("resource.sizeGb")
    least = 0 if source is None else source.size
    size = asked if asked is not None else least or kinds.DISKS[kind].default_size
    if size < least:
        what = "snapshot" if isinstance(source, Snapshot) else "disk"
        why = f"Requested disk size cannot be smaller than the {what} size ({least} GB)"
        raise errors.invalid("resource.sizeGb", size, why)
    mode, is_regional = body.get("accessMode"), scope.startswith("regions/")
    return kinds.checked(Shape(kind, size, iops, throughput, mode, is_regional))


def _kind(cloud: Cloud, scope: str, body: Body, source: Source) -> str:
    url = body.get("type")
    if url is None:
        return source.kind if isinstance(source, Disk) else kinds.DEFAULT_DISK
    where, _, name = cloud.site.path("resource.type", url).rpartition("/diskTypes/")
    if where != scope:
        why = "The disk type is in another location than the disk."
        raise errors.invalid("resource.type", url, why)
    if kinds.disk_kind(scope, name) is None:
        raise errors.not_found(cloud.site.full(f"{scope}/diskTypes/{name}"))
    return name


def _described(disk: Disk, body: Body, source: Source) -> Disk:
    """Return ``disk`` with what else is asked for."""
    disk = attrs.evolve(
        disk,
        description=body.get("description", ""),
        kms_key=bodies.kms_key(body, "diskEncryptionKey"),
        labels=labels.checked(body.get("labels", {})),
    )
    match source:
        case Snapshot():
            return attrs.evolve(disk, source_snapshot=source.path, source_snapshot_id=source.id)
        case Disk():
            return attrs.evolve(disk, source_disk=source.path, source_disk_id=source.id)
        case None:
            return disk


def _is_quota_used_up(cloud: Cloud, disks_there: Iterable[Disk]) -> bool:
    """Say whether no further disk may be made beside those that are there."""
    most = cloud.quirks.quota
    return most is not None and sum(not disk.is_boot for disk in disks_there) >= most


def _quota_message(cloud: Cloud) -> str:
    return f"Quota 'DISKS_TOTAL_GB' exceeded.  Limit: {cloud.quirks.quota}.0"


def _make(cloud: Cloud, disk: Disk, source: Source) -> None:
    cloud.put(disk)
    if source is None:
        cloud.backing.create(disk.id, disk.size * GIB)
    else:
        cloud.backing.copy(source.id, disk.id, disk.size * GIB)


def _begin_restoring(cloud: Cloud, disk_id: str) -> None:
    disk = cloud.disks[disk_id]
    if disk.source_snapshot or disk.source_disk:
        cloud.put(attrs.evolve(disk, status="RESTORING"))


def _finish(cloud: Cloud, disk_id: str) -> None:
    disk = cloud.disks[disk_id]
    for zone in disk.zones:
        if zone in cloud.quirks.stockouts:
            where = cloud.site.full(f"zones/{zone}")
            raise errors.failed(
                "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
                f"The zone '{where}' does not have enough resources available to fulfill the "
                "request.  Try a different zone, or try again later.",
            )
    finished = (one for one in cloud.disks.values() if one.status not in _UNFINISHED)
    if _is_quota_used_up(cloud, finished):
        raise errors.failed("QUOTA_EXCEEDED", _quota_message(cloud))
    cloud.put(attrs.evolve(disk, status="READY"))


def _undo(cloud: Cloud, disk_id: str, *, leaves_failed: bool) -> None:
    if leaves_failed:
        cloud.put(attrs.evolve(cloud.disks[disk_id], status="FAILED"))
    else:
        cloud.bury(disk_id)
