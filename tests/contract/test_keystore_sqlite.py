"""The contract of stores of wrapped keys, for the SQLite file."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cloudcrypt.keys.sqlite import SqliteStore
from cloudcrypt_testing.key_contracts import KeyStoreContract


class TestSqliteStore(KeyStoreContract):
    """Every clause."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], SqliteStore]:
        return lambda: SqliteStore(tmp_path / "keys.db")

    @pytest.fixture
    def store(self, reopen: Callable[[], SqliteStore]) -> Iterator[SqliteStore]:
        with closing(reopen()) as store:
            yield store

    @pytest.fixture
    def plant(self, tmp_path: Path) -> Callable[[str, bytes], object]:
        def stored(key_id: str, blob: bytes) -> None:
            with closing(sqlite3.connect(tmp_path / "keys.db")) as db, db:
                db.execute("INSERT INTO wrapped_keys VALUES (?, ?)", (key_id, blob))

        return stored

    @pytest.fixture
    def many(self) -> int:
        return 600  # pages of 256
