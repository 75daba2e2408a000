"""A database of an earlier version is led to this one, step by step, or left as it is."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from cloudcrypt.database import Database
from cloudcrypt.errors import LedgerUnavailable

UPGRADES = {1: ("ALTER TABLE t ADD b TEXT",), 2: ("UPDATE t SET b = 'new'",)}


def opened(path: Path, version: int, upgrades: Mapping[int, Sequence[str]]) -> Database:
    schema = ("CREATE TABLE t (a TEXT)", "INSERT INTO t VALUES ('old')")
    return Database(path, schema, version=version, unavailable=LedgerUnavailable, upgrades=upgrades)


def content(path: Path) -> tuple[int, list[tuple[str, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        return version, db.execute("SELECT * FROM t").fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    opened(path, 1, {}).close()
    return path


def test_every_step_between_is_made(path: Path) -> None:
    opened(path, 3, UPGRADES).close()
    assert (3, [("old", "new")]) == content(path)
    opened(path, 3, UPGRADES).close()
    assert (3, [("old", "new")]) == content(path)


@pytest.mark.parametrize("upgrades", [{}, {1: UPGRADES[1]}, {2: UPGRADES[2]}])
def test_without_every_step_it_is_left_as_it_is(
    path: Path, upgrades: Mapping[int, Sequence[str]]
) -> None:
    with pytest.raises(LedgerUnavailable, match="schema version 1"):
        opened(path, 3, upgrades)
    assert (1, [("old",)]) == content(path)


def test_a_step_that_fails_leaves_it_as_it_is(path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="syntax error"):
        opened(path, 3, {1: UPGRADES[1], 2: ("nonsense",)})
    assert (1, [("old",)]) == content(path)


def test_a_newer_one_is_left_as_it_is(path: Path) -> None:
    opened(path, 3, UPGRADES).close()
    with pytest.raises(LedgerUnavailable, match="schema version 3"):
        opened(path, 2, UPGRADES)
    assert (3, [("old", "new")]) == content(path)
