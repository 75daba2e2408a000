"""The requests that are made of Azure Compute: what each is called, and how the SDK sends it.

The names are the operation ids of Azure's REST API. Each call has the family that it is throttled
with: Azure counts what reads and what writes apart, and both for each machine (Azure documentation,
"Compute throttling limits").
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from azure.core.polling import LROPoller
from azure.mgmt.compute import ComputeManagementClient

from cloudcrypt_azure._answers import Accepted, Reply, content, replied
from cloudcrypt_azure._instances import Instance

Send = Callable[[ComputeManagementClient], Reply]
Body = Mapping[str, object]

READS: Final = "reads"
WRITES: Final = "writes"
POLLS: Final = "looks at operations"


@attrs.frozen
class Call:
    """One request: ``names`` and ``kind`` are what an error names, see `_errors.Request`."""

    action: str
    family: str
    send: Send
    names: Mapping[str, str] = attrs.field(factory=dict[str, str])
    kind: str = "volume"


def _accepted(send: Callable[[ComputeManagementClient, Accepted], LROPoller[Any]]) -> Send:
    def sent(client: ComputeManagementClient) -> Reply:
        polling = Accepted()
        send(client, polling)
        return polling.reply

    return sent


@attrs.frozen
class Calls:
    """The calls about one resource group."""

    group: str

    def disk(self, name: str, names: Mapping[str, str]) -> Call:
        """Look at a disk."""

        def send(client: ComputeManagementClient) -> Any:  # noqa: ANN401 - what `cls` returns
            return client.disks.get(self.group, name, cls=replied)

        return Call("Disks_Get", f"{READS} of disks", send, names)

    def put_disk(self, name: str, body: Body, names: Mapping[str, str]) -> Call:
        """Create a disk, or change the one that has the name."""
        send = _accepted(
            lambda client, polling: client.disks.begin_create_or_update(
                self.group, name, content(body), polling=polling
            )
        )
        return Call("Disks_CreateOrUpdate", f"{WRITES} of disks", send, names)

    def patch_disk(self, name: str, body: Body, names: Mapping[str, str]) -> Call:
        """Change a disk."""
        send = _accepted(
            lambda client, polling: client.disks.begin_update(
                self.group, name, content(body), polling=polling
            )
        )
        return Call("Disks_Update", f"{WRITES} of disks", send, names)

    def delete_disk(self, name: str, names: Mapping[str, str]) -> Call:
        """Delete a disk."""
        send = _accepted(
            lambda client, polling: client.disks.begin_delete(self.group, name, polling=polling)
        )
        return Call("Disks_Delete", f"{WRITES} of disks", send, names)

    def snapshot(self, name: str, names: Mapping[str, str]) -> Call:
        """Look at a snapshot."""

        def send(client: ComputeManagementClient) -> Any:  # noqa: ANN401 - what `cls` returns
            return client.snapshots.get(self.group, name, cls=replied)

        return Call("Snapshots_Get", f"{READS} of snapshots", send, names, "snapshot")

    def put_snapshot(self, name: str, body: Body, names: Mapping[str, str]) -> Call:
        """Take a snapshot, or change the one that has the name."""
        send = _accepted(
            lambda client, polling: client.snapshots.begin_create_or_update(
                self.group, name, content(body), polling=polling
            )
        )
        return Call("Snapshots_CreateOrUpdate", f"{WRITES} of snapshots", send, names)

    def delete_snapshot(self, name: str, names: Mapping[str, str]) -> Call:
        """Delete a snapshot."""
        send = _accepted(
            lambda client, polling: client.snapshots.begin_delete(self.group, name, polling=polling)
        )
        return Call("Snapshots_Delete", f"{WRITES} of snapshots", send, names, "snapshot")

    def operation(self, url: str, names: Mapping[str, str]) -> Call:
        """Look at an operation; the SDK asks at the URL that it gets as continuation token."""
        send = _accepted(
            lambda client, polling: client.disks.begin_delete(
                self.group, "operation", continuation_token=url, polling=polling
            )
        )
        return Call("Operations_Get", POLLS, send, names, "operation")


def machine(instance: Instance, *, with_view: bool = False) -> Call:
    """Look at a machine, or at that of a scale set; with what its host says, if asked for."""
    view: Mapping[str, Any] = {"expand": "instanceView"} if with_view else {}

    def send(client: ComputeManagementClient) -> Any:  # noqa: ANN401 - what `cls` returns
        if instance.scale_set is None:
            return client.virtual_machines.get(instance.group, instance.name, cls=replied, **view)
        return client.virtual_machine_scale_set_vms.get(
            instance.group, instance.scale_set, instance.name, cls=replied, **view
        )

    return _of_machine(instance, "Get", READS, send, {})


def change_disks(instance: Instance, body: Body, names: Mapping[str, str]) -> Call:
    """Attach and detach disks of a machine; what it says of others stays."""

    def sent(client: ComputeManagementClient, polling: Accepted) -> LROPoller[Any]:
        if instance.scale_set is None:
            return client.virtual_machines.begin_attach_detach_data_disks(
                instance.group, instance.name, content(body), polling=polling
            )
        return client.virtual_machine_scale_set_vms.begin_attach_detach_data_disks(
            instance.group, instance.scale_set, instance.name, content(body), polling=polling
        )

    return _of_machine(instance, "AttachDetachDataDisks", WRITES, _accepted(sent), names)


def patch_machine(instance: Instance, body: Body, etag: str, names: Mapping[str, str]) -> Call:
    """Change a machine that is no part of a scale set, if it still has this ETag."""
    send = _accepted(
        lambda client, polling: client.virtual_machines.begin_update(
            instance.group,
            instance.name,
            content(body),
            headers={"If-Match": etag},
            polling=polling,
        )
    )
    return _of_machine(instance, "Update", WRITES, send, names)


def _of_machine(
    instance: Instance, verb: str, does: str, send: Send, names: Mapping[str, str]
) -> Call:
    prefix = "VirtualMachines" if instance.scale_set is None else "VirtualMachineScaleSetVMs"
    named = {"instance": str(instance), **names}
    return Call(f"{prefix}_{verb}", f"{does} of {instance}", send, named, "instance")
