"""Temporary folders that are removed even if their process dies: at the latest by the next one."""

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "cloudcrypt-vm-"
_LOCK: Final = "lock"


class TemporaryFolder:
    """A new folder, in use while this object is not closed; what dead processes left is removed."""

    def __init__(self) -> None:
        """Make it."""
        _sweep()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = (self.path / _LOCK).open("xb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove it. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _sweep() -> None:
    """Remove the folders that nobody locks any more; one that is being made has no lock yet."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            with (folder / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it is in use, or has gone
            continue
