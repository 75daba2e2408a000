"""The requests about virtual machines, of their own or of scale sets."""

from collections.abc import Mapping
from typing import Any

import attrs

from cloudcrypt_testing.fake_azure import attachments, errors, lookup, render, updates, wishes
from cloudcrypt_testing.fake_azure.cloud import Cloud, View
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.records import DataDisk, Machine, Operation
from cloudcrypt_testing.fake_azure.replies import Reply, accepted
from cloudcrypt_testing.fake_azure.updates import Change, Leaving


def get(cloud: Cloud, incoming: Incoming, view: View) -> Reply:
    """Answer ``virtualMachines.get``."""
    machine = lookup.machine(view.machines, incoming)
    with_view = "instanceview" in incoming.in_query.get("$expand", "").lower()
    document = render.machine(cloud, machine, incoming.group, with_view=with_view)
    return Reply(200, document, (("ETag", machine.etag),))


def attach_detach(cloud: Cloud, incoming: Incoming) -> Reply:
    """Answer ``virtualMachines.attachDetachDataDisks``: a change, whatever else there is."""
    if cloud.quirks.unavailable is not None:
        raise cloud.quirks.unavailable
    machine = updates.claim(cloud, lookup.machine(cloud.machines, incoming))
    change = attachments.asked_for(cloud, machine, incoming.body)
    return accepted(cloud, incoming, _begun(cloud, incoming, machine, change))


def update(cloud: Cloud, incoming: Incoming) -> Reply:
    """Answer updates that say how the whole virtual machine is to be.

    What is not in their list of disks is detached, whoever attached it, unless If-Match says what
    the list was made from.
    """
    machine = lookup.machine(cloud.machines, incoming)
    _check_condition(machine, incoming)
    machine = updates.claim(cloud, machine)
    change = _wanted(cloud, machine, incoming)
    operation = _begun(cloud, incoming, machine, change)
    document = render.machine(cloud, cloud.machines[machine.text], incoming.group)
    return accepted(cloud, incoming, operation, document, status=200)


def create_or_update(cloud: Cloud, incoming: Incoming) -> Reply:
    """Answer ``virtualMachines.createOrUpdate``, for what exists already."""
    if incoming.machine not in cloud.machines:
        raise errors.not_implemented("new virtual machines; see run_instance")
    return update(cloud, incoming)


def _begun(cloud: Cloud, incoming: Incoming, machine: Machine, change: Change) -> Operation:
    if machine.state == "Failed" and machine.text in cloud.quirks.stubborn and change.attach:
        raise errors.not_allowed(
            f"Operation 'Attach' is not allowed on VM '{machine.name}' since its provisioning "
            "state is Failed. Please update the VM first."
        )
    failure = attachments.check(cloud, machine, change)
    return updates.begin(cloud, machine, incoming.action, change, failure)


def _check_condition(machine: Machine, incoming: Incoming) -> None:
    wanted, unwanted = incoming.if_match, incoming.if_none_match
    if wanted is not None and wanted != "*" and wanted.strip('"') != machine.etag.strip('"'):
        raise errors.precondition_failed()
    if unwanted is not None and unwanted in {"*", machine.etag}:
        raise errors.precondition_failed()


def _wanted(cloud: Cloud, machine: Machine, incoming: Incoming) -> Change:
    body = incoming.body
    properties = body.get("properties", {})
    profile = properties.get("storageProfile", {})
    _check_rest(cloud, machine, body, profile)
    tags = wishes.checked_tags(body["tags"]) if "tags" in body else None
    if incoming.method == "PUT" and tags is None:
        tags = {}
    if "dataDisks" not in profile:
        return Change(tags=tags)
    return attrs.evolve(_list_change(cloud, machine, profile["dataDisks"]), tags=tags)


def _check_rest(
    cloud: Cloud, machine: Machine, body: Mapping[str, Any], profile: Mapping[str, Any]
) -> None:
    """Refuse what would change anything but disks and tags."""
    shown = render.machine(cloud, machine, machine.group)
    for name in body.keys() - {"location", "properties", "tags"}:
        if body[name] != shown.get(name):
            raise errors.not_implemented(f"changes of {name}")
    for name, one in body.get("properties", {}).items():
        if name != "storageProfile" and one != shown["properties"].get(name):
            raise errors.not_implemented(f"changes of {name}")
    for name in profile.keys() - {"dataDisks", "osDisk"}:
        if profile[name] != shown["properties"]["storageProfile"].get(name):
            raise errors.not_changeable(name)


def _list_change(cloud: Cloud, machine: Machine, asked: list[Mapping[str, Any]]) -> Change:
    coming: list[DataDisk] = []
    leaving: list[Leaving] = []
    staying: list[DataDisk] = []
    seen: set[str] = set()
    for entry in asked:
        wanted = _entry(cloud, entry)
        known = machine.disk(wanted.unique_id)
        seen.add(wanted.unique_id)
        if entry.get("toBeDetached"):
            if known is not None:
                leaving.append(Leaving(known, entry.get("detachOption") == "ForceDetach"))
        elif known is None or known.is_going:
            coming.append(wanted)
        else:
            staying.append(_edited(cloud, known, wanted))
    leaving.extend(Leaving(one) for one in machine.data_disks if one.unique_id not in seen)
    return Change(tuple(coming), tuple(leaving), tuple(staying))


def _entry(cloud: Cloud, entry: Mapping[str, Any]) -> DataDisk:
    disk_id = entry.get("managedDisk", {}).get("id")
    if entry["createOption"] != "Attach" and disk_id is None:
        raise errors.not_implemented(f"data disks with createOption {entry['createOption']}")
    if disk_id is None:
        raise errors.invalid("dataDisk.managedDisk.id")
    disk = attachments.disk_of(cloud, disk_id, "dataDisk.managedDisk.id")
    if not entry.get("name", disk.name).lower() == disk.name.lower():
        raise errors.invalid("dataDisk.name", f"The disk is called {disk.name}.")
    return DataDisk(
        entry["lun"],
        disk.unique_id,
        disk.name,
        disk_id,
        entry.get("caching", attachments.usual_caching(disk)),
        entry.get("deleteOption", "Detach"),
        entry.get("writeAcceleratorEnabled", False),
    )


def _edited(cloud: Cloud, known: DataDisk, wanted: DataDisk) -> DataDisk:
    if known.lun != wanted.lun:
        raise errors.not_changeable("dataDisk.lun")
    attachments.check_caching(cloud.disks[known.unique_id], wanted.caching)
    return attrs.evolve(
        known,
        caching=wanted.caching,
        delete_option=wanted.delete_option,
        write_accelerator=wanted.write_accelerator,
    )
