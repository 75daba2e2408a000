"""What Azure knows about disks, snapshots, virtual machines and operations: values, never changed.

A change puts a new record in the place of the old one, so an old view of the world stays right.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from cloudcrypt_testing.fake_azure.errors import Failure


@attrs.frozen
class Disk:
    """One managed disk; the size is in GiB and the throughput in millions of bytes a second."""

    unique_id: str
    """A GUID that no other disk ever has."""
    name: str
    group: str
    """Its resource group; both in the spelling of whoever made it."""
    location: str
    sku: str
    size: int
    created: datetime
    state: str = "Creating"
    """provisioningState: Creating, Updating, Succeeded, Failed or Deleting."""
    zones: tuple[str, ...] = ()
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
    create_option: str = "Empty"
    source_id: str | None = None
    source_unique_id: str | None = None
    iops: int | None = None
    """Those that were chosen; None: those that its kind and size have."""
    mbps: int | None = None
    max_shares: int = 1
    sector_size: int | None = None
    performance_plus: bool = False
    encryption: str = "EncryptionAtRestWithPlatformKey"
    encryption_set: str | None = None
    network_policy: str = "AllowAll"
    public_access: str = "Enabled"
    others: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    """Properties that mean nothing here, and are shown as they were asked for."""
    holders: tuple[str, ...] = ()
    """The ids of the virtual machines that it is attached to, in their own spelling."""
    is_reserved: bool = False
    """Whether all of its virtual machines are deallocated."""
    performance_changes: tuple[float, ...] = ()
    """When its performance was chosen, in seconds of the clock."""
    completion: float | None = None
    """Percent of a copy in the background; None: there was none."""
    owned: datetime | None = None
    """When it was last attached or detached."""
    is_os: bool = False
    """Whether it came with a virtual machine."""
    is_made: bool = False
    """Whether its making has ended well, whatever came later."""

    @property
    def disk_state(self) -> str:
        """What Azure calls the state of the disk."""
        if not self.holders:
            return "Unattached"
        return "Reserved" if self.is_reserved else "Attached"


@attrs.frozen
class Snapshot:
    """One snapshot; the size is that of the disk, in GiB, when it was taken."""

    unique_id: str
    """A GUID that no other snapshot ever has."""
    name: str
    group: str
    location: str
    size: int
    created: datetime
    source_id: str
    source_unique_id: str
    state: str = "Creating"
    """provisioningState, as of a disk."""
    sku: str = "Standard_LRS"
    is_incremental: bool = False
    family: str | None = None
    """The same for all incremental snapshots of a disk."""
    sector_size: int | None = None
    completion: float | None = None
    """Percent of the copy in the background; None: there was none."""
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
    encryption: str = "EncryptionAtRestWithPlatformKey"
    encryption_set: str | None = None
    network_policy: str = "AllowAll"
    public_access: str = "Enabled"
    others: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    """Properties that mean nothing here, and are shown as they were asked for."""
    is_made: bool = False
    """Whether its making has ended well, whatever came later."""


@attrs.frozen
class DataDisk:
    """One disk as it stands in the list of a virtual machine."""

    lun: int
    unique_id: str
    """Of the disk."""
    name: str
    disk_id: str
    """The id of the disk, in the spelling of whoever attached it."""
    caching: str = "None"
    delete_option: str = "Detach"
    write_accelerator: bool = False
    is_going: bool = False
    """toBeDetached."""
    is_there: bool = False
    """Whether attaching it is over, well."""


@attrs.frozen
class Machine:
    """One virtual machine, of its own or of a scale set."""

    name: str
    """With a scale set, the number of the instance."""
    group: str
    location: str
    size: str
    vm_id: str
    """A GUID."""
    created: datetime
    is_nvme: bool
    os_disk: str
    """The unique id of its disk."""
    scale_set: str | None = None
    zone: str | None = None
    state: str = "Succeeded"
    """provisioningState: Succeeded, Updating or Failed."""
    is_deallocated: bool = False
    has_ultra: bool = True
    """Whether it takes Ultra disks."""
    revision: int = 1
    """Grows with each change: the ETag."""
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
    data_disks: tuple[DataDisk, ...] = ()

    @property
    def text(self) -> str:
        """The virtual machine, as ``group/name`` or ``group/scale set/number``, in lower case."""
        parts = (self.group, self.scale_set, self.name)
        return "/".join(part for part in parts if part is not None).lower()

    @property
    def etag(self) -> str:
        """What a request says in If-Match, with its quotes."""
        return f'"{self.revision}"'

    def at(self, lun: int) -> DataDisk | None:
        """Return the disk at a logical unit number, if there is one."""
        return next((one for one in self.data_disks if one.lun == lun), None)

    def disk(self, unique_id: str) -> DataDisk | None:
        """Return a disk, if it stands in the list."""
        return next((one for one in self.data_disks if one.unique_id == unique_id), None)

    def with_disk(self, disk: DataDisk) -> "Machine":
        """Return the virtual machine with ``disk``, new or in the place of its former state."""
        others = (one for one in self.data_disks if one.unique_id != disk.unique_id)
        disks = sorted((*others, disk), key=lambda one: one.lun)
        return attrs.evolve(self, data_disks=tuple(disks))

    def without_disk(self, unique_id: str) -> "Machine":
        """Return the virtual machine without a disk."""
        rest = tuple(one for one in self.data_disks if one.unique_id != unique_id)
        return attrs.evolve(self, data_disks=rest)


@attrs.frozen
class Operation:
    """What was accepted, and is done in the course of time."""

    id: str
    action: str
    """What was asked for, such as ``disks.createOrUpdate``."""
    kind: str
    """How its path says it: DiskOperations or operations."""
    location: str
    target: str
    """The unique id of the disk or snapshot, or the text of the virtual machine."""
    started: datetime
    status: str = "InProgress"
    """InProgress, Succeeded, Failed or Canceled."""
    ended: datetime | None = None
    failure: Failure | None = None
