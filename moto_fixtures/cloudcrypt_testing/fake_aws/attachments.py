"""Attaching and detaching volumes."""

import re
from functools import partial
from typing import Final

import attrs

from cloudcrypt_testing.fake_aws import errors, xml
from cloudcrypt_testing.fake_aws.cloud import Cloud
from cloudcrypt_testing.fake_aws.limits import SHARERS
from cloudcrypt_testing.fake_aws.moto_ec2 import InstanceFacts
from cloudcrypt_testing.fake_aws.query import Query
from cloudcrypt_testing.fake_aws.records import Attachment, Volume
from cloudcrypt_testing.fake_aws.volumes import existing

_NAMES: Final = re.compile(r"/dev/(?:sd[a-z](?:[1-9]|1[0-5])?|xvd[a-z]|xvd[a-c][a-z]|xvdd[a-x])")
"""Device names that EC2 takes; the last one is /dev/xvddx."""
_INSTANCE_ID: Final = re.compile(r"i-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_READY: Final = frozenset({"pending", "running", "stopping", "stopped"})
"""States of an instance in which volumes can be attached."""


def attach_volume(cloud: Cloud, query: Query) -> str:
    """Answer AttachVolume."""
    device = query.need("Device")
    instance = _instance(cloud, query.need("InstanceId"))
    volume = existing(cloud, query.volume_id())
    _check_volume(volume, instance)
    _check_instance(cloud, instance)
    _check_name(cloud, instance, device)
    query.check_dry_run()
    attachment = Attachment(
        instance.id,
        device,
        "attaching",
        cloud.agenda.time,
        delete_on_termination=False,
        number=next(cloud.numbers),
    )
    cloud.put(volume.with_attachment(attachment))
    later = partial(_finish_attaching, cloud, volume.id, attachment.number)
    cloud.agenda.later(cloud.timings.attach, later)
    return xml.attachment(volume.id, attachment)


def detach_volume(cloud: Cloud, query: Query) -> str:
    """Answer DetachVolume."""
    volume = existing(cloud, query.volume_id())
    attachment = _asked_for(cloud, query, volume)
    is_forced = query.flag("Force")
    if attachment.state in {"detaching", "busy"} and not is_forced:
        raise errors.wrong_state(f"Volume '{volume.id}' is in the '{attachment.state}' state.")
    query.check_dry_run()
    begin_detaching(cloud, volume, attachment, is_forced=is_forced)
    return xml.attachment(volume.id, attachment, "detaching")


def begin_detaching(
    cloud: Cloud, volume: Volume, attachment: Attachment, *, is_forced: bool
) -> None:
    """Take a volume from an instance; without force, only when its system lets it go."""
    if volume.id in cloud.quirks.held and attachment.state == "attached" and not is_forced:
        cloud.put(volume.with_attachment(attrs.evolve(attachment, state="busy")))
        return
    cloud.quirks.stuck.discard(volume.id)
    cloud.put(volume.with_attachment(attrs.evolve(attachment, state="detaching")))
    later = partial(_finish_detaching, cloud, volume.id, attachment.number)
    cloud.agenda.later(cloud.timings.detach, later)


def let_go(cloud: Cloud, volume_id: str) -> None:
    """Let the operating system of every host close a volume: what is busy goes on."""
    cloud.quirks.held.discard(volume_id)
    volume = cloud.volumes.get(volume_id)
    for attachment in volume.attachments if volume is not None else ():
        if attachment.state == "busy":
            begin_detaching(cloud, cloud.volumes[volume_id], attachment, is_forced=True)


def _instance(cloud: Cloud, instance_id: str) -> InstanceFacts:
    if not _INSTANCE_ID.fullmatch(instance_id):
        raise errors.EC2Error("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')
    instance = cloud.moto.instance(instance_id)
    if instance is None:
        raise errors.EC2Error(
            "InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist"
        )
    return instance


def _check_volume(volume: Volume, instance: InstanceFacts) -> None:
    if volume.attachments:
        is_there = volume.attachment_to(instance.id) is not None
        if not volume.is_multi_attach or is_there:
            raise errors.in_use(volume.id)
        if len(volume.attachments) >= SHARERS:
            raise errors.EC2Error(
                "AttachmentLimitExceeded",
                f"Volume '{volume.id}' has the maximum number of attachments, {SHARERS}.",
            )
    if volume.condition != "available":
        raise errors.wrong_state(f"Volume '{volume.id}' is not 'available'.")
    if volume.zone != instance.zone:
        raise errors.EC2Error(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone "
            f"as instance '{instance.id}'",
        )


def _check_instance(cloud: Cloud, instance: InstanceFacts) -> None:
    if instance.state not in _READY:
        raise errors.EC2Error(
            "IncorrectInstanceState", f"Instance '{instance.id}' is not 'running'."
        )
    most = cloud.quirks.most_attachments.get(instance.id)
    taken = len(_names(cloud, instance.id))
    if most is None:
        kind = cloud.moto.kind(instance.kind)
        most = kind.attachments
        taken += instance.interfaces + kind.local_disks if kind.is_shared else 0
    if taken >= most:
        raise errors.EC2Error(
            "AttachmentLimitExceeded",
            f"Attachment limit exceeded: {instance.kind} instances can have {most} attachments.",
        )


def _check_name(cloud: Cloud, instance: InstanceFacts, device: str) -> None:
    if not _NAMES.fullmatch(device):
        raise errors.invalid(
            f"Value ({device}) for parameter device is invalid. "
            f"{device} is not a valid EBS device name."
        )
    occupied = cloud.quirks.occupied.get(instance.id, set())
    if device in _names(cloud, instance.id) or device in occupied:
        raise errors.invalid(
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        )


def _names(cloud: Cloud, instance_id: str) -> set[str]:
    attachments = (volume.attachment_to(instance_id) for volume in cloud.volumes.values())
    return {attachment.device for attachment in attachments if attachment is not None}


def _asked_for(cloud: Cloud, query: Query, volume: Volume) -> Attachment:
    if not volume.attachments:
        raise errors.wrong_state(f"Volume '{volume.id}' is in the '{volume.state}' state.")
    instance_id, device = query.text("InstanceId"), query.text("Device")
    if instance_id is None and len(volume.attachments) > 1:
        raise errors.missing("instanceId")
    instance_id = instance_id or next(a.instance_id for a in volume.attachments)
    instance = _instance(cloud, instance_id)
    attachment = volume.attachment_to(instance_id)
    if attachment is None or device not in {None, attachment.device}:
        at = f" as device '{device}'" if device else ""
        raise errors.EC2Error(
            "InvalidAttachment.NotFound",
            f"The volume '{volume.id}' is not attached to instance '{instance_id}'{at}.",
        )
    if attachment.device == instance.root_device and instance.state == "running":
        raise errors.EC2Error(
            "OperationNotPermitted",
            f"Unable to detach root volume '{volume.id}' from instance '{instance_id}'",
        )
    return attachment


def _current(cloud: Cloud, volume_id: str, number: int) -> tuple[Volume, Attachment] | None:
    volume = cloud.volumes.get(volume_id)
    for attachment in volume.attachments if volume is not None else ():
        if volume is not None and attachment.number == number:
            return volume, attachment
    return None


def _finish_attaching(cloud: Cloud, volume_id: str, number: int) -> None:
    current = _current(cloud, volume_id, number)
    if current is None or volume_id in cloud.quirks.stuck:
        return
    volume, attachment = current
    if attachment.state == "attaching":
        cloud.put(volume.with_attachment(attrs.evolve(attachment, state="attached")))
        later = partial(_appear, cloud, volume_id, number)
        cloud.agenda.later(cloud.timings.appear, later)


def _appear(cloud: Cloud, volume_id: str, number: int) -> None:
    current = _current(cloud, volume_id, number)
    if current is not None and current[1].state in {"attached", "busy"}:
        cloud.plug(*current)


def _finish_detaching(cloud: Cloud, volume_id: str, number: int) -> None:
    current = _current(cloud, volume_id, number)
    if current is not None:
        volume, attachment = current
        cloud.node(attachment.instance_id).detach(volume_id)
        cloud.put(volume.without_attachment(attachment))
