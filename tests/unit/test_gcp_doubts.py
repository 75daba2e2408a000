"""The control plane on GCE: answers that are lost, looks that are old, and what must not follow."""

from functools import partial

import pytest

from cloudcrypt.errors import (
    AccessDenied,
    NotFound,
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
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.world.faults import ConnectionLost, Refused, ReplyLost, StaleRead
from tests.unit.dying_hosts import Host
from tests.unit.gcp_given import ZONE, number, opened, passed, together, within

REQUEST = VolumeRequest("data", 10 * GIB, place=ZONE)
DENIED = Refused("forbidden", status=403)
LOOKS = "disks.[ag]*"


@pytest.fixture
def host(fake_gce: FakeGce) -> Host:
    return Host(fake_gce, opened)


@pytest.fixture
def volume(host: Host) -> Volume:
    return host.process().ensure_volume(REQUEST)


# --- detaching ---


def test_a_detachment_that_a_process_left_does_not_take_the_next_attachment_away(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    instance = fake_gce.run_instance()
    host.process().ensure_attached(volume.id, instance)
    host.dies(lambda plane: plane.ensure_detached(volume.id, instance))
    fake_gce.faults.add(StaleRead(), on=LOOKS, times=4)
    host.process().ensure_attached(volume.id, instance)
    assert host.holders(volume) == (instance,)


def test_a_detachment_from_one_instance_is_not_overridden_by_that_from_another_one(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    first, second = fake_gce.run_instance(), fake_gce.run_instance()
    plane = host.process()
    plane.ensure_attached(volume.id, first)
    with pytest.raises(OperationPending):
        plane.ensure_detached(volume.id, first, deadline=passed(fake_gce))
    plane.ensure_detached(volume.id, second)
    assert set(host.states()) == {State.DONE}
    fake_gce.faults.add(StaleRead(), on="*", times=2)
    host.process().ensure_attached(volume.id, first)
    assert host.holders(volume) == (first,)


def test_a_volume_that_is_being_detached_is_attached_when_it_is_free(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    instance = fake_gce.run_instance()
    plane = host.process()
    plane.ensure_attached(volume.id, instance)
    opened(fake_gce).begin(DetachVolume("by others", volume.id, instance))
    plane.ensure_attached(volume.id, instance)
    assert host.holders(volume) == (instance,)


def test_an_attachment_that_others_undo_before_it_is_resumed_is_made_anew(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    instance = fake_gce.run_instance()
    with pytest.raises(OperationPending):
        host.process().ensure_attached(volume.id, instance, deadline=passed(fake_gce))
    fake_gce.clock.advance(60)
    opened(fake_gce).begin(DetachVolume("by others", volume.id, instance))
    host.process().ensure_attached(volume.id, instance)
    assert host.holders(volume) == (instance,)
    assert host.states()[1:] == [State.FAILED, State.DONE]


def test_a_detachment_by_others_that_one_list_does_not_show_does_not_stay_unseen(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    instance = fake_gce.run_instance()
    fake_gce.late_detach(instance, "data", seconds=20)
    fake_gce.faults.add(StaleRead(), on="zoneOperations.list", times=1)
    with pytest.raises(NotFound, match="attachment"):  # it was undone, and is not told as made
        host.process().ensure_attached(volume.id, instance)
    host.process().ensure_attached(volume.id, instance)
    assert host.states()[1:] == [State.FAILED, State.DONE]
    assert host.holders(volume) == (instance,)


# --- looks that are cut short ---


def test_a_snapshot_that_was_not_looked_for_long_enough_is_not_taken_again(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    host.dies(lambda plane: plane.ensure_snapshot(volume.id, "nightly"))
    fake_gce.faults.add(StaleRead(), on="snapshots.*", times=8)
    with pytest.raises(OperationPending):
        host.process().ensure_snapshot(volume.id, "nightly", deadline=within(fake_gce, 3))
    assert host.states()[1:] == [State.PENDING]
    fake_gce.faults.clear()
    host.process().ensure_snapshot(volume.id, "nightly")
    assert len(fake_gce.snapshots()) == 1


def test_a_volume_that_was_not_looked_for_long_enough_does_not_give_way_to_another_one(
    host: Host, fake_gce: FakeGce
) -> None:
    host.dies(lambda plane: plane.ensure_volume(REQUEST))
    larger = VolumeRequest("data", 20 * GIB)
    fake_gce.faults.add(StaleRead(), on=LOOKS, times=8)
    with pytest.raises(OperationPending):
        host.process().ensure_volume(larger, deadline=within(fake_gce, 3))
    fake_gce.faults.clear()
    with pytest.raises(RequestConflict):
        host.process().ensure_volume(larger)
    assert len(fake_gce.disks()) == 1


def test_a_token_is_not_passed_over_for_a_volume_that_no_list_shows_yet(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    # GCE answers with the operation of the volume, which is got by its number: it is another one.
    other = Host(fake_gce, opened)
    fake_gce.faults.add(StaleRead(), on="disks.aggregatedList", times=9)
    with pytest.raises(RequestConflict) as caught:
        other.process().ensure_volume(VolumeRequest("data", 20 * GIB), deadline=within(fake_gce, 3))
    assert caught.value.fields == ("size",)
    assert (other.states(), list(fake_gce.disks())) == ([State.FAILED], [number(volume.id)])


# --- refusals after an answer that was lost ---


def test_a_volume_whose_creation_was_refused_after_a_lost_answer_is_made_once(
    host: Host, fake_gce: FakeGce
) -> None:
    # The first request is done. The second is refused, and so is the next one, with old looks.
    fake_gce.faults.add(ReplyLost(), on="disks.insert")
    fake_gce.faults.add(DENIED, on="disks.insert", occurrence=2, times=2)
    fake_gce.faults.add(StaleRead(), on=LOOKS, times=14)
    fake_gce.faults.add(StaleRead(), on="zoneOperations.list", times=7)
    with pytest.raises(AccessDenied):
        host.process().ensure_volume(REQUEST)
    assert host.states() == [State.PENDING]
    fake_gce.faults.add(StaleRead(), on=LOOKS, times=3)
    host.process().ensure_volume(REQUEST)
    assert (host.states(), len(fake_gce.disks())) == ([State.DONE], 1)


def test_a_creation_that_never_arrived_is_refused_for_good_the_second_time(
    host: Host, fake_gce: FakeGce
) -> None:
    fake_gce.faults.add(ConnectionLost(), on="disks.insert")
    fake_gce.faults.add(DENIED, on="disks.insert", occurrence=2, times=None)
    for state in (State.PENDING, State.FAILED):
        with pytest.raises(AccessDenied):
            host.process().ensure_volume(REQUEST)
        assert host.states() == [state]
    tokens = {
        one.parameters["requestId"] for one in fake_gce.requests if one.action == "disks.insert"
    }
    assert len(tokens) == 1


# --- deletions ---


def test_a_deletion_that_was_never_done_is_not_recorded_as_done(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    fake_gce.faults.add(Refused("notFound", status=404), on="disks.delete")
    fake_gce.faults.add(StaleRead(), on=LOOKS, times=2)
    with pytest.raises(OperationFailed):
        host.process().ensure_gone(volume.id)
    host.process().ensure_gone(volume.id)
    assert fake_gce.disks() == {}


def test_a_deletion_that_a_process_left_is_finished_before_the_name_is_used_again(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    host.dies(lambda plane: plane.ensure_gone(volume.id))
    fake_gce.faults.add(StaleRead(), on=LOOKS, times=4)
    again = host.process().ensure_volume(REQUEST)
    fake_gce.clock.advance(60)
    assert again.id != volume.id
    assert list(fake_gce.disks()) == [number(again.id)]


# --- several hosts, and several URLs ---


def test_one_journal_by_two_urls_of_one_namespace_makes_one_volume(
    host: Host, volume: Volume, fake_gce: FakeGce
) -> None:
    other = host.process(zone=None)
    assert other.provider.url != host.process().provider.url
    fake_gce.faults.add(StaleRead(), on=LOOKS, times=2)
    assert other.ensure_volume(REQUEST).id == volume.id
    assert len(fake_gce.disks()) == 1


def test_what_was_begun_by_one_url_is_finished_by_another_one_of_its_namespace(
    host: Host, fake_gce: FakeGce
) -> None:
    host.dies(lambda plane: plane.ensure_volume(VolumeRequest("data", 10 * GIB)), is_early=True)
    other = host.process(zone=None)
    (entry,) = other.unfinished()
    assert (entry.namespace, entry.provider) == (
        "gcp:demo-project/europe-west3/cloudcrypt",
        host.process().provider.url,
    )
    assert [each.error for each in other.resume_all()] == [None]
    assert host.states() == [State.DONE]
    strangers = host.process(owner="others")
    assert strangers.provider.namespace == "gcp:demo-project/europe-west3/others"
    with pytest.raises(OperationUnknown):
        strangers.resume(entry.id)
    assert len(fake_gce.disks()) == 1


def test_two_hosts_at_once_get_one_volume_and_one_of_them_the_proof_that_it_is_blank(
    fake_gce: FakeGce,
) -> None:
    hosts = [Host(fake_gce, opened), Host(fake_gce, opened)]
    volumes = together([partial(host.process().ensure_volume, REQUEST) for host in hosts])
    assert len({volume.id for volume in volumes}) == len(fake_gce.disks()) == 1
    makers = [volume.maker == host.journal.id for volume, host in zip(volumes, hosts, strict=True)]
    proofs = [any(entry.blank for entry in host.entries()) for host in hosts]
    assert proofs == makers
    assert sum(proofs) == 1


def test_a_host_that_comes_back_has_no_proof_about_the_volume_that_another_one_made(
    host: Host, fake_gce: FakeGce
) -> None:
    host.dies(lambda plane: plane.ensure_volume(REQUEST), is_early=True)
    assert [entry.blank for entry in host.entries()] == [True]
    made = Host(fake_gce, opened).process().ensure_volume(REQUEST)
    assert host.process().ensure_volume(REQUEST) == made
    assert [(entry.outcome, entry.blank) for entry in host.entries()] == [(made.id, False)]
