"""Finding disks, and deleting them, in zones and in regions."""

from collections.abc import Mapping
from functools import partial

import attrs

from cloudcrypt_testing.fake_gce import errors
from cloudcrypt_testing.fake_gce.cloud import Cloud, View, named
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.records import Disk
from cloudcrypt_testing.fake_gce.render import Document
from cloudcrypt_testing.fake_gce.runner import Job


def get(cloud: Cloud, incoming: Incoming, view: View) -> Document:
    """Answer ``disks.get`` and ``regionDisks.get``."""
    return cloud.render.disk(existing(cloud, incoming, view))


def delete(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``disks.delete`` and ``regionDisks.delete``."""
    disk = existing(cloud, incoming)
    if disk.users:
        full = cloud.site.full
        raise errors.in_use(full(disk.path), full(disk.users[0]))
    if disk.status not in {"READY", "FAILED"}:
        raise errors.not_ready(cloud.site.full(disk.path))
    cloud.put(attrs.evolve(disk, status="DELETING"))
    return Job(
        incoming.action,
        "delete",
        incoming.scope,
        disk.path,
        disk.id,
        cloud.timings.delete,
        finish=partial(cloud.bury, disk.id),
        undo=partial(_keep, cloud, disk),
    )


def existing(
    cloud: Cloud, incoming: Incoming, view: View | None = None, parameter: str = "disk"
) -> Disk:
    """Return the disk that the path of a request names."""
    name = incoming.in_path[parameter]
    table: Mapping[str, Disk] = cloud.disks if view is None else view.disks
    disk = named(table, incoming.scope, name)
    if disk is None:
        raise errors.not_found(cloud.site.full(f"{incoming.scope}/disks/{name}"))
    return disk


def ready(cloud: Cloud, disk: Disk) -> Disk:
    """Return ``disk`` if it can be used."""
    if disk.status != "READY":
        raise errors.not_ready(cloud.site.full(disk.path))
    return disk


def resolved(cloud: Cloud, field: str, url: str) -> Disk:
    """Return the disk that the URL in a field of a body names, if it can be used."""
    path = cloud.path(field, url)
    scope, _, name = path.rpartition("/disks/")
    disk = named(cloud.disks, scope, name)
    if disk is None:
        raise errors.not_found(cloud.site.full(path))
    return ready(cloud, disk)


def _keep(cloud: Cloud, disk: Disk, *, leaves_failed: bool) -> None:
    """Let a disk be as it was that could not be deleted, or only half."""
    status = "FAILED" if leaves_failed else disk.status
    cloud.put(attrs.evolve(cloud.disks[disk.id], status=status))
