"""Many volumes, created and attached in threads by the control plane."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from cloudcrypt.journal import SqliteJournal
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import GIB
from cloudcrypt.waiting import SYSTEM_CLOCK
from tests.unit.cloud_opening import opened


class CountingClock:
    """The clock of this host, which adds up what was slept on it."""

    def __init__(self) -> None:
        self.slept = 0.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic()

    def now(self) -> datetime:
        return SYSTEM_CLOCK.now()

    def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
        with self._lock:
            self.slept += max(0.0, seconds)
        SYSTEM_CLOCK.sleep(seconds, wake)


def ours(
    facts: Mapping[str, str],
    instances: list[str],
    journal: Path,
    volumes: int,
    concurrency: int,
) -> float:
    """Create and attach so many volumes; return the seconds that the adapter paused, in all."""
    clock = CountingClock()
    provider = opened(facts["cloud"], facts, clock)
    plane = Provisioner(provider, SqliteJournal(journal), clock=clock)

    def one(number: int) -> None:
        request = VolumeRequest(f"data-{number}", 10 * GIB, kind=facts["kind"])
        volume = plane.ensure_volume(request)
        plane.ensure_attached(volume.id, instances[number % len(instances)])

    in_threads(one, volumes, concurrency)
    provider.close()
    return clock.slept


def in_threads(one: Callable[[int], None], volumes: int, concurrency: int) -> None:
    with ThreadPoolExecutor(concurrency) as pool:
        for future in [pool.submit(one, number) for number in range(volumes)]:
            future.result()
