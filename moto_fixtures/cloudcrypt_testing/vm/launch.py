"""Start a program that dies with the process which started it; a program of its own.

    python3 launch.py PARENT FOLDER PROGRAM ARGUMENT...

PARENT is the process id of who starts it. The program sees the whole file system of the host,
read-only, below FOLDER; an empty FOLDER leaves everything as it is. Fails where no mounts may be
made, as in many containers.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # include/uapi/linux/prctl.h
_CLONE_NEWNS: Final = 0x20000  # include/uapi/linux/sched.h
_MS_BIND_REC: Final = 0x1000 | 0x4000  # include/uapi/linux/mount.h
_MS_PRIVATE_REC: Final = 0x40000 | 0x4000
_AT_FDCWD: Final = -100  # include/uapi/linux/fcntl.h
_AT_RECURSIVE: Final = 0x8000
_MOUNT_ATTR_RDONLY: Final = 1
_SYS_MOUNT_SETATTR: Final = 442  # the same on all architectures


class _MountAttributes(ctypes.Structure):
    """The argument of mount_setattr(2)."""

    _fields_ = (  # type: ignore[mutable-override]  # as ctypes documents it
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def main(parent: str, folder: str, *command: str) -> None:
    """Become the program."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != int(parent):  # it died before it was asked about
        sys.exit(1)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if folder:
        _show_host(libc, folder.encode())
    os.execv(command[0], command)  # noqa: S606 - a program of the caller's


def _show_host(libc: ctypes.CDLL, folder: bytes) -> None:
    _check(libc.unshare(_CLONE_NEWNS), "unshare")
    _check(libc.mount(None, b"/", None, _MS_PRIVATE_REC, None), "making mounts private")
    _check(libc.mount(b"/", folder, None, _MS_BIND_REC, None), "binding the root")
    attributes = _MountAttributes(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.sizeof(attributes)
    done = libc.syscall(
        _SYS_MOUNT_SETATTR, _AT_FDCWD, folder, _AT_RECURSIVE, ctypes.byref(attributes), size
    )
    _check(done, "making the root read-only")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
