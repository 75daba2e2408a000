"""Records as the API shows them: JSON without what is empty."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from cloudcrypt_testing.fake_gce import kinds, machines
from cloudcrypt_testing.fake_gce.names import Site
from cloudcrypt_testing.fake_gce.records import AttachedDisk, Disk, Instance, Operation, Snapshot

Document = dict[str, Any]
Record = TypeVar("Record", Disk, Snapshot, Instance, Operation)
_NEVER_SENT: Final[tuple[object, ...]] = (None, "", (), [], {})


class Renderer:
    """Shows the records of one project; what has not changed is not made again."""

    def __init__(self, site: Site) -> None:
        """Show what is at ``site``."""
        self.site = site
        self._shown: dict[str, tuple[object, Document]] = {}

    def disk(self, disk: Disk) -> Document:
        """Return a Disk."""
        return self._once(disk, self._disk)

    def snapshot(self, snapshot: Snapshot) -> Document:
        """Return a Snapshot."""
        return self._once(snapshot, self._snapshot)

    def instance(self, instance: Instance) -> Document:
        """Return an Instance."""
        return self._once(instance, self._instance)

    def operation(self, operation: Operation) -> Document:
        """Return an Operation."""
        return self._once(operation, self._operation)

    def disk_type(self, scope: str, name: str) -> Document:
        """Return a DiskType."""
        kind = kinds.DISKS[name]
        return without_nothing(
            {
                "kind": "compute#diskType",
                "name": name,
                "description": name.replace("-", " "),
                "defaultDiskSizeGb": str(kind.default_size),
                "validDiskSize": kind.shown,
                "selfLink": self.site.url(f"{scope}/diskTypes/{name}"),
                **self._place(scope),
            },
        )

    def machine_type(self, zone: str, machine: machines.Machine) -> Document:
        """Return a MachineType."""
        return without_nothing(
            {
                "kind": "compute#machineType",
                "name": machine.name,
                "guestCpus": machine.cpus,
                "isSharedCpu": machine.is_shared,
                "maximumPersistentDisks": machine.most_disks,
                "zone": zone,
                "selfLink": self.site.url(f"zones/{zone}/machineTypes/{machine.name}"),
            },
        )

    def zone(self, name: str) -> Document:
        """Return a Zone."""
        return without_nothing(
            {
                "kind": "compute#zone",
                "id": number_of(name),
                "name": name,
                "description": name,
                "status": "UP",
                "region": self.site.url(f"regions/{self.site.zones[name]}"),
                "selfLink": self.site.url(f"zones/{name}"),
            },
        )

    def region(self, name: str) -> Document:
        """Return a Region."""
        zones = [self.site.url(f"zones/{zone}") for zone in self.site.regions[name]]
        return without_nothing(
            {
                "kind": "compute#region",
                "id": number_of(name),
                "name": name,
                "description": name,
                "status": "UP",
                "zones": zones,
                "selfLink": self.site.url(f"regions/{name}"),
            },
        )

    def _once(self, record: Record, show: Callable[[Record], Document]) -> Document:
        known = self._shown.get(record.id)
        if known is None or known[0] is not record:
            known = record, without_nothing(show(record))
            self._shown[record.id] = known
        return known[1]

    def _place(self, scope: str) -> Document:
        kind, _, _ = scope.partition("/")
        return {} if kind == "global" else {kind[:-1]: self.site.url(scope)}

    def _disk(self, disk: Disk) -> Document:
        return {
            "kind": "compute#disk",
            "id": disk.id,
            "name": disk.name,
            "description": disk.description,
            "sizeGb": str(disk.size),
            "type": self.site.url(f"{disk.scope}/diskTypes/{disk.kind}"),
            "status": disk.status,
            "creationTimestamp": timestamp(disk.created),
            "lastAttachTimestamp": timestamp(disk.last_attached),
            "lastDetachTimestamp": timestamp(disk.last_detached),
            "physicalBlockSizeBytes": "4096",
            "provisionedIops": _number(disk.iops),
            "provisionedThroughput": _number(disk.throughput),
            "accessMode": disk.access_mode,
            "diskEncryptionKey": {"kmsKeyName": disk.kms_key} if disk.kms_key else None,
            "replicaZones": [self.site.url(f"zones/{zone}") for zone in disk.replica_zones],
            "sourceSnapshot": self._url(disk.source_snapshot),
            "sourceSnapshotId": disk.source_snapshot_id,
            "sourceDisk": self._url(disk.source_disk),
            "sourceDiskId": disk.source_disk_id,
            "users": [self.site.url(path) for path in disk.users],
            "labels": dict(disk.labels),
            "labelFingerprint": fingerprint(disk.labels, disk.revision),
            "selfLink": self.site.url(disk.path),
            **self._place(disk.scope),
        }

    def _snapshot(self, snapshot: Snapshot) -> Document:
        key = snapshot.kms_key
        return {
            "kind": "compute#snapshot",
            "id": snapshot.id,
            "name": snapshot.name,
            "description": snapshot.description,
            "status": snapshot.status,
            "creationTimestamp": timestamp(snapshot.created),
            "diskSizeGb": str(snapshot.size),
            "sourceDisk": self._url(snapshot.source),
            "sourceDiskId": snapshot.source_id,
            "snapshotType": snapshot.kind,
            "snapshotEncryptionKey": {"kmsKeyName": key} if key else None,
            "storageBytes": "0",
            "storageBytesStatus": "UP_TO_DATE" if snapshot.status == "READY" else "UPDATING",
            "storageLocations": list(snapshot.locations),
            "labels": dict(snapshot.labels),
            "labelFingerprint": fingerprint(snapshot.labels, snapshot.revision),
            "selfLink": self.site.url(snapshot.path),
        }

    def _instance(self, instance: Instance) -> Document:
        machine = f"{instance.scope}/machineTypes/{instance.machine.name}"
        return {
            "kind": "compute#instance",
            "id": instance.id,
            "name": instance.name,
            "status": instance.status,
            "creationTimestamp": timestamp(instance.created),
            "machineType": self.site.url(machine),
            "disks": [self._attached(one) for one in instance.disks],
            "selfLink": self.site.url(instance.path),
            **self._place(instance.scope),
        }

    def _attached(self, attached: AttachedDisk) -> Document:
        return {
            "kind": "compute#attachedDisk",
            "type": "PERSISTENT",
            "source": self.site.url(attached.source),
            "deviceName": attached.device_name,
            "mode": attached.mode,
            "interface": attached.interface,
            "index": attached.index,
            "diskSizeGb": str(attached.size),
            "autoDelete": attached.auto_delete,
            "boot": attached.is_boot,
        }

    def _operation(self, operation: Operation) -> Document:
        return {
            "kind": "compute#operation",
            "id": operation.id,
            "name": operation.name,
            "operationType": operation.kind,
            "status": operation.status,
            "progress": {"PENDING": 0, "RUNNING": 50}.get(operation.status, 100),
            "clientOperationId": operation.request_id,
            "targetLink": self.site.url(operation.target),
            "targetId": operation.target_id,
            "user": "user@example.com",
            "insertTime": timestamp(operation.inserted),
            "startTime": timestamp(operation.started),
            "endTime": timestamp(operation.ended),
            "selfLink": self.site.url(operation.path),
            **self._place(operation.scope),
            **_failed(operation),
        }

    def _url(self, path: str | None) -> str | None:
        return None if path is None else self.site.url(path)


def timestamp(time: datetime | None) -> str | None:
    """Return a time as the API writes it, in milliseconds."""
    return None if time is None else time.isoformat(timespec="milliseconds")


def fingerprint(labels: Mapping[str, str], revision: int) -> str:
    """Return what changes whenever the labels are set."""
    text = json.dumps([revision, sorted(labels.items())])
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def number_of(name: str) -> str:
    """Return the id of a zone or region, which is always the same."""
    return str(1 + int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big"))


def listed(items: Iterable[Document], kind: str, link: str, token: str | None) -> Document:
    """Return one page of a list."""
    page: Document = {"kind": f"compute#{kind}", "id": link, "items": list(items)}
    return without_nothing({**page, "selfLink": link, "nextPageToken": token})


def without_nothing(document: Mapping[str, Any]) -> Document:
    """Return ``document`` without the fields that have nothing in them."""
    return {key: one for key, one in document.items() if one not in _NEVER_SENT}


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _failed(operation: Operation) -> Document:
    failure = operation.failure
    if failure is None:
        return {}
    return {
        "error": {"errors": [{"code": failure.code, "message": failure.message}]},
        "httpErrorStatusCode": failure.status,
        "httpErrorMessage": failure.phrase,
    }
