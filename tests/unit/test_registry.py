"""From a URL to a provider, by entry points."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cloudcrypt.errors import HostUnready, UnknownProvider
from cloudcrypt.registry import GROUP, open_provider, providers
from cloudcrypt_local import LocalProvider


def _adapters(**values: str) -> dict[str, EntryPoint]:
    return {name: EntryPoint(name, value, GROUP) for name, value in values.items()}


LOCAL = _adapters(local="cloudcrypt_local:LocalProvider")


def test_the_scheme_of_a_url_chooses_the_adapter(tmp_path: Path) -> None:
    provider = open_provider(f"local://{tmp_path}/store", adapters=LOCAL)
    assert isinstance(provider, LocalProvider)
    assert provider.url == f"local://{tmp_path}/store"


def test_schemes_are_told_in_order() -> None:
    assert providers(_adapters(zeta="z:Z", local="l:L", aws="a:A")) == ("aws", "local", "zeta")


@pytest.mark.parametrize("url", ["aws://eu-central-1", "local:/x", "/some/path", "", "LOCAL://x"])
def test_an_unknown_scheme_names_the_known_ones(url: str) -> None:
    with pytest.raises(UnknownProvider) as caught:
        open_provider(url, adapters=LOCAL)
    assert (caught.value.url, caught.value.known) == (url, ("local",))
    assert "local" in str(caught.value)


def test_a_missing_package_of_an_adapter_names_what_to_install() -> None:
    adapters = _adapters(aws="no_such_package_of_aws:Provider")
    with pytest.raises(HostUnready) as caught:
        open_provider("aws://eu-central-1", adapters=adapters)
    assert caught.value.remedy == 'pip install "cloudcrypt[aws]"'
    assert "no_such_package_of_aws" in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)


def test_the_installed_adapters_are_those_of_the_entry_point_group() -> None:
    assert providers() == tuple(sorted(providers()))
    with pytest.raises(UnknownProvider) as caught:
        open_provider("no-such-scheme://x")
    assert caught.value.known == providers()
