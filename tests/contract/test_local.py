"""The contract of volume providers, kept by the local one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudcrypt.spi import VolumeProvider
from cloudcrypt_local import LocalProvider
from cloudcrypt_testing.contract import VolumeProviderContract


class TestLocalProvider(VolumeProviderContract):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> VolumeProvider:
        return LocalProvider(tmp_path / "store")

    @pytest.fixture
    def reopen(self, provider: VolumeProvider) -> Callable[[], VolumeProvider]:
        return lambda: LocalProvider.from_url(provider.url)
