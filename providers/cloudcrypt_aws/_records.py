"""What EC2 shows, as values: sizes in bytes, rates in bytes a second, times in UTC."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Self

import attrs

from cloudcrypt.sizes import GIB, MIB

Shown = Mapping[str, Any]
"""A structure of EC2's answer; anything may be missing."""

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def tags_of(shown: Shown) -> dict[str, str]:
    """Return the tags of anything."""
    tags: Iterable[Shown] = shown.get("Tags") or ()
    return {str(tag["Key"]): str(tag.get("Value") or "") for tag in tags}


def _time(shown: Shown, field: str) -> datetime | None:
    time = shown.get(field)
    return time.astimezone(UTC) if isinstance(time, datetime) else None


@attrs.frozen
class Attached:
    """One attachment of a volume, as the volume shows it.

    ``instance`` is the holder: where AWS manages what holds the volume, its ARN. ``since`` is when
    attaching began.
    """

    instance: str
    device: str
    state: str
    since: datetime | None

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Read what EC2 shows."""
        return cls(
            str(shown.get("InstanceId") or shown.get("AssociatedResource") or "unknown"),
            str(shown.get("Device") or ""),
            str(shown.get("State") or "attached"),
            _time(shown, "AttachTime"),
        )


@attrs.frozen
class VolumeRecord:
    """A volume; ``key`` is the ARN of the key of the cloud's own encryption."""

    id: str
    size: int
    state: str
    kind: str | None
    zone: str | None
    zone_id: str | None
    iops: int | None
    throughput: int | None
    created: datetime
    tags: Mapping[str, str]
    attached: tuple[Attached, ...]
    snapshot: str | None
    source: str | None
    key: str | None
    is_multi_attach: bool
    message: str | None

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Read what EC2 shows."""
        throughput = shown.get("Throughput")
        attachments = map(Attached.of, shown.get("Attachments") or ())
        return cls(
            id=str(shown["VolumeId"]),
            size=int(shown.get("Size") or 0) * GIB,
            state=str(shown.get("State") or "creating"),
            kind=shown.get("VolumeType"),
            zone=shown.get("AvailabilityZone"),
            zone_id=shown.get("AvailabilityZoneId"),
            iops=shown.get("Iops"),
            throughput=None if throughput is None else throughput * MIB,
            created=_time(shown, "CreateTime") or _EPOCH,
            tags=tags_of(shown),
            attached=tuple(one for one in attachments if one.state != "detached"),
            snapshot=shown.get("SnapshotId") or None,
            source=shown.get("SourceVolumeId") or None,
            key=shown.get("KmsKeyId") or None,
            is_multi_attach=bool(shown.get("MultiAttachEnabled")),
            message=shown.get("StatusMessage") or None,
        )

    def attached_to(self, instance: str) -> Attached | None:
        """Return the attachment to ``instance``, or None."""
        return next((one for one in self.attached if one.instance == instance), None)

    @property
    def is_gone(self) -> bool:
        """Whether it is being deleted, or was."""
        return self.state in {"deleting", "deleted"}


@attrs.frozen
class SnapshotRecord:
    """A snapshot; ``size`` is that of the volume."""

    id: str
    volume: str
    size: int
    state: str
    started: datetime
    tags: Mapping[str, str]
    message: str | None

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Read what EC2 shows."""
        return cls(
            id=str(shown["SnapshotId"]),
            volume=str(shown.get("VolumeId") or ""),
            size=int(shown.get("VolumeSize") or 0) * GIB,
            state=str(shown.get("State") or "pending"),
            started=_time(shown, "StartTime") or _EPOCH,
            tags=tags_of(shown),
            message=shown.get("StateMessage") or None,
        )


def _volume_of(mapping: Shown) -> str:
    ebs: Shown = mapping.get("Ebs") or {}
    return str(ebs.get("VolumeId") or "")


@attrs.frozen
class InstanceRecord:
    """An instance; ``devices`` are its volumes by device name, ``interfaces`` are counted."""

    id: str
    kind: str
    state: str
    devices: Mapping[str, str]
    interfaces: int

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Read what EC2 shows."""
        mappings: Iterable[Shown] = shown.get("BlockDeviceMappings") or ()
        state: Shown = shown.get("State") or {}
        return cls(
            id=str(shown["InstanceId"]),
            kind=str(shown.get("InstanceType") or ""),
            state=str(state.get("Name") or ""),
            devices={str(one["DeviceName"]): _volume_of(one) for one in mappings},
            interfaces=len(shown.get("NetworkInterfaces") or ()),
        )

    @property
    def is_gone(self) -> bool:
        """Whether it is being terminated, or was."""
        return self.state in {"shutting-down", "terminated"}


@attrs.frozen
class InstanceKind:
    """What a type of instance says about volumes.

    ``attachments`` is how many it may have; if ``is_shared``, its network interfaces and its
    ``disks`` of the host count as well. ``is_xen`` tells how a volume looks on it.
    """

    attachments: int | None
    is_shared: bool
    disks: int
    is_xen: bool

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Read what EC2 shows."""
        ebs: Shown = shown.get("EbsInfo") or {}
        storage: Shown = shown.get("InstanceStorageInfo") or {}
        disks: Iterable[Shown] = storage.get("Disks") or ()
        is_nvme = storage.get("NvmeSupport", "unsupported") != "unsupported"
        return cls(
            attachments=ebs.get("MaximumEbsAttachments"),
            is_shared=ebs.get("AttachmentLimitType", "shared") == "shared",
            disks=sum(int(disk.get("Count") or 0) for disk in disks) if is_nvme else 0,
            is_xen=shown.get("Hypervisor") == "xen",
        )


@attrs.frozen
class Modification:
    """A change of a volume; the targets are as in `VolumeRecord`."""

    volume: str
    state: str
    size: int | None
    kind: str | None
    iops: int | None
    throughput: int | None
    started: datetime
    message: str | None

    @classmethod
    def of(cls, shown: Shown) -> Self:
        """Read what EC2 shows."""
        size, throughput = shown.get("TargetSize"), shown.get("TargetThroughput")
        return cls(
            volume=str(shown["VolumeId"]),
            state=str(shown.get("ModificationState") or "modifying"),
            size=None if size is None else size * GIB,
            kind=shown.get("TargetVolumeType"),
            iops=shown.get("TargetIops"),
            throughput=None if throughput is None else throughput * MIB,
            started=_time(shown, "StartTime") or _EPOCH,
            message=shown.get("StatusMessage") or None,
        )
