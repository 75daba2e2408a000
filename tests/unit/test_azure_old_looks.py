"""Looks at Azure that are older than they seem: nothing is put over a disk, nobody is its maker."""

from functools import partial

import pytest

from cloudcrypt.errors import AccessDenied, OperationPending, RequestConflict
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.model import Volume
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import CreateSnapshot, CreateVolume, perform
from cloudcrypt_azure._contest import CONTEST
from cloudcrypt_testing.fake_azure import FakeAzure, FakeClock, Timings
from cloudcrypt_testing.world.faults import ConnectionLost, Refused, ReplyLost, StaleRead
from tests.unit.azure_given import created, opened, wanted, within

DENIED = Refused("AuthorizationFailed", status=403)
FOR_EVER = 1000


def stale(azure: FakeAzure, times: int, things: str = "disks") -> None:
    """Let looks at one disk or snapshot be older than the last change."""
    azure.faults.add(StaleRead(), on=f"{things}.get", times=times)


def puts(azure: FakeAzure, things: str = "disks") -> int:
    return azure.requests.count(f"{things}.createOrUpdate")


# --- nothing is written over ---


def test_an_old_look_does_not_let_a_disk_be_grown_by_a_put(fake_azure: FakeAzure) -> None:
    """A PUT on a disk that exists grows it, and takes its tags, without a word.

    The defence is the second look in `Creations._attempt_alone`, a second later.
    """
    volume = created(opened(fake_azure))
    stale(fake_azure, 2)  # the names that Azure may call it
    with pytest.raises(RequestConflict) as caught:
        created(opened(fake_azure), token="another one", size=8 * GIB)
    assert caught.value.fields == ("size",)
    assert (puts(fake_azure), opened(fake_azure).get(volume.id).size) == (1, 2 * GIB)


def test_an_old_look_does_not_let_the_tags_of_another_owner_be_taken(fake_azure: FakeAzure) -> None:
    # The defence is the same.
    created(opened(fake_azure, owner="somebody"))
    stale(fake_azure, 2)
    with pytest.raises(RequestConflict) as caught:
        created(opened(fake_azure))
    assert "owner" in caught.value.fields
    (left,) = fake_azure.disks().values()
    assert left.tags["cloudcrypt-owner"] == "somebody"


def test_an_old_look_does_not_give_a_snapshot_another_generation(fake_azure: FakeAzure) -> None:
    # The defence is the second look in `Snapshots._attempt_alone`: a restored volume is rebound by
    # the generation that its snapshot says.
    provider = opened(fake_azure)
    volume = created(provider)
    perform(provider, CreateSnapshot("s", volume.id, "nightly", 3))
    stale(fake_azure, 2, "snapshots")
    with pytest.raises(RequestConflict):
        perform(opened(fake_azure), CreateSnapshot("another one", volume.id, "nightly", 4))
    (left,) = provider.snapshots()
    assert (left.generation, puts(fake_azure, "snapshots")) == (3, 1)


# --- who made it ---


def test_who_wrote_to_a_disk_that_was_there_is_not_its_maker(fake_azure: FakeAzure) -> None:
    """Looks that stay old for long: the PUT is done, and gives the disk the tags of the second.

    The defence is `maker_of` in cloudcrypt_azure._tags: the disk has to be younger than the look
    that its writer went by, both by the clock of Azure.
    """
    first = created(opened(fake_azure), maker="one")
    fake_azure.clock.advance(60)
    stale(fake_azure, 3)
    second = created(opened(fake_azure), maker="two", token="another one")
    assert (second.id, puts(fake_azure)) == (first.id, 2)
    assert (first.maker, second.maker) == ("one", None)
    (left,) = fake_azure.disks().values()
    assert left.tags["cloudcrypt-maker"] == "two"  # which is why the tag alone is not enough


def test_so_it_is_for_a_process_that_finds_what_another_one_wrote(fake_azure: FakeAzure) -> None:
    created(opened(fake_azure), maker="one")
    fake_azure.clock.advance(60)
    stale(fake_azure, 3)
    intent = wanted(maker="two", token="another one")
    opened(fake_azure).begin(intent)
    fake_azure.clock.advance(60)
    other = opened(fake_azure)
    found = other.find(intent)
    assert found is not None
    assert other.resume(found).maker is None


def test_the_answer_to_a_put_says_whether_it_came_in_time(fake_azure: FakeAzure) -> None:
    """The look is fresh; what is slow is on the way, and neither clock of the host says so.

    The defence is `answered` in `_contest.is_late`.
    """
    fake_azure.reset(timings=Timings(create=0, update=0))
    one, two = opened(fake_azure), opened(fake_azure, clock=FakeClock())
    told: list[str | None] = []

    def first() -> None:
        told.append(one.resume(one.begin(wanted(maker="one"))).maker)
        fake_azure.clock.advance(CONTEST)

    fake_azure.meanwhile("disks.createOrUpdate", first)
    told.append(two.resume(two.begin(wanted(maker="two"))).maker)
    assert told == ["one", None]


def test_of_two_hosts_with_old_looks_one_has_the_proof_that_the_volume_is_blank(
    fake_azure: FakeAzure,
) -> None:
    request = VolumeRequest("data", 2 * GIB)
    journals = [SqliteJournal.in_memory() for _ in range(2)]
    for journal in journals:
        plane = Provisioner(opened(fake_azure), journal, clock=fake_azure.clock)
        plane.ensure_volume(request)
        fake_azure.faults.add(StaleRead(), on="disks.[gl]*", times=5)
        fake_azure.clock.advance(60)
    assert puts(fake_azure) == 2
    proofs = [[entry.blank for entry in journal.entries()] for journal in journals]
    assert proofs == [[True], [False]]


# --- refusals after an answer that was lost ---


def lost_then_refused(azure: FakeAzure, things: str, *, is_done: bool) -> None:
    """Let the first request be answered to nobody, and the second one be refused."""
    on = f"{things}.createOrUpdate"
    azure.faults.add(ReplyLost() if is_done else ConnectionLost(), on=on)
    azure.faults.add(DENIED, on=on, occurrence=2, times=2)


def test_a_refusal_after_a_lost_answer_does_not_hide_the_disk(fake_azure: FakeAzure) -> None:
    """The defence is `settled` in `Creations._refused`: the first request may have been done."""
    lost_then_refused(fake_azure, "disks", is_done=True)
    stale(fake_azure, 8)
    assert created(opened(fake_azure), maker="one").maker == "one"
    assert len(fake_azure.disks()) == 1


def test_a_refusal_after_a_lost_answer_does_not_hide_the_snapshot(fake_azure: FakeAzure) -> None:
    """The defence is the same, in `Snapshots._refused`."""
    provider = opened(fake_azure)
    volume = created(provider)
    lost_then_refused(fake_azure, "snapshots", is_done=True)
    stale(fake_azure, 8, "snapshots")
    taken = perform(provider, CreateSnapshot("s", volume.id, "nightly", 3))
    assert (taken.generation, len(fake_azure.snapshots())) == (3, 1)


@pytest.mark.parametrize("things", ["disks", "snapshots"])
def test_a_refusal_is_told_when_it_is_sure_that_nothing_was_done(
    fake_azure: FakeAzure, things: str
) -> None:
    provider = opened(fake_azure)
    volume = created(provider, "source")
    take = CreateSnapshot("s", volume.id, "nightly")
    make: CreateVolume | CreateSnapshot = wanted() if things == "disks" else take
    begin = partial(provider.begin, make)
    lost_then_refused(fake_azure, things, is_done=False)
    with pytest.raises(OperationPending) as caught:
        begin(deadline=within(fake_azure, 6))
    assert caught.value.cloud_code == "AuthorizationFailed"
    with pytest.raises(AccessDenied):
        begin()


def test_a_disk_of_unknown_age_has_no_maker(fake_azure: FakeAzure) -> None:
    made: Volume = created(opened(fake_azure), maker="one")
    (left,) = fake_azure.disks().values()
    assert made.maker == "one"
    for facts in ("labels=1", "labels=1 at=", "labels=1 at=x", "at=99999999999"):
        left.tags["cloudcrypt-asked"] = facts  # type: ignore[index]
        assert opened(fake_azure).get(made.id).maker is None
