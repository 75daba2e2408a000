"""Taking and deleting snapshots."""

from functools import partial

import attrs

from cloudcrypt_testing.fake_aws import errors, xml
from cloudcrypt_testing.fake_aws.cloud import Cloud
from cloudcrypt_testing.fake_aws.query import Query
from cloudcrypt_testing.fake_aws.records import Snapshot
from cloudcrypt_testing.fake_aws.volumes import existing


def create_snapshot(cloud: Cloud, query: Query) -> str:
    """Answer CreateSnapshot; the content is that of this moment."""
    volume = existing(cloud, query.volume_id())
    if volume.condition != "available":
        raise errors.wrong_state(f"Volume '{volume.id}' is in the '{volume.state}' state.")
    tags = query.tags("snapshot")
    query.check_dry_run()
    description = query.text("Description") or ""
    snapshot_id = cloud.moto.create_snapshot(volume.id, description, tags)
    snapshot = Snapshot(
        snapshot_id,
        next(cloud.numbers),
        volume.id,
        volume.size,
        "pending",
        cloud.agenda.time,
        description,
        volume.is_encrypted,
        volume.kms_key,
        tags,
    )
    cloud.snapshots[snapshot_id] = snapshot
    cloud.backing.copy(volume.id, snapshot_id, 0)
    is_failing = cloud.quirks.snapshots > 0
    cloud.quirks.snapshots -= is_failing
    fate = "error" if is_failing else "completed"
    cloud.agenda.later(cloud.timings.snapshot, partial(_finish, cloud, snapshot_id, fate))
    return xml.snapshot(snapshot, cloud.moto.account)


def delete_snapshot(cloud: Cloud, query: Query) -> str:
    """Answer DeleteSnapshot."""
    query.need("SnapshotId")
    snapshot_id = query.snapshot_id() or ""
    if snapshot_id not in cloud.snapshots:
        raise errors.no_snapshot(snapshot_id)
    query.check_dry_run()
    cloud.moto.delete_snapshot(snapshot_id)
    del cloud.snapshots[snapshot_id]
    cloud.backing.remove(snapshot_id)
    return xml.fields(**{"return": True})


def _finish(cloud: Cloud, snapshot_id: str, fate: str) -> None:
    snapshot = cloud.snapshots.get(snapshot_id)
    if snapshot is not None:
        cloud.snapshots[snapshot_id] = attrs.evolve(snapshot, state=fate)
