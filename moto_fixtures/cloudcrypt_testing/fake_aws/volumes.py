"""Creating, copying and deleting volumes."""

from functools import partial

import attrs

from cloudcrypt_testing.fake_aws import errors, xml
from cloudcrypt_testing.fake_aws.cloud import GIB, Cloud
from cloudcrypt_testing.fake_aws.limits import DEFAULT_KIND, checked
from cloudcrypt_testing.fake_aws.query import Query
from cloudcrypt_testing.fake_aws.records import Shape, Volume


@attrs.frozen
class _Plan:
    """A creation that EC2 agrees to."""

    shape: Shape
    zone: tuple[str, str]
    is_encrypted: bool
    kms_key: str | None
    content: str | None = None
    """The name of the file that the bytes are copied from."""
    snapshot_id: str | None = None
    source_id: str | None = None


def create_volume(cloud: Cloud, query: Query) -> str:
    """Answer CreateVolume."""
    plan = _planned_creation(cloud, query)
    return xml.volume(_created(cloud, query, plan))


def copy_volumes(cloud: Cloud, query: Query) -> str:
    """Answer CopyVolumes."""
    plan = _planned_copy(cloud, query)
    return xml.items("volumeSet", [xml.volume(_created(cloud, query, plan))])


def delete_volume(cloud: Cloud, query: Query) -> str:
    """Answer DeleteVolume."""
    volume = existing(cloud, query.volume_id())
    if volume.attachments:
        holder = volume.attachments[0].instance_id
        raise errors.EC2Error(
            "VolumeInUse", f"Volume {volume.id} is currently attached to {holder}"
        )
    if volume.condition == "creating":
        raise errors.wrong_state(f"Volume '{volume.id}' is in the 'creating' state.")
    query.check_dry_run()
    if volume.condition != "deleting":
        cloud.put(attrs.evolve(volume, condition="deleting"))
        cloud.agenda.later(cloud.timings.delete, partial(_vanish, cloud, volume.id))
    return xml.fields(**{"return": True})


def existing(cloud: Cloud, volume_id: str) -> Volume:
    """Return the record of a volume that has to exist."""
    volume = cloud.volumes.get(volume_id)
    if volume is None:
        raise errors.no_volume(volume_id)
    return volume


def _planned_creation(cloud: Cloud, query: Query) -> _Plan:
    zone = _zone(cloud, query)
    size, snapshot_id = query.number("Size"), query.snapshot_id()
    kms_key, is_encrypted = query.text("KmsKeyId"), query.flag("Encrypted")
    if snapshot_id is not None:
        snapshot = cloud.snapshots.get(snapshot_id)
        if snapshot is None:
            raise errors.no_snapshot(snapshot_id)
        if snapshot.state != "completed":
            raise errors.wrong_state(f"Snapshot {snapshot_id} is not completed.")
        size = snapshot.size if size is None else size
        _check_not_smaller(size, snapshot.size, "snapshot")
        kms_key = kms_key or snapshot.kms_key
        is_encrypted = is_encrypted or snapshot.is_encrypted
    if size is None:
        raise errors.missing("size/snapshot")
    _check_key(query)
    shape = _shape(query, size)
    return _Plan(shape, zone, is_encrypted, kms_key, snapshot_id, snapshot_id)


def _planned_copy(cloud: Cloud, query: Query) -> _Plan:
    source = existing(cloud, query.volume_id("SourceVolumeId"))
    if source.condition != "available":
        raise errors.wrong_state(f"Volume '{source.id}' is in the '{source.state}' state.")
    size = query.number("Size")
    size = source.size if size is None else size
    _check_not_smaller(size, source.size, "source volume")
    _check_key(query)
    return _Plan(
        _shape(query, size),
        (source.zone, source.zone_id),
        source.is_encrypted or query.flag("Encrypted"),
        query.text("KmsKeyId") or source.kms_key,
        source.id,
        source_id=source.id,
    )


def _created(cloud: Cloud, query: Query, plan: _Plan) -> Volume:
    tags = query.tags("volume")
    query.check_dry_run()
    quirks = cloud.quirks
    if quirks.is_limit_before_token:
        _check_quota(cloud)
    known = cloud.tokens.volume_id(query, cloud.agenda.moment)
    if known is not None:
        return cloud.volumes.get(known) or cloud.dead[known]
    _check_quota(cloud)
    fate = quirks.creations.popleft() if quirks.creations else "available"
    key = plan.kms_key
    if query.text("KmsKeyId") is not None and key is not None:
        arn = cloud.moto.key_arn(key)
        key, fate = (key, "vanish") if arn is None else (arn, fate)
    volume_id, key = cloud.moto.create_volume(
        plan.shape,
        plan.zone[0],
        kms_key=key,
        is_encrypted=plan.is_encrypted,
        snapshot_id=plan.snapshot_id,
        tags=tags,
    )
    volume = _record(cloud, plan, volume_id, key)
    cloud.put(attrs.evolve(volume, tags=tags))
    if plan.content is None:
        cloud.backing.create(volume_id, plan.shape.size * GIB)
    else:
        cloud.backing.copy(plan.content, volume_id, plan.shape.size * GIB)
    cloud.tokens.keep(query, volume_id, cloud.agenda.moment)
    cloud.agenda.later(cloud.timings.create, partial(_finish, cloud, volume_id, fate))
    return cloud.volumes[volume_id]


def _record(cloud: Cloud, plan: _Plan, volume_id: str, key: str | None) -> Volume:
    return Volume(
        volume_id,
        next(cloud.numbers),
        plan.shape.size,
        plan.shape.kind,
        *plan.zone,
        created=cloud.agenda.time,
        condition="creating",
        iops=plan.shape.iops,
        throughput=plan.shape.throughput,
        is_encrypted=plan.is_encrypted,
        kms_key=key if plan.is_encrypted else None,
        snapshot_id=plan.snapshot_id,
        source_id=plan.source_id,
        is_multi_attach=plan.shape.is_multi_attach,
    )


def _finish(cloud: Cloud, volume_id: str, fate: str) -> None:
    volume = cloud.volumes.get(volume_id)
    if volume is None or volume.condition != "creating":
        return
    if fate == "vanish":
        cloud.bury(volume_id)
    else:
        cloud.put(attrs.evolve(volume, condition=fate))


def _vanish(cloud: Cloud, volume_id: str) -> None:
    if volume_id in cloud.volumes:
        cloud.bury(volume_id)


def _zone(cloud: Cloud, query: Query) -> tuple[str, str]:
    name, zone_id = query.text("AvailabilityZone"), query.text("AvailabilityZoneId")
    if name is not None and zone_id is not None:
        raise errors.combination(
            "The parameters AvailabilityZone and AvailabilityZoneId cannot be used together."
        )
    if name is None and zone_id is None:
        raise errors.missing("zone")
    zone = cloud.moto.zone(name, zone_id)
    if zone is None:
        raise errors.EC2Error(
            "InvalidZone.NotFound", f"The zone '{name or zone_id}' does not exist."
        )
    return zone


def _shape(query: Query, size: int) -> Shape:
    return checked(
        Shape(
            size,
            query.text("VolumeType") or DEFAULT_KIND,
            query.number("Iops"),
            query.number("Throughput"),
            query.flag("MultiAttachEnabled"),
        )
    )


def _check_key(query: Query) -> None:
    if query.text("KmsKeyId") is not None and not query.flag("Encrypted"):
        raise errors.EC2Error(
            "InvalidParameterDependency",
            "The parameter [KmsKeyId] requires the parameter Encrypted to be set.",
        )


def _check_not_smaller(size: int, least: int, source: str) -> None:
    if size < least:
        raise errors.invalid(
            f"Volume of {size}GiB is smaller than {source}, expected size>= {least}GiB."
        )


def _check_quota(cloud: Cloud) -> None:
    most = cloud.quirks.most_volumes
    if most is not None and len(cloud.volumes) - len(cloud.roots) >= most:
        raise errors.EC2Error(
            "VolumeLimitExceeded", "You have exceeded your maximum volume limit of this type."
        )
