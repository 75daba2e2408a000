"""Finding records by the names in a request."""

from collections.abc import Mapping
from typing import TypeVar

from cloudcrypt_testing.fake_azure import errors
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.names import same
from cloudcrypt_testing.fake_azure.records import Disk, Machine, Snapshot

Named = TypeVar("Named", bound=Disk | Snapshot)


def named(table: Mapping[str, Named], group: str, name: str) -> Named | None:
    """Return the record with a name in a resource group; None if there is none."""
    for one in table.values():
        if same(one.name, name) and same(one.group, group):
            return one
    return None


def existing(table: Mapping[str, Named], incoming: Incoming, kind: str) -> Named:
    """Return the disk or snapshot that a request is about.

    Raises:
        ArmError: there is none.
    """
    one = named(table, incoming.group, incoming.name)
    if one is None:
        raise errors.not_found(kind, incoming.name, incoming.group)
    return one


def machine(table: Mapping[str, Machine], incoming: Incoming) -> Machine:
    """Return the virtual machine that a request is about.

    Raises:
        ArmError: there is none.
    """
    one = table.get(incoming.machine or "")
    if one is None:
        scale_set = incoming.in_path.get("vmScaleSetName")
        kind, name = "virtualMachines", incoming.name
        if scale_set is not None:
            kind, name = "virtualMachineScaleSets", f"{scale_set}/virtualMachines/{name}"
        raise errors.not_found(kind, name, incoming.group)
    return one
