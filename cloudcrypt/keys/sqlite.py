"""``sqlite:///PATH``: a store of wrapped keys in one file, for one host and all its processes."""

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar, Final, Self, final
from urllib.parse import unquote

import attrs

from cloudcrypt.database import LOCKED, Database
from cloudcrypt.errors import (
    CloudcryptError,
    InvalidRequest,
    KeyServiceFailed,
    KeyServiceUnavailable,
    KeyUriInvalid,
    WrappedKeyRefused,
)
from cloudcrypt.kms import BLOB_MAX, KEY_ID_MAX, TIMEOUT, check_deadline, check_key_id
from cloudcrypt.urls import Query
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline

VERSION: Final = 1
"""Of the schema."""

_SCHEMA = ("CREATE TABLE wrapped_keys (id TEXT PRIMARY KEY, blob BLOB NOT NULL) WITHOUT ROWID",)
_PAGE = 256  # ids that are read at a time
_TURN = 0.2  # seconds that it waits for others before it looks at the deadline again
_KIND = "sqlite:///PATH"


@final
class SqliteStore:
    """Blobs in a SQLite file of mode 0600; a change is durable when the call returns.

    Threads and processes of one host share it; a file on a network share is not for this. It is
    opened after a fork, not before. The file is to be backed up: who loses it loses the keys.

    What is deleted or replaced is overwritten within the file (SQLite's ``secure_delete``). That
    does not reach SQLite's rollback journal, which is removed after each change, not overwritten;
    nor what a flash disk, a copy-on-write filesystem, a snapshot or a backup kept. What remains
    there is wrapped: it is worth nothing without the key of the KMS, nor after that was destroyed.
    """

    secret_parameters: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self, path: Path | str, *, timeout: float = TIMEOUT, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """Open the file at ``path``, and make it if it is missing, with its folders.

        Args:
            path: the file.
            timeout: seconds of a call for which no deadline is given.
            clock: tells the time.

        Raises:
            KeyServiceUnavailable: others have the file locked.
            KeyServiceFailed: it cannot be opened, or is no store of this version.
        """
        self.path = str(path)
        self._name = f"sqlite://{self.path}"
        self._timeout = timeout
        self._clock = clock
        self._database = Database(
            path, _SCHEMA, version=VERSION, unavailable=self._error, busy_timeout=timeout
        )
        with self._database.transaction() as db:
            db.execute("PRAGMA secure_delete = ON")

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the store of ``sqlite:///PATH[?timeout=SECONDS]``.

        Raises:
            KeyUriInvalid: the URL is not one.
            KeyServiceError: as the constructor says.
        """
        path, text = _parts(url)
        query = Query(_KIND, text)
        timeout = query.seconds("timeout", TIMEOUT)
        query.finish()
        return cls(path, timeout=timeout)

    def get(self, key_id: str, *, deadline: Deadline | None = None) -> bytes | None:
        """Return the blob of ``key_id``, or None; see `KeyStore.get`."""
        with self._transaction(check_key_id(key_id), deadline) as db:
            found = _blob(db, key_id)
        if found is not None and len(found) > BLOB_MAX:
            raise WrappedKeyRefused(key_id, f"it is longer than {BLOB_MAX} bytes")
        return found

    def create(self, key_id: str, blob: bytes, *, deadline: Deadline | None = None) -> bool:
        """Store the first blob of ``key_id``; see `KeyStore.create`."""
        _check_length(check_key_id(key_id), blob)
        with self._transaction(key_id, deadline) as db:
            if _blob(db, key_id) is not None:
                return False
            db.execute("INSERT INTO wrapped_keys VALUES (?, ?)", (key_id, blob))
        return True

    def replace(
        self, key_id: str, old: bytes, new: bytes, *, deadline: Deadline | None = None
    ) -> bool:
        """Store ``new`` in the place of ``old``; see `KeyStore.replace`."""
        _check_length(check_key_id(key_id), new)
        with self._transaction(key_id, deadline) as db:
            if _blob(db, key_id) != old:
                return False
            db.execute("UPDATE wrapped_keys SET blob = ? WHERE id = ?", (new, key_id))
        return True

    def list(self, prefix: str = "", *, deadline: Deadline | None = None) -> Iterator[str]:
        """Yield the key ids that begin with ``prefix``, sorted; see `KeyStore.list`."""
        deadline = self._by(deadline)
        start, after, page = prefix.encode(), None, [b""] * _PAGE
        while len(page) == _PAGE:
            with self._transaction("", deadline) as db:
                page = _ids(db, start, after)
            for after in page:
                if not after.startswith(start):
                    return
                key_id = _key_id(after)
                if key_id is not None:
                    yield key_id

    def delete(self, key_id: str, *, deadline: Deadline | None = None) -> bool:
        """Delete the blob of ``key_id``; see `KeyStore.delete`."""
        with self._transaction(check_key_id(key_id), deadline) as db:
            return db.execute("DELETE FROM wrapped_keys WHERE id = ?", (key_id,)).rowcount > 0

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._database.close()

    def __repr__(self) -> str:
        """Name the file."""
        return f"SqliteStore({self.path!r})"

    @contextmanager
    def _transaction(self, key_id: str, deadline: Deadline | None) -> Generator[sqlite3.Connection]:
        """Yield the file for one transaction, when it is this caller's turn."""
        deadline = self._by(deadline)
        try:
            with ExitStack() as stack:
                yield self._turn(stack, key_id, deadline)
        except (KeyServiceUnavailable, KeyServiceFailed) as error:
            raise attrs.evolve(error, key_id=key_id) from error.__cause__

    def _turn(self, stack: ExitStack, key_id: str, deadline: Deadline) -> sqlite3.Connection:
        check_deadline(deadline, self._name, key_id)
        while True:
            try:
                return stack.enter_context(self._database.transaction(_TURN))
            except KeyServiceUnavailable:
                check_deadline(deadline, self._name, key_id)

    def _by(self, deadline: Deadline | None) -> Deadline:
        return deadline or Deadline.after(self._timeout, clock=self._clock)

    def _error(self, _: str, reason: str) -> CloudcryptError:
        if reason == LOCKED:
            return KeyServiceUnavailable(self._name, "", reason)
        return KeyServiceFailed(self._name, "", "SQLite", reason)


def _blob(db: sqlite3.Connection, key_id: str) -> bytes | None:
    """Return the blob of ``key_id``, or so much of it that it is seen to be too long."""
    row = db.execute(
        "SELECT CAST(substr(blob, 1, ?) AS BLOB) FROM wrapped_keys WHERE id = ?",
        (BLOB_MAX + 1, key_id),
    ).fetchone()
    return None if row is None else bytes(row[0] or b"")  # nothing of no bytes is NULL


def _ids(db: sqlite3.Connection, prefix: bytes, after: bytes | None) -> list[bytes]:
    """Return a page of ids in UTF-8, from ``prefix`` on or from what comes ``after``."""
    mark, start = (">=", prefix) if after is None else (">", after)
    statement = (
        "SELECT CAST(id AS BLOB) FROM wrapped_keys "  # noqa: S608  # no text of others
        f"WHERE id {mark} CAST(? AS TEXT) AND typeof(id) = 'text' AND length(id) <= {KEY_ID_MAX} "
        f"ORDER BY id LIMIT {_PAGE}"
    )
    return [row[0] for row in db.execute(statement, (start,))]


def _key_id(text: bytes) -> str | None:
    """Return the key id that ``text`` is; None if others have written what is none."""
    try:
        return check_key_id(text.decode())
    except (UnicodeDecodeError, InvalidRequest):
        return None


def _check_length(key_id: str, blob: bytes) -> None:
    if len(blob) > BLOB_MAX:
        raise WrappedKeyRefused(key_id, f"it is longer than {BLOB_MAX} bytes")


def _parts(url: str) -> tuple[str, str]:
    """Return path and parameters of a URL."""
    head, _, text = url.partition("?")
    try:
        path = unquote(head.partition("://")[2], errors="strict")
    except UnicodeDecodeError:
        path = ""
    if not path.startswith("/") or path.endswith("/") or not path.isprintable():
        raise KeyUriInvalid(_KIND, "an absolute path of a file")
    return path, text
