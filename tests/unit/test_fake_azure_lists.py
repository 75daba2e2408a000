"""Lists on pages, and what Azure offers where."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cloudcrypt_testing.fake_azure import FakeAzure
from tests.unit.azure_calls import (
    GROUP,
    attached,
    begin,
    client,
    made,
    raw,
    refusal,
    said,
    snapshot,
    waited,
    wish,
)


class TestPages:
    def test_a_page_says_where_the_next_one_is(self, fake_azure: FakeAzure) -> None:
        fake_azure.limit_pages(2)
        names = [made(fake_azure, f"d{number}").name for number in range(5)]
        first = raw(fake_azure, "GET", "disks").json()
        assert [one["name"] for one in first["value"]] == names[:2]
        assert first["nextLink"].startswith(f"{fake_azure.endpoint}/subscriptions/")
        assert parse_qs(urlsplit(first["nextLink"]).query)["api-version"] == ["2025-01-02"]
        found = client(fake_azure).disks.list_by_resource_group(GROUP)
        assert [disk.name for disk in found] == names
        assert fake_azure.requests.count("disks.listByResourceGroup") == 4

    def test_the_last_page_says_that_it_is(self, fake_azure: FakeAzure) -> None:
        fake_azure.limit_pages(2)
        for number in range(2):
            made(fake_azure, f"d{number}")
        assert "nextLink" not in raw(fake_azure, "GET", "disks").json()

    def test_what_is_deleted_meanwhile_breaks_no_page(self, fake_azure: FakeAzure) -> None:
        fake_azure.limit_pages(1)
        for number in range(3):
            made(fake_azure, f"d{number}")
        link = raw(fake_azure, "GET", "disks").json()["nextLink"]
        waited(fake_azure, begin(client(fake_azure).disks.begin_delete, GROUP, "d0"))
        found = raw(fake_azure, "GET", link).json()
        assert [one["name"] for one in found["value"]] == ["d1"]


class TestDisks:
    def test_of_a_group_and_of_all(self, fake_azure: FakeAzure) -> None:
        fake_azure.add_group("other")
        made(fake_azure, "mine")
        disks = client(fake_azure).disks
        waited(fake_azure, begin(disks.begin_create_or_update, "other", "theirs", wish()))
        assert [disk.name for disk in disks.list_by_resource_group("OTHER")] == ["theirs"]
        assert [disk.name for disk in disks.list()] == ["mine", "theirs"]
        assert refusal(list, disks.list_by_resource_group("none")) == (404, "ResourceGroupNotFound")

    @pytest.mark.parametrize(
        ("how", "spelt"), [("upper", "DEMO-GROUP"), ("lower", GROUP), ("as it is", "Demo-Group")]
    )
    def test_groups_are_spelt_in_several_ways(
        self, fake_azure: FakeAzure, how: Any, spelt: str
    ) -> None:
        fake_azure.spell_groups(how)
        call = client(fake_azure).disks.begin_create_or_update
        waited(fake_azure, begin(call, "Demo-Group", "data", wish()))
        (disk,) = client(fake_azure).disks.list()
        assert f"/resourceGroups/{spelt}/" in str(disk.id)

    def test_disks_of_systems_are_listed_too(self, fake_azure: FakeAzure) -> None:
        fake_azure.run_instance()
        (disk,) = client(fake_azure).disks.list()
        assert disk.properties.os_type == "Linux"


class TestOthers:
    def test_snapshots(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure)
        waited(fake_azure, snapshot(fake_azure, disk, "b"))
        waited(fake_azure, snapshot(fake_azure, disk, "a"))
        snapshots = client(fake_azure).snapshots
        assert [one.name for one in snapshots.list()] == ["a", "b"]
        assert [one.name for one in snapshots.list_by_resource_group(GROUP)] == ["a", "b"]

    def test_machines(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        fake_azure.run_instance()
        fake_azure.run_scale_set_instance()
        attached(fake_azure, instance, disk)
        machines = client(fake_azure).virtual_machines
        assert [one.name for one in machines.list(GROUP)] == ["vm-1", "vm-2"]
        found = next(iter(machines.list_all()))
        assert [one.name for one in found.properties.storage_profile.data_disks] == [disk.name]

    def test_machines_of_a_scale_set(self, fake_azure: FakeAzure) -> None:
        fake_azure.run_instance()
        for _ in range(2):
            fake_azure.run_scale_set_instance()
        fake_azure.run_scale_set_instance(scale_set="other")
        machines = client(fake_azure).virtual_machine_scale_set_vms
        found = list(machines.list(GROUP, "ScaleSet"))
        assert [one.instance_id for one in found] == ["0", "1"]


class TestOffers:
    def test_sizes_say_how_many_disks_they_take(self, fake_azure: FakeAzure) -> None:
        found = {
            one.name: {fact.name: fact.value for fact in one.capabilities or ()}
            for one in client(fake_azure).resource_skus.list()
            if one.resource_type == "virtualMachines"
        }
        assert found["Standard_D4s_v5"]["MaxDataDiskCount"] == "8"
        assert found["Standard_D4s_v6"]["DiskControllerTypes"] == "NVMe"
        assert found["Standard_D2_v5"]["PremiumIO"] == "False"

    def test_kinds_of_disks_say_their_sizes(self, fake_azure: FakeAzure) -> None:
        found = {
            one.name: {fact.name: fact.value for fact in one.capabilities or ()}
            for one in client(fake_azure).resource_skus.list()
            if one.resource_type == "disks"
        }
        assert found["UltraSSD_LRS"]["MaxSizeGiB"] == "65536"
        assert found["Standard_LRS"]["MaxValueOfMaxShares"] == "1"

    @pytest.mark.parametrize(
        ("wanted", "is_here"), [("westeurope", True), ("West Europe", True), ("westus", False)]
    )
    def test_offers_of_one_location(
        self,
        fake_azure: FakeAzure,
        wanted: str,
        is_here: bool,  # noqa: FBT001
    ) -> None:
        found = list(client(fake_azure).resource_skus.list(filter=f"location eq '{wanted}'"))
        assert bool(found) is is_here

    def test_there_is_no_other_filter(self, fake_azure: FakeAzure) -> None:
        scope = f"{fake_azure.endpoint}/subscriptions/{fake_azure.subscription}"
        url = f"{scope}/providers/Microsoft.Compute/skus"
        query = {"api-version": "2021-07-01", "$filter": "name eq 'x'"}
        assert said(raw(fake_azure, "GET", url, query=query)) == (400, "InvalidParameter")
