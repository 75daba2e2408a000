"""What many volumes cost on each cloud: requests, time beside the least possible, and memory."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
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
FEW, MANY = 4, 64  # at a time: client and cloud share this machine, and 64 keep it busy
EACH = 20  # volumes of an instance: a VM of Azure has 64 places, and is written to once at a time
REGION, ZONE = "eu-central-1", "eu-central-1a"
MEMORY_MAX = 150 * MIB


@attrs.frozen
class Outcome:
    """What creating and attaching so many volumes took; ``paused`` is what the adapter slept."""

    volumes: int
    seconds: float
    requests: int
    paused: float

    @property
    def calls(self) -> float:
        """Requests for each volume."""
        return self.requests / self.volumes


@attrs.frozen
class Bench:
    """A cloud, and what one volume alone takes there, without latency."""

    server: Server
    alone: Outcome

    @property
    def asking(self) -> float:
        """Seconds for one volume in which a request is under way, one after the other."""
        return self.alone.requests * LATENCY

    @property
    def ideal(self) -> float:
        """Seconds for one volume: its requests, and the pauses that the adapter makes anyway."""
        return self.asking + self.alone.paused

    @property
    def concurrency(self) -> int:
        """Volumes at a time that keep `FEW` requests under way."""
        return round(FEW * self.ideal / self.asking)


Benches = Mapping[str, Bench]


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Generator[Benches]:
    folder = tmp_path_factory.mktemp("alone")
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(cloud)) for cloud in CLOUDS]
        yield {
            each.cloud: Bench(each, measured(each, ours, 1, folder, concurrency=1, latency=0))
            for each in servers
        }


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
    facts: Mapping[str, str],
    instances: list[str],
    _journal: Path,
    volumes: int,
    concurrency: int,
) -> float:
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
    return 0.0


def location(driver: Any) -> EC2NodeLocation:
    zone_of: Any = ExEC2AvailabilityZone
    location_of: Any = EC2NodeLocation
    zone = zone_of(ZONE, "available", REGION)
    found: EC2NodeLocation = location_of(0, ZONE, "Germany", driver, zone)
    return found


def measured(
    server: Server,
    job: Callable[..., float],
    volumes: int,
    folder: Path,
    *,
    concurrency: int,
    latency: float = LATENCY,
) -> Outcome:
    instances = server.empty(max(1, volumes // EACH), latency)
    journal = folder / f"{server.cloud}-{job.__name__}-{volumes}-{concurrency}-{latency}.db"
    start = time.perf_counter()
    paused = job(server.facts, instances, journal, volumes, concurrency)
    taken = time.perf_counter() - start
    requests = sum(server.requests().values())
    assert server.truth() == (volumes, volumes)
    return Outcome(volumes, taken, requests, paused)


def shown(title: str, rows: Mapping[str, Sequence[str]]) -> None:
    """Print a table with a column for each cloud."""
    print(f"\n\n  {title}\n  {'':44}" + "".join(f"{cloud:>8}" for cloud in CLOUDS))
    for name, cells in rows.items():
        print(f"  {name:44}" + "".join(f"{cell:>8}" for cell in cells))


def table(found: Mapping[str, Sequence[Outcome]], cell: Callable[[str, Outcome], str]) -> Any:
    """Return the rows of a table: one for each number of volumes."""
    return {
        f"{number} volumes": [cell(cloud, found[cloud][row]) for cloud in CLOUDS]
        for row, number in enumerate(VOLUMES)
    }


def test_requests_for_each_volume_stay_flat(benches: Benches, tmp_path: Path) -> None:
    found = {
        cloud: [measured(each.server, ours, n, tmp_path, concurrency=MANY) for n in VOLUMES]
        for cloud, each in benches.items()
    }
    shown(
        f"requests for each volume, {MANY} at a time (wanted: flat)",
        {
            "1 volume alone": [f"{each.alone.calls:.1f}" for each in benches.values()],
            **table(found, lambda _, outcome: f"{outcome.calls:.1f}"),
        },
    )
    growth = {cloud: each[-1].calls / each[0].calls for cloud, each in found.items()}
    assert {cloud for cloud, factor in growth.items() if factor > 1.1} == set()


def test_the_time_is_that_of_the_latency(benches: Benches, tmp_path: Path) -> None:
    found = {
        cloud: [
            measured(each.server, ours, n, tmp_path, concurrency=each.concurrency) for n in VOLUMES
        ]
        for cloud, each in benches.items()
    }

    def ratio(cloud: str, outcome: Outcome) -> float:
        each = benches[cloud]
        return outcome.seconds / (each.ideal * max(1.0, outcome.volumes / each.concurrency))

    shown(
        f"time / ideal of the latency, {LATENCY * 1000:.0f} ms a request (wanted: <= 1.3 at 1000)",
        {
            "pauses of the adapter / ideal": [
                f"{each.alone.paused / each.ideal:.2f}" for each in benches.values()
            ],
            "volumes at a time": [str(each.concurrency) for each in benches.values()],
            **table(found, lambda cloud, outcome: f"{ratio(cloud, outcome):.2f}"),
        },
    )
    slow = {cloud for cloud, outcomes in found.items() if ratio(cloud, outcomes[-1]) > 1.3}
    assert slow == set()


def test_what_libcloud_takes_that_waits_for_and_checks_nothing(
    benches: Benches, tmp_path: Path
) -> None:
    server = benches["aws"].server
    print()
    for volumes in VOLUMES[:2]:
        mine = measured(server, ours, volumes, tmp_path, concurrency=FEW)
        other = measured(server, theirs, volumes, tmp_path, concurrency=FEW)
        print(
            f"  aws, {volumes:>4} volumes with Libcloud: {other.calls:.1f} requests for each; "
            f"our time / its time: {mine.seconds / other.seconds:.2f}"
        )


MEMORY = """
import json, re, sys
from pathlib import Path
facts, instances, journal, concurrency = sys.argv[1:]
facts = json.loads(facts)
{job}
# Not ru_maxrss: that begins with the memory of the process that started this one.
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]))
"""
WORK = """
from tests.benchmarks.cloud_volumes import ours
ours(facts, json.loads(instances), Path(journal), 1000, int(concurrency))
"""
SDK = {"aws": "import boto3", "gce": "import google.cloud.compute_v1", "azure": "import azure.mgmt"}
HEAVY = {"gce"}
"""Whose SDK alone takes as much as everything may: google-cloud-compute imports all its clients."""


def peak(job: str, bench: Bench, instances: Sequence[str], journal: Path) -> int:
    """Return the bytes that a process takes at most which does ``job``."""
    facts = json.dumps(dict(bench.server.facts))
    arguments = [facts, json.dumps(instances), str(journal), str(2 * bench.concurrency)]
    code = MEMORY.replace("{job}", job)
    command = [sys.executable, "-c", code, *arguments]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return int(run.stdout)


def test_memory_of_a_thousand_volumes(benches: Benches, tmp_path: Path) -> None:
    sdk, whole = dict[str, int](), dict[str, int]()
    for cloud, each in benches.items():
        instances = each.server.empty(1000 // EACH, 0)
        sdk[cloud] = peak(SDK[cloud], each, instances, tmp_path)
        whole[cloud] = peak(WORK, each, instances, tmp_path / f"{cloud}.db")
        assert each.server.truth() == (1000, 1000)
    limits = {cloud: MEMORY_MAX + (sdk[cloud] if cloud in HEAVY else 0) for cloud in CLOUDS}
    shown(
        "peak memory with 1000 volumes / 150 MiB (wanted: < 1; gce: beyond its SDK)",
        {
            "import of the SDK": [f"{size / MEMORY_MAX:.2f}" for size in sdk.values()],
            "everything": [f"{size / MEMORY_MAX:.2f}" for size in whole.values()],
            "everything / limit": [f"{whole[cloud] / limits[cloud]:.2f}" for cloud in CLOUDS],
        },
    )
    assert {cloud for cloud in CLOUDS if whole[cloud] >= limits[cloud]} == set()
