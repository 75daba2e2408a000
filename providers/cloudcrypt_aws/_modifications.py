"""Changing volumes: all that differs in one request, for EC2 counts them.

EC2 takes four modifications of a volume in 24 hours, each only when the one before is completed
(EC2 API reference, ModifyVolume), and counts one that changes nothing as well. What a volume
becomes can be used from the state ``optimizing`` on, hours before ``completed``.
"""

from typing import Final

import attrs

from cloudcrypt.errors import (
    OperationFailed,
    ProviderUnavailable,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import ModifyVolume, ResizeVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws import _types
from cloudcrypt_aws._ids import Reference
from cloudcrypt_aws._records import Modification, VolumeRecord
from cloudcrypt_aws._region import Region
from cloudcrypt_aws._volumes import to_volume
from cloudcrypt_aws._waits import Still, absence, until

Change = ResizeVolume | ModifyVolume

_ACCEPTED: Final = {"modifying", "optimizing", "completed"}


@attrs.frozen
class Target:
    """What a volume is to have; None is whatever it has. In bytes, and bytes a second."""

    size: int | None
    kind: str | None
    iops: int | None
    throughput: int | None

    @classmethod
    def of(cls, intent: Change) -> "Target":
        """Return what ``intent`` asks for, in the units of EC2.

        Raises:
            InvalidRequest: no volume is as large.
        """
        size = None if intent.size is None else _types.whole(intent.size)
        if isinstance(intent, ResizeVolume):
            return cls(size, None, None, None)
        throughput = intent.throughput
        whole = None if throughput is None else _types.mib(throughput) * MIB
        return cls(size, intent.kind, intent.iops, whole)

    def missing_in(self, shown: VolumeRecord | Modification) -> dict[str, object]:
        """Return what ``shown`` has not, as parameters of ModifyVolume."""
        wanted: dict[str, object] = {}
        if self.size is not None and (shown.size is None or shown.size < self.size):
            wanted["Size"] = self.size // _types.UNIT
        if self.kind not in {None, shown.kind}:
            wanted["VolumeType"] = self.kind
        if self.iops not in {None, shown.iops}:
            wanted["Iops"] = self.iops
        if self.throughput is not None and self.throughput != shown.throughput:
            wanted["Throughput"] = _types.mib(self.throughput)
        return wanted


@attrs.frozen
class Modifications:
    """Changes of volumes in one region."""

    region: Region

    def begin(self, intent: Change, deadline: Deadline) -> str:
        """Let EC2 change a volume, unless it is so; return the reference, with EC2's start time.

        Raises:
            InvalidRequest: the volume would shrink, or cannot be so.
            ModificationLimited: there were four in 24 hours.
            NotFound: there is no such volume.
            WrongVolumeState: another change is under way.
        """
        ebs_id = self.region.ebs_volume(intent.volume_id)
        target = Target.of(intent)
        return until(
            lambda: self._begin(ebs_id, target, intent, deadline),
            deadline,
            "modification",
            intent.volume_id,
        )

    def find(self, intent: Change, deadline: Deadline) -> str | None:
        """Return the reference if the volume is, or is about to be, as it was asked for."""
        ebs_id = self.region.ebs_volume(intent.volume_id)
        target = Target.of(intent)
        record = self.region.look.volume(ebs_id, deadline)
        if record is None or record.is_gone:
            return None
        if not target.missing_in(record):
            return str(Reference(ebs_id))
        return self._under_way(ebs_id, target, deadline)

    def resume(self, reference: str, intent: Change, deadline: Deadline) -> Volume:
        """Wait until the volume itself shows what was asked for.

        Raises:
            OperationFailed: EC2 could not change it, or something else did since.
            NotFound: the volume is gone.
        """
        target = Target.of(intent)
        accepted = self.region.referred(reference, intent.volume_id)
        missing = absence(self.region.clock)

        def look() -> Volume | Still:
            record = self.region.volume(intent.volume_id, deadline)
            if not target.missing_in(record):
                return to_volume(self.region.name, record)
            change = self.region.look.modification(accepted.ebs_id, deadline)
            is_this = change is not None and _is_since(change, accepted)
            if change is not None and is_this and change.state == "failed":
                reason = change.message or "EC2 gives no reason"
                raise OperationFailed("modification", intent.volume_id, reason)
            if change is not None and is_this and change.state == "modifying":
                return Still("modifying")
            if missing.is_over():
                differing = ", ".join(target.missing_in(record))
                reason = f"the volume has another {differing} now"
                raise OperationFailed("modification", intent.volume_id, reason)
            return Still("not shown yet")

        return until(look, deadline, "modification", intent.volume_id)

    def _begin(
        self, ebs_id: str, target: Target, intent: Change, deadline: Deadline
    ) -> str | Still:
        record = self.region.volume(intent.volume_id, deadline)
        _types.check_change(intent, record, intent.volume_id)
        wanted = target.missing_in(record)
        if not wanted:
            return str(Reference(ebs_id))
        names = {"volume": intent.volume_id}
        parameters = {"VolumeId": ebs_id, **wanted}
        try:
            answer = self.region.api.unless_throttled("ModifyVolume", parameters, deadline, names)
        except (WrongVolumeState, ProviderUnavailable) as error:
            # A reply may have been lost, and what is under way be ours: another would be counted.
            begun = self._under_way(ebs_id, target, deadline)
            if begun is not None:
                return begun
            if isinstance(error, ProviderUnavailable):
                return Still(record.state, error)
            raise self._refusal(ebs_id, intent, error, deadline) from error
        return _reference(Modification.of(answer["VolumeModification"]))

    def _refusal(
        self, ebs_id: str, intent: Change, error: WrongVolumeState, deadline: Deadline
    ) -> WrongVolumeState:
        change = self.region.look.modification(ebs_id, deadline)
        is_changing = change is not None and change.state in {"modifying", "optimizing"}
        state = change.state if change is not None and is_changing else error.state
        return WrongVolumeState(intent.volume_id, state, "modification", answer=error.answer)

    def _under_way(self, ebs_id: str, target: Target, deadline: Deadline) -> str | None:
        """Return the reference of EC2's latest change if it is the one to ``target``."""
        change = self.region.look.modification(ebs_id, deadline)
        if change is None or change.state not in _ACCEPTED or target.missing_in(change):
            return None
        return _reference(change)


def _reference(change: Modification) -> str:
    return str(Reference(change.volume, change.started.timestamp()))


def _is_since(change: Modification, accepted: Reference) -> bool:
    """Whether ``change`` is the one that ``accepted`` is about, and not an older one."""
    return accepted.time is None or change.started.timestamp() >= accepted.time - 1
