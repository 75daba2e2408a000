"""Calls to the fake EC2 that its tests share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloudcrypt_testing.fake_aws import FakeAws, Timings

ZONE = "eu-central-1a"
NOBODY = "vol-00000000000000000"
"""A volume that does not exist."""
TIMES = Timings()


def refusal(call: Callable[..., Any], **parameters: Any) -> str:
    """Return the code of the error that ``call`` ends with."""
    return refused(call, **parameters)[0]


def refused(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Return code and message of the error that ``call`` ends with."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response.get("Error", {})
    return error.get("Code", ""), error.get("Message", "")


def outcome(call: Callable[..., Any], **parameters: Any) -> str:
    """Return the code of the error that ``call`` ends with, or the empty string."""
    try:
        call(**parameters)
    except ClientError as error:
        return error.response.get("Error", {}).get("Code", "")
    return ""


def create(aws: FakeAws, **parameters: Any) -> str:
    """Create a volume of 1 GiB, unless said otherwise, and return its id while it is creating."""
    if "SnapshotId" not in parameters:
        parameters.setdefault("Size", 1)
    return aws.client().create_volume(AvailabilityZone=ZONE, **parameters)["VolumeId"]


def created(aws: FakeAws, **parameters: Any) -> str:
    """Create a volume, wait for it, and return its id."""
    volume_id = create(aws, **parameters)
    aws.clock.advance(TIMES.create)
    return volume_id


def attach(aws: FakeAws, volume_id: str, instance_id: str, device: str = "/dev/xvdba") -> None:
    """Attach a volume, and wait for it."""
    aws.client().attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)
    aws.clock.advance(TIMES.attach)


def attached(aws: FakeAws, device: str = "/dev/xvdba", **parameters: Any) -> tuple[str, str]:
    """Return the ids of a volume and of the instance that it is attached to."""
    volume_id, instance_id = created(aws, **parameters), aws.run_instance(ZONE)
    attach(aws, volume_id, instance_id, device)
    return volume_id, instance_id


def state(aws: FakeAws, volume_id: str) -> str:
    """Return the state of a volume as EC2 describes it."""
    return aws.client().describe_volumes(VolumeIds=[volume_id])["Volumes"][0].get("State", "")


def attachment_state(aws: FakeAws, volume_id: str) -> str | None:
    """Return the state of the only attachment of a volume as EC2 describes it."""
    volume = aws.client().describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    states = [one.get("State") for one in volume.get("Attachments", [])]
    return states[0] if states else None


def write(path: Path, content: bytes, offset: int = 0) -> None:
    """Write into a file, which keeps its size."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def read(path: Path, count: int, offset: int = 0) -> bytes:
    """Read from a file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(count)
