"""What the journal says of an operation, and the protocol of a store that keeps it."""

import enum
from collections.abc import Collection
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final, Protocol

import attrs

from cloudcrypt.spi import Handle, Intent
from cloudcrypt.waiting import Deadline


class State(enum.Enum):
    """How far an operation is."""

    PENDING = "pending"
    """The intent is stored. Whether the cloud has it is not known: the answer may be lost."""
    ACCEPTED = "accepted"
    """The cloud has accepted it, and its handle is stored."""
    DONE = "done"
    """It has succeeded."""
    FAILED = "failed"
    """It was refused, has failed after it was accepted, or was given up before."""


UNFINISHED: Final = (State.PENDING, State.ACCEPTED)
"""The states that somebody still has to do something about."""

ALL_STATES: Final = tuple(State)


class OnBusy(enum.Enum):
    """What a caller does while another one is at work on the same subject."""

    WAIT = "wait"
    """Wait for it, until the deadline."""
    RAISE = "raise"
    """Raise `OperationBusy` at once."""


@attrs.frozen
class Entry:
    """One operation, from its intent to its outcome. Without secrets.

    ``namespace`` is that of the provider that was asked, ``provider`` its URL, for people to see:
    several URLs may lead to one namespace. ``subject`` is what the operation works on, in words:
    an operation excludes all others on the same subject of the namespace. ``attempt`` counts the
    operations that make one thing of one name, from 1. ``begun`` and ``changed`` are when the
    intent was stored and when the entry last changed, in UTC.

    ``blank`` says that the volume which the operation makes, or made, is known to be empty: nothing
    of its name existed when the intent was stored, it has no source, this journal is its maker, and
    nobody has been told yet.
    ``reference`` is that of the handle, once accepted. ``outcome`` is the id of the volume or
    snapshot of an operation that is done; ``error`` says why one has failed.
    """

    id: str
    namespace: str
    provider: str
    subject: str
    intent: Intent[Any]
    attempt: int
    begun: datetime
    changed: datetime
    state: State = State.PENDING
    blank: bool = False
    reference: str | None = None
    outcome: str | None = None
    error: str | None = None

    @property
    def operation(self) -> str:
        """The name of the operation: that of the intent's class."""
        return type(self.intent).__name__

    @property
    def handle(self) -> Handle[Any] | None:
        """The handle, once the operation was accepted."""
        return None if self.reference is None else Handle(self.intent, self.reference)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to be done."""
        return self.state not in UNFINISHED


class Journal(Protocol):
    """A store of entries, durable when a method returns. Safe across threads and processes."""

    @property
    def id(self) -> str:
        """The random id of this journal, for ever: the maker of what is made through it."""
        ...

    def get(self, operation_id: str) -> Entry | None:
        """Return the entry with this id, or None if there is none.

        Raises:
            JournalUnavailable: the store could not tell; that is not "none".
        """
        ...

    def add(self, entry: Entry) -> Entry:
        """Add the entry of a new operation.

        Raises:
            OperationBusy: another operation on the same subject is unfinished.
            JournalUnavailable: nothing is known to be stored.
        """
        ...

    def replace(self, old: Entry, new: Entry) -> Entry:
        """Put ``new`` in the place of ``old`` and return it; both have the same id.

        Raises:
            OperationBusy: the entry is not ``old`` any more; another caller was here.
            JournalUnavailable: nothing is known to be stored.
        """
        ...

    def entries(
        self,
        *,
        namespace: str | None = None,
        subject: str | None = None,
        operation: str | None = None,
        outcome: str | None = None,
        states: Collection[State] = ALL_STATES,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Return the entries that agree with all that is given, newest first.

        Args:
            namespace: that of the provider that was asked.
            subject: what they work on.
            operation: the name of an intent's class.
            outcome: what an operation that is done made or changed.
            states: any of these.
            limit: how many at most.
        """
        ...

    def prune(self, before: datetime) -> int:
        """Remove entries that were finished ``before``; return how many. Idempotent.

        The last one about a thing that took more than one attempt stays, whatever its age: the
        tokens of its attempts must not be used again. So does the deletion of a volume whose
        creation stays: it says that the volume is meant to be gone.
        """
        ...

    def hold(
        self,
        namespace: str,
        subject: str,
        *,
        deadline: Deadline,
        on_busy: OnBusy = OnBusy.WAIT,
    ) -> AbstractContextManager[None]:
        """Within the block, keep all others on this host away from ``subject`` of ``namespace``.

        Whoever dies within the block gives it up. Not reentrant.

        Raises:
            OperationBusy: another caller is at work on it: now, or still at the deadline.
            OperationCancelled: the caller cancelled.
        """
        ...
