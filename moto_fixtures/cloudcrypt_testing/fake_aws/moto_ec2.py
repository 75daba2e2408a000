"""moto's own EC2: what exists in it, and what it shows of what exists here.

Volumes and snapshots are made in moto and live here; moto is told how they are attached before it
answers anything itself. No other file knows what moto looks like inside.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import attrs
from moto.backends import get_backend
from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.ec2.models.block_device import BlockDeviceType
from moto.ec2.models.elastic_block_store import Volume as MotoVolume
from moto.kms.models import kms_backends

from cloudcrypt_testing.fake_aws.errors import EC2Error
from cloudcrypt_testing.fake_aws.records import Attachment, Shape, Volume

if TYPE_CHECKING:
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.instances import Instance

_IMAGE: Final = "ami-03cf127a"  # one of those that moto knows


@attrs.frozen
class InstanceFacts:
    """What attaching a volume depends on."""

    id: str
    zone: str
    state: str
    kind: str
    root_device: str
    interfaces: int
    """How many network interfaces it has."""


@attrs.frozen
class KindFacts:
    """What a type of instance says about volumes."""

    attachments: int
    """The most that it can have, the root disk and, if `is_shared`, interfaces included."""
    is_shared: bool
    is_nvme: bool
    local_disks: int
    """NVMe disks of the host, which share the limit too."""


class MotoEC2:
    """The EC2 of one account of moto in one region."""

    def __init__(self, account: str, region: str) -> None:
        """Use ``account``, which nobody else uses."""
        self.account = account
        self.region = region
        self._shown: dict[str, Volume] = {}
        self._public = frozenset(self._backend.snapshots)

    @property
    def _backend(self) -> "EC2Backend":
        return ec2_backends[self.account][self.region]

    def create_volume(
        self,
        shape: Shape,
        zone: str,
        *,
        kms_key: str | None,
        is_encrypted: bool,
        snapshot_id: str | None,
        tags: Mapping[str, str],
    ) -> tuple[str, str | None]:
        """Make a volume, and return its id and the key that it is encrypted with."""
        _check_tags(tags)
        volume = self._backend.create_volume(
            size=shape.size,
            zone_name=zone,
            snapshot_id=snapshot_id,
            encrypted=is_encrypted,
            kms_key_id=kms_key,
            volume_type=shape.kind,
            iops=shape.iops,
            throughput=shape.throughput,
            multi_attach_enabled=shape.is_multi_attach,
        )
        self._backend.create_tags([volume.id], dict(tags))
        return volume.id, volume.kms_key_id

    def delete_volume(self, volume_id: str) -> None:
        """Remove a volume. Idempotent."""
        self._backend.volumes.pop(volume_id, None)
        self._backend.tags.pop(volume_id, None)

    def reshape(self, volume_id: str, shape: Shape) -> None:
        """Let a volume have what it was modified to."""
        volume = self._backend.volumes[volume_id]
        volume.size = shape.size
        volume.volume_type = shape.kind
        volume.iops = shape.iops
        volume.throughput = shape.throughput
        volume.multi_attach_enabled = shape.is_multi_attach

    def create_snapshot(self, volume_id: str, description: str, tags: Mapping[str, str]) -> str:
        """Make a snapshot, and return its id."""
        _check_tags(tags)
        snapshot = self._backend.create_snapshot(volume_id, description)
        self._backend.create_tags([snapshot.id], dict(tags))
        return snapshot.id

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove a snapshot, unless moto says that it is in use."""
        try:
            self._backend.delete_snapshot(snapshot_id)
        except ServiceException as error:
            raise EC2Error(error.code, error.message) from error
        self._backend.tags.pop(snapshot_id, None)

    def tags(self, resource_id: str) -> dict[str, str]:
        """Return the tags of anything."""
        return dict(self._backend.tags.get(resource_id, {}))

    def zone(self, name: str | None, zone_id: str | None) -> tuple[str, str] | None:
        """Return name and id of the zone with this name or this id, or None."""
        for zone in self._backend.describe_availability_zones():
            if name == zone.name or (name is None and zone_id == zone.zone_id):
                return zone.name, zone.zone_id
        return None

    def key_arn(self, key: str) -> str | None:
        """Return the ARN of a key that can be used, by its id, ARN, alias or alias ARN."""
        backend = kms_backends[self.account][self.region]
        alias = key[key.index("alias/") :] if "alias/" in key else None
        if alias is not None and not backend.alias_exists(alias):
            return None
        try:
            found = backend.describe_key(key)
        except (KeyError, ServiceException):
            return None
        return found.arn if found.enabled else None

    def instance(self, instance_id: str) -> InstanceFacts | None:
        """Return what is known of an instance, or None if there is none."""
        found = self._instance(instance_id)
        if found is None:
            return None
        zone = found.placement.zone or f"{self.region}a"
        root = found.root_device_name or "/dev/sda1"
        return InstanceFacts(
            found.id, zone, found.state, found.instance_type, root, len(found.nics)
        )

    def kind(self, kind: str) -> KindFacts:
        """Return what a type of instance says about volumes; an unknown one is like m5."""
        try:
            found = self._backend.describe_instance_types([kind])[0]
        except ServiceException:
            return KindFacts(27, is_shared=True, is_nvme=True, local_disks=0)
        ebs = found.get("EbsInfo", {})
        disks = found.get("InstanceStorageInfo", {})
        is_local_nvme = disks.get("NvmeSupport", "unsupported") != "unsupported"
        return KindFacts(
            ebs.get("MaximumEbsAttachments", 27),
            is_shared=ebs.get("AttachmentLimitType", "shared") == "shared",
            is_nvme=ebs.get("NvmeSupport", "required") != "unsupported",
            local_disks=sum(d["Count"] for d in disks.get("Disks", ())) if is_local_nvme else 0,
        )

    def run_instance(self, zone: str, kind: str) -> str:
        """Start an instance, and return its id."""
        reservation = self._backend.run_instances(
            image_id=_IMAGE,
            count=1,
            user_data=None,
            security_group_names=[],
            instance_type=kind,
            is_instance_type_default=False,
            placement=zone,
            region_name=self.region,
        )
        return reservation.instances[0].id

    def new_volumes(self, known: Mapping[str, Volume], now: datetime) -> Iterator[Volume]:
        """Yield the volumes that moto made by itself, with the root disks of instances."""
        for volume_id, found in self._backend.volumes.items():
            if volume_id not in known:
                yield self._adopted(found, now)

    def new_snapshots(self, known: Mapping[str, object]) -> list[tuple[str, str, int, str]]:
        """Return id, volume, size and description of the snapshots that moto made by itself."""
        return [
            (snapshot.id, snapshot.volume.id, snapshot.volume.size, snapshot.description)
            for snapshot in self._backend.snapshots.values()
            if snapshot.id not in known and snapshot.id not in self._public
        ]

    def gone(self, known: Mapping[str, Volume]) -> list[str]:
        """Return the ids of volumes that moto has deleted by itself."""
        return [volume_id for volume_id in known if volume_id not in self._backend.volumes]

    def show(self, volumes: Mapping[str, Volume]) -> None:
        """Let moto's instances show that these volumes are attached as their records say."""
        for volume_id in [i for i in self._shown if i not in volumes]:
            self._hide(volume_id)
        for volume_id, volume in volumes.items():
            if self._shown.get(volume_id) is not volume:
                self._hide(volume_id)
                self._shown[volume_id] = volume
                for attachment in volume.attachments:
                    self._show(volume, attachment)

    def attach(self, volumes: Mapping[str, Volume], instance_ids: Collection[str]) -> None:
        """Let moto believe that what these instances show is attached, so that it can detach it."""
        self.show(volumes)
        for volume in volumes.values():
            for attachment in volume.attachments:
                if attachment.instance_id in instance_ids:
                    self._backend.attach_volume(
                        volume.id,
                        attachment.instance_id,
                        attachment.device,
                        attachment.delete_on_termination,
                    )

    def sweep(self) -> None:
        """Remove all volumes, snapshots and instances; leave what else there is."""
        backend = self._backend
        backend.volumes.clear()
        for snapshot_id in [i for i in backend.snapshots if i not in self._public]:
            del backend.snapshots[snapshot_id]
        for reservation in backend.reservations.values():
            for instance in reservation.instances:
                instance.block_device_mapping.clear()
                instance.terminate()
        backend.reservations.clear()
        backend.tags.clear()
        self._shown.clear()

    @property
    def is_encrypting(self) -> bool:
        """Whether it has made a key of its own for volumes."""
        return bool(self._backend.default_kms_key_id)

    def forget(self) -> None:
        """Give back the memory of the account."""
        for backend in (ec2_backends, kms_backends):
            backend.pop(self.account, None)
        s3: Any = get_backend("s3")
        s3.pop(self.account, None)
        owners: dict[str, tuple[str, str]] = (
            s3.bucket_accounts
        )  # the names of buckets are those of all accounts
        for bucket in [name for name, (_, owner) in owners.items() if owner == self.account]:
            del owners[bucket]

    def _show(self, volume: Volume, attachment: Attachment) -> None:
        instance = self._instance(attachment.instance_id)
        if instance is None or instance.state == "terminated":
            return
        instance.block_device_mapping[attachment.device] = BlockDeviceType(
            volume_id=volume.id,
            status=attachment.state,
            attach_time=attachment.since,
            size=volume.size,
            delete_on_termination=attachment.delete_on_termination,
        )

    def _hide(self, volume_id: str) -> None:
        shown = self._shown.pop(volume_id, None)
        for attachment in shown.attachments if shown is not None else ():
            instance = self._instance(attachment.instance_id)
            if instance is None:
                continue
            block = instance.block_device_mapping.get(attachment.device)
            if block is not None and block.volume_id == volume_id:
                del instance.block_device_mapping[attachment.device]

    def _adopted(self, found: MotoVolume, now: datetime) -> Volume:
        zone = found.zone
        shape = Shape(
            found.size, found.volume_type, found.iops, found.throughput, is_multi_attach=False
        )
        volume = Volume(
            found.id,
            number=0,
            size=shape.size,
            kind=shape.kind,
            zone=zone.name if zone else f"{self.region}a",
            zone_id=zone.zone_id if zone else "",
            created=now,
            iops=shape.iops,
            throughput=shape.throughput,
            is_encrypted=found.encrypted,
            kms_key=found.kms_key_id,
            snapshot_id=found.snapshot_id,
            tags=self.tags(found.id),
        )
        theirs = found.attachment
        if theirs is None:
            return volume
        block = theirs.instance.block_device_mapping.get(theirs.device)
        is_deleted = block is not None and bool(block.delete_on_termination)
        attachment = Attachment(theirs.instance.id, theirs.device, "attached", now, is_deleted, 0)
        return volume.with_attachment(attachment)

    def _instance(self, instance_id: str) -> "Instance | None":
        for reservation in self._backend.reservations.values():
            for instance in reservation.instances:
                if instance.id == instance_id:
                    return instance
        return None


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > 50:
        raise EC2Error(
            "TagLimitExceeded", "The maximum number of Tags for a resource has been reached."
        )
