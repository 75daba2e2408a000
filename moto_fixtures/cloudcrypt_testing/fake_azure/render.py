"""Records as the API shows them: JSON, checked with the models of the SDK."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cloudcrypt_testing.fake_azure import kinds, schema
from cloudcrypt_testing.fake_azure.cloud import Cloud
from cloudcrypt_testing.fake_azure.names import PROVIDER, ResourceId
from cloudcrypt_testing.fake_azure.records import DataDisk, Disk, Machine, Operation, Snapshot

Document = dict[str, Any]
_NEVER_SENT: Final[tuple[object, ...]] = (None, "", (), [])


def disk(cloud: Cloud, one: Disk, group: str) -> Document:
    """Return a Disk; ``group`` is how its resource group is written in its id."""
    kind = kinds.KINDS[one.sku]
    iops, mbps = kind.performance(one.size)
    holders = [_spelt(cloud, holder) for holder in one.holders]
    is_shared = one.max_shares > 1
    encryption = {"type": one.encryption, "diskEncryptionSetId": one.encryption_set}
    properties = {
        **one.others,
        "creationData": _creation_data(one),
        "diskSizeGB": one.size,
        "diskSizeBytes": one.size * 1024**3,
        "diskIOPSReadWrite": one.iops or iops,
        "diskMBpsReadWrite": one.mbps or mbps,
        "encryption": _without_nothing(encryption),
        "maxShares": one.max_shares if is_shared else None,
        "shareInfo": [{"vmUri": holder} for holder in holders] if is_shared else None,
        "networkAccessPolicy": one.network_policy,
        "publicNetworkAccess": one.public_access,
        "tier": kind.price_tier(one.size),
        "timeCreated": _time(one.created),
        "LastOwnershipUpdateTime": _time(one.owned),
        "completionPercent": one.completion,
        "provisioningState": one.state,
        "diskState": one.disk_state,
        "uniqueId": one.unique_id,
    }
    document = {
        "name": one.name,
        "id": cloud.site.path(group, "disks", one.name),
        "type": f"{PROVIDER}/disks",
        "location": one.location,
        "tags": dict(one.tags),
        "zones": list(one.zones),
        "sku": {"name": one.sku, "tier": kind.tier},
        "managedBy": holders[0] if holders and not is_shared else None,
        "managedByExtended": holders if is_shared else None,
        "properties": _without_nothing(properties),
    }
    return _checked("Disk", document)


def snapshot(cloud: Cloud, one: Snapshot, group: str) -> Document:
    """Return a Snapshot; ``group`` is how its resource group is written in its id."""
    encryption = {"type": one.encryption, "diskEncryptionSetId": one.encryption_set}
    creation = {
        "createOption": "Copy",
        "sourceResourceId": one.source_id,
        "sourceUniqueId": one.source_unique_id,
        "logicalSectorSize": one.sector_size,
    }
    properties = {
        **one.others,
        "creationData": _without_nothing(creation),
        "diskSizeGB": one.size,
        "diskSizeBytes": one.size * 1024**3,
        "encryption": _without_nothing(encryption),
        "incremental": one.is_incremental,
        "incrementalSnapshotFamilyId": one.family,
        "networkAccessPolicy": one.network_policy,
        "publicNetworkAccess": one.public_access,
        "timeCreated": _time(one.created),
        "completionPercent": one.completion,
        "provisioningState": one.state,
        "diskState": "Unattached",
        "uniqueId": one.unique_id,
    }
    document = {
        "name": one.name,
        "id": cloud.site.path(group, "snapshots", one.name),
        "type": f"{PROVIDER}/snapshots",
        "location": one.location,
        "tags": dict(one.tags),
        "sku": {"name": one.sku, "tier": one.sku.partition("_")[0]},
        "properties": _without_nothing(properties),
    }
    return _checked("Snapshot", document)


def storage_profile(cloud: Cloud, one: Machine) -> Document:
    """Return a StorageProfile."""
    os_disk = cloud.disks[one.os_disk]
    document = {
        "osDisk": {
            "osType": "Linux",
            "name": os_disk.name,
            "createOption": "FromImage",
            "caching": "ReadWrite",
            "managedDisk": {
                "id": _spelt(cloud, cloud.site.path(os_disk.group, "disks", os_disk.name)),
                "storageAccountType": os_disk.sku,
            },
            "deleteOption": "Detach",
            "diskSizeGB": os_disk.size,
        },
        "dataDisks": [_data_disk(cloud, each) for each in one.data_disks],
        "diskControllerType": "NVMe" if one.is_nvme else "SCSI",
    }
    schema.check_answer(document, "StorageProfile")
    return document


def machine(cloud: Cloud, one: Machine, group: str, *, with_view: bool = False) -> Document:
    """Return a VirtualMachine, or a VirtualMachineScaleSetVM.

    Args:
        cloud: where it is.
        one: the virtual machine.
        group: how its resource group is written in its id.
        with_view: with its instance view, which says whether it runs.
    """
    in_set = one.scale_set is not None
    kind = "virtualMachineScaleSets/virtualMachines" if in_set else "virtualMachines"
    ultra = {"ultraSSDEnabled": True} if one.has_ultra else None
    properties = {
        "hardwareProfile": {"vmSize": one.size},
        "additionalCapabilities": ultra,
        "storageProfile": storage_profile(cloud, one),
        "provisioningState": one.state,
        "vmId": one.vm_id,
        "timeCreated": _time(one.created),
        "instanceView": _instance_view(one) if with_view else None,
    }
    document = {
        "name": f"{one.scale_set}_{one.name}" if in_set else one.name,
        "instanceId": one.name if in_set else None,
        "id": cloud.machine_id(one, group),
        "type": f"{PROVIDER}/{kind}",
        "location": one.location,
        "tags": dict(one.tags),
        "zones": [one.zone] if one.zone is not None else None,
        "etag": one.etag,
        "sku": {"name": one.size, "tier": "Standard"} if in_set else None,
        "properties": _without_nothing(properties),
    }
    return _checked("VirtualMachineScaleSetVM" if in_set else "VirtualMachine", document)


def operation(one: Operation, output: Document | None) -> Document:
    """Return the status of an operation; ``output`` is what came of it."""
    document = {
        "startTime": _time(one.started),
        "endTime": _time(one.ended),
        "status": one.status,
        "error": one.failure.document if one.failure is not None else None,
        "properties": {"output": output} if output is not None else None,
        "name": one.id,
    }
    return _without_nothing(document)


def _creation_data(one: Disk) -> Document:
    return _without_nothing(
        {
            "createOption": one.create_option,
            "sourceResourceId": one.source_id,
            "sourceUniqueId": one.source_unique_id,
            "logicalSectorSize": one.sector_size,
            "performancePlus": one.performance_plus or None,
        }
    )


def _data_disk(cloud: Cloud, one: DataDisk) -> Document:
    known = cloud.disks.get(one.unique_id)
    sku = known.sku if known is not None else None
    return _without_nothing(
        {
            "lun": one.lun,
            "name": one.name,
            "createOption": "Attach",
            "caching": one.caching,
            "writeAcceleratorEnabled": one.write_accelerator,
            "managedDisk": _without_nothing(
                {"id": _spelt(cloud, one.disk_id), "storageAccountType": sku}
            ),
            "diskSizeGB": known.size if known is not None else None,
            "toBeDetached": one.is_going,
            "deleteOption": one.delete_option,
        }
    )


def _instance_view(one: Machine) -> Document:
    power = "deallocated" if one.is_deallocated else "running"
    return {
        "statuses": [
            {"code": f"ProvisioningState/{one.state.lower()}", "level": "Info"},
            {"code": f"PowerState/{power}", "level": "Info"},
        ]
    }


def _spelt(cloud: Cloud, resource: str) -> str:
    """Return an id with its resource group as Azure writes it in references."""
    found = ResourceId.parsed(resource)
    if found is None:
        return resource
    group = cloud.quirks.spelling(found.group)
    return resource.replace(f"/{found.group}/", f"/{group}/", 1)


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="microseconds")


def _without_nothing(document: Mapping[str, Any]) -> Document:
    return {key: one for key, one in document.items() if one not in _NEVER_SENT}


def _checked(model: str, document: Mapping[str, Any]) -> Document:
    shown = _without_nothing(document)
    schema.check_answer(shown, model)
    return shown
