"""What moto did by itself, taken into the records: instances with their disks, tags, images."""

import attrs

from cloudcrypt_testing.fake_aws.attachments import begin_detaching
from cloudcrypt_testing.fake_aws.cloud import GIB, Cloud
from cloudcrypt_testing.fake_aws.query import Query
from cloudcrypt_testing.fake_aws.records import Snapshot, Volume


def adopt(cloud: Cloud, query: Query) -> None:
    """Bring the records up to date after moto has answered ``query``."""
    for volume_id in cloud.moto.gone(cloud.volumes):
        cloud.bury(volume_id)
    take_in_new(cloud)
    for found in cloud.moto.new_snapshots(cloud.snapshots):
        _take_in_snapshot(cloud, *found)
    if query.action in {"CreateTags", "DeleteTags"}:
        _copy_tags(cloud, query)
    if query.action in {"TerminateInstances", "StopInstances"}:
        for instance_id in query.all("InstanceId"):
            _shut_down(cloud, instance_id)


def take_in_new(cloud: Cloud) -> None:
    """Take in the disks of instances that moto has started."""
    for volume in list(cloud.moto.new_volumes(cloud.volumes, cloud.agenda.time)):
        _take_in(cloud, volume)


def _take_in(cloud: Cloud, volume: Volume) -> None:
    attachments = tuple(attrs.evolve(a, number=next(cloud.numbers)) for a in volume.attachments)
    volume = attrs.evolve(volume, number=next(cloud.numbers), attachments=attachments)
    cloud.put(volume)
    cloud.roots.add(volume.id)
    if volume.snapshot_id in cloud.snapshots:
        cloud.backing.copy(str(volume.snapshot_id), volume.id, volume.size * GIB)
    else:
        cloud.backing.create(volume.id, volume.size * GIB)
    for attachment in attachments:
        cloud.plug(volume, attachment)


def _take_in_snapshot(
    cloud: Cloud, snapshot_id: str, volume_id: str, size: int, description: str
) -> None:
    tags = cloud.moto.tags(snapshot_id)
    number, now = next(cloud.numbers), cloud.agenda.time
    cloud.snapshots[snapshot_id] = Snapshot(
        snapshot_id, number, volume_id, size, "completed", now, description, tags=tags
    )
    if volume_id in cloud.volumes:
        cloud.backing.copy(volume_id, snapshot_id, 0)
    else:
        cloud.backing.create(snapshot_id, size * GIB)


def _copy_tags(cloud: Cloud, query: Query) -> None:
    for resource_id in query.all("ResourceId"):
        tags = cloud.moto.tags(resource_id)
        volume, snapshot = cloud.volumes.get(resource_id), cloud.snapshots.get(resource_id)
        if volume is not None:
            cloud.put(attrs.evolve(volume, tags=tags))
        if snapshot is not None:
            cloud.snapshots[resource_id] = attrs.evolve(snapshot, tags=tags)


def _shut_down(cloud: Cloud, instance_id: str) -> None:
    """Let the host close all disks; if it is terminated, take those that survive it off it."""
    instance = cloud.moto.instance(instance_id)
    for volume in list(cloud.volumes.values()):
        attachment = volume.attachment_to(instance_id)
        if attachment is None or instance is None:
            continue
        if instance.state == "terminated":
            cloud.quirks.held.discard(volume.id)
            cloud.node(instance_id).detach(volume.id)
            begin_detaching(cloud, volume, attachment, is_forced=True)
        elif attachment.state == "busy":
            begin_detaching(cloud, volume, attachment, is_forced=True)
