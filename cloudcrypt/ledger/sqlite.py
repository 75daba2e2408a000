"""A ledger in one SQLite file, for one host.

Every change is one transaction with full synchronous durability: it is on the disk when the method
returns. Several threads and processes may use one file.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import attrs

from cloudcrypt.database import BUSY_TIMEOUT, IN_MEMORY, Database
from cloudcrypt.errors import AlreadyRegistered, LedgerUnavailable, RecordChanged, VolumeBusy
from cloudcrypt.ledger.payload import Unrecorded, payload_from_dict, payload_to_dict
from cloudcrypt.ledger.record import Holder, Record, State
from cloudcrypt.model import KeyPolicy, Mode, check_volume_id, origin_from_dict, origin_to_dict

SCHEMA_VERSION: Final = 2
"""Records of version 1 say nothing of the payload. Nothing in the file has to be changed for them;
the version keeps programs out that would write to a payload and not record it."""

_SCHEMA: Final = (
    """
    CREATE TABLE volumes (
        volume_id TEXT PRIMARY KEY,
        record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)


class SqliteLedger:
    """The ledger of one host; see `cloudcrypt.ledger.Ledger` for its methods."""

    def __init__(self, path: Path | str, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        """Open the ledger at ``path``; made with mode 0600 if it does not exist.

        Args:
            path: the file; its folder is made too.
            busy_timeout: seconds to wait for another process before `LedgerUnavailable`.

        Raises:
            LedgerUnavailable: it cannot be opened, or a newer version wrote it.
        """
        self._database = Database(
            path,
            _SCHEMA,
            version=SCHEMA_VERSION,
            upgrades={1: ()},
            unavailable=LedgerUnavailable,
            busy_timeout=busy_timeout,
        )

    @classmethod
    def in_memory(cls) -> Self:
        """Return a ledger that ends with this process: for one command, where nothing is kept."""
        return cls(IN_MEMORY)

    def get(self, volume_id: str) -> Record | None:
        """Return the record of ``volume_id``, or None; see `Ledger.get`."""
        check_volume_id(volume_id)
        with self._database.transaction() as db:
            return self._get(db, volume_id)

    def add(self, record: Record) -> Record:
        """Add the first record of a volume; see `Ledger.add`."""
        check_volume_id(record.volume_id)
        with self._database.transaction() as db:
            found = self._get(db, record.volume_id)
            if found is None:
                db.execute("INSERT INTO volumes VALUES (?, ?)", _row(record))
            elif found != record:
                raise AlreadyRegistered(record.volume_id, _differing(found, record))
        return record

    def replace(self, old: Record, new: Record) -> Record:
        """Put ``new`` in the place of ``old``; see `Ledger.replace`."""
        with self._database.transaction() as db:
            found = self._get(db, old.volume_id)
            if found != old:
                raise RecordChanged(old.volume_id)
            identity, text = _row(new)
            db.execute("UPDATE volumes SET record = ? WHERE volume_id = ?", (text, identity))
        return new

    def forget(self, volume_id: str) -> None:
        """Remove the record of a volume; see `Ledger.forget`."""
        with self._database.transaction() as db:
            found = self._get(db, volume_id)
            if found is not None and found.holder is not None:
                raise VolumeBusy(volume_id, found.holder.node)
            db.execute("DELETE FROM volumes WHERE volume_id = ?", (volume_id,))

    def records(self) -> Iterator[Record]:
        """Yield all records, by volume id."""
        with self._database.transaction() as db:
            rows = db.execute("SELECT volume_id, record FROM volumes ORDER BY volume_id").fetchall()
        for volume_id, text in rows:
            yield self._record(volume_id, text)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._database.close()

    def _get(self, db: sqlite3.Connection, volume_id: str) -> Record | None:
        query = "SELECT record FROM volumes WHERE volume_id = ?"
        row = db.execute(query, (volume_id,)).fetchone()
        return None if row is None else self._record(volume_id, row[0])

    def _record(self, volume_id: str, text: str) -> Record:
        try:
            record = _from_json(text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LedgerUnavailable(self._database.path, "a record is damaged") from error
        if record.volume_id != volume_id:
            reason = "a record is damaged: it is of another volume"
            raise LedgerUnavailable(self._database.path, reason)
        return record


def _differing(found: Record, wanted: Record) -> tuple[str, ...]:
    names = [field.name for field in attrs.fields(Record)]
    return tuple(name for name in names if getattr(found, name) != getattr(wanted, name))


def _row(record: Record) -> tuple[str, str]:
    document = attrs.asdict(record, recurse=False) | {
        "state": record.state.value,
        "mode": record.mode.value,
        "policy": record.policy.value,
        "origin": origin_to_dict(record.origin),
        "holder": None if record.holder is None else attrs.asdict(record.holder),
        "payload": payload_to_dict(record.payload),
    }
    return record.volume_id, json.dumps(document)


def _from_json(text: str) -> Record:
    document: dict[str, Any] = json.loads(text)
    holder = document["holder"]
    payload = document.get("payload")
    typed: dict[str, Any] = {
        "state": State(document["state"]),
        "mode": Mode(document["mode"]),
        "policy": KeyPolicy(document["policy"]),
        "origin": origin_from_dict(document["origin"]),
        "holder": None if holder is None else Holder(**holder),
        "payload": Unrecorded() if payload is None else payload_from_dict(payload),
    }
    return Record(**(document | typed))
