"""One SQLite file in which what was committed stays, for several threads and processes."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cloudcrypt.disk import sync_folder
from cloudcrypt.errors import CloudcryptError

BUSY_TIMEOUT: Final = 5.0
"""Seconds to wait for another process; each transaction takes milliseconds."""

IN_MEMORY: Final = ":memory:"
"""The path of a database that ends with this process."""

LOCKED: Final = "database is locked"
"""The reason, in SQLite's words, when another thread or process had the file for too long."""

_NO_UPGRADES: Final[Mapping[int, Sequence[str]]] = {}


class Database:
    """An open file; every change is one transaction with full synchronous durability."""

    def __init__(
        self,
        path: Path | str,
        schema: Sequence[str],
        *,
        version: int,
        unavailable: Callable[[str, str], CloudcryptError],
        upgrades: Mapping[int, Sequence[str]] = _NO_UPGRADES,
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> None:
        """Open the file at ``path``; made with mode 0600, and its folder with 0700, if missing.

        Args:
            path: the file, or `IN_MEMORY`.
            schema: the statements that make an empty file one of this version.
            version: of the schema.
            unavailable: makes the error that is raised, of the path and a reason.
            upgrades: by version, the statements that lead from it to the next one.
            busy_timeout: seconds to wait for another process.

        Raises:
            CloudcryptError: made by ``unavailable``: it cannot be opened, or has another version.
        """
        self.path = str(path)
        self._unavailable = unavailable
        self._lock = threading.Lock()
        with self._translated():
            if self.path != IN_MEMORY:
                _make_folder(Path(self.path).parent)
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(
                self.path, timeout=busy_timeout, isolation_level=None, check_same_thread=False
            )
            # EXTRA also syncs the folder after a commit: with FULL a power cut can bring back the
            # rollback journal of a transaction that was reported as done.
            self._db.execute("PRAGMA synchronous = EXTRA")
        try:
            with self.transaction() as db:
                self._migrate(db, schema, version, upgrades)
        except CloudcryptError:
            self._db.close()
            raise

    @contextmanager
    def transaction(self, patience: float | None = None) -> Generator[sqlite3.Connection]:
        """Commit what the block did, durably; or undo it if the block raises.

        Args:
            patience: seconds to wait for other threads and for another process; by default any
                time for the former, and for the latter what the constructor was told.

        Raises:
            CloudcryptError: made by ``unavailable``: nothing is known to be stored.
        """
        begin = time.monotonic()
        with self._turn(patience), self._translated():
            if patience is not None:
                rest = max(0.0, begin + patience - time.monotonic())
                self._db.execute(f"PRAGMA busy_timeout = {int(rest * 1000)}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:  # SQLite itself ends it on some errors, not on others
                    self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    @contextmanager
    def _turn(self, patience: float | None) -> Generator[None]:
        if not self._lock.acquire(timeout=-1 if patience is None else patience):
            raise self._unavailable(self.path, LOCKED)
        try:
            yield
        finally:
            self._lock.release()

    def _migrate(
        self,
        db: sqlite3.Connection,
        schema: Sequence[str],
        version: int,
        upgrades: Mapping[int, Sequence[str]],
    ) -> None:
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found == version:
            return
        steps = [schema] if found == 0 else [upgrades.get(at) for at in range(found, version)]
        if not steps or None in steps:  # newer, or too old
            raise self._unavailable(self.path, f"it has schema version {found}")
        for step in steps:
            for statement in step or ():
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(self.path, str(error)) from error


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably, for this user alone. Idempotent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)
