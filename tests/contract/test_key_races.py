"""One new key, many processes: whoever is killed at whatever moment, one key remains.

`tests.contract.key_races` says what is tried, `tests.contract.key_race_cases` with what.
"""

from pathlib import Path

import pytest

from tests.contract.key_race_cases import CASES
from tests.contract.key_races import (
    Case,
    kill_at_statements,
    kill_between_requests,
    race,
    race_with_kills,
)

OVER_HTTP = [case for case in CASES if case.requests]
IN_FILES = [case for case in CASES if case.statements]


def _name(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_many_processes_get_one_key(case: Case, tmp_path: Path) -> None:
    race(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_those_that_survive_get_one_key(case: Case, tmp_path: Path) -> None:
    assert race_with_kills(case, tmp_path) > 0


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_key_that_many_wrap_anew_stays_the_key(case: Case, tmp_path: Path) -> None:
    assert race_with_kills(case, tmp_path, 12, wraps=True) > 0


@pytest.mark.parametrize("case", OVER_HTTP, ids=_name)
def test_a_kill_between_any_two_requests_leaves_one_key(case: Case, tmp_path: Path) -> None:
    assert kill_between_requests(case, tmp_path) > 5


@pytest.mark.parametrize("case", IN_FILES, ids=_name)
def test_a_kill_before_any_statement_leaves_one_key(case: Case, tmp_path: Path) -> None:
    assert kill_at_statements(case, tmp_path) > 10
