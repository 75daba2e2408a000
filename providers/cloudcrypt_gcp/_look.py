"""What GCE has now: disks, snapshots, instances and zones.

By number there is one request for one thing: GCE has none for several. A look may be old, so what
is not there is looked for once more before that is said.
"""

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cloudcrypt.errors import NotFound, ProviderUnavailable
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp import _names
from cloudcrypt_gcp._client import Api
from cloudcrypt_gcp._ids import Instance, Scope, Site
from cloudcrypt_gcp._marks import OWNER_LABEL, TOKEN_LABEL, Mark
from cloudcrypt_gcp._records import DiskRecord, InstanceRecord, SnapshotRecord, name_of
from cloudcrypt_gcp._url import is_zone_of

DISKS: Final[Mapping[str, str]] = {"zones": "disks", "regions": "regionDisks"}
"""What GCE calls the disks of a kind of scope."""
INCOMPLETE: Final = frozenset({"PARTIAL_SUCCESS", "UNREACHABLE"})
"""Codes of the warnings that stand where something should be, but is not known."""


def where(field: str, value: str) -> str:
    """Return the filter of a list for things whose ``field`` is ``value``."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'({field} = "{quoted}")'


class Look:
    """What GCE has now of one owner in one region, and by number of anybody. Thread-safe."""

    def __init__(self, api: Api, site: Site, owner: str) -> None:
        """Look with ``api``; lists show only things of ``owner``."""
        self._api = api
        self._site = site
        self._owner = owner
        self._zones: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def disk(self, scope: Scope, key: str, deadline: Deadline) -> DiskRecord | None:
        """Return the disk with this number or name, or None if GCE has none."""
        parameters = {**scope.parameters, "disk": key}
        shown = self._found(f"{DISKS[scope.kind]}.get", parameters, deadline, {"volume": key})
        record = None if shown is None else DiskRecord.of(shown)
        return record if record is not None and key in {record.number, record.name} else None

    def snapshot(self, key: str, deadline: Deadline) -> SnapshotRecord | None:
        """Return the snapshot with this number or name, or None if GCE has none."""
        names = {"snapshot": key}
        shown = self._found("snapshots.get", names, deadline, names)
        record = None if shown is None else SnapshotRecord.of(shown)
        return record if record is not None and key in {record.number, record.name} else None

    def instance(self, instance: Instance, deadline: Deadline) -> InstanceRecord | None:
        """Return the instance, or None if GCE has none."""
        parameters = {"zone": instance.zone, "instance": instance.name}
        names = {"instance": str(instance)}
        shown = self._found("instances.get", parameters, deadline, names)
        return None if shown is None else InstanceRecord.of(shown)

    def disks(self, deadline: Deadline) -> Iterator[DiskRecord]:
        """Yield all disks of the owner, in GCE's order."""
        ours = where(f"labels.{OWNER_LABEL}", _names.owner_label(self._owner))
        return self._listed_disks(ours, deadline)

    def disks_named(
        self, name: str, deadline: Deadline, *, token: str | None = None
    ) -> tuple[DiskRecord, ...]:
        """Return the owner's disks with a name, or with the label of a token, oldest first."""
        wanted = where("name", _names.disk_name(name))
        if token is not None:
            wanted = f"{wanted} OR {where(f'labels.{TOKEN_LABEL}', token)}"
        found = self._listed_disks(wanted, deadline)
        return tuple(
            sorted(
                (one for one in found if one.mark is not None and _is_of(one.mark, name, token)),
                key=lambda one: one.created,
            )
        )

    def snapshots(self, deadline: Deadline) -> Iterator[SnapshotRecord]:
        """Yield all snapshots of the owner that are of disks of the region, in GCE's order."""
        ours = where(f"labels.{OWNER_LABEL}", _names.owner_label(self._owner))
        return self._listed_snapshots(ours, deadline)

    def snapshots_named(
        self, name: str, deadline: Deadline, *, token: str | None = None
    ) -> tuple[SnapshotRecord, ...]:
        """Return the owner's snapshots with a name, or with a token, oldest first."""
        wanted = where("name", _names.snapshot_name(self._site.region, self._owner, name))
        if token is not None:
            wanted = f"{wanted} OR {where(f'labels.{TOKEN_LABEL}', token)}"
        found = self._listed_snapshots(wanted, deadline)
        return tuple(
            sorted(
                (one for one in found if one.mark is not None and _is_of(one.mark, name, token)),
                key=lambda one: one.created,
            )
        )

    def zones(self, deadline: Deadline) -> tuple[str, ...]:
        """Return the zones of the region, sorted; asked once.

        Raises:
            NotFound: there is no such region.
        """
        with self._lock:
            known = self._zones
        if not known:
            names = {"region": self._site.region}
            shown = self._api.again("regions.get", {"region": self._site.region}, deadline, names)
            known = tuple(sorted(map(name_of, shown.zones)))
            with self._lock:
                self._zones = known
        return known

    def _found(
        self,
        action: str,
        parameters: Mapping[str, object],
        deadline: Deadline,
        names: Mapping[str, str],
    ) -> Any | None:  # noqa: ANN401 - a message of the SDK
        """Return what the only one of ``names`` stands for, or None if GCE has no such thing.

        Raises:
            NotFound: it is something else that there is not, such as the project.
        """
        for _ in range(2):
            try:
                return self._api.again(action, parameters, deadline, names)
            except NotFound as error:
                if error.kind not in names:
                    raise
        return None

    def _listed_disks(self, wanted: str, deadline: Deadline) -> Iterator[DiskRecord]:
        for page in self._api.pages("disks.aggregatedList", {"filter": wanted}, deadline):
            self._check_reached(page.unreachables or _unreached(page, self._site.region))
            for scope, shown in page.items.items():
                if not self._is_here(scope):
                    continue
                if shown.warning.code in INCOMPLETE:
                    self._check_reached([scope])
                for one in shown.disks:
                    record = DiskRecord.of(one)
                    if record.mark is not None and record.mark.owner == self._owner:
                        yield record

    def _listed_snapshots(self, wanted: str, deadline: Deadline) -> Iterator[SnapshotRecord]:
        for page in self._api.pages("snapshots.list", {"filter": wanted}, deadline):
            self._check_reached(_unreached(page, self._site.region))
            for one in page.items:
                record = SnapshotRecord.of(one)
                mark = record.mark
                if mark is not None and mark.owner == self._owner and self._is_of_here(mark):
                    yield record

    def _check_reached(self, scopes: Any) -> None:  # noqa: ANN401 - a list of the SDK
        """Return if GCE knows what there is in our region: no answer is not an empty one."""
        missing = [str(scope) for scope in scopes if self._is_here(str(scope))]
        if missing:
            reason = f"GCE cannot reach {', '.join(missing)}"
            raise ProviderUnavailable(f"gcp://{self._site.project}/{self._site.region}", reason)

    def _is_here(self, scope: str) -> bool:
        region = self._site.region
        return name_of(scope) == region or is_zone_of(region, name_of(scope))

    def _is_of_here(self, mark: Mark) -> bool:
        """Say whether a snapshot is of a volume of our region; snapshots themselves are global."""
        place = (mark.volume or "").split("/")[-2:-1]
        return bool(place) and self._is_here(place[0])


def _is_of(mark: Mark, name: str, token: str | None) -> bool:
    return mark.name == name or (token is not None and mark.token == token)


def _unreached(page: Any, region: str) -> list[str]:  # noqa: ANN401 - a message of the SDK
    """Return what a page does not know, where it only says that there is something: all of it."""
    return [f"regions/{region}"] if page.warning.code in INCOMPLETE else []
