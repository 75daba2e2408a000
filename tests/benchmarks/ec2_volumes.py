"""Many volumes, created and attached in threads by the control plane."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

from cloudcrypt.journal import SqliteJournal
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import GIB
from cloudcrypt_aws import AwsProvider

REGION, ZONE = "eu-central-1", "eu-central-1a"


def session() -> boto3.Session:
    return boto3.Session("testing", "testing", region_name=REGION)


def ours(
    endpoint: str, instances: list[str], journal: Path, volumes: int, concurrency: int
) -> None:
    provider = AwsProvider(REGION, session=session(), endpoint=endpoint, zone=ZONE)
    plane = Provisioner(provider, SqliteJournal(journal))

    def one(number: int) -> None:
        volume = plane.ensure_volume(VolumeRequest(f"data-{number}", GIB, kind="gp3"))
        plane.ensure_attached(volume.id, instances[number % len(instances)])

    in_threads(one, volumes, concurrency)
    provider.close()


def in_threads(one: Callable[[int], None], volumes: int, concurrency: int) -> None:
    with ThreadPoolExecutor(concurrency) as pool:
        for future in [pool.submit(one, number) for number in range(volumes)]:
            future.result()
