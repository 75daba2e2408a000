"""What is asked for, and how it differs from what exists."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import attrs

from cloudcrypt.errors import RequestConflict
from cloudcrypt.model import Blank, ClonedFrom, Origin, RestoredFrom, Snapshot, Volume
from cloudcrypt.sizes import round_up
from cloudcrypt.spi import CreateSnapshot, CreateVolume, FromSnapshot, FromVolume, Intent


@attrs.frozen
class VolumeRequest:
    """A volume to have: `cloudcrypt.spi.CreateVolume` without token and maker, and with its rules.

    The name is unique at one provider. What is None or empty is left to the provider when the
    volume is made, and is not compared with a volume that exists.
    """

    name: str
    size: int
    source: FromSnapshot | FromVolume | None = None
    place: str | None = None
    kind: str | None = None
    iops: int | None = None
    throughput: int | None = None
    cloud_key: str | None = None
    multi_attach: bool = False
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)

    def __attrs_post_init__(self) -> None:
        """Apply the rules of the intent."""
        self.intent("-")

    def intent(self, token: str, maker: str | None = None) -> CreateVolume:
        """Return the intent to create the volume."""
        return CreateVolume(token, **attrs.asdict(self, recurse=False), maker=maker)


VOUCHED: Final = ("source", "place", "throughput", "cloud_key")
"""Fields that a cloud has several names or a coarser unit for, or does not tell of a volume.

The provider compares them itself when it is asked to create a volume; once it has, and the journal
says so, they are not doubted.
"""


def differences(
    wanted: CreateVolume,
    found: Volume,
    *,
    unit: int,
    vouched: Collection[str] = VOUCHED,
    snapshot: Callable[[str], Snapshot | None] = lambda _: None,
) -> tuple[str, ...]:
    """Return the names of the fields in which ``found`` is not what is ``wanted``.

    Args:
        wanted: what is asked for; fields that are None or empty agree with everything.
        found: the volume of that name.
        unit: bytes that the provider rounds sizes up to.
        vouched: fields of `VOUCHED` that are known to agree.
        snapshot: returns a snapshot by its id.
    """
    labels = {name: found.labels.get(name) for name in wanted.labels}
    differing = {
        "size": round_up(wanted.size, unit) != found.size,
        "source": not _is_of(wanted.source, found.origin, snapshot, vouch="source" in vouched),
        "multi_attach": wanted.multi_attach != found.multi_attach,
        "labels": dict(wanted.labels) != labels,
    }
    for name in ("place", "kind", "iops", "throughput", "cloud_key"):
        value = getattr(wanted, name)
        differing[name] = name not in vouched and value not in (None, getattr(found, name))
    names = (field.name for field in attrs.fields(CreateVolume))
    return tuple(name for name in names if differing.get(name))


def can_be_vouched(wanted: CreateVolume, found: Volume) -> Collection[str]:
    """Return the fields in which a difference may be one of names, which the provider can tell."""
    copies = isinstance(wanted.source, FromSnapshot) and isinstance(found.origin, RestoredFrom)
    return [name for name in VOUCHED if copies or name != "source"]


def _is_of(
    source: FromSnapshot | FromVolume | None,
    origin: Origin,
    snapshot: Callable[[str], Snapshot | None],
    *,
    vouch: bool,
) -> bool:
    """Say whether a volume of this origin was made from this source."""
    match source, origin:
        case None, Blank():
            return True
        case FromVolume(volume_id, generation), ClonedFrom():
            same = generation in (None, origin.generation)
            return volume_id == origin.volume_id and same
        case FromSnapshot(snapshot_id), RestoredFrom():
            taken = None if vouch else snapshot(snapshot_id)
            facts = (origin.volume_id, origin.generation)
            return vouch or (taken is not None and (taken.volume_id, taken.generation) == facts)
        case _:
            return False


def snapshot_differences(wanted: CreateSnapshot, found: Snapshot) -> tuple[str, ...]:
    """Return the names of the fields in which ``found`` is not what is ``wanted``."""
    differing = {
        "volume_id": wanted.volume_id != found.volume_id,
        "generation": wanted.generation not in (None, found.generation),
    }
    return tuple(name for name in differing if differing[name])


def check_outcome(intent: Intent[Any], outcome: object, *, unit: int) -> None:
    """Return if ``outcome`` is what was asked for, whatever the provider compares by itself.

    Raises:
        RequestConflict: it is something else that has the name.
    """
    match intent, outcome:
        case CreateVolume(), Volume():
            name, differing = intent.name, differences(intent, outcome, unit=unit)
        case CreateSnapshot(), Snapshot():
            name, differing = intent.name, snapshot_differences(intent, outcome)
        case _:
            return
    if differing:
        raise RequestConflict(name, differing)
