"""The sparse files that hold the bytes of volumes and snapshots.

Every method can be done again after it was cut at any point, and what it leaves when it returns is
durable. Errors are those of the operating system; the provider translates them.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Generator
from pathlib import Path

import attrs

from cloudcrypt_local._directory import image_path
from cloudcrypt_local._filesystem import FileSystem

_CHUNK = 64 * 1024 * 1024  # bytes that one step copies at most


@attrs.frozen
class Files:
    """The image files in ``directory``."""

    directory: Path
    filesystem: FileSystem

    def path(self, image_id: str) -> Path:
        """Return where the bytes of ``image_id`` are, for all of its life."""
        return image_path(self.directory, image_id)

    def fill(self, image_id: str, size: int, source_id: str | None, length: int) -> None:
        """Make the file of ``image_id``: ``size`` bytes, the first ``length`` copied from a source.

        What is there already is the remainder of an attempt that was cut; it is written anew.
        """
        with self._opened(image_id, create=True) as target:
            self.filesystem.truncate(target, 0)
            if source_id is not None:
                with self._opened(source_id) as source:
                    self._copy(source, target, length)
            self.filesystem.truncate(target, size)
            self.filesystem.sync(target)
        self.filesystem.sync_directory(self.directory)

    def grow(self, image_id: str, size: int) -> None:
        """Grow the file of ``image_id`` to ``size`` bytes; it never shrinks. Idempotent."""
        with self._opened(image_id, writable=True) as fd:
            if os.fstat(fd).st_size < size:
                self.filesystem.truncate(fd, size)
            self.filesystem.sync(fd)

    def remove(self, image_id: str) -> None:
        """Remove the file of ``image_id``. Idempotent."""
        self.filesystem.unlink(self.path(image_id))
        self.filesystem.sync_directory(self.directory)

    def identity(self, image_id: str, size: int) -> tuple[int, int]:
        """Return device number and inode of the file, which has at least ``size`` bytes."""
        with self._opened(image_id) as fd:
            found = os.fstat(fd)
            if found.st_size < size:
                raise self._wrong(image_id, errno.EIO, "the file is smaller than its volume")
            return found.st_dev, found.st_ino

    def _copy(self, source: int, target: int, length: int) -> None:
        before = os.fstat(source)
        for start, stop in self.filesystem.extents(source, length):
            position = start
            while position < stop:
                count = min(_CHUNK, stop - position)
                copied = self.filesystem.copy(source, target, position, count)
                if copied == 0:
                    raise OSError(errno.EIO, "the source ends early")
                position += copied
        after = os.fstat(source)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise OSError(errno.EBUSY, "the source was written to while it was copied")

    @contextlib.contextmanager
    def _opened(
        self, image_id: str, *, create: bool = False, writable: bool = False
    ) -> Generator[int]:
        path = self.path(image_id)
        filesystem = self.filesystem
        fd = filesystem.create(path) if create else filesystem.open(path, writable=writable)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise self._wrong(image_id, errno.EINVAL, "not a regular file")
            yield fd
        finally:
            os.close(fd)

    def _wrong(self, image_id: str, code: int, reason: str) -> OSError:
        return OSError(code, reason, str(self.path(image_id)))
