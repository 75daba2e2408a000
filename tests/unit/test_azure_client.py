"""Requests to Azure: how often, how long, and with whose credentials."""

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.policies import RedirectPolicy, RetryPolicy
from azure.core.rest import HttpRequest
from azure.identity import CredentialUnavailableError
from azure.mgmt.core.policies import ARMAutoResourceProviderRegistrationPolicy

from cloudcrypt.errors import (
    AccessDenied,
    CredentialsRefused,
    NotFound,
    OperationCancelled,
    ProviderUnavailable,
    Throttled,
)
from cloudcrypt.spi import AttachVolume, perform
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt_azure import AzureProvider, _client, _transport
from cloudcrypt_azure._answers import Reply
from cloudcrypt_azure._calls import READS, WRITES
from cloudcrypt_testing.fake_azure import Exchange, FakeAzure
from cloudcrypt_testing.world.faults import Call, Refused, ServerError
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.azure_given import (
    GONE,
    Broken,
    attached,
    created,
    hooked,
    opened,
    wanted,
    within,
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


@pytest.mark.parametrize(
    "unwanted", [RetryPolicy, RedirectPolicy, ARMAutoResourceProviderRegistrationPolicy]
)
def test_the_sdk_neither_repeats_nor_redirects_nor_registers(
    provider: AzureProvider, unwanted: type
) -> None:
    assert len(policies(provider)) > 5
    assert not [policy for policy in policies(provider) if isinstance(policy, unwanted)]


def test_a_request_that_fails_is_sent_once_by_the_sdk_whatever_the_answer_says(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # azure-core repeats any request, POST too, whose answer has Retry-After; see `_transport`.
    instance, volume = fake_azure.run_instance(), created(provider)
    fake_azure.requests.clear()
    fake_azure.faults.add(ServerError(503), on="*.attachDetachDataDisks")
    attached(provider, volume, instance)
    actions = fake_azure.requests.actions
    first = actions.index("virtualMachines.attachDetachDataDisks")
    assert actions[first + 1] == "disks.get"  # it is looked first whether it was done
    assert fake_azure.requests.count("virtualMachines.attachDetachDataDisks") == 2


def test_the_user_agent_says_who_asks(
    provider: AzureProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    transport = provider._api._client._client._pipeline._transport
    send = transport.send

    def watched(request: HttpRequest, **options: Any) -> Any:
        sent.append(request.headers["User-Agent"])
        return send(request, **options)

    monkeypatch.setattr(transport, "send", watched)
    with pytest.raises(NotFound):
        provider.get(GONE)
    assert all(agent.startswith("cloudcrypt/") for agent in sent)
    assert "mgmt-compute" in sent[0]


def test_after_429_nothing_of_the_family_is_sent_until_azure_allows_it(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is `pause` in cloudcrypt_azure._client.Api._take.
    created(provider, "first")
    fake_azure._layer.wait = 40
    fake_azure.faults.add(Throttling(), on="disks.createOrUpdate")
    began = fake_azure.clock.monotonic()
    sent: list[float] = []

    def watch(exchange: Exchange) -> None:
        if (exchange.call.action, exchange.phase) == ("disks.createOrUpdate", "before"):
            sent.append(fake_azure.clock.monotonic() - began)

    with hooked(fake_azure, watch):
        created(provider, "second")
    assert len(sent) == 2
    assert sent[1] - sent[0] >= 40


def test_within_the_pause_that_azure_asks_for_others_are_told_without_a_request(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure._layer.wait = 100
    fake_azure.faults.add(Throttling(), on="disks.createOrUpdate")
    with pytest.raises(Throttled) as caught:
        provider.begin(wanted(), deadline=within(fake_azure, 30))
    assert caught.value.cloud_code == "TooManyRequests"
    assert caught.value.request_id
    fake_azure.requests.clear()
    with pytest.raises(Throttled) as again:
        provider.begin(wanted("other"), deadline=within(fake_azure, 30))
    assert again.value.cloud_code == "TooManyRequests"
    assert fake_azure.requests.count("disks.createOrUpdate") == 0
    assert created(provider, "third").name == "third"  # it waits until it may


def test_one_throttled_family_does_not_stop_the_others(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure._layer.wait = 100
    fake_azure.faults.add(Throttling(), on="disks.createOrUpdate")
    with pytest.raises(Throttled):
        provider.begin(wanted(), deadline=within(fake_azure, 30))
    assert list(provider.list()) == []
    families = provider._api._families
    stopped = [name for name, family in families.items() if family.stopped > 0]
    assert stopped == [DISK_WRITES]


def test_machines_are_throttled_one_by_one(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    one, two = fake_azure.run_instance(), fake_azure.run_instance()
    first, second = created(provider, "first"), created(provider, "second")
    fake_azure._layer.wait = 50

    def is_one(call: Call) -> bool:
        return call.parameters["vmName"] == one.rpartition("/")[2]

    fake_azure.faults.add(Throttling(), on="*.attachDetachDataDisks", when=is_one, times=None)
    deadline = within(fake_azure, 20)
    with pytest.raises(Throttled):
        perform(provider, AttachVolume("attach", first.id, one), deadline=deadline)
    began = fake_azure.clock.monotonic()
    attached(provider, second, two)
    assert fake_azure.clock.monotonic() - began < 50
    assert f"{WRITES} of {one}" in provider._api._families
    assert f"{READS} of {two}" in provider._api._families


def test_the_limits_of_a_machine_are_lived_with(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.throttle_machines()
    instance = fake_azure.run_instance(size="Standard_D64s_v5")
    for number in range(16):  # twelve at once, then four a minute
        attached(provider, created(provider, f"volume-{number}"), instance)
    assert len(fake_azure.machines()[instance].data_disks) == 16


def test_not_every_machine_is_remembered_for_ever(
    provider: AzureProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_client, "FAMILIES_MAX", 3)
    for number in range(10):
        provider._api._family(f"{READS} of {number}")
    assert len(provider._api._families) == 3


def test_no_permission_names_the_action_and_is_not_tried_again(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.faults.add(Refused("AuthorizationFailed", status=403), on="disks.createOrUpdate")
    with pytest.raises(AccessDenied) as caught:
        provider.begin(wanted())
    assert caught.value.operation == "Disks_CreateOrUpdate"
    assert fake_azure.requests.count("disks.createOrUpdate") == 1


@pytest.mark.parametrize("action", ["disks.get", "disks.listByResourceGroup"])
def test_an_error_is_never_taken_for_absence(
    provider: AzureProvider, fake_azure: FakeAzure, action: str
) -> None:
    # The defence is `error.kind != self._kind.name` in cloudcrypt_azure._shelf.Shelf.named, and
    # that only Azure's own codes are NotFound: `_errors.TABLE`.
    for code, status in [
        ("ResourceGroupNotFound", 404),
        ("SubscriptionNotFound", 404),
        ("AuthorizationFailed", 403),
        ("SomethingNew", 404),
    ]:
        fake_azure.faults.clear()
        fake_azure.faults.add(Refused(code, status=status), on=action)
        with pytest.raises(Exception, match=code):
            _ = provider.begin(wanted()) if action == "disks.get" else list(provider.list())
    assert fake_azure.requests.count("disks.createOrUpdate") == 0


def test_a_resource_group_that_does_not_exist_is_told(fake_azure: FakeAzure) -> None:
    other = AzureProvider(
        fake_azure.subscription,
        "no-such-group",
        location=fake_azure.location,
        credential=fake_azure.credential(),
        endpoint=fake_azure.endpoint,
        clock=fake_azure.clock,
    )
    with pytest.raises(NotFound) as caught:
        other.begin(wanted())
    assert caught.value.kind == "resource group"


@pytest.mark.parametrize(
    "error",
    [CredentialUnavailableError(message="nobody"), ClientAuthenticationError("expired secret")],
)
def test_without_credentials_that_is_what_is_told(fake_azure: FakeAzure, error: Exception) -> None:
    provider = opened(fake_azure, credential=Broken(error))
    with pytest.raises(CredentialsRefused) as caught:
        provider.get(GONE)
    assert caught.value.provider == provider.url
    assert caught.value.__cause__ is error
    assert len(fake_azure.requests) == 0


def test_a_token_that_azure_does_not_take_is_told(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.faults.add(Refused("ExpiredAuthenticationToken", status=401), on="disks.get")
    with pytest.raises(CredentialsRefused):
        provider.begin(wanted())


def test_the_token_is_asked_for_what_azure_resource_manager_takes() -> None:
    public = _transport._scope("https://management.azure.com")
    assert public == "https://management.azure.com/.default"
    government = _transport._scope("https://management.usgovcloudapi.net/")
    assert government == "https://management.core.usgovcloudapi.net/.default"
    assert (
        _transport._scope("https://private.example/arm") == "https://private.example/arm/.default"
    )


def test_a_host_that_does_not_answer_is_unavailability(fake_azure: FakeAzure) -> None:
    provider = opened(fake_azure, endpoint="http://127.0.0.1:9")
    with pytest.raises(ProviderUnavailable) as caught:
        provider.get(GONE)
    assert "Disks_ListByResourceGroup" in caught.value.reason


def test_tokens_appear_in_no_error(fake_azure: FakeAzure) -> None:
    class Secret:
        def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
            return AccessToken("hunter2", 2**33)

    provider = opened(fake_azure, credential=Secret(), endpoint="http://127.0.0.1:9")
    with pytest.raises(ProviderUnavailable) as caught:
        provider.get(GONE)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_a_cancelled_caller_asks_nothing(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    until = Deadline.after(60, clock=fake_azure.clock, cancellation=cancellation)
    with pytest.raises(OperationCancelled):
        provider.begin(wanted(), deadline=until)
    assert len(fake_azure.requests) == 0


def test_lists_of_several_pages_are_whole(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    fake_azure.limit_pages(2)
    made = [created(provider, f"volume-{number}").id for number in range(7)]
    fake_azure.requests.clear()
    assert sorted(volume.id for volume in provider.list()) == sorted(made)
    assert fake_azure.requests.count("disks.listByResourceGroup") == 4


def test_a_page_that_fails_is_asked_for_again_alone(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    fake_azure.limit_pages(2)
    made = [created(provider, f"volume-{number}").id for number in range(7)]
    fake_azure.requests.clear()
    fake_azure.faults.add(ServerError(503), on="disks.listByResourceGroup", occurrence=3)
    assert sorted(volume.id for volume in provider.list()) == sorted(made)
    assert fake_azure.requests.count("disks.listByResourceGroup") == 5


def test_a_next_page_elsewhere_is_not_asked_for(
    provider: AzureProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The defence is `is_ours(link)` in cloudcrypt_azure._client.Api.pages.

    def page(_action: str, _things: str, _lists: object, link: str | None, _by: object) -> Reply:
        assert link is None
        return Reply(200, {}, {"value": [], "nextLink": "https://example.org/steal"})

    monkeypatch.setattr(provider._api, "_page", page)
    with pytest.raises(ProviderUnavailable, match="elsewhere"):
        list(provider.list())
