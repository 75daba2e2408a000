"""Names: what disks and snapshots are called on Azure, decided by the caller's name alone.

A name of Azure is all that its API knows a disk by, so it has to be the same whenever it is asked
for, and never that of another volume: no random part, and nothing cut off without a digest.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator
from typing import Final

_PLAIN: Final = re.compile(r"[a-z0-9]([a-z0-9_-]{0,58}[a-z0-9_])?", re.ASCII)
"""Taken as it is. Azure allows 80 characters, and upper case, which it does not tell from lower
case (naming rules of Microsoft.Compute/disks); a snapshot's name does not end with a hyphen."""
_DERIVED: Final = re.compile(r"[a-z0-9_-]+-[0-9a-f]{16}", re.ASCII)
_OTHER: Final = re.compile(r"[^a-z0-9_-]+", re.ASCII)
_SLUG_MAX: Final = 60


def azure_names(name: str) -> Iterator[str]:
    """Yield what Azure may call the volume or snapshot ``name``, without end.

    The first is the name itself, or a name derived from it. The others are for when what has the
    one before could not be created and is left as it is. All are of at most 77 characters.
    """
    is_plain = _PLAIN.fullmatch(name) is not None and _DERIVED.fullmatch(name) is None
    yield name if is_plain else _derived(name, name)
    for attempt in itertools.count(2):
        yield _derived(name, f"{name}\0{attempt}")


def azure_name(name: str) -> str:
    """Return the first of `azure_names`."""
    return next(azure_names(name))


def slug(text: str, most: int = _SLUG_MAX) -> str:
    """Return ``text`` with lower-case letters, digits, ``_`` and ``-`` only, for people to read."""
    plain = _OTHER.sub("-", text.lower()).strip("-_")
    return plain[:most].strip("-_") or "volume"


def digest(text: str) -> str:
    """Return 16 hex digits that tell ``text`` from any other."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _derived(name: str, facts: str) -> str:
    return f"{slug(name)}-{digest(facts)}"
