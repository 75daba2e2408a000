"""The sparse files that hold the bytes of volumes and snapshots of a fake cloud."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CHUNK: Final = 1024 * 1024  # bytes that one step copies at most


class Backing:
    """One file for each volume and snapshot, named after it."""

    def __init__(self, folder: Path) -> None:
        """Keep the files in ``folder``, which is made if it is missing."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Return where the bytes of ``name`` are, or would be."""
        return self._folder / name

    def create(self, name: str, size: int) -> None:
        """Make a file of ``size`` bytes, all of them holes."""
        with self.path(name).open("xb") as file:
            file.truncate(size)

    def copy(self, source: str, name: str, size: int) -> None:
        """Make a file of ``size`` bytes that begins as ``source`` is now; holes stay holes."""
        with self.path(source).open("rb") as old, self.path(name).open("xb") as new:
            new.truncate(max(size, os.fstat(old.fileno()).st_size))
            for start, stop in _extents(old.fileno()):
                _copy(old.fileno(), new.fileno(), start, stop)

    def grow(self, name: str, size: int) -> None:
        """Grow a file in place to ``size`` bytes; it never shrinks. Idempotent."""
        with self.path(name).open("r+b") as file:
            if os.fstat(file.fileno()).st_size < size:
                file.truncate(size)

    def remove(self, name: str) -> None:
        """Remove a file; who has it open keeps it. Idempotent."""
        self.path(name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all files."""
        shutil.rmtree(self._folder)
        self._folder.mkdir(parents=True)


def _extents(fd: int) -> Iterator[tuple[int, int]]:
    stop = 0
    while True:
        try:
            start = os.lseek(fd, stop, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only holes are left
                return
            raise
        stop = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, stop


def _copy(source: int, target: int, start: int, stop: int) -> None:
    while start < stop:
        chunk = os.pread(source, min(_CHUNK, stop - start), start)
        if not chunk:
            raise OSError(errno.EIO, "the source shrank while it was copied")
        os.pwrite(target, chunk, start)
        start += len(chunk)
