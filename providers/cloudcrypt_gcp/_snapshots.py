"""Snapshots: taken of a disk by its number, known again by their name and description."""

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from cloudcrypt.errors import (
    CloudcryptError,
    OperationFailed,
    RequestConflict,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.model import Snapshot, SnapshotState
from cloudcrypt.spi import CreateSnapshot
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp import _marks, _names
from cloudcrypt_gcp._ids import Reference
from cloudcrypt_gcp._look import DISKS
from cloudcrypt_gcp._marks import Mark
from cloudcrypt_gcp._operations import Asked
from cloudcrypt_gcp._plans import snapshot_volume
from cloudcrypt_gcp._records import SnapshotRecord
from cloudcrypt_gcp._region import Region
from cloudcrypt_gcp._waits import Missing, Still, absence, until

_STATES: Final = {"READY": SnapshotState.READY, "FAILED": SnapshotState.ERROR}


@attrs.frozen
class Snapshots:
    """New snapshots, and those there are."""

    region: Region

    def begin(self, intent: CreateSnapshot, deadline: Deadline) -> Reference:
        """Let GCE take a snapshot, or find the one it has taken; return the reference.

        Raises:
            RequestConflict: there is one of this name, or of this token, which is another one.
            NotFound: there is no such volume.
            OperationFailed: one of this name has failed, and is in the way.
        """
        mark = _marks.of_snapshot(intent, self.region.owner)
        self.region.site.disk(intent.volume_id)
        return until(
            lambda: self._begin(intent, mark, 1, deadline), deadline, "snapshot", intent.name
        )

    def find(self, intent: CreateSnapshot, deadline: Deadline) -> Reference | None:
        """Return the reference of the snapshot if GCE shows it, else None; looks once."""
        existing = self._existing(intent, deadline)
        if existing is None or self._differing(existing, intent):
            return None
        return self._reference(existing, intent, deadline)

    def resume(self, reference: str, intent: CreateSnapshot, deadline: Deadline) -> Snapshot:
        """Wait until the snapshot can be restored.

        Raises:
            OperationFailed: GCE could not take it.
            Vanished: GCE does not show it, and has had time to.
        """
        parsed = Reference.parse(reference)
        mark = _marks.of_snapshot(intent, self.region.owner)

        def again(attempt: int, _: CloudcryptError) -> Reference:
            return until(
                lambda: self._begin(intent, mark, attempt, deadline),
                deadline,
                "snapshot",
                intent.name,
            )

        try:
            parsed = self.region.operations.finished(parsed, self._asked(intent), deadline, again)
        except RequestConflict as error:
            parsed = self._adopted(intent, error, deadline)
        missing = absence(self.region.clock)
        return until(
            lambda: self._ready(parsed, intent, missing, deadline),
            deadline,
            "snapshot",
            intent.name,
        )

    def all(self, name: str | None, deadline: Deadline) -> Iterator[Snapshot]:
        """Yield the snapshots of the owner, or those of a name, oldest first."""
        look = self.region.look
        found: Iterable[SnapshotRecord] = (
            look.snapshots(deadline) if name is None else look.snapshots_named(name, deadline)
        )
        there = (one for one in found if not one.is_going)
        return map(self._snapshot, sorted(there, key=lambda one: one.created))

    def _ready(
        self, reference: Reference, intent: CreateSnapshot, missing: Missing, deadline: Deadline
    ) -> Snapshot | Still:
        key = reference.number or reference.name
        record = self.region.look.snapshot(key, deadline)
        is_other = record is not None and not reference.number and not self._is_mine(record, intent)
        if record is None or record.is_going or is_other:
            if missing.is_over():
                raise Vanished("snapshot", intent.name)
            return Still("not shown yet")
        missing.found()
        snapshot = self._snapshot(record)
        if snapshot.state is SnapshotState.ERROR:
            reason = "GCE gives no reason; the snapshot is left"
            raise OperationFailed("snapshot", snapshot.id, reason)
        return Still(record.status.lower()) if snapshot.state is SnapshotState.PENDING else snapshot

    def _begin(
        self, intent: CreateSnapshot, mark: Mark, attempt: int, deadline: Deadline
    ) -> Reference | Still:
        existing = self._existing(intent, deadline)
        if existing is not None:
            return self._same(existing, intent, deadline)
        self.region.disk(intent.volume_id, deadline)
        target = self.region.site.disk(intent.volume_id)
        parameters = {
            **target.scope.parameters,
            "disk": target.number,
            "snapshot_resource": {
                "name": self._name(intent),
                "description": str(mark),
                "labels": _marks.labels_of(mark, {}),
            },
        }
        try:
            operation = self.region.operations.begin(
                self._asked(intent), parameters, attempt, deadline
            )
        except RequestConflict as error:
            existing = self.region.look.snapshot(self._name(intent), deadline)
            if existing is None:
                return Still("taken by what does not show", error)
            return self._same(existing, intent, deadline)
        except WrongVolumeState as error:
            return Still(error.state, error)
        if operation.number != target.number:
            raise RequestConflict(intent.name, ("volume_id",))
        return Reference(operation.scope, operation.name, name=self._name(intent), attempt=attempt)

    def _existing(self, intent: CreateSnapshot, deadline: Deadline) -> SnapshotRecord | None:
        """Return the snapshot with the token or the name of ``intent``, if there is one."""
        token = _names.token_label(self.region.owner, intent.token)
        found = self.region.look.snapshots_named(intent.name, deadline, token=token)
        mine = (one for one in found if self._is_mine(one, intent))
        return next(mine, None) or next(iter(found), None)

    def _same(
        self, existing: SnapshotRecord, intent: CreateSnapshot, deadline: Deadline
    ) -> Reference | Still:
        """Return the reference of what exists already, if it is what is asked for.

        Raises:
            RequestConflict: it is not.
            OperationFailed: it has failed, and another token than this has made it.
        """
        if not self._is_mine(existing, intent):
            if existing.is_going:  # its name will be free
                error = WrongVolumeState(intent.volume_id, "snapshot being deleted", "a snapshot")
                return Still("deleting", error)
            if existing.status == "FAILED":
                reason = f"{self.region.site.snapshot_id(existing.number)} has failed and has the"
                raise OperationFailed("snapshot", intent.name, f"{reason} name: delete it")
        differing = self._differing(existing, intent)
        if differing:
            raise RequestConflict(intent.name, differing)
        return self._reference(existing, intent, deadline)

    def _differing(self, existing: SnapshotRecord, intent: CreateSnapshot) -> tuple[str, ...]:
        mark, found = existing.mark, self._snapshot(existing)
        same = {
            "generation": found.generation == intent.generation,
            "name": found.name == intent.name,
            "owner": mark is not None and mark.owner == self.region.owner,
            "volume_id": found.volume_id == intent.volume_id,
        }
        return tuple(field for field, is_same in same.items() if not is_same)

    def _reference(
        self, existing: SnapshotRecord, intent: CreateSnapshot, deadline: Deadline
    ) -> Reference:
        """Return the reference of a snapshot: with the operation that took it, if it was this."""
        scope = self.region.site.disk(intent.volume_id).scope
        if not self._is_mine(existing, intent):
            return Reference(scope, number=existing.number)
        named = Reference(scope, name=existing.name)
        return self.region.latest(self._asked(intent), named, deadline) or named

    def _adopted(
        self, intent: CreateSnapshot, error: RequestConflict, deadline: Deadline
    ) -> Reference:
        """Return the snapshot that got the name while ours was on its way to it."""
        existing = self._existing(intent, deadline)
        found = None if existing is None else self._same(existing, intent, deadline)
        if not isinstance(found, Reference):
            raise error
        return attrs.evolve(found, operation="")

    def _is_mine(self, record: SnapshotRecord, intent: CreateSnapshot) -> bool:
        token = _names.token_label(self.region.owner, intent.token)
        return record.mark is not None and record.mark.token == token

    def _name(self, intent: CreateSnapshot) -> str:
        return _names.snapshot_name(self.region.site.region, self.region.owner, intent.name)

    def _asked(self, intent: CreateSnapshot) -> Asked:
        scope = self.region.site.disk(intent.volume_id).scope
        action = f"{DISKS[scope.kind]}.createSnapshot"
        names = {"volume": intent.volume_id, "snapshot": intent.name}
        return Asked(self.region.namespace, intent.token, "snapshot", action, names)

    def _snapshot(self, record: SnapshotRecord) -> Snapshot:
        mark = record.mark
        recorded = None if mark is None else mark.volume
        return Snapshot(
            id=self.region.site.snapshot_id(record.number),
            name=record.name if mark is None else mark.name,
            volume_id=recorded or snapshot_volume(self.region, record),
            size=record.size,
            created=record.created,
            generation=None if mark is None else mark.generation,
            state=_STATES.get(record.status, SnapshotState.PENDING),
        )
