"""Which request is answered by what."""

from collections.abc import Callable, Mapping
from typing import Final

from cloudcrypt_testing.fake_azure import disks, lists, machines, operations, skus, snapshots
from cloudcrypt_testing.fake_azure.cloud import Cloud, View
from cloudcrypt_testing.fake_azure.errors import ArmError
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.replies import Reply

_READING: Final[Mapping[str, Callable[[Cloud, Incoming, View], Reply]]] = {
    "disks.get": disks.get,
    "disks.list": lists.disks,
    "disks.listByResourceGroup": lists.disks,
    "operations.get": operations.get,
    "resourceSkus.list": skus.get,
    "snapshots.get": snapshots.get,
    "snapshots.list": lists.snapshots,
    "snapshots.listByResourceGroup": lists.snapshots,
    "virtualMachineScaleSetVMs.get": machines.get,
    "virtualMachineScaleSetVMs.list": lists.machines,
    "virtualMachines.get": machines.get,
    "virtualMachines.list": lists.machines,
    "virtualMachines.listAll": lists.machines,
}
_CHANGING: Final[Mapping[str, Callable[[Cloud, Incoming], Reply]]] = {
    "disks.createOrUpdate": disks.create_or_update,
    "disks.delete": disks.delete,
    "disks.update": disks.update,
    "snapshots.createOrUpdate": snapshots.create_or_update,
    "snapshots.delete": snapshots.delete,
    "snapshots.update": snapshots.update,
    "virtualMachineScaleSetVMs.attachDetachDataDisks": machines.attach_detach,
    "virtualMachineScaleSetVMs.update": machines.update,
    "virtualMachines.attachDetachDataDisks": machines.attach_detach,
    "virtualMachines.createOrUpdate": machines.create_or_update,
    "virtualMachines.update": machines.update,
}


def answer(cloud: Cloud, incoming: Incoming, stale: int) -> Reply:
    """Do what is asked for; a reading request sees the world ``stale`` changes ago."""
    with cloud.lock:
        cloud.agenda.settle()
        try:
            return _answered(cloud, incoming.checked(cloud.site, cloud.groups), stale)
        except ArmError as error:
            return Reply.refusal(error)


def _answered(cloud: Cloud, incoming: Incoming, stale: int) -> Reply:
    read = _READING.get(incoming.action)
    if cloud.quirks.counts_machine_requests and incoming.machine is not None:
        is_reading = read is not None
        cloud.limits.take(incoming.machine, cloud.clock.monotonic(), is_reading=is_reading)
    if read is not None:
        return read(cloud, incoming, cloud.view(stale))
    before = cloud.present()
    reply = _CHANGING[incoming.action](cloud, incoming)
    cloud.remember(before)
    return reply
