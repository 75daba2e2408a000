"""Device names: each is used by one volume, and not again soon."""

import pytest

from cloudcrypt.errors import AttachmentLimit
from cloudcrypt_aws._names import IN_FLIGHT, NAMES, Names
from cloudcrypt_testing.world.clock import FakeClock
from tests.unit.aws_given import together


def test_names_are_those_that_ec2_takes() -> None:
    assert len(set(NAMES)) == len(NAMES) == 102 + 25
    assert {"/dev/xvdaa", "/dev/xvddx", "/dev/xvdb"} < set(NAMES)
    assert not {"/dev/xvddy", "/dev/xvda"} & set(NAMES)


def test_a_name_that_was_given_up_is_the_last_to_be_used_again() -> None:
    clock = FakeClock()
    names = Names(clock)
    first = names.take("i-1", [])
    clock.advance(IN_FLIGHT)
    others = []
    for _ in NAMES[1:102]:
        others.append(names.take("i-1", []))
        clock.advance(IN_FLIGHT)
    assert first not in others


def test_another_process_begins_with_another_name() -> None:
    clock = FakeClock()
    first = Names(clock).take("i-1", [])
    clock.advance(1)
    assert Names(clock).take("i-1", []) != first


@pytest.mark.parametrize("form", ["/dev/xvd{}", "/dev/sd{}", "sd{}"])
def test_names_that_the_instance_shows_are_avoided_however_they_are_written(form: str) -> None:
    clock = FakeClock()
    first = Names(clock).take("i-1", [])
    taken = form.format(first.removeprefix("/dev/xvd"))
    assert Names(clock).take("i-1", [taken]) != first


def test_threads_never_get_the_same_name() -> None:
    names = Names(FakeClock())
    taken = together([lambda: names.take("i-1", [])] * 40)
    assert len(set(taken)) == 40


def test_a_name_that_was_handed_out_and_not_used_is_free_again() -> None:
    clock = FakeClock()
    names = Names(clock)
    taken = {names.take("i-1", []) for _ in NAMES}
    assert taken == set(NAMES)
    with pytest.raises(AttachmentLimit) as caught:
        names.take("i-1", [])
    assert caught.value.limit == len(NAMES)
    clock.advance(IN_FLIGHT)
    assert names.take("i-1", []) in NAMES


def test_a_bad_name_is_tried_when_no_other_is_left() -> None:
    names = Names(FakeClock())
    bad = names.take("i-1", [])
    names.give_back("i-1", bad)
    names.avoid("i-1", bad)
    for _ in NAMES[1:]:
        assert names.take("i-1", []) != bad
    assert names.take("i-1", []) == bad


def test_what_is_bad_on_one_instance_is_good_on_another() -> None:
    names = Names(FakeClock())
    bad = names.take("i-1", [])
    names.give_back("i-1", bad)
    names.avoid("i-1", bad)
    assert [names.take("i-1", []) for _ in NAMES].index(bad) == len(NAMES) - 1
    assert names.take("i-2", []) == bad


def test_names_that_ec2_refused_for_another_reason_are_free_again() -> None:
    names = Names(FakeClock())
    for _ in range(3 * len(NAMES)):
        names.give_back("i-1", names.take("i-1", []))
