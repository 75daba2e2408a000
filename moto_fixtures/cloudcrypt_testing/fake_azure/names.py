"""Names and ids of resources, which mean the same in any mixture of upper and lower case."""

import re
import uuid
from collections.abc import Callable
from typing import Final

import attrs

PROVIDER: Final = "Microsoft.Compute"
ZONES: Final = ("1", "2", "3")
"""The availability zones of every location."""

_ID: Final = re.compile(
    r"/?subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<provider>[^/]+)/(?P<kind>[^/]+)/(?P<name>[^/]+)",
    re.IGNORECASE,
)
_NAMES: Final = {
    "disks": re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}"),
    "snapshots": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?"),
}
"""As in "Naming rules and restrictions for Azure resources"."""


@attrs.frozen
class Site:
    """Where everything is."""

    subscription: str
    group: str
    location: str

    def path(self, group: str, kind: str, name: str) -> str:
        """Return the id of a resource of Microsoft.Compute."""
        return f"{self.scope(group)}/{kind}/{name}"

    def scope(self, group: str) -> str:
        """Return what the ids of all resources of a group begin with."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{group}/providers/{PROVIDER}"


@attrs.frozen
class ResourceId:
    """An id, as somebody wrote it."""

    subscription: str
    group: str
    kind: str
    """``disks`` or the like, in lower case."""
    name: str

    @classmethod
    def parsed(cls, text: str) -> "ResourceId | None":
        """Return what ``text`` is the id of, or None if it is none of Microsoft.Compute."""
        match = _ID.fullmatch(text)
        if match is None or match["provider"].lower() != PROVIDER.lower():
            return None
        kind = match["kind"].lower()
        return cls(match["subscription"].lower(), match["group"], kind, match["name"])


def new_guid() -> str:
    """Return a GUID that nothing else has."""
    return str(uuid.uuid4())


def is_name(kind: str, name: str) -> bool:
    """Say whether a resource of ``disks`` or ``snapshots`` can have a name."""
    return _NAMES[kind].fullmatch(name) is not None


def same(one: str, other: str) -> bool:
    """Say whether two names mean the same."""
    return one.lower() == other.lower()


def location(text: str) -> str:
    """Return a location as Azure writes it: ``West Europe`` is ``westeurope``."""
    return text.replace(" ", "").lower()


def as_is(group: str) -> str:
    """Return a resource group in its own spelling."""
    return group


Spelling = Callable[[str], str]
"""How a resource group is written in an answer."""
