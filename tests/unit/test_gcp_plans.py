"""What a new volume on GCE is asked for with, and with what a volume that exists is compared."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from cloudcrypt.errors import InvalidRequest, NotFound, RequestConflict
from cloudcrypt.model import Blank
from cloudcrypt.sizes import GIB, MIB
from cloudcrypt.spi import FromVolume
from cloudcrypt_gcp import GcpProvider, _types
from cloudcrypt_testing.fake_gce import FakeGce
from tests.unit.gcp_given import (
    GONE,
    KEY,
    OTHER_ZONE,
    REGION,
    ZONE,
    another,
    created,
    disk,
    edited,
    opened,
    wanted,
)

HA = "hyperdisk-balanced-high-availability"
FAST: dict[str, Any] = {"kind": "hyperdisk-balanced", "iops": 3000, "throughput": 150 * MIB}


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


# --- places --------------------------------------------------------------------------------------


def test_a_volume_that_names_no_place_is_in_the_zone_of_the_provider(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    assert (volume.place, disk(fake_gce, volume).scope) == (ZONE, f"zones/{ZONE}")
    assert fake_gce.requests.count("regions.get") == 0


def test_without_a_zone_the_name_decides_always_the_same(
    fake_gce: FakeGce,
) -> None:
    with another(fake_gce, zone=None) as one:
        places = {each: created(one, each).place for each in ("alpha", "beta", "delta", "omega")}
        assert fake_gce.requests.count("regions.get") == 1
    assert len(set(places.values())) > 1
    fake_gce.reset()
    with another(fake_gce, zone=None) as two:
        assert {each: created(two, each).place for each in places} == places


def test_a_volume_may_name_a_zone(provider: GcpProvider) -> None:
    assert created(provider, place=OTHER_ZONE).place == OTHER_ZONE


def test_a_volume_of_the_region_is_in_the_zone_of_the_provider_and_another_one(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider, place=REGION, kind="pd-ssd")
    assert volume.place is not None
    zones = volume.place.split(",")
    assert ZONE in zones
    assert zones == sorted(set(zones))
    assert len(zones) == 2
    assert disk(fake_gce, volume).scope == f"regions/{REGION}"
    assert provider.get(volume.id) == volume
    assert created(provider, place=REGION, kind="pd-ssd") == volume


def test_a_volume_may_name_two_zones_in_any_order(provider: GcpProvider) -> None:
    volume = created(provider, place=f"{REGION}-c,{REGION}-b")
    assert volume.place == f"{REGION}-b,{REGION}-c"
    assert created(provider, place=f"{REGION}-b,{REGION}-c") == volume
    with pytest.raises(RequestConflict) as caught:
        created(provider, place=f"{REGION}-a,{REGION}-c")
    assert caught.value.fields == ("place",)


def test_a_type_that_is_only_in_two_zones_is_put_there(provider: GcpProvider) -> None:
    volume = created(provider, kind=HA)
    assert volume.place is not None
    assert volume.place.count(",") == 1


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("europe-west1-b", None),
        ("europe-west1", None),
        ("europe-west3-", None),
        ("", None),
        (f"{ZONE},", None),
        (f"{ZONE},{ZONE}", None),
        (f"{ZONE},{OTHER_ZONE},{REGION}-c", None),
        (f"{ZONE},europe-west1-b", None),
        (ZONE, HA),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_anyone_is_asked(
    provider: GcpProvider, fake_gce: FakeGce, place: str, kind: str | None
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(wanted(place=place, kind=kind))
    assert caught.value.parameter == "place"
    assert fake_gce.requests.count("disks.insert") == 0


def test_a_region_that_does_not_exist_is_not_found(fake_gce: FakeGce) -> None:
    nowhere = GcpProvider(
        fake_gce.project,
        "europe-west99",
        credentials=fake_gce.credentials(),
        endpoint=fake_gce.endpoint,
        clock=fake_gce.clock,
    )
    with pytest.raises(NotFound) as caught:
        created(nowhere)
    assert caught.value.kind == "region"
    nowhere.close()


# --- what is sent ------------------------------------------------------------------------------


def test_a_volume_has_all_that_was_asked_for(provider: GcpProvider, fake_gce: FakeGce) -> None:
    volume = created(
        provider, **FAST, cloud_key=KEY, multi_attach=True, labels={"team": "a"}, maker="me"
    )
    assert (volume.kind, volume.iops, volume.throughput) == (
        "hyperdisk-balanced",
        3000,
        150 * MIB,
    )
    assert (volume.cloud_key, volume.multi_attach, volume.labels) == (KEY, True, {"team": "a"})
    assert (volume.origin, volume.maker) == (Blank(), "me")
    record = disk(fake_gce, volume)
    assert record.kms_key == f"{KEY}/cryptoKeyVersions/1"
    assert record.labels["cloudcrypt-owner"] == "cloudcrypt"
    assert "token-data" not in record.description


def test_a_volume_that_leaves_everything_open_is_of_the_usual_type(provider: GcpProvider) -> None:
    assert created(provider).kind == "pd-balanced"
    assert created(provider, "shared", multi_attach=True).kind == "hyperdisk-balanced"


def test_the_name_of_a_volume_is_the_name_of_the_disk_if_it_can_be(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    assert disk(fake_gce, created(provider, "data-1")).name == "data-1"
    volume = created(provider, "Ein großes Volume", token="t")
    assert disk(fake_gce, volume).name.startswith("ein-gro-es-volume-")
    assert volume.name == "Ein großes Volume"
    assert list(provider.list(name="Ein großes Volume")) == [volume]


def test_throughput_is_rounded_up_to_what_gce_counts_in(provider: GcpProvider) -> None:
    asked = 150 * MIB - 1
    volume = created(provider, kind="hyperdisk-balanced", iops=3000, throughput=asked)
    assert volume.throughput == 150 * MIB
    assert created(provider, kind="hyperdisk-balanced", iops=3000, throughput=asked) == volume


# --- what is compared ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"size": 11 * GIB}, ("size",)),
        ({"place": OTHER_ZONE}, ("place",)),
        ({"place": REGION}, ("place",)),
        ({"kind": "hyperdisk-extreme"}, ("kind",)),
        ({"iops": 3001}, ("iops",)),
        ({"throughput": 151 * MIB}, ("throughput",)),
        ({"cloud_key": f"{KEY}2"}, ("cloud_key",)),
        ({"labels": {"team": "b"}}, ("labels",)),
        ({"labels": {}}, ("labels",)),
        ({"multi_attach": True}, ("multi_attach",)),
        ({"source": FromVolume(GONE)}, ("source",)),
        ({"size": 11 * GIB, "iops": 4000, "labels": {}}, ("iops", "labels", "size")),
    ],
)
def test_a_volume_that_differs_is_a_conflict_that_names_all_fields(
    provider: GcpProvider, change: dict[str, Any], fields: tuple[str, ...]
) -> None:
    asked: dict[str, Any] = {**FAST, "cloud_key": KEY, "labels": {"team": "a"}}
    volume = created(provider, **asked)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted(token="another", **{**asked, **change}))
    assert caught.value.fields == fields
    assert provider.get(volume.id) == volume


def test_what_is_left_open_does_not_differ(provider: GcpProvider) -> None:
    volume = created(provider, **FAST, cloud_key=KEY, place=ZONE)
    assert created(provider, token="another") == volume


@pytest.mark.parametrize("key", [KEY, f"{KEY}/cryptoKeyVersions/1", f"{KEY}/cryptoKeyVersions/9"])
def test_a_key_is_compared_without_its_version(provider: GcpProvider, key: str) -> None:
    volume = created(provider, cloud_key=KEY)
    assert created(provider, token="another", cloud_key=key) == volume


def test_labels_that_others_have_added_do_not_differ(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider, labels={"team": "a"})
    labels = {**disk(fake_gce, volume).labels, "added": "later"}
    edited(fake_gce, volume, labels=labels)
    again = created(provider, token="another", labels={"team": "a"})
    assert again.id == volume.id
    assert again.labels == {"team": "a", "added": "later"}


def test_who_asks_first_is_remembered_and_does_not_differ(provider: GcpProvider) -> None:
    volume = created(provider, maker="first")
    assert created(provider, maker="second") == volume
    assert created(provider, token="another") == volume
    assert volume.maker == "first"


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"size": 64 * 1024 * GIB + 1}, "size"),
        ({"iops": 3000}, "iops"),
        ({"throughput": 150 * MIB}, "throughput"),
        ({"kind": "pd-extreme", "throughput": 1}, "throughput"),
        ({"kind": "pd-ssd", "multi_attach": True}, "multi_attach"),
        ({"kind": "hyperdisk-extreme", "multi_attach": True}, "multi_attach"),
    ],
)
def test_what_has_no_meaning_is_refused_before_anyone_is_asked(
    provider: GcpProvider, fake_gce: FakeGce, asked: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(wanted(**asked))
    assert caught.value.parameter == parameter
    assert fake_gce.requests.count("disks.insert") == 0


def test_what_only_the_table_forbids_is_asked_for_with_a_warning(
    provider: GcpProvider, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cloudcrypt_gcp"):
        volume = created(provider, size=GIB)
    assert volume.size == GIB
    assert "outside of the documented" in caplog.text


@pytest.mark.parametrize("each", _types.TYPES, ids=lambda each: each.name)
def test_the_bounds_of_a_type_can_be_had(
    provider: GcpProvider, each: Any, caplog: pytest.LogCaptureFixture
) -> None:
    largest = min(each.size_max, 8192 * GIB)  # no file here is larger than 16 TiB
    for name, size in (("least", each.size_min), ("most", largest)):
        iops = None if each.iops is None else each.iops[name == "most"]
        throughput = None if each.throughput is None else each.throughput[0] * 8
        volume = created(
            provider, name, size=size, kind=each.name, iops=iops, throughput=throughput
        )
        assert (volume.size, volume.iops, volume.throughput) == (
            size,
            iops or volume.iops,
            throughput or volume.throughput,
        )
    assert caplog.text == ""
