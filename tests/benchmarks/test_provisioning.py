"""What many volumes cost: requests for each, and time beside the least that latency allows."""

import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from threading import local
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from libcloud.compute.drivers.ec2 import (  # pyright: ignore[reportMissingTypeStubs]
    EC2NodeDriver,
    EC2NodeLocation,
    ExEC2AvailabilityZone,
)

from cloudcrypt.sizes import MIB
from tests.benchmarks.ec2_process import ROOT, Server, serving
from tests.benchmarks.ec2_volumes import REGION, ZONE, in_threads, ours

pytestmark = pytest.mark.benchmark

LATENCY = 0.05
VOLUMES = (10, 100, 1000)
FEW, MANY = 4, 64  # at a time: client and EC2 share this machine, and 64 keep it busy
EACH = 100  # volumes of an instance


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    with serving() as server:
        yield server


@attrs.frozen
class Outcome:
    """What creating and attaching so many volumes took."""

    volumes: int
    seconds: float
    requests: int

    @property
    def calls(self) -> float:
        """Requests for each volume."""
        return self.requests / self.volumes


class Driver(EC2NodeDriver):  # type: ignore[misc,unused-ignore]  # Libcloud has no types
    """Libcloud's, but for lists that it counts from 0, which moto does not take."""

    def ex_create_tags(self, resource: Any, tags: Mapping[str, str]) -> bool:
        pairs = enumerate(tags.items(), 1)
        parameters = {"Action": "CreateTags", "ResourceId.1": resource.id}
        for number, (key, value) in pairs:
            parameters |= {f"Tag.{number}.Key": key, f"Tag.{number}.Value": value}
        connection: Any = self.connection
        connection.request("/", params=parameters)
        return True


def theirs(endpoint: str, instances: list[str], _: Path, volumes: int, concurrency: int) -> None:
    """As a user of Libcloud would do it: no token, no wait, no check, names by hand."""
    drivers, port = local(), int(endpoint.rpartition(":")[2])

    def one(number: int) -> None:
        if not hasattr(drivers, "mine"):
            made: Any = Driver
            drivers.mine = made(
                "testing", "testing", secure=False, host="127.0.0.1", port=port, region=REGION
            )
        driver: Any = drivers.mine
        volume = driver.create_volume(1, f"data-{number}", location(driver), ex_volume_type="gp3")
        node = SimpleNamespace(id=instances[number % len(instances)])
        place = number // len(instances)
        device = f"/dev/xvd{chr(97 + place // 26)}{chr(97 + place % 26)}"
        driver.attach_volume(node, volume, device)

    in_threads(one, volumes, concurrency)


def location(driver: Any) -> EC2NodeLocation:
    zone_of: Any = ExEC2AvailabilityZone
    location_of: Any = EC2NodeLocation
    zone = zone_of(ZONE, "available", REGION)
    found: EC2NodeLocation = location_of(0, ZONE, "Germany", driver, zone)
    return found


def measured(
    server: Server,
    job: Callable[..., None],
    volumes: int,
    folder: Path,
    *,
    concurrency: int = FEW,
    latency: float = LATENCY,
) -> Outcome:
    instances = server.empty(max(1, volumes // EACH), latency)
    journal = folder / f"{job.__name__}-{volumes}-{concurrency}-{latency}.db"
    start = time.perf_counter()
    job(server.endpoint, instances, journal, volumes, concurrency)
    taken = time.perf_counter() - start
    requests = sum(server.requests().values())
    assert server.truth() == (volumes, volumes)
    return Outcome(volumes, taken, requests)


def test_requests_for_each_volume_stay_flat(server: Server, tmp_path: Path) -> None:
    found = [measured(server, ours, each, tmp_path, concurrency=MANY) for each in VOLUMES]
    print()
    for each in found:
        print(
            f"  {each.volumes:>4} volumes, {MANY} at a time: {each.calls:.1f} requests for each "
            "(wanted: flat)"
        )
    assert found[-1].calls <= 1.1 * found[0].calls


def test_the_time_is_that_of_the_latency(server: Server, tmp_path: Path) -> None:
    alone = measured(server, ours, 1, tmp_path, latency=0)
    found = [measured(server, ours, volumes, tmp_path) for volumes in VOLUMES]
    beside = [measured(server, theirs, volumes, tmp_path) for volumes in VOLUMES[:2]]
    print()
    print(f"  one volume alone: {alone.requests} requests, one after the other")
    for each in found:
        ideal = alone.requests * LATENCY * each.volumes / FEW
        print(
            f"  {each.volumes:>4} volumes, {FEW} at a time, {LATENCY * 1000:.0f} ms a request: "
            f"time / latency-bound ideal: {each.seconds / ideal:.2f} (wanted: <= 1.3)"
        )
    for other, each in zip(beside, found, strict=False):
        print(
            f"  {each.volumes:>4} volumes with Libcloud, which waits for and checks nothing: "
            f"{other.calls:.1f} requests for each; our time / its time: "
            f"{each.seconds / other.seconds:.2f}"
        )
    largest = found[-1]
    assert largest.seconds <= 1.3 * alone.requests * LATENCY * largest.volumes / FEW


MEMORY = """
import json, re, sys
from pathlib import Path
from tests.benchmarks.ec2_volumes import ours
endpoint, instances, journal = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
ours(endpoint, instances, journal, 1000, 8)
# Not ru_maxrss: that begins with the memory of the process that started this one.
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]))
"""


def test_memory_of_a_thousand_volumes(server: Server, tmp_path: Path) -> None:
    instances = server.empty(10, 0)
    arguments = [server.endpoint, str(instances).replace("'", '"'), str(tmp_path / "memory.db")]
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    peak = int(run.stdout)
    assert server.truth() == (1000, 1000)
    print(f"\n  peak memory with 1000 volumes / 150 MiB: {peak / (150 * MIB):.2f} (wanted: < 1)")
    assert peak < 150 * MIB
