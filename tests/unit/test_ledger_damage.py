"""A ledger that cannot tell says so: silence is never taken for "unknown"."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import LedgerUnavailable
from cloudcrypt.ledger import (
    Filesystem,
    FilesystemKind,
    Holder,
    Record,
    SqliteLedger,
    State,
    Unrecorded,
)
from cloudcrypt.model import KeyPolicy, Mode, RestoredFrom

UUID = "5d32ae5c-4a33-4ad9-9f49-0d7a4d6e2c11"
HOLDER = Holder("node-1", "5f2b8c1e-8f7e-4f0c-9d43-2d8f3c1b7a90")
RECORD = Record("vol-1", State.NEW, Mode.CRYPT, KeyPolicy.BOUND, 2**30)
FULL = Record(
    "vol-2",
    State.ROTATING,
    Mode.INTEGRITY,
    KeyPolicy.CONSTELLATION,
    2**48,
    7,
    UUID,
    RestoredFrom("vol-1", 3),
    HOLDER,
    payload=Filesystem(FilesystemKind.EXT4, UUID),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    with closing(SqliteLedger(path)) as ledger:
        yield ledger


def damage(path: Path, statement: str, *values: object) -> None:
    """Change the file behind the ledger's back."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


DAMAGED = {
    "not JSON": "{",
    "nothing": "",
    "not an object": "[1, 2]",
    "null": "null",
    "no fields": "{}",
    "a state of the future": json.dumps({"state": "migrating"}),
}


def changed(**fields: object) -> str:
    """Return the stored form of `FULL` with other fields."""
    document = {
        "volume_id": "vol-2",
        "state": "rotating",
        "mode": "integrity",
        "policy": "constellation",
        "capacity": 2**48,
        "generation": 7,
        "uuid": UUID,
        "origin": {"kind": "snapshot", "volume_id": "vol-1", "generation": 3},
        "holder": {"node": HOLDER.node, "boot_id": HOLDER.boot_id},
        "payload": {"is": "filesystem", "kind": "ext4", "uuid": UUID},
    }
    return json.dumps(document | fields)


CHANGED = {
    "unknown state": changed(state="migrating"),
    "unknown mode": changed(mode="none"),
    "unknown policy": changed(policy=None),
    "unknown field": changed(comment="hello"),
    "unknown origin": changed(origin={"kind": "stolen", "volume_id": "vol-1"}),
    "origin without a kind": changed(origin={}),
    "origin a text": changed(origin="blank"),
    "holder without a boot": changed(holder={"node": "node-1"}),
    "holder a text": changed(holder="node-1"),
    "of another volume": changed(volume_id="vol-3"),
    "unknown payload": changed(payload={"is": "empty"}),
    "payload without a name": changed(payload={}),
    "payload a text": changed(payload="untouched"),
    "payload with too much": changed(payload={"is": "untouched", "kind": "ext4"}),
    "filesystem without a UUID": changed(payload={"is": "filesystem", "kind": "ext4"}),
    "unknown filesystem": changed(payload={"is": "making", "kind": "btrfs", "uuid": UUID}),
}


def test_the_stored_form_is_the_one_that_is_read(ledger: SqliteLedger, path: Path) -> None:
    ledger.add(attrs.evolve(FULL, generation=1))
    damage(path, "UPDATE volumes SET record = ?", changed())
    assert FULL == ledger.get("vol-2")


def test_a_ledger_from_before_payloads_were_recorded_is_read(path: Path) -> None:
    with closing(SqliteLedger(path)) as ledger:
        ledger.add(FULL)
    old = json.loads(changed())
    del old["payload"]
    damage(path, "UPDATE volumes SET record = ?", json.dumps(old))
    damage(path, "PRAGMA user_version = 1")
    unrecorded = attrs.evolve(FULL, payload=Unrecorded())
    for _ in range(2):
        with closing(SqliteLedger(path)) as ledger:
            assert unrecorded == ledger.get("vol-2")
    with closing(sqlite3.connect(path)) as db:
        assert (2,) == db.execute("PRAGMA user_version").fetchone()


@pytest.mark.parametrize("what", DAMAGED | CHANGED)
def test_a_damaged_record_is_not_an_unknown_volume(
    ledger: SqliteLedger, path: Path, what: str
) -> None:
    ledger.add(RECORD)
    ledger.add(FULL)
    text = (DAMAGED | CHANGED)[what]
    damage(path, "UPDATE volumes SET record = ? WHERE volume_id = 'vol-2'", text)
    for attempt in (
        lambda: ledger.get("vol-2"),
        lambda: ledger.add(FULL),
        lambda: ledger.replace(FULL, FULL),
        lambda: ledger.forget("vol-2"),
        lambda: list(ledger.records()),
    ):
        with pytest.raises(LedgerUnavailable, match="a record is damaged"):
            attempt()
    assert RECORD == ledger.get("vol-1")


def test_a_damaged_file_is_not_an_empty_ledger(ledger: SqliteLedger, path: Path) -> None:
    ledger.add(RECORD)
    ledger.close()
    content = bytearray(path.read_bytes())
    content[:16] = b"nothing of value"
    path.write_bytes(content)
    with pytest.raises(LedgerUnavailable, match="not a database"):
        SqliteLedger(path)


def test_a_file_damaged_while_it_is_open_is_not_an_empty_ledger(
    ledger: SqliteLedger, path: Path
) -> None:
    ledger.add(RECORD)
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(LedgerUnavailable):
        ledger.get("vol-1")


def test_a_ledger_of_a_newer_version_is_refused(ledger: SqliteLedger, path: Path) -> None:
    ledger.add(RECORD)
    damage(path, "PRAGMA user_version = 3")
    with pytest.raises(LedgerUnavailable, match="schema version 3"):
        SqliteLedger(path)


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    damage(path, "CREATE TABLE volumes (name TEXT)")
    with pytest.raises(LedgerUnavailable, match="already exists"):
        SqliteLedger(path)


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable):
        SqliteLedger(tmp_path)


def test_a_ledger_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerUnavailable) as refusal:
        SqliteLedger(tmp_path / "file" / "ledger.sqlite")
    assert str(tmp_path / "file" / "ledger.sqlite") == refusal.value.ledger


def test_a_closed_ledger_tells_nothing(path: Path) -> None:
    ledger = SqliteLedger(path)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerUnavailable):
        ledger.get("vol-1")
