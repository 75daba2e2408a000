"""The provider as a whole: threads, credentials, capabilities, and its clock."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    UnsupportedOperation,
)
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import CreateVolume, DeleteVolume, perform
from cloudcrypt.waiting import Clock
from cloudcrypt_azure import AzureProvider
from cloudcrypt_azure._calls import WRITES
from cloudcrypt_testing.fake_azure import FakeAzure
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.azure_given import (
    Broken,
    created,
    opened,
    together,
)

DISK_WRITES = f"{WRITES} of disks"


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


def policies(provider: AzureProvider) -> list[Any]:
    """Return what a request passes on its way."""
    client: Any = provider._api._client
    nodes = client._client._pipeline._impl_policies
    return [getattr(node, "_policy", node) for node in nodes]


def test_many_threads_share_a_provider(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    names = [f"volume-{number}" for number in range(12)]
    before = threading.active_count()
    volumes = together([lambda name=name: created(provider, name) for name in names])  # type: ignore[misc]
    assert sorted(volume.name for volume in volumes) == sorted(names)
    assert len(fake_azure.disks()) == 12
    assert threading.active_count() < before + 50  # the fake has some; the SDK has none of its own


def test_no_thread_of_the_sdk_polls(provider: AzureProvider) -> None:
    created(provider)
    assert not [one for one in threading.enumerate() if "LROPoller" in one.name]


def test_closing_twice_is_closing_once_and_the_callers_credential_stays(
    fake_azure: FakeAzure,
) -> None:
    credential = Broken(ValueError())
    provider = opened(fake_azure, credential=credential)
    provider.close()
    provider.close()
    assert credential.closed == 0


def test_a_credential_of_our_own_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    credential = Broken(ValueError())

    def ours(_endpoint: str) -> Broken:
        return credential

    monkeypatch.setattr("cloudcrypt_azure.provider.default_credential", ours)
    provider = AzureProvider("00000000-0000-4000-8000-000000000001", "group")
    provider.close()
    assert credential.closed == 1


def test_by_default_azure_identity_finds_the_credential() -> None:
    provider = AzureProvider("00000000-0000-4000-8000-000000000001", "group")
    assert type(provider._ours).__name__ == "DefaultAzureCredential"
    assert any(type(each).__name__.startswith("ARMChallenge") for each in policies(provider))
    provider.close()


@pytest.mark.parametrize(
    ("endpoint", "variable", "authority"),
    [
        ("https://management.azure.com", None, None),
        ("https://management.usgovcloudapi.net", None, "https://login.microsoftonline.us"),
        ("https://management.chinacloudapi.cn/", None, "https://login.chinacloudapi.cn"),
        ("https://management.usgovcloudapi.net", "https://login.private.example", None),
        ("https://private.example/arm", None, None),
    ],
)
def test_tokens_come_from_the_cloud_that_is_asked(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, variable: str | None, authority: str | None
) -> None:
    asked: list[dict[str, str]] = []

    def credential(**options: str) -> Broken:
        asked.append(options)
        return Broken(ValueError())

    monkeypatch.setattr("azure.identity.DefaultAzureCredential", credential)
    monkeypatch.delenv("AZURE_AUTHORITY_HOST", raising=False)
    if variable is not None:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", variable)
    AzureProvider("00000000-0000-4000-8000-000000000001", "group", endpoint=endpoint).close()
    assert asked == [{} if authority is None else {"authority": authority}]


def test_capabilities_are_those_of_the_documents(provider: AzureProvider) -> None:
    offered = provider.capabilities
    assert (offered.size_unit, offered.size_min, offered.size_max) == (GIB, GIB, 64 * 1024 * GIB)
    unshared = {kind.name for kind in offered.types if not kind.multi_attach}
    assert unshared == {"Standard_LRS"}
    assert not offered.remembers_tokens


def test_an_owner_that_cannot_be_a_tag_is_refused(fake_azure: FakeAzure) -> None:
    for owner in ("", "a\nb", "o" * 257):
        with pytest.raises(InvalidRequest):
            opened(fake_azure, owner=owner)


def test_a_deadline_of_no_clock_is_on_that_of_the_provider(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider)
    fake_azure.faults.add(Throttling(), on="disks.delete", times=2)
    perform(provider, DeleteVolume("d", volume.id), timeout=600)
    assert fake_azure.disks() == {}


def test_an_intent_of_another_kind_is_not_supported(provider: AzureProvider) -> None:
    class Paint(CreateVolume):
        """Not an operation."""

    with pytest.raises(UnsupportedOperation):
        provider.begin(Paint("token", "name", GIB))


def test_the_clock_of_the_provider_is_what_everything_waits_on(fake_azure: FakeAzure) -> None:
    clock: Clock = opened(fake_azure)._group.clock
    assert clock is fake_azure.clock
