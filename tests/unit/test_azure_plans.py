"""What a new volume is asked for with on Azure, and what makes it another one."""

import logging
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    RequestConflict,
    RequestRejected,
)
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import (
    FromVolume,
    ModifyVolume,
    perform,
)
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.fake_azure import FakeAzure
from tests.unit.azure_given import GONE, created, disk, opened, wanted

MEGA = 1_000_000


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


def puts(azure: FakeAzure) -> int:
    return azure.requests.count("disks.createOrUpdate")


def test_a_type_that_every_machine_takes_is_created_where_none_is_named(
    provider: AzureProvider,
) -> None:
    volume = created(provider)
    assert (volume.kind, volume.place) == ("StandardSSD_LRS", "westeurope/1")
    assert created(provider, "shared", multi_attach=True).kind == "StandardSSD_LRS"


def test_performance_is_asked_for_in_the_units_of_azure(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(
        provider, kind="PremiumV2_LRS", size=100 * GIB, iops=4000, throughput=200 * MEGA - 1
    )
    assert (volume.iops, volume.throughput) == (4000, 200 * MEGA)
    assert (disk(fake_azure, volume).iops, disk(fake_azure, volume).mbps) == (4000, 200)


def test_a_volume_that_is_to_be_shared_has_two_shares(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider, multi_attach=True)
    assert volume.multi_attach
    assert disk(fake_azure, volume).max_shares == 2


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        (None, "westeurope/1"),
        ("westeurope", "westeurope"),
        ("westeurope/2", "westeurope/2"),
        ("West Europe/3", "westeurope/3"),
    ],
)
def test_a_place_is_a_location_or_one_of_its_zones(
    provider: AzureProvider, place: str | None, shown: str
) -> None:
    volume = created(provider, place=place)
    assert volume.place == shown
    assert created(provider, place=place, token="other") == volume
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted(place="northeurope/1", token="third"))
    assert caught.value.fields == ("place",)


def test_what_is_in_all_zones_is_asked_for_in_none(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider, kind="Premium_ZRS")
    assert (volume.place, disk(fake_azure, volume).zones) == ("westeurope", ())
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(wanted("other", kind="Premium_ZRS", place="westeurope/1"))
    assert caught.value.parameter == "place"


def test_without_any_location_one_has_to_be_named(fake_azure: FakeAzure) -> None:
    provider = opened(fake_azure, location=None, zone=None)
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(wanted())
    assert caught.value.parameter == "place"
    assert created(provider, place="westeurope/1").place == "westeurope/1"


def test_a_location_that_azure_does_not_have_is_refused_by_azure(provider: AzureProvider) -> None:
    with pytest.raises(RequestRejected) as caught:
        provider.begin(wanted(place="atlantis"))
    assert caught.value.cloud_code == "LocationNotAvailableForResourceType"


def test_a_key_of_the_cloud_is_a_disk_encryption_set_by_name_or_id(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    path = fake_azure.encryption_set("Keys")
    volume = created(provider, cloud_key="Keys")
    assert volume.cloud_key == path.lower()
    for name in ("keys", path, path.upper().replace("/SUBSCRIPTIONS", "/subscriptions")):
        assert created(provider, cloud_key=name, token=f"t{len(name)}").id == volume.id
    with pytest.raises(RequestConflict) as caught:
        provider.begin(wanted(cloud_key="other", token="other"))
    assert caught.value.fields == ("cloud_key",)
    with pytest.raises(InvalidRequest) as refused:
        provider.begin(wanted(cloud_key="https://vault/keys/x"))
    assert refused.value.parameter == "cloud_key"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size": 3 * GIB}, "size"),
        ({"place": "westeurope/2"}, "place"),
        ({"place": "westeurope"}, "place"),
        ({"kind": "Premium_LRS"}, "kind"),
        ({"iops": 5000}, "iops"),
        ({"throughput": 126 * MEGA}, "throughput"),
        ({"cloud_key": "x"}, "cloud_key"),
        ({"multi_attach": True}, "multi_attach"),
        ({"labels": {"a": "c"}}, "labels"),
        ({"labels": {"a": "b", "c": "d"}}, "labels"),
        ({"source": FromVolume(GONE)}, "source"),
    ],
)
def test_the_same_name_with_anything_else_conflicts_and_names_it(
    provider: AzureProvider, fake_azure: FakeAzure, change: dict[str, Any], field: str
) -> None:
    intent = attrs.evolve(wanted(size=20 * GIB, kind="PremiumV2_LRS"), labels={"a": "b"})
    volume = perform(provider, intent)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(attrs.evolve(intent, token="other", **change))
    assert caught.value.fields == (field,)
    assert provider.get(volume.id) == volume
    assert puts(fake_azure) == 1


def test_all_fields_that_differ_are_named(provider: AzureProvider) -> None:
    created(provider)
    with pytest.raises(RequestConflict) as caught:
        provider.begin(
            wanted(
                size=4 * GIB,
                place="westeurope/2",
                kind="Premium_LRS",
                labels={"a": "b"},
                token="other",
            )
        )
    assert caught.value.fields == ("kind", "labels", "place", "size")


def test_what_the_intent_leaves_open_does_not_differ(provider: AzureProvider) -> None:
    volume = created(provider, kind="PremiumV2_LRS", size=20 * GIB, iops=4000, place="westeurope/2")
    assert created(provider, size=20 * GIB, token="other") == volume


def test_the_case_of_a_type_does_not_matter(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    volume = created(provider, kind="premium_lrs")
    assert volume.kind == "Premium_LRS"
    assert created(provider, kind="PREMIUM_LRS") == volume
    changes = fake_azure.requests.count("disks.update")
    assert perform(provider, ModifyVolume("m", volume.id, None, "premium_LRS")) == volume
    assert fake_azure.requests.count("disks.update") == changes


def test_a_maker_makes_the_intent_no_other_and_the_first_one_is_kept(
    provider: AzureProvider,
) -> None:
    assert created(provider, maker="first").maker == "first"
    assert created(provider, maker="second", token="other").maker == "first"


def test_tags_that_others_put_on_a_volume_do_not_make_it_another_one(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider, labels={"a": "b"})
    one = disk(fake_azure, volume)
    fake_azure._cloud.put(attrs.evolve(one, tags={**one.tags, "backup": "daily"}))
    again = created(provider, labels={"a": "b"}, token="other")
    assert again.id == volume.id
    assert again.labels == {"a": "b", "backup": "daily"}


def test_the_case_of_our_tags_does_not_matter(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider, labels={"A": "b"})
    one = disk(fake_azure, volume)
    loud = {key.title() if key.startswith("cloud") else key: text for key, text in one.tags.items()}
    fake_azure._cloud.put(attrs.evolve(one, tags=loud))
    assert created(opened(fake_azure), labels={"A": "b"}, token="other") == volume
    assert list(provider.list()) == [volume]


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"kind": "StandardSSD_LRS", "iops": 500}, "iops"),
        ({"kind": "Premium_LRS", "throughput": 100 * MEGA}, "throughput"),
        ({"iops": 500}, "iops"),
        ({"kind": "Standard_LRS", "multi_attach": True}, "multi_attach"),
        ({"place": "west/europe/1"}, "place"),
        ({"place": "westeurope/a"}, "place"),
        ({"place": "../x"}, "place"),
        ({"labels": {"Azure-x": "1"}}, "labels"),
        ({"labels": {"microsoft": "1"}}, "labels"),
        ({"labels": {"CloudCrypt-name": "1"}}, "labels"),
        ({"labels": {"": "1"}}, "labels"),
        ({"labels": {"a/b": "1"}}, "labels"),
        ({"labels": {"a<b": "1"}}, "labels"),
        ({"labels": {"k" * 513: "1"}}, "labels"),
        ({"labels": {"a": "b" * 257}}, "labels"),
        ({"labels": {"a": "1", "A": "2"}}, "labels"),
        ({"labels": {f"label-{n}": "1" for n in range(45)}}, "labels"),
        ({"name": "n" * 257}, "name"),
        ({"name": "a\nb"}, "name"),
    ],
)
def test_what_can_never_be_is_refused_without_a_request(
    provider: AzureProvider, fake_azure: FakeAzure, change: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        provider.begin(attrs.evolve(wanted(), **change))
    assert caught.value.parameter == parameter
    assert len(fake_azure.requests) == 0


def test_as_many_labels_as_there_is_room_for_are_taken(provider: AzureProvider) -> None:
    source = created(provider, "source")
    labels = {f"label-{n}": "1" for n in range(44)}
    volume = created(provider, labels=labels, source=FromVolume(source.id, 1), maker="m")
    assert volume.labels == labels


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Premium_LRS", "size": 40000 * GIB},
        {"kind": "PremiumV2_LRS", "size": 10 * GIB, "iops": 100_000},
        {"kind": "PremiumV2_LRS", "size": 10 * GIB, "iops": 20_000},
        {"kind": "UltraSSD_LRS", "size": 4 * GIB, "throughput": 20_000 * MEGA},
        {"kind": "UltraSSD_LRS", "size": 1 * GIB},
    ],
)
def test_what_only_our_table_forbids_is_for_azure_to_decide(
    provider: AzureProvider,
    fake_azure: FakeAzure,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, Any],
) -> None:
    with caplog.at_level(logging.WARNING, "cloudcrypt_azure"), pytest.raises(RequestRejected):
        provider.begin(attrs.evolve(wanted(), **change))
    assert puts(fake_azure) == 1
    assert "documented" in caplog.text


def test_a_type_that_we_do_not_know_is_for_azure_to_judge(provider: AzureProvider) -> None:
    with pytest.raises(RequestRejected) as caught:
        provider.begin(wanted(kind="PremiumV9_LRS", iops=1, throughput=1))
    assert caught.value.cloud_code == "InvalidAccountType"
