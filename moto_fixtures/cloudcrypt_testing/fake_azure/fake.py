"""The fake Azure as tests use it."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cloudcrypt_testing.fake_azure import hosts
from cloudcrypt_testing.fake_azure.cloud import Cloud, Timings, View
from cloudcrypt_testing.fake_azure.credentials import (
    WorthlessAuthorization,
    WorthlessCredential,
)
from cloudcrypt_testing.fake_azure.devices import AzureNode
from cloudcrypt_testing.fake_azure.layer import ArmLayer
from cloudcrypt_testing.fake_azure.names import Site
from cloudcrypt_testing.fake_azure.races import Races
from cloudcrypt_testing.fake_azure.records import Disk, Machine, Operation, Snapshot
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.served import Served


class FakeAzure(Served[ArmLayer], Races):
    """Azure Resource Manager on loopback, as far as managed disks and their attachments go.

        with FakeAzure(folder) as azure:
            machine = azure.run_instance()
            compute = ComputeManagementClient(
                azure.credential(),
                azure.subscription,
                base_url=azure.endpoint,
                authentication_policy=azure.authentication_policy(),
                polling_interval=0,
            )

    The SDK sends no tokens to an address without TLS, hence the policy, which another client can
    replace by any header Authorization. The pollers of the SDK really sleep between two looks,
    and the fake clock does not move by that: give it a ``tick``, or poll by other means. Several
    fakes can exist at once. Another process, forked or not, needs `endpoint` and the folder only,
    and cannot move the clock: see `FakeClock.tick`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: FakeClock | None = None,
        timings: Timings | None = None,
        subscription: str = "00000000-0000-4000-8000-000000000001",
        resource_group: str = "demo-group",
        location: str = "westeurope",
    ) -> None:
        """Keep all files below ``folder``; serve from the beginning of the ``with`` block.

        Args:
            folder: for the bytes of disks and the hosts; made if it is missing.
            clock: the time it lives in; a new `FakeClock` if None.
            timings: how long operations take.
            subscription: the only subscription, a GUID.
            resource_group: the one in which instances are started.
            location: the only location; it has the zones 1, 2 and 3.
        """
        self.folder = folder
        self.subscription = subscription
        self.resource_group = resource_group
        self.location = location
        self._site = Site(subscription, resource_group, location)
        self._timings = timings or Timings()
        self._clock = clock or FakeClock()
        super().__init__(ArmLayer(self._new_cloud()))

    def __enter__(self) -> Self:
        """Serve."""
        self._clock.listen(self._settle)
        self._running.callback(lambda: self._clock.unlisten(self._settle))
        return super().__enter__()

    @property
    def _cloud(self) -> Cloud:
        return self._layer.cloud

    @staticmethod
    def credential() -> WorthlessCredential:
        """Return a credential that is worth nothing, which is enough here."""
        return WorthlessCredential()

    @staticmethod
    def authentication_policy() -> WorthlessAuthorization:
        """Return the policy with which a client sends that credential without TLS."""
        return WorthlessAuthorization()

    def run_instance(
        self,
        zone: str | None = "1",
        size: str = "Standard_D4s_v5",
        *,
        name: str | None = None,
        ultra: bool = True,
    ) -> str:
        """Start a virtual machine, without a request, and return it as ``group/name``.

        Args:
            zone: its availability zone; None: in none, so that it takes no disks of zones.
            size: which says how many data disks it can have.
            name: ``vm-1`` and so on if None.
            ultra: whether it takes Ultra disks.
        """
        with self._cloud.lock:
            return hosts.run(self._cloud, zone, size, name=name, has_ultra=ultra).text

    def run_scale_set_instance(
        self,
        zone: str | None = "1",
        size: str = "Standard_D4s_v5",
        *,
        scale_set: str = "scaleset",
        ultra: bool = True,
    ) -> str:
        """Start the next instance of a scale set, and return it as ``group/scale set/number``.

        Args:
            zone: as in `run_instance`.
            size: as in `run_instance`.
            scale_set: its name; made if it is missing.
            ultra: as in `run_instance`.
        """
        with self._cloud.lock:
            cloud = self._cloud
            return hosts.run(cloud, zone, size, has_ultra=ultra, scale_set=scale_set).text

    def add_group(self, name: str) -> None:
        """Let there be another resource group."""
        with self._cloud.lock:
            self._cloud.groups.append(name)

    def encryption_set(self, name: str) -> str:
        """Let there be a disk encryption set in the resource group, and return its id."""
        with self._cloud.lock:
            path = self._site.path(self.resource_group, "diskEncryptionSets", name)
            self._cloud.encryption_sets.add(path.lower())
            return path

    def node(self, instance: str) -> AzureNode:
        """Return the host of an instance."""
        self._settle()
        with self._cloud.lock:
            return self._cloud.node(hosts.found(self._cloud, instance))

    def backing(self, name: str) -> Path:
        """Return the file with the bytes of the disk or snapshot with the unique id ``name``."""
        return self._cloud.backing.path(name)

    def throttle(self, family: str, burst: float, rate: float) -> None:
        """Refuse requests beyond ``burst`` at once and ``rate`` a second of the clock.

        Args:
            family: an operation, a pattern such as ``disks.*``, ``reading`` or ``changing``;
                all requests that match share one bucket.
            burst: how many requests the bucket holds; it begins full.
            rate: how many are added a second.
        """
        self._layer.throttle(family, burst, rate)

    def disks(self, *, system: bool = False) -> Mapping[str, Disk]:
        """Return all disks as they are now, by unique id; those of systems only if asked."""
        disks = self._view().disks
        return {key: disk for key, disk in disks.items() if system or not disk.is_os}

    def snapshots(self) -> Mapping[str, Snapshot]:
        """Return all snapshots as they are now, by unique id."""
        return dict(self._view().snapshots)

    def machines(self) -> Mapping[str, Machine]:
        """Return all virtual machines as they are now, by ``group/name``."""
        return dict(self._view().machines)

    def operations(self) -> Mapping[str, Operation]:
        """Return all operations as they are now, in the order in which they began."""
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
            self._layer.wait = 1
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
