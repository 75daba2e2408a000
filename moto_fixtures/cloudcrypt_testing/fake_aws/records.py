"""What EC2 knows about volumes, attachments, modifications and snapshots: values, never changed.

A change puts a new record in the place of the old one, so an old view of the world stays right.
"""

from collections.abc import Mapping
from datetime import datetime

import attrs


@attrs.frozen
class Attachment:
    """One volume on one instance."""

    instance_id: str
    device: str
    """The device name that was asked for; a label, except on a Xen host."""
    state: str
    """attaching, attached, detaching or busy."""
    since: datetime
    delete_on_termination: bool
    number: int
    """Tells this attachment from any other of the same volume and instance."""


@attrs.frozen
class Volume:
    """One volume; the sizes are in GiB and the throughput is in MiB/s."""

    id: str
    number: int
    """Grows with each volume: the order of pages."""
    size: int
    kind: str
    zone: str
    zone_id: str
    created: datetime
    condition: str = "available"
    """The state, but for being attached: creating, available, deleting or error."""
    iops: int | None = None
    throughput: int | None = None
    is_encrypted: bool = False
    kms_key: str | None = None
    snapshot_id: str | None = None
    source_id: str | None = None
    is_multi_attach: bool = False
    attachments: tuple[Attachment, ...] = ()
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @property
    def state(self) -> str:
        """What EC2 calls the state of the volume."""
        if self.attachments and self.condition == "available":
            return "in-use"
        return self.condition

    @property
    def shown_iops(self) -> int | None:
        """What EC2 shows: those that were chosen, or that gp2 has by its size."""
        if self.kind == "gp2":
            return min(16000, max(100, 3 * self.size))
        return self.iops

    def attachment_to(self, instance_id: str) -> Attachment | None:
        """Return the attachment to an instance, if there is one."""
        return next((a for a in self.attachments if a.instance_id == instance_id), None)

    def with_attachment(self, attachment: Attachment) -> "Volume":
        """Return the volume with ``attachment``, new or in the place of its former state."""
        others = self._others(attachment)
        return attrs.evolve(self, attachments=(*others, attachment))

    def without_attachment(self, attachment: Attachment) -> "Volume":
        """Return the volume without ``attachment``."""
        return attrs.evolve(self, attachments=self._others(attachment))

    def _others(self, attachment: Attachment) -> tuple[Attachment, ...]:
        return tuple(a for a in self.attachments if a.number != attachment.number)


@attrs.frozen
class Shape:
    """What `ModifyVolume` can change."""

    size: int
    kind: str
    iops: int | None
    throughput: int | None
    is_multi_attach: bool


@attrs.frozen
class Modification:
    """One modification of a volume."""

    volume_id: str
    number: int
    """Grows with each modification: the order of pages."""
    state: str
    """modifying, optimizing, completed or failed."""
    original: Shape
    target: Shape
    started: datetime
    progress: int = 0
    """Percent."""
    ended: datetime | None = None


@attrs.frozen
class Snapshot:
    """One snapshot; the size is that of the volume, in GiB, when it was taken."""

    id: str
    number: int
    """Grows with each snapshot: the order of pages."""
    volume_id: str
    size: int
    state: str
    """pending, completed or error."""
    started: datetime
    description: str = ""
    is_encrypted: bool = False
    kms_key: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
