"""What all operations share: one region of a project, as one owner sees it."""

from typing import Protocol, TypeVar

import attrs

from cloudcrypt.errors import NotFound
from cloudcrypt.model import Volume
from cloudcrypt.waiting import Clock, Deadline
from cloudcrypt_gcp._client import Api
from cloudcrypt_gcp._ids import Reference, Site
from cloudcrypt_gcp._look import Look
from cloudcrypt_gcp._operations import Asked, Operations
from cloudcrypt_gcp._records import DiskRecord, OperationRecord
from cloudcrypt_gcp._volumes import to_volume

I_contra = TypeVar("I_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)


class Operation(Protocol[I_contra, T_co]):
    """How one kind of intent is begun, found and finished; see `cloudcrypt.spi.VolumeProvider`."""

    def begin(self, intent: I_contra, deadline: Deadline, /) -> Reference:
        """Ask GCE for it; return what a handle refers to it by."""
        ...

    def find(self, intent: I_contra, deadline: Deadline, /) -> Reference | None:
        """Return that if GCE shows that it has accepted it, else None; looks once."""
        ...

    def resume(self, reference: str, intent: I_contra, deadline: Deadline, /) -> T_co:
        """Wait for its outcome."""
        ...


@attrs.frozen
class Region:
    """The project and region of ``site``, and its GCE, as ``owner`` sees it."""

    site: Site
    owner: str
    api: Api
    look: Look
    operations: Operations
    clock: Clock

    @property
    def namespace(self) -> str:
        """What names and tokens are unique in."""
        return f"gcp:{self.site.project}/{self.site.region}/{self.owner}"

    def asked(self, token: str, verb: str, action: str, **names: str) -> Asked:
        """Return a request of this owner about what exists; ``names`` say what, by kind."""
        return Asked(self.namespace, token, verb, action, names, " ".join(names.values()))

    def disk(self, volume_id: str, deadline: Deadline) -> DiskRecord:
        """Return what GCE shows of a volume that is not being deleted.

        Raises:
            NotFound: there is none.
        """
        record = self.disk_or_none(volume_id, deadline)
        if record is None or record.is_going:
            raise NotFound("volume", volume_id)
        return record

    def disk_or_none(self, volume_id: str, deadline: Deadline) -> DiskRecord | None:
        """Return what GCE shows of a volume, or None if there is none."""
        target = self.site.disk(volume_id)
        return self.look.disk(target.scope, target.number, deadline)

    def volume(self, record: DiskRecord) -> Volume:
        """Return what GCE shows in the terms of all clouds."""
        return to_volume(self.site, record)

    def referred(self, reference: str, volume_id: str) -> Reference:
        """Return the reference, which has to be about this volume.

        Raises:
            NotFound: it is about something else.
        """
        return Reference.parse(reference, self.site.disk(volume_id).number)

    def latest(self, asked: Asked, reference: Reference, deadline: Deadline) -> Reference | None:
        """Return ``reference`` with the last operation that the request began, or None."""
        last = self._last(asked, reference, deadline)
        return None if last is None else _with(reference, *last)

    def so_already(self, asked: Asked, reference: Reference, deadline: Deadline) -> Reference:
        """Return the reference of what is as it was asked for, whoever has made it so.

        It has the last operation that the request began, unless that failed: then it was another
        one's, and the failure says nothing about it.
        """
        last = self._last(asked, reference, deadline)
        return reference if last is None or last[1].errors else _with(reference, *last)

    def _last(
        self, asked: Asked, reference: Reference, deadline: Deadline
    ) -> tuple[int, OperationRecord] | None:
        found: tuple[int, OperationRecord] | None = None
        for begun in self.operations.begun(asked, reference.scope, deadline):
            found = begun
        return found


def _with(reference: Reference, attempt: int, record: OperationRecord) -> Reference:
    return attrs.evolve(reference, scope=record.scope, operation=record.name, attempt=attempt)
