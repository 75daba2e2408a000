"""What the store records of a volume or a snapshot: both are images, a file each."""

import enum
from collections.abc import Mapping
from datetime import datetime

import attrs

from cloudcrypt.model import Blank, Origin, Snapshot, Volume, VolumeState


class Kind(enum.Enum):
    """What an image is."""

    VOLUME = "volume"
    SNAPSHOT = "snapshot"

    @property
    def prefix(self) -> str:
        """How the last part of the ids of this kind begins."""
        return {"volume": "vol", "snapshot": "snap"}[self.value]


class State(enum.Enum):
    """How far the file of an image follows what is recorded."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"


@attrs.frozen
class Image:
    """A volume or a snapshot, and what is still to be done to its file.

    ``source`` is the id of what its bytes are copied from, ``generation`` the key generation the
    caller recorded of it. ``grow_to`` is the size in bytes that an accepted resize will give it.
    ``maker`` is who asked for a volume first.
    """

    id: str
    kind: Kind
    name: str
    size: int
    created: datetime
    state: State = State.CREATING
    source: str | None = None
    generation: int | None = None
    origin: Origin = attrs.field(factory=Blank)
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    holder: str | None = None
    grow_to: int | None = None
    maker: str | None = None

    def to_volume(self) -> Volume:
        """Return the volume as the interface describes it."""
        return Volume(
            id=self.id,
            name=self.name,
            size=self.size,
            state=self._volume_state(),
            origin=self.origin,
            created=self.created,
            holders=() if self.holder is None else (self.holder,),
            labels=dict(self.labels),
            maker=self.maker,
        )

    def to_snapshot(self) -> Snapshot:
        """Return the snapshot as the interface describes it."""
        assert self.source is not None  # noqa: S101 - a snapshot is of a volume
        return Snapshot(
            id=self.id,
            name=self.name,
            volume_id=self.source,
            size=self.size,
            created=self.created,
            generation=self.generation,
        )

    def _volume_state(self) -> VolumeState:
        match self.state:
            case State.CREATING:
                return VolumeState.CREATING
            case State.DELETING:
                return VolumeState.DELETING
            case State.READY:
                return VolumeState.AVAILABLE if self.holder is None else VolumeState.ATTACHED
