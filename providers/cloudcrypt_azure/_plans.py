"""What a new volume is asked for with, and whether a volume is what was asked for."""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from cloudcrypt.errors import InvalidRequest, WrongVolumeState
from cloudcrypt.spi import CreateVolume, FromSnapshot, FromVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure import _tags, _types
from cloudcrypt_azure._group import Group
from cloudcrypt_azure._ids import SNAPSHOT
from cloudcrypt_azure._records import MEGA, DiskRecord
from cloudcrypt_azure._tags import Source
from cloudcrypt_azure._volumes import source_of, volume_of

_PLACE: Final = re.compile(r"(?P<location>[a-z0-9]{1,40})(/(?P<zone>[0-9]{1,3}))?", re.ASCII)
_SET: Final = re.compile(
    r"/subscriptions/[0-9a-f-]{36}/resourcegroups/[^/]+/providers/microsoft\.compute"
    r"/diskencryptionsets/[^/]+"
)
_NAME: Final = re.compile(r"[\w-]{1,80}", re.ASCII)


@attrs.frozen
class Creation:
    """The body of one request that creates a volume, and what its errors name."""

    body: Mapping[str, object]
    names: Mapping[str, str]
    tags: Mapping[str, str]

    def looked(self, at: float | None) -> Mapping[str, object]:
        """Return the body of a volume whose name was free ``at`` a time; see `_tags.looked`."""
        return {**self.body, "tags": _tags.looked(self.tags, at)}


@attrs.frozen
class _Origin:
    """What a volume is copied from, and what it has of that unless it is asked to be otherwise."""

    source: Source
    id: str
    location: str
    place: str | None = None
    kind: str | None = None
    iops: int | None = None
    throughput: int | None = None


@attrs.frozen
class Plans:
    """Turns intents into requests; ``location`` and ``zone`` are for those that name no place."""

    group: Group
    location: str | None
    zone: str | None

    def check(self, intent: CreateVolume) -> None:
        """Return if ``intent`` can be, as far as that can be told without asking.

        Raises:
            InvalidRequest: it cannot.
        """
        _types.whole(intent.size)
        _tags.check_volume(intent)
        if intent.place is not None:
            _place(intent.place)
        if intent.cloud_key is not None:
            self.key(intent.cloud_key)
        if intent.kind is not None or intent.source is None:
            kind = intent.kind or _types.DEFAULT
            _types.check_new(intent, kind, intent.iops, intent.throughput)

    def creation(self, intent: CreateVolume, deadline: Deadline) -> Creation:
        """Return the request for ``intent``; looks at the source, where there is one.

        Raises:
            InvalidRequest: it cannot be.
            NotFound: there is no such source.
            WrongVolumeState: the snapshot is not complete.
        """
        origin = self._origin(intent, deadline)
        kind = intent.kind or (origin and origin.kind) or _types.DEFAULT
        same_kind = origin is not None and origin.kind == kind
        iops, throughput = intent.iops, intent.throughput
        if origin is not None and same_kind and kind in _types.GROWS_FREELY:
            iops, throughput = iops or origin.iops, throughput or origin.throughput
        _types.check_new(intent, kind, iops, throughput)
        location, zone = self._where(intent, kind, origin)
        properties: dict[str, object] = {
            "creationData": _creation_data(origin),
            "diskSizeGB": _types.whole(intent.size) // _types.UNIT,
            "networkAccessPolicy": "DenyAll",  # nobody gets a URL to its bytes
            "publicNetworkAccess": "Disabled",
        }
        if iops is not None:
            properties["diskIOPSReadWrite"] = iops
        if throughput is not None:
            properties["diskMBpsReadWrite"] = _types.megabytes(throughput)
        if intent.multi_attach:
            properties["maxShares"] = _types.SHARES
        if intent.cloud_key is not None:
            properties["encryption"] = {"diskEncryptionSetId": self.key(intent.cloud_key)}
        source = None if origin is None else origin.source
        tags = _tags.of_volume(intent, self.group.owner, source)
        body: dict[str, object] = {
            "location": location,
            "sku": {"name": kind},
            "properties": properties,
        }
        if zone is not None:
            body["zones"] = [zone]
        names = {"volume": intent.name, "place": _text(location, zone), **_names(intent)}
        return Creation(body, names, tags)

    def differing(self, volume: DiskRecord, intent: CreateVolume) -> tuple[str, ...]:
        """Return the fields in which ``volume`` is not what ``intent`` asks for, sorted.

        What the intent leaves open does not differ. Labels are compared as they were asked for:
        others may have put tags on the volume since.
        """
        throughput = intent.throughput
        asked = None if throughput is None else _types.megabytes(throughput) * MEGA
        key = None if intent.cloud_key is None else self.key(intent.cloud_key)
        same = {
            "owner": _tags.is_of(volume.tags, self.group.owner),
            "name": _tags.tag(volume.tags, _tags.NAME_TAG) == intent.name,
            "size": volume.size == _types.whole(intent.size),
            "source": self._is_source(volume, intent),
            "place": intent.place is None or _text(*_place(intent.place)) == volume.place,
            "kind": intent.kind is None or _types.is_same(intent.kind, volume.kind),
            "iops": intent.iops in {None, volume.iops},
            "throughput": asked in {None, volume.throughput},
            "cloud_key": key in {None, volume.key},
            "multi_attach": intent.multi_attach == volume.is_shared,
            "labels": not intent.labels or _tags.are_asked(volume.tags, intent.labels),
        }
        return tuple(sorted(field for field, is_same in same.items() if not is_same))

    def merged(self, volume: DiskRecord, intent: CreateVolume) -> tuple[str, ...]:
        """Return the fields in which a volume with our token cannot have been made for us, sorted.

        Two that create one name at once may write to one disk: its tags are then those of the
        second, and what cannot be changed is as the first one wanted it.
        """
        final = {"source", "place", "kind", "multi_attach"}
        differing = [field for field in self.differing(volume, intent) if field in final]
        if volume.size < _types.whole(intent.size):
            differing.append("size")
        return tuple(sorted(differing))

    def key(self, cloud_key: str) -> str:
        """Return the id of a disk encryption set, in lower case.

        Raises:
            InvalidRequest: it is neither an id of one, nor the name of one in this group.
        """
        lower = cloud_key.lower()
        if _SET.fullmatch(lower) is not None:
            return lower
        if _NAME.fullmatch(lower) is None:
            rule = "the name of a disk encryption set in this resource group, or its resource id"
            raise InvalidRequest("cloud_key", cloud_key, rule)
        ids = self.group.ids
        root = f"/subscriptions/{ids.subscription}/resourcegroups/{ids.group}"
        return f"{root}/providers/microsoft.compute/diskencryptionsets/{lower}"

    def _origin(self, intent: CreateVolume, deadline: Deadline) -> _Origin | None:
        match intent.source:
            case None:
                return None
            case FromSnapshot(snapshot_id):
                snapshot = self.group.snapshot(snapshot_id, deadline)
                if not snapshot.is_ready:
                    state = "error" if snapshot.is_stillborn else "pending"
                    raise WrongVolumeState(snapshot_id, state, "restoring")
                _check_size(intent, snapshot.size, snapshot_id)
                of = volume_of(self.group.ids, snapshot)
                generation = _tags.generation_of(snapshot.tags)
                source = Source(SNAPSHOT + snapshot.unique, of, generation)
                kind = _types.LARGE_SECTORS if snapshot.has_large_sectors else None
                return _Origin(source, snapshot.id, snapshot.location, kind=kind)
            case FromVolume(volume_id, generation):
                volume = self.group.volume(volume_id, deadline)
                _check_size(intent, volume.size, volume_id)
                return _Origin(
                    Source(volume.unique, volume_id, generation),
                    volume.id,
                    volume.location,
                    volume.place,
                    volume.kind,
                    volume.iops,
                    volume.throughput,
                )

    def _where(
        self, intent: CreateVolume, kind: str, origin: _Origin | None
    ) -> tuple[str, str | None]:
        """Return location and zone: as asked for, else as the source, else as the provider."""
        if intent.place is not None:
            location, zone = _place(intent.place)
        elif origin is not None and origin.place is not None:
            location, zone = _place(origin.place)
        else:
            location = self.location or (origin.location if origin is not None else "")
            zone = self.zone
        if not location:
            rule = "name one, or a location in the URL of the provider"
            raise InvalidRequest("place", intent.place, rule)
        if origin is not None and location != origin.location:
            raise InvalidRequest("place", location, f"a copy is made in {origin.location}")
        if _types.is_zonal(kind):
            return location, zone
        if intent.place is not None and zone is not None:
            raise InvalidRequest("place", intent.place, f"{kind} is in all zones: name none")
        return location, None

    def _is_source(self, volume: DiskRecord, intent: CreateVolume) -> bool:
        """Say whether Azure and our tag agree that a volume was made from what is asked for."""
        made_from = source_of(volume)
        tagged = Source.of_tag(_tags.tag(volume.tags, _tags.SOURCE_TAG))
        match intent.source:
            case None:
                return made_from is None and tagged is None
            case FromSnapshot(snapshot_id):
                unique = SNAPSHOT + self.group.ids.unique_snapshot(snapshot_id)
                return made_from == unique and tagged is not None and tagged.unique == unique
            case FromVolume(volume_id, generation):
                unique = self.group.ids.unique_volume(volume_id)
                is_tagged = tagged is not None and tagged.unique == unique
                same = tagged is not None and tagged.generation == generation
                return made_from == unique and is_tagged and same


def _creation_data(origin: _Origin | None) -> dict[str, str]:
    if origin is None:
        return {"createOption": "Empty"}
    return {"createOption": "Copy", "sourceResourceId": origin.id}


def _place(place: str) -> tuple[str, str | None]:
    """Return location and zone of a place.

    Raises:
        InvalidRequest: it is no place.
    """
    form = _PLACE.fullmatch(place.lower().replace(" ", ""))
    if form is None:
        rule = "a location, or a location and a zone: westeurope, westeurope/1"
        raise InvalidRequest("place", place, rule)
    return form["location"], form["zone"]


def _text(location: str, zone: str | None) -> str:
    return location if zone is None else f"{location}/{zone}"


def _check_size(intent: CreateVolume, least: int, source: str) -> None:
    if intent.size < least:
        rule = f"it is at least that of its source {source}, {least} bytes"
        raise InvalidRequest("size", intent.size, rule)


def _names(intent: CreateVolume) -> dict[str, str]:
    match intent.source:
        case FromSnapshot(snapshot_id):
            return {"snapshot": snapshot_id}
        case FromVolume(volume_id):
            return {"source": volume_id}
        case None:
            return {}
