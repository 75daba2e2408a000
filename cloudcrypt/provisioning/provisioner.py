"""`Provisioner`: makes sure that volumes are as wished for, once, whatever is lost on the way."""

import secrets
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, TypeVar

import attrs

from cloudcrypt.errors import (
    CloudcryptError,
    InvalidRequest,
    OperationUnknown,
    UnsupportedOperation,
)
from cloudcrypt.journal import Entry, Journal, OnBusy
from cloudcrypt.journal.entry import UNFINISHED
from cloudcrypt.model import Attachment, Snapshot, Volume
from cloudcrypt.provisioning.many import CONCURRENCY, Report, Results, Step, Tally, for_each
from cloudcrypt.provisioning.operations import Operations
from cloudcrypt.provisioning.request import VolumeRequest
from cloudcrypt.provisioning.wishes import (
    Attached,
    Detached,
    Existing,
    Gone,
    Modified,
    Sized,
    SnapshotGone,
    Taken,
    Wish,
)
from cloudcrypt.spi import VolumeProvider
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline

T = TypeVar("T")

ATTEMPTS: Final = 3
"""How often one call tries to make one thing whose creation the cloud accepts and then fails."""


@attrs.frozen
class Resumption:
    """An operation after `Provisioner.resume_all`: its entry, and what went wrong, if so.

    One that was given up has no error; its entry is ``FAILED`` and says why.
    """

    entry: Entry
    error: CloudcryptError | None = None


class Provisioner:
    """The control plane's verbs. Safe to use from several threads, for any volumes.

    Every verb is idempotent: it looks first, asks the provider for what is missing only, and called
    again after a crash, in any process of this host, it finishes the operation that it began. A
    wait that fails undoes nothing: the operation stays in the journal, and goes on at the cloud.

    Of callers who work on the same volume, or create the same name, one waits for the other, or
    gets `OperationBusy`, as ``on_busy`` says. A ``deadline`` of None is `waiting.PATIENCE` seconds.

    Besides what is listed there, every verb raises:

    - `JournalUnavailable`: the journal cannot tell or store; the provider was asked nothing new.
    - `OperationBusy`: another caller is at work on the same thing: now, or still at the deadline.
    - `OperationPending`: it is under way, and the deadline is over; ask again, or `resume`.
    - `OperationCancelled`: the caller cancelled; as `OperationPending`.
    - `ProviderError`: the provider's own last word.
    """

    def __init__(
        self,
        provider: VolumeProvider,
        journal: Journal,
        *,
        clock: Clock = SYSTEM_CLOCK,
        on_busy: OnBusy = OnBusy.WAIT,
        attempts: int = ATTEMPTS,
        randomness: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        """Act with these parts; the caller closes them.

        Args:
            provider: whom to ask.
            journal: where operations are kept; all processes of a host should share one.
            clock: the time.
            on_busy: what to do while another caller is at work on the same thing.
            attempts: how often one call tries to make one volume or snapshot.
            randomness: returns that many random bytes in hex.
        """
        if attempts < 1:
            raise InvalidRequest("attempts", attempts, "at least 1")
        self.provider = provider
        self.journal = journal
        self._clock = clock
        self._on_busy = on_busy
        self._operations = Operations(provider, journal, clock, attempts, randomness)

    def ensure_volume(self, request: VolumeRequest, *, deadline: Deadline | None = None) -> Volume:
        """Return the volume of this name; create it if there is none.

        A creation that the provider accepted and then failed is tried again with another token. A
        volume that was deleted since is created anew. A failure leaves an entry in the journal, and
        never a second volume.

        Raises:
            RequestConflict: a volume has the name and differs; ``fields`` says in what.
            RequestError: the provider cannot make such a volume.
            OperationFailed: every attempt was accepted and failed.
        """
        return self._ensure(Existing(request, self.journal.id), deadline)

    def ensure_volumes(
        self,
        requests: Iterable[VolumeRequest],
        *,
        concurrency: int = CONCURRENCY,
        progress: Callable[[Report], None] | None = None,
        deadline: Deadline | None = None,
    ) -> Results[Volume]:
        """Do `ensure_volume` for many volumes at once; return volumes and errors by name.

        Args:
            requests: of different names.
            concurrency: how many volumes are worked on at a time, at most.
            progress: is told each step of each volume.
            deadline: of all of them.

        Raises:
            InvalidRequest: two requests have the same name; nothing was asked.
        """
        wanted = by_name(requests)
        tally = Tally(wanted, progress)

        def ensure(name: str) -> Volume:
            tally.reached(name, Step.CREATING)
            return self.ensure_volume(wanted[name], deadline=deadline)

        return for_each(wanted, ensure, concurrency=concurrency, tally=tally)

    def ensure_attached(
        self, volume_id: str, instance: str, *, deadline: Deadline | None = None
    ) -> Attachment:
        """Return the attachment of the volume to the instance; attach it if it is not.

        Raises:
            InvalidRequest: there can be no such instance.
            NotFound: there is no such volume or instance.
            AttachedElsewhere: another instance has the volume; it is never taken from it.
            AttachmentLimit: the instance takes no further volume.
            AttachStuck: the attachment does not get done.
        """
        return self._ensure(Attached(volume_id, self.provider.instance_name(instance)), deadline)

    def ensure_detached(
        self,
        volume_id: str,
        instance: str,
        *,
        force: bool = False,
        deadline: Deadline | None = None,
    ) -> Volume:
        """Return the volume, not attached to the instance; detach it if it is.

        An attachment that is still under way is not waited for.

        Args:
            volume_id: the provider's canonical id.
            instance: where it is to be detached from; what other instances have stays.
            force: also if the instance still uses it; its writes may be lost.
            deadline: until when to wait.

        Raises:
            InvalidRequest: there can be no such instance.
            NotFound: there is no such volume.
            DetachBlocked: the instance still uses it.
            UnsupportedOperation: the provider does not force.
        """
        name = self.provider.instance_name(instance)  # holders are compared with it
        return self._ensure(Detached(volume_id, name, force), deadline)

    def ensure_size(self, volume_id: str, size: int, *, deadline: Deadline | None = None) -> Volume:
        """Return the volume with this size; grow it if it is smaller.

        Args:
            volume_id: the provider's canonical id.
            size: in bytes, rounded up to the provider's unit.
            deadline: until when to wait.

        Raises:
            NotFound: there is no such volume.
            InvalidRequest: it is larger; a volume never shrinks.
            ModificationLimited: the cloud allows no change now.
        """
        return self._ensure(Sized(volume_id, size), deadline)

    def ensure_modified(
        self,
        volume_id: str,
        *,
        size: int | None = None,
        kind: str | None = None,
        iops: int | None = None,
        throughput: int | None = None,
        deadline: Deadline | None = None,
    ) -> Volume:
        """Return the volume with all of these; change it in one operation if it differs.

        Args:
            volume_id: the provider's canonical id.
            size: in bytes, as for `ensure_size`; None leaves it as it is, here and below.
            kind: the cloud's volume type.
            iops: operations a second.
            throughput: bytes a second.
            deadline: until when to wait.

        Raises:
            UnsupportedOperation: the provider does not offer it.
            As `ensure_size` otherwise.
        """
        if not self.provider.capabilities.modify:
            raise UnsupportedOperation(
                "modifying a volume", "use ensure_size, or a provider that offers it"
            )
        return self._ensure(Modified(volume_id, size, kind, iops, throughput), deadline)

    def ensure_gone(self, volume_id: str, *, deadline: Deadline | None = None) -> None:
        """Return when there is no such volume; delete it if there is.

        Raises:
            VolumeInUse: it is attached; detach it first.
        """
        self._ensure(Gone(volume_id), deadline)

    def ensure_snapshot(
        self,
        volume_id: str,
        name: str,
        generation: int | None = None,
        *,
        deadline: Deadline | None = None,
    ) -> Snapshot:
        """Return the snapshot of this name; take it if there is none.

        Args:
            volume_id: the volume to take it of.
            name: of the snapshot, unique at one provider.
            generation: the key generation of the volume, kept with the snapshot.
            deadline: until when to wait.

        Raises:
            NotFound: there is no such volume.
            RequestConflict: a snapshot has the name and differs; ``fields`` says in what.
            OperationFailed: every attempt was accepted and failed.
        """
        return self._ensure(Taken(volume_id, name, generation), deadline)

    def ensure_snapshot_gone(self, snapshot_id: str, *, deadline: Deadline | None = None) -> None:
        """Return when there is no such snapshot; delete it if there is."""
        self._ensure(SnapshotGone(snapshot_id), deadline)

    def unfinished(self) -> tuple[Entry, ...]:
        """Return the operations at this provider that are not finished, oldest first."""
        found = self.journal.entries(namespace=self.provider.namespace, states=UNFINISHED)
        return tuple(reversed(found))

    def resume(self, operation_id: str, *, deadline: Deadline | None = None) -> Entry:
        """Finish an operation of the journal, whoever began it; return its entry.

        One that was never accepted is begun; one that is finished is left alone.

        Raises:
            OperationUnknown: the journal has none of this id at this provider.
            RequestError: the provider refused it.
        """
        return self._finished(operation_id, self._until(deadline), is_named=True)

    def resume_all(self, *, deadline: Deadline | None = None) -> tuple[Resumption, ...]:
        """Do `resume` for everything unfinished, oldest first; one failure does not stop the rest.

        What detaches or deletes, and was never accepted, is given up: whoever wished for it may not
        any more. To begin it all the same, name it: `resume`.

        What another caller is at work on is waited for, or left to it, as ``on_busy`` says.

        Raises:
            JournalUnavailable: the journal cannot tell.
        """
        until = self._until(deadline)
        return tuple(self._resumption(entry, until) for entry in self.unfinished())

    def _resumption(self, entry: Entry, until: Deadline) -> Resumption:
        try:
            return Resumption(self._finished(entry.id, until, is_named=False))
        except CloudcryptError as error:
            return Resumption(self._entry(entry.id), error)

    def _finished(self, operation_id: str, until: Deadline, *, is_named: bool) -> Entry:
        subject = self._entry(operation_id).subject
        with self._hold(subject, until):
            entry = self._entry(operation_id)
            if not entry.is_finished:
                self._operations.finish(entry, until, is_named=is_named)
        return self._entry(operation_id)

    def _entry(self, operation_id: str) -> Entry:
        entry = self.journal.get(operation_id)
        if entry is None or entry.namespace != self.provider.namespace:
            raise OperationUnknown(operation_id)
        return entry

    def _ensure(self, wish: Wish[T], deadline: Deadline | None) -> T:
        wish.intent("-")  # refuse what nobody can ask for before anything is written
        until = self._until(deadline)
        with self._hold(wish.subject, until):
            return self._operations.ensure(wish, until)

    def _hold(self, subject: str, until: Deadline) -> AbstractContextManager[None]:
        namespace = self.provider.namespace
        return self.journal.hold(namespace, subject, deadline=until, on_busy=self._on_busy)

    def _until(self, deadline: Deadline | None) -> Deadline:
        return Deadline.after(clock=self._clock) if deadline is None else deadline


def by_name(requests: Iterable[VolumeRequest]) -> dict[str, VolumeRequest]:
    """Return ``requests`` by their names, in their order.

    Raises:
        InvalidRequest: two have the same name.
    """
    wanted: dict[str, VolumeRequest] = {}
    for request in requests:
        if request.name in wanted:
            raise InvalidRequest("name", request.name, "each name is asked for once")
        wanted[request.name] = request
    return wanted
