"""The disks or snapshots of a resource group, by Azure's name and by ``uniqueId``.

Azure's API goes by names. So every look remembers what has which name, and whatever is asked for by
its ``uniqueId`` is asked for by name and then compared. Where that fails, the group is listed: a
look that is older than the last change must not pass for the truth that something is gone.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final, Generic, Protocol, TypeVar

import attrs

from cloudcrypt.errors import NotFound
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._answers import date_of
from cloudcrypt_azure._calls import Call
from cloudcrypt_azure._client import Api, Lists
from cloudcrypt_azure._records import Shown
from cloudcrypt_azure._waits import FIRST

_REMEMBERED: Final = 100_000
"""Names; a resource group has at most 800 resources of most types, disks are unlimited."""


class Record(Protocol):
    """What disks and snapshots have in common."""

    @property
    def name(self) -> str:
        """Azure's name."""
        ...

    @property
    def unique(self) -> str:
        """The ``uniqueId``."""
        ...

    @property
    def created(self) -> datetime:
        """When it was created."""
        ...


R = TypeVar("R", bound=Record)


@attrs.frozen
class Kind(Generic[R]):
    """How disks, or snapshots, are looked at."""

    name: str
    action: str
    things: str
    get: Callable[[str, Mapping[str, str]], Call]
    lists: Lists
    read: Callable[[Shown], R]


@attrs.frozen
class _Known:
    name: str
    created: datetime


class Shelf(Generic[R]):
    """What there is of one kind. Thread-safe."""

    def __init__(self, api: Api, kind: Kind[R]) -> None:
        """Look with ``api``."""
        self._api = api
        self._kind = kind
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._dead: set[str] = set()

    def named(self, azure_name: str, deadline: Deadline) -> R | None:
        """Return what Azure calls so, or None if there is no such thing.

        Raises:
            NotFound: there is no such resource group or subscription: that says nothing of it.
        """
        return self.look(azure_name, deadline)[0]

    def look(self, azure_name: str, deadline: Deadline) -> tuple[R | None, float | None]:
        """Return the same as `named`; and if there is no such thing, when, by Azure's clock.

        That is in seconds since 1970; None if Azure does not say it.
        """
        call = self._kind.get(azure_name, {self._kind.name: azure_name})
        try:
            reply = self._api.again(call, deadline)
        except NotFound as error:
            if error.kind != self._kind.name:
                raise
            return None, date_of(error)
        return self._seen(self._kind.read(reply.body)), None

    def unique(self, unique: str, deadline: Deadline) -> R | None:
        """Return what has this ``uniqueId``, or None if two looks agree that nothing has."""
        with self._lock:
            known = self._known.get(unique)
        if self.is_dead(unique):
            return None
        if known is not None:
            record = self.named(known.name, deadline)
            if record is not None and record.unique == unique:
                return record
            if record is not None and record.created > known.created:
                self._bury(unique)  # the name was free since: this one is gone for ever
                return None
            return self._listed(unique, deadline)
        record = self._listed(unique, deadline)
        if record is None:
            deadline.sleep(FIRST)
            record = self._listed(unique, deadline)
        return record

    def is_dead(self, unique: str) -> bool:
        """Say whether what has this ``uniqueId`` is gone for ever, as a look has shown."""
        with self._lock:
            return unique in self._dead

    def all(self, deadline: Deadline) -> Iterator[R]:
        """Yield everything in the resource group, whoever owns it, in Azure's order."""
        pages = self._api.pages(self._kind.action, self._kind.things, self._kind.lists, deadline)
        for shown in pages:
            yield self._seen(self._kind.read(shown))

    def _listed(self, unique: str, deadline: Deadline) -> R | None:
        return next((one for one in self.all(deadline) if one.unique == unique), None)

    def _seen(self, record: R) -> R:
        if not record.unique:  # not shown yet
            return record
        with self._lock:
            while len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[record.unique] = _Known(record.name, record.created)
        return record

    def _bury(self, unique: str) -> None:
        with self._lock:
            while len(self._dead) >= _REMEMBERED:
                self._dead.pop()
            self._dead.add(unique)
