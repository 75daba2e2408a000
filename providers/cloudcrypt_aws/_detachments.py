"""Detaching volumes: from the holder alone, and by force only where that is asked for."""

from typing import Final

import attrs

from cloudcrypt.errors import (
    DetachBlocked,
    NotFound,
    OperationFailed,
    ProviderError,
    ProviderUnavailable,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import DetachVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws._attachments import holder_error
from cloudcrypt_aws._ids import Reference, check_instance
from cloudcrypt_aws._records import Attached
from cloudcrypt_aws._region import Region
from cloudcrypt_aws._volumes import to_volume
from cloudcrypt_aws._waits import Still, absence, until

BLOCKED_AFTER: Final = 90.0
"""Seconds of ``detaching`` or ``busy`` after which the instance is in the way: as long as the EBS
CSI driver waits for an attachment. Detaching takes four seconds at most, usually."""
_LEAVING: Final = {"detaching", "busy"}


@attrs.frozen
class Detachments:
    """Takes volumes from instances, in one region."""

    region: Region
    blocked_after: float

    def begin(self, intent: DetachVolume, deadline: Deadline) -> str:
        """Let EC2 detach a volume, unless it is detached; return the reference.

        The reference has the time, since EC2 does not show when detaching began.

        Raises:
            AttachedElsewhere: another instance holds it.
            NotFound: there is no such volume.
            WrongVolumeState: it cannot be detached now.
        """
        ebs_id = self.region.ebs_volume(intent.volume_id)
        check_instance(intent.instance)

        def look() -> str | Still:
            mine = self._mine(intent, deadline)
            if mine is not None and mine.state in _LEAVING and not intent.force:
                return self._reference(ebs_id)
            # A look may be old. So EC2 is asked to detach also what does not seem to be attached.
            error = self._detach(ebs_id, intent, mine, deadline)
            if error is None:
                return self._reference(ebs_id)
            return Still("not known" if mine is None else mine.state, error)

        return until(look, deadline, "detachment", intent.volume_id)

    def find(self, intent: DetachVolume, deadline: Deadline) -> str | None:
        """Return the reference if the volume is not attached there, or about not to be."""
        ebs_id = self.region.ebs_volume(intent.volume_id)
        record = self.region.look.volume(ebs_id, deadline)
        mine = None if record is None else record.attached_to(intent.instance)
        if record is None or (mine is not None and mine.state not in _LEAVING):
            return None
        return str(Reference(ebs_id)) if mine is None else self._reference(ebs_id)

    def resume(self, reference: str, intent: DetachVolume, deadline: Deadline) -> Volume:
        """Wait until the volume does not show the instance any more.

        Raises:
            DetachBlocked: the instance does not let go of it.
            OperationFailed: it is attached, as if nothing had been asked, or again.
            NotFound: the volume is gone.
        """
        accepted = self.region.referred(reference, intent.volume_id)
        missing = absence(self.region.clock)

        def look() -> Volume | Still:
            record = self.region.volume(intent.volume_id, deadline)
            mine = record.attached_to(intent.instance)
            if mine is None:
                return to_volume(self.region.name, record)
            if mine.state in _LEAVING:
                return self._leaving(accepted, mine, intent)
            if missing.is_over():
                reason = f"it is {mine.state} to {intent.instance}"
                raise OperationFailed("detachment", intent.volume_id, reason)
            return Still(mine.state)

        return until(look, deadline, "detachment", intent.volume_id)

    def _leaving(self, reference: Reference, mine: Attached, intent: DetachVolume) -> Still:
        now = self.region.clock.now().timestamp()
        seconds = max(0.0, now - (now if reference.time is None else reference.time))
        blocked = DetachBlocked(intent.volume_id, intent.instance, round(seconds, 3))
        if seconds >= self.blocked_after:
            raise blocked
        return Still(mine.state, blocked if mine.state == "busy" else None)

    def _detach(
        self, ebs_id: str, intent: DetachVolume, mine: Attached | None, deadline: Deadline
    ) -> ProviderError | None:
        """Ask EC2 once; return what is in the way, if that may change."""
        parameters = {
            "VolumeId": ebs_id,
            "InstanceId": intent.instance,
            **({} if mine is None else {"Device": mine.device}),
            **({"Force": True} if intent.force else {}),
        }
        names = {"volume": intent.volume_id, "instance": intent.instance}
        try:
            self.region.api.unless_throttled("DetachVolume", parameters, deadline, names)
        except (NotFound, WrongVolumeState, ProviderUnavailable) as error:
            # IncorrectState is also what a detached volume is in, and a reply may be lost: look.
            now = self._mine(intent, deadline)
            if now is None:
                is_unheard = mine is None and isinstance(error, ProviderUnavailable)
                return error if is_unheard else None
            return None if now.state in _LEAVING and not intent.force else error
        return None

    def _mine(self, intent: DetachVolume, deadline: Deadline) -> Attached | None:
        """Return the attachment that is to end, or None if there is none any more.

        Raises:
            AttachedElsewhere: another instance holds the volume.
        """
        record = self.region.volume(intent.volume_id, deadline)
        mine = record.attached_to(intent.instance)
        elsewhere = holder_error(intent.volume_id, record, intent.instance)
        if mine is None and elsewhere is not None:
            raise elsewhere
        return mine

    def _reference(self, ebs_id: str) -> str:
        return str(Reference(ebs_id, self.region.clock.now().timestamp()))
