"""Azure on loopback, a provider for it, and the shortest ways to a state."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from azure.core.credentials import AccessToken

from cloudcrypt.model import Attachment, Volume
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import AttachVolume, CreateVolume, perform
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure import AzureProvider
from cloudcrypt_testing.fake_azure import Disk, Exchange, FakeAzure

T = TypeVar("T")

SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
GROUP = "demo-group"
GONE = f"azure:{SUBSCRIPTION}/{GROUP}/01234567-89ab-4cde-8f01-23456789abcd"
"""The id of a volume that does not exist."""


class Broken:
    """A credential that has nothing to give."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.closed = 0

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        raise self.error

    def close(self) -> None:
        self.closed += 1


def opened(azure: FakeAzure, **options: Any) -> AzureProvider:
    """Return a provider for ``azure``, on its clock: a new process, as far as it remembers."""
    settings: dict[str, Any] = {
        "location": azure.location,
        "zone": "1",
        "credential": azure.credential(),
        "endpoint": azure.endpoint,
        "clock": azure.clock,
        **options,
    }
    return AzureProvider(azure.subscription, azure.resource_group, **settings)


def unique(volume_id: str) -> str:
    """Return the ``uniqueId`` of a volume or snapshot."""
    return volume_id.rpartition("/")[2].removeprefix("snapshot-")


def wanted(name: str = "data", token: str | None = None, **more: Any) -> CreateVolume:
    """Return an intent to create a volume of 2 GiB."""
    return CreateVolume(token or f"token-{name}", name, more.pop("size", 2 * GIB), **more)


def created(provider: AzureProvider, name: str = "data", **more: Any) -> Volume:
    """Return a new volume."""
    return perform(provider, wanted(name, **more))


def attached(provider: AzureProvider, volume: Volume, instance: str) -> Attachment:
    """Return ``volume``, attached."""
    return perform(provider, AttachVolume(f"attach-{unique(volume.id)}", volume.id, instance))


def disk(azure: FakeAzure, volume: Volume) -> Disk:
    """Return what Azure has of a volume."""
    return azure.disks()[unique(volume.id)]


def luns(azure: FakeAzure, instance: str) -> dict[int, str]:
    """Return the names of the disks of an instance by their logical unit numbers."""
    return {one.lun: one.name for one in azure.machines()[instance].data_disks}


def passed(azure: FakeAzure) -> Deadline:
    """Return a deadline that has passed: whoever waits under it looks once."""
    return Deadline.after(0, clock=azure.clock)


def within(azure: FakeAzure, seconds: float) -> Deadline:
    """Return the deadline in ``seconds`` on the clock of ``azure``."""
    return Deadline.after(seconds, clock=azure.clock)


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Return what ``calls`` return, each made in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@contextmanager
def hooked(azure: FakeAzure, hook: Callable[[Exchange], None]) -> Generator[None]:
    """Call ``hook`` before and after each request."""
    azure.hooks.append(hook)
    try:
        yield
    finally:
        azure.hooks.remove(hook)
