"""Each pair of a KMS and a store, by its URL: a volume's whole life, the verbs, and the doctor."""

from pathlib import Path

import pytest

from cloudcrypt.errors import DataKeyAbsent
from cloudcrypt.keys import bound_key_id, get_data_key
from cloudcrypt.keys.examining import examine
from tests.contract.key_race_cases import CASES
from tests.contract.key_races import Case, opened
from tests.unit.nodes import CONTENT, VOLUME, Node


def _name(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_volume_opens_after_a_restart_until_its_key_is_shredded(
    case: Case, tmp_path: Path
) -> None:
    key_id = bound_key_id(VOLUME)
    with case.running(tmp_path) as running:
        with opened(running.url) as keys, Node(tmp_path, keys=keys) as node:
            device = node.formatted()
        with opened(running.url) as keys, Node(tmp_path, boot="boot-2", keys=keys) as node:
            assert CONTENT == node.content(device)
            assert keys.rewrap(key_id).problem is None
            (listed,) = keys.list()
            assert (listed.key_id, listed.problem) == (key_id, None)
            assert listed.kms == keys.kms.key().name
            assert CONTENT == node.content(device)
            assert keys.shred(key_id)
            assert not keys.shred(key_id)
            with pytest.raises(DataKeyAbsent):
                node.stage.open(device)
            assert list(keys.list()) == []


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_the_doctor_finds_nothing(case: Case, tmp_path: Path) -> None:
    with case.running(tmp_path) as running, opened(running.url) as keys:
        get_data_key(keys, "an id of somebody").wipe()
        doubts = [item for item in examine(keys.kms, keys.store) if not item.ready]
        assert doubts == []
        assert [item.key_id for item in keys.list()] == ["an id of somebody"]
