"""Changes in folders, such as new nodes in ``/dev``: inotify(7), by the C library."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_ATTRIB, _MOVED_TO, _CREATE = 0x4, 0x80, 0x100  # linux/inotify.h
_WATCHED: Final = _ATTRIB | _MOVED_TO | _CREATE
"""Nodes that come, and nodes whose permissions are set. What is written to a disk is no news."""

_BUFFER: Final = 65536  # bytes: hundreds of events at once; one takes 272 at most


class FolderEvents:
    """What appears in some folders, and changes its owner or mode, from when this was made."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Begin to watch the folders that there are.

        Raises:
            OSError: none can be watched.
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
        troubles = list[OSError]()
        watched = 0
        for folder in folders:
            try:
                self._call("inotify_add_watch", self._fd, os.fsencode(folder), _WATCHED)
                watched += 1
            except OSError as error:
                troubles.append(error)
        if not watched:
            self.close()
            raise OSError(*troubles[0].args) if troubles else OSError("no folder to watch")

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._fd

    def drain(self) -> bool:
        """Take all events that have come, and say whether there were any.

        Raises:
            OSError: it cannot be watched any more.
        """
        told = False
        while True:
            try:
                told = bool(os.read(self._fd, _BUFFER)) or told
            except BlockingIOError:
                return told

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _call(self, name: str, *arguments: object) -> int:
        ctypes.set_errno(0)
        result = int(self._libc[name](*arguments))
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result
