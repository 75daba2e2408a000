"""The requests about disks."""

from functools import partial
from typing import Final

import attrs

from cloudcrypt_testing.fake_azure import errors, kinds, lookup, names, render, rules, wishes
from cloudcrypt_testing.fake_azure.cloud import GIB, Cloud, View
from cloudcrypt_testing.fake_azure.creations import create
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.records import Disk
from cloudcrypt_testing.fake_azure.replies import Reply, accepted
from cloudcrypt_testing.fake_azure.runner import DISK_OPERATIONS, Job

_OVER: Final = frozenset({"Succeeded", "Failed"})
"""Provisioning states in which nothing is being done to a disk."""


def get(cloud: Cloud, incoming: Incoming, view: View) -> Reply:
    """Answer ``disks.get``."""
    disk = lookup.existing(view.disks, incoming, "disks")
    return Reply(200, render.disk(cloud, disk, incoming.group))


def create_or_update(cloud: Cloud, incoming: Incoming) -> Reply:
    """Answer ``disks.createOrUpdate``: a disk that exists is changed, whatever it was."""
    disk = lookup.named(cloud.disks, incoming.group, incoming.name)
    if disk is None:
        return create(cloud, incoming, names.new_guid())
    _check_idle(disk)
    if not disk.is_made:
        cloud.bury(disk.unique_id)
        return create(cloud, incoming, disk.unique_id)
    _check_same(disk, incoming)
    tags = wishes.checked_tags(incoming.body.get("tags", {}))
    return _change(cloud, incoming, disk, {**wishes.wish(incoming.body, Disk), "tags": tags})


def update(cloud: Cloud, incoming: Incoming) -> Reply:
    """Answer ``disks.update``."""
    disk = lookup.existing(cloud.disks, incoming, "disks")
    _check_idle(disk)
    if not disk.is_made:
        raise errors.not_allowed(f"Disk {disk.name} cannot be updated, for it was not made.")
    return _change(cloud, incoming, disk, wishes.wish(incoming.body, Disk))


def delete(cloud: Cloud, incoming: Incoming) -> Reply:
    """Answer ``disks.delete``; of what is not there, that it has been done."""
    disk = lookup.named(cloud.disks, incoming.group, incoming.name)
    if disk is None:
        return Reply(204)
    running = cloud.runner.running(disk.unique_id)
    if disk.state == "Deleting" and running is not None:
        return accepted(cloud, incoming, running)
    _check_idle(disk)
    if disk.holders:
        raise errors.not_allowed(f"Disk {disk.name} is attached to VM {disk.holders[0]}.")
    cloud.put(attrs.evolve(disk, state="Deleting"))
    job = Job(
        incoming.action,
        DISK_OPERATIONS,
        disk.location,
        disk.unique_id,
        cloud.timings.delete,
        partial(cloud.bury, disk.unique_id),
        partial(_keep, cloud, disk.unique_id),
    )
    return accepted(cloud, incoming, cloud.runner.begin(job))


def _keep(cloud: Cloud, unique_id: str, *, leaves_failed: bool) -> None:
    state = "Failed" if leaves_failed else "Succeeded"
    cloud.put(attrs.evolve(cloud.disks[unique_id], state=state))


def _check_idle(disk: Disk) -> None:
    if disk.state not in _OVER:
        raise errors.busy(disk.name)


def _check_same(disk: Disk, incoming: Incoming) -> None:
    """Refuse to make of a disk one that is elsewhere, or of something else."""
    body = incoming.body
    if names.location(body["location"]) != disk.location:
        message = (
            f"The resource '{disk.name}' already exists in location '{disk.location}' in resource "
            f"group '{disk.group}'. A resource with the same name cannot be created in location "
            f"'{body['location']}'. Please select a new resource name."
        )
        raise errors.ArmError(409, "InvalidResourceLocation", message)
    if tuple(body.get("zones", ())) != disk.zones:
        raise errors.not_changeable("zones")
    creation = body.get("properties", {}).get("creationData", {})
    if creation.get("createOption", disk.create_option) != disk.create_option:
        raise errors.not_changeable("creationData.createOption")
    made_from = creation.get("sourceResourceId")
    if made_from is not None and not names.same(made_from, disk.source_id or ""):
        raise errors.not_changeable("creationData.sourceResourceId")


def _change(cloud: Cloud, incoming: Incoming, disk: Disk, wanted: wishes.Wish) -> Reply:
    wanted = {name: one for name, one in wanted.items() if (name, one) not in _given(disk)}
    new = wishes.applied(disk, wanted)
    rules.check(cloud, new)
    rules.check_tier(incoming.body, disk)
    rules.check_change(cloud, disk, new)
    if new == disk:
        return Reply(200, render.disk(cloud, disk, incoming.group))
    if rules.changes_performance(disk, new):
        moments = (*disk.performance_changes, cloud.agenda.moment)
        disk = attrs.evolve(disk, performance_changes=moments)
    cloud.put(attrs.evolve(disk, state="Updating"))
    seconds = cloud.timings.resize if new.size > disk.size else cloud.timings.update
    job = Job(
        incoming.action,
        DISK_OPERATIONS,
        disk.location,
        disk.unique_id,
        seconds,
        partial(_changed, cloud, disk.unique_id, wanted),
        partial(_keep, cloud, disk.unique_id),
    )
    operation = cloud.runner.begin(job)
    shown = attrs.evolve(new, state="Updating")
    return accepted(cloud, incoming, operation, render.disk(cloud, shown, incoming.group))


def _given(disk: Disk) -> tuple[tuple[str, object], ...]:
    """Return the performance that a disk has by its kind and size, which requests may repeat."""
    kind = kinds.KINDS[disk.sku]
    if kind.is_chosen:
        return ()
    iops, mbps = kind.performance(disk.size)
    return ("iops", iops), ("mbps", mbps)


def _changed(cloud: Cloud, unique_id: str, wanted: wishes.Wish) -> None:
    disk = attrs.evolve(wishes.applied(cloud.disks[unique_id], wanted), state="Succeeded")
    cloud.put(disk)
    cloud.backing.grow(unique_id, disk.size * GIB)
    for holder in map(cloud.machine_of, disk.holders):
        if holder is not None:
            cloud.node(holder).grow(unique_id, disk.size * GIB)
