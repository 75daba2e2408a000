"""Deleting volumes and snapshots by their numbers: what is gone is deleted, no namesake ever is.

That a look shows nothing is not enough: it may be one at what is new. Either the operation has
succeeded, or the thing was seen to go, or it stays away for `GRACE` seconds.
"""

import attrs

from cloudcrypt.errors import (
    CloudcryptError,
    NotFound,
    OperationFailed,
    ProviderError,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.spi import DeleteSnapshot, DeleteVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp._ids import GLOBAL, Reference
from cloudcrypt_gcp._look import DISKS
from cloudcrypt_gcp._operations import Again, Asked
from cloudcrypt_gcp._records import SnapshotRecord
from cloudcrypt_gcp._region import Region
from cloudcrypt_gcp._volumes import holders_of
from cloudcrypt_gcp._waits import GRACE, Missing, Still, absence, until


@attrs.define
class _End:
    """Whether what does not show is deleted, to one caller who waits for it."""

    region: Region
    since: float | None
    is_sure: bool
    _away: Missing

    @classmethod
    def of(
        cls, region: Region, reference: Reference, asked: Asked, deadline: Deadline, again: Again
    ) -> "_End":
        """Wait for the operation, where there is one, and return what that says.

        Raises:
            OperationPending: it is under way at the deadline.
            NotFound: it is something else that there is not, such as the project.
            RequestError, ProviderError: it failed.
        """
        try:
            done = region.operations.finished(reference, asked, deadline, again)
        except NotFound as error:
            if error.kind not in asked.names:
                raise
            done = _unseen(region, reference)
        return cls(region, done.since, bool(done.operation), absence(region.clock))

    def is_shown(self, *, is_going: bool) -> None:
        """Record that it is there."""
        self._away.found()
        self.is_sure |= is_going

    @property
    def has_come(self) -> bool:
        """Whether what does not show now is deleted."""
        now = self.region.clock.now().timestamp()
        is_over = self.since is not None and now - self.since >= GRACE
        return self._away.is_over() or is_over or self.is_sure


def _unseen(region: Region, reference: Reference) -> Reference:
    """Return the reference of a deletion that GCE has not confirmed: it just knows nothing, now."""
    return attrs.evolve(reference, operation="", since=region.clock.now().timestamp())


@attrs.frozen
class VolumeDeletions:
    """Volumes that go."""

    region: Region

    def begin(self, intent: DeleteVolume, deadline: Deadline) -> Reference:
        """Let GCE delete a volume; return the reference. What is gone is deleted.

        Raises:
            VolumeInUse: it is attached.
            WrongVolumeState: it cannot be deleted now.
        """
        return self._deleted(intent, 1, deadline)

    def find(self, intent: DeleteVolume, deadline: Deadline) -> Reference | None:
        """Return the reference if the volume is going, or was asked to go; else None.

        That GCE does not show it does not count: only its refusal to delete it is certain.
        """
        begun = self.region.latest(self._asked(intent), self._reference(intent), deadline)
        if begun is not None:
            return begun
        record = self.region.disk_or_none(intent.volume_id, deadline)
        return self._reference(intent) if record is not None and record.is_going else None

    def resume(self, reference: str, intent: DeleteVolume, deadline: Deadline) -> None:
        """Wait until the volume is gone.

        Raises:
            VolumeInUse: it was attached meanwhile.
            OperationFailed: it is not being deleted.
        """
        parsed = self.region.referred(reference, intent.volume_id)
        missing = absence(self.region.clock)

        def again(attempt: int, _: CloudcryptError) -> Reference:
            return self._deleted(intent, attempt, deadline)

        try:
            end = _End.of(self.region, parsed, self._asked(intent), deadline, again)
        except VolumeInUse as error:
            refusal = self._in_use(intent, error, deadline)
            if refusal is None:
                raise
            raise refusal from error

        def look() -> Still | None:
            record = self.region.disk_or_none(intent.volume_id, deadline)
            if record is None:
                return None if end.has_come else Still("not shown")
            end.is_shown(is_going=record.is_going)
            state = record.status.lower()
            if not record.is_going and missing.is_over():
                raise OperationFailed("deletion", intent.volume_id, f"the volume is {state}")
            return Still(state)

        until(look, deadline, "deletion", intent.volume_id)

    def _deleted(self, intent: DeleteVolume, attempt: int, deadline: Deadline) -> Reference:
        self.region.site.disk(intent.volume_id)
        return until(
            lambda: self._delete(intent, attempt, deadline), deadline, "deletion", intent.volume_id
        )

    def _delete(self, intent: DeleteVolume, attempt: int, deadline: Deadline) -> Reference | Still:
        target = self.region.site.disk(intent.volume_id)
        parameters = {**target.scope.parameters, "disk": target.number}
        try:
            operation = self.region.operations.begin(
                self._asked(intent), parameters, attempt, deadline
            )
        except NotFound as error:
            if error.kind not in self._asked(intent).names:
                raise
            return _unseen(self.region, self._reference(intent))
        except VolumeInUse as error:
            refusal = self._in_use(intent, error, deadline)
            if refusal is None:
                return Still("in use by what does not show", error)
            raise refusal from error
        except WrongVolumeState as error:
            record = self.region.disk_or_none(intent.volume_id, deadline)
            if record is None:
                return _unseen(self.region, self._reference(intent))
            if record.is_going:
                return self._reference(intent)
            state = record.status.lower()
            return Still(
                state, WrongVolumeState(intent.volume_id, state, "deletion", answer=error.answer)
            )
        return attrs.evolve(
            self._reference(intent),
            scope=operation.scope,
            operation=operation.name,
            attempt=attempt,
        )

    def _in_use(
        self, intent: DeleteVolume, error: ProviderError, deadline: Deadline
    ) -> VolumeInUse | None:
        """Return the error that names the holder, or None if none shows."""
        record = self.region.disk_or_none(intent.volume_id, deadline)
        holders = () if record is None else holders_of(self.region.site, record)
        if not holders:
            return None
        return VolumeInUse(intent.volume_id, holders[0], answer=error.answer)

    def _reference(self, intent: DeleteVolume) -> Reference:
        target = self.region.site.disk(intent.volume_id)
        return Reference(target.scope, number=target.number)

    def _asked(self, intent: DeleteVolume) -> Asked:
        scope = self.region.site.disk(intent.volume_id).scope
        action = f"{DISKS[scope.kind]}.delete"
        return self.region.asked(intent.token, "delete", action, volume=intent.volume_id)


@attrs.frozen
class SnapshotDeletions:
    """Snapshots that go."""

    region: Region

    def begin(self, intent: DeleteSnapshot, deadline: Deadline) -> Reference:
        """Let GCE delete a snapshot; return the reference. What is gone is deleted.

        Raises:
            WrongVolumeState: it cannot be deleted now.
        """
        return self._deleted(intent, 1, deadline)

    def find(self, intent: DeleteSnapshot, deadline: Deadline) -> Reference | None:
        """Return the reference if the snapshot is going, or was asked to go; else None."""
        begun = self.region.latest(self._asked(intent), self._reference(intent), deadline)
        if begun is not None:
            return begun
        record = self._record(intent, deadline)
        return self._reference(intent) if record is not None and record.is_going else None

    def resume(self, reference: str, intent: DeleteSnapshot, deadline: Deadline) -> None:
        """Wait until the snapshot is gone.

        Raises:
            OperationFailed: it is not being deleted.
        """
        number = self.region.site.snapshot(intent.snapshot_id)
        parsed = Reference.parse(reference, number)
        missing = absence(self.region.clock)

        def again(attempt: int, _: CloudcryptError) -> Reference:
            return self._deleted(intent, attempt, deadline)

        end = _End.of(self.region, parsed, self._asked(intent), deadline, again)

        def look() -> Still | None:
            record = self._record(intent, deadline)
            if record is None:
                return None if end.has_come else Still("not shown")
            end.is_shown(is_going=record.is_going)
            state = record.status.lower()
            if not record.is_going and missing.is_over():
                raise OperationFailed("deletion", intent.snapshot_id, f"the snapshot is {state}")
            return Still(state)

        until(look, deadline, "deletion", intent.snapshot_id)

    def _deleted(self, intent: DeleteSnapshot, attempt: int, deadline: Deadline) -> Reference:
        self.region.site.snapshot(intent.snapshot_id)
        return until(
            lambda: self._delete(intent, attempt, deadline),
            deadline,
            "deletion",
            intent.snapshot_id,
        )

    def _delete(
        self, intent: DeleteSnapshot, attempt: int, deadline: Deadline
    ) -> Reference | Still:
        parameters = {"snapshot": self.region.site.snapshot(intent.snapshot_id)}
        try:
            operation = self.region.operations.begin(
                self._asked(intent), parameters, attempt, deadline
            )
        except NotFound as error:
            if error.kind not in self._asked(intent).names:
                raise
            return _unseen(self.region, self._reference(intent))
        except WrongVolumeState as error:
            record = self._record(intent, deadline)
            if record is None:
                return _unseen(self.region, self._reference(intent))
            if record.is_going:
                return self._reference(intent)
            refusal = WrongVolumeState(
                intent.snapshot_id, error.state, "deletion", answer=error.answer
            )
            return Still(error.state, refusal)
        return attrs.evolve(self._reference(intent), operation=operation.name, attempt=attempt)

    def _record(self, intent: DeleteSnapshot, deadline: Deadline) -> SnapshotRecord | None:
        number = self.region.site.snapshot(intent.snapshot_id)
        return self.region.look.snapshot(number, deadline)

    def _reference(self, intent: DeleteSnapshot) -> Reference:
        return Reference(GLOBAL, number=self.region.site.snapshot(intent.snapshot_id))

    def _asked(self, intent: DeleteSnapshot) -> Asked:
        return self.region.asked(
            intent.token, "delete", "snapshots.delete", snapshot=intent.snapshot_id
        )
