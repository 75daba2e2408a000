"""A control plane for tests: a provider that fails as told, a journal, and nobody who sleeps."""

import itertools
from typing import Any

from cloudcrypt.journal import Entry, OnBusy, SqliteJournal, State
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import MIB
from cloudcrypt.waiting import Cancellation, Deadline
from tests.unit.clocks import FakeClock
from tests.unit.shaky_provider import ShakyProvider

REQUEST = VolumeRequest("data", 20 * MIB)


class ControlPlane:
    """One host: its journal, and the provider it shares with others."""

    def __init__(self, provider: ShakyProvider | None = None) -> None:
        self.provider = provider or ShakyProvider()
        self.clock: FakeClock = self.provider.clock
        self.journal = SqliteJournal.in_memory()
        self.provisioner = self.process()

    def process(self, *, on_busy: OnBusy = OnBusy.WAIT, attempts: int = 3) -> Provisioner:
        """Return what another process of this host would act with."""
        numbers = itertools.count(1)
        return Provisioner(
            self.provider,
            self.journal,
            clock=self.clock,
            on_busy=on_busy,
            attempts=attempts,
            randomness=lambda length: f"{len(self.entries())}-{next(numbers)}-{length}",
        )

    def deadline(self, seconds: float = 60, cancellation: Cancellation | None = None) -> Deadline:
        return Deadline.after(seconds, clock=self.clock, cancellation=cancellation)

    def entries(self, **facts: Any) -> tuple[Entry, ...]:
        """Return entries, oldest first."""
        return tuple(reversed(self.journal.entries(**facts)))

    def states(self) -> list[State]:
        return [entry.state for entry in self.entries()]

    def volume_id(self, request: VolumeRequest = REQUEST) -> str:
        """Make a volume, forget what that took, and return its id."""
        volume = self.provisioner.ensure_volume(request)
        self.provider.asked.clear()
        return volume.id
