"""The control plane on AWS: answers that are lost, looks that are old, and what must not follow."""

from functools import partial

import pytest

from cloudcrypt.errors import (
    AccessDenied,
    OperationFailed,
    OperationPending,
    OperationUnknown,
    RequestConflict,
)
from cloudcrypt.journal import State
from cloudcrypt.model import Volume
from cloudcrypt.provisioning import VolumeRequest
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import DetachVolume
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import ConnectionLost, Refused, ReplyLost, StaleRead
from tests.unit.aws_given import ZONE, opened, passed, together, within
from tests.unit.dying_hosts import Host

REQUEST = VolumeRequest("data", 2 * GIB, place=ZONE)
DENIED = Refused("UnauthorizedOperation", status=403)


@pytest.fixture
def host(fake_aws: FakeAws) -> Host:
    return Host(fake_aws, opened)


@pytest.fixture
def volume(host: Host) -> Volume:
    return host.process().ensure_volume(REQUEST)


# --- detaching ---


def test_a_detachment_that_a_process_left_does_not_take_the_next_attachment_away(
    host: Host, volume: Volume, fake_aws: FakeAws
) -> None:
    instance = fake_aws.run_instance()
    host.process().ensure_attached(volume.id, instance)
    host.dies(lambda plane: plane.ensure_detached(volume.id, instance))
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=4)
    host.process().ensure_attached(volume.id, instance)
    assert host.holders(volume) == (instance,)


def test_a_detachment_from_one_instance_is_not_overridden_by_that_from_another_one(
    host: Host, volume: Volume, fake_aws: FakeAws
) -> None:
    first, second = fake_aws.run_instance(), fake_aws.run_instance()
    plane = host.process()
    plane.ensure_attached(volume.id, first)
    with pytest.raises(OperationPending):
        plane.ensure_detached(volume.id, first, deadline=passed(fake_aws))
    plane.ensure_detached(volume.id, second)
    assert set(host.states()) == {State.DONE}
    fake_aws.faults.add(StaleRead(), on="Describe*", times=2)
    host.process().ensure_attached(volume.id, first)
    assert host.holders(volume) == (first,)


def test_a_volume_that_is_being_detached_is_attached_when_it_is_free(
    host: Host, volume: Volume, fake_aws: FakeAws
) -> None:
    instance = fake_aws.run_instance()
    plane = host.process()
    plane.ensure_attached(volume.id, instance)
    opened(fake_aws).begin(DetachVolume("by others", volume.id, instance))
    plane.ensure_attached(volume.id, instance)
    assert host.holders(volume) == (instance,)


def test_an_attachment_that_others_undo_before_it_is_resumed_is_made_anew(
    host: Host, volume: Volume, fake_aws: FakeAws
) -> None:
    instance = fake_aws.run_instance()
    with pytest.raises(OperationPending):
        host.process().ensure_attached(volume.id, instance, deadline=passed(fake_aws))
    fake_aws.clock.advance(60)
    opened(fake_aws).begin(DetachVolume("by others", volume.id, instance))
    host.process().ensure_attached(volume.id, instance)
    assert host.holders(volume) == (instance,)
    assert host.states()[1:] == [State.FAILED, State.DONE]


# --- looks that are cut short ---


def test_a_snapshot_that_was_not_looked_for_long_enough_is_not_taken_again(
    host: Host, volume: Volume, fake_aws: FakeAws
) -> None:
    host.dies(lambda plane: plane.ensure_snapshot(volume.id, "nightly"))
    fake_aws.faults.add(StaleRead(), on="DescribeSnapshots", times=8)
    with pytest.raises(OperationPending):
        host.process().ensure_snapshot(volume.id, "nightly", deadline=within(fake_aws, 3))
    assert host.states()[1:] == [State.PENDING]
    fake_aws.faults.clear()
    host.process().ensure_snapshot(volume.id, "nightly")
    assert len(fake_aws.snapshots()) == 1


def test_a_volume_that_was_not_looked_for_long_enough_does_not_give_way_to_another_one(
    host: Host, fake_aws: FakeAws
) -> None:
    host.dies(lambda plane: plane.ensure_volume(REQUEST))
    larger = VolumeRequest("data", 4 * GIB)
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=8)
    with pytest.raises(OperationPending):
        host.process().ensure_volume(larger, deadline=within(fake_aws, 3))
    fake_aws.faults.clear()
    with pytest.raises(RequestConflict):
        host.process().ensure_volume(larger)
    assert len(fake_aws.volumes()) == 1


def test_a_token_is_not_passed_over_before_its_volume_could_show(
    host: Host, volume: Volume, fake_aws: FakeAws
) -> None:
    other = Host(fake_aws, opened)
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=9)
    with pytest.raises(OperationPending):
        other.process().ensure_volume(VolumeRequest("data", 4 * GIB), deadline=within(fake_aws, 3))
    assert (other.states(), list(fake_aws.volumes())) == ([State.PENDING], [volume.id[-21:]])


# --- refusals after an answer that was lost ---


def test_a_volume_whose_creation_was_refused_after_a_lost_answer_is_made_once(
    host: Host, fake_aws: FakeAws
) -> None:
    # The first request is done. The second is refused, and so is the next one, with old looks.
    fake_aws.faults.add(ReplyLost(), on="CreateVolume")
    fake_aws.faults.add(DENIED, on="CreateVolume", occurrence=2, times=2)
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=14)
    with pytest.raises(AccessDenied):
        host.process().ensure_volume(REQUEST)
    assert host.states() == [State.PENDING]
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=3)
    host.process().ensure_volume(REQUEST)
    assert (host.states(), len(fake_aws.volumes())) == ([State.DONE], 1)


def test_a_creation_that_never_arrived_is_refused_for_good_the_second_time(
    host: Host, fake_aws: FakeAws
) -> None:
    fake_aws.faults.add(ConnectionLost(), on="CreateVolume")
    fake_aws.faults.add(DENIED, on="CreateVolume", occurrence=2, times=None)
    for state in (State.PENDING, State.FAILED):
        with pytest.raises(AccessDenied):
            host.process().ensure_volume(REQUEST)
        assert host.states() == [state]
    tokens = {
        one.parameters["ClientToken"] for one in fake_aws.requests if one.action == "CreateVolume"
    }
    assert len(tokens) == 1


# --- deletions ---


def test_a_deletion_that_was_never_done_is_not_recorded_as_done(
    host: Host, volume: Volume, fake_aws: FakeAws
) -> None:
    fake_aws.faults.add(Refused("InvalidVolume.NotFound"), on="DeleteVolume")
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=2)
    with pytest.raises(OperationFailed):
        host.process().ensure_gone(volume.id)
    host.process().ensure_gone(volume.id)
    assert fake_aws.volumes() == {}


def test_a_deletion_that_a_process_left_is_finished_before_the_name_is_used_again(
    host: Host, volume: Volume, fake_aws: FakeAws
) -> None:
    host.dies(lambda plane: plane.ensure_gone(volume.id))
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=4)
    again = host.process().ensure_volume(REQUEST)
    fake_aws.clock.advance(60)
    assert again.id != volume.id
    assert list(fake_aws.volumes()) == [again.id[-21:]]


# --- several hosts, and several URLs ---


def test_one_journal_by_two_urls_of_one_namespace_makes_one_volume(
    host: Host, volume: Volume, fake_aws: FakeAws
) -> None:
    other = host.process(zone=None)
    assert other.provider.url != host.process().provider.url
    fake_aws.faults.add(StaleRead(), on="DescribeVolumes", times=2)
    assert other.ensure_volume(REQUEST).id == volume.id
    assert len(fake_aws.volumes()) == 1


def test_what_was_begun_by_one_url_is_finished_by_another_one_of_its_namespace(
    host: Host, fake_aws: FakeAws
) -> None:
    host.dies(lambda plane: plane.ensure_volume(VolumeRequest("data", 2 * GIB)), is_early=True)
    other = host.process(zone=None)
    (entry,) = other.unfinished()
    assert (entry.namespace, entry.provider) == (
        "aws:eu-central-1/cloudcrypt",
        host.process().provider.url,
    )
    assert [each.error for each in other.resume_all()] == [None]
    assert host.states() == [State.DONE]
    strangers = host.process(owner="others")
    assert strangers.provider.namespace == "aws:eu-central-1/others"
    with pytest.raises(OperationUnknown):
        strangers.resume(entry.id)
    assert len(fake_aws.volumes()) == 1


def test_two_hosts_at_once_get_one_volume_and_one_of_them_the_proof_that_it_is_blank(
    fake_aws: FakeAws,
) -> None:
    hosts = [Host(fake_aws, opened), Host(fake_aws, opened)]
    volumes = together([partial(host.process().ensure_volume, REQUEST) for host in hosts])
    assert len({volume.id for volume in volumes}) == len(fake_aws.volumes()) == 1
    makers = [volume.maker == host.journal.id for volume, host in zip(volumes, hosts, strict=True)]
    proofs = [any(entry.blank for entry in host.entries()) for host in hosts]
    assert proofs == makers
    assert sum(proofs) == 1


def test_a_host_that_comes_back_has_no_proof_about_the_volume_that_another_one_made(
    host: Host, fake_aws: FakeAws
) -> None:
    host.dies(lambda plane: plane.ensure_volume(REQUEST), is_early=True)
    assert [entry.blank for entry in host.entries()] == [True]
    made = Host(fake_aws, opened).process().ensure_volume(REQUEST)
    assert host.process().ensure_volume(REQUEST) == made
    assert [(entry.outcome, entry.blank) for entry in host.entries()] == [(made.id, False)]
