"""Creating volumes: once for each name and token, whatever is lost on the way."""

from collections.abc import Mapping
from typing import Final

import attrs

from cloudcrypt.errors import (
    CloudcryptError,
    NotFound,
    OperationFailed,
    OutOfCapacity,
    QuotaExceeded,
    RequestConflict,
    RequestRejected,
    UnsupportedOperation,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import CreateVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp import _marks, _names
from cloudcrypt_gcp._ids import Reference
from cloudcrypt_gcp._operations import Asked
from cloudcrypt_gcp._plans import Creation, Plans
from cloudcrypt_gcp._records import COMING, DiskRecord, OperationRecord
from cloudcrypt_gcp._region import Region
from cloudcrypt_gcp._waits import Still, absence, until

_FINAL: Final = (
    OperationFailed,
    OutOfCapacity,
    QuotaExceeded,
    RequestRejected,
    UnsupportedOperation,
)
"""What a creation that was accepted fails with for good."""


@attrs.frozen
class Creations:
    """New volumes, by what `Plans` makes of their intents."""

    region: Region
    plans: Plans

    def begin(self, intent: CreateVolume, deadline: Deadline) -> Reference:
        """Let GCE create a volume, or find the one it has created; return the reference.

        Raises:
            RequestConflict: there is one of this name, or of this token, which is another one.
            OperationFailed: one of this name has failed, and is in the way.
        """
        return until(lambda: self._begin(intent, 1, deadline), deadline, "creation", intent.name)

    def find(self, intent: CreateVolume, deadline: Deadline) -> Reference | None:
        """Return the reference of the volume if GCE shows it, else None; looks once."""
        existing = self._existing(intent, deadline)
        if existing is None or self.plans.differing(existing, intent):
            return None
        return self._reference(existing, intent, deadline)

    def resume(self, reference: str, intent: CreateVolume, deadline: Deadline) -> Volume:
        """Wait until the volume can be used.

        Raises:
            Vanished: GCE does not show it, and has had time to.
            OperationFailed: GCE could not create it. What is left of it is named.
            NotFound: it is being deleted.
        """
        parsed = Reference.parse(reference)
        names = {"volume": intent.name, "zone": parsed.scope.name}
        asked = self._asked(intent, "disks.insert", names)

        def again(attempt: int, _: CloudcryptError) -> Reference:
            return until(
                lambda: self._begin(intent, attempt, deadline), deadline, "creation", intent.name
            )

        try:
            parsed = self.region.operations.finished(parsed, asked, deadline, again)
        except RequestConflict as error:
            parsed = self._adopted(intent, error, deadline)
        except _FINAL as error:
            raise self._with_remains(parsed, error, deadline) from error
        return self._ready(parsed, intent, deadline)

    def _ready(self, reference: Reference, intent: CreateVolume, deadline: Deadline) -> Volume:
        name = self.region.site.volume_id(reference.scope, reference.number)
        missing = absence(self.region.clock)

        def look() -> Volume | Still:
            record = self.region.look.disk(reference.scope, reference.number, deadline)
            if record is None:
                if missing.is_over():
                    raise Vanished("volume", name)
                return Still("not shown yet")
            missing.found()
            if record.is_going:
                raise NotFound("volume", name)
            if record.status == "FAILED":
                raise OperationFailed("creation", name, "GCE gives no reason; the volume is left")
            if record.status in COMING:
                return Still(record.status.lower())
            self._check(record, intent)
            return self.region.volume(record)

        return until(look, deadline, "creation", name)

    def _begin(self, intent: CreateVolume, attempt: int, deadline: Deadline) -> Reference | Still:
        existing = self._existing(intent, deadline)
        if existing is not None:
            return self._same(existing, intent, deadline)
        creation = self.plans.creation(intent, deadline)
        asked = self._asked(intent, creation.action, creation.names)
        try:
            operation = self.region.operations.begin(asked, creation.parameters, attempt, deadline)
        except RequestConflict as error:
            return self._taken(creation, intent, error, deadline)
        except QuotaExceeded:
            # An earlier request with another token may have used the quota for this volume.
            existing = self._existing(intent, deadline)
            if existing is None:
                raise
            return self._same(existing, intent, deadline)
        self._check_ours(operation, creation, intent, deadline)
        return Reference(operation.scope, operation.name, operation.number, attempt=attempt)

    def _existing(self, intent: CreateVolume, deadline: Deadline) -> DiskRecord | None:
        """Return the volume with the token or the name of ``intent``, if there is one."""
        token = _names.token_label(self.region.owner, intent.token)
        found = self.region.look.disks_named(intent.name, deadline, token=token)
        mine = (one for one in found if one.mark is not None and one.mark.token == token)
        return next(mine, None) or next(iter(found), None)

    def _same(
        self, existing: DiskRecord, intent: CreateVolume, deadline: Deadline
    ) -> Reference | Still:
        """Return the reference of what exists already, if it is what is asked for.

        Raises:
            RequestConflict: it is not.
            OperationFailed: it has failed, and another token than this has made it.
        """
        volume_id = self.region.site.volume_id(existing.scope, existing.number)
        if not self._is_mine(existing, intent):
            if existing.is_going:  # its name will be free
                error = WrongVolumeState(volume_id, "deleting", "creation")
                return Still("deleting", error)
            if existing.status == "FAILED":
                reason = f"{volume_id} has failed and has the name: delete it, or use another name"
                raise OperationFailed("creation", intent.name, reason)
        differing = self.plans.differing(existing, intent)
        if differing:
            raise RequestConflict(intent.name, differing)
        return self._reference(existing, intent, deadline)

    def _reference(
        self, existing: DiskRecord, intent: CreateVolume, deadline: Deadline
    ) -> Reference:
        """Return the reference of a volume: with the operation that made it, if it was this one."""
        reference = Reference(existing.scope, number=existing.number)
        if not self._is_mine(existing, intent):
            return reference
        asked = self._asked(intent, "disks.insert", {})
        for attempt, record in self.region.operations.begun(asked, existing.scope, deadline):
            if record.number == existing.number:
                return attrs.evolve(reference, operation=record.name, attempt=attempt)
        return reference

    def _taken(
        self, creation: Creation, intent: CreateVolume, error: RequestConflict, deadline: Deadline
    ) -> Reference | Still:
        """Compare what has the name, which a list did not show, or which is of another owner."""
        existing = self.region.look.disk(creation.scope, creation.name, deadline)
        if existing is None:
            return Still("taken by what does not show", error)
        return self._same(existing, intent, deadline)

    def _check_ours(
        self,
        operation: OperationRecord,
        creation: Creation,
        intent: CreateVolume,
        deadline: Deadline,
    ) -> None:
        """Return if the operation makes what was asked for, and not what the token made before.

        Raises:
            RequestConflict: the token was used for something else.
            Vanished: and that is gone: another attempt needs another token.
        """
        if operation.target == creation.path:
            return
        other = self.region.look.disk(operation.scope, operation.number, deadline)
        if other is None:
            raise Vanished("volume", intent.name)
        differing = self.plans.differing(other, intent)
        if differing:  # else it is this intent, begun by a provider with another zone
            raise RequestConflict(intent.name, differing)

    def _check(self, record: DiskRecord, intent: CreateVolume) -> None:
        """Return if a volume is made as this very intent says, as far as it cannot change later.

        Raises:
            RequestConflict: the token made it by another intent, or it is a copy of a namesake.
        """
        mark = record.mark
        if mark is None or not self._is_mine(record, intent):
            return
        differing = self.plans.differing(record, intent)
        is_other = mark.asked != _marks.asked(intent)
        if differing and (is_other or "source" in differing):
            raise RequestConflict(intent.name, differing if is_other else ("source",))

    def _is_mine(self, record: DiskRecord, intent: CreateVolume) -> bool:
        token = _names.token_label(self.region.owner, intent.token)
        return record.mark is not None and record.mark.token == token

    def _adopted(
        self, intent: CreateVolume, error: RequestConflict, deadline: Deadline
    ) -> Reference:
        """Return the volume that got the name while ours was on its way to it."""
        existing = self._existing(intent, deadline)
        if existing is None:
            raise error
        found = self._same(existing, intent, deadline)
        if isinstance(found, Still):
            raise found.error or error
        return found

    def _with_remains(
        self, reference: Reference, error: CloudcryptError, deadline: Deadline
    ) -> CloudcryptError:
        """Return the error, which names what a failed creation has left."""
        record = self.region.look.disk(reference.scope, reference.number, deadline)
        if record is None:
            return error
        name = self.region.site.volume_id(record.scope, record.number)
        reason = f"{error.message}; what is left is {record.status.lower()}"
        return OperationFailed("creation", name, reason, answer=error.answer)

    def _asked(self, intent: CreateVolume, action: str, names: Mapping[str, str]) -> Asked:
        return Asked(self.region.namespace, intent.token, "create", action, names)
