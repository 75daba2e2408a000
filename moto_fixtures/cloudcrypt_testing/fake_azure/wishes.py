"""What the body of a request wants a disk or snapshot to be like."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import attrs

from cloudcrypt_testing.fake_azure import errors
from cloudcrypt_testing.fake_azure.records import Disk, Snapshot

Resource = TypeVar("Resource", Disk, Snapshot)
Wish = Mapping[str, Any]
"""The fields of a record that a request sets."""

MOST_TAGS: Final = 50
MOST_KEY: Final = 512
MOST_VALUE: Final = 256
FORBIDDEN: Final = frozenset("<>%&\\?/")
"""Characters that keys of tags do not have."""

_PLAIN: Final = {
    "diskSizeGB": "size",
    "diskIOPSReadWrite": "iops",
    "diskMBpsReadWrite": "mbps",
    "maxShares": "max_shares",
    "networkAccessPolicy": "network_policy",
    "publicNetworkAccess": "public_access",
    "incremental": "is_incremental",
}
_KEPT: Final = frozenset(
    {
        "availabilityPolicy",
        "burstingEnabled",
        "dataAccessAuthMode",
        "diskAccessId",
        "diskIOPSReadOnly",
        "diskMBpsReadOnly",
        "hyperVGeneration",
        "optimizedForFrequentAttach",
        "osType",
        "securityProfile",
        "supportedCapabilities",
        "supportsHibernation",
    }
)
"""Properties that are kept and shown, and mean nothing here."""
_OUTER: Final = frozenset({"location", "properties", "sku", "tags", "zones"})
_BY_OTHERS: Final = frozenset({"creationData", "encryption", "completionPercent", "tier"})


def wish(body: Mapping[str, Any], has: type[Resource]) -> Wish:
    """Return what a request wants, but for what the resource is made from.

    Raises:
        ArmError: it wants what the fake does not know, or tags that cannot be.
    """
    properties = body.get("properties", {})
    unknown = properties.keys() - _PLAIN.keys() - _KEPT - _BY_OTHERS
    unknown |= body.keys() - _OUTER
    if unknown:
        raise errors.not_implemented(", ".join(sorted(unknown)))
    names = {field.name for field in attrs.fields(has)}
    wanted: dict[str, Any] = {
        field: properties[name] for name, field in _PLAIN.items() if name in properties
    }
    wanted.update(_encryption(properties.get("encryption", {})))
    if "name" in body.get("sku", {}):
        wanted["sku"] = body["sku"]["name"]
    if "tags" in body:
        wanted["tags"] = checked_tags(body["tags"])
    kept = {name: one for name, one in properties.items() if name in _KEPT}
    if kept:
        wanted["others"] = kept
    return {name: one for name, one in wanted.items() if name in names}


def applied(resource: Resource, wanted: Wish) -> Resource:
    """Return a resource as a request wants it."""
    others = {**resource.others, **wanted.get("others", {})}
    return attrs.evolve(resource, **{**wanted, "others": others})


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags.

    Raises:
        ArmError: there are too many, or one is not as tags have to be.
    """
    if len(tags) > MOST_TAGS:
        message = f"The number of tags '{len(tags)}' exceeds the maximum of '{MOST_TAGS}'."
        raise errors.ArmError(400, "InvalidTagsCount", message)
    if len({name.lower() for name in tags}) < len(tags):
        raise errors.ArmError(400, "DuplicateTagNames", "Tag names are case-insensitive.")
    for name, value in tags.items():
        _check_tag(name, value)
    return dict(tags)


def _check_tag(name: str, value: str) -> None:
    if not name or len(name) > MOST_KEY:
        message = f"The tag name '{name[:20]}' must have 1 to {MOST_KEY} characters."
        raise errors.ArmError(400, "InvalidTagNameLength", message)
    if FORBIDDEN & set(name):
        message = f"The tag names '{name}' have reserved characters."
        raise errors.ArmError(400, "InvalidTagNameCharacters", message)
    if len(value) > MOST_VALUE:
        message = f"The value of tag '{name}' must have at most {MOST_VALUE} characters."
        raise errors.ArmError(400, "InvalidTagValueLength", message)


def _encryption(asked: Mapping[str, Any]) -> dict[str, Any]:
    if not asked:
        return {}
    key = asked.get("diskEncryptionSetId")
    default = "EncryptionAtRestWithCustomerKey" if key else "EncryptionAtRestWithPlatformKey"
    return {"encryption": asked.get("type", default), "encryption_set": key}
