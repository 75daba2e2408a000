"""The requests about snapshots."""

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from cloudcrypt_testing.fake_azure import (
    copies,
    errors,
    kinds,
    lookup,
    names,
    render,
    rules,
    wishes,
)
from cloudcrypt_testing.fake_azure.cloud import GIB, Cloud, View
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.records import Disk, Snapshot
from cloudcrypt_testing.fake_azure.replies import Reply, accepted
from cloudcrypt_testing.fake_azure.runner import DISK_OPERATIONS, Job
from cloudcrypt_testing.fake_azure.sources import Source, sector_size, source


def get(cloud: Cloud, incoming: Incoming, view: View) -> Reply:
    """Answer ``snapshots.get``."""
    snapshot = lookup.existing(view.snapshots, incoming, "snapshots")
    return Reply(200, render.snapshot(cloud, snapshot, incoming.group))


def create_or_update(cloud: Cloud, incoming: Incoming) -> Reply:
    """Answer ``snapshots.createOrUpdate``: one that exists gets other tags."""
    snapshot = lookup.named(cloud.snapshots, incoming.group, incoming.name)
    if snapshot is None:
        return _create(cloud, incoming)
    _check_idle(snapshot)
    if not snapshot.is_made:
        _gone(cloud, snapshot.unique_id)
        return _create(cloud, incoming)
    creation = incoming.body.get("properties", {}).get("creationData", {})
    if not names.same(creation.get("sourceResourceId", ""), snapshot.source_id):
        raise errors.not_changeable("creationData.sourceResourceId")
    wanted = wishes.wish(incoming.body, Snapshot)
    return _change(cloud, incoming, snapshot, {"tags": {}, **wanted})


def update(cloud: Cloud, incoming: Incoming) -> Reply:
    """Answer ``snapshots.update``."""
    snapshot = lookup.existing(cloud.snapshots, incoming, "snapshots")
    _check_idle(snapshot)
    return _change(cloud, incoming, snapshot, wishes.wish(incoming.body, Snapshot))


def delete(cloud: Cloud, incoming: Incoming) -> Reply:
    """Answer ``snapshots.delete``; of what is not there, that it has been done."""
    snapshot = lookup.named(cloud.snapshots, incoming.group, incoming.name)
    if snapshot is None:
        return Reply(204)
    running = cloud.runner.running(snapshot.unique_id)
    if snapshot.state == "Deleting" and running is not None:
        return accepted(cloud, incoming, running)
    _check_idle(snapshot)
    _put(cloud, attrs.evolve(snapshot, state="Deleting"))
    job = _job(cloud, incoming, snapshot, cloud.timings.delete, (_gone, _kept))
    return accepted(cloud, incoming, cloud.runner.begin(job))


def _create(cloud: Cloud, incoming: Incoming) -> Reply:
    if not names.is_name("snapshots", incoming.name):
        raise errors.invalid("snapshot.name", "It has 1 to 80 letters, digits and '_', '-', '.'.")
    body = incoming.body
    location = names.location(body["location"])
    creation = body.get("properties", {}).get("creationData", {})
    if creation.get("createOption") != "Copy":
        raise errors.not_implemented(f"createOption {creation.get('createOption')}")
    made_of = source(cloud, creation, location)
    snapshot = _asked(cloud, incoming, made_of)
    rules.check_encryption(cloud, snapshot.encryption, snapshot.encryption_set)
    cloud.backing.copy(made_of.record.unique_id, snapshot.unique_id, snapshot.size * GIB)
    _put(cloud, snapshot)
    job = _job(cloud, incoming, snapshot, cloud.timings.snapshot, (_made, _not_made))
    operation = cloud.runner.begin(job)
    announced: dict[str, Any] = {
        "name": snapshot.name,
        "location": snapshot.location,
        "tags": dict(snapshot.tags),
        "properties": {
            "creationData": creation,
            "incremental": snapshot.is_incremental,
            "provisioningState": "Updating",
        },
    }
    return accepted(cloud, incoming, operation, announced)


def _asked(cloud: Cloud, incoming: Incoming, made_of: Source) -> Snapshot:
    record = made_of.record
    wanted = wishes.wish(incoming.body, Snapshot)
    kind = kinds.KINDS[record.sku] if isinstance(record, Disk) else None
    is_chosen = kind is not None and kind.is_chosen
    if is_chosen and not wanted.get("is_incremental", False):
        raise errors.invalid("incremental", f"Snapshots of {record.sku} disks are incremental.")
    snapshot = Snapshot(
        names.new_guid(),
        incoming.name,
        incoming.group,
        record.location,
        record.size,
        cloud.agenda.time,
        made_of.id,
        record.unique_id,
        sector_size=sector_size(record),
        encryption=record.encryption,
        encryption_set=record.encryption_set,
    )
    snapshot = wishes.applied(snapshot, {**wanted, "size": record.size})
    if snapshot.is_incremental:
        snapshot = attrs.evolve(snapshot, family=record.unique_id)
    if is_chosen or cloud.quirks.copies_slowly:
        snapshot = attrs.evolve(snapshot, completion=0.0)
    return snapshot


def _job(
    cloud: Cloud,
    incoming: Incoming,
    snapshot: Snapshot,
    seconds: float,
    steps: tuple[Callable[[Cloud, str], None], Callable[..., None]],
) -> Job:
    """Return a job that ends with the first of two steps, or fails with the second one."""
    return Job(
        incoming.action,
        DISK_OPERATIONS,
        snapshot.location,
        snapshot.unique_id,
        seconds,
        partial(steps[0], cloud, snapshot.unique_id),
        partial(steps[1], cloud, snapshot.unique_id),
    )


def _put(cloud: Cloud, snapshot: Snapshot) -> None:
    cloud.snapshots[snapshot.unique_id] = snapshot


def _made(cloud: Cloud, unique_id: str) -> None:
    snapshot = attrs.evolve(cloud.snapshots[unique_id], state="Succeeded", is_made=True)
    _put(cloud, snapshot)
    if snapshot.completion is not None:
        copies.begin(cloud, cloud.snapshots, unique_id)


def _not_made(cloud: Cloud, unique_id: str, *, leaves_failed: bool) -> None:
    if leaves_failed:
        _put(cloud, attrs.evolve(cloud.snapshots[unique_id], state="Failed"))
    else:
        _gone(cloud, unique_id)


def _gone(cloud: Cloud, unique_id: str) -> None:
    del cloud.snapshots[unique_id]
    cloud.backing.remove(unique_id)


def _kept(cloud: Cloud, unique_id: str, *, leaves_failed: bool) -> None:
    state = "Failed" if leaves_failed else "Succeeded"
    _put(cloud, attrs.evolve(cloud.snapshots[unique_id], state=state))


def _check_idle(snapshot: Snapshot) -> None:
    if snapshot.state not in {"Succeeded", "Failed"}:
        raise errors.busy(snapshot.name)


def _change(cloud: Cloud, incoming: Incoming, snapshot: Snapshot, wanted: wishes.Wish) -> Reply:
    if wanted.get("size", snapshot.size) != snapshot.size:
        raise errors.not_changeable("diskSizeGB")
    if wanted.get("is_incremental", snapshot.is_incremental) != snapshot.is_incremental:
        raise errors.not_changeable("incremental")
    new = wishes.applied(snapshot, wanted)
    rules.check_encryption(cloud, new.encryption, new.encryption_set)
    if new == snapshot:
        return Reply(200, render.snapshot(cloud, snapshot, incoming.group))
    _put(cloud, attrs.evolve(snapshot, state="Updating"))
    finish = partial(_changed, wanted=wanted)
    job = _job(cloud, incoming, snapshot, cloud.timings.update, (finish, _kept))
    operation = cloud.runner.begin(job)
    shown = attrs.evolve(new, state="Updating")
    return accepted(cloud, incoming, operation, render.snapshot(cloud, shown, incoming.group))


def _changed(cloud: Cloud, unique_id: str, *, wanted: wishes.Wish) -> None:
    changed = wishes.applied(cloud.snapshots[unique_id], wanted)
    _put(cloud, attrs.evolve(changed, state="Succeeded"))
