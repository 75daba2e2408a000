"""Instances, which tests start without a request."""

from typing import Final

import attrs

from cloudcrypt_testing.fake_gce import machines
from cloudcrypt_testing.fake_gce.cloud import GIB, Cloud
from cloudcrypt_testing.fake_gce.devices import BOOT
from cloudcrypt_testing.fake_gce.names import new_id
from cloudcrypt_testing.fake_gce.records import AttachedDisk, Disk, Instance

_BOOT_SIZE: Final = 10  # GB


def run(cloud: Cloud, zone: str, machine: str, *, nvme: bool | None, name: str | None) -> Instance:
    """Start an instance with a boot disk.

    Raises:
        ValueError: there is no such zone or type of machine, or the name is taken.
    """
    kind = machines.machine(machine)
    if zone not in cloud.site.zones or kind is None:
        raise ValueError(f"no zone {zone} with {machine}")
    scope = f"zones/{zone}"
    name = name or f"vm-{next(cloud.numbers)}"
    if cloud.instance_at(f"{scope}/instances/{name}") is not None:
        raise ValueError(f"{zone}/{name} exists")
    is_nvme = kind.is_nvme if nvme is None else nvme
    instance = Instance(new_id(), name, scope, kind, cloud.agenda.time, is_nvme)
    return _with_boot_disk(cloud, instance, kind)


def found(cloud: Cloud, text: str) -> Instance:
    """Return the instance ``ZONE/NAME``.

    Raises:
        ValueError: there is none.
    """
    zone, _, name = text.partition("/")
    instance = cloud.instance_at(f"zones/{zone}/instances/{name}")
    if instance is None:
        raise ValueError(f"no instance {text}")
    return instance


def delete(cloud: Cloud, instance: Instance) -> None:
    """Let an instance be gone, and the disks that are to be deleted with it."""
    for attached in instance.disks:
        cloud.unplug(instance.path, attached.disk_id)
        if attached.auto_delete:
            cloud.bury(attached.disk_id)
    del cloud.instances[instance.id]
    cloud.forget_node(instance)


def _with_boot_disk(cloud: Cloud, instance: Instance, kind: machines.Machine) -> Instance:
    disk = Disk(
        new_id(),
        instance.name,
        instance.scope,
        _BOOT_SIZE,
        "pd-balanced" if kind.takes_persistent_disks else "hyperdisk-balanced",
        cloud.agenda.time,
        status="READY",
        is_boot=True,
    )
    cloud.backing.create(disk.id, disk.size * GIB)
    attached = AttachedDisk(
        disk.id,
        disk.path,
        BOOT,
        "READ_WRITE",
        instance.interface,
        0,
        disk.size,
        auto_delete=True,
        is_boot=True,
    )
    cloud.put(attrs.evolve(disk, users=(instance.path,), last_attached=cloud.agenda.time))
    cloud.instances[instance.id] = attrs.evolve(instance, disks=(attached,))
    return cloud.instances[instance.id]
