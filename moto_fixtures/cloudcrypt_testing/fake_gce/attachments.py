"""Attaching disks to instances, and detaching them."""

from functools import partial
from typing import Final

import attrs

from cloudcrypt_testing.fake_gce import bodies, disks, errors, kinds
from cloudcrypt_testing.fake_gce.cloud import Cloud, View, named
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.records import AttachedDisk, Disk, Instance
from cloudcrypt_testing.fake_gce.render import Document
from cloudcrypt_testing.fake_gce.runner import Job

_FIELDS: Final = frozenset(
    {"autoDelete", "deviceName", "forceAttach", "interface", "mode", "source", "type"}
)
_DEVICE_NAME_MOST: Final = 63  # characters


@attrs.frozen
class _Wish:
    """One attachment that is asked for."""

    instance: str
    """The path."""
    disk_id: str
    device_name: str
    mode: str
    auto_delete: bool
    is_forced: bool


def get(cloud: Cloud, incoming: Incoming, view: View) -> Document:
    """Answer ``instances.get``."""
    return cloud.render.instance(existing(cloud, incoming, view))


def attach(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``instances.attachDisk``."""
    body = bodies.known_fields(incoming.body, _FIELDS)
    instance = existing(cloud, incoming)
    if body.get("type", "PERSISTENT") != "PERSISTENT":
        raise errors.invalid("resource.type", body["type"], "Only PERSISTENT can be attached.")
    if "source" not in body:
        raise errors.required("resource.source")
    if body.get("interface", instance.interface) != instance.interface:
        why = f"The disks of the instance are {instance.interface}."
        raise errors.invalid("resource.interface", body["interface"], why)
    _check_queue(cloud, instance)
    disk = disks.resolved(cloud, "resource.source", body["source"])
    wish = _Wish(
        instance.path,
        disk.id,
        body.get("deviceName") or _default_device_name(instance),
        body.get("mode", "READ_WRITE"),
        body.get("autoDelete", False),
        incoming.flag("forceAttach"),
    )
    _check_wish(cloud, instance, disk, wish)
    if cloud.quirks.finds_conflicts_early:
        _check_use(cloud, disk, wish)
    return Job(
        incoming.action,
        "attachDisk",
        incoming.scope,
        instance.path,
        instance.id,
        cloud.timings.attach,
        finish=partial(_finish_attaching, cloud, wish),
    )


def detach(cloud: Cloud, incoming: Incoming) -> Job:
    """Answer ``instances.detachDisk``."""
    instance = existing(cloud, incoming)
    device_name = incoming.text("deviceName") or ""
    attached = instance.device(device_name)
    if attached is None:
        raise errors.invalid("deviceName", device_name, _absent(device_name))
    if attached.is_boot:
        why = "Cannot detach the boot disk of a running instance."
        raise errors.invalid("deviceName", device_name, why)
    _check_queue(cloud, instance)
    return detaching(cloud, instance, device_name, incoming.action)


def detaching(
    cloud: Cloud, instance: Instance, device_name: str, action: str = "instances.detachDisk"
) -> Job:
    """Return what takes whatever has ``device_name``, in the end, from an instance."""
    return Job(
        action,
        "detachDisk",
        instance.scope,
        instance.path,
        instance.id,
        cloud.timings.detach,
        finish=partial(_finish_detaching, cloud, instance.id, device_name),
    )


def existing(cloud: Cloud, incoming: Incoming, view: View | None = None) -> Instance:
    """Return the instance that the path of a request names."""
    name = incoming.in_path["instance"]
    table = cloud.instances if view is None else view.instances
    instance = named(table, incoming.scope, name)
    if instance is None:
        raise errors.not_found(cloud.site.full(f"{incoming.scope}/instances/{name}"))
    return instance


def _check_queue(cloud: Cloud, instance: Instance) -> None:
    """Raise if as many operations of an instance are unfinished as it takes."""
    most = cloud.quirks.most_pending.get(instance.id)
    if most is None:
        return
    pending = sum(
        operation.target_id == instance.id and operation.status != "DONE"
        for operation in cloud.operations.values()
    )
    if pending >= most:
        raise errors.queue_full()


def _default_device_name(instance: Instance) -> str:
    """Return the device name that the API chooses: the first one that is free."""
    taken = {one.device_name for one in instance.disks}
    number = 0
    while f"persistent-disk-{number}" in taken:
        number += 1
    return f"persistent-disk-{number}"


def _connect(cloud: Cloud, instance: Instance, disk: Disk, attached: AttachedDisk) -> None:
    """Let a disk be attached."""
    cloud.instances[instance.id] = attrs.evolve(instance, disks=(*instance.disks, attached))
    cloud.put(
        attrs.evolve(disk, users=(*disk.users, instance.path), last_attached=cloud.agenda.time)
    )
    show = partial(cloud.plug, instance.path, disk.id, attached.device_name)
    cloud.agenda.later(cloud.timings.appear, show)


def _check_wish(cloud: Cloud, instance: Instance, disk: Disk, wish: _Wish) -> None:
    """Raise if this cannot be attached so, whoever else has it."""
    _check_place(cloud, instance, disk)
    _check_device_name(cloud, instance, wish)
    if wish.is_forced and not disk.replica_zones:
        raise errors.invalid("forceAttach", "true", "Only a regional disk can be forced.")
    if disk.access_mode == "READ_ONLY_MANY" and wish.mode != "READ_ONLY":
        raise errors.invalid("resource.mode", wish.mode, "The disk can be read only.")
    most = cloud.most_disks(instance)
    if len(instance.disks) >= most:
        message = (
            "Exceeded limit 'maximum_persistent_disks' on resource "
            f"'{instance.name}'. Limit: {most}.0"
        )
        raise errors.GceError(403, "limitExceeded", message)


def _check_place(cloud: Cloud, instance: Instance, disk: Disk) -> None:
    zone = instance.scope.partition("/")[2]
    if zone not in disk.zones:
        why = f"The disk is not in the zone '{zone}' of the instance."
        raise errors.invalid("resource.source", cloud.site.full(disk.path), why)


def _check_device_name(cloud: Cloud, instance: Instance, wish: _Wish) -> None:
    field, name = "resource.deviceName", wish.device_name
    if len(name) > _DEVICE_NAME_MOST:
        raise errors.invalid(field, name, "It is too long.")
    if instance.device(name) is not None and not cloud.quirks.shares_device_names:
        raise errors.invalid(field, name, "It is already in use on the instance.")


def _check_use(cloud: Cloud, disk: Disk, wish: _Wish) -> None:
    holder = _conflict(cloud, disk, wish)
    if holder is not None:
        raise errors.in_use(cloud.site.full(disk.path), cloud.site.full(holder))


def _conflict(cloud: Cloud, disk: Disk, wish: _Wish) -> str | None:
    """Return the path of an instance because of which a disk cannot be attached."""
    if wish.instance in disk.users:
        return wish.instance
    if not disk.users or wish.is_forced or disk.access_mode == "READ_WRITE_MANY":
        return None
    is_shared = wish.mode == "READ_ONLY" and disk.access_mode != "READ_WRITE_SINGLE"
    if is_shared and all(_reads_only(cloud, path, disk) for path in disk.users):
        return None
    return disk.users[0]


def _reads_only(cloud: Cloud, path: str, disk: Disk) -> bool:
    instance = cloud.instance_at(path)
    attached = instance.disk(disk.id) if instance is not None else None
    return attached is not None and attached.mode == "READ_ONLY"


def _finish_attaching(cloud: Cloud, wish: _Wish) -> None:
    instance, disk = cloud.instance_at(wish.instance), cloud.disks.get(wish.disk_id)
    if instance is None or disk is None:
        missing = wish.instance if instance is None else f"disk {wish.disk_id}"
        raise errors.failed("RESOURCE_NOT_FOUND", f"The resource '{missing}' was not found")
    _check_at_last(cloud, instance, disk, wish)
    if wish.is_forced:
        for path in disk.users:
            cloud.unplug(path, disk.id)
    attached = AttachedDisk(
        disk.id,
        disk.path,
        wish.device_name,
        wish.mode,
        instance.interface,
        max((one.index for one in instance.disks), default=-1) + 1,
        disk.size,
        auto_delete=wish.auto_delete,
    )
    _connect(cloud, instance, cloud.disks[disk.id], attached)


def _check_at_last(cloud: Cloud, instance: Instance, disk: Disk, wish: _Wish) -> None:
    """Look once more, for much may have happened since the request."""
    try:
        _check_wish(cloud, instance, disk, wish)
        disks.ready(cloud, disk)
    except errors.GceError as error:
        raise errors.failed("INVALID_USAGE", error.message) from error
    holder = _conflict(cloud, disk, wish)
    if holder is not None:
        message = errors.used(cloud.site.full(disk.path), cloud.site.full(holder))
        raise errors.failed("RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", message)
    is_hyperdisk = kinds.DISKS[disk.kind].is_hyperdisk
    if not is_hyperdisk and not instance.machine.takes_persistent_disks:
        message = f"[{disk.kind}] features are not compatible with {instance.machine.name}."
        raise errors.failed("UNSUPPORTED_OPERATION", message)


def _finish_detaching(cloud: Cloud, instance_id: str, device_name: str) -> None:
    instance = cloud.instances.get(instance_id)
    attached = instance.device(device_name) if instance is not None else None
    if instance is None or attached is None:
        raise errors.failed("INVALID_USAGE", _absent(device_name))
    cloud.unplug(instance.path, attached.disk_id)


def _absent(device_name: str) -> str:
    return f"No attached disk found with device name '{device_name}'"
