"""What can be wished for: the subject, the intent, and how to see that it is so already."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import attrs

from cloudcrypt.errors import (
    AttachedElsewhere,
    InvalidRequest,
    NotFound,
    RequestConflict,
    WrongVolumeState,
)
from cloudcrypt.journal import Entry, State
from cloudcrypt.model import Attachment, Snapshot, SnapshotState, Volume, check_volume_id
from cloudcrypt.provisioning.request import (
    VOUCHED,
    VolumeRequest,
    can_be_vouched,
    differences,
    snapshot_differences,
)
from cloudcrypt.provisioning.view import USABLE, View, subject_of_volume
from cloudcrypt.sizes import round_up
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    Intent,
    ModifyVolume,
    ResizeVolume,
)

T = TypeVar("T")


@attrs.frozen
class Found(Generic[T]):
    """It is as wished for; ``value`` describes it."""

    value: T


@attrs.frozen
class Missing:
    """It is not. ``blank``: nothing of its name exists, and what is made will be empty."""

    blank: bool = False


class Wish(ABC, Generic[T]):
    """Something that is to be so, about one subject."""

    @property
    @abstractmethod
    def subject(self) -> str:
        """What callers exclude each other from, in words."""

    @abstractmethod
    def intent(self, token: str) -> Intent[T]:
        """Return what a provider is asked to make it so."""

    @abstractmethod
    def look(self, view: View) -> Found[T] | Missing:
        """Say whether it is so already. Changes nothing.

        Raises:
            RequestError: it cannot be.
        """

    def overrides(self, entry: Entry) -> bool:  # noqa: ARG002  # most wishes do not care
        """Say whether an accepted operation on the same subject need not be waited for."""
        return False

    def end(self, value: T) -> "Wish[None] | None":  # noqa: ARG002  # most do not end otherwise
        """Return the wish that would end ``value`` under another subject, if there is one."""
        return None


def subject_of_name(name: str) -> str:
    """Return the subject of the creation of volumes of this name."""
    return f"volume named {name}"


@attrs.frozen
class Existing(Wish[Volume]):
    """A volume of a name; ``maker`` asks for it."""

    request: VolumeRequest
    maker: str | None = None

    @property
    def subject(self) -> str:
        """The name."""
        return subject_of_name(self.request.name)

    def intent(self, token: str) -> CreateVolume:
        """Return the intent to create it."""
        return self.request.intent(token, self.maker)

    def end(self, value: Volume) -> "Gone":
        """Return the wish that the volume be deleted: what has the name stays."""
        return Gone(value.id)

    def look(self, view: View) -> Found[Volume] | Missing:
        """Compare the whole request with the volume of its name.

        Raises:
            RequestConflict: it differs; ``fields`` says in what.
        """
        made = view.newest(self.subject, CreateVolume, State.DONE)
        volume = view.volume_named(self.request.name, made)
        if volume is None:
            return Missing(blank=self.request.source is None)
        wanted = self.intent("-")
        asked = made.intent if made is not None and made.outcome == volume.id else None
        vouched = [name for name in VOUCHED if asked is not None and _agree(asked, wanted, name)]
        differing = differences(
            wanted,
            volume,
            unit=view.provider.capabilities.size_unit,
            vouched=vouched,
            snapshot=view.snapshot,
        )
        if not set(can_be_vouched(wanted, volume)).issuperset(differing):
            raise RequestConflict(self.request.name, differing)
        if differing or volume.state not in USABLE:
            return Missing()  # the provider knows better, or is at it still
        return Found(volume)


def _agree(first: Intent[Any], second: Intent[Any], field: str) -> bool:
    return bool(getattr(first, field) == getattr(second, field))


@attrs.frozen
class Attached(Wish[Attachment]):
    """A volume attached to an instance."""

    volume_id: str
    instance: str

    @property
    def subject(self) -> str:
        """The volume."""
        return subject_of_volume(self.volume_id)

    def intent(self, token: str) -> AttachVolume:
        """Return the intent to attach it."""
        return AttachVolume(token, self.volume_id, self.instance)

    def look(self, view: View) -> Found[Attachment] | Missing:
        """See whether an attachment that the journal knows still is."""
        made = view.newest(self.subject, AttachVolume, State.DONE)
        known = made is not None and made.intent == self.intent(made.intent.token)
        if made is None or made.handle is None or not known:
            return Missing()
        if self.instance not in view.volume(self.volume_id).holders:
            return Missing()
        handle = made.handle
        try:
            return Found(view.ask(lambda: view.provider.resume(handle, deadline=view.deadline)))
        except (NotFound, AttachedElsewhere, WrongVolumeState):  # another one, or it is leaving
            return Missing()


@attrs.frozen
class Detached(Wish[Volume]):
    """A volume not attached to an instance."""

    volume_id: str
    instance: str
    force: bool

    @property
    def subject(self) -> str:
        """The volume."""
        return subject_of_volume(self.volume_id)

    def intent(self, token: str) -> DetachVolume:
        """Return the intent to detach it."""
        return DetachVolume(token, self.volume_id, self.instance, self.force)

    def look(self, view: View) -> Found[Volume] | Missing:
        """See who holds the volume.

        Raises:
            NotFound: there is no such volume.
        """
        volume = view.volume(self.volume_id)
        if self.instance in volume.holders:
            return Missing()
        if volume.holders and not volume.multi_attach:
            return Found(volume)
        # A look may be older than an attachment. Unless the journal says the same, the provider is
        # asked: it knows for certain, and detaching what is detached is nothing.
        here = self.instance
        attached = view.newest(self.subject, AttachVolume, instance=here)
        detached = view.newest(self.subject, DetachVolume, State.DONE, instance=here)
        if detached is None or (attached is not None and attached.begun > detached.begun):
            return Missing()
        return Found(volume)

    def overrides(self, entry: Entry) -> bool:
        """Do not wait for an attachment that is stuck, or a detachment that only force ends.

        What is under way at another instance is waited for: it would surprise whoever comes next.
        """
        match entry.intent:
            case AttachVolume(instance=instance):
                return instance == self.instance
            case DetachVolume(instance=instance, force=forced):
                return instance == self.instance and self.force and not forced
            case _:
                return False


@attrs.frozen
class Modified(Wish[Volume]):
    """A volume of at least this size, and of this kind and performance."""

    volume_id: str
    size: int | None = None
    kind: str | None = None
    iops: int | None = None
    throughput: int | None = None

    @property
    def subject(self) -> str:
        """The volume."""
        return subject_of_volume(self.volume_id)

    def intent(self, token: str) -> Intent[Volume]:
        """Return the intent to change it."""
        return ModifyVolume(token, self.volume_id, self.size, self.kind, self.iops, self.throughput)

    def look(self, view: View) -> Found[Volume] | Missing:
        """Compare what is wished for with the volume.

        Raises:
            NotFound: there is no such volume.
            InvalidRequest: it is larger than that.
        """
        volume = view.volume(self.volume_id)
        unit = view.provider.capabilities.size_unit
        size = None if self.size is None else round_up(self.size, unit)
        if size is not None and size < volume.size:
            rule = f"a volume never shrinks, and {volume.id} has {volume.size} bytes"
            raise InvalidRequest("size", self.size, rule)
        wanted = (
            (size, volume.size),
            (self.kind, volume.kind),
            (self.iops, volume.iops),
            (self.throughput, volume.throughput),
        )
        agree = all(value in (None, found) for value, found in wanted)
        return Found(volume) if agree else Missing()


@attrs.frozen
class Sized(Modified):
    """A volume of this size, on providers that change nothing else."""

    def intent(self, token: str) -> ResizeVolume:
        """Return the intent to grow it."""
        return ResizeVolume(token, self.volume_id, self.size or 0)


@attrs.frozen
class Gone(Wish[None]):
    """No such volume."""

    volume_id: str

    @property
    def subject(self) -> str:
        """The volume."""
        return subject_of_volume(self.volume_id)

    def intent(self, token: str) -> DeleteVolume:
        """Return the intent to delete it."""
        return DeleteVolume(token, self.volume_id)

    def look(self, view: View) -> Found[None] | Missing:
        """See whether the journal knows that it was deleted, and the provider shows it no more."""
        if view.newest(self.subject, DeleteVolume, State.DONE) is None:
            return Missing()
        try:
            view.volume(self.volume_id)
        except NotFound:
            return Found(None)
        return Missing()


@attrs.frozen
class Taken(Wish[Snapshot]):
    """A snapshot of a name."""

    volume_id: str
    name: str
    generation: int | None

    @property
    def subject(self) -> str:
        """The name."""
        return f"snapshot named {self.name}"

    def intent(self, token: str) -> CreateSnapshot:
        """Return the intent to take it."""
        return CreateSnapshot(token, self.volume_id, self.name, self.generation)

    def look(self, view: View) -> Found[Snapshot] | Missing:
        """Compare what is wished for with the snapshot of that name.

        Raises:
            RequestConflict: it differs; ``fields`` says in what.
        """
        found = view.snapshot_named(self.name)
        if found is None:
            return Missing()
        differing = snapshot_differences(self.intent("-"), found)
        if differing:
            raise RequestConflict(self.name, differing)
        return Found(found) if found.state is SnapshotState.READY else Missing()


@attrs.frozen
class SnapshotGone(Wish[None]):
    """No such snapshot."""

    snapshot_id: str

    @property
    def subject(self) -> str:
        """The snapshot."""
        return f"snapshot {check_volume_id(self.snapshot_id)}"

    def intent(self, token: str) -> DeleteSnapshot:
        """Return the intent to delete it."""
        return DeleteSnapshot(token, self.snapshot_id)

    def look(self, view: View) -> Found[None] | Missing:
        """See whether the journal knows that it was deleted, and the provider shows it no more."""
        if view.newest(self.subject, DeleteSnapshot, State.DONE) is None:
            return Missing()
        return Found(None) if view.snapshot(self.snapshot_id) is None else Missing()
