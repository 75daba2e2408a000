"""A journal in one SQLite file, for the threads and processes of one host."""

import json
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from cloudcrypt.database import BUSY_TIMEOUT, IN_MEMORY, Database
from cloudcrypt.errors import InvalidRequest, JournalUnavailable, OperationBusy
from cloudcrypt.journal.entry import ALL_STATES, Entry, OnBusy, State
from cloudcrypt.journal.locks import FileLocks, Locks, ThreadLocks, held
from cloudcrypt.waiting import Deadline
from cloudcrypt.wire import intent_from_dict, intent_to_dict

SCHEMA_VERSION: Final = 2

_SCHEMA: Final = (
    "CREATE TABLE journal (id TEXT NOT NULL) STRICT",
    "INSERT INTO journal (id) VALUES (lower(hex(randomblob(16))))",
    """
    CREATE TABLE operations (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        namespace TEXT NOT NULL,
        provider TEXT NOT NULL,
        subject TEXT NOT NULL,
        operation TEXT NOT NULL,
        intent TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        begun TEXT NOT NULL,
        changed TEXT NOT NULL,
        state TEXT NOT NULL,
        blank INTEGER NOT NULL,
        reference TEXT,
        outcome TEXT,
        error TEXT
    ) STRICT
    """,
    "CREATE INDEX by_subject ON operations (namespace, subject)",
    "CREATE INDEX by_outcome ON operations (outcome)",
    # The lock keeps callers apart; this keeps the file right if somebody goes past it.
    """
    CREATE UNIQUE INDEX one_at_a_time ON operations (namespace, subject)
    WHERE state IN ('pending', 'accepted')
    """,
)

_UNKNOWN_STATE: Final = f"state NOT IN {tuple(state.value for state in State)}"

_IS_DELETION: Final = "(operation = 'DeleteVolume' AND state = 'done')"

_PRUNE: Final = f"""
DELETE FROM operations
WHERE state IN ('done', 'failed') AND changed < ? AND NOT {_IS_DELETION}
AND NOT (attempt > 1 AND number = (
    SELECT max(number) FROM operations AS same
    WHERE same.namespace = operations.namespace AND same.subject = operations.subject
))
"""  # noqa: S608  # our own words

_PRUNE_DELETIONS: Final = f"""
DELETE FROM operations
WHERE {_IS_DELETION} AND changed < ? AND NOT EXISTS (
    SELECT 1 FROM operations AS made
    WHERE made.operation = 'CreateVolume' AND made.namespace = operations.namespace
    AND made.outcome = json_extract(operations.intent, '$.volume_id')
)
"""  # noqa: S608  # our own words
"""The second step: the deletions of volumes whose creation is not kept any more."""


class SqliteJournal:
    """The journal of one host; see `cloudcrypt.journal.Journal` for its methods.

    The file has a random id of its own, for ever: a copy of it would be the same journal, so make
    none. Next to it lies ``<file>.lock``, by which callers exclude each other. Keep both on a local
    file system.
    """

    def __init__(self, path: Path | str, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        """Open the journal at ``path``; made with mode 0600 if it does not exist.

        Args:
            path: the file; its folder is made too.
            busy_timeout: seconds to wait for the transactions of other processes.

        Raises:
            JournalUnavailable: it cannot be opened, or another version wrote it.
        """
        self._database = Database(
            path,
            _SCHEMA,
            version=SCHEMA_VERSION,
            unavailable=JournalUnavailable,
            busy_timeout=busy_timeout,
        )
        with self._database.transaction() as db:
            self._id: str = db.execute("SELECT id FROM journal").fetchone()[0]
        self._locks: Locks = ThreadLocks()
        if self._database.path != IN_MEMORY:
            self._locks = FileLocks(Path(f"{Path(path).resolve()}.lock"))

    @classmethod
    def in_memory(cls) -> Self:
        """Return a journal that ends with this process: nothing of it survives a crash."""
        return cls(IN_MEMORY)

    @property
    def id(self) -> str:
        """The random id of this journal; see `Journal.id`."""
        return self._id

    def get(self, operation_id: str) -> Entry | None:
        """Return the entry with this id; see `Journal.get`."""
        with self._database.transaction() as db:
            return self._get(db, operation_id)

    def add(self, entry: Entry) -> Entry:
        """Add the entry of a new operation; see `Journal.add`."""
        row = _row(entry)
        with self._database.transaction() as db:
            try:
                db.execute(
                    f"INSERT INTO operations ({', '.join(row)}) "  # noqa: S608  # our own names
                    f"VALUES ({', '.join('?' * len(row))})",
                    tuple(row.values()),
                )
            except sqlite3.IntegrityError as error:
                if error.sqlite_errorname != "SQLITE_CONSTRAINT_UNIQUE":
                    raise
                raise OperationBusy(entry.subject) from error
        return entry

    def replace(self, old: Entry, new: Entry) -> Entry:
        """Put ``new`` in the place of ``old``; see `Journal.replace`."""
        row = _row(new)
        with self._database.transaction() as db:
            if self._get(db, old.id) != old:
                raise OperationBusy(old.subject)
            db.execute(
                f"UPDATE operations SET {', '.join(f'{name} = ?' for name in row)} "  # noqa: S608
                "WHERE id = ?",
                (*row.values(), old.id),
            )
        return new

    def entries(
        self,
        *,
        namespace: str | None = None,
        subject: str | None = None,
        operation: str | None = None,
        outcome: str | None = None,
        states: Collection[State] = ALL_STATES,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        """Return entries, newest first; see `Journal.entries`."""
        facts = {
            "namespace": namespace,
            "subject": subject,
            "operation": operation,
            "outcome": outcome,
        }
        given = {name: fact for name, fact in facts.items() if fact is not None}
        conditions = [f"{name} = ?" for name in given]
        # A state that nobody knows agrees with all, so that it shows as damage.
        conditions.append(f"(state IN ({', '.join('?' * len(states))}) OR {_UNKNOWN_STATE})")
        query = (
            f"SELECT * FROM operations WHERE {' AND '.join(conditions)} "  # noqa: S608  # our names
            "ORDER BY number DESC LIMIT ?"
        )
        values = [*given.values(), *(state.value for state in states)]
        with self._database.transaction() as db:
            found = db.execute(query, (*values, -1 if limit is None else limit))
            return tuple(self._entry(found, row) for row in found.fetchall())

    def prune(self, before: datetime) -> int:
        """Remove entries that were finished ``before``; see `Journal.prune`."""
        with self._database.transaction() as db:
            steps = (_PRUNE, _PRUNE_DELETIONS)
            return sum(db.execute(step, (_stored(before),)).rowcount for step in steps)

    def hold(
        self,
        namespace: str,
        subject: str,
        *,
        deadline: Deadline,
        on_busy: OnBusy = OnBusy.WAIT,
    ) -> AbstractContextManager[None]:
        """Keep all others on this host away from ``subject``; see `Journal.hold`."""
        key = f"{namespace}\n{subject}"
        return held(self._locks, key, subject, deadline=deadline, on_busy=on_busy)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._database.close()

    def _get(self, db: sqlite3.Connection, operation_id: str) -> Entry | None:
        found = db.execute("SELECT * FROM operations WHERE id = ?", (operation_id,))
        row = found.fetchone()
        return None if row is None else self._entry(found, row)

    def _entry(self, found: sqlite3.Cursor, row: tuple[Any, ...]) -> Entry:
        columns = dict(zip((column[0] for column in found.description), row, strict=True))
        try:
            return _from_columns(columns)
        except (ValueError, KeyError, TypeError, RecursionError, InvalidRequest) as error:
            raise JournalUnavailable(self._database.path, "an entry is damaged") from error


def _stored(moment: datetime) -> str:
    """Return ``moment`` in the form that sorts as text, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _row(entry: Entry) -> dict[str, str | int | None]:
    return {
        "id": entry.id,
        "namespace": entry.namespace,
        "provider": entry.provider,
        "subject": entry.subject,
        "operation": entry.operation,
        "intent": json.dumps(intent_to_dict(entry.intent)),
        "attempt": entry.attempt,
        "begun": _stored(entry.begun),
        "changed": _stored(entry.changed),
        "state": entry.state.value,
        "blank": int(entry.blank),
        "reference": entry.reference,
        "outcome": entry.outcome,
        "error": entry.error,
    }


def _from_columns(columns: Mapping[str, Any]) -> Entry:
    return Entry(
        id=columns["id"],
        namespace=columns["namespace"],
        provider=columns["provider"],
        subject=columns["subject"],
        intent=intent_from_dict(json.loads(columns["intent"])),
        attempt=columns["attempt"],
        begun=datetime.fromisoformat(columns["begun"]),
        changed=datetime.fromisoformat(columns["changed"]),
        state=State(columns["state"]),
        blank=bool(columns["blank"]),
        reference=columns["reference"],
        outcome=columns["outcome"],
        error=columns["error"],
    )
