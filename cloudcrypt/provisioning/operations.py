"""How an operation goes from an intent to an outcome, each step in the journal before the next."""

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, TypeVar

import attrs

from cloudcrypt.errors import (
    AttachedElsewhere,
    AttachmentLimit,
    CloudcryptError,
    ModificationLimited,
    NotFound,
    OperationBusy,
    OperationFailed,
    OutOfCapacity,
    ProviderError,
    QuotaExceeded,
    RequestConflict,
    RequestError,
    Throttled,
    Vanished,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.journal import Entry, Journal, OnBusy, State
from cloudcrypt.journal.entry import UNFINISHED
from cloudcrypt.model import Attachment, Snapshot, Volume, VolumeState
from cloudcrypt.provisioning.request import check_outcome
from cloudcrypt.provisioning.view import View, is_transient
from cloudcrypt.provisioning.wishes import Found, Missing, Wish
from cloudcrypt.spi import (
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    Handle,
    Intent,
    VolumeProvider,
)
from cloudcrypt.waiting import Clock, Deadline, retrying

T = TypeVar("T")

NEVER_ACCEPTED: Final = "given up before the provider had accepted it"

ENDED: Final = (
    AttachedElsewhere,
    AttachmentLimit,
    ModificationLimited,
    NotFound,
    OperationFailed,
    OutOfCapacity,
    QuotaExceeded,
    RequestError,
    VolumeInUse,
)
"""What ends an operation that was accepted. After any other error it may still be under way."""

REMOVING: Final = (DeleteSnapshot, DeleteVolume, DetachVolume)
"""What takes something away: begun by a caller who wishes for it now, or names it; by no other."""


@attrs.frozen
class Operations:
    """The operations of one provider, kept in one journal.

    Every method expects that its caller holds the subject. ``randomness`` returns that many random
    bytes in hex, ``attempts`` is how often one call tries to make one thing.
    """

    provider: VolumeProvider
    journal: Journal
    clock: Clock
    attempts: int
    randomness: Callable[[int], str]

    def ensure(self, wish: Wish[T], deadline: Deadline) -> T:
        """Make ``wish`` true, unless it is, and return its value."""
        view = View(self.provider, self.journal, deadline)
        entry = self._left_over(wish, view)
        tries = self.attempts
        while True:
            seen = Missing() if entry is not None else wish.look(view)
            if isinstance(seen, Missing):
                entry = entry or self._store(wish, seen, view)
                try:
                    seen = Found[T](self._carry_out(entry, deadline))
                except CloudcryptError as error:
                    tries -= 1
                    if tries <= 0 or not self._is_burnt(entry, error):
                        raise
                    entry = None
                    continue
            if self._stays(wish.end(seen.value), view):
                return seen.value
            entry = None

    def finish(self, entry: Entry, deadline: Deadline, *, is_named: bool) -> None:
        """Take ``entry``, of which nothing more is known, to its end.

        Args:
            entry: unfinished.
            deadline: until when to wait.
            is_named: whether the caller means this very one. Else, if it takes something away and
                was never accepted, it is given up: an old wish does not come true by surprise.

        Raises:
            CloudcryptError: why it could not be, or that it has failed.
        """
        accepted = self._accepted(entry, View(self.provider, self.journal, deadline))
        if accepted is None and isinstance(entry.intent, REMOVING) and not is_named:
            self._give_up(entry, NEVER_ACCEPTED)
        else:
            self._carry_out(accepted or entry, deadline)

    def _carry_out(self, entry: Entry, deadline: Deadline) -> Any:  # noqa: ANN401  # what the intent's class says
        """Take ``entry``, which nobody has an answer to, to its end and return its outcome."""
        if entry.state is State.PENDING:
            entry = self._begin(entry, deadline)
        return self._resume(entry, deadline)

    def _left_over(self, wish: Wish[T], view: View) -> Entry | None:
        """End what is unfinished about the subject; return the very wish, if it was never begun.

        How that ends is recorded; whether the wish is true by then is for a look to say.
        """
        for entry in self._unfinished(wish.subject):
            is_same = wish.intent(entry.intent.token) == entry.intent
            accepted = self._accepted(entry, view)
            if accepted is None and is_same:
                return entry
            if accepted is None:
                self._give_up(entry, NEVER_ACCEPTED)
            elif wish.overrides(accepted) and not is_same:
                self._give_up(accepted, "overridden while it was under way")
            else:
                with suppress(*ENDED):
                    self._resume(accepted, view.deadline)
        return None

    def _stays(self, end: Wish[None] | None, view: View) -> bool:
        """Say whether nothing is under way that makes ``end`` true; see to it that it stays so.

        What was never accepted is given up, what was is taken to its end. What another caller is at
        work on is its own.
        """
        if end is None or not self._ends(end):
            return True
        try:
            with self._held(end.subject, view.deadline):
                for entry in self._ends(end):
                    accepted = self._accepted(entry, view)
                    if accepted is not None:
                        with suppress(*ENDED):
                            self._resume(accepted, view.deadline)
                        return False
                    self._give_up(entry, NEVER_ACCEPTED)
        except OperationBusy:
            pass
        return True

    def _ends(self, end: Wish[None]) -> list[Entry]:
        kind = type(end.intent("-"))
        return [entry for entry in self._unfinished(end.subject) if isinstance(entry.intent, kind)]

    def _held(self, subject: str, deadline: Deadline) -> AbstractContextManager[None]:
        namespace = self.provider.namespace
        return self.journal.hold(namespace, subject, deadline=deadline, on_busy=OnBusy.RAISE)

    def _unfinished(self, subject: str) -> tuple[Entry, ...]:
        namespace = self.provider.namespace
        return self.journal.entries(namespace=namespace, subject=subject, states=UNFINISHED)

    def _accepted(self, entry: Entry, view: View) -> Entry | None:
        """Return ``entry``, unfinished, once accepted; None if the provider does not know it."""
        if entry.state is State.ACCEPTED:
            return entry
        handle = view.ask(lambda: self.provider.find(entry.intent, deadline=view.deadline))
        return None if handle is None else self._accept(entry, handle)

    def _store(self, wish: Wish[T], seen: Missing, view: View) -> Entry:
        """Store the intent of a new operation."""
        intent: Intent[Any] = wish.intent("-")
        attempt, token = 1, self.randomness(16)
        if isinstance(intent, CreateVolume | CreateSnapshot):
            last = view.newest(wish.subject, type(intent))
            attempt = 1 if last is None else last.attempt + 1
            token = shared_token(self.provider.namespace, intent, attempt)
        now = self.clock.now()
        return self.journal.add(
            Entry(
                id=self.randomness(8),
                namespace=self.provider.namespace,
                provider=self.provider.url,
                subject=wish.subject,
                intent=wish.intent(token),
                attempt=attempt,
                begun=now,
                changed=now,
                blank=seen.blank,
            )
        )

    def _begin(self, entry: Entry, deadline: Deadline) -> Entry:
        intent, lost = entry.intent, False

        def attempt() -> Handle[Any]:
            nonlocal lost
            was_lost, lost = lost, True
            handle = self.provider.find(intent, deadline=deadline) if was_lost else None
            if handle is not None:
                return handle
            try:
                return self.provider.begin(intent, deadline=deadline)
            except (Throttled, WrongVolumeState):
                lost = was_lost  # this one was answered: nothing was done
                raise
            except (RequestError, ProviderError) as error:
                if not error.retryable and not (was_lost and _leaves_doubt(intent, error)):
                    self._fail(entry, error)
                raise

        handle = retrying(
            attempt,
            deadline=deadline,
            is_safe=lambda error: is_transient(error) or _will_pass(error),
        )
        return self._accept(entry, handle)

    def _resume(self, entry: Entry, deadline: Deadline) -> object:
        handle = Handle(entry.intent, entry.reference or "")
        unit = self.provider.capabilities.size_unit
        try:
            outcome = retrying(
                lambda: self.provider.resume(handle, deadline=deadline),
                deadline=deadline,
                is_safe=lambda error: is_transient(error) or _will_pass(error),
            )
            check_outcome(entry.intent, outcome, unit=unit)
        except ENDED as error:
            self._fail(entry, error)
            raise
        # Somebody else may have made it under the same name and token, and written to it since.
        is_ours = isinstance(outcome, Volume) and outcome.maker == self.journal.id
        is_blank = entry.blank and is_ours
        self._change(entry, state=State.DONE, outcome=_id_of(outcome), blank=is_blank)
        return outcome

    def _is_burnt(self, entry: Entry, error: CloudcryptError) -> bool:
        """Say whether the token of ``entry`` leads nowhere any more, and a new one may."""
        intent = entry.intent
        if not isinstance(intent, CreateVolume | CreateSnapshot):
            return False
        now = self.journal.get(entry.id)
        if now is None or now.state is not State.FAILED:
            return False
        match error:
            case OperationFailed() | Vanished():
                return True
            case NotFound():
                return now.reference is not None
            case _:
                return _names_token(intent, error)

    def _accept(self, entry: Entry, handle: Handle[Any]) -> Entry:
        return self._change(entry, state=State.ACCEPTED, reference=handle.reference)

    def _give_up(self, entry: Entry, why: str) -> None:
        self._change(entry, state=State.FAILED, error=why)

    def _fail(self, entry: Entry, error: CloudcryptError) -> None:
        self._give_up(entry, f"{type(error).__name__}: {error.message}")

    def _change(self, entry: Entry, **facts: object) -> Entry:
        changed: dict[str, Any] = {**facts, "changed": self.clock.now()}
        return self.journal.replace(entry, attrs.evolve(entry, **changed))


def shared_token(namespace: str, intent: CreateVolume | CreateSnapshot, attempt: int) -> str:
    """Return the token of an attempt to make something of a name.

    It is the same on every host, so that two of them that make the same name at once make one. An
    attempt that failed has burnt its token at some clouds; the next one has another.
    """
    facts = [namespace, type(intent).__name__, intent.name, attempt]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _names_token(intent: Intent[Any], error: CloudcryptError) -> bool:
    return isinstance(error, RequestConflict) and error.name == intent.token


def _leaves_doubt(intent: Intent[Any], error: CloudcryptError) -> bool:
    """Say whether an earlier request, whose answer was lost, may be done although this one is not.

    The same token has to be used then until one request is answered at once: a new one might make
    the thing a second time.
    """
    is_creation = isinstance(intent, CreateVolume | CreateSnapshot)
    return is_creation and not (isinstance(error, Vanished) or _names_token(intent, error))


def _will_pass(error: CloudcryptError) -> bool:
    """Say whether a volume is in a state that ends by itself."""
    return isinstance(error, WrongVolumeState) and error.state != VolumeState.ERROR.value


def _id_of(outcome: object) -> str | None:
    match outcome:
        case Volume() | Snapshot():
            return outcome.id
        case Attachment():
            return outcome.volume_id
        case _:
            return None
