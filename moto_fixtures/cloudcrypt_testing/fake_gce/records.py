"""What the fake compute API knows: values, never changed.

A change puts a new record in the place of the old one, so an old view of the world stays right.
"""

from collections.abc import Mapping
from datetime import datetime

import attrs

from cloudcrypt_testing.fake_gce.errors import Failure
from cloudcrypt_testing.fake_gce.machines import Machine


@attrs.frozen
class Disk:
    """One disk; sizes are in GB, which are 2**30 bytes, and throughput is in MiB/s."""

    id: str
    """What the server calls it: a number that is never used again."""
    name: str
    scope: str
    """``zones/ZONE``, or ``regions/REGION`` of a disk with replicas."""
    size: int
    kind: str
    created: datetime
    status: str = "CREATING"
    """CREATING, RESTORING, READY, FAILED or DELETING."""
    description: str = ""
    replica_zones: tuple[str, ...] = ()
    iops: int | None = None
    throughput: int | None = None
    access_mode: str | None = None
    kms_key: str | None = None
    """With the version that encrypts."""
    source_snapshot: str | None = None
    """The path of what it was made from, and its id in the next field."""
    source_snapshot_id: str | None = None
    source_disk: str | None = None
    source_disk_id: str | None = None
    users: tuple[str, ...] = ()
    """The paths of the instances that it is attached to: ``zones/ZONE/instances/NAME``."""
    last_attached: datetime | None = None
    last_detached: datetime | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str])
    revision: int = 0
    """How often the labels were set."""
    is_boot: bool = False
    """Whether it came with an instance."""

    @property
    def path(self) -> str:
        """The resource within the project."""
        return f"{self.scope}/disks/{self.name}"

    @property
    def zones(self) -> tuple[str, ...]:
        """Where it can be attached."""
        return self.replica_zones or (self.scope.partition("/")[2],)


@attrs.frozen
class Snapshot:
    """One snapshot; the size is that of the disk, in GB, when it was taken."""

    id: str
    name: str
    source: str
    """The path of the disk."""
    source_id: str
    size: int
    created: datetime
    status: str = "CREATING"
    """CREATING, UPLOADING, READY, FAILED or DELETING."""
    description: str = ""
    kms_key: str | None = None
    locations: tuple[str, ...] = ()
    kind: str = "STANDARD"
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str])
    revision: int = 0

    @property
    def scope(self) -> str:
        """Snapshots are in no zone and no region."""
        return "global"

    @property
    def path(self) -> str:
        """The resource within the project."""
        return f"global/snapshots/{self.name}"


@attrs.frozen
class AttachedDisk:
    """One disk on one instance."""

    disk_id: str
    source: str
    """The path of the disk."""
    device_name: str
    mode: str
    """READ_WRITE or READ_ONLY."""
    interface: str
    index: int
    size: int
    auto_delete: bool = False
    is_boot: bool = False


@attrs.frozen
class Instance:
    """One instance."""

    id: str
    name: str
    scope: str
    machine: Machine
    created: datetime
    is_nvme: bool
    """As its machine is, unless a test has chosen."""
    disks: tuple[AttachedDisk, ...] = ()
    status: str = "RUNNING"

    @property
    def path(self) -> str:
        """The resource within the project."""
        return f"{self.scope}/instances/{self.name}"

    @property
    def text(self) -> str:
        """``ZONE/NAME``."""
        return f"{self.scope.partition('/')[2]}/{self.name}"

    @property
    def interface(self) -> str:
        """NVME or SCSI."""
        return "NVME" if self.is_nvme else "SCSI"

    def disk(self, disk_id: str) -> AttachedDisk | None:
        """Return what is attached of a disk."""
        return next((one for one in self.disks if one.disk_id == disk_id), None)

    def device(self, device_name: str) -> AttachedDisk | None:
        """Return the latest disk that is attached under a device name."""
        return next((one for one in self.disks[::-1] if one.device_name == device_name), None)


@attrs.frozen
class Operation:
    """One operation: the API has accepted a request, and works on it."""

    id: str
    name: str
    scope: str
    action: str
    """The method that was called, such as ``disks.insert``."""
    kind: str
    """What the API calls the type of the operation, such as ``insert``."""
    target: str
    """The path of what it changes."""
    target_id: str
    inserted: datetime
    request_id: str | None = None
    status: str = "PENDING"
    """PENDING, RUNNING or DONE."""
    due: float | None = None
    """When it will be DONE, in seconds of the clock; None if nobody knows."""
    started: datetime | None = None
    ended: datetime | None = None
    failure: Failure | None = None

    @property
    def path(self) -> str:
        """The resource within the project."""
        return f"{self.scope}/operations/{self.name}"
