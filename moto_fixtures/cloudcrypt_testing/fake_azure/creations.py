"""Making disks: empty ones, and copies of disks and snapshots."""

from functools import partial
from typing import Any

import attrs

from cloudcrypt_testing.fake_azure import copies, errors, kinds, names, rules, wishes
from cloudcrypt_testing.fake_azure.cloud import GIB, Cloud
from cloudcrypt_testing.fake_azure.errors import Failure
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.records import Disk
from cloudcrypt_testing.fake_azure.replies import Reply, accepted
from cloudcrypt_testing.fake_azure.runner import DISK_OPERATIONS, Job
from cloudcrypt_testing.fake_azure.sources import Source, sector_size, source


def create(cloud: Cloud, incoming: Incoming, unique_id: str) -> Reply:
    """Begin to make a disk, and answer.

    Raises:
        ArmError: there cannot be such a disk, or there is no room for it.
    """
    if not names.is_name("disks", incoming.name):
        raise errors.invalid("disk.name", "It has 1 to 80 letters, digits, '_' and '-'.")
    made_of, disk = _asked(cloud, incoming, unique_id)
    rules.check(cloud, disk)
    rules.check_tier(incoming.body, disk)
    failure = _no_room(cloud, disk)
    if made_of is None:
        cloud.backing.create(unique_id, disk.size * GIB)
    else:
        cloud.backing.copy(made_of.record.unique_id, unique_id, disk.size * GIB)
    cloud.put(disk)
    job = Job(
        incoming.action,
        DISK_OPERATIONS,
        disk.location,
        unique_id,
        cloud.timings.create,
        partial(_made, cloud, unique_id),
        partial(_not_made, cloud, unique_id),
        failure,
    )
    operation = cloud.runner.begin(job)
    return accepted(cloud, incoming, operation, _announced(incoming, disk))


def _asked(cloud: Cloud, incoming: Incoming, unique_id: str) -> tuple[Source | None, Disk]:
    """Return what a new disk is to be made from, and the disk."""
    body, location = incoming.body, names.location(incoming.body["location"])
    _check_location(cloud, location)
    wanted = wishes.wish(body, Disk)
    creation = body.get("properties", {}).get("creationData", {})
    made_of = _source(cloud, creation, location)
    size = wanted.get("size")
    if size is None:
        if made_of is None:
            raise errors.invalid("disk.diskSizeGB", "It is needed for an empty disk.")
        size = made_of.record.size
    elif made_of is not None and size < made_of.record.size:
        raise errors.invalid("disk.diskSizeGB", "It is less than that of the source.")
    disk = Disk(
        unique_id,
        incoming.name,
        incoming.group,
        location,
        wanted.get("sku", "Standard_LRS"),
        size,
        cloud.agenda.time,
        zones=tuple(body.get("zones", ())),
        create_option=creation["createOption"],
        performance_plus=creation.get("performancePlus", False),
    )
    disk = _with_source(disk, creation, made_of)
    disk = wishes.applied(disk, {**wanted, "size": size})
    if disk.sku == "PremiumV2_LRS" and rules.is_chosen(disk):
        disk = attrs.evolve(disk, performance_changes=(cloud.agenda.moment,))
    return made_of, disk


def _source(cloud: Cloud, creation: dict[str, Any], location: str) -> Source | None:
    option = creation.get("createOption")
    if option == "Empty":
        return None
    if option is None:
        raise errors.invalid("disk.creationData.createOption", "It is needed.")
    if option != "Copy":
        raise errors.not_implemented(f"createOption {option}")
    return source(cloud, creation, location)


def _with_source(disk: Disk, creation: dict[str, Any], made_of: Source | None) -> Disk:
    asked = creation.get("logicalSectorSize")
    if made_of is None:
        kind = kinds.KINDS.get(disk.sku)
        usual = kind.sectors[0] if kind is not None and kind.is_chosen else None
        return attrs.evolve(disk, sector_size=asked or usual)
    record = made_of.record
    sectors = sector_size(record)
    if asked not in {None, sectors or 512}:
        why = f"That of the source is {sectors or 512}."
        raise errors.invalid("disk.creationData.logicalSectorSize", why)
    kind = kinds.KINDS.get(disk.sku)
    return attrs.evolve(
        disk,
        completion=0.0 if kind is not None and kind.is_chosen else None,
        source_id=made_of.id,
        source_unique_id=record.unique_id,
        sector_size=sectors,
        encryption=record.encryption,
        encryption_set=record.encryption_set,
    )


def _check_location(cloud: Cloud, location: str) -> None:
    if location != cloud.site.location:
        message = (
            f"The provided location '{location}' is not available for resource type "
            f"'Microsoft.Compute/disks'. List of available regions for the resource type is "
            f"'{cloud.site.location}'."
        )
        raise errors.ArmError(400, "LocationNotAvailableForResourceType", message)


def _no_room(cloud: Cloud, disk: Disk) -> Failure | None:
    """Return why there is no room for a disk, or raise it; None if there is room."""
    quota = cloud.quirks.quota
    if quota is not None and sum(not one.is_os for one in cloud.disks.values()) >= quota:
        raise errors.not_allowed(
            f"Operation results in exceeding quota limits of {disk.sku} disks. Maximum allowed: "
            f"{quota}, Current in use: {quota}, Additional requested: 1."
        )
    stockout = cloud.quirks.stockouts.get(disk.zones[0] if disk.zones else "")
    if stockout is None:
        return None
    failure = errors.failure(stockout.code)
    if stockout.is_at_once:
        raise errors.ArmError(failure.status, failure.code, failure.message)
    return failure


def _announced(incoming: Incoming, disk: Disk) -> dict[str, Any]:
    """Return a disk as it is shown when it is asked for: without its unique id."""
    return {
        "name": disk.name,
        "location": disk.location,
        "tags": dict(disk.tags),
        "sku": {"name": disk.sku},
        "properties": {
            "creationData": incoming.body["properties"]["creationData"],
            "diskSizeGB": disk.size,
            "provisioningState": "Updating",
        },
    }


def _made(cloud: Cloud, unique_id: str) -> None:
    disk = cloud.put(attrs.evolve(cloud.disks[unique_id], state="Succeeded", is_made=True))
    if disk.completion is not None:
        copies.begin(cloud, cloud.disks, unique_id)


def _not_made(cloud: Cloud, unique_id: str, *, leaves_failed: bool) -> None:
    if leaves_failed:
        cloud.put(attrs.evolve(cloud.disks[unique_id], state="Failed"))
    else:
        cloud.bury(unique_id)
