"""What all operations share: one resource group of Azure, as one owner sees it."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from azure.core.paging import ItemPaged
from azure.mgmt.compute import ComputeManagementClient

from cloudcrypt.errors import NotFound
from cloudcrypt.waiting import Clock, Deadline
from cloudcrypt_azure import _calls
from cloudcrypt_azure._calls import Calls
from cloudcrypt_azure._client import Api
from cloudcrypt_azure._errors import Request
from cloudcrypt_azure._ids import Ids, Reference
from cloudcrypt_azure._instances import Instance
from cloudcrypt_azure._locks import Locks
from cloudcrypt_azure._memory import Memory
from cloudcrypt_azure._polling import Progress
from cloudcrypt_azure._records import DiskRecord, MachineRecord, SnapshotRecord
from cloudcrypt_azure._shelf import Kind, Shelf
from cloudcrypt_azure._sight import Sight

I_contra = TypeVar("I_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

_MOST_DISKS: Final = "MaxDataDiskCount"
"""What the SKU of a machine calls the number of its data disks (ResourceSkus)."""


class Operation(Protocol[I_contra, T_co]):
    """How one kind of intent is begun, found and finished; see `cloudcrypt.spi.VolumeProvider`."""

    def begin(self, intent: I_contra, deadline: Deadline, /) -> str:
        """Ask Azure for it; return the text that a handle refers to it by."""
        ...

    def find(self, intent: I_contra, deadline: Deadline, /) -> str | None:
        """Return that text if Azure has accepted it, else None."""
        ...

    def resume(self, reference: str, intent: I_contra, deadline: Deadline, /) -> T_co:
        """Wait for its outcome."""
        ...


class Group:
    """One resource group, its disks, snapshots and the machines that are asked for. Thread-safe."""

    def __init__(self, ids: Ids, owner: str, api: Api, clock: Clock) -> None:
        """Look at the group of ``ids``, as ``owner``, with ``api``."""
        self.ids = ids
        self.owner = owner
        self.api = api
        self.clock = clock
        self.memory = Memory()
        self.locks = Locks()
        self.calls = Calls(ids.group)
        self.disks: Shelf[DiskRecord] = Shelf(api, _disks(self.calls))
        self.snapshots: Shelf[SnapshotRecord] = Shelf(api, _snapshots(self.calls))
        self._lock = threading.Lock()
        self._limits: dict[str, Mapping[str, int]] = {}

    def volume(self, volume_id: str, deadline: Deadline) -> DiskRecord:
        """Return what Azure shows of a volume that is not being deleted.

        Raises:
            InvalidVolumeId: it is not an id of this provider.
            NotFound: there is none.
        """
        record = self.disks.unique(self.ids.unique_volume(volume_id), deadline)
        if record is None or record.is_going:
            raise NotFound("volume", volume_id)
        return record

    def snapshot(self, snapshot_id: str, deadline: Deadline) -> SnapshotRecord:
        """Return what Azure shows of a snapshot that is not being deleted.

        Raises:
            InvalidVolumeId: it is not an id of this provider.
            NotFound: there is none.
        """
        record = self.snapshots.unique(self.ids.unique_snapshot(snapshot_id), deadline)
        if record is None or record.is_going:
            raise NotFound("snapshot", snapshot_id)
        return record

    def instance(self, text: str) -> Instance:
        """Return the instance that a caller calls so; see `Instance.parse`."""
        return Instance.parse(text, self.ids.subscription, self.ids.group)

    def machine(
        self, instance: Instance, deadline: Deadline, *, with_view: bool = False
    ) -> MachineRecord | None:
        """Return what Azure shows of an instance, or None if there is no such instance."""
        try:
            reply = self.api.again(_calls.machine(instance, with_view=with_view), deadline)
        except NotFound as error:
            if error.kind not in {"instance", "resource group"}:
                raise
            return None  # with its group, an instance is gone, too
        return MachineRecord.of(reply.body, reply.headers.get("etag"))

    def sight(self, look: Callable[[], T]) -> Sight[T]:
        """Look at what something is about to be asked for; see `Api.if_true`."""
        return Sight[T].of(look, self.clock)

    def referred(self, reference: str, unique: str | None = None) -> Reference:
        """Return what a handle refers to; see `Reference.parse`."""
        return Reference.parse(reference, self.api.endpoint, unique)

    def operation(self, url: str | None) -> str | None:
        """Return the URL of an operation, unless it is not where those of Azure are."""
        return url if url is not None and self.api.endpoint.is_operation(url) else None

    def progress(self, reference: Reference, operation: str, names: Mapping[str, str]) -> Progress:
        """Return how far the operation of a handle is; ``operation`` is what errors call it."""
        request = Request(operation, "azure", names)
        return Progress(self.api, self.calls, self.clock, reference.operation, request)

    def limit(self, machine: MachineRecord, deadline: Deadline) -> int | None:
        """Return how many data disks a machine may have by its size; asked once for a location.

        Raises:
            ProviderError: Azure could not be asked.
        """
        with self._lock:
            known = self._limits.get(machine.location)
        if known is None:
            known = dict(self._sizes(machine.location, deadline))
            with self._lock:
                self._limits[machine.location] = known
        return known.get(machine.size.lower())

    def _sizes(self, location: str, deadline: Deadline) -> "list[tuple[str, int]]":
        def lists(client: ComputeManagementClient, options: Mapping[str, Any]) -> ItemPaged[Any]:
            return client.resource_skus.list(filter=f"location eq '{location}'", **options)

        limits: list[tuple[str, int]] = []
        for shown in self.api.pages("ResourceSkus_List", "sizes", lists, deadline):
            if shown.get("resourceType") != "virtualMachines":
                continue
            for capability in shown.get("capabilities") or ():
                value = str(capability.get("value"))
                if capability.get("name") == _MOST_DISKS and value.isdecimal():
                    limits.append((str(shown["name"]).lower(), int(value)))
        return limits


def _disks(calls: Calls) -> Kind[DiskRecord]:
    def lists(client: ComputeManagementClient, options: Mapping[str, Any]) -> ItemPaged[Any]:
        return client.disks.list_by_resource_group(calls.group, **options)

    action = "Disks_ListByResourceGroup"
    return Kind("volume", action, "disks", calls.disk, lists, DiskRecord.of)


def _snapshots(calls: Calls) -> Kind[SnapshotRecord]:
    def lists(client: ComputeManagementClient, options: Mapping[str, Any]) -> ItemPaged[Any]:
        return client.snapshots.list_by_resource_group(calls.group, **options)

    action = "Snapshots_ListByResourceGroup"
    return Kind("snapshot", action, "snapshots", calls.snapshot, lists, SnapshotRecord.of)
