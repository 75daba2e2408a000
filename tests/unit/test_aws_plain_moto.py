"""The provider on plain moto, in the process: as users' own tests have it.

moto behaves less like EC2 than the fake of this project: it knows no tokens, and is done at once.
"""

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from cloudcrypt.errors import NotFound
from cloudcrypt.model import Blank, NvmeSerial, RestoredFrom, VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    FromSnapshot,
    ModifyVolume,
    ResizeVolume,
    perform,
)
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.world.clock import FakeClock
from tests.unit.aws_given import REGION, ZONE, wanted


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsProvider]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield AwsProvider(REGION, zone=ZONE, clock=FakeClock())


@pytest.fixture
def instance(provider: AwsProvider) -> str:
    ec2 = boto3.client("ec2", region_name=REGION)
    image = ec2.describe_images(Owners=["amazon"])["Images"][0].get("ImageId", "")
    run = ec2.run_instances(
        ImageId=image,
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        Placement={"AvailabilityZone": ZONE},
    )
    return run["Instances"][0].get("InstanceId", "")


def test_a_volume_lives_from_creation_to_deletion(provider: AwsProvider, instance: str) -> None:
    volume = perform(provider, wanted(labels={"a": "b"}))
    assert (volume.state, volume.origin, volume.size) == (
        VolumeState.AVAILABLE,
        Blank(),
        2 * GIB,
    )
    assert volume.labels == {"a": "b"}
    assert list(provider.list()) == [volume]

    attachment = perform(provider, AttachVolume("attach", volume.id, instance))
    assert isinstance(attachment.identity, NvmeSerial)
    assert perform(provider, AttachVolume("again", volume.id, instance)) == attachment
    assert provider.get(volume.id).holders == (instance,)

    grown = perform(provider, ResizeVolume("resize", volume.id, 4 * GIB))
    assert grown.size == 4 * GIB
    faster = perform(provider, ModifyVolume("modify", volume.id, iops=4000))
    assert faster.iops == 4000

    snapshot = perform(provider, CreateSnapshot("snapshot", volume.id, "nightly", 3))
    assert list(provider.snapshots()) == [snapshot]
    source = FromSnapshot(snapshot.id)
    restored = perform(provider, wanted("restored", size=4 * GIB, source=source))
    assert restored.origin == RestoredFrom(volume.id, 3)
    perform(provider, DeleteSnapshot("delete-snapshot", snapshot.id))
    with pytest.raises(NotFound):
        provider.begin(wanted("late", size=4 * GIB, source=source))

    assert perform(provider, DetachVolume("detach", volume.id, instance)).holders == ()
    perform(provider, DeleteVolume("delete", volume.id))
    with pytest.raises(NotFound):
        provider.get(volume.id)
    assert [one.id for one in provider.list()] == [restored.id]


def test_the_same_name_is_the_same_volume_although_moto_knows_no_tokens(
    provider: AwsProvider,
) -> None:
    assert perform(provider, wanted()) == perform(provider, wanted())


def test_one_missing_volume_among_several_is_missing_alone(provider: AwsProvider) -> None:
    volume = perform(provider, wanted())
    look = provider._region.look
    missing = "vol-0123456789abcdef0"
    found = look._volumes._fetch([volume.id.rpartition("/")[2], missing], Deadline.after(60))
    assert set(found) == {volume.id.rpartition("/")[2]}
