"""Setting labels on GCE: under the fingerprint of those that were read, and never ours."""

from collections.abc import Iterator

import pytest

from cloudcrypt.errors import InvalidRequest, NotFound, WrongVolumeState
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import Exchange, FakeGce
from cloudcrypt_testing.world.faults import Refused, ReplyLost
from tests.unit.gcp_given import (
    GONE,
    REGION,
    created,
    disk,
    edited,
    opened,
    within,
)


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


def test_labels_take_the_place_of_the_former_ones_and_ours_stay(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider, labels={"team": "a", "old": ""})
    ours = {key for key in disk(fake_gce, volume).labels if key.startswith("cloudcrypt-")}
    changed = provider.set_labels(volume.id, {"team": "b", "new": "x"})
    assert changed.labels == {"team": "b", "new": "x"}
    assert {key for key in disk(fake_gce, volume).labels if key.startswith("cloudcrypt-")} == ours
    assert [each.id for each in provider.list()] == [volume.id]


def test_labels_that_are_so_already_are_not_set(provider: GcpProvider, fake_gce: FakeGce) -> None:
    volume = created(provider, labels={"team": "a"})
    assert provider.set_labels(volume.id, {"team": "a"}) == volume
    assert fake_gce.requests.count("disks.setLabels") == 0


def test_labels_that_somebody_else_sets_meanwhile_are_read_again(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)

    def meanwhile(exchange: Exchange) -> None:
        if exchange.call.action == "disks.setLabels" and exchange.phase == "before":
            fake_gce.hooks.clear()
            labels = {**disk(fake_gce, volume).labels, "cloudcrypt-later": "kept", "lost": ""}
            edited(fake_gce, volume, labels=labels, revision=7)

    fake_gce.hooks.append(meanwhile)
    assert provider.set_labels(volume.id, {"team": "b"}).labels == {"team": "b"}
    assert disk(fake_gce, volume).labels["cloudcrypt-later"] == "kept"
    assert [one.status for one in fake_gce.requests].count(412) == 1


def test_labels_that_were_changed_within_the_operation_are_read_again(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    fake_gce.fail_next("disks.setLabels", "CONDITION_NOT_MET")
    assert provider.set_labels(volume.id, {"team": "b"}).labels == {"team": "b"}


def test_a_reply_that_is_lost_is_asked_for_again(provider: GcpProvider, fake_gce: FakeGce) -> None:
    volume = created(provider)
    fake_gce.faults.add(ReplyLost(), on="disks.setLabels", times=2)
    assert provider.set_labels(volume.id, {"team": "b"}).labels == {"team": "b"}
    assert sum(one.kind == "setLabels" for one in fake_gce.operations().values()) == 1


def test_labels_that_never_settle_are_told_at_the_deadline(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    fake_gce.faults.add(Refused("conditionNotMet", status=412), on="disks.setLabels", times=None)
    with pytest.raises(WrongVolumeState):
        provider.set_labels(volume.id, {"team": "b"}, deadline=within(fake_gce, 20))


def test_labels_that_go_back_and_forth_are_set_each_time(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    for labels in ({"a": "1"}, {}, {"a": "1"}, {}):
        assert provider.set_labels(volume.id, labels).labels == labels
    assert fake_gce.requests.count("disks.setLabels") == 4


def test_a_regional_volume_has_labels_too(provider: GcpProvider, fake_gce: FakeGce) -> None:
    volume = created(provider, place=REGION)
    assert provider.set_labels(volume.id, {"team": "b"}).labels == {"team": "b"}
    assert fake_gce.requests.count("regionDisks.setLabels") == 1


@pytest.mark.parametrize("labels", [{"cloudcrypt-owner": "me"}, {"Team": "a"}])
def test_labels_that_cannot_be_are_refused_before_anyone_is_asked(
    provider: GcpProvider, fake_gce: FakeGce, labels: dict[str, str]
) -> None:
    volume = created(provider)
    fake_gce.requests.clear()
    with pytest.raises(InvalidRequest):
        provider.set_labels(volume.id, labels)
    assert len(fake_gce.requests) == 0


def test_a_volume_that_is_not_there_has_no_labels(provider: GcpProvider) -> None:
    with pytest.raises(NotFound):
        provider.set_labels(GONE, {"team": "a"})


def test_a_creation_that_is_asked_for_again_takes_the_former_labels_or_these(
    provider: GcpProvider,
) -> None:
    volume = created(provider, labels={"team": "a"})
    provider.set_labels(volume.id, {"team": "b"})
    for labels in ({"team": "a"}, {"team": "b"}):
        assert created(provider, token="again", labels=labels).id == volume.id
