"""The fake clouds, as the matrices and the benchmarks drive all of them in the same way."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol

from cloudcrypt.spi import VolumeProvider
from cloudcrypt.waiting import Clock
from cloudcrypt_testing import fake_aws, fake_azure, fake_gce
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.exchange import RequestLog
from cloudcrypt_testing.world.faults import FaultSchedule
from tests.unit.cloud_opening import opened


class Fake(Protocol):
    """What all fakes have."""

    @property
    def clock(self) -> FakeClock: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def faults(self) -> FaultSchedule: ...
    @property
    def requests(self) -> RequestLog: ...
    def reset(self, *, clock: FakeClock | None = None) -> None: ...
    def limit_attachments(self, instance: str, most: int, /) -> None: ...


class Cloud(ABC):
    """One fake cloud: what exists in it, and the adapter that talks to it."""

    name: ClassVar[str]
    kind: ClassVar[str]
    """A volume type whose IOPS can be chosen: 3000 of them at 10 GiB, 4000 at 20 GiB."""
    throttled: ClassVar[str]
    """The machine code of a request that was throttled."""
    unavailable: ClassVar[str]
    """The machine code of HTTP status 503."""
    names_requests: ClassVar[bool] = True
    """Whether an error has the id of the request."""

    @property
    @abstractmethod
    def fake(self) -> Fake: ...
    @abstractmethod
    def empty(self, clock: FakeClock) -> None:
        """Begin anew; operations are done as soon as they are accepted."""

    @abstractmethod
    def instance(self) -> str: ...
    @abstractmethod
    def facts(self) -> dict[str, str]:
        """Return what `opened` needs."""

    @abstractmethod
    def holders(self) -> Mapping[str, int]:
        """Return of each volume how many instances it is attached to, by the cloud's own name."""

    @abstractmethod
    def snapshots(self) -> int: ...
    @abstractmethod
    def changes(self) -> int:
        """Return how often a volume was changed in size or performance."""

    def provider(self, clock: Clock) -> VolumeProvider:
        """Return the adapter as a new process has it."""
        return opened(self.name, self.facts(), clock)

    def truth(self) -> tuple[int, int, int, int]:
        """Return how many volumes, attachments, snapshots and modifications there are."""
        self.fake.clock.advance(3600)  # whatever was accepted has come to its end
        holders = self.holders()
        return len(holders), sum(holders.values()), self.snapshots(), self.changes()


class Aws(Cloud):
    name = "aws"
    kind = "gp3"
    throttled = "RequestLimitExceeded"
    unavailable = "Unavailable"

    def __init__(self, fake: fake_aws.FakeAws) -> None:
        self._fake = fake

    @property
    def fake(self) -> fake_aws.FakeAws:
        return self._fake

    def empty(self, clock: FakeClock) -> None:
        at_once = fake_aws.Timings(create=0, attach=0, detach=0, delete=0)
        self._fake.reset(clock=clock, timings=at_once)

    def instance(self) -> str:
        return self._fake.run_instance(f"{self._fake.region}a")

    def facts(self) -> dict[str, str]:
        return {"endpoint": self._fake.endpoint, "region": self._fake.region}

    def holders(self) -> Mapping[str, int]:
        return {key: len(volume.attachments) for key, volume in self._fake.volumes().items()}

    def snapshots(self) -> int:
        return len(self._fake.snapshots())

    def changes(self) -> int:
        return sum(len(self._fake.modifications(key)) for key in self._fake.volumes())


class Gce(Cloud):
    name = "gce"
    kind = "hyperdisk-balanced"
    throttled = "rateLimitExceeded"
    unavailable = "backendError"
    names_requests = False

    def __init__(self, fake: fake_gce.FakeGce) -> None:
        self._fake = fake

    @property
    def fake(self) -> fake_gce.FakeGce:
        return self._fake

    def empty(self, clock: FakeClock) -> None:
        at_once = fake_gce.Timings(create=0, attach=0, detach=0, delete=0)
        self._fake.reset(clock=clock, timings=at_once)

    def instance(self) -> str:
        return self._fake.run_instance()

    def facts(self) -> dict[str, str]:
        fake = self._fake
        return {"endpoint": fake.endpoint, "project": fake.project, "region": fake.region}

    def holders(self) -> Mapping[str, int]:
        return {key: len(disk.users) for key, disk in self._fake.disks().items()}

    def snapshots(self) -> int:
        return len(self._fake.snapshots())

    def changes(self) -> int:
        changing = {"disks.resize", "disks.update"}
        return sum(each.action in changing for each in self._fake.operations().values())


class Azure(Cloud):
    name = "azure"
    kind = "PremiumV2_LRS"
    throttled = "TooManyRequests"
    unavailable = "ServerBusy"

    def __init__(self, fake: fake_azure.FakeAzure) -> None:
        self._fake = fake

    @property
    def fake(self) -> fake_azure.FakeAzure:
        return self._fake

    def empty(self, clock: FakeClock) -> None:
        at_once = fake_azure.Timings(create=0, attach=0, detach=0, delete=0)
        self._fake.reset(clock=clock, timings=at_once)

    def instance(self) -> str:
        return self._fake.run_instance()

    def facts(self) -> dict[str, str]:
        fake = self._fake
        return {
            "endpoint": fake.endpoint,
            "subscription": fake.subscription,
            "group": fake.resource_group,
            "location": fake.location,
        }

    def holders(self) -> Mapping[str, int]:
        return {key: len(disk.holders) for key, disk in self._fake.disks().items()}

    def snapshots(self) -> int:
        return len(self._fake.snapshots())

    def changes(self) -> int:
        return sum(each.action == "disks.update" for each in self._fake.operations().values())


CLOUDS: Final[Mapping[str, Any]] = {each.name: each for each in (Aws, Gce, Azure)}
"""How each of the clouds is made of its fake, by name."""
