"""The kernel's table of mounts, as proc(5) describes ``/proc/PID/mountinfo``."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

from cloudcrypt.errors import HostUnready
from cloudcrypt.filesystem.node import Number

_ESCAPE: Final = re.compile(rb"\\([0-3][0-7]{2})")
_BEFORE, _AFTER = 6, 3  # fields on each side of the separator, optional ones not counted
_SEPARATOR: Final = b"-"


@attrs.frozen
class Mount:
    """One mount. Two mounts of one filesystem have the same ``number``, that of its device.

    ``root`` is what of the filesystem is mounted, ``/`` unless it is a bind mount; ``options`` are
    those of the mount and ``super_options`` those of the filesystem, which its mounts share.
    """

    id: int
    parent: int
    number: Number
    root: str
    target: Path
    options: frozenset[str]
    kind: str
    source: str
    super_options: frozenset[str]

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be written through it: by its own option, or the filesystem's."""
        return "ro" in self.options or "ro" in self.super_options


def parse(table: bytes) -> tuple[Mount, ...]:
    """Return the mounts of a table, in its order.

    Raises:
        HostUnready: it is not such a table; that is not "nothing is mounted".
    """
    return tuple(_mount(line) for line in table.split(b"\n") if line)


def top_at(mounts: Iterable[Mount], target: Path) -> Mount | None:
    """Return the mount at ``target`` that hides all others there."""
    here = [mount for mount in mounts if mount.target == target]
    below = {mount.parent for mount in here}
    tops = [mount for mount in here if mount.id not in below]
    return tops[-1] if tops else None


def _mount(line: bytes) -> Mount:
    fields = line.split(b" ")
    try:
        middle = fields.index(_SEPARATOR, _BEFORE)
        before, after = fields[:_BEFORE], fields[middle + 1 :]
        own_id, parent, number, root, target, options = before
        kind, source, super_options = after[:_AFTER]
        major, minor = number.split(b":")
        return Mount(
            int(own_id),
            int(parent),
            (int(major), int(minor)),
            _text(root),
            Path(_text(target)),
            _options(options),
            _text(kind),
            _text(source),
            _options(super_options),
        )
    except ValueError as error:
        what = "a table of mounts that can be understood (/proc/self/mountinfo)"
        raise HostUnready(what, "mount /proc, and report this") from error


def _options(field: bytes) -> frozenset[str]:
    return frozenset(_text(option) for option in field.split(b","))


def _text(field: bytes) -> str:
    """Return a field with its escapes undone: space, tab, newline and backslash are octal."""
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field))
