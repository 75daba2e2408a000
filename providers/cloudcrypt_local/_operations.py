"""The rules by which an intent is accepted: what the clouds allow, decided in one transaction.

Accepting changes rows only; the files follow later (`cloudcrypt_local._work`).
"""

from collections.abc import Callable, Mapping
from datetime import datetime

import attrs

from cloudcrypt.errors import (
    AttachedElsewhere,
    InvalidRequest,
    NotFound,
    RequestConflict,
    UnsupportedOperation,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.model import Blank, ClonedFrom, Origin, RestoredFrom, check_volume_id
from cloudcrypt.sizes import TIB, round_up
from cloudcrypt.spi import (
    AttachVolume,
    Capabilities,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    FromSnapshot,
    FromVolume,
    Intent,
    ResizeVolume,
)
from cloudcrypt_local._images import Image, Kind, State
from cloudcrypt_local._store import Rows

_UNIT = 4096  # bytes: a sector of LUKS2
_NAME_MAX = 255  # characters
_GENERATION_END = 2**63  # what SQLite stores

CAPABILITIES = Capabilities(
    size_unit=_UNIT,
    size_min=_UNIT,
    size_max=16 * TIB - _UNIT,  # the largest file of ext4 with blocks of 4 KiB
    online_resize=True,
    snapshots=True,
    clones=True,
    force_detach=True,
)


@attrs.frozen
class Operations:
    """The rules, for the store with this id."""

    store_id: str
    clock: Callable[[], datetime]
    randomness: Callable[[int], bytes]

    def accept(self, rows: Rows, intent: Intent[object]) -> str:  # noqa: PLR0911 - one for each
        """Accept ``intent``, or raise; return the id of the volume or snapshot it is about."""
        match intent:
            case CreateVolume():
                return self._create_volume(rows, intent)
            case CreateSnapshot():
                return self._create_snapshot(rows, intent)
            case AttachVolume():
                return _attach(rows, intent)
            case DetachVolume():
                return _detach(rows, intent)
            case ResizeVolume():
                return _resize(rows, intent)
            case DeleteVolume():
                return self._delete(rows, Kind.VOLUME, intent.volume_id)
            case DeleteSnapshot():
                return self._delete(rows, Kind.SNAPSHOT, intent.snapshot_id)
            case _:
                what = type(intent).__name__
                raise UnsupportedOperation(what, "use a provider that offers it")

    def new_id(self, rows: Rows, prefix: str) -> str:
        """Return ``prefix``, a hyphen and 17 hex digits, never used in this store before."""
        while True:
            identifier = f"{prefix}-{self.randomness(9).hex()[:17]}"
            if not rows.is_used(identifier):
                return identifier

    def _create_volume(self, rows: Rows, intent: CreateVolume) -> str:
        _check_name("name", intent.name)
        _check_offered(intent)
        size, labels, source = _whole_units(intent.size), dict(intent.labels), _source(intent)
        existing = rows.image_named(Kind.VOLUME, intent.name)
        if existing is not None:
            agree = {
                "size": size == existing.size,
                "labels": labels.items() <= existing.labels.items(),
                "source": source[0] == existing.source and source[1] in {None, existing.generation},
            }
            return _same(existing, agree)
        image = Image(
            id=self._image_id(rows, Kind.VOLUME),
            kind=Kind.VOLUME,
            name=intent.name,
            size=size,
            created=self.clock(),
            source=source[0],
            generation=source[1],
            origin=_origin(rows, intent),
            labels=labels,
            maker=intent.maker,
        )
        rows.add_image(image)
        return image.id

    def _create_snapshot(self, rows: Rows, intent: CreateSnapshot) -> str:
        _check_name("name", intent.name)
        _check_generation(intent.generation)
        existing = rows.image_named(Kind.SNAPSHOT, intent.name)
        if existing is not None:
            agree = {
                "volume_id": intent.volume_id == existing.source,
                "generation": intent.generation in {None, existing.generation},
            }
            return _same(existing, agree)
        volume = _ready(rows, Kind.VOLUME, intent.volume_id, "a snapshot")
        image = Image(
            id=self._image_id(rows, Kind.SNAPSHOT),
            kind=Kind.SNAPSHOT,
            name=intent.name,
            size=volume.size,
            created=self.clock(),
            source=volume.id,
            generation=intent.generation,
        )
        rows.add_image(image)
        return image.id

    def _image_id(self, rows: Rows, kind: Kind) -> str:
        return self.new_id(rows, f"local:{self.store_id}/{kind.prefix}")

    def _delete(self, rows: Rows, kind: Kind, image_id: str) -> str:
        if not image_id.startswith(f"local:{self.store_id}/{kind.prefix}-"):
            raise NotFound(kind.value, image_id)  # it may well exist elsewhere: not "gone"
        image = rows.image(image_id)
        if image is None:
            return image_id
        if image.holder is not None:
            raise VolumeInUse(image_id, image.holder)
        for copy in rows.images("state = 'creating' AND source = ?", image_id):
            raise WrongVolumeState(image_id, f"being copied to {copy.id}", "deletion")
        rows.replace_image(attrs.evolve(image, state=State.DELETING))
        return image_id


def _attach(rows: Rows, intent: AttachVolume) -> str:
    _check_name("instance", intent.instance)
    volume = _ready(rows, Kind.VOLUME, intent.volume_id, "attachment")
    if volume.holder not in {None, intent.instance}:
        raise AttachedElsewhere(volume.id, str(volume.holder))
    rows.replace_image(attrs.evolve(volume, holder=intent.instance))
    return volume.id


def _detach(rows: Rows, intent: DetachVolume) -> str:
    volume = _existing(rows, Kind.VOLUME, intent.volume_id)
    if volume.holder not in {None, intent.instance}:
        raise AttachedElsewhere(volume.id, str(volume.holder))
    rows.replace_image(attrs.evolve(volume, holder=None))
    return volume.id


def _resize(rows: Rows, intent: ResizeVolume) -> str:
    volume = _ready(rows, Kind.VOLUME, intent.volume_id, "resizing")
    size = _whole_units(intent.size)
    if intent.size < volume.size:
        rule = f"a volume never shrinks, and {volume.id} has {volume.size} bytes"
        raise InvalidRequest("size", intent.size, rule)
    if size > volume.size:
        rows.replace_image(attrs.evolve(volume, grow_to=max(size, volume.grow_to or 0)))
    return volume.id


def _origin(rows: Rows, intent: CreateVolume) -> Origin:
    """Return the origin of a new volume, whose source is there and fits."""
    if intent.source is None:
        return Blank()
    if isinstance(intent.source, FromSnapshot):
        source = _ready(rows, Kind.SNAPSHOT, intent.source.snapshot_id, "restoring")
        origin: Origin = RestoredFrom(str(source.source), source.generation)
    else:
        source = _ready(rows, Kind.VOLUME, intent.source.volume_id, "cloning")
        origin = ClonedFrom(source.id, intent.source.generation)
    if intent.size < source.size:
        rule = f"it is at least that of its source {source.id}, {source.size} bytes"
        raise InvalidRequest("size", intent.size, rule)
    return origin


def _existing(rows: Rows, kind: Kind, image_id: str) -> Image:
    image = rows.image(check_volume_id(image_id))
    if image is None or image.kind is not kind:
        raise NotFound(kind.value, image_id)
    return image


def _ready(rows: Rows, kind: Kind, image_id: str, operation: str) -> Image:
    image = _existing(rows, kind, image_id)
    if image.state is not State.READY:
        raise WrongVolumeState(image.id, image.state.value, operation)
    return image


def _same(existing: Image, agree: Mapping[str, bool]) -> str:
    """Return the id of ``existing``, which has the name that is wanted, if all fields agree."""
    if existing.state is State.DELETING:
        raise WrongVolumeState(existing.id, existing.state.value, "another of the same name")
    differing = tuple(field for field, agrees in agree.items() if not agrees)
    if differing:
        raise RequestConflict(existing.name, differing)
    return existing.id


def _source(intent: CreateVolume) -> tuple[str | None, int | None]:
    """Return the id of the source, and the generation that the caller says it has."""
    match intent.source:
        case None:
            return None, None
        case FromSnapshot(snapshot_id):
            return snapshot_id, None
        case FromVolume(volume_id, generation):
            _check_generation(generation)
            return volume_id, generation


def _check_name(parameter: str, name: str) -> None:
    if not (0 < len(name) <= _NAME_MAX and name.isprintable()):
        raise InvalidRequest(parameter, name, f"1 to {_NAME_MAX} printable characters")


def _check_generation(generation: int | None) -> None:
    if generation is not None and not 0 <= generation < _GENERATION_END:
        raise InvalidRequest("generation", generation, "a whole number of 63 bits")


def _check_offered(intent: CreateVolume) -> None:
    for parameter in ("place", "kind", "iops", "throughput", "cloud_key"):
        value = getattr(intent, parameter)
        if value is not None:
            raise InvalidRequest(parameter, value, "a local volume has none; leave it out")
    if intent.multi_attach:
        raise UnsupportedOperation("multi-attach", "attach the volume to one instance")


def _whole_units(size: int) -> int:
    if size > CAPABILITIES.size_max:
        raise InvalidRequest("size", size, f"at most {CAPABILITIES.size_max} bytes")
    return round_up(size, CAPABILITIES.size_unit)
