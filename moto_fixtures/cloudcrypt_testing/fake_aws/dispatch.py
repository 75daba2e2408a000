"""Which requests to EC2 are answered here, and which by moto."""

from collections.abc import Callable, Mapping
from typing import Final

from moto.core.exceptions import ServiceException

from cloudcrypt_testing.fake_aws import (
    attachments,
    describe,
    errors,
    modifications,
    snapshots,
    volumes,
    xml,
)
from cloudcrypt_testing.fake_aws.adoption import adopt
from cloudcrypt_testing.fake_aws.cloud import Cloud, View
from cloudcrypt_testing.fake_aws.query import Query

_CHANGING: Final[Mapping[str, Callable[[Cloud, Query], str]]] = {
    "AttachVolume": attachments.attach_volume,
    "CopyVolumes": volumes.copy_volumes,
    "CreateSnapshot": snapshots.create_snapshot,
    "CreateVolume": volumes.create_volume,
    "DeleteSnapshot": snapshots.delete_snapshot,
    "DeleteVolume": volumes.delete_volume,
    "DetachVolume": attachments.detach_volume,
    "ModifyVolume": modifications.modify_volume,
}
_READING: Final[Mapping[str, Callable[[Cloud, Query, View], str]]] = {
    "DescribeSnapshots": describe.describe_snapshots,
    "DescribeVolumeStatus": describe.describe_volume_status,
    "DescribeVolumes": describe.describe_volumes,
    "DescribeVolumesModifications": describe.describe_volumes_modifications,
}
_SWEPT: Final = frozenset({"CreateTags", "DeleteTags", "RunInstances", "TerminateInstances"})
"""What moto may do without having to be replaced before the next test."""
_READS: Final = ("Describe", "Get", "List", "Search")

Reply = tuple[int, bytes]
"""HTTP status and body."""


def is_reading(action: str) -> bool:
    """Say whether an action changes nothing."""
    return action.startswith(_READS)


def answer(cloud: Cloud, query: Query, stale: int, ask_moto: Callable[[], Reply]) -> Reply:
    """Do what ``query`` asks for; a reading one sees the world ``stale`` changes ago."""
    with cloud.lock:
        cloud.agenda.settle()
        try:
            body = _answered(cloud, query, stale)
        except errors.EC2Error as error:
            return error.status, xml.refusal(error)
        except ServiceException as error:
            refused = errors.EC2Error(error.code, error.message)
            return refused.status, xml.refusal(refused)
        if body is None:
            return _passed_on(cloud, query, stale, ask_moto)
        return 200, xml.answer(query.action, body)


def _answered(cloud: Cloud, query: Query, stale: int) -> str | None:
    read = _READING.get(query.action)
    if read is not None:
        query.check_dry_run()
        return read(cloud, query, cloud.view(stale))
    change = _CHANGING.get(query.action)
    if change is None:
        return None
    before = cloud.present()
    body = change(cloud, query)
    cloud.remember(before)
    return body


def _passed_on(cloud: Cloud, query: Query, stale: int, ask_moto: Callable[[], Reply]) -> Reply:
    if is_reading(query.action):
        cloud.moto.show(cloud.view(stale).volumes)
        return ask_moto()
    cloud.is_worn |= query.action not in _SWEPT
    before = cloud.present()
    if query.action == "TerminateInstances":
        cloud.moto.attach(cloud.volumes, query.all("InstanceId"))
    else:
        cloud.moto.show(cloud.volumes)
    reply = ask_moto()
    adopt(cloud, query)
    cloud.remember(before)
    return reply
