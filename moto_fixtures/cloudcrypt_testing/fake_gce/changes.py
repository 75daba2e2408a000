"""Changing what exists: the size, the performance and the labels."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import attrs

from cloudcrypt_testing.fake_gce import bodies, disks, errors, kinds, labels, render, snapshots
from cloudcrypt_testing.fake_gce.cloud import GIB, Cloud
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.kinds import Shape
from cloudcrypt_testing.fake_gce.records import Disk, Snapshot
from cloudcrypt_testing.fake_gce.runner import Job

_PATHS: Final = frozenset({"provisionedIops", "provisionedThroughput", "sizeGb"})
"""What ``disks.update`` changes here."""


@attrs.frozen
class _Change:
    """What a disk is to have; None: what it has."""

    size: int | None = None
    iops: int | None = None
    throughput: int | None = None

    def of(self, disk: Disk) -> Disk:
        """Return ``disk``, changed."""
        return attrs.evolve(
            disk,
            size=disk.size if self.size is None else self.size,
            iops=disk.iops if self.iops is None else self.iops,
            throughput=disk.throughput if self.throughput is None else self.throughput,
        )


def resize(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``disks.resize`` and ``regionDisks.resize``."""
    disk = disks.ready(cloud, disks.existing(cloud, incoming))
    size = bodies.number(incoming.body, "sizeGb")
    if size is None:
        raise errors.required("sizeGb")
    finish = _planned(cloud, disk, _Change(size))
    return _job(incoming, disk, "resizeDisk", cloud.timings.resize, finish)


def update(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``disks.update`` and ``regionDisks.update``."""
    disk = disks.ready(cloud, disks.existing(cloud, incoming))
    paths = incoming.paths()
    if not paths:
        raise errors.required("paths")
    for path in paths:
        if path not in _PATHS:
            raise errors.invalid("paths", path, "The field cannot be updated.")
        if path not in incoming.body:
            raise errors.required(f"resource.{path}")
    body = {path: incoming.body[path] for path in paths}
    change = _Change(
        bodies.number(body, "sizeGb"),
        bodies.number(body, "provisionedIops"),
        bodies.number(body, "provisionedThroughput"),
    )
    finish = _planned(cloud, disk, change)
    return _job(incoming, disk, "update", cloud.timings.update, finish)


def set_disk_labels(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``disks.setLabels`` and ``regionDisks.setLabels``."""
    disk = disks.existing(cloud, incoming, parameter="resource")
    finish = partial(_label_disk, cloud, disk, _wanted_labels(incoming, disk))
    return _job(incoming, disk, "setLabels", cloud.timings.labels, finish)


def set_snapshot_labels(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``snapshots.setLabels``."""
    snapshot = snapshots.existing(cloud, incoming, parameter="resource")
    finish = partial(_label_snapshot, cloud, snapshot, _wanted_labels(incoming, snapshot))
    return _job(incoming, snapshot, "setLabels", cloud.timings.labels, finish)


def _job(
    incoming: Incoming,
    record: Disk | Snapshot,
    kind: str,
    seconds: float,
    finish: Callable[[], None],
) -> Job:
    return Job(incoming.action, kind, incoming.scope, record.path, record.id, seconds, finish)


def _planned(cloud: Cloud, disk: Disk, change: _Change) -> Callable[[], None]:
    """Return what changes ``disk`` in the end; raise if it cannot be changed so."""
    if change.size is not None and change.size <= disk.size:
        size = change.size
        why = f"New disk size '{size}' GB must be larger than existing size '{disk.size}' GB."
        raise errors.invalid("sizeGb", size, why)
    _check_shape(change.of(disk))
    return partial(_finish, cloud, disk.id, change)


def _check_shape(disk: Disk) -> None:
    shape = Shape(
        disk.kind,
        disk.size,
        disk.iops,
        disk.throughput,
        disk.access_mode,
        is_regional=bool(disk.replica_zones),
    )
    kinds.checked(shape)


def _finish(cloud: Cloud, disk_id: str, change: _Change) -> None:
    disk = cloud.disks.get(disk_id)
    if disk is None or disk.status != "READY":
        raise errors.failed("RESOURCE_NOT_FOUND", f"The disk '{disk_id}' was not found")
    if change.size is not None and change.size < disk.size:
        raise errors.failed("INVALID_USAGE", "The disk has become larger meanwhile.")
    disk = cloud.put(change.of(disk))
    cloud.backing.grow(disk.id, disk.size * GIB)
    for path in disk.users:
        instance = cloud.instance_at(path)
        if instance is not None:
            cloud.node(instance).grow(disk.id, disk.size * GIB)


def _wanted_labels(incoming: Incoming, record: Disk | Snapshot) -> Mapping[str, str]:
    known = incoming.body.get("labelFingerprint")
    if known != render.fingerprint(record.labels, record.revision):
        raise errors.condition_not_met()
    return labels.checked(incoming.body.get("labels", {}))


def _label_disk(cloud: Cloud, asked: Disk, wanted: Mapping[str, str]) -> None:
    disk = cloud.disks.get(asked.id)
    if disk is None or disk.revision != asked.revision:
        raise errors.failed("CONDITION_NOT_MET")
    cloud.put(attrs.evolve(disk, labels=wanted, revision=disk.revision + 1))


def _label_snapshot(cloud: Cloud, asked: Snapshot, wanted: Mapping[str, str]) -> None:
    snapshot = cloud.snapshots.get(asked.id)
    if snapshot is None or snapshot.revision != asked.revision:
        raise errors.failed("CONDITION_NOT_MET")
    labelled = attrs.evolve(snapshot, labels=wanted, revision=snapshot.revision + 1)
    cloud.snapshots[snapshot.id] = labelled
