"""Snapshots: the bytes of a disk at one moment."""

from functools import partial
from typing import Final

import attrs

from cloudcrypt_testing.fake_gce import bodies, disks, errors, labels
from cloudcrypt_testing.fake_gce.cloud import GIB, Cloud, View, named
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.names import new_id
from cloudcrypt_testing.fake_gce.records import Disk, Snapshot
from cloudcrypt_testing.fake_gce.render import Document
from cloudcrypt_testing.fake_gce.runner import Job

_FIELDS: Final = frozenset(
    {
        "description",
        "labels",
        "name",
        "snapshotEncryptionKey",
        "snapshotType",
        "sourceDisk",
        "storageLocations",
    }
)


def create(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``disks.createSnapshot`` and ``regionDisks.createSnapshot``."""
    return _creation(cloud, incoming, disks.ready(cloud, disks.existing(cloud, incoming)))


def insert(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``snapshots.insert``."""
    source = incoming.body.get("sourceDisk")
    if source is None:
        raise errors.required("resource.sourceDisk")
    return _creation(cloud, incoming, disks.resolved(cloud, "resource.sourceDisk", source))


def get(cloud: Cloud, incoming: Incoming, view: View) -> Document:
    """Answer ``snapshots.get``."""
    return cloud.render.snapshot(existing(cloud, incoming, view))


def delete(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``snapshots.delete``."""
    snapshot = existing(cloud, incoming)
    if snapshot.status not in {"READY", "FAILED"}:
        raise errors.not_ready(cloud.site.full(snapshot.path))
    cloud.snapshots[snapshot.id] = attrs.evolve(snapshot, status="DELETING")
    return Job(
        incoming.action,
        "delete",
        incoming.scope,
        snapshot.path,
        snapshot.id,
        cloud.timings.delete,
        finish=partial(_vanish, cloud, snapshot.id),
        undo=partial(_keep, cloud, snapshot),
    )


def existing(
    cloud: Cloud, incoming: Incoming, view: View | None = None, parameter: str = "snapshot"
) -> Snapshot:
    """Return the snapshot that the path of a request names."""
    name = incoming.in_path[parameter]
    table = cloud.snapshots if view is None else view.snapshots
    snapshot = named(table, "global", name)
    if snapshot is None:
        raise errors.not_found(cloud.site.full(f"global/snapshots/{name}"))
    return snapshot


def _creation(cloud: Cloud, incoming: Incoming, disk: Disk) -> Job:
    body = bodies.known_fields(incoming.body, _FIELDS)
    name = bodies.name(body)
    if named(cloud.snapshots, "global", name) is not None:
        raise errors.exists(cloud.site.full(f"global/snapshots/{name}"))
    key = bodies.kms_key(body, "snapshotEncryptionKey")
    snapshot = Snapshot(
        new_id(),
        name,
        disk.path,
        disk.id,
        disk.size,
        cloud.agenda.time,
        description=body.get("description", ""),
        kms_key=key or disk.kms_key,
        locations=tuple(body.get("storageLocations", [cloud.site.region(disk.scope)])),
        kind=body.get("snapshotType", "STANDARD"),
        labels=labels.checked(body.get("labels", {})),
    )
    cloud.snapshots[snapshot.id] = snapshot
    cloud.backing.copy(disk.id, snapshot.id, disk.size * GIB)
    return Job(
        incoming.action,
        "createSnapshot",
        incoming.scope,
        disk.path,
        disk.id,
        cloud.timings.snapshot,
        finish=partial(_finish, cloud, snapshot.id),
        start=partial(_become, cloud, snapshot.id, "UPLOADING"),
        undo=partial(_undo, cloud, snapshot.id),
    )


def _become(cloud: Cloud, snapshot_id: str, status: str) -> None:
    snapshot = cloud.snapshots.get(snapshot_id)
    if snapshot is not None and snapshot.status != "DELETING":
        cloud.snapshots[snapshot_id] = attrs.evolve(snapshot, status=status)


def _finish(cloud: Cloud, snapshot_id: str) -> None:
    cloud.agenda.later(cloud.timings.upload, partial(_become, cloud, snapshot_id, "READY"))


def _undo(cloud: Cloud, snapshot_id: str, *, leaves_failed: bool) -> None:
    if leaves_failed:
        _become(cloud, snapshot_id, "FAILED")
    else:
        _vanish(cloud, snapshot_id)


def _vanish(cloud: Cloud, snapshot_id: str) -> None:
    cloud.snapshots.pop(snapshot_id, None)
    cloud.backing.remove(snapshot_id)


def _keep(cloud: Cloud, snapshot: Snapshot, *, leaves_failed: bool) -> None:
    """Let a snapshot be that could not be deleted, or only half."""
    status = "FAILED" if leaves_failed else snapshot.status
    cloud.snapshots[snapshot.id] = attrs.evolve(snapshot, status=status)
