"""Creating volumes: look, compare, and only then write; a PUT would change what exists.

Azure has no tokens of clients, and its disks no ETags: a PUT on a disk that exists grows it, and
gives it another type and other tags, without a word. So nothing is ever written to a name that has
something, and what was written is looked at again: who else wrote to it at the same time shows.
Who is the maker of a disk that two hosts have written to is decided by `_contest`.
"""

from typing import Final

import attrs

from cloudcrypt.errors import (
    CloudRefused,
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
from cloudcrypt.model import Volume
from cloudcrypt.spi import CreateVolume, FromSnapshot, FromVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure import _tags
from cloudcrypt_azure._calls import Call
from cloudcrypt_azure._contest import Stopwatch, is_late, is_open
from cloudcrypt_azure._group import Group
from cloudcrypt_azure._ids import Reference
from cloudcrypt_azure._memory import Begun
from cloudcrypt_azure._plans import Creation, Plans
from cloudcrypt_azure._polling import Progress
from cloudcrypt_azure._records import DiskRecord
from cloudcrypt_azure._slots import existing_or_free
from cloudcrypt_azure._volumes import to_volume
from cloudcrypt_azure._waits import FIRST, Missing, Still, absence, settled, until

_KIND: Final = CreateVolume.__name__


@attrs.define
class _Begin:
    """One call of `Creations.begin`, and what became of its PUTs so far.

    ``is_lost``: one of them was not answered. ``is_slow`` and ``is_late``: see `_contest`.
    """

    intent: CreateVolume
    deadline: Deadline
    is_lost: bool = False
    is_slow: bool = False
    is_late: bool = False

    def note(self, looked: Stopwatch) -> None:
        """Record how long a PUT took that may have been done, from the look before it on."""
        self.is_slow = self.is_slow or looked.is_slow
        self.is_late = self.is_late or looked.is_late


@attrs.frozen
class Creations:
    """New volumes, by what `Plans` makes of their intents."""

    group: Group
    plans: Plans

    def begin(self, intent: CreateVolume, deadline: Deadline) -> str:
        """Let Azure create a volume, or find the one it has created; return the reference.

        Raises:
            RequestConflict: there is one of this name, or of this token, which is another one.
            Vanished: the token was used, and its volume is gone: another attempt needs a new one.
        """
        self.plans.check(intent)
        begun = self.group.memory.recall(_KIND, intent.token)
        if begun is not None:
            return self._again(begun, intent, deadline)
        asked = _Begin(intent, deadline)
        return until(lambda: self._attempt(asked), deadline, "creation", intent.name)

    def find(self, intent: CreateVolume, deadline: Deadline) -> str | None:
        """Return the reference of the volume if Azure has it, else None."""
        self.plans.check(intent)
        begun = self.group.memory.recall(_KIND, intent.token)

        def look() -> DiskRecord | None:
            found = self._existing(intent, deadline)
            return found if isinstance(found, DiskRecord) and not found.is_going else None

        record = settled(look, deadline, "creation", intent.name)
        if record is None or self.plans.differing(record, intent):
            return None
        if begun is not None and begun.azure_name == record.name:
            return begun.reference
        return str(Reference(record.name, record.unique or None))

    def resume(self, reference: str, intent: CreateVolume, deadline: Deadline) -> Volume:
        """Wait until the volume can be used, and is the one that was asked for.

        Raises:
            Vanished: Azure does not show it, and has had time to.
            OperationFailed: Azure could not create it. It is left as it is.
            RequestConflict: another writer made something else of it at the same moment.
            NotFound: it was deleted since.
        """
        asked = self.group.referred(reference)
        progress = self.group.progress(asked, "creation", {"volume": intent.name})
        missing = absence(self.group.clock)
        waited = Stopwatch.start(self.group.clock)

        def look() -> DiskRecord | Still:
            state = progress.look(deadline)
            if state is not None:
                return Still(state)
            record = self.group.disks.named(asked.name, deadline)
            if record is None or asked.unique not in {None, record.unique}:
                return self._absent(asked, record, missing, progress, intent)
            missing.found()
            seen = self._judged(asked, record, progress, intent)
            if isinstance(seen, DiskRecord) and is_open(asked, seen, waited):
                return Still("created, by whom is not known yet")
            return seen

        record = until(look, deadline, "creation", intent.name)
        self.group.memory.shown(_KIND, intent.token, record.unique)
        volume = to_volume(self.group.ids, record)
        return attrs.evolve(volume, maker=None) if is_late(asked, record) else volume

    def _attempt(self, asked: _Begin) -> str | Still:
        locks, name = self.group.locks, asked.intent.name
        with locks.hold(f"disk {name}", asked.deadline) as is_held:
            if not is_held:
                return Still("being created by another caller of this process")
            return self._attempt_alone(asked)

    def _attempt_alone(self, asked: _Begin) -> str | Still:
        intent, deadline = asked.intent, asked.deadline
        existing = self._existing(intent, deadline)
        if isinstance(existing, str):
            return self._create(existing, self.plans.creation(intent, deadline), asked)
        if existing.is_going:
            refusal = WrongVolumeState(intent.name, existing.state, "creation")
            return Still(existing.state, refusal)
        return self._same(existing, asked)

    def _create(self, azure_name: str, creation: Creation, asked: _Begin) -> str | Still:
        """Write to a name that nothing has, as two looks say, the second when it can be written."""
        deadline, put = asked.deadline, self.group.calls.put_disk
        deadline.sleep(FIRST)
        self.group.api.wait_for_turn(put(azure_name, creation.body, creation.names), deadline)
        looked = Stopwatch.start(self.group.clock)
        record, at = self.group.disks.look(azure_name, deadline)
        if record is not None:
            return Still("created meanwhile")
        return self._put(
            azure_name, put(azure_name, creation.looked(at), creation.names), looked, asked
        )

    def _put(self, azure_name: str, call: Call, looked: Stopwatch, asked: _Begin) -> str | Still:
        """Write to a name that nothing had a moment ago."""
        try:
            reply = self.group.api.once(call, asked.deadline, has_turn=True)
        except (ProviderUnavailable, Throttled, WrongVolumeState) as error:
            if isinstance(error, ProviderUnavailable):  # the others say that nothing was done
                asked.note(looked)
                asked.is_lost = True
            return Still("not known to be created", error)  # or another one is at it: look
        except (RequestError, ProviderError) as error:
            return self._refused(error, azure_name, asked)
        asked.note(looked)
        operation = self.group.operation(reply.operation)
        return self._keep(Reference(azure_name, None, operation, answered=reply.date), asked)

    def _refused(
        self, error: RequestError | ProviderError, azure_name: str, asked: _Begin
    ) -> Still:
        """Say what a refusal means: that nothing was created, unless an earlier request did it."""
        intent, deadline = asked.intent, asked.deadline
        if asked.is_lost:

            def look() -> DiskRecord | None:
                found = self._existing(intent, deadline)
                return found if isinstance(found, DiskRecord) else None

            if settled(look, deadline, "creation", intent.name, cause=error) is not None:
                return Still("created by a request that was answered to nobody")
        if isinstance(error, NotFound):
            raise _of_source(error, intent) from error
        if isinstance(error, CloudRefused | RequestConflict | RequestRejected):
            # Somebody may have created it just now: what cannot be changed is then refused.
            record = self.group.disks.named(azure_name, deadline)
            if record is not None:
                raise RequestConflict(
                    intent.name, self.plans.differing(record, intent), answer=error.answer
                ) from error
        raise error

    def _same(self, existing: DiskRecord, asked: _Begin) -> str:
        differing = self.plans.differing(existing, asked.intent)
        if differing:
            raise RequestConflict(asked.intent.name, differing)
        return self._keep(Reference(existing.name, existing.unique or None), asked)

    def _keep(self, reference: Reference, asked: _Begin) -> str:
        """Return the text of a reference, after which others of the same token are the same."""
        if reference.unique is None or asked.is_slow:
            now = round(self.group.clock.now().timestamp(), 3)
            reference = attrs.evolve(
                reference, time=now, is_slow=asked.is_slow, is_late=asked.is_late
            )
        begun = Begun(reference.name, str(reference), reference.unique)
        return self.group.memory.keep(_KIND, asked.intent.token, begun).reference

    def _existing(self, intent: CreateVolume, deadline: Deadline) -> DiskRecord | str:
        """Return the disk with the name of ``intent`` that counts, or Azure's name that is free.

        What failed to be created counts for its own token only, so that another attempt is one.
        """

        def is_left(record: DiskRecord) -> bool:
            is_ours = _tags.is_of(record.tags, self.group.owner, intent.name)
            is_this = _tags.tag(record.tags, _tags.TOKEN_TAG) == intent.token
            return record.is_stillborn and is_ours and not is_this

        return existing_or_free(self.group.disks, intent.name, is_left, deadline)

    def _again(self, begun: Begun, intent: CreateVolume, deadline: Deadline) -> str:
        """Return the reference of what this process began by the same token.

        Raises:
            RequestConflict: that was another intent.
            Vanished: it was there, and is no more.
        """
        if begun.unique is not None:
            record = self.group.disks.unique(begun.unique, deadline)
            if record is None or record.is_going:
                raise Vanished("volume", self.group.ids.volume(begun.unique))
        else:
            record = self.group.disks.named(begun.azure_name, deadline)
        if record is None:
            return begun.reference
        differing = self.plans.differing(record, intent)
        if differing:
            raise RequestConflict(intent.name, differing)
        return begun.reference

    def _absent(
        self,
        asked: Reference,
        record: DiskRecord | None,
        missing: Missing,
        progress: Progress,
        intent: CreateVolume,
    ) -> Still:
        """Say what it means that Azure does not show the volume."""
        if progress.failure is not None:
            raise progress.failure
        name = intent.name if asked.unique is None else self.group.ids.volume(asked.unique)
        if record is not None:
            raise Vanished("volume", name)  # the name is used again
        if missing.is_over():
            raise Vanished("volume", name)
        return Still("not shown yet")

    def _judged(
        self,
        asked: Reference,
        record: DiskRecord,
        progress: Progress,
        intent: CreateVolume,
    ) -> DiskRecord | Still:
        """Say whether the volume is there, and the one that was asked for."""
        volume_id = self.group.ids.volume(record.unique)
        if record.is_going:
            raise NotFound("volume", volume_id)
        if record.state == "creating":
            return Still(record.state)
        if record.is_stillborn:
            reason = f"the disk is {record.state}, and Azure gives no reason"
            raise progress.failure or OperationFailed("creation", volume_id, reason)
        if asked.unique is None:  # else it was compared when it was found
            self._check_writer(record, intent)
        if progress.failure is not None and record.state != "succeeded":
            raise progress.failure
        return record

    def _check_writer(self, record: DiskRecord, intent: CreateVolume) -> None:
        """Return if the volume is ours, whoever else has written to its name at the same time."""
        is_ours = _tags.tag(record.tags, _tags.TOKEN_TAG) == intent.token
        is_ours = is_ours and _tags.is_of(record.tags, self.group.owner, intent.name)
        compare = self.plans.merged if is_ours else self.plans.differing
        differing = compare(record, intent)
        if differing:
            raise RequestConflict(intent.name, differing)


def _of_source(error: NotFound, intent: CreateVolume) -> ProviderError | RequestError:
    """Return the error with the caller's id of what is missing."""
    match intent.source:
        case FromSnapshot(snapshot_id) if error.kind == "snapshot":
            return NotFound("snapshot", snapshot_id, answer=error.answer)
        case FromVolume(volume_id) if error.kind == "volume":
            return NotFound("volume", volume_id, answer=error.answer)
        case _:
            return error
