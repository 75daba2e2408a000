"""The directory of a store: who may use it as one, and the files that every store has."""

import os
from collections.abc import Collection
from pathlib import Path

from cloudcrypt.errors import InvalidRequest

STORE = "store.sqlite"
LOCK = "lock"
_OF_AN_EMPTY_STORE = frozenset({STORE, f"{STORE}-journal", LOCK, "lost+found"})


def image_path(directory: Path, image_id: str) -> Path:
    """Return where the bytes of the volume or snapshot ``image_id`` are, for all of its life."""
    return directory / f"{image_id.rpartition('/')[2]}.img"


def prepare(directory: Path) -> None:
    """Make sure that ``directory`` is a store, or an empty directory that can become one.

    Creates the directory (mode 0700) and the files of an empty store (0600). Idempotent; a
    directory that belongs to something else is not touched.

    Raises:
        InvalidRequest: the path is something else than a directory, or holds foreign files.
        OSError: the file system refused.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = [path.name for path in directory.iterdir()]
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidRequest("directory", str(directory), "it is not a directory") from error
    if STORE not in names:
        refuse_foreign(directory, names)
        directory.chmod(0o700)
    for name in (STORE, LOCK):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(directory / name, flags, 0o600))
    for path in (directory, directory.parent):
        sync_directory(path)


def refuse_foreign(directory: Path, names: Collection[str]) -> None:
    """Check that ``names`` are those of an empty store.

    Raises:
        InvalidRequest: there are others, so the directory belongs to something else.
    """
    if not _OF_AN_EMPTY_STORE.issuperset(names):
        rule = "a new store needs an empty directory; this one holds other files and is no store"
        raise InvalidRequest("directory", str(directory), rule)


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
