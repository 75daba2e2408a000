"""Storage accounts: blobs, and what versions, snapshots and soft delete keep of them."""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

import attrs

from cloudcrypt_testing.fake_azure_keys.errors import ServiceError
from cloudcrypt_testing.world.clock import FakeClock


@attrs.define
class Record:
    """A blob, or a version or a snapshot of it."""

    content: bytes = attrs.field(repr=False)
    etag: str
    modified: datetime
    kind: Literal["blob", "version", "snapshot"] = "blob"
    stamp: str | None = None
    """The id of a version, also of the current one; the time of a snapshot."""
    deleted: datetime | None = None
    """When it was soft-deleted."""
    blob_type: str = "BlockBlob"
    metadata: Mapping[str, str] = attrs.field(factory=dict[str, str])


@attrs.define
class Account:
    """The settings of a storage account, which may be changed at any time, and its containers.

    ``soft_delete`` is in days. ``permanent_delete`` says whether the account allows it at all,
    ``may_purge`` whether whoever asks has the permission.
    """

    _clock: FakeClock
    versioning: bool = False
    soft_delete: int | None = None
    permanent_delete: bool = False
    may_purge: bool = True
    containers: dict[str, dict[str, list[Record]]] = attrs.field(
        factory=dict[str, dict[str, list[Record]]]
    )
    _stamps: int = 0

    def blob(self, container: str, name: str) -> Record | None:
        """Return the blob of this name as it is now."""
        records = self._container(container).get(name, [])
        return next((one for one in records if one.kind == "blob" and not one.deleted), None)

    def records(self, container: str) -> list[tuple[str, Record]]:
        """Return everything that there is in a container, by name, the blob itself last."""
        order = {"snapshot": 0, "version": 1, "blob": 2}
        return [
            (name, one)
            for name, records in sorted(self._container(container).items())
            for one in sorted(records, key=lambda one: (order[one.kind], one.stamp or ""))
        ]

    def put(
        self,
        container: str,
        name: str,
        content: bytes,
        blob_type: str = "BlockBlob",
        metadata: Mapping[str, str] | None = None,
    ) -> Record:
        """Write a blob, and keep what the account keeps of the one before."""
        records = self._container(container).setdefault(name, [])
        for old in [one for one in records if one.kind == "blob"]:
            self._keep_replaced(records, old)
        new = Record(content, f'"0x{secrets.token_hex(8).upper()}"', self._clock.now())
        new.blob_type, new.metadata = blob_type, metadata or {}
        new.stamp = self._stamp() if self.versioning else None
        records.append(new)
        return new

    def snapshot(self, container: str, name: str) -> Record:
        """Take a snapshot of a blob."""
        blob = self._present(container, name)
        copy = attrs.evolve(blob, kind="snapshot", stamp=self._stamp())
        self._container(container)[name].append(copy)
        return copy

    def delete(self, container: str, name: str, *, with_snapshots: bool) -> None:
        """Delete a blob, and keep of it what the account keeps."""
        blob, records = self._present(container, name), self._container(container)[name]
        snapshots = [one for one in records if one.kind == "snapshot" and not one.deleted]
        if snapshots and not with_snapshots:
            raise ServiceError(409, "SnapshotsPresent", "This operation is not permitted.")
        for one in snapshots:
            self._drop(records, one)
        if self.versioning:
            blob.kind = "version"
            blob.stamp = blob.stamp or self._stamp()
        else:
            self._drop(records, blob)

    def delete_copy(
        self, container: str, name: str, kind: str, stamp: str, *, is_permanent: bool
    ) -> None:
        """Delete a version or a snapshot."""
        records = self._container(container).get(name, [])
        found = next((one for one in records if one.stamp == stamp), None)
        if found is None or (found.deleted and not is_permanent):
            raise absent()
        if found.kind == "blob":
            text = "The operation is not allowed on the current version of a blob."
            raise ServiceError(403, "OperationNotAllowedOnRootBlob", text)
        if found.kind != kind:
            raise absent()
        if not is_permanent:
            self._drop(records, found)
        elif not found.deleted:
            text = "The version or snapshot is not soft-deleted."
            raise ServiceError(409, "BlobSnapshotNotSoftDeleted", text)
        else:
            records.remove(found)

    def left(self, record: Record) -> int:
        """Return for how many days something that was soft-deleted is kept."""
        until = (record.deleted or self._clock.now()) + timedelta(days=self.soft_delete or 0)
        return max(0, (until - self._clock.now()).days)

    def _keep_replaced(self, records: list[Record], old: Record) -> None:
        if self.versioning and not old.deleted:
            old.kind = "version"
            old.stamp = old.stamp or self._stamp()
        elif self.soft_delete or old.deleted:
            old.kind, old.stamp = "snapshot", self._stamp()
            old.deleted = old.deleted or self._clock.now()
        else:
            records.remove(old)

    def _drop(self, records: list[Record], record: Record) -> None:
        if self.soft_delete:
            record.deleted = self._clock.now()
        else:
            records.remove(record)

    def _present(self, container: str, name: str) -> Record:
        found = self.blob(container, name)
        if found is None:
            raise absent()
        return found

    def _container(self, name: str) -> dict[str, list[Record]]:
        found = self.containers.get(name)
        if found is None:
            text = "The specified container does not exist."
            raise ServiceError(404, "ContainerNotFound", text)
        return found

    def _stamp(self) -> str:
        self._stamps += 1
        return f"{self._clock.now():%Y-%m-%dT%H:%M:%S}.{self._stamps:07d}Z"


def absent() -> ServiceError:
    """Return what is said of a blob that is not there."""
    return ServiceError(404, "BlobNotFound", "The specified blob does not exist.")
