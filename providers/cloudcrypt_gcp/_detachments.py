"""Detaching volumes: from the holder alone, and never twice at a time.

GCE detaches by device name, which somebody may have chosen: it is the one that the instance shows
for the very disk. Two requests to detach that are under way at once are what a late detachment is
made of, so another one is waited for.
"""

import attrs

from cloudcrypt.errors import (
    AttachedElsewhere,
    CloudcryptError,
    NotFound,
    OperationFailed,
    RequestRejected,
    UnsupportedOperation,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import DetachVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp._ids import Reference
from cloudcrypt_gcp._pairs import ATTACH, DETACH, Attempts, Pair, Seen
from cloudcrypt_gcp._region import Region
from cloudcrypt_gcp._waits import Missing, Still, absence, until


@attrs.frozen
class Detachments:
    """Takes volumes from instances, in one region."""

    region: Region

    def begin(self, intent: DetachVolume, deadline: Deadline) -> Reference:
        """Let GCE detach a volume, unless it is detached; return the reference.

        Where the instance is gone, nothing is attached to it.

        Raises:
            AttachedElsewhere: another instance holds it.
            NotFound: there is no such volume.
            UnsupportedOperation: it is to be taken by force.
        """
        pair = Pair.of(self.region, intent)
        if intent.force:
            instead = "detach it without force: GCE does not wait for the instance"
            raise UnsupportedOperation("detaching by force", instead)
        return self._detached(pair, Attempts(), deadline)

    def find(self, intent: DetachVolume, deadline: Deadline) -> Reference | None:
        """Return the reference if GCE was asked to detach the volume, or it is not attached."""
        pair = Pair.of(self.region, intent)
        begun = pair.begun(deadline)
        if begun is not None:
            return begun
        try:
            seen = pair.seen(deadline)
        except NotFound as error:
            if error.kind not in pair.asked.names:
                raise
            return None
        return None if seen.is_attached else pair.reference

    def resume(self, reference: str, intent: DetachVolume, deadline: Deadline) -> Volume:
        """Wait until neither volume nor instance shows the attachment.

        Raises:
            OperationFailed: it is attached, as if nothing had been asked, or again.
            NotFound: the volume is gone.
        """
        parsed = self.region.referred(reference, intent.volume_id)
        pair = Pair.of(self.region, intent)
        failed: CloudcryptError | None = None

        def again(attempt: int, _: CloudcryptError) -> Reference:
            return self._detached(pair, Attempts(attempt), deadline)

        try:
            self.region.operations.finished(parsed, pair.asked, deadline, again)
        except (NotFound, RequestRejected) as error:
            failed = error  # another one was faster, or the instance is gone: a look will tell
        missing = absence(self.region.clock)
        return until(
            lambda: self._gone(pair, failed, missing, deadline),
            deadline,
            "detachment",
            pair.volume_id,
        )

    def _gone(
        self, pair: Pair, failed: CloudcryptError | None, missing: Missing, deadline: Deadline
    ) -> Volume | Still:
        seen = pair.seen(deadline)
        is_over = seen.is_attached and missing.is_over()
        if not seen.is_attached or (is_over and seen.host is None):
            return self.region.volume(seen.disk)
        if is_over:
            reason = f"it is attached to {pair.instance}"
            answer = None if failed is None else failed.answer
            raise OperationFailed("detachment", pair.volume_id, reason, answer=answer) from failed
        return Still("attached", failed)

    def _detached(self, pair: Pair, attempts: Attempts, deadline: Deadline) -> Reference:
        return until(
            lambda: self._detach(pair, attempts, deadline), deadline, "detachment", pair.volume_id
        )

    def _detach(self, pair: Pair, attempts: Attempts, deadline: Deadline) -> Reference | Still:
        under_way = pair.under_way(DETACH, deadline)
        if under_way not in {None, pair.asked.request_id(attempts.next)}:
            return Still("waiting for another detachment from the instance")
        seen = pair.seen(deadline)
        if not seen.is_attached:
            return self._absent(pair, seen, deadline)
        if seen.mine is not None:
            return self._ask(pair, seen.mine.device_name, attempts, deadline)
        if seen.host is None:  # it is gone, and the volume will show that
            return pair.reference
        return Still("shown by the volume only")

    def _ask(
        self, pair: Pair, device_name: str, attempts: Attempts, deadline: Deadline
    ) -> Reference | Still:
        parameters = {**pair.parameters, "device_name": device_name}
        try:
            operation = self.region.operations.begin(
                pair.asked, parameters, attempts.next, deadline
            )
        except (NotFound, RequestRejected, WrongVolumeState) as error:
            return Still("attached, and GCE says otherwise", error)  # a look will tell
        if operation.is_done and not operation.errors:
            # This token detached it before, and it was attached since: this is another attempt.
            attempts.next += 1
            return Still("detached before")
        return pair.refer(operation, attempts.next)

    def _absent(self, pair: Pair, seen: Seen, deadline: Deadline) -> Reference | Still:
        """Say what it means that a volume is not attached: it never was, or is about to be.

        Raises:
            AttachedElsewhere: it is, to another instance.
        """
        other = pair.other(seen.disk, deadline)
        if other is not None:
            raise AttachedElsewhere(pair.volume_id, pair.text(other))
        if pair.under_way(ATTACH, deadline) is not None:
            return Still("waiting for an attachment to the instance")
        return pair.so_already(deadline)
