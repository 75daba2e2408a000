"""Every row of docs/reference/key-attacks.md, against a key service of a KMS and a store."""

import re
from pathlib import Path

import pytest

from tests.unit.key_attacks import ATTACKS, ID, NEW, Attack, Scene

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "key-attacks.md"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.text)
def test_an_attack_has_the_outcome_of_its_row(attack: Attack) -> None:
    scene = Scene()
    tries = attack.tries(scene)
    assert tries
    for attempt in tries:
        if attack.refusal is None:
            given = attempt()
            assert attack.gives is None or given == attack.gives(scene)
        else:
            with pytest.raises(attack.refusal) as refusal:
                attempt()
            codes = re.findall("code `(.*?)`", attack.outcome)
            assert codes in ([], [getattr(refusal.value, "code", None)])


def test_no_attack_on_what_exists_leaves_a_new_key() -> None:
    for attack in ATTACKS:
        if attack.refusal is None:
            continue
        scene = Scene()
        ids = set(scene.store.list())
        for attempt in attack.tries(scene):
            with pytest.raises(attack.refusal):
                attempt()
        assert set(scene.store.list()) <= ids
        assert NEW not in scene.store.list()


def test_a_store_that_loses_a_key_is_the_one_that_is_told_of() -> None:
    (attack,) = [each for each in ATTACKS if "overwrites it" in each.text]
    scene = Scene()
    (attempt,) = attack.tries(scene)
    assert attempt() != scene.keys[ID]


def test_the_page_has_the_rows_of_the_cases() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| (.*?) \| (.*?) \|$", PAGE.read_text())
    expected = [(str(at), each.text, each.outcome) for at, each in enumerate(ATTACKS, 1)]
    assert rows == expected
