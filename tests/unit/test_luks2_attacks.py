"""Attacks that a verifier must meet: rows 1 to 46 and 54 of docs/reference/attacks.md."""

import time
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import HeaderRefused
from cloudcrypt.luks2 import Step, layout, parse, read_header, serialise, unlock, verify
from cloudcrypt.mapper import payload_size
from cloudcrypt.model import KeyPolicy
from cloudcrypt_testing.disks import MemoryDisk, RecordingDisk
from cloudcrypt_testing.headers import DEVICE_SIZE
from cloudcrypt_testing.mutations import forge, resize
from tests.unit.attacks.copies import hidden_secondary
from tests.unit.attacks.model import BOTH, Attack, foreign, genuine
from tests.unit.attacks.table import ATTACKS, BEHAVIOURS, CASES, NOT_THE_HEADER


def name_of(attack: Attack, policy: KeyPolicy) -> str:
    return f"{attack.row} {attack.name[:60]} ({policy.value})"


def cases(*rows: int) -> list[Any]:
    """Return the cases of ``rows``, by default of all, as parameters with names."""
    return [
        pytest.param(attack, policy, id=name_of(attack, policy))
        for attack, policy in CASES
        if not rows or attack.row in rows
    ]


def attempt(attack: Attack, policy: KeyPolicy, disk: MemoryDisk | RecordingDisk) -> None:
    """Open ``disk`` as its owner would, as far as the attack is expected to get."""
    volume = genuine(policy, attack.mode)
    mode = attack.asked or attack.mode
    expectation = attrs.evolve(volume.expectation, mode=mode, capacity=attack.capacity)
    header = verify(parse(read_header(disk)), volume.profile, expectation, volume.keys.seal)
    assert attack.step >= Step.UNLOCK, "the verification let the attack pass"
    unlock(header, volume.keys.passphrase)


@pytest.mark.parametrize(("attack", "policy"), cases())
def test_an_attack_is_refused_at_its_step(attack: Attack, policy: KeyPolicy) -> None:
    disk = forge(genuine(policy, attack.mode).image, attack.mutation)
    with pytest.raises(HeaderRefused) as refusal:
        attempt(attack, policy, disk)
    assert (attack.step, attack.error) == (Step(refusal.value.step), type(refusal.value))


@pytest.mark.parametrize(("attack", "policy"), cases(20, 21))
def test_a_hostile_cost_is_refused_before_it_is_paid(attack: Attack, policy: KeyPolicy) -> None:
    disk = forge(genuine(policy).image, attack.mutation)
    began = time.process_time()
    with pytest.raises(HeaderRefused):
        attempt(attack, policy, disk)
    # All lanes of one honest derivation take more than this; a hostile one takes hours.
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize("policy", BOTH)
def test_what_was_read_once_is_what_is_used_whatever_the_disk_says_later(
    policy: KeyPolicy,
) -> None:
    volume = genuine(policy)
    disk = RecordingDisk(volume.disk())
    raw = read_header(disk)
    foreign(policy).image.write_to(disk)
    disk.operations.clear()
    header = verify(parse(raw), volume.profile, volume.expectation, volume.keys.seal)
    with unlock(header, volume.keys.passphrase) as unlocked:
        assert volume.volume_key == unlocked.volume_key
    assert disk.operations == []


@pytest.mark.parametrize("policy", BOTH)
def test_the_header_is_read_in_one_piece_and_nothing_else_is_read(policy: KeyPolicy) -> None:
    volume = genuine(policy)
    disk = RecordingDisk(volume.disk())
    with volume.unlock(disk):
        pass
    assert [(0, layout.READ_SIZE)] == [(each.offset, each.length) for each in disk.operations]


@pytest.mark.parametrize(("attack", "policy"), cases(28, 29, 30, 31, 45))
def test_refusing_a_header_writes_nothing_to_the_disk(attack: Attack, policy: KeyPolicy) -> None:
    disk = RecordingDisk(forge(genuine(policy).image, attack.mutation))
    with pytest.raises(HeaderRefused):
        attempt(attack, policy, disk)
    assert {"read"} == {operation.kind for operation in disk.operations}


@pytest.mark.parametrize("policy", BOTH)
def test_what_lies_hidden_in_the_keyslots_space_is_neither_read_nor_passed_on(
    policy: KeyPolicy,
) -> None:
    volume = genuine(policy)
    disk = forge(volume.image, hidden_secondary(0x100000, erased=False))
    header = volume.verify(disk)
    passed_on = serialise(header)
    area_end = passed_on.area_offset + len(passed_on.area)
    assert volume.image.area == passed_on.area
    assert not any(passed_on.to_bytes()[area_end:])


@pytest.mark.parametrize("policy", BOTH)
def test_a_device_that_grew_is_accepted_and_its_growth_stays_unused(policy: KeyPolicy) -> None:
    volume = genuine(policy)
    disk = forge(volume.image, resize(2 * DEVICE_SIZE))
    header = volume.verify(disk, attrs.evolve(volume.expectation, capacity=DEVICE_SIZE))
    assert (DEVICE_SIZE, DEVICE_SIZE - layout.DATA_OFFSET) == (
        header.capacity,
        payload_size(header.mode, header.capacity),
    )


@pytest.mark.parametrize("policy", BOTH)
@pytest.mark.parametrize("attacked", ["mine", "foreign"])
def test_without_an_attack_the_owner_gets_in(policy: KeyPolicy, attacked: str) -> None:
    volume = genuine(policy) if attacked == "mine" else foreign(policy)
    with volume.unlock(forge(volume.image)) as unlocked:
        assert volume.volume_key == unlocked.volume_key


def test_every_row_has_a_kept_case_or_a_reason_why_not() -> None:
    kept = {attack.row for attack in ATTACKS} | set(BEHAVIOURS)
    assert {*range(1, 47), 54} == kept | set(NOT_THE_HEADER)
    assert set() == kept & set(NOT_THE_HEADER)
    assert [name for name in BEHAVIOURS.values() if name not in globals()] == []


def test_every_attack_has_a_name_of_its_own() -> None:
    names = [name_of(*case) for case in CASES]
    assert sorted(set(names)) == sorted(names)


def test_the_exact_profile_refuses_every_kind_of_attack_without_the_help_of_a_seal() -> None:
    unsealed = {attack.row for attack in ATTACKS if KeyPolicy.CONSTELLATION in attack.policies}
    about_the_seal = {44}
    assert {*range(1, 47), 54} == unsealed | about_the_seal | set(BEHAVIOURS) | set(NOT_THE_HEADER)
