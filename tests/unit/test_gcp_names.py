"""Names that follow from what the caller says: legal, stable, and never the same for two."""

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt_gcp import _names

RFC1035 = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL = re.compile(r"[a-z0-9_-]{0,63}")
texts = st.text(min_size=1, max_size=200)
near_names = st.text("abz09-_A. ", min_size=1, max_size=80)


@given(texts | near_names)
def test_every_name_gives_a_legal_name_of_a_disk_always_the_same(name: str) -> None:
    derived = _names.disk_name(name)
    assert RFC1035.fullmatch(derived)
    assert _names.disk_name(name) == derived


@given(st.from_regex(RFC1035, fullmatch=True))
def test_a_legal_name_is_kept_unless_it_looks_derived(name: str) -> None:
    looks_derived = re.fullmatch(r".*-[0-9a-f]{16}", name) is not None
    assert (_names.disk_name(name) == name) is not looks_derived


@given(near_names, near_names)
def test_two_names_are_two_disks(one: str, other: str) -> None:
    assert (_names.disk_name(one) == _names.disk_name(other)) is (one == other)


def test_a_name_that_is_what_another_one_becomes_is_not_that_one() -> None:
    derived = _names.disk_name("My data")
    assert derived.startswith("my-data-")
    assert _names.disk_name(derived) != derived


def test_long_names_that_begin_alike_are_two_disks() -> None:
    one, other = "a" * 64 + "x", "a" * 64 + "y"
    assert _names.disk_name(one) != _names.disk_name(other)
    assert len(_names.disk_name(one)) <= 63


@given(texts, texts, texts)
def test_snapshots_of_regions_and_owners_have_names_of_their_own(
    name: str, owner: str, other: str
) -> None:
    mine = _names.snapshot_name("europe-west3", owner, name)
    assert RFC1035.fullmatch(mine)
    assert mine != _names.snapshot_name("europe-west4", owner, name)
    assert (mine == _names.snapshot_name("europe-west3", other, name)) is (owner == other)


@given(st.from_regex(RFC1035, fullmatch=True))
def test_a_regional_disk_has_another_device_name_than_a_zonal_one(name: str) -> None:
    zonal = _names.device_name(name, is_regional=False)
    regional = _names.device_name(name, is_regional=True)
    assert zonal == name
    assert regional != zonal
    assert len(regional) <= 63


def test_the_device_name_of_a_regional_disk_says_so() -> None:
    assert _names.device_name("data", is_regional=True) == "data_regional"


@given(texts, texts)
def test_owners_are_labels_and_never_the_same_for_two(one: str, other: str) -> None:
    assert LABEL.fullmatch(_names.owner_label(one))
    assert (_names.owner_label(one) == _names.owner_label(other)) is (one == other)


def test_an_owner_that_can_be_a_label_is_one() -> None:
    assert _names.owner_label("storage_team-1") == "storage_team-1"


@given(texts, texts)
def test_a_token_is_a_label_that_depends_on_the_owner(owner: str, token: str) -> None:
    label = _names.token_label(owner, token)
    assert re.fullmatch("[0-9a-f]{32}", label)
    assert label != _names.token_label(f"{owner}x", token)


def test_request_ids_are_uuids_that_tell_verbs_and_attempts_apart() -> None:
    parts = [("o", "t", "insert", 1), ("o", "t", "insert", 2), ("o", "t", "delete", 1)]
    parts += [("p", "t", "insert", 1), ("o", "u", "insert", 1)]
    ids = [_names.request_id(*one) for one in parts]
    assert len(set(ids)) == len(ids)
    assert all(uuid.UUID(one).int for one in ids)
    assert ids == [_names.request_id(*one) for one in parts]


@given(texts, st.integers(1, 9))
def test_a_name_chooses_among_zones_always_the_same_one(name: str, count: int) -> None:
    first = _names.chosen(name, count)
    assert 0 <= first < count
    assert _names.chosen(name, count) == first


def test_names_choose_all_zones() -> None:
    assert {_names.chosen(f"volume-{each}", 3) for each in range(50)} == {0, 1, 2}
