"""What attaching and detaching share: one volume, one instance, and what GCE shows of the two."""

from typing import Final

import attrs

from cloudcrypt.errors import NotFound
from cloudcrypt.spi import AttachVolume, DetachVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp._ids import Instance, Reference, holder
from cloudcrypt_gcp._operations import Asked
from cloudcrypt_gcp._records import Attached, DiskRecord, InstanceRecord, OperationRecord
from cloudcrypt_gcp._region import Region

ATTACH: Final = "attachDisk"
DETACH: Final = "detachDisk"
"""Methods of instances, and what GCE calls their operations (``operationType``)."""


@attrs.define
class Attempts:
    """How often something was asked for: the number of the next attempt."""

    next: int = 1


@attrs.frozen
class Seen:
    """What both sides show; ``host`` is None where the instance is gone."""

    host: InstanceRecord | None
    disk: DiskRecord
    mine: Attached | None
    is_user: bool

    @property
    def is_attached(self) -> bool:
        """Whether any side shows the attachment."""
        return self.mine is not None or self.is_user


@attrs.frozen
class Pair:
    """A volume and an instance that are to be brought together, or apart."""

    region: Region
    volume_id: str
    instance: Instance
    asked: Asked

    @classmethod
    def of(cls, region: Region, intent: AttachVolume | DetachVolume) -> "Pair":
        """Return what ``intent`` is about.

        Raises:
            InvalidRequest: it names no instance.
            NotFound: the volume is not of this provider.
        """
        region.site.disk(intent.volume_id)
        instance = region.site.instance(intent.instance)
        verb = ATTACH if isinstance(intent, AttachVolume) else DETACH
        action, names = f"instances.{verb}", {"volume": intent.volume_id}
        asked = region.asked(intent.token, verb, action, **names, instance=str(instance))
        return cls(region, intent.volume_id, instance, asked)

    @property
    def reference(self) -> Reference:
        """What a handle refers to where nothing had to be asked."""
        number = self.region.site.disk(self.volume_id).number
        return Reference(self.instance.scope, number=number)

    @property
    def parameters(self) -> dict[str, object]:
        """What requests name the instance by."""
        return {"zone": self.instance.zone, "instance": self.instance.name}

    def seen(self, deadline: Deadline) -> Seen:
        """Return what both sides show now.

        Raises:
            NotFound: the volume is gone.
        """
        host = self.region.look.instance(self.instance, deadline)
        disk = self.region.disk(self.volume_id, deadline)
        mine = None if host is None else host.attached(disk)
        return Seen(host, disk, mine, self.instance.path in disk.users)

    def present(self, deadline: Deadline) -> Seen:
        """Return what both sides show now, of an instance that is there.

        Raises:
            NotFound: one of the two is gone.
        """
        host = self.region.look.instance(self.instance, deadline)
        if host is None:
            raise NotFound("instance", str(self.instance))
        disk = self.region.disk(self.volume_id, deadline)
        return Seen(host, disk, host.attached(disk), self.instance.path in disk.users)

    def other(self, disk: DiskRecord, deadline: Deadline) -> str | None:
        """Return the path of another holder of a volume that can have one only, or None.

        Users are compared as whole paths: vm-1 is not vm-10. One look may be old, so two count.

        Raises:
            NotFound: the volume is gone.
        """
        if disk.is_shared or not self._others(disk):
            return None
        return next(iter(self._others(self.region.disk(self.volume_id, deadline))), None)

    def text(self, path: str) -> str:
        """Return what cloudcrypt calls a holder."""
        return holder(self.region.site.project, path)

    def under_way(self, verb: str, deadline: Deadline) -> str | None:
        """Return the request id of something under way on the instance; see `Operations`.

        GCE does not say which disk it is about.
        """
        return self.region.operations.under_way(
            self.instance.path, verb, self.instance.scope, deadline
        )

    def begun(self, deadline: Deadline) -> Reference | None:
        """Return the reference of what was asked for already, or None."""
        return self.region.latest(self.asked, self.reference, deadline)

    def so_already(self, deadline: Deadline) -> Reference:
        """Return the reference of what is so, whoever has made it so."""
        return self.region.so_already(self.asked, self.reference, deadline)

    def refer(self, operation: OperationRecord, attempt: int) -> Reference:
        """Return the reference of an operation."""
        return attrs.evolve(
            self.reference, scope=operation.scope, operation=operation.name, attempt=attempt
        )

    def _others(self, disk: DiskRecord) -> list[str]:
        return [user for user in disk.users if user != self.instance.path]
