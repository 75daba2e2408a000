"""Processes that die with this one, however it ends."""

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

_LAUNCH: Final = Path(__file__).parent / "launch.py"


def spawn(
    command: Sequence[str | Path], log: Path, *, host: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Start a program that the kernel kills when this process is gone.

    Args:
        command: the program's path and its arguments.
        log: the file that takes its output.
        host: an empty folder, below which the program sees the host's file system, read-only.
    """
    launcher: list[str | Path] = [
        sys.executable,
        "-I",
        "-S",
        _LAUNCH,
        str(os.getpid()),
        str(host or ""),
    ]
    # The kernel watches over the thread that starts a process, so one thread starts them all and
    # lives as long as this process.
    return _starter(os.getpid()).submit(_start, [*launcher, *command], log).result()


def may_mount() -> bool:
    """Say whether a program can be shown the host's file system below a folder, read-only."""
    return _may_mount(os.getpid())


def stop(process: "subprocess.Popen[bytes]", patience: float) -> None:
    """Wait up to ``patience`` seconds for its end, then terminate it, then kill it. Idempotent."""
    for end in (process.terminate, process.kill):
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            end()
    process.wait()


@functools.cache
def _starter(_: int) -> ThreadPoolExecutor:
    """Return the thread of a process, which is not that of the process it was forked from."""
    return ThreadPoolExecutor(1, "vm-starter")


def _start(command: list[str | Path], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - programs of the caller's
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


@functools.cache
def _may_mount(parent: int) -> bool:
    launcher = [sys.executable, "-I", "-S", str(_LAUNCH), str(parent)]
    done = subprocess.run(  # noqa: S603 - as above
        [*launcher, "/mnt", "/bin/true"], check=False, capture_output=True
    )
    return done.returncode == 0
