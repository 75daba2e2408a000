"""Ids: what cloudcrypt calls a volume, what GCE calls it, and what a handle refers to.

GCE gives each disk and snapshot a number, and takes it in the place of the name in every path (the
patterns of the parameters in the discovery document of compute.v1). A disk that was deleted and
made anew under its name has another number, so ``gcp:<project>/<zone or region>/<number>`` names
one volume for ever, and nothing is ever done to its namesake.
"""

import json
import re
from typing import Any, Final, Self

import attrs

from cloudcrypt.errors import InvalidRequest, InvalidVolumeId, NotFound
from cloudcrypt_gcp._url import is_zone_of

SNAPSHOTS: Final = "snapshots"
"""Where a volume has its place, a snapshot, which is global, has this."""
_FORM: Final = re.compile(
    r"gcp:(?P<project>[a-z0-9.:-]{1,67})/(?P<place>[a-z0-9-]{1,34})/(?P<number>[1-9][0-9]{0,19})",
    re.ASCII,
)
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
_PART: Final = re.compile(r"[a-zA-Z0-9_-]*", re.ASCII)
_SCOPES: Final = frozenset({"global", "regions", "zones"})
_INSTANCE: Final = re.compile(
    r"((https://[a-z0-9.-]+/compute/[a-z0-9]+/)?projects/(?P<project>[a-z0-9.:-]+)/zones/)?"
    r"(?P<zone>[a-z0-9-]+)/(?(project)instances/)(?P<name>[a-z]([a-z0-9-]{0,61}[a-z0-9])?)",
    re.ASCII,
)


@attrs.frozen
class Scope:
    """Where a resource is: ``zones/ZONE``, ``regions/REGION`` or ``global``."""

    kind: str
    name: str = ""

    @classmethod
    def zone(cls, name: str) -> Self:
        """Return the scope of a zone."""
        return cls("zones", name)

    @classmethod
    def region(cls, name: str) -> Self:
        """Return the scope of a region."""
        return cls("regions", name)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the scope that ``text``, made by `str`, stands for."""
        kind, _, name = text.partition("/")
        return cls(kind, name)

    @property
    def parameters(self) -> dict[str, str]:
        """What a request names the scope by."""
        return {self.kind[:-1]: self.name} if self.name else {}

    def __str__(self) -> str:
        """Return the part of a path."""
        return f"{self.kind}/{self.name}" if self.name else self.kind


GLOBAL: Final = Scope("global")


@attrs.frozen
class Target:
    """What GCE calls a disk: its scope and its number."""

    scope: Scope
    number: str


@attrs.frozen
class Site:
    """The project and the region of a provider: what its ids are about."""

    project: str
    region: str

    def volume_id(self, scope: Scope, number: str) -> str:
        """Return the id of a volume."""
        return f"gcp:{self.project}/{scope.name}/{number}"

    def snapshot_id(self, number: str) -> str:
        """Return the id of a snapshot."""
        return f"gcp:{self.project}/{SNAPSHOTS}/{number}"

    def disk(self, volume_id: str) -> Target:
        """Return what GCE calls the volume.

        Raises:
            InvalidVolumeId: it is not an id of this provider.
            NotFound: it is one of another project or region, or of a snapshot.
        """
        place, number = self._parts("volume", volume_id)
        if place == self.region:
            return Target(Scope.region(place), number)
        if not is_zone_of(self.region, place):
            raise NotFound("volume", volume_id)
        return Target(Scope.zone(place), number)

    def snapshot(self, snapshot_id: str) -> str:
        """Return the number of the snapshot.

        Raises:
            InvalidVolumeId: it is not an id of this provider.
            NotFound: it is one of another project, or of a volume.
        """
        place, number = self._parts("snapshot", snapshot_id)
        if place != SNAPSHOTS:
            raise NotFound("snapshot", snapshot_id)
        return number

    def instance(self, text: str) -> "Instance":
        """Return the instance that ``text`` names: ``ZONE/NAME``, or the path of the resource.

        Raises:
            InvalidRequest: it names none, or one of another project.
        """
        form = _INSTANCE.fullmatch(text)
        if form is None or form["project"] not in {None, self.project}:
            rule = f"ZONE/NAME of an instance of {self.project}, or its path projects/..."
            raise InvalidRequest("instance", text, rule)
        return Instance(self.project, form["zone"], form["name"])

    def _parts(self, kind: str, text: str) -> tuple[str, str]:
        form = _FORM.fullmatch(text)
        if form is None:
            raise InvalidVolumeId(text)
        if form["project"] != self.project:
            raise NotFound(kind, text)
        return form["place"], form["number"]


@attrs.frozen
class Instance:
    """An instance, by what it is called; `str` is how cloudcrypt calls it."""

    project: str
    zone: str
    name: str

    @property
    def scope(self) -> Scope:
        """Where it is."""
        return Scope.zone(self.zone)

    @property
    def path(self) -> str:
        """The path of the resource, which GCE shows as the user of a disk."""
        return f"projects/{self.project}/zones/{self.zone}/instances/{self.name}"

    def __str__(self) -> str:
        """Return ``ZONE/NAME``."""
        return f"{self.zone}/{self.name}"


def is_snapshot(text: str) -> bool:
    """Say whether an id of this provider is that of a snapshot."""
    return f"/{SNAPSHOTS}/" in text


def holder(project: str, path: str) -> str:
    """Return what cloudcrypt calls the user of a disk: an instance, or else its path as it is."""
    form = _INSTANCE.fullmatch(path)
    if form is None or form["project"] != project:
        return path
    return f"{form['zone']}/{form['name']}"


@attrs.frozen
class Reference:
    """What a handle refers to: an operation of GCE, and what comes of it.

    ``operation`` is its name in ``scope``; empty if nothing had to be asked, or GCE does not know
    the operation any more. ``number`` is that of the disk or snapshot; empty where only ``name``,
    the one that the snapshot gets, is known yet. ``attempt`` counts how often the same was asked.
    ``since`` is the time of day, in seconds since 1970, at which GCE said that there is no such
    thing; a look that shows nothing may be one at what is new.
    """

    scope: Scope
    operation: str = ""
    number: str = ""
    name: str = ""
    attempt: int = 1
    since: float | None = None

    @classmethod
    def parse(cls, text: str, number: str | None = None) -> Self:
        """Return the reference that ``text``, made by `str`, stands for.

        Args:
            text: of a handle.
            number: of what it has to be about, where the intent says that.

        Raises:
            NotFound: it is not a reference of this provider, or about something else.
        """
        try:
            found: Any = json.loads(text)
            reference = cls(
                Scope.parse(_text(found, "scope")),
                _text(found, "operation"),
                _text(found, "number"),
                _text(found, "name"),
                _whole(found, "attempt", 1),
                found.get("since"),
            )
        except (AttributeError, RecursionError, TypeError, ValueError) as error:
            raise NotFound("operation", text) from error
        if not reference.is_sound or number not in {None, reference.number}:
            raise NotFound("operation", text)
        return reference

    @property
    def is_sound(self) -> bool:
        """Whether GCE could have all that it names."""
        is_number = _NUMBER.fullmatch(self.number) is not None
        parts = (self.scope.name, self.operation, self.name)
        return (
            (is_number or (not self.number and bool(self.name)))
            and all(_PART.fullmatch(part) for part in parts)
            and self.scope.kind in _SCOPES
            and bool(self.scope.name) == (self.scope.kind != GLOBAL.kind)
            and (self.since is None or isinstance(self.since, float))
        )

    def __str__(self) -> str:
        """Return the text of the reference."""
        facts = attrs.asdict(self, recurse=False) | {"scope": str(self.scope)}
        if self.attempt == 1:
            del facts["attempt"]
        return json.dumps({key: fact for key, fact in facts.items() if fact}, sort_keys=True)


def _whole(document: Any, name: str, otherwise: int) -> int:  # noqa: ANN401 - of a stored text
    number = document.get(name, otherwise)
    if type(number) is not int or number < 1:
        raise TypeError(name)
    return number


def _text(document: Any, name: str) -> str:  # noqa: ANN401 - of a stored text
    text = document.get(name, "")
    if not isinstance(text, str):
        raise TypeError(name)
    return text
