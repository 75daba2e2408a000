"""Attaching volumes: one holder, no detachment that comes late, and proof that it came about.

A request to detach can be done long after whoever sent it has given up, and takes away whatever has
the device name by then, a new attachment too (gcp-compute-persistent-disk-csi-driver#965). So GCE
is asked first what is under way on the instance, and again before an attachment counts.
"""

import contextlib
from typing import Final

import attrs

from cloudcrypt.errors import (
    AttachedElsewhere,
    AttachmentLimit,
    CloudcryptError,
    NotFound,
    ProviderError,
    RequestConflict,
    RequestRejected,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.model import Attachment, GoogleDeviceName
from cloudcrypt.spi import AttachVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp import _names, _types
from cloudcrypt_gcp._ids import Instance, Reference
from cloudcrypt_gcp._pairs import DETACH, Attempts, Pair
from cloudcrypt_gcp._records import COMING, Attached, DiskRecord
from cloudcrypt_gcp._region import Region
from cloudcrypt_gcp._volumes import origin_of
from cloudcrypt_gcp._waits import Missing, Still, absence, until

WRITABLE: Final = "READ_WRITE"


@attrs.frozen
class Attachments:
    """Which volumes are where, in one region."""

    region: Region

    def begin(self, intent: AttachVolume, deadline: Deadline) -> Reference:
        """Let GCE attach a volume, unless it is attached there; return the reference.

        A volume that is still being created, or detached, is waited for.

        Raises:
            AttachedElsewhere: it is attached to another instance.
            AttachmentLimit: the instance takes no further volume.
            NotFound: there is no such volume or instance.
            RequestConflict: it is attached there, but cannot be written to.
            WrongVolumeState: it cannot be attached now.
        """
        return self._attached(Pair.of(self.region, intent), Attempts(), deadline)

    def find(self, intent: AttachVolume, deadline: Deadline) -> Reference | None:
        """Return the reference if GCE was asked to attach the volume, or it is attached there."""
        pair = Pair.of(self.region, intent)
        begun = pair.begun(deadline)
        if begun is not None:
            return begun
        try:
            seen = pair.present(deadline)
        except NotFound as error:
            if error.kind not in pair.asked.names:
                raise
            return None
        return pair.reference if seen.mine is not None and seen.is_user else None

    def resume(self, reference: str, intent: AttachVolume, deadline: Deadline) -> Attachment:
        """Wait until volume and instance both show the attachment, and nothing is to undo it.

        Raises:
            AttachedElsewhere: another one got the volume.
            NotFound: it is not attached there any more, or one of the two is gone.
        """
        parsed = self.region.referred(reference, intent.volume_id)
        pair = Pair.of(self.region, intent)

        def again(attempt: int, _: CloudcryptError) -> Reference:
            return self._attached(pair, Attempts(attempt), deadline)

        try:
            self.region.operations.finished(parsed, pair.asked, deadline, again)
        except VolumeInUse as error:
            self._lost(pair, error, deadline)
        except RequestRejected:  # so is what another caller has attached there meanwhile
            if not pair.seen(deadline).is_attached:
                raise
        except AttachmentLimit as error:
            raise self._full(pair, error, deadline) from error
        missing = absence(self.region.clock)
        return until(
            lambda: self._proven(pair, missing, deadline), deadline, "attachment", pair.volume_id
        )

    def limit(self, instance: Instance, deadline: Deadline) -> int:
        """Return how many volumes an instance may have, its boot disk included.

        Raises:
            NotFound: there is no such instance.
            ProviderError: GCE could not be asked.
        """
        record = self.region.look.instance(instance, deadline)
        if record is None:
            raise NotFound("instance", str(instance))
        return _types.attachment_limit(record.machine)

    def _attached(self, pair: Pair, attempts: Attempts, deadline: Deadline) -> Reference:
        return until(
            lambda: self._attach(pair, attempts, deadline), deadline, "attachment", pair.volume_id
        )

    def _attach(self, pair: Pair, attempts: Attempts, deadline: Deadline) -> Reference | Still:
        if pair.under_way(DETACH, deadline) is not None:  # the defence against a late detachment
            return Still("waiting for a detachment from the instance")
        seen = pair.present(deadline)
        if seen.mine is not None and seen.is_user:
            _check_mode(seen.mine, pair)
            return pair.so_already(deadline)
        if seen.is_attached:  # one of the two looks is old
            return Still("shown by one side only")
        leaving = self._check_free(pair, seen.disk, deadline, None)
        return leaving or self._ask(pair, seen.disk, attempts, deadline)

    def _ask(
        self, pair: Pair, disk: DiskRecord, attempts: Attempts, deadline: Deadline
    ) -> Reference | Still:
        unready = _unready(disk, pair)
        if unready is not None:
            return unready
        resource = {
            "source": disk.path,
            "device_name": _names.device_name(disk.name, is_regional=disk.is_regional),
            "mode": WRITABLE,
            "type_": "PERSISTENT",
            "auto_delete": False,
        }
        try:
            operation = self.region.operations.begin(
                pair.asked,
                {**pair.parameters, "attached_disk_resource": resource},
                attempts.next,
                deadline,
            )
        except (VolumeInUse, RequestRejected) as error:
            return self._judged(pair, error, deadline)
        except WrongVolumeState as error:
            return Still(error.state, error)
        except AttachmentLimit as error:
            raise self._full(pair, error, deadline) from error
        if operation.is_done and not operation.errors:
            # This token attached it before, and it was detached since: this is another attempt.
            attempts.next += 1
            return Still("attached before")
        return pair.refer(operation, attempts.next)

    def _judged(
        self, pair: Pair, error: VolumeInUse | RequestRejected, deadline: Deadline
    ) -> Still:
        """Look what GCE's refusal means: held by another one, attached already, or not at all.

        Raises:
            AttachedElsewhere: another instance holds the volume.
            RequestRejected: that is not the reason.
        """
        seen = pair.present(deadline)
        leaving = self._check_free(pair, seen.disk, deadline, error)
        if leaving is None and not seen.is_attached and isinstance(error, RequestRejected):
            raise error
        return leaving or Still("in use by what does not show", error)

    def _lost(self, pair: Pair, error: VolumeInUse, deadline: Deadline) -> None:
        """Return if the volume is attached here after all, although the operation says otherwise.

        Raises:
            AttachedElsewhere: another instance got it.
            VolumeInUse: nothing shows who did.
        """
        missing = absence(self.region.clock)

        def look() -> bool | Still:
            seen = pair.seen(deadline)
            leaving = self._check_free(pair, seen.disk, deadline, error)
            if seen.is_attached:
                return True
            if leaving is None and missing.is_over():
                raise error
            return leaving or Still("in use by what does not show", error)

        until(look, deadline, "attachment", pair.volume_id)

    def _proven(self, pair: Pair, missing: Missing, deadline: Deadline) -> Attachment | Still:
        """Return the attachment, once both sides show it and nothing is being detached.

        Raises:
            NotFound: it is gone, or one of the two is.
        """
        if pair.under_way(DETACH, deadline) is not None:
            return Still("attached, and something is being detached from the instance")
        seen = pair.present(deadline)
        if seen.mine is not None and seen.is_user:
            _check_mode(seen.mine, pair)
            return self._document(seen.disk, seen.mine, pair)
        if seen.mine is None:
            self._check_free(pair, seen.disk, deadline, None)
        if missing.is_over():
            raise NotFound("attachment", f"of {pair.volume_id} to {pair.instance}")
        return Still("not shown by both sides")

    def _check_free(
        self,
        pair: Pair,
        disk: DiskRecord,
        deadline: Deadline,
        error: ProviderError | RequestRejected | None,
    ) -> Still | None:
        """Return None if no other instance holds the volume, or that one is letting go of it.

        Raises:
            AttachedElsewhere: another one does.
        """
        path = pair.other(disk, deadline)
        if path is None:
            return None
        text = pair.text(path)
        answer = None if error is None else error.answer
        elsewhere = AttachedElsewhere(pair.volume_id, text, answer=answer)
        scope = disk.scope if text == path else self.region.site.instance(path).scope
        operations = self.region.operations
        if text != path and operations.under_way(path, DETACH, scope, deadline) is not None:
            return Still(f"waiting for a detachment from {text}", elsewhere)
        raise elsewhere from error

    def _full(self, pair: Pair, error: AttachmentLimit, deadline: Deadline) -> AttachmentLimit:
        limit = None
        with contextlib.suppress(ProviderError):  # the limit is good to know, no more
            limit = self.limit(pair.instance, deadline)
        return AttachmentLimit(str(pair.instance), limit, answer=error.answer)

    def _document(self, disk: DiskRecord, mine: Attached, pair: Pair) -> Attachment:
        return Attachment(
            volume_id=pair.volume_id,
            instance=str(pair.instance),
            size=disk.size,
            origin=origin_of(self.region.site, disk),
            identity=GoogleDeviceName(mine.device_name),
        )


def _unready(disk: DiskRecord, pair: Pair) -> Still | None:
    """Return None if a disk can be attached.

    Raises:
        WrongVolumeState: it cannot, and that does not change.
    """
    if disk.status == "READY":
        return None
    state = disk.status.lower()
    if disk.status in {*COMING, "UNAVAILABLE"}:
        return Still(state, WrongVolumeState(pair.volume_id, state, "attachment"))
    raise WrongVolumeState(pair.volume_id, "error", "attachment")


def _check_mode(mine: Attached, pair: Pair) -> None:
    """Return if a volume is attached as it ought to be: to be written to.

    Raises:
        RequestConflict: somebody else has attached it otherwise.
    """
    if mine.mode not in {WRITABLE, ""}:
        raise RequestConflict(pair.volume_id, ("mode",))
