"""Ids: what cloudcrypt calls a volume, and what a handle refers to.

Azure's API goes by names, which are used again. Each disk and snapshot also has a ``uniqueId``, a
GUID that is its own for ever (Microsoft.Compute/disks, DiskProperties): that is in our ids, and
whatever is found by a name is checked against it.
"""

import json
import math
import re
from typing import Any, Final, Self, cast
from urllib.parse import SplitResult, urlsplit

import attrs

from cloudcrypt.errors import InvalidVolumeId, NotFound
from cloudcrypt_azure._names import digest, slug

SNAPSHOT: Final = "snapshot-"
_GUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FORM: Final = re.compile(
    rf"azure:(?P<subscription>{_GUID})/(?P<group>[a-z0-9._-]{{1,39}})/"
    rf"(?P<unique>(?P<kind>{SNAPSHOT})?{_GUID})",
    re.ASCII,
)
_GROUP: Final = re.compile(r"[a-z0-9._-]{1,39}", re.ASCII)
"""What an id can show of a resource group as it is: an id has 128 characters, the other parts of a
snapshot's have 89."""
_DERIVED: Final = re.compile(r".*-[0-9a-f]{16}", re.ASCII)
_PREFIX: Final = 20
_RESOURCE: Final = re.compile(r"[a-z0-9_-]{1,80}", re.ASCII)
_OPERATION: Final = re.compile(r"providers/microsoft\.compute(/[a-z0-9_-]{1,90}){2,8}", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}
_URL_MAX: Final = 8192
"""Characters of the URL of an operation: it may have a signature of Azure in its query."""


def group_text(group: str) -> str:
    """Return how ids show a resource group: its name, or a prefix of that and a digest."""
    if _GROUP.fullmatch(group) is not None and _DERIVED.fullmatch(group) is None:
        return group
    return f"{slug(group, _PREFIX)}-{digest(group)}"


@attrs.frozen
class Ids:
    """The ids of one resource group; ``group`` is its name in lower case."""

    subscription: str
    group: str

    def volume(self, unique: str) -> str:
        """Return the id of the volume with this ``uniqueId``."""
        return canonical(self.subscription, self.group, unique)

    def snapshot(self, unique: str) -> str:
        """Return the id of the snapshot with this ``uniqueId``."""
        return canonical(self.subscription, self.group, SNAPSHOT + unique.lower())

    def unique_volume(self, volume_id: str) -> str:
        """Return the ``uniqueId`` of a volume.

        Raises:
            InvalidVolumeId: it is not an id of this provider.
            NotFound: it is one of another resource group, or of a snapshot.
        """
        return self._unique(volume_id, "volume")

    def unique_snapshot(self, snapshot_id: str) -> str:
        """Return the ``uniqueId`` of a snapshot.

        Raises:
            InvalidVolumeId: it is not an id of this provider.
            NotFound: it is one of another resource group, or of a volume.
        """
        return self._unique(snapshot_id, "snapshot")

    def _unique(self, text: str, kind: str) -> str:
        form = _FORM.fullmatch(text)
        if form is None:
            raise InvalidVolumeId(text)
        here = (self.subscription, group_text(self.group))
        is_kind = (form["kind"] is not None) == (kind == "snapshot")
        if (form["subscription"], form["group"]) != here or not is_kind:
            raise NotFound(kind, text)
        return form["unique"].removeprefix(SNAPSHOT)


def canonical(subscription: str, group: str, unique: str) -> str:
    """Return the id of what is ``unique`` in a resource group."""
    return f"azure:{subscription.lower()}/{group_text(group.lower())}/{unique.lower()}"


@attrs.frozen
class Endpoint:
    """Azure Resource Manager as this provider asks it: where, and for which subscription."""

    url: str
    subscription: str

    def is_ours(self, url: str) -> bool:
        """Say whether ``url`` is one of our subscription, where this provider asks."""
        return self._path_of(url) is not None

    def is_operation(self, url: str) -> bool:
        """Say whether ``url`` is one of an operation of ours.

        A handle comes from a file: whoever can write there must not get a token sent elsewhere.
        """
        return _OPERATION.fullmatch(self._path_of(url) or "") is not None

    def _path_of(self, url: str) -> str | None:
        """Return the path of ``url`` below our subscription, in lower case, if it is there."""
        if len(url) > _URL_MAX or not (url.isascii() and url.isprintable()):
            return None
        try:
            ours, theirs = urlsplit(self.url), urlsplit(url)
            is_here = _host(theirs) == _host(ours)
        except ValueError:
            return None
        root = f"{ours.path.rstrip('/')}/subscriptions/{self.subscription}/".lower()
        path = theirs.path.lower()
        is_plain = not theirs.fragment and "@" not in theirs.netloc and "/.." not in path
        return path.removeprefix(root) if is_here and is_plain and path.startswith(root) else None


def _host(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Return whom a URL asks; Azure writes the usual port in some of its URLs."""
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


@attrs.frozen
class Reference:
    """What a handle refers to: one JSON document without secrets.

    ``name`` is that of a disk or snapshot on Azure, ``unique`` its ``uniqueId`` where it is known,
    ``operation`` the URL of Azure's operation, ``time`` in seconds since 1970 when it was asked
    for, ``answered`` the same by Azure's clock, ``lun`` the logical unit number that was asked for;
    ``is_slow`` and ``is_late`` say of a disk that its maker may be another one, see
    `cloudcrypt_azure._contest`.
    """

    name: str
    unique: str | None = None
    operation: str | None = None
    time: float | None = None
    answered: float | None = None
    lun: int | None = None
    is_slow: bool = False
    is_late: bool = False

    def __str__(self) -> str:
        """Return the text of the reference."""
        facts = attrs.asdict(self, filter=lambda _, value: value is not None and value is not False)
        return json.dumps(facts, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str, endpoint: Endpoint, unique: str | None = None) -> Self:
        """Return the reference that ``text``, made by `str`, stands for.

        Args:
            text: of a handle.
            endpoint: where its operation has to be.
            unique: the ``uniqueId`` that it has to be about, where the intent says that.

        Raises:
            NotFound: it is not a reference of this provider, or about something else.
        """
        try:
            facts = cast("dict[str, Any]", json.loads(text))
            reference = cls(**facts)
            is_ours = _is_reference(reference, endpoint)
        except (ValueError, TypeError, RecursionError) as error:
            raise NotFound("operation", text) from error
        if not is_ours or (unique is not None and reference.unique != unique):
            raise NotFound("operation", text)
        return reference


def _is_reference(reference: Reference, endpoint: Endpoint) -> bool:
    unique, operation = reference.unique, reference.operation
    return (
        _RESOURCE.fullmatch(reference.name) is not None
        and (unique is None or re.fullmatch(_GUID, unique) is not None)
        and (operation is None or endpoint.is_operation(operation))
        and _is_time(reference.time)
        and _is_time(reference.answered)
        and (reference.lun is None or type(reference.lun) is int)
        and {type(reference.is_slow), type(reference.is_late)} == {bool}
    )


def _is_time(time: float | None) -> bool:
    return time is None or (type(time) in {int, float} and math.isfinite(time))
