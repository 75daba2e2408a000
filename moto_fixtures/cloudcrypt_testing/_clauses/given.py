"""What every clause starts from: a provider, names that are free, and two instances."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from cloudcrypt.model import Attachment, Snapshot, Volume
from cloudcrypt.registry import open_provider
from cloudcrypt.sizes import GIB, round_up
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    CreateVolume,
    FromSnapshot,
    FromVolume,
    Intent,
    VolumeProvider,
    perform,
)


class Given:
    """The fixtures that a subclass overrides, and the shortest ways to a state."""

    @pytest.fixture
    def provider(self) -> Iterator[VolumeProvider]:
        """Give the provider under test; a subclass overrides this."""
        pytest.fail("override the fixture `provider`: it gives the provider under test")

    @pytest.fixture
    def reopen(self, provider: VolumeProvider) -> Callable[[], VolumeProvider]:
        """Give what opens the provider anew, as another process would after a crash."""
        return lambda: open_provider(provider.url)

    @pytest.fixture
    def instances(self) -> tuple[str, str]:
        """Give two instances that volumes can be attached to."""
        return "contract-a", "contract-b"

    @pytest.fixture
    def fresh(self) -> Callable[[], str]:
        """Give what returns a token or name that nobody has used."""
        prefix, numbers = f"contract-{uuid.uuid4().hex[:12]}", itertools.count(1)
        return lambda: f"{prefix}-{next(numbers)}"

    @pytest.fixture
    def size(self, provider: VolumeProvider) -> int:
        """Give a size in bytes that the provider offers, not its least, with room to grow."""
        offered = provider.capabilities
        return round_up(
            max(offered.size_min + 1, min(GIB, 1024 * offered.size_unit)), offered.size_unit
        )

    @pytest.fixture
    def create(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> Callable[..., Volume]:
        """Give what makes a volume, blank or from a source."""

        def made(
            source: FromSnapshot | FromVolume | None = None, name: str | None = None
        ) -> Volume:
            return perform(provider, CreateVolume(fresh(), name or fresh(), size, source))

        return made

    @pytest.fixture
    def volume(self, create: Callable[..., Volume]) -> Volume:
        """Give a blank volume."""
        return create()

    @pytest.fixture
    def attachment(
        self,
        provider: VolumeProvider,
        volume: Volume,
        instances: tuple[str, str],
        fresh: Callable[[], str],
    ) -> Attachment:
        """Give ``volume`` attached to the first instance."""
        return perform(provider, AttachVolume(fresh(), volume.id, instances[0]))

    @pytest.fixture
    def snapshot(
        self, provider: VolumeProvider, volume: Volume, fresh: Callable[[], str]
    ) -> Snapshot:
        """Give a snapshot of ``volume`` at key generation 7."""
        needs(provider.capabilities.snapshots, "snapshots")
        return perform(provider, CreateSnapshot(fresh(), volume.id, fresh(), 7))


Test = TypeVar("Test", bound=Callable[..., object])


def clause(number: str) -> Callable[[Test], Test]:
    """Say which clause of docs/contract.md a test checks."""

    def cited(test: Test) -> Test:
        test.clause = number  # type: ignore[attr-defined]  # for whoever collects them
        return test

    return cited


def needs(offered: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Skip the clause if the provider declares that it does not offer ``what``."""
    if not offered:
        pytest.skip(f"the provider declares no {what}")


def interrupted(
    provider: VolumeProvider, reopen: Callable[[], VolumeProvider], intent: Intent[object]
) -> object:
    """Begin ``intent``, lose the process and the reply, and finish it in another one."""
    provider.begin(intent)
    other = reopen()
    found = other.find(intent)
    assert found is not None
    return other.resume(found)
