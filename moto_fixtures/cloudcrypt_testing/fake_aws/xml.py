"""Answers in the XML of EC2."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import uuid4
from xml.sax.saxutils import escape

import attrs

from cloudcrypt_testing.fake_aws.errors import EC2Error
from cloudcrypt_testing.fake_aws.records import Attachment, Modification, Snapshot, Volume

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"

Scalar = str | int | bool | datetime | None


def answer(action: str, body: str) -> bytes:
    """Return the answer to ``action`` around ``body``."""
    name = f"{action}Response"
    request_id = f"<requestId>{uuid4()}</requestId>"
    return f'{_HEAD}<{name} xmlns="{_NAMESPACE}">{request_id}{body}</{name}>'.encode()


def refusal(error: EC2Error) -> bytes:
    """Return the answer that is an error."""
    inner = fields(Code=error.code, Message=error.message)
    request_id = f"<RequestID>{uuid4()}</RequestID>"
    body = f"<Errors><Error>{inner}</Error></Errors>{request_id}"
    return f"{_HEAD}<Response>{body}</Response>".encode()


def fields(**values: Scalar) -> str:
    """Return one element for each value that is not None."""
    return "".join(
        f"<{name}>{_text(value)}</{name}>" for name, value in values.items() if value is not None
    )


def items(name: str, bodies: Iterable[str]) -> str:
    """Return a list of items."""
    return f"<{name}>{''.join(f'<item>{body}</item>' for body in bodies)}</{name}>"


def page(name: str, bodies: Iterable[str], next_token: str | None) -> str:
    """Return a list of items, and where the next one begins."""
    return items(name, bodies) + fields(nextToken=next_token)


def attachment(volume_id: str, one: Attachment, state: str | None = None) -> str:
    """Return the inside of an attachment, in ``state`` if that is not its own."""
    return fields(
        volumeId=volume_id,
        instanceId=one.instance_id,
        device=one.device,
        status=state or one.state,
        attachTime=one.since,
        deleteOnTermination=one.delete_on_termination,
    )


def volume(one: Volume) -> str:
    """Return the inside of a volume."""
    plain = fields(
        volumeId=one.id,
        size=one.size,
        snapshotId=one.snapshot_id or "",
        sourceVolumeId=one.source_id,
        availabilityZone=one.zone,
        availabilityZoneId=one.zone_id,
        status=one.state,
        createTime=one.created,
        volumeType=one.kind,
        iops=one.shown_iops,
        throughput=one.throughput,
        encrypted=one.is_encrypted,
        kmsKeyId=one.kms_key,
        multiAttachEnabled=one.is_multi_attach,
    )
    attached = items("attachmentSet", (attachment(one.id, a) for a in one.attachments))
    return plain + attached + _tags(one.tags)


def status(one: Volume) -> str:
    """Return the inside of the status of a volume."""
    health = "insufficient-data" if one.condition in {"creating", "error"} else "ok"
    enabled = "passed" if health == "ok" else "insufficient-data"
    details = items("details", [fields(name="io-enabled", status=enabled)])
    return (
        fields(
            volumeId=one.id,
            availabilityZone=one.zone,
            availabilityZoneId=one.zone_id,
        )
        + f"<volumeStatus>{fields(status=health)}{details}</volumeStatus>"
        + items("eventsSet", [])
        + items("actionsSet", [])
    )


def modification(one: Modification) -> str:
    """Return the inside of a modification."""
    old, new = one.original, one.target
    return fields(
        volumeId=one.volume_id,
        modificationState=one.state,
        statusMessage="Modification failed." if one.state == "failed" else None,
        targetSize=new.size,
        targetIops=new.iops,
        targetVolumeType=new.kind,
        targetThroughput=new.throughput,
        targetMultiAttachEnabled=new.is_multi_attach,
        originalSize=old.size,
        originalIops=old.iops,
        originalVolumeType=old.kind,
        originalThroughput=old.throughput,
        originalMultiAttachEnabled=old.is_multi_attach,
        progress=one.progress,
        startTime=one.started,
        endTime=one.ended,
    )


def snapshot(one: Snapshot, owner: str) -> str:
    """Return the inside of a snapshot."""
    return fields(
        snapshotId=one.id,
        volumeId=one.volume_id,
        status=one.state,
        startTime=one.started,
        progress={"completed": "100%", "pending": "0%"}.get(one.state, ""),
        ownerId=owner,
        volumeSize=one.size,
        description=one.description,
        encrypted=one.is_encrypted,
        kmsKeyId=one.kms_key,
        storageTier="standard",
    ) + _tags(one.tags)


@attrs.define
class VolumeCache:
    """The XML of volumes that have not changed since they were last asked for."""

    _known: dict[str, tuple[Volume, str]] = attrs.field(factory=dict[str, tuple[Volume, str]])

    def __call__(self, one: Volume) -> str:
        """Return the inside of a volume."""
        known = self._known.get(one.id)
        if known is None or known[0] is not one:
            known = self._known[one.id] = (one, volume(one))
        return known[1]

    def forget(self, volume_id: str) -> None:
        """Drop what was kept for a volume that is gone."""
        self._known.pop(volume_id, None)


def _tags(tags: Mapping[str, str]) -> str:
    return items("tagSet", (fields(key=key, value=value) for key, value in tags.items()))


def _text(value: str | int | bool | datetime) -> str:  # noqa: FBT001 - a value, not a switch
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    return escape(str(value))
