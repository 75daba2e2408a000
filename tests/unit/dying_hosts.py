"""A host whose processes die around their requests; its journal goes on."""

from collections.abc import Callable
from typing import Any

import pytest

from cloudcrypt.journal import Entry, SqliteJournal, State
from cloudcrypt.model import Volume
from cloudcrypt.provisioning import Provisioner
from cloudcrypt.spi import Handle, Intent, VolumeProvider


class Dead(BaseException):
    """The process has died."""


class Mortal:
    """A provider as a process sees it that dies around the request for a change."""

    def __init__(self, provider: VolumeProvider, *, is_early: bool = False) -> None:
        self._provider = provider
        self._is_early = is_early

    def __getattr__(self, name: str) -> Any:  # of the provider itself
        return getattr(self._provider, name)

    def begin(self, intent: Intent[Any], **options: Any) -> Handle[Any]:
        if not self._is_early:
            self._provider.begin(intent, **options)
        raise Dead


class Host:
    """A host that asks for volumes: its journal, and processes that come and go."""

    def __init__(self, fake: Any, opened: Callable[..., VolumeProvider]) -> None:
        self.fake = fake
        self.journal = SqliteJournal.in_memory()
        self._opened = opened

    def process(self, provider: VolumeProvider | None = None, **options: Any) -> Provisioner:
        found = self._opened(self.fake, **options) if provider is None else provider
        return Provisioner(found, self.journal, clock=self.fake.clock)

    def dies(self, verb: Callable[[Provisioner], object], *, is_early: bool = False) -> None:
        """Let a process die before its request, or after the cloud has accepted that."""
        provider: Any = Mortal(self._opened(self.fake), is_early=is_early)
        with pytest.raises(Dead):
            verb(self.process(provider))

    def entries(self) -> list[Entry]:
        return list(reversed(self.journal.entries()))

    def states(self) -> list[State]:
        return [entry.state for entry in self.entries()]

    def holders(self, volume: Volume) -> tuple[str, ...]:
        """Return who holds a volume when all that was accepted has come to its end."""
        self.fake.faults.clear()
        self.fake.clock.advance(60)
        return self._opened(self.fake).get(volume.id).holders
