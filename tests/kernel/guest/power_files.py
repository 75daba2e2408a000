"""Files with a promise: what a power cut at this moment must leave of each of them."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

ABSENT = 0
"""The version of a file that is not there."""

Promises = Mapping[str, list[int]]
"""Which versions of a file may be found; of files that are not named nothing is promised."""

_UNIT = 5_003  # bytes that a file grows by with each version: no multiple of a sector


def content(name: str, version: int) -> bytes:
    """Return the content of a version of a file; no two have the same."""
    factor = 40 if name.startswith("large") else 1
    length = factor * _UNIT * (1 if name.startswith("inplace") else version)
    return hashlib.shake_256(f"{name} {version}".encode("ascii")).digest(length)


def broken(folder: Path, promises: Promises) -> list[str]:
    """Return which promises a folder does not keep."""
    return [
        f"{name}: not one of versions {versions}"
        for name, versions in promises.items()
        if not any(_is(folder / name, version) for version in versions)
    ]


def _is(path: Path, version: int) -> bool:
    if version == ABSENT:
        return not path.exists()
    return path.exists() and path.read_bytes() == content(path.name, version)


class Files:
    """The files of one mounted filesystem; ``note`` is called when a promise has changed."""

    def __init__(
        self, folder: Path, promises: dict[str, list[int]], note: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self.promises = promises
        self._note = note
        self._cached: dict[str, int] = {}

    def create(self, name: str, version: int = 1) -> None:
        """Make a file that was not there, durably."""
        self._write(name, version, is_durable=True)
        self._sync_folder()
        self._promise(name, version, what="created")

    def cache(self, name: str, version: int = 1) -> None:
        """Write a file anew, and leave it to the kernel when it becomes durable."""
        if self.promises.pop(name, None) is not None:
            self._note(f"writing {name} anew")
        self._write(name, version, is_durable=False)
        self._cached[name] = version

    def sync(self) -> None:
        """Make durable what was cached."""
        os.sync()
        self.promises.update({name: [version] for name, version in self._cached.items()})
        self._cached.clear()
        self._note("files synced")

    def replace(self, name: str, version: int) -> None:
        """Put a new version in the place of an old one by renaming: it is one or the other."""
        self._promise(name, *self.promises[name], version, what="replacing")
        temporary = f"{name}.new"
        (self.folder / temporary).write_bytes(content(name, version))
        self._sync(self.folder / temporary)
        (self.folder / temporary).rename(self.folder / name)
        self._sync_folder()
        self._promise(name, version, what="replaced")

    def overwrite(self, name: str, version: int) -> None:
        """Write over a file in its place: until that is durable it may be of both."""
        del self.promises[name]
        self._note(f"overwriting {name}")
        with (self.folder / name).open("r+b") as file:
            file.write(content(name, version))
            file.flush()
            os.fdatasync(file.fileno())
        self._promise(name, version, what="overwritten")

    def remove(self, name: str) -> None:
        """Remove a file, durably."""
        self._promise(name, *self.promises[name], ABSENT, what="removing")
        (self.folder / name).unlink()
        self._sync_folder()
        self._promise(name, ABSENT, what="removed")

    def _promise(self, name: str, *versions: int, what: str) -> None:
        self.promises[name] = list(versions)
        self._note(f"{what} {name}")

    def _write(self, name: str, version: int, *, is_durable: bool) -> None:
        (self.folder / name).write_bytes(content(name, version))
        if is_durable:
            self._sync(self.folder / name)

    def _sync_folder(self) -> None:
        self._sync(self.folder)

    @staticmethod
    def _sync(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
