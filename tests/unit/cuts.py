"""A process that dies at a chosen step: around a call to the provider or a write to the journal."""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TypeVar

from cloudcrypt.journal import Entry, Journal, OnBusy, State
from cloudcrypt.journal.entry import ALL_STATES
from cloudcrypt.model import Snapshot, Volume
from cloudcrypt.spi import Capabilities, Handle, Intent, VolumeProvider
from cloudcrypt.waiting import Deadline

T = TypeVar("T")


class Killed(BaseException):
    """The process has died."""


class Life:
    """Counts steps, and ends at one of them; after that nothing is done any more."""

    def __init__(self, end: int | None = None) -> None:
        self.steps = 0
        self._end = end

    def step(self) -> None:
        if self._end is not None and self.steps >= self._end:
            raise Killed
        self.steps += 1


class MortalProvider:
    """A provider as seen by a process that may die."""

    def __init__(self, provider: VolumeProvider, life: Life) -> None:
        self._provider = provider
        self._life = life

    @property
    def url(self) -> str:
        return self._provider.url

    @property
    def namespace(self) -> str:
        return self._provider.namespace

    @property
    def capabilities(self) -> Capabilities:
        return self._provider.capabilities

    def instance_name(self, instance: str) -> str:
        return self._provider.instance_name(instance)

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        self._life.step()
        handle = self._provider.begin(intent, deadline=deadline)
        self._life.step()
        return handle

    def find(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T] | None:
        self._life.step()
        handle = self._provider.find(intent, deadline=deadline)
        self._life.step()
        return handle

    def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
        self._life.step()
        outcome = self._provider.resume(handle, deadline=deadline)
        self._life.step()
        return outcome

    def get(self, volume_id: str) -> Volume:
        self._life.step()
        volume = self._provider.get(volume_id)
        self._life.step()
        return volume

    def list(self, *, name: str | None = None) -> Iterator[Volume]:
        self._life.step()
        yield from tuple(self._provider.list(name=name))
        self._life.step()

    def snapshots(self, *, name: str | None = None) -> Iterator[Snapshot]:
        self._life.step()
        yield from tuple(self._provider.snapshots(name=name))
        self._life.step()

    def close(self) -> None:
        self._provider.close()


class MortalJournal:
    """A journal as seen by a process that may die."""

    def __init__(self, journal: Journal, life: Life) -> None:
        self._journal = journal
        self._life = life

    @property
    def id(self) -> str:
        return self._journal.id

    def get(self, operation_id: str) -> Entry | None:
        return self._journal.get(operation_id)

    def add(self, entry: Entry) -> Entry:
        self._life.step()
        added = self._journal.add(entry)
        self._life.step()
        return added

    def replace(self, old: Entry, new: Entry) -> Entry:
        self._life.step()
        replaced = self._journal.replace(old, new)
        self._life.step()
        return replaced

    def entries(
        self,
        *,
        namespace: str | None = None,
        subject: str | None = None,
        operation: str | None = None,
        outcome: str | None = None,
        states: Collection[State] = ALL_STATES,
        limit: int | None = None,
    ) -> tuple[Entry, ...]:
        return self._journal.entries(
            namespace=namespace,
            subject=subject,
            operation=operation,
            outcome=outcome,
            states=states,
            limit=limit,
        )

    def prune(self, before: datetime) -> int:
        return self._journal.prune(before)

    def hold(
        self,
        namespace: str,
        subject: str,
        *,
        deadline: Deadline,
        on_busy: OnBusy = OnBusy.WAIT,
    ) -> AbstractContextManager[None]:
        return self._journal.hold(namespace, subject, deadline=deadline, on_busy=on_busy)
