"""What GCE has, as the provider shows it: pages, places, strangers and holes."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud import compute_v1

from cloudcrypt.errors import NotFound, ProviderUnavailable, Throttled, UnsupportedOperation
from cloudcrypt.model import VolumeState
from cloudcrypt.spi import CreateSnapshot, DeleteVolume, Intent, perform
from cloudcrypt_gcp import GcpProvider, _client
from cloudcrypt_gcp._look import where
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.world.faults import StaleRead
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.gcp_given import (
    GONE,
    OTHER_ZONE,
    PROJECT,
    REGION,
    ZONE,
    another,
    attached,
    created,
    disk,
    edited,
    opened,
)


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


def test_a_list_goes_over_all_pages_and_zones_of_the_region(
    provider: GcpProvider, fake_gce: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [ZONE, OTHER_ZONE, REGION, f"{REGION}-c", None, ZONE, OTHER_ZONE]
    made = [created(provider, f"volume-{each}", place=at) for each, at in enumerate(places)]
    monkeypatch.setattr(_client, "PAGE", 2)
    fake_gce.requests.clear()
    assert list(provider.list()) == made
    assert fake_gce.requests.count("disks.aggregatedList") == 4


def test_snapshots_go_over_all_pages(
    provider: GcpProvider, fake_gce: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = created(provider)
    taken = [
        perform(provider, CreateSnapshot(f"s{each}", volume.id, f"snapshot-{each}"))
        for each in range(5)
    ]
    monkeypatch.setattr(_client, "PAGE", 2)
    fake_gce.requests.clear()
    assert list(provider.snapshots()) == taken
    assert fake_gce.requests.count("snapshots.list") == 3


def test_a_page_that_is_throttled_is_asked_for_again(
    provider: GcpProvider, fake_gce: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [created(provider, f"volume-{each}") for each in range(5)]
    monkeypatch.setattr(_client, "PAGE", 2)
    fake_gce.faults.add(Throttling(), on="disks.aggregatedList", occurrence=2, times=2)
    assert list(provider.list()) == made


def test_other_owners_and_regions_are_not_shown(provider: GcpProvider, fake_gce: FakeGce) -> None:
    volume = created(provider)
    with another(fake_gce, owner="other") as theirs:
        created(theirs, "theirs")
    elsewhere = GcpProvider(
        PROJECT,
        "us-central1",
        credentials=fake_gce.credentials(),
        endpoint=fake_gce.endpoint,
        zone="us-central1-a",
        clock=fake_gce.clock,
    )
    created(elsewhere, "elsewhere")
    assert list(provider.list()) == [volume]
    assert [each.name for each in elsewhere.list()] == ["elsewhere"]
    elsewhere.close()


def test_an_owner_that_is_no_label_is_compared_as_it_is(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    with another(fake_gce, owner="Team A") as team:
        volume = created(team)
        assert list(team.list()) == [volume]
        assert disk(fake_gce, volume).labels["cloudcrypt-owner"].startswith("team-a-")
        edited(fake_gce, volume, description=disk(fake_gce, volume).description.replace("A", "B"))
        assert list(team.list()) == []  # the label is the same, the owner is not


def test_a_name_is_looked_for_with_one_request(provider: GcpProvider, fake_gce: FakeGce) -> None:
    created(provider, "one")
    two = created(provider, 'with "signs" and \\', token="t2")
    fake_gce.requests.clear()
    assert list(provider.list(name='with "signs" and \\')) == [two]
    assert list(provider.list(name="none")) == []
    assert [one.action for one in fake_gce.requests] == ["disks.aggregatedList"] * 2


def test_a_filter_quotes_what_it_compares_with() -> None:
    assert where("name", 'a"b\\c') == '(name = "a\\"b\\\\c")'


def test_a_volume_is_got_whoever_owns_it(provider: GcpProvider, fake_gce: FakeGce) -> None:
    with another(fake_gce, owner="other") as theirs:
        volume = created(theirs)
    assert provider.get(volume.id) == volume


def test_a_disk_of_other_software_is_got_by_its_number(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    instance = fake_gce.run_instance(ZONE, name="vm-1")
    boot = next(one for one in fake_gce.disks(boot=True).values() if one.is_boot)
    volume = provider.get(f"gcp:{PROJECT}/{ZONE}/{boot.id}")
    assert (volume.name, volume.holders) == ("vm-1", (instance,))
    assert volume.state is VolumeState.ATTACHED
    assert list(provider.list()) == []


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("CREATING", VolumeState.CREATING),
        ("RESTORING", VolumeState.CREATING),
        ("READY", VolumeState.AVAILABLE),
        ("DELETING", VolumeState.DELETING),
        ("FAILED", VolumeState.ERROR),
        ("UNAVAILABLE", VolumeState.ERROR),
    ],
)
def test_a_state_is_told_in_the_words_of_all_clouds(
    provider: GcpProvider, fake_gce: FakeGce, status: str, state: VolumeState
) -> None:
    volume = created(provider)
    edited(fake_gce, volume, status=status)
    assert provider.get(volume.id).state is state


def test_an_answer_about_another_number_is_not_the_volume(
    provider: GcpProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = created(provider, "one"), created(provider, "two")
    really = compute_v1.DisksClient.get

    def confused(client: Any, **options: Any) -> Any:
        options["request"]["disk"] = two.id.rpartition("/")[2]
        return really(client, **options)

    monkeypatch.setattr(compute_v1.DisksClient, "get", confused)
    with pytest.raises(NotFound):
        provider.get(one.id)


def test_what_one_look_does_not_show_is_looked_for_again(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    fake_gce.faults.add(StaleRead(), on="disks.get")
    assert provider.get(volume.id) == volume


def test_a_volume_that_is_not_there_is_looked_for_twice(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    with pytest.raises(NotFound):
        provider.get(GONE)
    assert fake_gce.requests.count("disks.get") == 2


@pytest.mark.parametrize("form", ["warning", "unreachables"])
@pytest.mark.parametrize("scope", [f"zones/{ZONE}", f"regions/{REGION}"])
def test_a_zone_that_gce_cannot_reach_is_not_an_empty_one(
    provider: GcpProvider, monkeypatch: pytest.MonkeyPatch, form: str, scope: str
) -> None:
    created(provider)
    _broken(monkeypatch, form, scope)
    with pytest.raises(ProviderUnavailable) as caught:
        list(provider.list())
    assert scope in str(caught.value)


@pytest.mark.parametrize("form", ["warning", "unreachables"])
def test_a_zone_of_another_region_that_gce_cannot_reach_does_not_matter(
    provider: GcpProvider, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    volume = created(provider)
    _broken(monkeypatch, form, "zones/us-central1-a")
    assert list(provider.list()) == [volume]


@pytest.mark.parametrize("verb", ["list", "snapshots"])
def test_a_page_that_says_only_that_something_is_missing_is_no_answer(
    provider: GcpProvider, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def incomplete(client: type[Any], name: str) -> None:
        really = getattr(client, name)

        def listed(self: Any, **options: Any) -> Any:
            page = really(self, **options)
            page._response.warning = compute_v1.Warning(code="UNREACHABLE")
            return page

        monkeypatch.setattr(client, name, listed)

    incomplete(compute_v1.DisksClient, "aggregated_list")
    incomplete(compute_v1.SnapshotsClient, "list")
    with pytest.raises(ProviderUnavailable):
        list(getattr(provider, verb)())


def _broken(monkeypatch: pytest.MonkeyPatch, form: str, scope: str) -> None:
    """Let the answer say that a scope cannot be reached, as GCE does in one of two ways."""
    really = compute_v1.DisksClient.aggregated_list

    def aggregated_list(client: Any, **options: Any) -> Any:
        page = really(client, **options)
        if form == "unreachables":
            page._response.unreachables = [f"https://compute/v1/projects/p/{scope}"]
        else:
            warning = compute_v1.Warning(code="UNREACHABLE")
            page._response.items[scope] = compute_v1.DisksScopedList(warning=warning)
        return page

    monkeypatch.setattr(compute_v1.DisksClient, "aggregated_list", aggregated_list)


def test_a_list_that_is_throttled_for_long_says_so(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.faults.add(Throttling(), on="disks.aggregatedList", times=None)
    with pytest.raises(Throttled):
        list(provider.list())


def test_a_deleted_volume_is_shown_as_deleting_until_it_is_gone(provider: GcpProvider) -> None:
    volume = created(provider)
    handle = provider.begin(DeleteVolume("d", volume.id))
    assert [each.state for each in provider.list()] == [VolumeState.DELETING]
    provider.resume(handle)
    assert list(provider.list()) == []


def test_an_attached_volume_takes_few_requests(provider: GcpProvider, fake_gce: FakeGce) -> None:
    """One look for the name, and for each operation the request and a few looks."""
    instance = fake_gce.run_instance(ZONE)
    attached(provider, created(provider), instance)
    assert len(fake_gce.requests) <= 16


def test_an_intent_that_nobody_knows_is_not_offered(provider: GcpProvider) -> None:
    with pytest.raises(UnsupportedOperation):
        provider.begin(Intent("t"))


def test_what_gce_offers_is_declared(provider: GcpProvider) -> None:
    offered = provider.capabilities
    assert (offered.online_resize, offered.snapshots, offered.clones) == (True, True, True)
    assert (offered.modify, offered.multi_attach) == (True, True)
    assert (offered.force_detach, offered.remembers_tokens) == (False, False)
    assert [each.name for each in offered.types if each.multi_attach] == [
        "hyperdisk-balanced",
        "hyperdisk-balanced-high-availability",
    ]
