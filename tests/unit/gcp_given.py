"""Compute Engine on loopback, a provider for it, and the shortest ways to a state."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs

from cloudcrypt.model import Attachment, Volume
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import AttachVolume, CreateVolume, perform
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import Disk, Exchange, FakeGce, Operation

T = TypeVar("T")

PROJECT, REGION = "demo-project", "europe-west3"
ZONE, OTHER_ZONE = f"{REGION}-a", f"{REGION}-b"
GONE = f"gcp:{PROJECT}/{ZONE}/4242"
"""The id of a volume that does not exist."""
KEY = "projects/demo-project/locations/europe-west3/keyRings/ring/cryptoKeys/key"


def opened(gce: FakeGce, **options: Any) -> GcpProvider:
    """Return a provider for ``gce``, on its clock: a new process, as far as it remembers."""
    settings: dict[str, Any] = {
        "credentials": gce.credentials(),
        "endpoint": gce.endpoint,
        "zone": ZONE,
        "clock": gce.clock,
        **options,
    }
    return GcpProvider(PROJECT, REGION, **settings)


@contextmanager
def another(gce: FakeGce, **options: Any) -> Generator[GcpProvider]:
    """Give a provider of another process, which ends with the block."""
    provider = opened(gce, **options)
    try:
        yield provider
    finally:
        provider.close()


def number(volume_id: str) -> str:
    """Return what GCE calls a volume or snapshot."""
    return volume_id.rpartition("/")[2]


def wanted(name: str = "data", token: str | None = None, **more: Any) -> CreateVolume:
    """Return an intent to create a volume of 10 GiB."""
    return CreateVolume(token or f"token-{name}", name, more.pop("size", 10 * GIB), **more)


def created(provider: GcpProvider, name: str = "data", **more: Any) -> Volume:
    """Return a new volume."""
    return perform(provider, wanted(name, **more))


def attaching(volume: Volume, instance: str, token: str | None = None) -> AttachVolume:
    """Return an intent to attach ``volume``."""
    return AttachVolume(token or f"attach-{volume.name}", volume.id, instance)


def attached(provider: GcpProvider, volume: Volume, instance: str) -> Attachment:
    """Return ``volume``, attached."""
    return perform(provider, attaching(volume, instance))


def disk(gce: FakeGce, volume: Volume) -> Disk:
    """Return what the cloud has of ``volume``, and nobody sees but a test."""
    return gce.disks()[number(volume.id)]


def latest(gce: FakeGce, action: str) -> Operation:
    """Return the last operation of an action."""
    return [one for one in gce.operations().values() if one.action == action][-1]


def edited(gce: FakeGce, volume: Volume, **facts: Any) -> None:
    """Let a disk be another one than the adapter has made of it."""
    with gce._cloud.lock:
        gce._cloud.put(attrs.evolve(disk(gce, volume), **facts))


def redone(gce: FakeGce, instance: str, volume: Volume, **facts: Any) -> None:
    """Let an instance have a disk in another way than the adapter has attached it."""
    with gce._cloud.lock:
        record = gce.instances()[instance]
        disks = [
            attrs.evolve(one, **facts) if one.disk_id == number(volume.id) else one
            for one in record.disks
        ]
        gce._cloud.instances[record.id] = attrs.evolve(record, disks=tuple(disks))


def passed(gce: FakeGce) -> Deadline:
    """Return a deadline that has passed: whoever waits under it looks once."""
    return Deadline.after(0, clock=gce.clock)


def within(gce: FakeGce, seconds: float) -> Deadline:
    """Return the deadline in ``seconds`` on the clock of ``gce``."""
    return Deadline.after(seconds, clock=gce.clock)


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Return what ``calls`` return, each made in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@contextmanager
def hooked(gce: FakeGce, hook: Callable[[Exchange], None]) -> Generator[None]:
    """Call ``hook`` before and after each request."""
    gce.hooks.append(hook)
    try:
        yield
    finally:
        gce.hooks.remove(hook)
