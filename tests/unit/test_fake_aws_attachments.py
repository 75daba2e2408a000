"""Attaching and detaching: what EC2 does and moto alone does not."""

from string import ascii_lowercase
from typing import Any

import pytest

from cloudcrypt_testing.fake_aws import FakeAws
from tests.unit.ec2_calls import (
    NOBODY,
    TIMES,
    attach,
    attached,
    attachment_state,
    create,
    created,
    outcome,
    refusal,
    refused,
    state,
)

ANOTHER_ZONE = "eu-central-1b"
NO_INSTANCE = "i-00000000000000000"


def shared(aws: FakeAws) -> str:
    return created(aws, VolumeType="io2", Size=4, Iops=100, MultiAttachEnabled=True)


def shown(aws: FakeAws, instance_id: str) -> dict[str, str]:
    """Return the state of each device in the block device mapping that moto answers with."""
    answer = aws.client().describe_instances(InstanceIds=[instance_id])
    mappings = answer["Reservations"][0].get("Instances", [])[0].get("BlockDeviceMappings", [])
    return {one.get("DeviceName", ""): one.get("Ebs", {}).get("Status", "") for one in mappings}


class TestStates:
    def test_a_volume_is_attaching_before_it_is_attached(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance()
        answer = fake_aws.client().attach_volume(
            VolumeId=volume_id, InstanceId=instance_id, Device="/dev/xvdba"
        )
        before = attachment_state(fake_aws, volume_id)
        fake_aws.clock.advance(TIMES.attach)
        assert (answer.get("State"), before) == ("attaching", "attaching")
        assert attachment_state(fake_aws, volume_id) == "attached"
        assert state(fake_aws, volume_id) == "in-use"

    def test_a_volume_is_detaching_before_it_is_free(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = attached(fake_aws)
        answer = fake_aws.client().detach_volume(VolumeId=volume_id, InstanceId=instance_id)
        before = attachment_state(fake_aws, volume_id), state(fake_aws, volume_id)
        fake_aws.clock.advance(TIMES.detach)
        assert (answer.get("State"), before) == ("detaching", ("detaching", "in-use"))
        assert attachment_state(fake_aws, volume_id) is None
        assert state(fake_aws, volume_id) == "available"

    def test_the_instance_shows_what_the_volume_shows(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance()
        ec2 = fake_aws.client()
        ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/xvdba")
        first = shown(fake_aws, instance_id)
        fake_aws.clock.advance(TIMES.attach)
        second = shown(fake_aws, instance_id)
        ec2.detach_volume(VolumeId=volume_id)
        fake_aws.clock.advance(TIMES.detach)
        assert first == {"/dev/sda1": "attached", "/dev/xvdba": "attaching"}
        assert second == {"/dev/sda1": "attached", "/dev/xvdba": "attached"}
        assert shown(fake_aws, instance_id) == {"/dev/sda1": "attached"}

    def test_attaching_can_take_for_ever_and_be_given_up(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance()
        fake_aws.stick(volume_id)
        attach(fake_aws, volume_id, instance_id)
        fake_aws.clock.advance(3600)
        stuck = attachment_state(fake_aws, volume_id)
        fake_aws.client().detach_volume(VolumeId=volume_id, InstanceId=instance_id)
        fake_aws.clock.advance(TIMES.detach)
        attach(fake_aws, volume_id, instance_id)
        assert (stuck, attachment_state(fake_aws, volume_id)) == ("attaching", "attached")


class TestRefusedAttachments:
    def test_an_attached_volume_is_in_use_wherever_it_is_attached_again(
        self, fake_aws: FakeAws
    ) -> None:
        volume_id, instance_id = attached(fake_aws)
        call = fake_aws.client().attach_volume
        for where in (instance_id, fake_aws.run_instance()):
            found = refused(call, VolumeId=volume_id, InstanceId=where, Device="/dev/xvdbb")
            message = f"{volume_id} is already attached to an instance"
            assert found == ("VolumeInUse", message)

    def test_a_volume_that_is_not_available_is_in_the_wrong_state(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = create(fake_aws), fake_aws.run_instance()
        call = fake_aws.client().attach_volume
        parameters = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": "/dev/xvdba"}
        assert refusal(call, **parameters) == "IncorrectState"
        fake_aws.clock.advance(TIMES.create)
        fake_aws.client().delete_volume(VolumeId=volume_id)
        assert refusal(call, **parameters) == "IncorrectState"

    def test_volume_and_instance_have_to_be_in_one_zone(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance(ANOTHER_ZONE)
        parameters = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": "/dev/xvdba"}
        code = refusal(fake_aws.client().attach_volume, **parameters)
        assert code == "InvalidVolume.ZoneMismatch"

    def test_volume_and_instance_have_to_exist(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance()
        call = fake_aws.client().attach_volume
        rows = [
            (NOBODY, instance_id, "InvalidVolume.NotFound"),
            (volume_id, NO_INSTANCE, "InvalidInstanceID.NotFound"),
            (volume_id, "host-1", "InvalidInstanceID.Malformed"),
            ("vol-1", instance_id, "InvalidParameterValue"),
        ]
        for volume, instance, code in rows:
            found = refusal(call, VolumeId=volume, InstanceId=instance, Device="/dev/xvdba")
            assert found == code

    def test_nothing_is_attached_to_a_terminated_instance(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance()
        fake_aws.client().terminate_instances(InstanceIds=[instance_id])
        parameters = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": "/dev/xvdba"}
        code = refusal(fake_aws.client().attach_volume, **parameters)
        assert code == "IncorrectInstanceState"

    @pytest.mark.parametrize("device", ["xvdba", "/dev/nvme1n1", "/dev/xvddy", "/dev/sdba"])
    def test_a_device_name_has_to_be_one(self, fake_aws: FakeAws, device: str) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance()
        parameters = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": device}
        code, message = refused(fake_aws.client().attach_volume, **parameters)
        assert code == "InvalidParameterValue"
        assert f"{device} is not a valid EBS device name" in message

    def test_a_device_name_is_taken_by_a_volume_or_by_the_image(self, fake_aws: FakeAws) -> None:
        _, instance_id = attached(fake_aws, "/dev/xvdba")
        fake_aws.occupy_name(instance_id, "/dev/xvdbb")
        volume_id = created(fake_aws)
        for device in ("/dev/xvdba", "/dev/xvdbb", "/dev/sda1"):
            parameters = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": device}
            code, message = refused(fake_aws.client().attach_volume, **parameters)
            assert code == "InvalidParameterValue"
            assert message.endswith(f"Attachment point {device} is already in use")
        assert "/dev/xvdbb" not in shown(fake_aws, instance_id)

    def test_a_rehearsal_attaches_nothing(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance()
        parameters: dict[str, Any] = {"VolumeId": volume_id, "InstanceId": instance_id}
        call = fake_aws.client().attach_volume
        code = refusal(call, **parameters, Device="/dev/xvdba", DryRun=True)
        assert (code, state(fake_aws, volume_id)) == ("DryRunOperation", "available")


class TestAttachmentLimits:
    def fill(self, aws: FakeAws, instance_id: str) -> int:
        """Attach volumes until EC2 refuses one, and return how many there are."""
        names = [f"/dev/xvd{first}{second}" for first in "bc" for second in ascii_lowercase]
        for count, device in enumerate(names):
            parameters = {"VolumeId": created(aws), "InstanceId": instance_id, "Device": device}
            code = outcome(aws.client().attach_volume, **parameters)
            if code:
                assert code == "AttachmentLimitExceeded"
                return count
        raise AssertionError("no limit")

    def test_a_shared_limit_counts_root_disk_and_network_interface(self, fake_aws: FakeAws) -> None:
        assert self.fill(fake_aws, fake_aws.run_instance(kind="m5.large")) == 27 - 2

    def test_a_dedicated_limit_counts_the_root_disk_alone(self, fake_aws: FakeAws) -> None:
        assert self.fill(fake_aws, fake_aws.run_instance(kind="m7i.large")) == 32 - 1

    def test_a_limit_of_the_test_counts_the_root_disk(self, fake_aws: FakeAws) -> None:
        instance_id = fake_aws.run_instance()
        fake_aws.limit_attachments(instance_id, 3)
        assert self.fill(fake_aws, instance_id) == 2


class TestDetaching:
    def test_what_is_not_attached_is_in_the_wrong_state(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws)
        found = refused(fake_aws.client().detach_volume, VolumeId=volume_id)
        assert found == ("IncorrectState", f"Volume '{volume_id}' is in the 'available' state.")

    def test_another_instance_or_device_is_no_attachment_and_detaches_nothing(
        self, fake_aws: FakeAws
    ) -> None:
        volume_id, instance_id = attached(fake_aws)
        call = fake_aws.client().detach_volume
        other = {"VolumeId": volume_id, "InstanceId": fake_aws.run_instance()}
        assert refusal(call, **other, Device="/dev/xvdba") == "InvalidAttachment.NotFound"
        wrong = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": "/dev/xvdbb"}
        assert refusal(call, **wrong) == "InvalidAttachment.NotFound"
        assert attachment_state(fake_aws, volume_id) == "attached"

    def test_an_instance_need_not_be_named(self, fake_aws: FakeAws) -> None:
        volume_id, _ = attached(fake_aws)
        fake_aws.client().detach_volume(VolumeId=volume_id)
        fake_aws.clock.advance(TIMES.detach)
        assert state(fake_aws, volume_id) == "available"

    def test_detaching_twice_is_the_wrong_state(self, fake_aws: FakeAws) -> None:
        volume_id, _ = attached(fake_aws)
        fake_aws.client().detach_volume(VolumeId=volume_id)
        code, message = refused(fake_aws.client().detach_volume, VolumeId=volume_id)
        assert (code, "detaching" in message) == ("IncorrectState", True)

    def test_what_the_system_holds_is_busy_until_it_lets_go(self, fake_aws: FakeAws) -> None:
        volume_id, _ = attached(fake_aws)
        fake_aws.hold(volume_id)
        fake_aws.client().detach_volume(VolumeId=volume_id)
        fake_aws.clock.advance(3600)
        busy = attachment_state(fake_aws, volume_id)
        fake_aws.release(volume_id)
        let_go = attachment_state(fake_aws, volume_id)
        fake_aws.clock.advance(TIMES.detach)
        assert (busy, let_go) == ("busy", "detaching")
        assert state(fake_aws, volume_id) == "available"

    def test_what_is_busy_can_be_forced_and_not_asked_for_again(self, fake_aws: FakeAws) -> None:
        volume_id, _ = attached(fake_aws)
        fake_aws.hold(volume_id)
        fake_aws.client().detach_volume(VolumeId=volume_id)
        code = refusal(fake_aws.client().detach_volume, VolumeId=volume_id)
        fake_aws.client().detach_volume(VolumeId=volume_id, Force=True)
        fake_aws.clock.advance(TIMES.detach)
        assert (code, state(fake_aws, volume_id)) == ("IncorrectState", "available")

    def test_a_root_disk_stays_while_its_instance_runs(self, fake_aws: FakeAws) -> None:
        instance_id = fake_aws.run_instance()
        (root,) = fake_aws.volumes(roots=True)
        call = fake_aws.client().detach_volume
        assert refusal(call, VolumeId=root) == "OperationNotPermitted"
        fake_aws.client().stop_instances(InstanceIds=[instance_id])
        assert call(VolumeId=root).get("State") == "detaching"


class TestSharedVolumes:
    def test_a_shared_volume_has_an_attachment_for_each_instance(self, fake_aws: FakeAws) -> None:
        volume_id = shared(fake_aws)
        instances = [fake_aws.run_instance() for _ in range(2)]
        for instance_id in instances:
            attach(fake_aws, volume_id, instance_id)
        volume = fake_aws.client().describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
        found = [one.get("InstanceId") for one in volume.get("Attachments", [])]
        assert found == instances
        assert [shown(fake_aws, one).get("/dev/xvdba") for one in instances] == ["attached"] * 2

    def test_it_leaves_the_instance_that_is_named_alone(self, fake_aws: FakeAws) -> None:
        volume_id = shared(fake_aws)
        first, second = fake_aws.run_instance(), fake_aws.run_instance()
        attach(fake_aws, volume_id, first)
        attach(fake_aws, volume_id, second)
        call = fake_aws.client().detach_volume
        assert refusal(call, VolumeId=volume_id) == "MissingParameter"
        call(VolumeId=volume_id, InstanceId=first)
        fake_aws.clock.advance(TIMES.detach)
        assert [a.instance_id for a in fake_aws.volumes()[volume_id].attachments] == [second]
        assert shown(fake_aws, first) == {"/dev/sda1": "attached"}

    def test_it_is_attached_to_one_instance_once_and_to_sixteen_at_most(
        self, fake_aws: FakeAws
    ) -> None:
        volume_id, call = shared(fake_aws), fake_aws.client().attach_volume
        instances = [fake_aws.run_instance() for _ in range(17)]
        for instance_id in instances[:16]:
            attach(fake_aws, volume_id, instance_id)
        parameters = {"VolumeId": volume_id, "Device": "/dev/xvdbb"}
        assert refusal(call, **parameters, InstanceId=instances[0]) == "VolumeInUse"
        code = refusal(call, **parameters, InstanceId=instances[16])
        assert code == "AttachmentLimitExceeded"


class TestTermination:
    def test_a_terminated_instance_leaves_its_data_and_takes_its_root_disk(
        self, fake_aws: FakeAws
    ) -> None:
        volume_id, instance_id = attached(fake_aws)
        fake_aws.hold(volume_id)
        fake_aws.client().terminate_instances(InstanceIds=[instance_id])
        before = attachment_state(fake_aws, volume_id)
        fake_aws.clock.advance(TIMES.detach)
        assert (before, state(fake_aws, volume_id)) == ("detaching", "available")
        assert list(fake_aws.volumes(roots=True)) == [volume_id]
        assert fake_aws.backing(volume_id).exists()

    def test_a_shared_volume_outlives_one_instance_on_the_other(self, fake_aws: FakeAws) -> None:
        volume_id = shared(fake_aws)
        first, second = fake_aws.run_instance(), fake_aws.run_instance()
        attach(fake_aws, volume_id, first)
        attach(fake_aws, volume_id, second)
        fake_aws.client().terminate_instances(InstanceIds=[first])
        fake_aws.clock.advance(TIMES.detach)
        assert [a.instance_id for a in fake_aws.volumes()[volume_id].attachments] == [second]
        fake_aws.client().terminate_instances(InstanceIds=[second])
        fake_aws.clock.advance(TIMES.detach)
        assert state(fake_aws, volume_id) == "available"

    def test_stopping_an_instance_lets_go_of_what_was_busy(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = attached(fake_aws)
        fake_aws.hold(volume_id)
        fake_aws.client().detach_volume(VolumeId=volume_id)
        fake_aws.client().stop_instances(InstanceIds=[instance_id])
        fake_aws.clock.advance(TIMES.detach)
        assert state(fake_aws, volume_id) == "available"

    def test_instances_that_moto_starts_bring_their_disks(self, fake_aws: FakeAws) -> None:
        mapping: Any = {"DeviceName": "/dev/xvdba", "Ebs": {"VolumeSize": 2}}
        answer = fake_aws.client().run_instances(
            ImageId="ami-03cf127a", MinCount=1, MaxCount=1, BlockDeviceMappings=[mapping]
        )
        instance_id = answer["Instances"][0].get("InstanceId")
        (volume,) = fake_aws.volumes(roots=True).values()
        assert (volume.size, volume.attachments[0].instance_id) == (2, instance_id)
        assert fake_aws.backing(volume.id).stat().st_size == 2 * 1024**3
