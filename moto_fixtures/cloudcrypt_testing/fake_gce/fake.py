"""The fake Compute Engine as tests use it."""

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from google.auth.credentials import AnonymousCredentials

from cloudcrypt_testing.fake_gce import instances
from cloudcrypt_testing.fake_gce.cloud import Cloud, Timings, View
from cloudcrypt_testing.fake_gce.devices import GoogleNode
from cloudcrypt_testing.fake_gce.layer import ComputeLayer
from cloudcrypt_testing.fake_gce.names import Site
from cloudcrypt_testing.fake_gce.races import Races
from cloudcrypt_testing.fake_gce.records import Disk, Instance, Operation, Snapshot
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.served import Served

_NUMBERS: Final = itertools.count(100_000_000_001)
_OTHER_REGIONS: Final = ("us-central1", "europe-west1")
_LETTERS: Final = "abc"


class FakeGce(Served[ComputeLayer], Races):
    """Compute Engine on loopback, as far as disks, snapshots and their attachments go.

        with FakeGce(folder) as gce:
            instance = gce.run_instance()
            disks = DisksClient(
                credentials=gce.credentials(),
                client_options=ClientOptions(api_endpoint=gce.endpoint),
            )

    Use the ``*_unary`` methods of the clients, and a `ZoneOperationsClient` of your own: the other
    ones wait at the usual endpoint, whatever ``api_endpoint`` is. Several fakes can exist at once.
    Another process, forked or not, needs `endpoint` and the folder only, and cannot move the clock:
    see `FakeClock.tick`; but waiting for an operation moves it to the end of that.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: FakeClock | None = None,
        timings: Timings | None = None,
        project: str = "demo-project",
        region: str = "europe-west3",
    ) -> None:
        """Keep all files below ``folder``; serve from the beginning of the ``with`` block.

        Args:
            folder: for the bytes of disks and the hosts; made if it is missing.
            clock: the time it lives in; a new `FakeClock` if None.
            timings: how long operations take; `Timings` as they are if None.
            project: the only project.
            region: its zones end in a, b and c; there is one other region, with nothing in it.
        """
        self.folder = folder
        self.project = project
        self.region = region
        other = next(name for name in _OTHER_REGIONS if name != region)
        regions = {name: tuple(f"{name}-{one}" for one in _LETTERS) for name in (region, other)}
        self._site = Site(project, str(next(_NUMBERS)), regions)
        self._timings = timings or Timings()
        self._clock = clock or FakeClock()
        super().__init__(ComputeLayer(self._new_cloud()))

    def __enter__(self) -> Self:
        """Serve."""
        self._clock.listen(self._settle)
        self._running.callback(lambda: self._clock.unlisten(self._settle))
        return super().__enter__()

    @property
    def _cloud(self) -> Cloud:
        return self._layer.cloud

    @property
    def project_number(self) -> str:
        """What can stand for the name of the project."""
        return self._site.number

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones of the region."""
        return self._site.regions[self.region]

    def credentials(self) -> AnonymousCredentials:
        """Return credentials that are worth nothing, which is enough here."""
        return AnonymousCredentials()  # type: ignore[no-untyped-call]  # as google-auth has it

    def run_instance(
        self,
        zone: str | None = None,
        machine: str = "n2-standard-4",
        *,
        nvme: bool | None = None,
        name: str | None = None,
    ) -> str:
        """Start an instance with a boot disk, without a request, and return it as ``ZONE/NAME``.

        Args:
            zone: where; the first zone of the region if None.
            machine: its type, which says how many disks it can have.
            nvme: whether its disks are NVMe, not SCSI; None leaves it to the type.
            name: its name; ``vm-1`` and so on if None.
        """
        with self._cloud.lock:
            place = zone or self.zones[0]
            return instances.run(self._cloud, place, machine, nvme=nvme, name=name).text

    def delete_instance(self, instance: str) -> None:
        """Let an instance be gone at once, without a request; its data disks are free."""
        self._settle()
        with self._cloud.lock:
            instances.delete(self._cloud, instances.found(self._cloud, instance))

    def node(self, instance: str) -> GoogleNode:
        """Return the host of the instance ``ZONE/NAME``."""
        self._settle()
        with self._cloud.lock:
            return self._cloud.node(instances.found(self._cloud, instance))

    def backing(self, name: str) -> Path:
        """Return the file with the bytes of the disk or snapshot with the id ``name``."""
        return self._cloud.backing.path(name)

    def throttle(self, family: str, burst: float, rate: float, *, status: int = 403) -> None:
        """Refuse requests beyond ``burst`` at once and ``rate`` a second of the clock.

        Args:
            family: a method, a pattern such as ``disks.*``, ``reading`` or ``changing``;
                all requests that match share one bucket.
            burst: how many requests the bucket holds; it begins full.
            rate: how many are added a second.
            status: what HTTP says, 403 or 429; of `Throttled` faults as well.
        """
        self._cloud.quirks.throttled_status = status
        self._layer.buckets.limit(family, burst, rate, self._clock.monotonic())

    def disks(self, *, boot: bool = False) -> Mapping[str, Disk]:
        """Return all disks as they are now, by id; those made for instances only if asked."""
        disks = self._view().disks
        return {key: disk for key, disk in disks.items() if boot or not disk.is_boot}

    def snapshots(self) -> Mapping[str, Snapshot]:
        """Return all snapshots as they are now, by id."""
        return dict(self._view().snapshots)

    def instances(self) -> Mapping[str, Instance]:
        """Return all instances as they are now, by ``ZONE/NAME``."""
        return {instance.text: instance for instance in self._view().instances.values()}

    def operations(self) -> Mapping[str, Operation]:
        """Return all operations as they are now, by id, in the order in which they began."""
        return dict(self._view().operations)

    def reset(self, *, clock: FakeClock | None = None, timings: Timings | None = None) -> None:
        """Begin anew: nothing exists, nothing was asked, nothing fails.

        Args:
            clock: goes on with another clock; the present one, as it is, if None.
            timings: how long operations take from now on; as before if None.
        """
        self._clock.unlisten(self._settle)
        self._clock = clock or self._clock
        self._timings = timings or self._timings
        with self._cloud.lock:
            self.faults.clear()
            self._layer.buckets.clear()
            self.requests.clear()
            self.hooks.clear()
            self._layer.cloud = self._new_cloud()
        self._clock.listen(self._settle)

    def _new_cloud(self) -> Cloud:
        for name in ("backing", "nodes"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return Cloud(self.folder, self._clock, self._timings, self._site)

    def _settle(self) -> None:
        with self._cloud.lock:
            self._cloud.agenda.settle()

    def _view(self) -> View:
        with self._cloud.lock:
            self._cloud.agenda.settle()
            return self._cloud.view()
