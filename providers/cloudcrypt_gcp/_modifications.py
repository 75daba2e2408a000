"""Changing volumes: all that differs in one request, and the real size looked at afterwards.

GCE has two requests for that. ``resize`` takes a size, and any disk. ``update`` takes a size and
performance at once, for types that let the caller choose it: Hyperdisk needs some IOPS for each
GiB, so one cannot grow without the other, and allows few changes in a row.
"""

import attrs

from cloudcrypt.errors import (
    CloudcryptError,
    OperationFailed,
    RequestRejected,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import ModifyVolume, ResizeVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp import _types
from cloudcrypt_gcp._ids import Reference
from cloudcrypt_gcp._look import DISKS
from cloudcrypt_gcp._operations import Asked
from cloudcrypt_gcp._pairs import Attempts
from cloudcrypt_gcp._records import DiskRecord
from cloudcrypt_gcp._region import Region
from cloudcrypt_gcp._waits import Still, absence, until

Change = ResizeVolume | ModifyVolume


@attrs.frozen
class Target:
    """What a volume is to have; None is whatever it has. In bytes, and bytes a second."""

    size: int | None
    iops: int | None
    throughput: int | None

    @classmethod
    def of(cls, intent: Change) -> "Target":
        """Return what ``intent`` asks for, in the units of GCE.

        Raises:
            InvalidRequest: no volume is as large.
        """
        size = None if intent.size is None else _types.whole(intent.size)
        if isinstance(intent, ResizeVolume):
            return cls(size, None, None)
        throughput = intent.throughput
        whole = None if throughput is None else _types.mib(throughput) * MIB
        return cls(size, intent.iops, whole)

    def missing_in(self, disk: DiskRecord) -> dict[str, int]:
        """Return what ``disk`` has not, as fields of a disk in the words of GCE."""
        wanted: dict[str, int] = {}
        if self.iops is not None and self.iops != disk.iops:
            wanted["provisionedIops"] = self.iops
        if self.throughput is not None and self.throughput != disk.throughput:
            wanted["provisionedThroughput"] = _types.mib(self.throughput)
        if self.size is not None and disk.size < self.size:
            wanted["sizeGb"] = self.size // _types.UNIT
        return wanted


_FIELDS = {
    "provisionedIops": "provisioned_iops",
    "provisionedThroughput": "provisioned_throughput",
    "sizeGb": "size_gb",
}
"""Fields of a disk: in update masks, and in the SDK."""


@attrs.frozen
class Modifications:
    """Changes of volumes in one region."""

    region: Region

    def begin(self, intent: Change, deadline: Deadline) -> Reference:
        """Let GCE change a volume, unless it is so; return the reference.

        Raises:
            InvalidRequest: the volume would shrink, or cannot be so.
            NotFound: there is no such volume.
            UnsupportedOperation: it would become of another type.
            WrongVolumeState: it cannot be changed now.
        """
        return self._changed(intent, Attempts(), deadline)

    def find(self, intent: Change, deadline: Deadline) -> Reference | None:
        """Return the reference if GCE was asked to change the volume, or it is so."""
        begun = self._begun(intent, deadline)
        if begun is not None:
            return begun
        disk = self.region.disk_or_none(intent.volume_id, deadline)
        is_so = disk is not None and not disk.is_going and not Target.of(intent).missing_in(disk)
        return self._reference(intent) if is_so else None

    def resume(self, reference: str, intent: Change, deadline: Deadline) -> Volume:
        """Wait until the volume itself shows what was asked for.

        Raises:
            OperationFailed: GCE could not change it, or something else did since.
            NotFound: the volume is gone.
        """
        parsed = self.region.referred(reference, intent.volume_id)
        target, missing = Target.of(intent), absence(self.region.clock)

        def again(attempt: int, _: CloudcryptError) -> Reference:
            return self._changed(intent, Attempts(attempt), deadline)

        try:
            self.region.operations.finished(parsed, self._asked(intent), deadline, again)
        except RequestRejected:  # so is what another caller has changed in that way meanwhile
            if target.missing_in(self.region.disk(intent.volume_id, deadline)):
                raise

        def look() -> Volume | Still:
            disk = self.region.disk(intent.volume_id, deadline)
            differing = target.missing_in(disk)
            if not differing:
                return self.region.volume(disk)
            if missing.is_over():
                reason = f"the volume has another {', '.join(differing)} now"
                raise OperationFailed("modification", intent.volume_id, reason)
            return Still("not shown yet")

        return until(look, deadline, "modification", intent.volume_id)

    def _changed(self, intent: Change, attempts: Attempts, deadline: Deadline) -> Reference:
        target = Target.of(intent)
        self.region.site.disk(intent.volume_id)
        return until(
            lambda: self._change(intent, target, attempts, deadline),
            deadline,
            "modification",
            intent.volume_id,
        )

    def _change(
        self, intent: Change, target: Target, attempts: Attempts, deadline: Deadline
    ) -> Reference | Still:
        disk = self.region.disk(intent.volume_id, deadline)
        _types.check_change(intent, disk)
        wanted = target.missing_in(disk)
        if not wanted:
            return self.region.so_already(self._asked(intent), self._reference(intent), deadline)
        asked = self._asked(intent, set(wanted))
        try:
            operation = self.region.operations.begin(
                asked, self._parameters(intent, wanted), attempts.next, deadline
            )
        except WrongVolumeState as error:
            state = disk.status.lower() if disk.status != "READY" else error.state
            return Still(
                state,
                WrongVolumeState(intent.volume_id, state, "modification", answer=error.answer),
            )
        except RequestRejected:
            # A look may have been old, and the volume be so already: that is refused as well.
            if target.missing_in(self.region.disk(intent.volume_id, deadline)) == wanted:
                raise
            return Still("changed meanwhile")
        if operation.is_done and not operation.errors:
            # This token did it before, and it was undone since: this is another attempt.
            attempts.next += 1
            return Still("changed before")
        return attrs.evolve(
            self._reference(intent),
            scope=operation.scope,
            operation=operation.name,
            attempt=attempts.next,
        )

    def _parameters(self, intent: Change, wanted: dict[str, int]) -> dict[str, object]:
        target = self.region.site.disk(intent.volume_id)
        where = {**target.scope.parameters, "disk": target.number}
        if set(wanted) == {"sizeGb"}:
            request = "disks" if target.scope.kind == "zones" else "region_disks"
            return {**where, f"{request}_resize_request_resource": {"size_gb": wanted["sizeGb"]}}
        resource = {_FIELDS[field]: value for field, value in wanted.items()}
        return {**where, "disk_resource": resource, "update_mask": ",".join(sorted(wanted))}

    def _asked(self, intent: Change, fields: set[str] | None = None) -> Asked:
        """Return the request; which of the two it is follows from what the volume lacks.

        Both have one request id, so that a change that is begun again is the same one, although
        a part of it shows already.
        """
        scope = self.region.site.disk(intent.volume_id).scope
        action = f"{DISKS[scope.kind]}.{'resize' if fields == {'sizeGb'} else 'update'}"
        return self.region.asked(intent.token, "modify", action, volume=intent.volume_id)

    def _reference(self, intent: Change) -> Reference:
        target = self.region.site.disk(intent.volume_id)
        return Reference(target.scope, number=target.number)

    def _begun(self, intent: Change, deadline: Deadline) -> Reference | None:
        return self.region.latest(self._asked(intent), self._reference(intent), deadline)
