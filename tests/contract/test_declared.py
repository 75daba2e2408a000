"""The contract asks for what a provider declares: one that offers less keeps it too."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs
import pytest

from cloudcrypt.errors import UnsupportedOperation
from cloudcrypt.spi import Capabilities, DetachVolume, Handle, Intent, VolumeProvider
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider
from cloudcrypt_testing.contract import VolumeProviderContract

T = TypeVar("T")


class Modest(LocalProvider):
    """Offers neither copies nor force, and no small volumes."""

    @property
    def capabilities(self) -> Capabilities:
        return attrs.evolve(
            super().capabilities,
            size_min=1024 * 1024,
            online_resize=False,
            snapshots=False,
            clones=False,
            force_detach=False,
        )

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        _refuse_force(intent)
        return super().begin(intent, deadline=deadline)


def _refuse_force(intent: Intent[object]) -> None:
    if isinstance(intent, DetachVolume) and intent.force:
        raise UnsupportedOperation("forced detaching", "detach without force")


class TestModestProvider(VolumeProviderContract):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> VolumeProvider:
        return Modest(tmp_path / "store")

    @pytest.fixture
    def reopen(self, provider: VolumeProvider) -> Callable[[], VolumeProvider]:
        return lambda: Modest.from_url(provider.url)
