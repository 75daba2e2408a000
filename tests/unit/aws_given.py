"""EC2 on loopback, a provider for it, and the shortest ways to a state."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from cloudcrypt.model import Attachment, Volume
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import AttachVolume, CreateVolume, perform
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import Exchange, FakeAws

T = TypeVar("T")

REGION, ZONE, OTHER_ZONE = "eu-central-1", "eu-central-1a", "eu-central-1b"
GONE = f"aws:{REGION}/vol-0123456789abcdef0"
"""The id of a volume that does not exist."""


def opened(aws: FakeAws, **options: Any) -> AwsProvider:
    """Return a provider for ``aws``, on its clock: a new process, as far as it remembers."""
    settings: dict[str, Any] = {"zone": ZONE, "clock": aws.clock, **options}
    return AwsProvider(REGION, session=aws.session(), endpoint=aws.endpoint, **settings)


def ebs(volume_id: str) -> str:
    """Return what EC2 calls a volume or snapshot."""
    return volume_id.rpartition("/")[2]


def wanted(name: str = "data", token: str | None = None, **more: Any) -> CreateVolume:
    """Return an intent to create a volume of 2 GiB."""
    return CreateVolume(token or f"token-{name}", name, more.pop("size", 2 * GIB), **more)


def created(provider: AwsProvider, name: str = "data", **more: Any) -> Volume:
    """Return a new volume."""
    return perform(provider, wanted(name, **more))


def attached(provider: AwsProvider, volume: Volume, instance: str) -> Attachment:
    """Return ``volume``, attached."""
    return perform(provider, AttachVolume(f"attach-{ebs(volume.id)}", volume.id, instance))


def tagged(aws: FakeAws, volume_id: str, key: str, value: str) -> None:
    """Put a tag on a volume or snapshot, as others do."""
    aws.client().create_tags(Resources=[ebs(volume_id)], Tags=[{"Key": key, "Value": value}])


def passed(aws: FakeAws) -> Deadline:
    """Return a deadline that has passed: whoever waits under it looks once."""
    return Deadline.after(0, clock=aws.clock)


def within(aws: FakeAws, seconds: float) -> Deadline:
    """Return the deadline in ``seconds`` on the clock of ``aws``."""
    return Deadline.after(seconds, clock=aws.clock)


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Return what ``calls`` return, each made in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@contextmanager
def hooked(aws: FakeAws, hook: Callable[[Exchange], None]) -> Generator[None]:
    """Call ``hook`` before and after each request."""
    aws.hooks.append(hook)
    try:
        yield
    finally:
        aws.hooks.remove(hook)
