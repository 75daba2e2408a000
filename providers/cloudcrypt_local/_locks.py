"""One worker for each image at a time, among all processes and threads of this host.

The lock of an image is one byte of the lock file, locked by open file description: threads exclude
each other as processes do, and a process that dies gives up its locks.
"""

import contextlib
import fcntl
import os
import struct
from collections.abc import Generator
from pathlib import Path

import attrs

from cloudcrypt.errors import OperationPending
from cloudcrypt.waiting import Deadline

_PAUSE = 0.02  # seconds between two tries
_OFFSET_DIGITS = 15  # hex digits of an id that fit into a file offset


@attrs.frozen
class Locks:
    """The locks in the file at ``path``."""

    path: Path

    @contextlib.contextmanager
    def hold(self, image_id: str, *, deadline: Deadline) -> Generator[None]:
        """Hold the lock of ``image_id`` within the block; wait for it until ``deadline``.

        Raises:
            OperationPending: another process or thread is still at work on the image.
            OperationCancelled: the caller cancelled.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while not _acquired(fd, image_id):
                if deadline.has_passed:
                    raise OperationPending("work", image_id, "another one is at it")
                deadline.sleep(_PAUSE)
            yield
            # Said aloud, since a child forked meanwhile has the descriptor too.
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, image_id))
        finally:
            os.close(fd)


def _acquired(fd: int, image_id: str) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, image_id))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _flock(kind: int, image_id: str) -> bytes:
    """Return the ``struct flock`` of fcntl(2) for the byte of ``image_id``."""
    offset = int(image_id.rpartition("-")[2][:_OFFSET_DIGITS], 16)
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, offset, 1, 0)
