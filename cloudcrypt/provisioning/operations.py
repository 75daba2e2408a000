"""How an operation goes from an intent to an outcome, each step in the journal before the next."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import attrs

from cloudcrypt.errors import (
    AttachedElsewhere,
    AttachmentLimit,
    CloudcryptError,
    ModificationLimited,
    NotFound,
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
from cloudcrypt.journal import Entry, Journal, State
from cloudcrypt.journal.entry import UNFINISHED
from cloudcrypt.model import Attachment, Snapshot, Volume, VolumeState
from cloudcrypt.provisioning.request import check_outcome
from cloudcrypt.provisioning.view import View, is_transient
from cloudcrypt.provisioning.wishes import Found, Missing, Wish
from cloudcrypt.spi import CreateSnapshot, CreateVolume, Handle, Intent, VolumeProvider
from cloudcrypt.waiting import Clock, Deadline, retrying

T = TypeVar("T")

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
            if entry is None:
                seen = wish.look(view)
                if isinstance(seen, Found):
                    return seen.value
                entry = self._store(wish, seen, view)
            try:
                outcome: T = self.carry_out(entry, deadline)
            except CloudcryptError as error:
                tries -= 1
                if tries <= 0 or not self._is_burnt(entry, error):
                    raise
                entry = None
            else:
                return outcome

    def finish(self, entry: Entry, deadline: Deadline) -> None:
        """Take ``entry``, of which nothing more is known, to its end.

        Raises:
            CloudcryptError: why it could not be, or that it has failed.
        """
        self.carry_out(entry, deadline, may_be_lost=True)

    def carry_out(self, entry: Entry, deadline: Deadline, *, may_be_lost: bool = False) -> Any:  # noqa: ANN401  # what the intent's class says
        """Take ``entry`` to its end and return its outcome.

        Args:
            entry: unfinished.
            deadline: until when to wait.
            may_be_lost: whether it may have been begun by a caller who did not get the answer.
        """
        if entry.state is State.PENDING:
            entry = self._begin(entry, deadline, may_be_lost=may_be_lost)
        return self._resume(entry, deadline)

    def _left_over(self, wish: Wish[T], view: View) -> Entry | None:
        """End what is unfinished about the subject; return the very wish, if it was never begun.

        How that ends is recorded; whether the wish is true by then is for a look to say.
        """
        for entry in self.journal.entries(
            provider=self.provider.url, subject=wish.subject, states=UNFINISHED
        ):
            is_same = wish.intent(entry.intent.token) == entry.intent
            if entry.state is State.PENDING:
                handle = self._found(entry.intent, view)
                if handle is None and is_same:
                    return entry
                if handle is None:
                    self._give_up(entry, "given up before the provider had accepted it")
                    continue
                entry = self._accept(entry, handle)  # noqa: PLW2901  # the same one, later
            if wish.overrides(entry) and not is_same:
                self._give_up(entry, "overridden while it was under way")
            else:
                with suppress(*ENDED):
                    self._resume(entry, view.deadline)
        return None

    def _found(self, intent: Intent[Any], view: View) -> Handle[Any] | None:
        return view.ask(lambda: self.provider.find(intent, deadline=view.deadline))

    def _store(self, wish: Wish[T], seen: Missing, view: View) -> Entry:
        """Store the intent of a new operation."""
        intent: Intent[Any] = wish.intent("-")
        attempt, token = 1, self.randomness(16)
        if isinstance(intent, CreateVolume | CreateSnapshot):
            last = view.newest(wish.subject, type(intent))
            attempt = 1 if last is None else last.attempt + 1
            token = shared_token(self.provider.url, intent, attempt)
        now = self.clock.now()
        return self.journal.add(
            Entry(
                id=self.randomness(8),
                provider=self.provider.url,
                subject=wish.subject,
                intent=wish.intent(token),
                attempt=attempt,
                begun=now,
                changed=now,
                blank=seen.blank,
            )
        )

    def _begin(self, entry: Entry, deadline: Deadline, *, may_be_lost: bool) -> Entry:
        intent, lost = entry.intent, may_be_lost

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
                if not error.retryable:
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
                is_safe=is_transient,
            )
            check_outcome(entry.intent, outcome, unit=unit)
        except ENDED as error:
            self._fail(entry, error)
            raise
        self._change(entry, state=State.DONE, outcome=_id_of(outcome))
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
            case RequestConflict():
                return error.name == intent.token
            case _:
                return False

    def _accept(self, entry: Entry, handle: Handle[Any]) -> Entry:
        return self._change(entry, state=State.ACCEPTED, reference=handle.reference)

    def _give_up(self, entry: Entry, why: str) -> None:
        self._change(entry, state=State.FAILED, error=why)

    def _fail(self, entry: Entry, error: CloudcryptError) -> None:
        self._give_up(entry, f"{type(error).__name__}: {error.message}")

    def _change(self, entry: Entry, **facts: object) -> Entry:
        changed: dict[str, Any] = {**facts, "changed": self.clock.now()}
        return self.journal.replace(entry, attrs.evolve(entry, **changed))


def shared_token(provider: str, intent: CreateVolume | CreateSnapshot, attempt: int) -> str:
    """Return the token of an attempt to make something of a name.

    It is the same on every host, so that two of them that make the same name at once make one. An
    attempt that failed has burnt its token at some clouds; the next one has another.
    """
    facts = [provider, type(intent).__name__, intent.name, attempt]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


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
