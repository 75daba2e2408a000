"""What a disk can be like, and how it can change."""

from collections.abc import Mapping
from typing import Any, Final

from cloudcrypt_testing.fake_azure import errors, kinds, names
from cloudcrypt_testing.fake_azure.cloud import Cloud
from cloudcrypt_testing.fake_azure.kinds import Kind
from cloudcrypt_testing.fake_azure.records import Disk

_PLATFORM: Final = "EncryptionAtRestWithPlatformKey"


def check(cloud: Cloud, disk: Disk) -> None:
    """Raise `ArmError` if there cannot be such a disk."""
    kind = kinds.KINDS.get(disk.sku)
    if kind is None:
        raise errors.bad_account_type(disk.sku)
    _check_size(disk, kind)
    _check_zones(disk, kind)
    _check_performance(disk, kind)
    _check_sharing(disk, kind)
    _check_make(disk, kind)
    check_encryption(cloud, disk.encryption, disk.encryption_set)


def check_encryption(cloud: Cloud, encryption: str, encryption_set: str | None) -> None:
    """Raise `ArmError` if nothing can be encrypted so."""
    if (encryption == _PLATFORM) != (encryption_set is None):
        raise errors.invalid("encryption.diskEncryptionSetId", f"It does not fit {encryption}.")
    if encryption_set is not None and encryption_set.lower() not in cloud.encryption_sets:
        found = names.ResourceId.parsed(encryption_set)
        if found is None:
            raise errors.invalid("encryption.diskEncryptionSetId")
        raise errors.not_found("diskEncryptionSets", found.name, found.group)


def check_tier(body: Mapping[str, Any], disk: Disk) -> None:
    """Raise `ArmError` if a request wants the performance of a larger disk, which is not known."""
    tier = body.get("properties", {}).get("tier")
    if tier not in {None, kinds.KINDS[disk.sku].price_tier(disk.size)}:
        raise errors.not_implemented("tiers that do not go with the size")


def check_change(cloud: Cloud, old: Disk, new: Disk) -> None:
    """Raise `ArmError` if a disk cannot change so: it never can, or not while it is attached."""
    _check_size_change(cloud, old, new)
    _check_kind_change(cloud, old, new)
    if old.max_shares != new.max_shares and old.holders:
        raise errors.not_allowed(
            f"The maxShares of disk {old.name} can be changed only while it is not attached.",
            "maxShares",
        )
    if _performance(old) != _performance(new):
        check_budget(cloud, old)


def check_budget(cloud: Cloud, disk: Disk) -> None:
    """Raise `ArmError` if the performance of a disk has been changed too often lately."""
    since = cloud.agenda.moment - kinds.CHANGES_PERIOD
    if sum(moment > since for moment in disk.performance_changes) >= kinds.CHANGES:
        raise errors.not_allowed(
            f"The performance of disk {disk.name} can be changed {kinds.CHANGES} times within "
            "24 hours.",
            "diskIOPSReadWrite",
        )


def is_running(cloud: Cloud, disk: Disk) -> bool:
    """Say whether a disk is attached to a virtual machine that is not deallocated."""
    holders = map(cloud.machine_of, disk.holders)
    return any(holder is not None and not holder.is_deallocated for holder in holders)


def is_chosen(disk: Disk) -> bool:
    """Say whether the performance of a disk was chosen."""
    return _performance(disk) != (None, None)


def changes_performance(old: Disk, new: Disk) -> bool:
    """Say whether a change counts as one of the performance."""
    return _performance(old) != _performance(new)


def _performance(disk: Disk) -> tuple[int | None, int | None]:
    return disk.iops, disk.mbps


def _check_size(disk: Disk, kind: Kind) -> None:
    if not kind.least <= disk.size <= kind.most:
        raise errors.invalid(
            "disk.diskSizeGB", f"{disk.sku} disks have {kind.least} to {kind.most} GiB."
        )


def _check_zones(disk: Disk, kind: Kind) -> None:
    if len(disk.zones) > 1 or not set(disk.zones) <= set(names.ZONES):
        raise errors.invalid("zones", f"There are {', '.join(names.ZONES)}, and one at a time.")
    if kind.is_zonal and not disk.zones:
        raise errors.invalid("zones", f"{disk.sku} disks must be in a zone.")
    if kind.is_redundant and disk.zones:
        raise errors.invalid("zones", f"{disk.sku} disks are in all zones.")


def _check_performance(disk: Disk, kind: Kind) -> None:
    if not kind.is_chosen:
        if disk.iops is not None or disk.mbps is not None:
            raise errors.invalid(
                "disk.diskIOPSReadWrite", f"The performance of {disk.sku} disks is not chosen."
            )
        return
    usual = kind.performance(disk.size)
    iops, mbps = disk.iops or usual[0], disk.mbps or usual[1]
    least_iops, least_mbps = kind.least_performance()
    if not least_iops <= iops <= kind.most_iops(disk.size):
        why = f"It can be {least_iops} to {kind.most_iops(disk.size)}."
        raise errors.invalid("disk.diskIOPSReadWrite", why)
    if not least_mbps <= mbps <= kind.most_mbps(iops):
        why = f"It can be {least_mbps} to {kind.most_mbps(iops)}."
        raise errors.invalid("disk.diskMBpsReadWrite", why)


def _check_sharing(disk: Disk, kind: Kind) -> None:
    most = kind.shares(disk.size)
    if not 1 <= disk.max_shares <= most:
        raise errors.invalid("disk.maxShares", f"It can be 1 to {most} with this size and SKU.")


def _check_make(disk: Disk, kind: Kind) -> None:
    if disk.sector_size not in {None, *kind.sectors}:
        raise errors.invalid("disk.creationData.logicalSectorSize")
    if disk.performance_plus and (kind.is_chosen or disk.size < kinds.PERFORMANCE_PLUS):
        raise errors.invalid(
            "disk.creationData.performancePlus",
            f"Such disks have {kinds.PERFORMANCE_PLUS} GiB or more, and no chosen performance.",
        )


def _check_size_change(cloud: Cloud, old: Disk, new: Disk) -> None:
    if new.size < old.size:
        path = cloud.site.path(old.group, "disks", old.name)
        raise errors.not_allowed(
            f"The disk/snapshot resource with id {path} cannot be resized down. Reducing "
            "disk/snapshot size is not supported in Azure to prevent data loss."
        )
    if new.size == old.size:
        return
    if old.completion is not None and old.completion < 100:
        raise errors.not_allowed(
            f"Disk {old.name} cannot be resized before its copy in the background is over."
        )
    if not is_running(cloud, old):
        return
    is_plain = not kinds.KINDS[old.sku].is_chosen
    crosses = is_plain and old.size < kinds.CROSSING <= new.size
    if crosses or old.max_shares > 1 or not cloud.quirks.resizes_online:
        raise errors.resize_while_attached(old.name, old.holders[0])


def _check_kind_change(cloud: Cloud, old: Disk, new: Disk) -> None:
    if old.sku == new.sku:
        return
    before, after = kinds.KINDS[old.sku], kinds.KINDS[new.sku]
    is_ultra = "UltraSSD_LRS" in {old.sku, new.sku}
    if is_ultra or before.is_redundant != after.is_redundant:
        raise errors.not_changeable("sku.name", f"From {old.sku} to {new.sku}.")
    if is_running(cloud, old):
        raise errors.not_changeable(
            "sku.name", f"Disk {old.name} is attached to running VM {old.holders[0]}."
        )
