"""Attaching volumes: one device name, one holder, and proof that it came about."""

import contextlib
from typing import Final

import attrs

from cloudcrypt.errors import (
    Answer,
    AttachedElsewhere,
    AttachmentLimit,
    AttachStuck,
    CloudcryptError,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.model import Attachment, DeviceIdentity, DeviceName, NvmeSerial
from cloudcrypt.spi import AttachVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws._ids import check_instance
from cloudcrypt_aws._names import ATTEMPTS, Names
from cloudcrypt_aws._records import Attached, InstanceRecord, VolumeRecord
from cloudcrypt_aws._region import Region
from cloudcrypt_aws._volumes import origin_of
from cloudcrypt_aws._waits import Missing, Still, absence, until

MODEL: Final = "Amazon Elastic Block Store"
"""The model of the NVMe controller of every volume (EBS user guide, "Identify the device")."""
STUCK_AFTER: Final = 90.0
"""Seconds of ``attaching`` after which something is wrong, as the EBS CSI driver has it; it takes
four at most, usually."""
_OURS: Final = {"attaching", "attached"}
_LEAVING: Final = {"detaching"}
_UNDONE: Final = {"detaching", "busy"}
_NAME_TAKEN: Final = "InvalidParameterValue"


@attrs.frozen
class Attachments:
    """Which volumes are where, in one region."""

    region: Region
    names: Names
    stuck_after: float

    def begin(self, intent: AttachVolume, deadline: Deadline) -> str:
        """Let EC2 attach a volume, unless it is attached there; return the reference.

        A volume that is still being created, or detached, is waited for.

        Raises:
            AttachedElsewhere: it is attached to another instance.
            AttachmentLimit: the instance takes no further volume.
            NotFound: there is no such volume or instance.
            WrongVolumeState: it cannot be attached now.
        """
        ebs_id = self.region.ebs_volume(intent.volume_id)
        check_instance(intent.instance)
        missing = absence(self.region.clock)

        def attempt() -> str | Still:
            return self._attach(ebs_id, intent, missing, deadline)

        return until(attempt, deadline, "attachment", intent.volume_id)

    def find(self, intent: AttachVolume, deadline: Deadline) -> str | None:
        """Return the reference if the volume is attached there, or about to be, else None."""
        ebs_id = self.region.ebs_volume(intent.volume_id)
        record = self.region.look.volume(ebs_id, deadline)
        mine = None if record is None else record.attached_to(intent.instance)
        return ebs_id if mine is not None and mine.state in _OURS else None

    def resume(self, reference: str, intent: AttachVolume, deadline: Deadline) -> Attachment:
        """Wait until volume and instance both show the attachment.

        Raises:
            AttachStuck: it takes too long.
            AttachedElsewhere: the volume is attached to another instance, against all rules also.
            NotFound: it is not attached there any more, or one of the two is gone.
            WrongVolumeState: it is being detached.
        """
        self.region.referred(reference, intent.volume_id)
        missing = absence(self.region.clock)

        def look() -> Attachment | Still:
            record = self.region.volume(intent.volume_id, deadline)
            mine = record.attached_to(intent.instance)
            self._check_alone(record, intent)
            if mine is None:
                if missing.is_over():
                    raise NotFound("attachment", f"of {intent.volume_id} to {intent.instance}")
                return Still("not shown yet")
            missing.found()
            return self._proven(record, mine, intent, deadline)

        return until(look, deadline, "attachment", intent.volume_id)

    def limit(self, instance: InstanceRecord, deadline: Deadline) -> int | None:
        """Return how many volumes an instance may have, its root disk included.

        Raises:
            ProviderError: EC2 could not be asked.
        """
        kind = self.region.look.kind(instance.kind, deadline)
        if kind.attachments is None or not kind.is_shared:
            return kind.attachments
        return max(1, kind.attachments - instance.interfaces - kind.disks)

    def instance(self, instance: str, deadline: Deadline) -> InstanceRecord:
        """Return what EC2 shows of an instance that is not terminated.

        Raises:
            NotFound: there is none.
        """
        record = self.region.look.instance(instance, deadline)
        if record is None or record.is_gone:
            raise NotFound("instance", instance)
        return record

    def _attach(
        self, ebs_id: str, intent: AttachVolume, missing: Missing, deadline: Deadline
    ) -> str | Still:
        host = self.instance(intent.instance, deadline)
        if ebs_id in host.devices.values():
            return self._judged(ebs_id, intent, missing, deadline, None)
        try:
            self._attach_by_some_name(ebs_id, intent, host, deadline)
        except (VolumeInUse, WrongVolumeState, ProviderUnavailable) as error:
            return self._judged(ebs_id, intent, missing, deadline, error)
        except AttachmentLimit as error:
            limit = None
            with contextlib.suppress(ProviderError):  # the limit is good to know, no more
                limit = self.limit(host, deadline)
            raise AttachmentLimit(intent.instance, limit, answer=error.answer) from error
        return ebs_id

    def _attach_by_some_name(
        self, ebs_id: str, intent: AttachVolume, host: InstanceRecord, deadline: Deadline
    ) -> None:
        names = {"volume": intent.volume_id, "instance": intent.instance}
        for attempt in range(ATTEMPTS):
            name = self.names.take(intent.instance, host.devices)
            parameters = {"VolumeId": ebs_id, "InstanceId": intent.instance, "Device": name}
            try:
                self.region.api.unless_throttled("AttachVolume", parameters, deadline, names)
            except ProviderUnavailable:
                raise  # and the name may be in use now
            except RequestRejected as error:
                self.names.give_back(intent.instance, name)
                if attempt == ATTEMPTS - 1 or not _is_about(name, error.answer):
                    raise
                self.names.avoid(intent.instance, name)
            except CloudcryptError:
                self.names.give_back(intent.instance, name)
                raise
            else:
                return

    def _judged(
        self,
        ebs_id: str,
        intent: AttachVolume,
        missing: Missing,
        deadline: Deadline,
        error: ProviderError | None,
    ) -> str | Still:
        """Look what EC2's answer means: done already, held by another one, or not now."""
        record = self.region.look.volume(ebs_id, deadline)
        if record is None and not missing.is_over():
            return Still("not shown", error)  # EC2 itself did not say that there is none
        if record is None or record.is_gone:
            raise NotFound("volume", intent.volume_id) from error
        missing.found()
        mine = record.attached_to(intent.instance)
        if mine is not None and mine.state in _OURS:
            return ebs_id
        answer = None if error is None else error.answer
        holder = next((one for one in record.attached if one.state not in _LEAVING), mine)
        if holder is not None and holder is not mine and not record.is_multi_attach:
            raise AttachedElsewhere(intent.volume_id, holder.instance, answer=answer) from error
        leaving = mine or next(iter(record.attached), None)
        state = record.state if leaving is None else leaving.state
        refusal = WrongVolumeState(intent.volume_id, state, "attachment", answer=answer)
        if record.state == "error":
            raise refusal from error
        is_theirs = isinstance(error, ProviderUnavailable) or state == "available"
        return Still(state, error if error is not None and is_theirs else refusal)

    def _proven(
        self, record: VolumeRecord, mine: Attached, intent: AttachVolume, deadline: Deadline
    ) -> Attachment | Still:
        if mine.state in _UNDONE:
            raise WrongVolumeState(intent.volume_id, mine.state, "attachment")
        if mine.state != "attached":
            seconds = self._seconds(mine)
            if seconds >= self.stuck_after:
                raise AttachStuck(intent.volume_id, intent.instance, seconds)
            return Still(mine.state)
        host = self.instance(intent.instance, deadline)
        if host.devices.get(mine.device) != record.id:
            return Still("attached, which the instance does not show yet")
        return Attachment(
            volume_id=self.region.volume_id(record.id),
            instance=intent.instance,
            size=record.size,
            origin=origin_of(self.region.name, record),
            identity=self._identity(record, mine, host, deadline),
        )

    def _identity(
        self, record: VolumeRecord, mine: Attached, host: InstanceRecord, deadline: Deadline
    ) -> DeviceIdentity:
        if self.region.look.kind(host.kind, deadline).is_xen:
            return DeviceName(mine.device)
        return NvmeSerial(record.id.replace("-", ""), MODEL)

    def _seconds(self, mine: Attached) -> float:
        now = self.region.clock.now()
        return round(max(0.0, (now - (mine.since or now)).total_seconds()), 3)

    def _check_alone(self, record: VolumeRecord, intent: AttachVolume) -> None:
        if record.is_multi_attach:
            return
        for other in record.attached:
            if other.instance != intent.instance and other.state not in _LEAVING:
                raise AttachedElsewhere(intent.volume_id, other.instance)


def _is_about(name: str, answer: Answer | None) -> bool:
    """Say whether EC2 refused a device name; it has no code for that, but names the name."""
    return answer is not None and answer.code == _NAME_TAKEN and name in answer.message


def holder_error(volume_id: str, record: VolumeRecord, instance: str) -> CloudcryptError | None:
    """Return the error of whoever takes ``instance`` for the holder, unless nobody else is."""
    others = [one for one in record.attached if one.instance != instance]
    if not others or record.is_multi_attach:
        return None
    return AttachedElsewhere(volume_id, others[0].instance)
