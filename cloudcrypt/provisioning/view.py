"""What exists at a provider, and what the journal says of it. Changes nothing."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import attrs

from cloudcrypt.errors import (
    CloudcryptError,
    NotFound,
    OperationFailed,
    ProviderUnavailable,
    Throttled,
)
from cloudcrypt.journal import Entry, Journal, State
from cloudcrypt.model import Snapshot, SnapshotState, Volume, VolumeState, check_volume_id
from cloudcrypt.spi import DeleteVolume, Handle, Intent, VolumeProvider
from cloudcrypt.waiting import Deadline, retrying

T = TypeVar("T")

USABLE: Final = (VolumeState.AVAILABLE, VolumeState.ATTACHED)
"""The states of a volume that is completely there."""
_NO_MORE: Final = (VolumeState.DELETING, VolumeState.ERROR)


def is_transient(error: CloudcryptError) -> bool:
    """Say whether the same question may well be answered a little later."""
    return isinstance(error, ProviderUnavailable | Throttled)


def subject_of_volume(volume_id: str) -> str:
    """Return the subject of operations on a volume."""
    return f"volume {check_volume_id(volume_id)}"


@attrs.frozen
class View:
    """The provider and the journal as one caller sees them until its deadline."""

    provider: VolumeProvider
    journal: Journal
    deadline: Deadline

    def ask(self, question: Callable[[], T]) -> T:
        """Return the answer to a question that changes nothing, asked again while that helps."""
        return retrying(question, deadline=self.deadline, is_safe=is_transient)

    def volume(self, volume_id: str) -> Volume:
        """Return the volume.

        Raises:
            NotFound: there is none.
        """
        return self.ask(lambda: self.provider.get(volume_id))

    def volume_named(self, name: str, made: Entry | None) -> Volume | None:
        """Return the volume of this name, if there is one.

        One that is being deleted, or has failed, is none: it is left to whoever looks after it.

        Args:
            name: the name.
            made: the creation that is done of a volume of this name, if the journal has one.
        """
        known = None if made is None else self._made_by(made)
        if known is not None and known.state not in _NO_MORE:
            return known
        named = self.ask(lambda: tuple(self.provider.list(name=name)))
        return next((each for each in named if each.state not in _NO_MORE), None)

    def _made_by(self, made: Entry) -> Volume | None:
        """Return the volume that a creation made, unless it is gone for sure.

        A cloud may not show, for a moment, what is there; its handle waits for that. What was
        deleted through the journal is not waited for.
        """
        handle: Handle[Volume] = Handle(made.intent, made.reference or "")
        volume_id = made.outcome or ""
        try:
            return self.volume(volume_id)
        except NotFound:
            if self.newest(subject_of_volume(volume_id), DeleteVolume, State.DONE) is not None:
                return None
            with suppress(NotFound, OperationFailed):
                return self.ask(lambda: self.provider.resume(handle, deadline=self.deadline))
            return None

    def snapshot_named(self, name: str) -> Snapshot | None:
        """Return the snapshot of this name, if there is one that has not failed."""
        named = self.ask(lambda: tuple(self.provider.snapshots(name=name)))
        return next((each for each in named if each.state is not SnapshotState.ERROR), None)

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """Return the snapshot, if there is one."""
        found = self.ask(lambda: tuple(self.provider.snapshots()))
        return next((each for each in found if each.id == snapshot_id), None)

    def newest(
        self,
        subject: str,
        operation: type[Intent[Any]],
        *states: State,
        instance: str | None = None,
    ) -> Entry | None:
        """Return the newest entry about ``subject``, in any of ``states`` or in any at all.

        With ``instance``, of those to attach there or to detach from there.
        """
        found = self.journal.entries(
            namespace=self.provider.namespace,
            subject=subject,
            operation=operation.__name__,
            states=states or tuple(State),
            limit=1 if instance is None else None,
        )
        named = (one for one in found if instance in (None, getattr(one.intent, "instance", None)))
        return next(named, None)
