"""Ids of volumes, snapshots and instances on GCE, and what handles refer to."""

import pytest

from cloudcrypt.errors import InvalidRequest, InvalidVolumeId, NotFound
from cloudcrypt.model import VOLUME_ID_MAX
from cloudcrypt_gcp._ids import GLOBAL, Instance, Reference, Scope, Site, Target, holder

SITE = Site("demo-project", "europe-west3")
INSTANCE = "projects/demo-project/zones/europe-west3-a/instances/vm-1"


def test_a_volume_is_named_by_project_place_and_number() -> None:
    zone, region = Scope.zone("europe-west3-a"), Scope.region("europe-west3")
    for scope in (zone, region):
        volume_id = SITE.volume_id(scope, "42")
        assert SITE.disk(volume_id) == Target(scope, "42")
    assert SITE.volume_id(zone, "42") == "gcp:demo-project/europe-west3-a/42"


def test_the_longest_id_is_an_id() -> None:
    site = Site(f"{'d' * 32}.com:{'p' * 30}", "r" * 25)
    longest = site.volume_id(Scope.zone(f"{'r' * 25}-{'z' * 8}"), str(2**64 - 1))
    assert len(longest) <= VOLUME_ID_MAX
    assert site.disk(longest).number == str(2**64 - 1)


@pytest.mark.parametrize(
    "text",
    [
        "aws:eu-central-1/vol-1",
        "gcp:demo-project/europe-west3-a/data",
        "gcp:demo-project/europe-west3-a/042",
        "gcp:demo-project/europe-west3-a/1/2",
        "gcp:demo-project/europe-west3-a/123456789012345678901",
        "gcp:demo-project/europe-west3-a/",
        "gcp:/europe-west3-a/1",
        "",
    ],
)
def test_what_is_no_volume_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidVolumeId):
        SITE.disk(text)
    with pytest.raises(InvalidVolumeId):
        SITE.snapshot(text)


@pytest.mark.parametrize(
    "text",
    [
        "gcp:other-project/europe-west3-a/1",
        "gcp:demo-project/europe-west30-a/1",
        "gcp:demo-project/europe-west1/1",
        "gcp:demo-project/snapshots/1",
    ],
)
def test_a_volume_of_elsewhere_and_a_snapshot_are_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        SITE.disk(text)


def test_a_snapshot_is_of_the_project() -> None:
    assert SITE.snapshot(SITE.snapshot_id("7")) == "7"
    for text in ("gcp:other-project/snapshots/7", "gcp:demo-project/europe-west3-a/7"):
        with pytest.raises(NotFound):
            SITE.snapshot(text)


@pytest.mark.parametrize(
    "text",
    ["europe-west3-a/vm-1", INSTANCE, f"https://www.googleapis.com/compute/v1/{INSTANCE}"],
)
def test_an_instance_is_named_shortly_or_by_its_path(text: str) -> None:
    instance = SITE.instance(text)
    assert instance == Instance("demo-project", "europe-west3-a", "vm-1")
    assert (str(instance), instance.path) == ("europe-west3-a/vm-1", INSTANCE)


@pytest.mark.parametrize(
    "text",
    [
        "vm-1",
        "europe-west3-a/",
        "europe-west3-a/VM",
        "europe-west3-a/instances/vm-1",
        INSTANCE.replace("demo", "other"),
        INSTANCE.replace("instances", "disks"),
        f"https://evil.example/{INSTANCE}",
    ],
)
def test_what_names_no_instance_of_the_project_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        SITE.instance(text)


def test_a_holder_is_an_instance_of_the_project_or_a_path() -> None:
    assert holder("demo-project", INSTANCE) == "europe-west3-a/vm-1"
    assert holder("other-project", INSTANCE) == INSTANCE
    assert holder("demo-project", "projects/demo-project/global/x") == (
        "projects/demo-project/global/x"
    )


@pytest.mark.parametrize(
    "reference",
    [
        Reference(Scope.zone("z-a"), "operation-1", "42"),
        Reference(Scope.region("z"), number="42", attempt=3),
        Reference(Scope.zone("z-a"), "operation-1", name="snap-0123456789abcdef"),
        Reference(GLOBAL, "operation-1", "42"),
    ],
)
def test_a_reference_survives_as_text(reference: Reference) -> None:
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "contract-unknown",
        "",
        "[]",
        "{}",
        "1",
        '{"scope": "zones/a", "number": "4a"}',
        '{"scope": "zones/a", "number": 42}',
        '{"scope": "zones/a", "number": "42", "attempt": "x"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_reference_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        Reference.parse(text)


def test_a_reference_about_something_else_is_not_found() -> None:
    text = str(Reference(GLOBAL, "operation-1", "42"))
    assert Reference.parse(text, "42").number == "42"
    with pytest.raises(NotFound):
        Reference.parse(text, "43")


def test_an_id_that_was_given_for_a_project_number_does_not_pass() -> None:
    with pytest.raises(NotFound):
        SITE.disk("gcp:123456789012/europe-west3-a/1")
