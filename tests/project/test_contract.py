"""The contract as it is written, and the suite that checks it, have the same clauses."""

import re
from pathlib import Path

from cloudcrypt_testing.contract import VolumeProviderContract

ROOT = Path(__file__).parents[2]
BY_ADAPTERS = {"10.1", "10.2"}
"""Clauses about the errors of one cloud, which its own tests check."""


def written() -> list[str]:
    text = (ROOT / "docs/contract.md").read_text()
    return re.findall(r"^\*\*(\d+\.\d+)\*\* ", text, re.MULTILINE)


def suite() -> list[object]:
    names = [name for name in dir(VolumeProviderContract) if name.startswith("test_")]
    return [getattr(VolumeProviderContract, name) for name in names]


def test_every_test_of_the_suite_cites_a_clause() -> None:
    assert [test for test in suite() if not hasattr(test, "clause")] == []


def test_every_clause_is_checked_and_every_cited_clause_is_written() -> None:
    cited = {getattr(test, "clause", "") for test in suite()}
    assert sorted(cited | BY_ADAPTERS) == sorted(written())


def test_clauses_are_numbered_in_order_without_gaps() -> None:
    numbers = [tuple(map(int, number.split("."))) for number in written()]
    follows = {(1, 1)}
    for part, clause in numbers:
        assert (part, clause) in follows
        follows = {(part, clause + 1), (part + 1, 1)}
