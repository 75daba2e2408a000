"""Functions that come back in every way there is, and small ones that look around in the guest."""

import contextlib
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any


def echo(*arguments: Any, **named: Any) -> list[Any]:
    """Return all arguments."""
    return [list(arguments), named]


def echo_error(message: str) -> None:
    """Raise."""
    raise ValueError(message)


def die() -> None:
    """End this process without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def running(command: str) -> list[int]:
    """Return the process ids of a command, whose arguments all end with a NUL."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            found += [int(path.parent.name)] if path.read_text() == command else []
    return found


def fetch(url: str) -> str:
    """Return what a server says."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - of the test
        text: str = answer.read().decode()
        return text
