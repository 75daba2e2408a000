"""The fake AWS as tests use it."""

import itertools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self, overload

import boto3

from cloudcrypt_testing.fake_aws import attachments, sessions
from cloudcrypt_testing.fake_aws.adoption import take_in_new
from cloudcrypt_testing.fake_aws.cloud import Cloud, Timings, View
from cloudcrypt_testing.fake_aws.devices import EBSNode
from cloudcrypt_testing.fake_aws.layer import ConformanceLayer, moto_application
from cloudcrypt_testing.fake_aws.moto_ec2 import MotoEC2
from cloudcrypt_testing.fake_aws.records import Modification, Snapshot, Volume
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.served import Served

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_kms import KMSClient

_ACCOUNTS: Final = itertools.count(100_000_000_001)


class FakeAws(Served[ConformanceLayer]):
    """AWS on loopback: moto, made to behave like EC2 in all that concerns volumes.

        with FakeAws(folder) as aws:
            instance_id = aws.run_instance()
            volume = aws.client().create_volume(AvailabilityZone="eu-central-1a", Size=1)

    Several can exist at once; each has an account of its own. Another process, forked or not,
    needs `endpoint` and the folder only, and cannot move the clock: see `FakeClock.tick`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: FakeClock | None = None,
        timings: Timings | None = None,
        region: str = "eu-central-1",
    ) -> None:
        """Keep all files below ``folder``; serve from the beginning of the ``with`` block.

        Args:
            folder: for the bytes of volumes and the hosts; made if it is missing.
            clock: the time it lives in; a new `FakeClock` if None.
            timings: how long EC2 takes for things.
            region: the only region in which EC2 is more than moto.
        """
        self.folder = folder
        self.region = region
        self._timings = timings or Timings()
        self._clock = clock or FakeClock()
        super().__init__(ConformanceLayer(moto_application(), self._new_cloud()))
        self._clients: dict[tuple[int, str], BaseClient] = {}

    def __enter__(self) -> Self:
        """Serve."""
        self._clock.listen(self._settle)
        self._running.callback(lambda: self._clock.unlisten(self._settle))
        self._running.callback(self._close_clients)
        return super().__enter__()

    @property
    def _cloud(self) -> Cloud:
        return self._layer.cloud

    def _close_clients(self) -> None:
        for client in self._clients.values():
            client.close()
        self._cloud.moto.forget()

    def session(self) -> boto3.Session:
        """Return a session with credentials that are worth nothing."""
        return sessions.session(self.region)

    @overload
    def client(self, service: Literal["ec2"] = "ec2") -> "EC2Client": ...
    @overload
    def client(self, service: Literal["kms"]) -> "KMSClient": ...
    @overload
    def client(self, service: str) -> "BaseClient": ...
    def client(self, service: str = "ec2") -> "BaseClient":
        """Return the client of this process for a service; it tries nothing twice."""
        key = os.getpid(), service
        if key not in self._clients:
            self._clients[key] = sessions.client(self.session(), service, self.endpoint)
        return self._clients[key]

    def run_instance(
        self, zone: str | None = None, kind: str = "m5.large", *, xen: bool | None = None
    ) -> str:
        """Start an instance with a root disk, without a request, and return its id.

        Args:
            zone: the name of its availability zone; the first one of the region if None.
            kind: its type, which says how many volumes it can have.
            xen: whether its disks are Xen's, not NVMe; None leaves it to the type.
        """
        cloud = self._cloud
        with cloud.lock:
            instance_id = cloud.moto.run_instance(zone or f"{self.region}a", kind)
            if xen is not None:
                cloud.quirks.xen[instance_id] = xen
            take_in_new(cloud)
        return instance_id

    def node(self, instance_id: str) -> EBSNode:
        """Return the host of an instance."""
        self._settle()
        with self._cloud.lock:
            return self._cloud.node(instance_id)

    def backing(self, name: str) -> Path:
        """Return the file with the bytes of a volume or a snapshot."""
        return self._cloud.backing.path(name)

    def fail_next_creation(self, how: Literal["error", "vanish"] = "error") -> None:
        """Let the next volume become ``error``, or vanish as with a key that cannot be used."""
        self._cloud.quirks.creations.append(how)

    def fail_next_modification(self) -> None:
        """Let the next modification end as ``failed``."""
        self._cloud.quirks.modifications += 1

    def fail_next_snapshot(self) -> None:
        """Let the next snapshot end as ``error``."""
        self._cloud.quirks.snapshots += 1

    def hold(self, volume_id: str) -> None:
        """Let the operating system hold a volume: detaching it is ``busy``."""
        self._cloud.quirks.held.add(volume_id)

    def release(self, volume_id: str) -> None:
        """Let the operating system close a volume: what was ``busy`` goes on."""
        with self._cloud.lock:
            attachments.let_go(self._cloud, volume_id)

    def stick(self, volume_id: str) -> None:
        """Let attaching a volume never end, until it is detached."""
        self._cloud.quirks.stuck.add(volume_id)

    def limit_attachments(self, instance_id: str, most: int) -> None:
        """Let an instance have at most ``most`` volumes, its root disk included."""
        self._cloud.quirks.most_attachments[instance_id] = most

    def limit_volumes(self, most: int, *, before_tokens: bool = False) -> None:
        """Let there be at most ``most`` volumes, root disks not counted.

        Args:
            most: how many.
            before_tokens: refuse at the limit also a creation that is repeated with its token,
                although its volume exists, as EC2 does.
        """
        self._cloud.quirks.most_volumes = most
        self._cloud.quirks.is_limit_before_token = before_tokens

    def occupy_name(self, instance_id: str, device: str) -> None:
        """Let the image of an instance map ``device``, which no Describe request shows."""
        self._cloud.quirks.occupied.setdefault(instance_id, set()).add(device)

    def throttle(self, family: str, burst: float, rate: float) -> None:
        """Refuse requests beyond ``burst`` at once and ``rate`` a second of the clock.

        Args:
            family: an action, a pattern such as ``Describe*``, ``reading`` or ``changing``;
                all requests that match share one bucket.
            burst: how many requests the bucket holds; it begins full.
            rate: how many are added a second.
        """
        self._layer.buckets.limit(family, burst, rate, self._clock.monotonic())

    def volumes(self, *, roots: bool = False) -> Mapping[str, Volume]:
        """Return all volumes as they are now, by id; those made for instances only if asked."""
        volumes, hidden = self._view().volumes, set[str]() if roots else self._cloud.roots
        return {key: volume for key, volume in volumes.items() if key not in hidden}

    def snapshots(self) -> Mapping[str, Snapshot]:
        """Return all snapshots as they are now, by id."""
        return dict(self._view().snapshots)

    def modifications(self, volume_id: str) -> tuple[Modification, ...]:
        """Return all modifications of a volume, the latest last."""
        return self._view().modifications.get(volume_id, ())

    def reset(self, *, clock: FakeClock | None = None, timings: Timings | None = None) -> None:
        """Begin anew, in an empty account: nothing exists, nothing was asked, nothing fails.

        Args:
            clock: goes on with another clock; the present one, as it is, if None.
            timings: how long EC2 takes from now on; as before if None.
        """
        self._clock.unlisten(self._settle)
        self._clock = clock or self._clock
        self._timings = timings or self._timings
        with self._cloud.lock:
            self.faults.clear()
            self._layer.buckets.clear()
            self.requests.clear()
            self.hooks.clear()
            self._layer.cloud = self._new_cloud(self._swept())
        self._clock.listen(self._settle)

    def _swept(self) -> MotoEC2 | None:
        """Return moto's account, emptied; or None, if only another one is like new."""
        moto = self._cloud.moto
        if self._cloud.is_worn or moto.is_encrypting:
            moto.forget()
            return None
        moto.sweep()
        return moto

    def _new_cloud(self, moto: MotoEC2 | None = None) -> Cloud:
        for name in ("backing", "nodes"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        moto = moto or MotoEC2(str(next(_ACCOUNTS)), self.region)
        return Cloud(self.folder, self._clock, self._timings, moto)

    def _settle(self) -> None:
        with self._cloud.lock:
            self._cloud.agenda.settle()

    def _view(self) -> View:
        with self._cloud.lock:
            self._cloud.agenda.settle()
            return self._cloud.view()
