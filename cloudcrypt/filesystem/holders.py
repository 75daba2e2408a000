"""Which processes keep a filesystem busy, as far as ``/proc`` tells without waiting."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
MOST: Final = 10
"""Holders that are named."""

_LINKS: Final = ("cwd", "root", "exe")


def holders_of(target: Path, proc: Path = PROC) -> tuple[str, ...]:
    """Return the processes that have something below ``target`` open, as number and name.

    Only links are read, never what they lead to, which may hang. What is only mapped into memory is
    not seen, nor are processes of others for an unprivileged caller.
    """
    found = list[str]()
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        if any(_is_below(link, target) for link in _links(process)):
            found.append(_named(process))
            if len(found) == MOST:
                break
    return tuple(found)


def _links(process: Path) -> Iterator[Path]:
    yield from (process / name for name in _LINKS)
    try:
        yield from (process / "fd").iterdir()
    except OSError:  # it has ended, or is somebody else's
        return


def _is_below(link: Path, target: Path) -> bool:
    try:
        return link.readlink().is_relative_to(target)
    except OSError:
        return False


def _named(process: Path) -> str:
    try:
        name = (process / "comm").read_bytes().decode("ascii", "replace").strip()
    except OSError:
        name = "?"
    return f"{process.name} ({ascii(name)[1:-1]})"
