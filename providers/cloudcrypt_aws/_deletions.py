"""Deleting volumes and snapshots: what is gone is deleted."""

import attrs

from cloudcrypt.errors import NotFound, OperationFailed, VolumeInUse, WrongVolumeState
from cloudcrypt.spi import DeleteSnapshot, DeleteVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws._ids import Reference
from cloudcrypt_aws._region import Region
from cloudcrypt_aws._waits import GRACE, Still, absence, until


def _unseen(region: Region, ebs_id: str) -> str:
    """Return the reference of a deletion that EC2 has not confirmed: it just shows nothing, now.

    It may show nothing of what is new, too. So the time is in it: from there on it has to stay away
    for `GRACE` seconds.
    """
    return str(Reference(ebs_id, region.clock.now().timestamp()))


def _is_away(region: Region, reference: Reference) -> bool:
    """Say whether what EC2 does not show is deleted."""
    since = reference.time
    return since is None or region.clock.now().timestamp() - since >= GRACE


@attrs.frozen
class VolumeDeletions:
    """Volumes that go."""

    region: Region

    def begin(self, intent: DeleteVolume, deadline: Deadline) -> str:
        """Let EC2 delete a volume; return the reference. What is gone is deleted.

        Raises:
            VolumeInUse: it is attached.
            WrongVolumeState: it cannot be deleted now.
        """
        ebs_id = self.region.ebs_volume(intent.volume_id)
        names = {"volume": intent.volume_id}
        try:
            self.region.api.again("DeleteVolume", {"VolumeId": ebs_id}, deadline, names)
        except NotFound:
            return _unseen(self.region, ebs_id)
        except (VolumeInUse, WrongVolumeState) as error:
            record = self.region.look.volume(ebs_id, deadline)
            if record is not None and record.attached:
                holder = record.attached[0].instance
                raise VolumeInUse(intent.volume_id, holder, answer=error.answer) from error
            if record is not None and not record.is_gone:
                raise WrongVolumeState(
                    intent.volume_id, record.state, "deletion", answer=error.answer
                ) from error
            if record is None:
                return _unseen(self.region, ebs_id)
        return ebs_id

    def find(self, intent: DeleteVolume, deadline: Deadline) -> str | None:
        """Return the reference if the volume is going or gone, else None."""
        ebs_id = self.region.ebs_volume(intent.volume_id)
        record = self.region.look.volume(ebs_id, deadline)
        if record is None:
            return _unseen(self.region, ebs_id)
        return ebs_id if record.is_gone else None

    def resume(self, reference: str, intent: DeleteVolume, deadline: Deadline) -> None:
        """Wait until the volume is gone.

        Raises:
            OperationFailed: it is not being deleted.
        """
        accepted = self.region.referred(reference, intent.volume_id)
        missing, is_going = absence(self.region.clock), False

        def look() -> Still | None:
            nonlocal is_going
            record = self.region.look.volume(accepted.ebs_id, deadline)
            is_going = is_going or (record is not None and record.is_gone)
            if record is None and not (is_going or _is_away(self.region, accepted)):
                return Still("not shown")
            if record is None or record.state == "deleted":
                return None
            if record.state != "deleting" and missing.is_over():
                raise OperationFailed("deletion", intent.volume_id, f"the volume is {record.state}")
            return Still(record.state)

        until(look, deadline, "deletion", intent.volume_id)


@attrs.frozen
class SnapshotDeletions:
    """Snapshots that go."""

    region: Region

    def begin(self, intent: DeleteSnapshot, deadline: Deadline) -> str:
        """Let EC2 delete a snapshot; return the reference. What is gone is deleted.

        Raises:
            WrongVolumeState: an image is made of it.
        """
        ebs_id = self.region.ebs_snapshot(intent.snapshot_id)
        names = {"snapshot": intent.snapshot_id, "volume": intent.snapshot_id}
        try:
            self.region.api.again("DeleteSnapshot", {"SnapshotId": ebs_id}, deadline, names)
        except NotFound:
            return _unseen(self.region, ebs_id)
        except WrongVolumeState as error:
            raise WrongVolumeState(
                intent.snapshot_id, error.state, "deletion", answer=error.answer
            ) from error
        return ebs_id

    def find(self, intent: DeleteSnapshot, deadline: Deadline) -> str | None:
        """Return the reference if the snapshot is gone, else None."""
        ebs_id = self.region.ebs_snapshot(intent.snapshot_id)
        record = self.region.look.snapshot(ebs_id, deadline)
        return _unseen(self.region, ebs_id) if record is None else None

    def resume(self, reference: str, intent: DeleteSnapshot, deadline: Deadline) -> None:
        """Wait until the snapshot is gone.

        Raises:
            OperationFailed: it is not being deleted.
        """
        ebs_id = self.region.ebs_snapshot(intent.snapshot_id)
        accepted = Reference.parse(reference, ebs_id)
        missing = absence(self.region.clock)

        def look() -> Still | None:
            record = self.region.look.snapshot(ebs_id, deadline)
            if record is None:
                return None if _is_away(self.region, accepted) else Still("not shown")
            if missing.is_over():
                raise OperationFailed(
                    "deletion", intent.snapshot_id, f"the snapshot is {record.state}"
                )
            return Still(record.state)

        until(look, deadline, "deletion", intent.snapshot_id)
