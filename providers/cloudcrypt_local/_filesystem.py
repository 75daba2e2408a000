"""The single steps on files that the provider takes; a test may cut between any two of them."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from cloudcrypt_local._directory import sync_directory

_NO_COPY_FILE_RANGE = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


class FileSystem:
    """The file system of this host.

    Every method is one step: it happens or it does not, and raises OSError if it does not. No
    method follows a symbolic link in place of the file.
    """

    def create(self, path: Path) -> int:
        """Open ``path`` for writing, made with mode 0600 if missing; return the descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o600)

    def open(self, path: Path, *, writable: bool = False) -> int:
        """Open the existing ``path``; return the descriptor."""
        return os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | _SAFELY)

    def truncate(self, fd: int, size: int) -> None:
        """Set the size of ``fd`` to ``size`` bytes; what is new is a hole."""
        os.ftruncate(fd, size)

    def extents(self, fd: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts ``(start, stop)`` of the first ``end`` bytes of ``fd`` that have data."""
        stop = 0
        while stop < end:
            try:
                start = os.lseek(fd, stop, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # no data from here on
                    return
                raise
            stop = os.lseek(fd, start, os.SEEK_HOLE)
            if start < end:
                yield start, min(stop, end)

    def copy(self, source: int, target: int, offset: int, count: int) -> int:
        """Copy at most ``count`` bytes at ``offset``; return how many, 0 at the end of source."""
        try:
            return os.copy_file_range(source, target, count, offset, offset)
        except OSError as error:
            if error.errno not in _NO_COPY_FILE_RANGE:
                raise
        return self.copy_by_hand(source, target, offset, count)

    def copy_by_hand(self, source: int, target: int, offset: int, count: int) -> int:
        """Do as `copy`, where the kernel cannot copy from file to file."""
        return os.pwrite(target, os.pread(source, min(count, _BUFFER), offset), offset)

    def sync(self, fd: int) -> None:
        """Make size and content of ``fd`` durable."""
        os.fsync(fd)

    def unlink(self, path: Path) -> None:
        """Remove ``path``. Idempotent."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

    def sync_directory(self, directory: Path) -> None:
        """Make the names in ``directory`` durable."""
        sync_directory(directory)


_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BUFFER = 1024 * 1024  # bytes read at once
