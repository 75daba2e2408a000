"""Block devices of a guest that are made from files: loop devices."""

import fcntl
import os
import subprocess
from pathlib import Path
from typing import Self

# include/uapi/linux/loop.h
_SET_FD, _CLR_FD, _SET_CAPACITY, _GET_FREE = 0x4C00, 0x4C01, 0x4C07, 0x4C82
_CONTROL = Path("/dev/loop-control")
_TRIES = 100


class Loop:
    """A loop device over a sparse file; use it as a context manager."""

    def __init__(self, file: Path, size: int | None = None) -> None:
        """Attach ``file``, made or grown to ``size`` bytes first."""
        self.file = file
        if size is not None:
            with file.open("ab") as content:
                content.truncate(size)
        if not _CONTROL.exists():
            subprocess.run(["modprobe", "loop"], check=True)
        for _ in range(_TRIES):  # another process may take the free one first
            control = os.open(_CONTROL, os.O_RDWR)
            try:
                self.path = Path(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}")
            finally:
                os.close(control)
            try:
                self._attach()
            except OSError:
                continue
            return
        raise RuntimeError("no free loop device")

    def _attach(self) -> None:
        backing = os.open(self.file, os.O_RDWR)
        device = os.open(self.path, os.O_RDWR)
        try:
            fcntl.ioctl(device, _SET_FD, backing)
        finally:
            os.close(device)
            os.close(backing)

    def grow(self, size: int) -> None:
        """Let the device have ``size`` bytes, as a cloud does: while it is in use."""
        os.truncate(self.file, size)
        device = os.open(self.path, os.O_RDWR)
        try:
            fcntl.ioctl(device, _SET_CAPACITY)
        finally:
            os.close(device)

    def close(self) -> None:
        """Detach the file."""
        device = os.open(self.path, os.O_RDWR)
        try:
            fcntl.ioctl(device, _CLR_FD)
        finally:
            os.close(device)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
