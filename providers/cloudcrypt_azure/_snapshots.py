"""Snapshots: incremental copies in the background; as for disks, nothing is written over."""

from collections.abc import Iterator
from typing import Final

import attrs

from cloudcrypt.errors import (
    CloudRefused,
    InvalidRequest,
    NotFound,
    OperationFailed,
    ProviderError,
    ProviderUnavailable,
    RequestConflict,
    RequestError,
    RequestRejected,
    Throttled,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.model import GENERATION_MAX, Snapshot
from cloudcrypt.spi import CreateSnapshot
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure import _tags
from cloudcrypt_azure._group import Group
from cloudcrypt_azure._ids import Reference
from cloudcrypt_azure._memory import Begun
from cloudcrypt_azure._polling import Progress
from cloudcrypt_azure._records import DiskRecord, SnapshotRecord
from cloudcrypt_azure._slots import existing_or_free, in_use
from cloudcrypt_azure._volumes import to_snapshot
from cloudcrypt_azure._waits import FIRST, Missing, Still, absence, settled, until

_KIND: Final = CreateSnapshot.__name__


@attrs.define
class _Begin:
    """One call of `Snapshots.begin`; ``is_lost``: one of its PUTs was not answered."""

    intent: CreateSnapshot
    deadline: Deadline
    is_lost: bool = False


@attrs.frozen
class Snapshots:
    """New snapshots, and those there are."""

    group: Group

    def begin(self, intent: CreateSnapshot, deadline: Deadline) -> str:
        """Let Azure take a snapshot, or find the one it has taken; return the reference.

        Raises:
            RequestConflict: there is one of this name, or of this token, which is another one.
            NotFound: there is no such volume.
        """
        if intent.generation is not None and intent.generation > GENERATION_MAX:
            raise InvalidRequest("generation", intent.generation, f"1 to {GENERATION_MAX}")
        self.group.ids.unique_volume(intent.volume_id)
        _tags.of_snapshot(intent, self.group.owner)
        begun = self.group.memory.recall(_KIND, intent.token)
        if begun is not None:
            return self._again(begun, intent, deadline)
        asked = _Begin(intent, deadline)
        return until(lambda: self._attempt(asked), deadline, "snapshot", intent.volume_id)

    def find(self, intent: CreateSnapshot, deadline: Deadline) -> str | None:
        """Return the reference of the snapshot if Azure has it, else None."""
        begun = self.group.memory.recall(_KIND, intent.token)

        def look() -> SnapshotRecord | None:
            found = self._existing(intent, deadline)
            return found if isinstance(found, SnapshotRecord) and not found.is_going else None

        record = settled(look, deadline, "snapshot", intent.name)
        if record is None or self._differing(record, intent):
            return None
        if begun is not None and begun.azure_name == record.name:
            return begun.reference
        return str(Reference(record.name, record.unique or None))

    def resume(self, reference: str, intent: CreateSnapshot, deadline: Deadline) -> Snapshot:
        """Wait until the snapshot can be restored.

        Raises:
            OperationFailed: Azure could not take it. It is left as it is.
            RequestConflict: another writer made something else of it at the same moment.
            Vanished: Azure does not show it, and has had time to.
        """
        asked = self.group.referred(reference)
        progress = self.group.progress(asked, "snapshot", {"snapshot": intent.name})
        missing = absence(self.group.clock)

        def look() -> Snapshot | Still:
            state = progress.look(deadline)
            if state is not None:
                return Still(state)
            record = self.group.snapshots.named(asked.name, deadline)
            if record is None or asked.unique not in {None, record.unique}:
                return self._absent(asked, record, missing, progress, intent)
            missing.found()
            return self._judged(record, progress, intent)

        snapshot = until(look, deadline, "snapshot", intent.name)
        unique = self.group.ids.unique_snapshot(snapshot.id)
        self.group.memory.shown(_KIND, intent.token, unique)
        return snapshot

    def all(self, name: str | None, deadline: Deadline) -> Iterator[Snapshot]:
        """Yield the owner's snapshots, oldest first; of one ``name`` only, if there is one."""
        if name is None:
            found = list(self.group.snapshots.all(deadline))
        else:
            named = in_use(self.group.snapshots, name, deadline)
            found = [one for one in named if isinstance(one, SnapshotRecord)]
        shown = [one for one in found if one.unique]  # else Azure is about to take it
        ours = [one for one in shown if _tags.is_of(one.tags, self.group.owner, name)]
        for record in sorted(ours, key=lambda record: record.created):
            yield to_snapshot(self.group.ids, record)

    def _attempt(self, asked: _Begin) -> str | Still:
        name = f"snapshot {asked.intent.name}"
        with self.group.locks.hold(name, asked.deadline) as is_held:
            if not is_held:
                return Still("being taken by another caller of this process")
            return self._attempt_alone(asked)

    def _attempt_alone(self, asked: _Begin) -> str | Still:
        intent, deadline = asked.intent, asked.deadline
        existing = self._existing(intent, deadline)
        if isinstance(existing, str):
            deadline.sleep(FIRST)  # one look may be old; the second is that of `sight`
            return self._put(existing, asked)
        if existing.is_going:
            refusal = WrongVolumeState(intent.volume_id, existing.state, "a snapshot")
            return Still(existing.state, refusal)
        differing = self._differing(existing, intent)
        if differing:
            raise RequestConflict(intent.name, differing)
        unique = existing.unique or None
        begun = Begun(existing.name, str(Reference(existing.name, unique)), unique)
        return self.group.memory.keep(_KIND, intent.token, begun).reference

    def _put(self, azure_name: str, asked: _Begin) -> str | Still:
        """Write to a name that nothing has, as two looks say."""
        intent, deadline = asked.intent, asked.deadline
        sight = self.group.sight(
            lambda: (
                self.group.volume(intent.volume_id, deadline),
                self.group.snapshots.named(azure_name, deadline),
            )
        )
        disk, taken = sight.seen
        if taken is not None:
            return Still("taken meanwhile")
        names = {"volume": intent.volume_id, "snapshot": intent.name}
        call = self.group.calls.put_snapshot(azure_name, self._body(disk, intent), names)
        try:
            reply = self.group.api.if_true(call, sight, deadline)
        except (ProviderUnavailable, Throttled, WrongVolumeState) as error:
            asked.is_lost = asked.is_lost or isinstance(error, ProviderUnavailable)
            return Still("not known to be taken", error)  # or another one is at it: look
        except (RequestError, ProviderError) as error:
            return self._refused(error, azure_name, asked)
        reference = str(Reference(azure_name, operation=self.group.operation(reply.operation)))
        begun = Begun(azure_name, reference)
        return self.group.memory.keep(_KIND, intent.token, begun).reference

    def _refused(
        self, error: RequestError | ProviderError, azure_name: str, asked: _Begin
    ) -> Still:
        """Say what a refusal means: that nothing was taken, unless an earlier request did it."""
        intent, deadline = asked.intent, asked.deadline
        if asked.is_lost:

            def look() -> SnapshotRecord | None:
                found = self._existing(intent, deadline)
                return found if isinstance(found, SnapshotRecord) else None

            if settled(look, deadline, "snapshot", intent.name, cause=error) is not None:
                return Still("taken by a request that was answered to nobody")
        if isinstance(error, CloudRefused | RequestConflict | RequestRejected):
            record = self.group.snapshots.named(azure_name, deadline)
            if record is not None:
                raise RequestConflict(
                    intent.name, self._differing(record, intent), answer=error.answer
                ) from error
        raise error

    def _body(self, disk: DiskRecord, intent: CreateSnapshot) -> dict[str, object]:
        return {
            "location": disk.location,
            "tags": _tags.of_snapshot(intent, self.group.owner),
            "properties": {
                "creationData": {"createOption": "Copy", "sourceResourceId": disk.id},
                "incremental": True,  # of what has changed since the one before
                "networkAccessPolicy": "DenyAll",
                "publicNetworkAccess": "Disabled",
            },
        }

    def _existing(self, intent: CreateSnapshot, deadline: Deadline) -> SnapshotRecord | str:
        """Return the snapshot with the name of ``intent`` that counts, or the name that is free.

        What failed to be taken counts for its own token only, so that another attempt is one.
        """

        def is_left(record: SnapshotRecord) -> bool:
            is_ours = _tags.is_of(record.tags, self.group.owner, intent.name)
            is_this = _tags.tag(record.tags, _tags.TOKEN_TAG) == intent.token
            return record.is_stillborn and is_ours and not is_this

        return existing_or_free(self.group.snapshots, intent.name, is_left, deadline)

    def _again(self, begun: Begun, intent: CreateSnapshot, deadline: Deadline) -> str:
        """Return the reference of what this process began by the same token.

        Raises:
            RequestConflict: that was another intent.
            Vanished: it was there, and is no more.
        """
        if begun.unique is not None:
            record = self.group.snapshots.unique(begun.unique, deadline)
            if record is None or record.is_going:
                raise Vanished("snapshot", self.group.ids.snapshot(begun.unique))
        else:
            record = self.group.snapshots.named(begun.azure_name, deadline)
        differing = () if record is None else self._differing(record, intent)
        if differing:
            raise RequestConflict(intent.name, differing)
        return begun.reference

    def _differing(self, record: SnapshotRecord, intent: CreateSnapshot) -> tuple[str, ...]:
        """Return the fields in which a snapshot is not what ``intent`` asks for, sorted."""
        found = to_snapshot(self.group.ids, record)
        unique = self.group.ids.unique_volume(intent.volume_id)
        same = {
            "generation": found.generation == intent.generation,
            "name": _tags.tag(record.tags, _tags.NAME_TAG) == intent.name,
            "owner": _tags.is_of(record.tags, self.group.owner),
            "volume_id": found.volume_id == intent.volume_id
            and record.source_unique in {None, unique},
        }
        return tuple(field for field, is_same in same.items() if not is_same)

    def _absent(
        self,
        asked: Reference,
        record: SnapshotRecord | None,
        missing: Missing,
        progress: Progress,
        intent: CreateSnapshot,
    ) -> Still:
        """Say what it means that Azure does not show the snapshot."""
        if progress.failure is not None:
            raise progress.failure
        name = intent.name if asked.unique is None else self.group.ids.snapshot(asked.unique)
        if record is not None or missing.is_over():
            raise Vanished("snapshot", name)
        return Still("not shown yet")

    def _judged(
        self,
        record: SnapshotRecord,
        progress: Progress,
        intent: CreateSnapshot,
    ) -> Snapshot | Still:
        snapshot = to_snapshot(self.group.ids, record)
        if record.is_going:
            raise NotFound("snapshot", snapshot.id)
        if record.is_stillborn:
            reason = f"the snapshot is {record.state}, and Azure gives no reason"
            raise progress.failure or OperationFailed("snapshot", snapshot.id, reason)
        differing = self._differing(record, intent)
        if differing:
            raise RequestConflict(intent.name, differing)
        if not record.is_ready:
            return Still(f"{record.state}, {record.percent:.0f} %")
        return snapshot
