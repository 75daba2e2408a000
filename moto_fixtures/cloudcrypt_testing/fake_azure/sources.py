"""What disks and snapshots are made from: other disks, and snapshots."""

from collections.abc import Mapping
from typing import Any

import attrs

from cloudcrypt_testing.fake_azure import errors, kinds
from cloudcrypt_testing.fake_azure.cloud import Cloud
from cloudcrypt_testing.fake_azure.lookup import named
from cloudcrypt_testing.fake_azure.names import ResourceId, same
from cloudcrypt_testing.fake_azure.records import Disk, Snapshot


@attrs.frozen
class Source:
    """What a copy is made of."""

    id: str
    """As the request says it."""
    record: Disk | Snapshot


def source(cloud: Cloud, creation: Mapping[str, Any], location: str) -> Source:
    """Return what ``creationData`` says to copy.

    Raises:
        ArmError: it does not exist, is elsewhere, or cannot be copied yet.
    """
    asked = creation.get("sourceResourceId")
    if not asked:
        raise errors.invalid("creationData.sourceResourceId", "It is needed with Copy.")
    found = ResourceId.parsed(asked)
    if found is None or found.kind not in {"disks", "snapshots"}:
        raise errors.invalid("creationData.sourceResourceId", f"'{asked}' is none of a disk.")
    if not same(found.subscription, cloud.site.subscription):
        raise errors.no_subscription(found.subscription)
    table: Mapping[str, Disk | Snapshot] = cloud.disks
    if found.kind == "snapshots":
        table = cloud.snapshots
    record = named(table, found.group, found.name)
    if record is None:
        raise errors.not_found(found.kind, found.name, found.group)
    _check(record, location)
    return Source(asked, record)


def sector_size(record: Disk | Snapshot) -> int | None:
    """Return the logical sector size of the bytes, or None for the usual 512."""
    if record.sector_size is None and isinstance(record, Disk):
        kind = kinds.KINDS[record.sku]
        return kind.sectors[0] if kind.is_chosen else None
    return record.sector_size


def _check(record: Disk | Snapshot, location: str) -> None:
    if record.location != location:
        raise errors.invalid("creationData.sourceResourceId", "It is in another location.")
    if record.state not in {"Succeeded", "Updating"}:
        raise errors.not_allowed(
            f"{record.name} cannot be copied while its provisioning state is {record.state}."
        )
    if record.completion is not None and record.completion < 100:
        raise errors.not_allowed(
            f"{record.name} cannot be copied before its copy in the background is over: "
            f"{record.completion:.0f} percent."
        )
