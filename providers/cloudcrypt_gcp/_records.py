"""What GCE shows, as values: sizes in bytes, rates in bytes a second, times in UTC.

Fields of the SDK's messages are never missing: what GCE does not say is empty or zero there.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

import attrs

from cloudcrypt.sizes import GIB, MIB
from cloudcrypt_gcp._ids import GLOBAL, Scope
from cloudcrypt_gcp._marks import Mark

SHARED: Final = "READ_WRITE_MANY"
"""The access mode of a disk that several instances may write to."""
COMING: Final = frozenset({"CREATING", "RESTORING"})
"""States of a disk that is not yet there completely."""

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_KEY_VERSION: Final = "/cryptoKeyVersions/"
_FAILURES: Final = 400
"""The least HTTP status that says that something has failed."""


def path_of(url: str) -> str:
    """Return the path ``projects/...`` of a resource, whichever host its URL names."""
    return url[url.find("projects/") :] if "projects/" in url else url


def name_of(url: str) -> str:
    """Return the last part of a URL: the name of the resource."""
    return url.rpartition("/")[2]


def key_name(key: str) -> str:
    """Return the name of a key without the version that GCE adds to it, and without a host."""
    return path_of(key).partition(_KEY_VERSION)[0]


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return _EPOCH


def _scope(shown: Any) -> Scope:  # noqa: ANN401 - a message of the SDK
    if shown.zone:
        return Scope.zone(name_of(shown.zone))
    return Scope.region(name_of(shown.region)) if shown.region else GLOBAL


@attrs.frozen
class DiskRecord:
    """A disk; ``path`` is that of the resource, ``users`` are the paths of its holders.

    ``source`` is the number of the snapshot or disk that it was made from, ``other_source`` what
    else it was made from, in words of GCE.
    """

    number: str
    name: str
    path: str
    scope: Scope
    replicas: tuple[str, ...]
    status: str
    size: int
    kind: str
    iops: int | None
    throughput: int | None
    access_mode: str
    key: str | None
    created: datetime
    labels: Mapping[str, str]
    fingerprint: str
    mark: Mark | None
    users: tuple[str, ...]
    snapshot: str | None
    disk: str | None
    other_source: str | None

    @classmethod
    def of(cls, shown: Any) -> Self:  # noqa: ANN401 - a message of the SDK
        """Read what GCE shows."""
        throughput = int(shown.provisioned_throughput)
        return cls(
            number=str(shown.id),
            name=str(shown.name),
            path=path_of(shown.self_link),
            scope=_scope(shown),
            replicas=tuple(sorted(map(name_of, shown.replica_zones))),
            status=str(shown.status),
            size=int(shown.size_gb) * GIB,
            kind=name_of(shown.type_),
            iops=int(shown.provisioned_iops) or None,
            throughput=throughput * MIB or None,
            access_mode=str(shown.access_mode),
            key=key_name(shown.disk_encryption_key.kms_key_name) or None,
            created=_time(shown.creation_timestamp),
            labels=dict(shown.labels),
            fingerprint=str(shown.label_fingerprint),
            mark=Mark.of(shown.description),
            users=tuple(map(path_of, shown.users)),
            snapshot=shown.source_snapshot_id or None,
            disk=shown.source_disk_id or None,
            other_source=_other_source(shown),
        )

    @property
    def is_regional(self) -> bool:
        """Whether it is in two zones."""
        return self.scope.kind == "regions"

    @property
    def place(self) -> str:
        """The zone, or the two zones that it is in."""
        return ",".join(self.replicas) if self.is_regional else self.scope.name

    @property
    def is_shared(self) -> bool:
        """Whether several instances may write to it."""
        return self.access_mode == SHARED

    @property
    def is_going(self) -> bool:
        """Whether it is being deleted."""
        return self.status == "DELETING"


_OTHER_SOURCES: Final = (
    "source_image_id",
    "source_instant_snapshot_id",
    "source_machine_image_id",
    "source_consistency_group_policy_id",
    "source_image",
    "source_instant_snapshot",
    "source_machine_image",
    "source_storage_object",
)


def _other_source(shown: Any) -> str | None:  # noqa: ANN401 - a message of the SDK
    """Return what a disk was made from that is neither snapshot nor disk: it is not blank."""
    for field in _OTHER_SOURCES:
        value = str(getattr(shown, field, "") or "")
        if value:
            return value
    return None


@attrs.frozen
class SnapshotRecord:
    """A snapshot; ``size`` is that of the disk, ``disk_path`` and ``disk`` say which one."""

    number: str
    name: str
    path: str
    status: str
    size: int
    created: datetime
    labels: Mapping[str, str]
    mark: Mark | None
    disk_path: str
    disk: str

    @classmethod
    def of(cls, shown: Any) -> Self:  # noqa: ANN401 - a message of the SDK
        """Read what GCE shows."""
        return cls(
            number=str(shown.id),
            name=str(shown.name),
            path=path_of(shown.self_link),
            status=str(shown.status),
            size=int(shown.disk_size_gb) * GIB,
            created=_time(shown.creation_timestamp),
            labels=dict(shown.labels),
            mark=Mark.of(shown.description),
            disk_path=path_of(shown.source_disk),
            disk=str(shown.source_disk_id),
        )

    @property
    def is_going(self) -> bool:
        """Whether it is being deleted."""
        return self.status == "DELETING"


@attrs.frozen
class Attached:
    """A disk on an instance, as the instance shows it: ``source`` is the path of the disk."""

    source: str
    device_name: str
    mode: str


@attrs.frozen
class InstanceRecord:
    """An instance; ``machine`` is the name of its type."""

    path: str
    status: str
    machine: str
    disks: tuple[Attached, ...]

    @classmethod
    def of(cls, shown: Any) -> Self:  # noqa: ANN401 - a message of the SDK
        """Read what GCE shows."""
        disks: Iterable[Any] = shown.disks
        return cls(
            path=path_of(shown.self_link),
            status=str(shown.status),
            machine=name_of(shown.machine_type),
            disks=tuple(
                Attached(path_of(one.source), str(one.device_name), str(one.mode)) for one in disks
            ),
        )

    def attached(self, disk: DiskRecord) -> Attached | None:
        """Return how ``disk`` is attached, or None; what counts is the source, not a name."""
        return next((one for one in self.disks if one.source == disk.path), None)


def _errors(shown: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - a message of the SDK
    """Return code and message of each error of an operation; its HTTP status alone is one, too."""
    errors: Iterable[Any] = shown.error.errors
    found = tuple((str(one.code), str(one.message)) for one in errors)
    status = int(shown.http_error_status_code)
    if not found and status >= _FAILURES:
        return ((f"HTTP {status}", str(shown.http_error_message)),)
    return found


@attrs.frozen
class OperationRecord:
    """An operation; ``target`` is the path of what it changes, ``errors`` code and message."""

    name: str
    scope: Scope
    kind: str
    is_done: bool
    status: str
    target: str
    number: str
    request_id: str
    errors: tuple[tuple[str, str], ...]
    http_status: int | None

    @classmethod
    def of(cls, shown: Any) -> Self:  # noqa: ANN401 - a message of the SDK
        """Read what GCE shows."""
        status = str(getattr(shown.status, "name", shown.status))
        return cls(
            name=str(shown.name),
            scope=_scope(shown),
            kind=str(shown.operation_type),
            is_done=status == "DONE",
            status=status.lower(),
            target=path_of(shown.target_link),
            number=str(shown.target_id),
            request_id=str(shown.client_operation_id),
            errors=_errors(shown),
            http_status=int(shown.http_error_status_code) or None,
        )
