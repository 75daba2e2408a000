"""Lists: filters, order, pages, and all places together."""

from typing import Any

import pytest
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.fake_gce.errors import GceError
from cloudcrypt_testing.fake_gce.filters import parsed
from tests.unit.gce_calls import (
    OTHER_ZONE,
    PROJECT,
    REGION,
    ZONE,
    at,
    client,
    disks,
    insert,
    kind_of,
    made,
    raw,
    reason,
    refusal,
    region_disks,
    regional,
    snapshot,
    snapshots,
    within,
)

ITEM: dict[str, Any] = {
    "name": "data-1",
    "id": "123",
    "sizeGb": "10",
    "status": "READY",
    "description": 'he said "no"',
    "labels": {"owner": "me", "cloudcrypt-token": "ab"},
    "enableConfidentialCompute": True,
    "creationTimestamp": "2030-01-01T00:00:00.000+00:00",
    "users": ["u"],
}

TRUE = [
    "",
    "  ",
    "name=data-1",
    'name = "data-1"',
    "name='data-1'",
    "(name=data-1)",
    "((name=data-1))",
    "id=123",
    'id="123"',
    "id!=124",
    "sizeGb>9",
    "sizeGb>=10",
    "sizeGb<100",
    "sizeGb<=10",
    "status!=DELETING",
    "labels.owner=me",
    "labels.cloudcrypt-token=ab",
    "labels.owner:*",
    "labels.other!=me",
    "users:*",
    "enableConfidentialCompute=true",
    r'description="he said \"no\""',
    'creationTimestamp>"2029"',
    "(labels.owner=me) (status=READY)",
    "(labels.owner=me) AND (status=READY)",
    "(labels.owner=you) OR (name=data-1)",
    "(name=other) OR (name=data-1) AND (status=READY)",
    "((name=other) AND (id=1)) OR (id=123)",
    "name eq data-[0-9]",
    "name ne other",
    'name eq "data.*"',
    "(name eq 'data.*') (status ne \"DELETING\")",
    "sizeGb eq 1.",
    "enableConfidentialCompute eq true",
]
FALSE = [
    "name=data",
    "name=DATA-1",
    "id=124",
    "sizeGb>10",
    'sizeGb<"9"',
    "status!=READY",
    "labels.owner!=me",
    "labels.other=me",
    'labels.owner=""',
    "labels.other:*",
    "enableConfidentialCompute!=true",
    "sourceDisk=d",
    "(labels.owner=me) (status=FAILED)",
    "(status=FAILED) AND (name=data-1) OR (id=123)",  # OR binds closer
    "(id=123) OR (name=data-1) AND (status=FAILED)",
    "name eq data",
    "name ne data.*",
    "description ne .*no.*",
    "sourceDisk eq .*",
]
WRONG = [
    "name",
    "name=",
    "=data",
    "name==data",
    "name data",
    "name=data-1 status=READY",  # each in parentheses
    "name=data-1 AND status=READY",
    "(name=data-1) OR status=READY",
    "name=data-1 OR (status=READY)",
    "(name=data-1 AND status=READY)",
    "(name=data-1",
    "name=data-1)",
    "()",
    "AND",
    "(name=a) AND",
    "OR (name=a)",
    "NOT name=a",
    "-name=a",
    "NOT=a",
    "colour=red",
    "name.first=a",
    "labels=a",
    "users=u",
    "id=abc",
    "id=1_0",
    "enableConfidentialCompute=yes",
    "name:data",
    "name=data*",
    "name like data",
    'name="data',
    "name eq (",
    'name eq "("',
    "(name=a) (name eq b)",
    "(name eq a) AND (name eq b)",
    "(name eq a) OR (name eq b)",
]


class TestFilters:
    @pytest.mark.parametrize("text", TRUE)
    def test_what_passes(self, text: str) -> None:
        assert parsed(text, "Disk")(ITEM)

    @pytest.mark.parametrize("text", FALSE)
    def test_what_does_not(self, text: str) -> None:
        assert not parsed(text, "Disk")(ITEM)

    @pytest.mark.parametrize("text", WRONG)
    def test_what_is_no_filter(self, text: str) -> None:
        with pytest.raises(GceError) as caught:
            parsed(text, "Disk")
        assert (caught.value.status, caught.value.reason) == (400, "invalid")
        assert "Invalid list filter expression." in caught.value.message

    def test_the_clients_of_google_filter(self, fake_gce: FakeGce) -> None:
        made(fake_gce, "a", labels={"k": "v"})
        made(fake_gce, "b")
        made(fake_gce, "c")
        request = compute_v1.ListDisksRequest(**at(), filter="(labels.k=v) OR (name=c)")
        assert [one.name for one in disks(fake_gce).list(request=request)] == ["a", "c"]
        request = compute_v1.ListDisksRequest(**at(), filter="colour=red")
        assert refusal(disks(fake_gce).list, request=request) == (400, "invalid")


class TestPages:
    def test_pages_are_in_the_order_of_names(self, fake_gce: FakeGce) -> None:
        for name in "dbeac":
            insert(fake_gce, name)
        request = compute_v1.ListDisksRequest(**at(), max_results=2)
        pages = list(disks(fake_gce).list(request=request).pages)
        assert [[one.name for one in page.items] for page in pages] == [
            list("ab"),
            ["c", "d"],
            ["e"],
        ]

    def test_a_page_goes_on_where_the_last_one_ended_whatever_happened(
        self, fake_gce: FakeGce
    ) -> None:
        for name in "abde":
            insert(fake_gce, name)
        path = f"zones/{ZONE}/disks"
        _, first = raw(fake_gce, "GET", path, maxResults=2)
        insert(fake_gce, "aa")
        insert(fake_gce, "c")
        _, second = raw(fake_gce, "GET", path, pageToken=first["nextPageToken"])
        assert [one["name"] for one in second["items"]] == ["c", "d", "e"]
        assert "nextPageToken" not in second

    def test_the_newest_first_on_pages(self, fake_gce: FakeGce) -> None:
        for name in "bca":
            insert(fake_gce, name)
            fake_gce.clock.advance(1)
        request = compute_v1.ListDisksRequest(
            **at(), order_by="creationTimestamp desc", max_results=1
        )
        assert [one.name for one in disks(fake_gce).list(request=request)] == ["a", "c", "b"]

    def test_an_empty_list_has_no_items(self, fake_gce: FakeGce) -> None:
        status, document = raw(fake_gce, "GET", f"zones/{ZONE}/disks")
        assert (status, document["kind"], "items" in document) == (200, "compute#diskList", False)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"maxResults": "501"}, (400, "invalid")),
            ({"maxResults": "-1"}, (400, "invalidParameter")),
            ({"maxResults": "many"}, (400, "invalidParameter")),
            ({"pageToken": "none"}, (400, "invalid")),
            ({"pageToken": "bm9uZQ=="}, (400, "invalid")),
            ({"orderBy": "sizeGb"}, (400, "invalid")),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, fake_gce: FakeGce, query: dict[str, str], expected: tuple[int, str]
    ) -> None:
        assert reason(raw(fake_gce, "GET", f"zones/{ZONE}/disks", **query)) == expected

    def test_there_are_at_most_500_on_a_page(self, fake_gce: FakeGce) -> None:
        for number in range(501):
            insert(fake_gce, f"d{number:03}", size_gb=1)
        pages = list(disks(fake_gce).list(**at()).pages)
        assert [len(page.items) for page in pages] == [500, 1]


class TestPlaces:
    def test_a_list_is_of_one_place(self, fake_gce: FakeGce) -> None:
        mine, other = made(fake_gce), made(fake_gce, zone=OTHER_ZONE)
        both = regional(fake_gce)
        assert [one.id for one in disks(fake_gce).list(**at())] == [mine.id]
        assert [one.id for one in disks(fake_gce).list(**at(OTHER_ZONE))] == [other.id]
        assert [one.id for one in region_disks(fake_gce).list(**within())] == [both.id]

    def test_the_aggregated_list_is_of_all_places(self, fake_gce: FakeGce) -> None:
        mine, far = made(fake_gce), made(fake_gce, zone="us-central1-a")
        both = regional(fake_gce)
        groups = dict(disks(fake_gce).aggregated_list(project=PROJECT))
        found = {scope: [one.id for one in group.disks] for scope, group in groups.items()}
        assert found == {
            **{f"zones/{REGION}-{letter}": [] for letter in "bc"},
            **{f"zones/us-central1-{letter}": [] for letter in "bc"},
            "regions/us-central1": [],
            f"zones/{ZONE}": [mine.id],
            "zones/us-central1-a": [far.id],
            f"regions/{REGION}": [both.id],
        }
        assert groups["regions/us-central1"].warning.code == "NO_RESULTS_ON_PAGE"

    def test_it_has_pages_and_filters(self, fake_gce: FakeGce) -> None:
        expected = {made(fake_gce, zone=zone).id for zone in (ZONE, OTHER_ZONE, ZONE)}
        made(fake_gce, "other")
        request = compute_v1.AggregatedListDisksRequest(
            project=PROJECT, filter='name!="other"', max_results=1, include_all_scopes=True
        )
        pages = list(disks(fake_gce).aggregated_list(request=request).pages)
        found = [one.id for page in pages for group in page.items.values() for one in group.disks]
        assert (len(pages), len(found), set(found)) == (3, 3, expected)
        assert "global" in pages[0].items

    def test_snapshots_are_in_no_place(self, fake_gce: FakeGce) -> None:
        snapshot(fake_gce, made(fake_gce), "b", labels={"k": "v"})
        snapshot(fake_gce, made(fake_gce, zone=OTHER_ZONE), "a")
        assert [one.name for one in snapshots(fake_gce).list(project=PROJECT)] == ["a", "b"]
        request = compute_v1.ListSnapshotsRequest(project=PROJECT, filter="labels.k:*")
        assert [one.name for one in snapshots(fake_gce).list(request=request)] == ["b"]

    def test_zones_and_regions(self, fake_gce: FakeGce) -> None:
        zones = client(fake_gce, compute_v1.ZonesClient)
        zone = zones.get(project=PROJECT, zone=ZONE)
        assert (zone.name, zone.status) == (ZONE, "UP")
        assert zone.region.endswith(f"/regions/{REGION}")
        assert zones.get(project=PROJECT, zone=str(zone.id)).name == ZONE
        assert refusal(zones.get, project=PROJECT, zone="mars-a") == (404, "notFound")
        assert refusal(zones.get, project=PROJECT, zone="99999999") == (404, "notFound")
        assert ZONE in [one.name for one in zones.list(project=PROJECT)]
        regions = client(fake_gce, compute_v1.RegionsClient)
        region = regions.get(project=PROJECT, region=REGION)
        assert [url.rpartition("/")[2] for url in region.zones] == list(fake_gce.zones)
        assert refusal(regions.get, project=PROJECT, region="mars") == (404, "notFound")
        assert [one.name for one in regions.list(project=PROJECT)] == [REGION, "us-central1"]

    def test_types_of_disks(self, fake_gce: FakeGce) -> None:
        zonal = client(fake_gce, compute_v1.DiskTypesClient)
        kind = zonal.get(**at(), disk_type="pd-ssd")
        assert (kind.valid_disk_size, kind.default_disk_size_gb) == ("10GB-65536GB", 100)
        assert kind.self_link.endswith(kind_of("pd-ssd"))
        assert refusal(zonal.get, **at(), disk_type="pd-fast") == (404, "notFound")
        names = [one.name for one in zonal.list(**at())]
        assert "hyperdisk-ml" in names
        assert "hyperdisk-balanced-high-availability" not in names
        of_region = client(fake_gce, compute_v1.RegionDiskTypesClient)
        names = [one.name for one in of_region.list(**within())]
        assert names == [
            "hyperdisk-balanced-high-availability",
            "pd-balanced",
            "pd-ssd",
            "pd-standard",
        ]
        assert of_region.get(**within(), disk_type="pd-ssd").region.endswith(REGION)
        groups = dict(zonal.aggregated_list(project=PROJECT))
        assert len(groups[f"regions/{REGION}"].disk_types) == 4

    @pytest.mark.parametrize(
        ("name", "facts"),
        [
            ("n2-standard-4", (4, 128, False)),
            ("e2-micro", (2, 16, True)),
            ("c4a-highmem-64", (64, 64, False)),
            ("n4-highcpu-80", (80, 32, False)),
        ],
    )
    def test_types_of_machines(
        self, fake_gce: FakeGce, name: str, facts: tuple[int, int, bool]
    ) -> None:
        machines = client(fake_gce, compute_v1.MachineTypesClient)
        found = machines.get(**at(), machine_type=name)
        assert facts == (
            found.guest_cpus,
            found.maximum_persistent_disks,
            found.is_shared_cpu,
        )
        assert refusal(machines.get, **at(), machine_type="zx81") == (404, "notFound")
