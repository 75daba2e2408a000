"""Attaching on GCE what others hold: one holder, who is named, and nothing is taken from it."""

from collections.abc import Iterator
from functools import partial

import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    VolumeInUse,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import DetachVolume, perform
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.world.faults import StaleRead
from tests.unit.gcp_given import (
    ZONE,
    another,
    attached,
    attaching,
    created,
    disk,
    opened,
    together,
    within,
)


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


@pytest.fixture
def instance(fake_gce: FakeGce) -> str:
    return fake_gce.run_instance(ZONE, name="vm-1")


@pytest.fixture
def volume(provider: GcpProvider) -> Volume:
    return created(provider)


def users(gce: FakeGce, volume: Volume) -> tuple[str, ...]:
    return disk(gce, volume).users


# --- one holder ----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_early", [True, False])
def test_a_volume_that_is_attached_elsewhere_names_its_holder(
    provider: GcpProvider,
    fake_gce: FakeGce,
    volume: Volume,
    instance: str,
    is_early: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    if is_early:
        fake_gce.find_conflicts_early()
    attached(provider, volume, instance)
    other = fake_gce.run_instance(ZONE, name="vm-10")
    with pytest.raises(AttachedElsewhere) as caught:
        attached(provider, volume, other)
    assert caught.value.holder == instance
    assert fake_gce.requests.count("instances.attachDisk") == 1


def test_instances_whose_names_begin_alike_are_not_one(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    other = fake_gce.run_instance(ZONE, name="vm-10")
    attached(provider, volume, other)
    with pytest.raises(AttachedElsewhere) as caught:
        attached(provider, volume, instance)
    assert caught.value.holder == other
    with pytest.raises(AttachedElsewhere):
        perform(provider, DetachVolume("d", volume.id, instance))
    assert len(users(fake_gce, volume)) == 1


@pytest.mark.parametrize("is_early", [True, False])
def test_of_several_who_attach_at_once_one_wins_and_the_others_name_it(
    provider: GcpProvider,
    fake_gce: FakeGce,
    volume: Volume,
    is_early: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    if is_early:
        fake_gce.find_conflicts_early()
    instances = [fake_gce.run_instance(ZONE) for _ in range(4)]

    def outcome(instance: str) -> tuple[str, str]:
        try:
            return "won", perform(provider, attaching(volume, instance, instance)).instance
        except AttachedElsewhere as error:
            return "lost", error.holder

    outcomes = together([partial(outcome, each) for each in instances])
    assert sorted(kind for kind, _ in outcomes) == ["lost", "lost", "lost", "won"]
    assert len({holder for _, holder in outcomes}) == 1


def test_a_loser_that_resumes_later_names_the_winner_with_the_words_of_gce(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    other = fake_gce.run_instance(ZONE, name="vm-10")
    winner = provider.begin(attaching(volume, instance))
    loser = provider.begin(attaching(volume, other, "loser"))
    provider.resume(winner)
    with another(fake_gce) as process, pytest.raises(AttachedElsewhere) as caught:
        process.resume(loser)
    assert caught.value.holder == instance
    assert caught.value.cloud_code == "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"


def test_a_loser_whose_winner_nobody_sees_is_told_that_it_is_in_use(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.fail_next("instances.attachDisk", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE")
    with pytest.raises(VolumeInUse):
        attached(provider, volume, instance)


def test_a_holder_that_lets_go_is_waited_for(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    attached(provider, volume, instance)
    provider.begin(DetachVolume("d", volume.id, instance))
    other = fake_gce.run_instance(ZONE, name="vm-10")
    assert attached(provider, volume, other).instance == other


def test_a_holder_that_does_not_let_go_is_told(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    attached(provider, volume, instance)
    fake_gce.late_detach(instance, "data")
    other = fake_gce.run_instance(ZONE, name="vm-10")
    with pytest.raises(AttachedElsewhere) as caught:
        provider.begin(attaching(volume, other), deadline=within(fake_gce, 30))
    assert caught.value.holder == instance


def test_an_old_look_at_a_holder_does_not_count(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    attached(provider, volume, instance)
    perform(provider, DetachVolume("d", volume.id, instance))
    other = fake_gce.run_instance(ZONE, name="vm-10")
    fake_gce.faults.add(StaleRead(), on="disks.get")
    assert attached(provider, volume, other).instance == other


def test_a_shared_volume_has_several_holders(
    provider: GcpProvider, fake_gce: FakeGce, instance: str
) -> None:
    volume = created(provider, "shared", multi_attach=True)
    other = fake_gce.run_instance(ZONE, name="vm-10")
    for each in (instance, other):
        perform(provider, attaching(volume, each, each))
    assert sorted(provider.get(volume.id).holders) == sorted([instance, other])
