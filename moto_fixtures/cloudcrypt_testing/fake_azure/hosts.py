"""Virtual machines, which tests start without a request."""

from typing import Final

import attrs

from cloudcrypt_testing.fake_azure import kinds, names
from cloudcrypt_testing.fake_azure.cloud import GIB, Cloud
from cloudcrypt_testing.fake_azure.records import Disk, Machine
from cloudcrypt_testing.fake_azure.updates import plug

_OS_SIZE: Final = 30  # GiB


def run(
    cloud: Cloud,
    zone: str | None,
    size: str,
    *,
    name: str | None = None,
    has_ultra: bool = True,
    scale_set: str | None = None,
) -> Machine:
    """Start a virtual machine with a disk for its system.

    Raises:
        ValueError: there is no such zone or size, or the name is taken.
    """
    known = kinds.SIZES.get(size.lower())
    if known is None or (zone is not None and zone not in names.ZONES):
        raise ValueError(f"no zone {zone} with {size}")
    siblings = sum(one.scale_set == scale_set for one in cloud.machines.values())
    default = f"vm-{siblings + 1}" if scale_set is None else str(siblings)
    machine = Machine(
        name or default,
        cloud.site.group,
        cloud.site.location,
        known.name,
        names.new_guid(),
        cloud.agenda.time,
        known.is_nvme,
        names.new_guid(),
        scale_set,
        zone,
        has_ultra=has_ultra,
    )
    if machine.text in cloud.machines:
        raise ValueError(f"{machine.text} exists")
    _make_os_disk(cloud, machine)
    cloud.machines[machine.text] = machine
    return machine


def found(cloud: Cloud, text: str) -> Machine:
    """Return the virtual machine ``group/name`` or ``group/scale set/number``.

    Raises:
        ValueError: there is none.
    """
    machine = cloud.machines.get(text.lower())
    if machine is None:
        raise ValueError(f"no instance {text}")
    return machine


def delete(cloud: Cloud, machine: Machine) -> None:
    """Let a virtual machine be gone; its data disks are free, unless they go with it."""
    for target in (machine.text, *(one.unique_id for one in machine.data_disks)):
        running = cloud.runner.running(target)
        if running is not None:
            cloud.runner.preempt(running.id)
    machine = cloud.machines[machine.text]
    holder = cloud.holder_id(machine)
    for disk in tuple(cloud.disks.values()):
        if holder in disk.holders:
            rest = tuple(one for one in disk.holders if one != holder)
            cloud.put(attrs.evolve(disk, holders=rest, owned=cloud.agenda.time))
    cloud.bury(machine.os_disk)
    for one in machine.data_disks:
        cloud.node(machine).detach(one.unique_id)
        if one.delete_option == "Delete":
            cloud.bury(one.unique_id)
    del cloud.machines[machine.text]


def fail(cloud: Cloud, machine: Machine, *, takes_disks: bool) -> None:
    """Let a virtual machine be Failed, until an update of it ends well."""
    cloud.put_machine(attrs.evolve(machine, state="Failed"))
    if not takes_disks:
        cloud.quirks.stubborn.add(machine.text)


def switch(cloud: Cloud, machine: Machine, *, on: bool) -> None:
    """Deallocate a virtual machine, or start it again."""
    cloud.put_machine(attrs.evolve(machine, is_deallocated=not on))
    for one in machine.data_disks:
        disk = cloud.disks[one.unique_id]
        cloud.put(attrs.evolve(disk, is_reserved=not on))
        if on:
            plug(cloud, machine.text, one.unique_id)
        else:
            cloud.node(machine).detach(one.unique_id)


def _make_os_disk(cloud: Cloud, machine: Machine) -> None:
    owner = machine.name if machine.scale_set is None else f"{machine.scale_set}_{machine.name}"
    disk = Disk(
        machine.os_disk,
        f"{owner}_OsDisk_1_{machine.os_disk.replace('-', '')}",
        machine.group,
        machine.location,
        "StandardSSD_LRS",
        _OS_SIZE,
        cloud.agenda.time,
        state="Succeeded",
        zones=(machine.zone,) if machine.zone is not None else (),
        create_option="FromImage",
        others={"osType": "Linux"},
        holders=(cloud.holder_id(machine),),
        is_os=True,
        is_made=True,
    )
    cloud.backing.create(disk.unique_id, _OS_SIZE * GIB)
    cloud.put(disk)
