"""What all operations share: one region of AWS, as one owner sees it."""

from typing import Protocol, TypeVar

import attrs

from cloudcrypt.errors import NotFound
from cloudcrypt.waiting import Clock, Deadline
from cloudcrypt_aws import _ids
from cloudcrypt_aws._client import Api
from cloudcrypt_aws._describe import Look
from cloudcrypt_aws._ids import Reference
from cloudcrypt_aws._records import VolumeRecord
from cloudcrypt_aws._waits import settled

I_contra = TypeVar("I_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)


class Operation(Protocol[I_contra, T_co]):
    """How one kind of intent is begun, found and finished; see `cloudcrypt.spi.VolumeProvider`."""

    def begin(self, intent: I_contra, deadline: Deadline, /) -> str:
        """Ask EC2 for it; return the text that a handle refers to it by."""
        ...

    def find(self, intent: I_contra, deadline: Deadline, /) -> str | None:
        """Return that text if EC2 shows that it has accepted it, else None; looks once."""
        ...

    def resume(self, reference: str, intent: I_contra, deadline: Deadline, /) -> T_co:
        """Wait for its outcome."""
        ...


@attrs.frozen
class Region:
    """The region ``name`` and its EC2."""

    name: str
    owner: str
    api: Api
    look: Look
    clock: Clock

    def volume_id(self, ebs_id: str) -> str:
        """Return the id of the volume or snapshot that EC2 calls ``ebs_id``."""
        return _ids.canonical(self.name, ebs_id)

    def ebs_volume(self, volume_id: str) -> str:
        """Return what EC2 calls the volume; see `cloudcrypt_aws._ids.ebs_volume`."""
        return _ids.ebs_volume(self.name, volume_id)

    def ebs_snapshot(self, snapshot_id: str) -> str:
        """Return what EC2 calls the snapshot; see `cloudcrypt_aws._ids.ebs_snapshot`."""
        return _ids.ebs_snapshot(self.name, snapshot_id)

    def referred(self, reference: str, volume_id: str) -> Reference:
        """Return the reference, which has to be about this volume.

        Raises:
            NotFound: it is about something else.
        """
        return Reference.parse(reference, self.ebs_volume(volume_id))

    def volume(self, volume_id: str, deadline: Deadline) -> VolumeRecord:
        """Return what EC2 shows of a volume that is not deleted, or about to be.

        Raises:
            NotFound: there is none; EC2 has had time to show it.
            OperationPending: it does not show, and the deadline ends before that is sure.
        """
        ebs_id = self.ebs_volume(volume_id)
        record = settled(lambda: self.look.volume(ebs_id, deadline), deadline, "a look", volume_id)
        if record is None or record.is_gone:
            raise NotFound("volume", volume_id)
        return record
