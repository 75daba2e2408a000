"""Modifying volumes: what EC2 does and moto alone does not."""

from datetime import timedelta
from typing import Any

import pytest

from cloudcrypt_testing.fake_aws import FakeAws
from tests.unit.ec2_calls import NOBODY, TIMES, create, created, refusal, refused

DAY = 24 * 3600


def modified(aws: FakeAws, volume_id: str, **parameters: Any) -> None:
    """Modify a volume and wait until that is completed."""
    aws.client().modify_volume(VolumeId=volume_id, **parameters)
    aws.clock.advance(TIMES.modify + TIMES.optimize)


def latest(aws: FakeAws, volume_id: str) -> tuple[str, int]:
    """Return state and progress of the last modification as EC2 describes it."""
    answer = aws.client().describe_volumes_modifications(VolumeIds=[volume_id])
    (found,) = answer["VolumesModifications"]
    return found.get("ModificationState", ""), found.get("Progress", -1)


class TestStates:
    def test_a_new_size_can_be_used_while_optimizing_and_not_before(
        self, fake_aws: FakeAws
    ) -> None:
        volume_id = created(fake_aws)
        backing = fake_aws.backing(volume_id)
        fake_aws.client().modify_volume(VolumeId=volume_id, Size=2)
        seen = [(latest(fake_aws, volume_id)[0], backing.stat().st_size)]
        for seconds in (TIMES.modify, TIMES.optimize):
            fake_aws.clock.advance(seconds)
            seen.append((latest(fake_aws, volume_id)[0], backing.stat().st_size))
        gib = 1024**3
        assert seen == [("modifying", gib), ("optimizing", 2 * gib), ("completed", 2 * gib)]
        assert latest(fake_aws, volume_id) == ("completed", 100)

    def test_a_failed_modification_changes_nothing(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws)
        fake_aws.fail_next_modification()
        modified(fake_aws, volume_id, Size=2)
        assert latest(fake_aws, volume_id)[0] == "failed"
        assert fake_aws.volumes()[volume_id].size == 1
        modified(fake_aws, volume_id, Size=2)
        assert fake_aws.volumes()[volume_id].size == 2

    def test_only_the_latest_modification_is_described(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws)
        modified(fake_aws, volume_id, Size=2)
        modified(fake_aws, volume_id, Size=3)
        answer = fake_aws.client().describe_volumes_modifications()
        found = [
            (one.get("OriginalSize"), one.get("TargetSize"))
            for one in answer["VolumesModifications"]
        ]
        assert found == [(2, 3)]
        assert [one.target.size for one in fake_aws.modifications(volume_id)] == [2, 3]

    def test_modifications_are_found_by_filters_and_in_pages(self, fake_aws: FakeAws) -> None:
        ec2 = fake_aws.client()
        volume_ids = [created(fake_aws) for _ in range(3)]
        for volume_id in volume_ids:
            modified(fake_aws, volume_id, Size=2)
        ec2.modify_volume(VolumeId=volume_ids[0], Size=3)
        filters: Any = [{"Name": "modification-state", "Values": ["completed"]}]
        first = ec2.describe_volumes_modifications(Filters=filters, MaxResults=1)
        token = first.get("NextToken", "")
        rest = ec2.describe_volumes_modifications(Filters=filters, NextToken=token)
        pages = first["VolumesModifications"] + rest["VolumesModifications"]
        assert [one.get("VolumeId") for one in pages] == volume_ids[1:]

    def test_a_volume_that_was_never_modified_has_no_modification(self, fake_aws: FakeAws) -> None:
        describe = fake_aws.client().describe_volumes_modifications
        code = refusal(describe, VolumeIds=[created(fake_aws)])
        assert code == "InvalidVolumeModification.NotFound"
        assert refusal(describe, VolumeIds=[NOBODY]) == "InvalidVolume.NotFound"


class TestRefusals:
    def test_a_volume_never_shrinks(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws, Size=2)
        call = fake_aws.client().modify_volume
        assert refusal(call, VolumeId=volume_id, Size=1) == "InvalidParameterValue"
        assert fake_aws.volumes()[volume_id].size == 2

    def test_one_modification_has_to_be_completed_before_the_next(self, fake_aws: FakeAws) -> None:
        volume_id, call = created(fake_aws), fake_aws.client().modify_volume
        call(VolumeId=volume_id, Size=2)
        codes = [refusal(call, VolumeId=volume_id, Size=3)]
        fake_aws.clock.advance(TIMES.modify)
        codes.append(refusal(call, VolumeId=volume_id, Size=3))
        fake_aws.clock.advance(TIMES.optimize)
        call(VolumeId=volume_id, Size=3)
        assert codes == ["IncorrectModificationState"] * 2

    def test_the_fifth_in_a_day_is_refused_with_the_time_when_it_is_not(
        self, fake_aws: FakeAws
    ) -> None:
        volume_id, call = created(fake_aws), fake_aws.client().modify_volume
        begun = fake_aws.clock.now()
        for size in range(2, 6):
            modified(fake_aws, volume_id, Size=size)
        code, message = refused(call, VolumeId=volume_id, Size=6)
        again = begun + timedelta(seconds=DAY)
        assert code == "VolumeModificationRateExceeded"
        assert f"{again:%Y-%m-%dT%H:%M:%SZ}" in message
        fake_aws.clock.advance((again - fake_aws.clock.now()).total_seconds())
        call(VolumeId=volume_id, Size=6)

    @pytest.mark.parametrize(
        ("parameters", "code"),
        [
            ({}, "InvalidParameterValue"),
            ({"Size": 70000}, "InvalidParameterValue"),
            ({"Iops": 4000}, "InvalidParameterValue"),
            ({"Throughput": 2001}, "InvalidParameterValue"),
            ({"VolumeType": "gp2", "Iops": 3000}, "InvalidParameterCombination"),
            ({"VolumeType": "io2", "Size": 4, "Iops": 5000}, "InvalidParameterValue"),
            ({"VolumeType": "gp9"}, "UnknownVolumeType"),
            ({"MultiAttachEnabled": True}, "InvalidParameterCombination"),
            ({"Size": 2, "DryRun": True}, "DryRunOperation"),
        ],
    )
    def test_what_no_volume_can_become_is_refused(
        self, fake_aws: FakeAws, parameters: dict[str, Any], code: str
    ) -> None:
        volume_id = created(fake_aws, VolumeType="gp3")
        assert refusal(fake_aws.client().modify_volume, VolumeId=volume_id, **parameters) == code
        assert fake_aws.modifications(volume_id) == ()

    def test_a_volume_has_to_exist_and_be_ready(self, fake_aws: FakeAws) -> None:
        call = fake_aws.client().modify_volume
        assert refusal(call, VolumeId=NOBODY, Size=2) == "InvalidVolume.NotFound"
        assert refusal(call, VolumeId=create(fake_aws), Size=2) == "IncorrectState"


class TestTargets:
    def test_a_change_of_type_brings_the_defaults_of_the_new_one(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws)
        modified(fake_aws, volume_id, VolumeType="gp3")
        volume = fake_aws.volumes()[volume_id]
        assert (volume.kind, volume.iops, volume.throughput) == ("gp3", 3000, 125)

    def test_what_is_not_named_stays(self, fake_aws: FakeAws) -> None:
        volume_id = created(fake_aws, VolumeType="gp3", Throughput=250, Size=10, Iops=4000)
        modified(fake_aws, volume_id, Size=20)
        volume = fake_aws.volumes()[volume_id]
        assert (volume.size, volume.iops, volume.throughput) == (20, 4000, 250)
