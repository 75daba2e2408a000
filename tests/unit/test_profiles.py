"""Profiles are data, and the data are those of their sources."""

import pytest

from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.profiles import (
    CLOUDCRYPT_V1,
    CONSTELLATION,
    LAYOUTS,
    PROFILES,
    RFC_9106_LOW_MEMORY,
    Bounds,
    Profile,
)
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION

ALL = [CLOUDCRYPT_V1, CONSTELLATION, CHEAP, CHEAP_CONSTELLATION]


def test_the_cost_is_the_second_recommended_option_of_rfc_9106() -> None:
    cost = RFC_9106_LOW_MEMORY
    assert (3, 65536, 4) == (cost.time, cost.memory, cost.lanes)


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_a_profile_reads_what_it_writes(profile: Profile) -> None:
    assert profile.write.time in profile.time
    assert profile.write.memory in profile.memory
    assert profile.write.lanes in profile.lanes
    assert profile.write_digest_iterations in profile.digest_iterations


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_a_profile_names_its_source(profile: Profile) -> None:
    assert profile.name
    assert profile.source


def test_every_policy_has_a_profile_and_only_bound_is_sealed() -> None:
    assert set(KeyPolicy) == set(PROFILES)
    assert {KeyPolicy.BOUND} == {policy for policy, each in PROFILES.items() if each.sealed}


def test_a_sealed_profile_leaves_no_choice() -> None:
    bounds = (CLOUDCRYPT_V1.time, CLOUDCRYPT_V1.memory, CLOUDCRYPT_V1.lanes)
    assert all(each.least == each.most for each in (*bounds, CLOUDCRYPT_V1.digest_iterations))


def test_a_cheap_profile_says_that_it_is_only_for_tests() -> None:
    assert "only for tests" in CHEAP.name
    assert "only for tests" in CHEAP_CONSTELLATION.name
    assert {CHEAP, CHEAP_CONSTELLATION}.isdisjoint(PROFILES.values())


def test_bounds_are_inclusive() -> None:
    bounds = Bounds(3, 5)
    assert [False, True, True, True, False] == [number in bounds for number in range(2, 7)]


def test_bounds_are_shown_as_a_range_or_a_number() -> None:
    assert ("3..5", "7") == (str(Bounds(3, 5)), str(Bounds.exactly(7)))


def test_an_area_holds_4000_stripes_in_whole_blocks_of_4096() -> None:
    for mode, key_size in ((Mode.CRYPT, 64), (Mode.INTEGRITY, 96)):
        sizes = LAYOUTS[mode]
        assert key_size == sizes.key_size
        assert -(-key_size * 4000 // 4096) * 4096 == sizes.area_size
