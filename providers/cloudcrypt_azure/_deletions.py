"""Deleting volumes and snapshots: what is gone is deleted."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import attrs

from cloudcrypt.errors import (
    NotFound,
    OperationFailed,
    ProviderUnavailable,
    Throttled,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.spi import DeleteSnapshot, DeleteVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._calls import Call
from cloudcrypt_azure._group import Group
from cloudcrypt_azure._ids import Reference
from cloudcrypt_azure._memory import Begun
from cloudcrypt_azure._records import DiskRecord, SnapshotRecord
from cloudcrypt_azure._shelf import Record, Shelf
from cloudcrypt_azure._sight import Sight
from cloudcrypt_azure._waits import GRACE, Still, absence, settled, until


class _Deletable(Record, Protocol):
    """What can be deleted."""

    @property
    def state(self) -> str:
        """The provisioning state."""
        ...

    @property
    def is_going(self) -> bool:
        """Whether it is being deleted."""
        ...


R = TypeVar("R", bound=_Deletable)


@attrs.frozen
class _Going(Generic[R]):
    """The deletion of one thing: ``what`` it is to a caller, and how it is asked for."""

    group: Group
    shelf: Shelf[R]
    kind: str
    what: str
    unique: str
    call: Callable[[str, Mapping[str, str]], Call]

    def begin(self, token: str, check: Callable[[R], None], deadline: Deadline) -> str:
        """Let Azure delete it, unless it is gone or going; return the reference."""

        def attempt() -> str | Still:
            sight = self.group.sight(lambda: self.shelf.unique(self.unique, deadline))
            record = sight.seen
            if record is None:
                return self._known(token, None)
            if record.is_going:
                return self._known(token, record)
            check(record)
            return self._delete(record, sight, token, deadline)

        return until(attempt, deadline, "deletion", self.what)

    def find(self, token: str, deadline: Deadline) -> str | None:
        """Return the reference if it is going or gone, else None."""

        def look() -> str | None:
            record = self.shelf.unique(self.unique, deadline)
            return self._known(token, record) if record is None or record.is_going else None

        return settled(look, deadline, "deletion", self.what)

    def resume(self, reference: str, deadline: Deadline) -> None:
        """Wait until it is gone."""
        asked = self.group.referred(reference, self.unique)
        progress = self.group.progress(asked, "deletion", {self.kind: self.what})
        missing, was_going = absence(self.group.clock), False

        def look() -> Still | None:
            nonlocal was_going
            state = progress.look(deadline)
            if state is not None:
                return Still(state)
            record = self.shelf.unique(self.unique, deadline)
            if record is None:
                return None if was_going or self._is_away(asked) else Still("not shown")
            was_going = was_going or record.is_going
            if progress.failure is not None:
                raise progress.failure
            if not record.is_going and missing.is_over():
                reason = f"the {self.kind} is {record.state}"
                raise OperationFailed("deletion", self.what, reason)
            return Still(record.state)

        until(look, deadline, "deletion", self.what)

    def _delete(
        self, record: R, sight: Sight[object], token: str, deadline: Deadline
    ) -> str | Still:
        call = self.call(record.name, {"volume": self.what, self.kind: self.what})
        try:
            reply = self.group.api.if_true(call, sight, deadline)
        except NotFound:
            return Still("gone, as Azure says")
        except (ProviderUnavailable, Throttled, WrongVolumeState) as error:
            return Still("not known to be deleted", error)
        operation = self.group.operation(reply.operation)
        reference = str(Reference(record.name, self.unique, operation))
        begun = Begun(record.name, reference, self.unique)
        return self.group.memory.put(self.kind, token, begun).reference

    def _known(self, token: str, record: R | None) -> str:
        """Return the reference of what is so: the same as before, if this process gave one out."""
        begun = self.group.memory.recall(self.kind, token)
        if begun is not None and begun.unique == self.unique:
            return begun.reference
        if record is not None:
            return str(Reference(record.name, self.unique))
        is_sure = self.shelf.is_dead(self.unique)
        now = None if is_sure else round(self.group.clock.now().timestamp(), 3)
        return str(Reference("gone", self.unique, time=now))

    def _is_away(self, asked: Reference) -> bool:
        """Say whether what Azure does not show is deleted.

        It may not show what is new, either. What nobody here has asked it to delete has to stay
        away, from the first look on that did not show it.
        """
        since = asked.time
        return since is None or self.group.clock.now().timestamp() - since >= GRACE


@attrs.frozen
class VolumeDeletions:
    """Volumes that go."""

    group: Group

    def begin(self, intent: DeleteVolume, deadline: Deadline) -> str:
        """Let Azure delete a volume; return the reference. What is gone is deleted.

        Raises:
            VolumeInUse: it is attached.
            WrongVolumeState: it cannot be deleted now.
        """
        going = self._going(intent.volume_id)

        def check(record: DiskRecord) -> None:
            if record.holders:  # Azure refuses that, too; but in words that name no holder
                raise VolumeInUse(intent.volume_id, record.holders[0])

        try:
            return going.begin(intent.token, check, deadline)
        except VolumeInUse as error:
            if error.answer is None:
                raise
            record = self.group.disks.unique(going.unique, deadline)
            holders = () if record is None else record.holders
            holder = holders[0] if holders else error.holder
            raise VolumeInUse(intent.volume_id, holder, answer=error.answer) from error

    def find(self, intent: DeleteVolume, deadline: Deadline) -> str | None:
        """Return the reference if the volume is going or gone, else None."""
        return self._going(intent.volume_id).find(intent.token, deadline)

    def resume(self, reference: str, intent: DeleteVolume, deadline: Deadline) -> None:
        """Wait until the volume is gone.

        Raises:
            OperationFailed: it is not being deleted.
        """
        self._going(intent.volume_id).resume(reference, deadline)

    def _going(self, volume_id: str) -> _Going[DiskRecord]:
        group = self.group
        unique = group.ids.unique_volume(volume_id)
        return _Going(group, group.disks, "volume", volume_id, unique, group.calls.delete_disk)


@attrs.frozen
class SnapshotDeletions:
    """Snapshots that go."""

    group: Group

    def begin(self, intent: DeleteSnapshot, deadline: Deadline) -> str:
        """Let Azure delete a snapshot; return the reference. What is gone is deleted.

        Raises:
            WrongVolumeState: it cannot be deleted now.
        """
        return self._going(intent.snapshot_id).begin(intent.token, _anything, deadline)

    def find(self, intent: DeleteSnapshot, deadline: Deadline) -> str | None:
        """Return the reference if the snapshot is going or gone, else None."""
        return self._going(intent.snapshot_id).find(intent.token, deadline)

    def resume(self, reference: str, intent: DeleteSnapshot, deadline: Deadline) -> None:
        """Wait until the snapshot is gone.

        Raises:
            OperationFailed: it is not being deleted.
        """
        self._going(intent.snapshot_id).resume(reference, deadline)

    def _going(self, snapshot_id: str) -> _Going[SnapshotRecord]:
        group = self.group
        unique = group.ids.unique_snapshot(snapshot_id)
        call = group.calls.delete_snapshot
        return _Going(group, group.snapshots, "snapshot", snapshot_id, unique, call)


def _anything(_record: Any) -> None:  # noqa: ANN401 - nothing keeps a snapshot from going
    """Let it go."""
