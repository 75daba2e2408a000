"""The control plane on Azure: lost answers, old looks, and what must not follow."""

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
from cloudcrypt_testing.fake_azure import FakeAzure
from cloudcrypt_testing.world.faults import ConnectionLost, Refused, ReplyLost, StaleRead
from tests.unit.azure_given import opened, passed, together, unique, within
from tests.unit.dying_hosts import Host

REQUEST = VolumeRequest("data", 2 * GIB)
DENIED = Refused("AuthorizationFailed", status=403)
LOOKS = "disks.[gl]*"


@pytest.fixture
def host(fake_azure: FakeAzure) -> Host:
    return Host(fake_azure, opened)


@pytest.fixture
def volume(host: Host) -> Volume:
    return host.process().ensure_volume(REQUEST)


# --- detaching ---


def test_a_detachment_that_a_process_left_does_not_take_the_next_attachment_away(
    host: Host, volume: Volume, fake_azure: FakeAzure
) -> None:
    instance = fake_azure.run_instance()
    host.process().ensure_attached(volume.id, instance)
    host.dies(lambda plane: plane.ensure_detached(volume.id, instance))
    fake_azure.faults.add(StaleRead(), on=LOOKS, times=4)
    host.process().ensure_attached(volume.id, instance)
    assert host.holders(volume) == (instance,)


def test_a_detachment_from_one_instance_is_not_overridden_by_that_from_another_one(
    host: Host, volume: Volume, fake_azure: FakeAzure
) -> None:
    first, second = fake_azure.run_instance(), fake_azure.run_instance()
    plane = host.process()
    plane.ensure_attached(volume.id, first)
    with pytest.raises(OperationPending):
        plane.ensure_detached(volume.id, first, deadline=passed(fake_azure))
    plane.ensure_detached(volume.id, second)
    assert set(host.states()) == {State.DONE}
    fake_azure.faults.add(StaleRead(), on="*", times=2)
    host.process().ensure_attached(volume.id, first)
    assert host.holders(volume) == (first,)


def test_a_volume_that_is_being_detached_is_attached_when_it_is_free(
    host: Host, volume: Volume, fake_azure: FakeAzure
) -> None:
    instance = fake_azure.run_instance()
    plane = host.process()
    plane.ensure_attached(volume.id, instance)
    opened(fake_azure).begin(DetachVolume("by others", volume.id, instance))
    plane.ensure_attached(volume.id, instance)
    assert host.holders(volume) == (instance,)


def test_an_attachment_that_others_undo_before_it_is_resumed_is_made_anew(
    host: Host, volume: Volume, fake_azure: FakeAzure
) -> None:
    instance = fake_azure.run_instance()
    with pytest.raises(OperationPending):
        host.process().ensure_attached(volume.id, instance, deadline=passed(fake_azure))
    fake_azure.clock.advance(60)
    opened(fake_azure).begin(DetachVolume("by others", volume.id, instance))
    host.process().ensure_attached(volume.id, instance)
    assert host.holders(volume) == (instance,)
    assert host.states()[1:] == [State.FAILED, State.DONE]


# --- looks that are cut short ---


def test_a_snapshot_that_was_not_looked_for_long_enough_is_not_taken_again(
    host: Host, volume: Volume, fake_azure: FakeAzure
) -> None:
    host.dies(lambda plane: plane.ensure_snapshot(volume.id, "nightly"))
    fake_azure.faults.add(StaleRead(), on="snapshots.[gl]*", times=8)
    with pytest.raises(OperationPending):
        host.process().ensure_snapshot(volume.id, "nightly", deadline=within(fake_azure, 3))
    assert host.states()[1:] == [State.PENDING]
    fake_azure.faults.clear()
    host.process().ensure_snapshot(volume.id, "nightly")
    assert len(fake_azure.snapshots()) == 1


def test_a_volume_that_was_not_looked_for_long_enough_does_not_give_way_to_another_one(
    host: Host, fake_azure: FakeAzure
) -> None:
    host.dies(lambda plane: plane.ensure_volume(REQUEST))
    larger = VolumeRequest("data", 4 * GIB)
    fake_azure.faults.add(StaleRead(), on=LOOKS, times=8)
    with pytest.raises(OperationPending):
        host.process().ensure_volume(larger, deadline=within(fake_azure, 3))
    fake_azure.faults.clear()
    with pytest.raises(RequestConflict):
        host.process().ensure_volume(larger)
    assert len(fake_azure.disks()) == 1


def test_a_volume_that_a_look_does_not_show_yet_is_not_written_over(
    host: Host, volume: Volume, fake_azure: FakeAzure
) -> None:
    other = Host(fake_azure, opened)
    fake_azure.faults.add(StaleRead(), on=LOOKS, times=4)  # of the journal, and of the provider
    with pytest.raises(RequestConflict):
        other.process().ensure_volume(VolumeRequest("data", 4 * GIB))
    assert (other.states(), host.process().provider.get(volume.id)) == ([State.FAILED], volume)


# --- refusals after an answer that was lost ---


def test_a_volume_whose_creation_was_refused_after_a_lost_answer_is_made_once(
    host: Host, fake_azure: FakeAzure
) -> None:
    # The first request is done. The second is refused, and looks stay old for seconds.
    fake_azure.faults.add(ReplyLost(), on="disks.createOrUpdate")
    fake_azure.faults.add(DENIED, on="disks.createOrUpdate", occurrence=2, times=2)
    fake_azure.faults.add(StaleRead(), on=LOOKS, times=12)
    host.process().ensure_volume(REQUEST)
    (entry,) = host.entries()
    assert (entry.state, entry.blank, len(fake_azure.disks())) == (State.DONE, True, 1)


def test_a_creation_that_may_have_arrived_and_was_refused_then_keeps_its_token(
    host: Host, fake_azure: FakeAzure
) -> None:
    fake_azure.faults.add(ConnectionLost(), on="disks.createOrUpdate")
    fake_azure.faults.add(DENIED, on="disks.createOrUpdate", occurrence=2, times=3)
    with pytest.raises(OperationPending):
        host.process().ensure_volume(REQUEST, deadline=within(fake_azure, 6))
    assert host.states() == [State.PENDING]
    with pytest.raises(AccessDenied):
        host.process().ensure_volume(REQUEST)
    assert host.states() == [State.FAILED]


# --- deletions ---


def test_a_deletion_that_was_never_done_is_not_recorded_as_done(
    host: Host, volume: Volume, fake_azure: FakeAzure
) -> None:
    fake_azure.faults.add(Refused("ResourceNotFound", status=404), on="disks.delete")
    fake_azure.faults.add(StaleRead(), on=LOOKS, times=2)
    with pytest.raises(OperationFailed):
        host.process().ensure_gone(volume.id)
    host.process().ensure_gone(volume.id)
    assert fake_azure.disks() == {}


def test_a_deletion_that_a_process_left_is_finished_before_the_name_is_used_again(
    host: Host, volume: Volume, fake_azure: FakeAzure
) -> None:
    host.dies(lambda plane: plane.ensure_gone(volume.id))
    fake_azure.faults.add(StaleRead(), on=LOOKS, times=4)
    again = host.process().ensure_volume(REQUEST)
    fake_azure.clock.advance(60)
    assert again.id != volume.id
    assert list(fake_azure.disks()) == [unique(again.id)]


# --- several hosts, and several URLs ---


def test_one_journal_by_two_urls_of_one_namespace_makes_one_volume(
    host: Host, volume: Volume, fake_azure: FakeAzure
) -> None:
    other = host.process(zone=None)
    assert other.provider.url != host.process().provider.url
    fake_azure.faults.add(StaleRead(), on=LOOKS, times=2)
    assert other.ensure_volume(REQUEST).id == volume.id
    assert len(fake_azure.disks()) == 1


def test_what_was_begun_by_one_url_is_finished_by_another_one_of_its_namespace(
    host: Host, fake_azure: FakeAzure
) -> None:
    host.dies(lambda plane: plane.ensure_volume(VolumeRequest("data", 2 * GIB)), is_early=True)
    other = host.process(zone=None)
    (entry,) = other.unfinished()
    assert (entry.namespace, entry.provider) == (
        "azure:00000000-0000-4000-8000-000000000001/demo-group/cloudcrypt",
        host.process().provider.url,
    )
    assert [each.error for each in other.resume_all()] == [None]
    assert host.states() == [State.DONE]
    strangers = host.process(owner="others")
    assert (
        strangers.provider.namespace
        == "azure:00000000-0000-4000-8000-000000000001/demo-group/others"
    )
    with pytest.raises(OperationUnknown):
        strangers.resume(entry.id)
    assert len(fake_azure.disks()) == 1


def test_two_hosts_at_once_get_one_volume_and_one_of_them_the_proof_that_it_is_blank(
    fake_azure: FakeAzure,
) -> None:
    hosts = [Host(fake_azure, opened), Host(fake_azure, opened)]
    volumes = together([partial(host.process().ensure_volume, REQUEST) for host in hosts])
    assert len({volume.id for volume in volumes}) == len(fake_azure.disks()) == 1
    makers = [volume.maker == host.journal.id for volume, host in zip(volumes, hosts, strict=True)]
    proofs = [any(entry.blank for entry in host.entries()) for host in hosts]
    assert proofs == makers
    assert sum(proofs) == 1


def test_a_host_that_comes_back_has_no_proof_about_the_volume_that_another_one_made(
    host: Host, fake_azure: FakeAzure
) -> None:
    host.dies(lambda plane: plane.ensure_volume(REQUEST), is_early=True)
    assert [entry.blank for entry in host.entries()] == [True]
    made = Host(fake_azure, opened).process().ensure_volume(REQUEST)
    assert host.process().ensure_volume(REQUEST) == made
    assert [(entry.outcome, entry.blank) for entry in host.entries()] == [(made.id, False)]
