"""The SQLite store beyond its contract: other processes, what is left in the file, bad content."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cloudcrypt.errors import (
    KeyServiceFailed,
    KeyServiceUnavailable,
    OperationCancelled,
    WrappedKeyRefused,
)
from cloudcrypt.keys.sqlite import VERSION, SqliteStore
from cloudcrypt.waiting import Cancellation, Deadline

BLOB = b"what is wrapped, " * 10


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


@pytest.fixture
def store(file: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(file)) as store:
        yield store


@pytest.fixture
def rival(file: Path, store: SqliteStore) -> Iterator[sqlite3.Connection]:
    """Another process, as far as SQLite is concerned, that has begun to write."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as rival:
        rival.execute("BEGIN IMMEDIATE")
        yield rival


# --- what is left ---


def test_what_was_deleted_or_replaced_is_overwritten_in_the_file(
    file: Path, store: SqliteStore
) -> None:
    store.create("deleted", BLOB)
    store.create("replaced", BLOB[::-1])
    assert BLOB in file.read_bytes()
    assert BLOB[::-1] in file.read_bytes()
    store.delete("deleted")
    store.replace("replaced", BLOB[::-1], b"new")
    content = file.read_bytes()
    assert BLOB[:40] not in content
    assert BLOB[::-1][:40] not in content
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_another_process_sees_what_was_stored(file: Path, store: SqliteStore) -> None:
    store.create("id", BLOB)
    script = (
        "import sys; from cloudcrypt.keys.sqlite import SqliteStore; "
        "store = SqliteStore(sys.argv[1]); print(store.create('id', b'x'), len(store.get('id')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(file)], check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == ["False", str(len(BLOB))]


# --- others have it ---


def test_it_waits_for_another_process_until_its_time_is_over(
    store: SqliteStore, rival: sqlite3.Connection
) -> None:
    began = time.monotonic()
    with pytest.raises(KeyServiceUnavailable, match="time is over"):
        store.create("id", BLOB, deadline=Deadline.after(0.6))
    assert 0.5 < time.monotonic() - began < 10
    timer = threading.Timer(0.3, rival.execute, ["ROLLBACK"])
    timer.start()
    assert store.create("id", BLOB)
    timer.join()


def test_a_caller_can_give_up_while_it_waits(store: SqliteStore, rival: sqlite3.Connection) -> None:
    assert rival.in_transaction
    cancellation = Cancellation()
    timer = threading.Timer(0.3, cancellation.cancel)
    timer.start()
    with pytest.raises(OperationCancelled):
        store.get("id", deadline=Deadline.after(60, cancellation=cancellation))
    timer.join()


def test_a_call_without_a_deadline_ends_by_the_timeout(
    file: Path, store: SqliteStore, rival: sqlite3.Connection
) -> None:
    assert rival.in_transaction
    rival.execute("ROLLBACK")
    with closing(SqliteStore(file, timeout=0.3)) as impatient:
        rival.execute("BEGIN IMMEDIATE")
        with pytest.raises(KeyServiceUnavailable) as refusal:
            impatient.delete("id")
    assert (refusal.value.key_id, refusal.value.retryable) == ("id", True)
    assert str(file) in refusal.value.service


# --- bad content ---


def test_text_in_the_place_of_bytes_is_bytes(file: Path, store: SqliteStore) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("INSERT INTO wrapped_keys VALUES ('id', 'text')")
    assert store.get("id") == b"text"


def test_a_row_that_is_too_long_is_refused_and_listed(file: Path, store: SqliteStore) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("INSERT INTO wrapped_keys VALUES ('id', zeroblob(100000000))")
    with pytest.raises(WrappedKeyRefused):
        store.get("id")
    assert list(store.list()) == ["id"]
    assert store.delete("id")


def test_a_file_of_a_later_version_is_refused(file: Path, store: SqliteStore) -> None:
    store.close()
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(KeyServiceFailed, match="schema version"):
        SqliteStore(file)


def test_a_damaged_file_is_an_error_and_not_absence(file: Path, store: SqliteStore) -> None:
    store.create("id", BLOB)
    store.close()
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * 4096)
    with closing(SqliteStore(file)) as again, pytest.raises(KeyServiceFailed) as refusal:
        again.get("id")
    assert refusal.value.key_id == "id"


@pytest.mark.parametrize(
    "planted",
    ["''", "'b' || char(1)", f"'{'b' * 300}'", "x'62'", "CAST(x'62FF' AS TEXT)"],
    ids=["empty", "control", "long", "blob", "no-UTF-8"],
)
def test_what_is_no_key_id_is_not_listed_and_stops_no_listing(
    file: Path, store: SqliteStore, planted: str
) -> None:
    for key_id in ("a", "b/\u20ac", "c"):
        store.create(key_id, BLOB)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute(f"INSERT INTO wrapped_keys VALUES ({planted}, x'00')")  # noqa: S608
    assert list(store.list()) == ["a", "b/\u20ac", "c"]
    assert list(store.list("b")) == ["b/\u20ac"]
