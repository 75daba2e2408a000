"""What disks a virtual machine can take, and at which logical unit numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cloudcrypt_testing.fake_azure import errors, kinds, lookup, names
from cloudcrypt_testing.fake_azure.cloud import Cloud
from cloudcrypt_testing.fake_azure.errors import ArmError, Failure
from cloudcrypt_testing.fake_azure.names import ResourceId
from cloudcrypt_testing.fake_azure.records import DataDisk, Disk, Machine
from cloudcrypt_testing.fake_azure.updates import Change, Leaving

LUNS: Final = range(64)
"""The logical unit numbers of data disks: of 64, the most that any size of machine takes."""


def asked_for(cloud: Cloud, machine: Machine, body: Mapping[str, Any]) -> Change:
    """Return what an ``AttachDetachDataDisksRequest`` asks for; `check` it.

    Raises:
        ArmError: a disk does not exist, or is not there to be detached.
    """
    leaving = [_leaving(cloud, machine, one) for one in body.get("dataDisksToDetach", ())]
    coming: list[DataDisk] = []
    for one in body.get("dataDisksToAttach", ()):
        disk = disk_of(cloud, one["diskId"], "dataDisksToAttach.diskId")
        lun = one.get("lun")
        if lun is None:
            lun = free_lun(machine, coming)
        coming.append(
            DataDisk(
                lun,
                disk.unique_id,
                disk.name,
                one["diskId"],
                one.get("caching", usual_caching(disk)),
                one.get("deleteOption", "Detach"),
                one.get("writeAcceleratorEnabled", False),
            )
        )
    if not leaving and not coming:
        raise errors.invalid("dataDisksToAttach", "There is nothing to attach or detach.")
    return Change(tuple(coming), tuple(leaving))


def check(cloud: Cloud, machine: Machine, change: Change) -> Failure | None:
    """Return why an update is going to fail, if that is found late; None if it will not.

    Raises:
        ArmError: it cannot be done.
    """
    for one in change.attach:
        _check_list(machine, one, change.attach)
    gone = {leaving.disk.unique_id for leaving in change.detach}
    staying = [one for one in machine.data_disks if one.unique_id not in gone]
    most = cloud.most_disks(machine)
    if change.attach and len(staying) + len(change.attach) > most:
        raise errors.not_allowed(
            "The maximum number of data disks allowed to be attached to a VM of this size is "
            f"{most}.",
            "dataDisks",
        )
    late = [_check_disk(cloud, machine, one) for one in change.attach]
    return next((one for one in late if one is not None), None)


def disk_of(cloud: Cloud, disk_id: str, parameter: str) -> Disk:
    """Return the disk with an id.

    Raises:
        ArmError: there is none, or it is no id of a disk.
    """
    found = ResourceId.parsed(disk_id)
    if found is None or found.kind != "disks":
        raise errors.invalid(parameter, f"'{disk_id}' is no id of a disk.")
    if not names.same(found.subscription, cloud.site.subscription):
        raise ArmError(
            400,
            "InvalidParameter",
            f"Subscription {cloud.site.subscription} of the request must match the subscription "
            f"{found.subscription} contained in the managed disk id.",
            parameter,
        )
    disk = lookup.named(cloud.disks, found.group, found.name)
    if disk is None:
        raise errors.not_found("disks", found.name, found.group)
    return disk


def usual_caching(disk: Disk) -> str:
    """Return how the host caches a disk if nothing is asked: ReadOnly for plain Premium ones."""
    is_premium = disk.sku in {"Premium_LRS", "Premium_ZRS"}
    return "ReadOnly" if is_premium and _can_cache(disk) else "None"


def check_caching(disk: Disk, caching: str) -> None:
    """Raise `ArmError` if the host cannot cache a disk so."""
    if caching != "None" and not _can_cache(disk):
        raise errors.invalid("dataDisk.caching", f"Disk {disk.name} cannot be cached.")


def _can_cache(disk: Disk) -> bool:
    is_plain = not kinds.KINDS[disk.sku].is_chosen
    return is_plain and disk.size < kinds.CROSSING and disk.max_shares == 1


def _leaving(cloud: Cloud, machine: Machine, asked: Mapping[str, Any]) -> Leaving:
    """Return the disk that is to be detached: by its id, whatever has become of the disk."""
    found = ResourceId.parsed(asked["diskId"])
    for one in machine.data_disks:
        disk = cloud.disks.get(one.unique_id)
        if disk is not None and found is not None and _is(disk, found):
            return Leaving(one, asked.get("detachOption") == "ForceDetach")
    raise errors.invalid(
        "dataDisksToDetach.diskId", f"'{asked['diskId']}' is not attached to '{machine.name}'."
    )


def _is(disk: Disk, found: ResourceId) -> bool:
    return names.same(disk.name, found.name) and names.same(disk.group, found.group)


def free_lun(machine: Machine, coming: Sequence[DataDisk] = ()) -> int:
    """Return the lowest logical unit number that is free; 64 if none is."""
    taken = {one.lun for one in (*machine.data_disks, *coming)}
    free = next((lun for lun in LUNS if lun not in taken), None)
    return len(LUNS) if free is None else free


def _check_list(machine: Machine, one: DataDisk, coming: Sequence[DataDisk]) -> None:
    """Raise `ArmError` if the list of disks has no place for ``one``."""
    others = [*machine.data_disks, *(each for each in coming if each is not one)]
    for other in others:
        if other.is_going and other.unique_id == one.unique_id:
            raise being_detached(one.name, machine)
        if names.same(other.name, one.name):
            message = f"A disk named '{one.name}' already exists."
            raise ArmError(400, "InvalidParameter", message, "dataDisk.name")
        if other.lun == one.lun:
            message = f"A disk at LUN {one.lun} already exists."
            raise ArmError(400, "InvalidParameter", message, "dataDisk.lun")
    if one.lun not in LUNS:
        raise errors.invalid("dataDisk.lun", f"It can be 0 to {LUNS[-1]}.")


def being_detached(name: str, machine: Machine) -> ArmError:
    """Return what is said of a disk that is still on its way out, or stuck there."""
    return ArmError(
        409,
        "AttachDiskWhileBeingDetached",
        f"Cannot attach data disk '{name}' to VM '{machine.name}' because the disk is currently "
        "being detached or the last detach operation failed. Please wait until the disk is "
        "completely detached and then try again or delete/detach the disk explicitly again.",
        "dataDisk",
    )


def _check_disk(cloud: Cloud, machine: Machine, one: DataDisk) -> Failure | None:
    disk = cloud.disks[one.unique_id]
    if not disk.is_made or disk.state == "Deleting":
        raise errors.not_allowed(
            f"Disk '{disk.name}' cannot be attached to VM '{machine.name}' while its provisioning "
            f"state is {disk.state}."
        )
    _check_fit(cloud, machine, disk)
    check_caching(disk, one.caching)
    return _check_owner(cloud, machine, disk)


def _check_fit(cloud: Cloud, machine: Machine, disk: Disk) -> None:
    zone = disk.zones[0] if disk.zones else None
    kind = kinds.KINDS[disk.sku]
    if not kind.is_redundant and zone != machine.zone:
        raise ArmError(
            400,
            "BadRequest",
            f"Disk {cloud.site.path(disk.group, 'disks', disk.name)} cannot be attached to the VM "
            "because it is not in the same zone as the VM. "
            f"VM zone: '{machine.zone or ''}'. Disk zone: '{zone or ''}'.",
        )
    if disk.sku == "UltraSSD_LRS" and not machine.has_ultra:
        raise errors.invalid(
            "dataDisk.managedDisk.storageAccountType",
            "Managed disks with 'UltraSSD_LRS' storage account type can be used only when "
            "additionalCapabilities.ultraSSDEnabled property is set.",
        )
    if kind.tier == "Premium" and not kinds.SIZES[machine.size.lower()].has_premium:
        raise errors.invalid(
            "dataDisk.managedDisk.storageAccountType",
            "Requested operation cannot be performed because storage account type "
            f"'{disk.sku}' is not supported for VM size '{machine.size}'.",
        )


def _check_owner(cloud: Cloud, machine: Machine, disk: Disk) -> Failure | None:
    if len(disk.holders) < disk.max_shares:
        return None
    holder = cloud.machine_of(disk.holders[0])
    theirs = holder.disk(disk.unique_id) if holder is not None else None
    if theirs is not None and theirs.is_going:
        raise being_detached(disk.name, machine)
    disk_id = cloud.site.path(disk.group, "disks", disk.name)
    if cloud.quirks.finds_conflicts_late:
        message = (
            f"Disk '{disk_id}' cannot be attached as the disk is already owned by VM "
            f"'{disk.holders[0]}'."
        )
        return Failure("ConflictingUserInput", message, disk_id)
    raise ArmError(
        409,
        "ConflictingUserInput",
        f"Cannot attach the disk {disk.name} to VM {cloud.holder_id(machine)} because it is "
        f"already attached to VM {disk.holders[0]}. A disk can be attached to only one VM at a "
        "time.",
        disk_id,
    )
