"""What many volumes cost: requests for each, and time beside the least that latency allows."""

import json
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
from tests.benchmarks.cloud_process import ROOT, Server, serving
from tests.benchmarks.cloud_volumes import in_threads, ours
from tests.unit.clouds import CLOUDS

pytestmark = pytest.mark.benchmark

LATENCY = 0.05
VOLUMES = (10, 100, 1000)
FEW, MANY = 4, 64  # at a time: client and EC2 share this machine, and 64 keep it busy
EACH = 50  # volumes of an instance: a VM of Azure has 64 places
REGION, ZONE = "eu-central-1", "eu-central-1a"


@pytest.fixture(scope="module", params=CLOUDS)
def server(request: pytest.FixtureRequest) -> Generator[Server]:
    with serving(request.param) as server:
        yield server


@pytest.fixture(scope="module")
def aws() -> Generator[Server]:
    with serving("aws") as server:
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


def theirs(
    _cloud: str,
    facts: Mapping[str, str],
    instances: list[str],
    _journal: Path,
    volumes: int,
    concurrency: int,
) -> None:
    """As a user of Libcloud would do it: no token, no wait, no check, names by hand."""
    drivers, port = local(), int(facts["endpoint"].rpartition(":")[2])

    def one(number: int) -> None:
        if not hasattr(drivers, "mine"):
            made: Any = Driver
            drivers.mine = made(
                "testing", "testing", secure=False, host="127.0.0.1", port=port, region=REGION
            )
        driver: Any = drivers.mine
        volume = driver.create_volume(10, f"data-{number}", location(driver), ex_volume_type="gp3")
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
    journal = folder / f"{server.cloud}-{job.__name__}-{volumes}-{concurrency}-{latency}.db"
    start = time.perf_counter()
    job(server.cloud, server.facts, instances, journal, volumes, concurrency)
    taken = time.perf_counter() - start
    requests = sum(server.requests().values())
    assert server.truth() == (volumes, volumes)
    return Outcome(volumes, taken, requests)


def test_requests_for_each_volume_stay_flat(server: Server, tmp_path: Path) -> None:
    found = [measured(server, ours, each, tmp_path, concurrency=MANY) for each in VOLUMES]
    print()
    for each in found:
        print(
            f"  {server.cloud:>5}, {each.volumes:>4} volumes, {MANY} at a time: "
            f"{each.calls:.1f} requests for each (wanted: flat)"
        )
    assert found[-1].calls <= 1.1 * found[0].calls


def test_the_time_is_that_of_the_latency(server: Server, tmp_path: Path) -> None:
    alone = measured(server, ours, 1, tmp_path, latency=0)
    found = [measured(server, ours, volumes, tmp_path) for volumes in VOLUMES]
    print()
    print(f"  {server.cloud}: one volume alone is {alone.requests} requests, one after the other")
    for each in found:
        ideal = alone.requests * LATENCY * each.volumes / FEW
        print(
            f"  {server.cloud:>5}, {each.volumes:>4} volumes, {FEW} at a time, "
            f"{LATENCY * 1000:.0f} ms a request: time / latency-bound ideal: "
            f"{each.seconds / ideal:.2f} (wanted: <= 1.3)"
        )
    largest = found[-1]
    assert largest.seconds <= 1.3 * alone.requests * LATENCY * largest.volumes / FEW


def test_what_libcloud_takes_that_waits_for_and_checks_nothing(aws: Server, tmp_path: Path) -> None:
    print()
    for volumes in VOLUMES[:2]:
        mine = measured(aws, ours, volumes, tmp_path)
        other = measured(aws, theirs, volumes, tmp_path)
        print(
            f"  aws, {volumes:>4} volumes with Libcloud: {other.calls:.1f} requests for each; "
            f"our time / its time: {mine.seconds / other.seconds:.2f}"
        )


MEMORY = """
import json, re, sys
from pathlib import Path
from tests.benchmarks.cloud_volumes import ours
cloud, facts, instances, journal = sys.argv[1:]
ours(cloud, json.loads(facts), json.loads(instances), Path(journal), 1000, 8)
# Not ru_maxrss: that begins with the memory of the process that started this one.
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]))
"""


def test_memory_of_a_thousand_volumes(server: Server, tmp_path: Path) -> None:
    instances = server.empty(1000 // EACH, 0)
    facts = json.dumps(dict(server.facts))
    arguments = [server.cloud, facts, json.dumps(instances), str(tmp_path / "memory.db")]
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    peak = int(run.stdout)
    assert server.truth() == (1000, 1000)
    ratio = f"{peak / (150 * MIB):.2f} (wanted: < 1)"
    print(f"\n  {server.cloud}: peak memory with 1000 volumes / 150 MiB: {ratio}")
    assert peak < 150 * MIB
