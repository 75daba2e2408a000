"""What Azure shows, as values: sizes in bytes, rates in bytes a second, times in UTC.

Ids are in lower case, since Azure does not look at case and answers in that of whoever asked or
created. Paths are resource ids; a text that is compared with another one is never a name alone.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeGuard, cast

import attrs

from cloudcrypt.sizes import GIB
from cloudcrypt_azure._instances import holder_of

Shown = Mapping[str, Any]
"""A document of Azure's answer; anything may be missing."""

MEGA: Final = 1_000_000
"""Bytes: Azure's ``diskMBpsReadWrite`` is in decimal megabytes a second (DiskProperties)."""
LUNS: Final = 64
"""Logical unit numbers of one machine: 0 to 63 (VirtualMachine, DataDisk.lun)."""

_LARGE: Final = 4096
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_IN_FLIGHT: Final = frozenset({"creating", "updating", "migrating"})


def _part(shown: Shown, *path: str) -> Shown:
    """Return what is at ``path``, or nothing."""
    for name in path:
        found = shown.get(name)
        if not isinstance(found, Mapping):
            return {}
        shown = cast("Shown", found)
    return shown


def _list(shown: Shown, name: str) -> Iterable[Any]:
    found = shown.get(name)
    return found if _is_list(found) else ()


def _is_list(found: object) -> TypeGuard[list[Any]]:
    return isinstance(found, list)


def _time(shown: Shown, field: str) -> datetime | None:
    text = shown.get(field)
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def _text(shown: Shown, field: str) -> str | None:
    text = shown.get(field)
    return text if isinstance(text, str) and text else None


def _lower(shown: Shown, field: str) -> str | None:
    text = _text(shown, field)
    return None if text is None else text.lower()


def _tags(shown: Shown) -> dict[str, str]:
    return {str(key): str(value or "") for key, value in _part(shown, "tags").items()}


def _holders(shown: Shown, properties: Shown) -> tuple[str, ...]:
    """Return who holds a disk, whichever field says so: one, or several for a shared disk."""
    named = [shown.get("managedBy"), *_list(shown, "managedByExtended")]
    named += [_part({"of": one}, "of").get("vmUri") for one in _list(properties, "shareInfo")]
    ids = [one for one in named if isinstance(one, str) and one]
    return tuple(dict.fromkeys(holder_of(one) for one in ids))


def _percent(properties: Shown) -> float:
    percent = properties.get("completionPercent")
    return float(percent) if isinstance(percent, int | float) else 100.0


@attrs.frozen
class DiskRecord:
    """A disk; ``name`` is Azure's, ``state`` the provisioning state, ``key`` the encryption set.

    ``id`` is what Azure calls it in requests, ``path`` the same in lower case. ``source`` is the
    path of what it was copied from, or how it was made if that is neither known nor from nothing;
    ``source_unique`` is the ``uniqueId`` of that. ``was_held`` says whether it was ever attached.
    """

    name: str
    id: str
    path: str
    unique: str
    size: int
    state: str
    use: str
    kind: str | None
    place: str
    location: str
    iops: int | None
    throughput: int | None
    created: datetime
    tags: Mapping[str, str]
    holders: tuple[str, ...]
    source: str | None
    source_unique: str | None
    key: str | None
    is_shared: bool
    was_held: bool

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Read what Azure shows."""
        properties = _part(shown, "properties")
        creation = _part(properties, "creationData")
        location = (_lower(shown, "location") or "").replace(" ", "")
        zones = [str(zone) for zone in _list(shown, "zones")]
        option = _lower(creation, "createOption") or "unknown"
        megabytes = properties.get("diskMBpsReadWrite")
        return cls(
            name=_lower(shown, "name") or "",
            id=_text(shown, "id") or "",
            path=_lower(shown, "id") or "",
            unique=_lower(properties, "uniqueId") or "",
            size=int(properties.get("diskSizeGB") or 0) * GIB,
            state=_lower(properties, "provisioningState") or "creating",
            use=_lower(properties, "diskState") or "",
            kind=_text(_part(shown, "sku"), "name"),
            place=f"{location}/{zones[0]}" if zones else location,
            location=location,
            iops=properties.get("diskIOPSReadWrite"),
            throughput=None if megabytes is None else int(megabytes) * MEGA,
            created=_time(properties, "timeCreated") or _EPOCH,
            tags=_tags(shown),
            holders=_holders(shown, properties),
            source=_lower(creation, "sourceResourceId") or (None if option == "empty" else option),
            source_unique=_lower(creation, "sourceUniqueId"),
            key=_lower(_part(properties, "encryption"), "diskEncryptionSetId"),
            is_shared=int(properties.get("maxShares") or 1) > 1,
            was_held=any(key.lower() == "lastownershipupdatetime" for key in properties),
        )

    @property
    def is_going(self) -> bool:
        """Whether it is being deleted."""
        return self.state == "deleting"

    @property
    def is_in_flight(self) -> bool:
        """Whether it is being created or changed."""
        return self.state in _IN_FLIGHT

    @property
    def is_stillborn(self) -> bool:
        """Whether its creation failed. A change that failed leaves a disk that is good."""
        return self.state in {"failed", "canceled"} and not (self.was_held or self.holders)


@attrs.frozen
class SnapshotRecord:
    """A snapshot; ``source_unique`` is the ``uniqueId`` of the disk, ``size`` that of the disk.

    ``id`` and ``path`` are as those of a disk; ``has_large_sectors`` says that its logical sectors
    are of 4096 bytes, which only Ultra and Premium SSD v2 disks have.
    """

    name: str
    id: str
    path: str
    unique: str
    size: int
    state: str
    percent: float
    location: str
    created: datetime
    tags: Mapping[str, str]
    source: str | None
    source_unique: str | None
    has_large_sectors: bool

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Read what Azure shows."""
        properties = _part(shown, "properties")
        creation = _part(properties, "creationData")
        return cls(
            name=_lower(shown, "name") or "",
            id=_text(shown, "id") or "",
            path=_lower(shown, "id") or "",
            unique=_lower(properties, "uniqueId") or "",
            size=int(properties.get("diskSizeGB") or 0) * GIB,
            state=_lower(properties, "provisioningState") or "creating",
            percent=_percent(properties),
            location=(_lower(shown, "location") or "").replace(" ", ""),
            created=_time(properties, "timeCreated") or _EPOCH,
            tags=_tags(shown),
            source=_lower(creation, "sourceResourceId"),
            source_unique=_lower(creation, "sourceUniqueId"),
            has_large_sectors=creation.get("logicalSectorSize") == _LARGE,
        )

    @property
    def is_going(self) -> bool:
        """Whether it is being deleted."""
        return self.state == "deleting"

    @property
    def is_stillborn(self) -> bool:
        """Whether its creation failed."""
        return self.state in {"failed", "canceled"}

    @property
    def is_ready(self) -> bool:
        """Whether it can be restored: incremental ones are copied in the background."""
        return self.state == "succeeded" and self.percent >= 100


def _present(view: Shown) -> Iterable[str]:
    """Yield the names of the disks whose attachment came about, as the host says."""
    for disk in _list(view, "disks"):
        codes = {str(status.get("code")).lower() for status in _list(disk, "statuses")}
        if "provisioningstate/succeeded" in codes:
            yield str(disk.get("name")).lower()


@attrs.frozen
class Seat:
    """A data disk as its machine shows it, at a logical unit number."""

    lun: int
    name: str
    path: str
    is_leaving: bool

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Read what Azure shows."""
        return cls(
            int(shown.get("lun") or 0),
            _text(shown, "name") or "",
            _lower(_part(shown, "managedDisk"), "id") or "",
            shown.get("toBeDetached") is True,
        )


@attrs.frozen
class MachineRecord:
    """A machine; ``etag`` is that of its model, ``disks`` its data disks as Azure shows them.

    ``present`` are the names of the disks that its host has, where it was asked for its view.
    """

    path: str
    location: str
    size: str
    state: str
    etag: str | None
    disks: tuple[Shown, ...]
    seats: tuple[Seat, ...]
    present: frozenset[str]

    @classmethod
    def of(cls, shown: Shown, etag: str | None = None) -> Self:
        """Read what Azure shows; ``etag`` is that of the answer's header."""
        properties = _part(shown, "properties")
        disks = tuple(
            cast("Shown", one)
            for one in _list(_part(properties, "storageProfile"), "dataDisks")
            if isinstance(one, Mapping)
        )
        size = _text(_part(properties, "hardwareProfile"), "vmSize")
        return cls(
            path=_lower(shown, "id") or "",
            location=(_lower(shown, "location") or "").replace(" ", ""),
            size=size or _text(_part(shown, "sku"), "name") or "",
            state=_lower(properties, "provisioningState") or "",
            etag=_text(shown, "etag") or etag,
            disks=disks,
            seats=tuple(map(Seat.of, disks)),
            present=frozenset(_present(_part(properties, "instanceView"))),
        )

    def seat(self, path: str) -> Seat | None:
        """Return where the disk with this path is; a name alone may be that of another disk."""
        return next((seat for seat in self.seats if seat.path == path), None)

    def free_lun(self) -> int | None:
        """Return the lowest number that is free: 0 first, or Linux may not scan for the others.

        It is below the limit of the machine's size whenever that leaves room for one more disk.
        """
        taken = {seat.lun for seat in self.seats}
        return next((lun for lun in range(LUNS) if lun not in taken), None)

    @property
    def is_in_flight(self) -> bool:
        """Whether the machine is being changed."""
        return self.state in _IN_FLIGHT

    @property
    def is_going(self) -> bool:
        """Whether the machine is being deleted."""
        return self.state == "deleting"

    @property
    def has_failed(self) -> bool:
        """Whether the last change of the machine failed."""
        return self.state in {"failed", "canceled"}
