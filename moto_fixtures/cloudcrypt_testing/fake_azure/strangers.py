"""What others do to a virtual machine, without a request."""

from cloudcrypt_testing.fake_azure import attachments, hosts, names, updates
from cloudcrypt_testing.fake_azure.cloud import GIB, Cloud
from cloudcrypt_testing.fake_azure.records import DataDisk, Disk, Machine


def disk(cloud: Cloud, machine: Machine) -> str:
    """Make a disk that a virtual machine can take, and return its unique id."""
    unique_id = names.new_guid()
    one = Disk(
        unique_id,
        f"other-{unique_id[:8]}",
        machine.group,
        machine.location,
        "StandardSSD_LRS",
        1,
        cloud.agenda.time,
        state="Succeeded",
        zones=(machine.zone,) if machine.zone is not None else (),
        is_made=True,
    )
    cloud.backing.create(unique_id, one.size * GIB)
    cloud.put(one)
    return unique_id


def attach(cloud: Cloud, instance: str, unique_id: str, lun: int | None) -> None:
    """Attach a disk at once, at the lowest logical unit number that is free if None.

    Raises:
        ValueError: the number is taken, or the disk is attached as often as it can be.
    """
    machine, one = hosts.found(cloud, instance), cloud.disks[unique_id]
    number = attachments.free_lun(machine) if lun is None else lun
    if machine.at(number) is not None or len(one.holders) >= one.max_shares:
        raise ValueError(f"{instance} cannot take {unique_id} at {number}")
    disk_id = cloud.site.path(one.group, "disks", one.name)
    updates.attach_now(cloud, machine, DataDisk(number, unique_id, one.name, disk_id))
