"""Setting labels: all of them at once, under the fingerprint of those that were read."""

import uuid
from collections.abc import Mapping

import attrs

from cloudcrypt.errors import CloudcryptError, Throttled, WrongVolumeState
from cloudcrypt.model import Volume
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp import _marks
from cloudcrypt_gcp._ids import Reference
from cloudcrypt_gcp._look import DISKS
from cloudcrypt_gcp._region import Region
from cloudcrypt_gcp._waits import Still, until


@attrs.frozen
class Labels:
    """The labels of volumes in one region."""

    region: Region

    def set(self, volume_id: str, labels: Mapping[str, str], deadline: Deadline) -> Volume:
        """Give a volume these labels in the place of its former ones; keep those of cloudcrypt.

        Nothing is lost that somebody else sets meanwhile: GCE refuses, and it is read again.

        Raises:
            InvalidRequest: they cannot be labels.
            NotFound: there is no such volume.
        """
        _marks.check_labels(labels)
        wanted = dict(labels)

        def once() -> Volume | Still:
            disk = self.region.disk(volume_id, deadline)
            if _marks.callers_labels(disk.labels) == wanted:
                return self.region.volume(disk)
            all_labels = {**wanted, **_marks.reserved_labels(disk.labels)}
            try:
                self._sent(volume_id, disk.fingerprint, all_labels, deadline)
            except (Throttled, WrongVolumeState) as error:  # or the labels are others by now
                return Still("changed by somebody else", error)
            return Still("set, and not shown yet")

        return until(once, deadline, "labels", volume_id)

    def _sent(
        self, volume_id: str, fingerprint: str, labels: Mapping[str, str], deadline: Deadline
    ) -> None:
        target = self.region.site.disk(volume_id)
        action = f"{DISKS[target.scope.kind]}.setLabels"
        kind = target.scope.kind.removesuffix("s")
        token = uuid.uuid4().hex  # no intent asks for this, so nothing is to be found again
        asked = self.region.asked(token, "labels", action, volume=volume_id)
        resource = {"labels": labels, "label_fingerprint": fingerprint}
        parameters = {
            **target.scope.parameters,
            "resource": target.number,
            f"{kind}_set_labels_request_resource": resource,
        }
        operation = self.region.operations.begin(asked, parameters, 1, deadline)

        def refused(_: int, error: CloudcryptError) -> Reference:
            raise error

        reference = Reference(operation.scope, operation.name, number=target.number)
        self.region.operations.finished(reference, asked, deadline, refused)
