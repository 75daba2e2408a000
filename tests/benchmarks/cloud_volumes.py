"""Many volumes, created and attached in threads by the control plane."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cloudcrypt.journal import SqliteJournal
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import GIB
from tests.unit.clouds import CLOUDS, opened


def ours(
    cloud: str,
    facts: Mapping[str, str],
    instances: list[str],
    journal: Path,
    volumes: int,
    concurrency: int,
) -> None:
    provider = opened(cloud, facts)
    plane = Provisioner(provider, SqliteJournal(journal))
    kind = CLOUDS[cloud].kind

    def one(number: int) -> None:
        volume = plane.ensure_volume(VolumeRequest(f"data-{number}", 10 * GIB, kind=kind))
        plane.ensure_attached(volume.id, instances[number % len(instances)])

    in_threads(one, volumes, concurrency)
    provider.close()


def in_threads(one: Callable[[int], None], volumes: int, concurrency: int) -> None:
    with ThreadPoolExecutor(concurrency) as pool:
        for future in [pool.submit(one, number) for number in range(volumes)]:
            future.result()
