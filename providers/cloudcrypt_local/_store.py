"""The metadata of a store, in SQLite: durable, and shared by processes and threads.

Every transaction has its own connection, so that nothing is shared by threads or carried over a
fork. The journal is a rollback journal, deleted at each commit with ``synchronous=EXTRA``: what
``FULL`` gives, and the deletion is durable too.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from cloudcrypt.errors import HostUnready, InvalidRequest
from cloudcrypt.model import origin_from_dict, origin_to_dict
from cloudcrypt_local._directory import STORE, refuse_foreign
from cloudcrypt_local._images import Image, Kind, State

SCHEMA_VERSION = 2
_APPLICATION = 0x63637631  # "ccv1": marks the SQLite file as a store
_SCHEMA = (
    "CREATE TABLE store (id TEXT NOT NULL)",
    """
    CREATE TABLE operations (
        reference TEXT PRIMARY KEY,
        token TEXT NOT NULL UNIQUE,
        intent TEXT NOT NULL,
        subject TEXT NOT NULL
    )
    """,
    "CREATE INDEX operations_by_subject ON operations (subject)",
    """
    CREATE TABLE images (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        size INTEGER NOT NULL,
        created TEXT NOT NULL,
        state TEXT NOT NULL,
        source TEXT,
        generation INTEGER,
        origin TEXT NOT NULL,
        labels TEXT NOT NULL,
        holder TEXT,
        grow_to INTEGER,
        maker TEXT,
        UNIQUE (kind, name)
    )
    """,
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_COLUMNS = tuple(field.name for field in attrs.fields(Image))


@attrs.frozen
class Operation:
    """An intent that was accepted: its token, its form, and the image it is about."""

    reference: str
    token: str
    intent: str
    subject: str


@attrs.frozen
class Rows:
    """The rows of the store, within one transaction."""

    connection: sqlite3.Connection

    def operation(self, token: str) -> Operation | None:
        """Return the operation with this token, or None."""
        query = "SELECT reference, token, intent, subject FROM operations WHERE token = ?"
        row = self.connection.execute(query, (token,)).fetchone()
        return None if row is None else Operation(*row)

    def add_operation(self, operation: Operation) -> None:
        """Record an operation for ever."""
        self.connection.execute(
            "INSERT INTO operations (reference, token, intent, subject) VALUES (?, ?, ?, ?)",
            attrs.astuple(operation),
        )

    def is_used(self, identifier: str) -> bool:
        """Say whether ``identifier`` was ever given to an image or an operation."""
        query = "SELECT 1 FROM operations WHERE subject = ?1 OR reference = ?1"
        return self.connection.execute(query, (identifier,)).fetchone() is not None

    def image(self, image_id: str) -> Image | None:
        """Return the image with this id, or None."""
        return next(self.images("id = ?", image_id), None)

    def image_named(self, kind: Kind, name: str) -> Image | None:
        """Return the image of this kind and name, or None."""
        return next(self.images("kind = ? AND name = ?", kind.value, name), None)

    def images(self, condition: str, *values: str) -> Iterator[Image]:
        """Yield the images for which the SQL ``condition`` holds, oldest first."""
        query = f"SELECT {', '.join(_COLUMNS)} FROM images WHERE {condition} ORDER BY number"  # noqa: S608 - no input
        return map(_image, self.connection.execute(query, values))

    def add_image(self, image: Image) -> None:
        """Record a new image."""
        marks = ", ".join(f":{name}" for name in _COLUMNS)
        query = f"INSERT INTO images ({', '.join(_COLUMNS)}) VALUES ({marks})"  # noqa: S608 - no input
        self.connection.execute(query, _record(image))

    def replace_image(self, image: Image) -> None:
        """Record what has become of the image."""
        changes = ", ".join(f"{name} = :{name}" for name in _COLUMNS)
        self.connection.execute(f"UPDATE images SET {changes} WHERE id = :id", _record(image))  # noqa: S608 - no input

    def forget_image(self, image_id: str) -> None:
        """Forget the image; its id stays used."""
        self.connection.execute("DELETE FROM images WHERE id = ?", (image_id,))


class Store:
    """The store in a prepared directory. Safe to use from several threads and processes.

    Errors are those of SQLite; the provider translates them.
    """

    def __init__(
        self, directory: Path, *, busy_timeout: float, randomness: Callable[[int], bytes]
    ) -> None:
        """Open the store, and initialise it if it is empty.

        Args:
            directory: what `cloudcrypt_local._directory.prepare` has prepared.
            busy_timeout: how long to wait for the transactions of others, in seconds.
            randomness: returns that many random bytes.

        Raises:
            InvalidRequest: the directory or the SQLite file belongs to something else.
            HostUnready: the store was written by another release, which this one cannot read.
        """
        self._directory = directory
        self._busy_timeout = busy_timeout
        with self.transaction() as rows:
            self.id = self._admit(rows.connection, randomness)

    @contextlib.contextmanager
    def transaction(self, *, write: bool = True) -> Generator[Rows]:
        """Give the rows within one transaction, committed when the block ends without an error."""
        database = f"{(self._directory / STORE).as_uri()}?mode=rw"
        connection = sqlite3.connect(
            database, uri=True, timeout=self._busy_timeout, isolation_level=None
        )
        with contextlib.closing(connection):
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield Rows(connection)
            connection.execute("COMMIT")

    def _admit(self, connection: sqlite3.Connection, randomness: Callable[[int], bytes]) -> str:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, version, tables) == (0, 0, 0):
            self._initialise(connection, randomness)
        elif application != _APPLICATION:
            rule = f"{STORE} in it belongs to another program"
            raise InvalidRequest("directory", str(self._directory), rule)
        elif version != SCHEMA_VERSION:
            raise HostUnready(
                f"a release that reads schema version {version} of the store {self._directory}",
                f"use the release that wrote the store; this one reads version {SCHEMA_VERSION}",
            )
        store_id: str = connection.execute("SELECT id FROM store").fetchone()[0]
        return store_id

    def _initialise(
        self, connection: sqlite3.Connection, randomness: Callable[[int], bytes]
    ) -> None:
        refuse_foreign(self._directory, [path.name for path in self._directory.iterdir()])
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO store (id) VALUES (?)", (randomness(6).hex(),))


def _record(image: Image) -> dict[str, Any]:
    return {
        **{name: getattr(image, name) for name in _COLUMNS},
        "kind": image.kind.value,
        "created": image.created.isoformat(),
        "state": image.state.value,
        "origin": json.dumps(origin_to_dict(image.origin)),
        "labels": json.dumps(dict(image.labels)),
    }


def _image(row: tuple[Any, ...]) -> Image:
    record = dict(zip(_COLUMNS, row, strict=True))
    record["kind"] = Kind(record["kind"])
    record["created"] = datetime.fromisoformat(record["created"])
    record["state"] = State(record["state"])
    record["origin"] = origin_from_dict(json.loads(record["origin"]))
    record["labels"] = json.loads(record["labels"])
    return Image(**record)
