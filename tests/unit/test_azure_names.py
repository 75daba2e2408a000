"""What Azure calls volumes: always the same, never the same for two."""

import itertools
import re

import pytest

from cloudcrypt.spi import CreateSnapshot, perform
from cloudcrypt_azure._names import azure_name, azure_names
from cloudcrypt_testing.fake_azure import FakeAzure
from tests.unit.azure_given import created, opened

TAKEN = re.compile(r"[a-z0-9][a-z0-9_-]{0,76}", re.ASCII)


@pytest.mark.parametrize("name", ["data", "a", "0", "data-1_x", "a" * 60, "pvc-0123456789abcde"])
def test_a_plain_name_is_what_azure_calls_it(name: str) -> None:
    assert azure_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "Data",
        "data.1",
        "a b",
        "größe",
        "-data",
        "_data",
        "data-",
        "-",
        "a" * 61,
        "a" * 300,
        "...",
        "data-0123456789abcdef",
        azure_name("Data"),
    ],
)
def test_any_other_name_is_shown_with_a_digest(name: str) -> None:
    shown = azure_name(name)
    assert shown != name
    assert TAKEN.fullmatch(shown)
    assert re.fullmatch(r".*-[0-9a-f]{16}", shown)


def test_no_two_names_are_one() -> None:
    long = "x" * 300
    names = ["data", "Data", "DATA", "data ", "data.", "a b", "a-b", "a.b", "a_b", long, long + "y"]
    names += [azure_name(name) for name in names]
    distinct = sorted(set(names))
    assert len({azure_name(name).lower() for name in distinct}) == len(distinct)


def test_later_names_are_for_attempts_and_do_not_meet_either() -> None:
    many = [name for text in ("data", "Data") for name in itertools.islice(azure_names(text), 5)]
    assert len(set(many)) == 10
    assert all(TAKEN.fullmatch(name) for name in many)
    assert list(itertools.islice(azure_names("data"), 5)) == many[:5]


def test_a_name_that_no_snapshot_may_have_is_derived(fake_azure: FakeAzure) -> None:
    provider = opened(fake_azure)
    taken = perform(provider, CreateSnapshot("t", created(provider, "data-").id, "data-"))
    assert taken.name == "data-"
    assert not any(one.name.endswith("-") for one in fake_azure.snapshots().values())


def test_names_that_azure_would_take_for_one_are_two_volumes(fake_azure: FakeAzure) -> None:
    provider = opened(fake_azure)
    names = ["data", "Data", "data.1", "data 1", "ä" * 100, "ä" * 101]
    volumes = {name: created(provider, name, token=f"t{n}") for n, name in enumerate(names)}
    for name in names:
        assert list(provider.list(name=name)) == [volumes[name]]
        assert volumes[name].name == name
    assert len(fake_azure.disks()) == len(names)


def test_the_name_is_the_same_in_every_process(fake_azure: FakeAzure) -> None:
    first = created(opened(fake_azure), "Data")
    assert created(opened(fake_azure), "Data", token="other") == first


def test_snapshots_are_named_in_the_same_way(fake_azure: FakeAzure) -> None:
    provider = opened(fake_azure)
    volume = created(provider)
    taken = [perform(provider, CreateSnapshot(n, volume.id, n)) for n in ("Nightly", "nightly")]
    assert [one.name for one in taken] == ["Nightly", "nightly"]
    assert {one.name for one in fake_azure.snapshots().values()} == {
        azure_name("Nightly"),
        "nightly",
    }
