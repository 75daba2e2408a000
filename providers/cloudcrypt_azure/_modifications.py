"""Changing volumes: all that differs in one request, for Azure counts some of them.

The performance of a Premium SSD v2 or Ultra disk can be changed four times in 24 hours (Azure
documentation, "Azure managed disk types"). What a volume has already is not asked for.
"""

from collections.abc import Mapping
from typing import Final

import attrs

from cloudcrypt.errors import (
    OperationFailed,
    ProviderUnavailable,
    Throttled,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import ModifyVolume, ResizeVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure import _types
from cloudcrypt_azure._group import Group
from cloudcrypt_azure._ids import Reference
from cloudcrypt_azure._memory import Begun
from cloudcrypt_azure._polling import Progress
from cloudcrypt_azure._records import MEGA, DiskRecord
from cloudcrypt_azure._volumes import to_volume
from cloudcrypt_azure._waits import Missing, Still, absence, settled, until

Change = ResizeVolume | ModifyVolume

_FAILED: Final = frozenset({"failed", "canceled"})


@attrs.frozen
class Target:
    """What a volume is to have; None is whatever it has. In bytes, and bytes a second."""

    size: int | None
    kind: str | None
    iops: int | None
    throughput: int | None

    @classmethod
    def of(cls, intent: Change) -> "Target":
        """Return what ``intent`` asks for, in the units of Azure.

        Raises:
            InvalidRequest: no volume is as large.
        """
        size = None if intent.size is None else _types.whole(intent.size)
        if isinstance(intent, ResizeVolume):
            return cls(size, None, None, None)
        throughput = intent.throughput
        whole = None if throughput is None else _types.megabytes(throughput) * MEGA
        return cls(size, intent.kind, intent.iops, whole)

    def missing_in(self, record: DiskRecord) -> tuple[str, ...]:
        """Return the names of what the volume has not."""
        missing = {
            "size": self.size is not None and record.size < self.size,
            "kind": not (self.kind is None or _types.is_same(self.kind, record.kind)),
            "iops": self.iops not in {None, record.iops},
            "throughput": self.throughput not in {None, record.throughput},
        }
        return tuple(name for name, is_missing in missing.items() if is_missing)

    def body(self, missing: tuple[str, ...]) -> Mapping[str, object]:
        """Return the body of the request for what is ``missing``."""
        properties: dict[str, object] = {}
        if self.size is not None and "size" in missing:
            properties["diskSizeGB"] = self.size // _types.UNIT
        if self.iops is not None and "iops" in missing:
            properties["diskIOPSReadWrite"] = self.iops
        if self.throughput is not None and "throughput" in missing:
            properties["diskMBpsReadWrite"] = _types.megabytes(self.throughput)
        body: dict[str, object] = {"properties": properties} if properties else {}
        if self.kind is not None and "kind" in missing:
            body["sku"] = {"name": self.kind}
        return body


@attrs.frozen
class Modifications:
    """Changes of volumes in one resource group."""

    group: Group

    def begin(self, intent: Change, deadline: Deadline) -> str:
        """Let Azure change a volume, unless it is so; return the reference.

        Raises:
            InvalidRequest: the volume would shrink, has to be detached first, or cannot be so.
            ModificationLimited: there were four in 24 hours.
            NotFound: there is no such volume.
            WrongVolumeState: another change is under way.
        """
        target = Target.of(intent)
        return until(
            lambda: self._attempt(target, intent, deadline),
            deadline,
            "modification",
            intent.volume_id,
        )

    def find(self, intent: Change, deadline: Deadline) -> str | None:
        """Return the reference if the volume is as it was asked for.

        A change that is under way is waited for: what it is to, Azure shows when it is done.
        """
        target = Target.of(intent)
        unique = self.group.ids.unique_volume(intent.volume_id)

        def look() -> str | Still | None:
            record = self.group.disks.unique(unique, deadline)
            if record is None or record.is_going:
                return None
            if not target.missing_in(record):
                return self._known(intent, record)
            return Still(record.state) if record.is_in_flight else None

        def look_until_idle() -> str | None:
            return until(look, deadline, "modification", intent.volume_id)

        return settled(look_until_idle, deadline, "modification", intent.volume_id)

    def resume(self, reference: str, intent: Change, deadline: Deadline) -> Volume:
        """Wait until the volume itself shows what was asked for.

        Raises:
            OperationFailed: Azure could not change it, or something else did since.
            NotFound: the volume is gone.
        """
        target = Target.of(intent)
        unique = self.group.ids.unique_volume(intent.volume_id)
        asked = self.group.referred(reference, unique)
        names = {"volume": intent.volume_id}
        progress = self.group.progress(asked, "modification", names)
        missing = absence(self.group.clock)

        def look() -> Volume | Still:
            state = progress.look(deadline)
            if state is not None:
                return Still(state)
            record = self.group.volume(intent.volume_id, deadline)
            if not record.is_in_flight and not target.missing_in(record):
                return to_volume(self.group.ids, record)
            return self._unchanged(target, record, missing, progress, intent)

        return until(look, deadline, "modification", intent.volume_id)

    def _attempt(self, target: Target, intent: Change, deadline: Deadline) -> str | Still:
        sight = self.group.sight(lambda: self.group.volume(intent.volume_id, deadline))
        record = sight.seen
        _types.check_change(intent, record, intent.volume_id)
        missing = target.missing_in(record)
        if not missing:
            return self._known(intent, record)
        if record.is_in_flight:  # perhaps what was asked for, by a request whose reply was lost
            refusal = WrongVolumeState(intent.volume_id, record.state, "modification")
            return Still(record.state, refusal)
        names = {"volume": intent.volume_id}
        call = self.group.calls.patch_disk(record.name, target.body(missing), names)
        try:
            reply = self.group.api.if_true(call, sight, deadline)
        except (ProviderUnavailable, Throttled, WrongVolumeState) as error:
            return Still("not known to be changed", error)
        operation = self.group.operation(reply.operation)
        reference = str(Reference(record.name, record.unique, operation))
        begun = Begun(record.name, reference, record.unique)
        return self.group.memory.put(type(intent).__name__, intent.token, begun).reference

    def _known(self, intent: Change, record: DiskRecord) -> str:
        """Return the reference of what is so: the same as before, if this process gave one out."""
        begun = self.group.memory.recall(type(intent).__name__, intent.token)
        if begun is not None and begun.unique == record.unique:
            return begun.reference
        return str(Reference(record.name, record.unique))

    def _unchanged(
        self,
        target: Target,
        record: DiskRecord,
        missing: Missing,
        progress: Progress,
        intent: Change,
    ) -> Still:
        """Say what it means that the volume does not show what was asked for."""
        if progress.failure is not None:
            raise progress.failure
        if record.is_in_flight:
            return Still(record.state)
        others = ", ".join(target.missing_in(record))
        if record.state in _FAILED:
            reason = f"the disk is {record.state}, and has another {others}"
            raise OperationFailed("modification", intent.volume_id, reason)
        if missing.is_over():
            reason = f"the volume has another {others} now"
            raise OperationFailed("modification", intent.volume_id, reason)
        return Still("not shown yet")
