"""The request for what Azure offers where."""

import re
from collections.abc import Mapping
from typing import Any, Final

from cloudcrypt_testing.fake_azure import errors, kinds, lists, names, schema
from cloudcrypt_testing.fake_azure.cloud import Cloud, View
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.kinds import Kind, Size
from cloudcrypt_testing.fake_azure.replies import Reply

_FILTER: Final = re.compile(r"\s*location\s+eq\s+'(?P<location>[^']*)'\s*", re.IGNORECASE)


def get(cloud: Cloud, incoming: Incoming, _view: View) -> Reply:
    """Answer ``resourceSkus.list``, all of it or that of one location."""
    place = cloud.site.location
    text = incoming.in_query.get("$filter")
    if text is not None:
        match = _FILTER.fullmatch(text)
        if match is None:
            raise errors.invalid("$filter", "It can be: location eq '...'.")
        if names.location(match["location"]) != place:
            return Reply(200, {"value": []})
    items = [_size(size, place) for size in kinds.SIZES.values()]
    items += [_kind(kind, place) for kind in kinds.KINDS.values()]
    for item in items:
        schema.check_answer(item, "ResourceSku")
    numbered = {f"{number:04}": item for number, item in enumerate(items)}
    return lists.page(cloud, incoming, numbered)


def _size(size: Size, place: str) -> dict[str, Any]:
    facts = {
        "vCPUs": size.cpus,
        "MemoryGB": size.memory,
        "MaxDataDiskCount": size.most_disks,
        "PremiumIO": size.has_premium,
        "DiskControllerTypes": "NVMe" if size.is_nvme else "SCSI",
    }
    item = _item("virtualMachines", size.name, size.name.removeprefix("Standard_"), place, facts)
    item["family"] = size.family
    return {**item, "tier": "Standard"}


def _kind(kind: Kind, place: str) -> dict[str, Any]:
    facts = {
        "MinSizeGiB": kind.least,
        "MaxSizeGiB": kind.most,
        "MaxValueOfMaxShares": kind.shares(kind.most),
    }
    return {**_item("disks", kind.name, "", place, facts), "tier": kind.tier}


def _item(
    kind: str, name: str, size: str, place: str, facts: Mapping[str, object]
) -> dict[str, Any]:
    item: dict[str, Any] = {
        "resourceType": kind,
        "name": name,
        "locations": [place],
        "locationInfo": [{"location": place, "zones": list(names.ZONES)}],
        "capabilities": [{"name": key, "value": str(one)} for key, one in facts.items()],
        "restrictions": [],
    }
    return {**item, "size": size} if size else item
