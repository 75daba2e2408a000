"""Requests to GCE: how often, how long, at which endpoint, and with whose credentials."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import credentials as google_credentials
from google.auth import exceptions as auth_exceptions
from google.cloud import compute_v1
from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

from cloudcrypt.errors import (
    AccessDenied,
    CredentialsRefused,
    InvalidRequest,
    OperationCancelled,
    ProviderUnavailable,
    QuotaExceeded,
    Throttled,
)
from cloudcrypt.spi import DeleteVolume, perform
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.world.faults import ConnectionLost, Refused, ServerError
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.gcp_given import (
    GONE,
    PROJECT,
    REGION,
    ZONE,
    attached,
    created,
    opened,
    wanted,
    within,
)

auth: Any = auth_exceptions  # has no whole types


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give what each method of the SDK is called with, apart from the request."""
    seen: list[dict[str, Any]] = []
    for client in ("Disks", "Instances", "ZoneOperations", "RegionDisks"):
        owner = getattr(compute_v1, f"{client}Client")
        for name in ("insert_unary", "get", "aggregated_list", "attach_disk_unary", "list"):
            method = getattr(owner, name, None)
            if method is not None:
                monkeypatch.setattr(owner, name, _recording(method, seen))
    return seen


def _recording(method: Any, seen: list[dict[str, Any]]) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        seen.append({key: value for key, value in options.items() if key != "request"})
        return method(*arguments, **options)

    return call


def test_the_sdk_tries_nothing_again_by_itself_and_has_a_timeout(
    provider: GcpProvider, fake_gce: FakeGce, calls: list[dict[str, Any]]
) -> None:
    attached(provider, created(provider), fake_gce.run_instance(ZONE))
    assert len(calls) > 8
    assert {call["retry"] for call in calls} == {None}
    assert all(10 <= call["timeout"] <= 60 for call in calls)


def test_a_timeout_is_what_is_left_of_the_deadline_within_reason(
    provider: GcpProvider, fake_gce: FakeGce, calls: list[dict[str, Any]]
) -> None:
    provider.begin(wanted("one"), deadline=within(fake_gce, 1000))
    provider.begin(wanted("two"), deadline=within(fake_gce, 30))
    provider.begin(wanted("three"), deadline=within(fake_gce, 1))
    assert sorted({call["timeout"] for call in calls}) == [10, 30, 60]


def test_operations_are_looked_at_where_the_requests_go(
    provider: GcpProvider, fake_gce: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own way to wait asks compute.googleapis.com, whatever the endpoint is."""

    def refused(*_: object, **__: object) -> None:
        pytest.fail("an ExtendedOperation was made")

    for name in ("insert", "attach_disk", "delete"):
        for client in (compute_v1.DisksClient, compute_v1.InstancesClient):
            if hasattr(client, name):
                monkeypatch.setattr(client, name, refused)
    created(provider)
    assert fake_gce.requests.count("zoneOperations.get") > 0


def test_each_request_that_changes_something_has_a_request_id(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    volume = created(provider)
    attached(provider, volume, fake_gce.run_instance(ZONE))
    ids = [one.request_id for one in fake_gce.operations().values()]
    assert len(ids) == len(set(ids)) == 2
    assert None not in ids


def test_who_asks_is_said(provider: GcpProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    really = requests.Session.request

    def request(session: Any, *arguments: Any, **options: Any) -> Any:
        sent.append(str(options["headers"]))
        return really(session, *arguments, **options)

    monkeypatch.setattr(requests.Session, "request", request)
    created(provider)
    assert sent
    assert all("cloudcrypt/" in headers for headers in sent)


def test_throttled_requests_are_sent_again_and_slower(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.throttle("disks.insert", burst=2, rate=1)
    for each in range(10):
        created(provider, f"volume-{each}")
    assert len(fake_gce.disks()) == 10


def test_throttling_by_status_429_is_throttling_too(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.throttle("disks.insert", burst=1, rate=1, status=429)
    for each in range(3):
        created(provider, f"volume-{each}")
    assert len(fake_gce.disks()) == 3


def test_one_throttled_family_does_not_slow_down_the_others(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.faults.add(Throttling(), on="disks.insert", times=3)
    created(provider)
    rates = {name: family.bucket.rate for name, family in provider._api._families.items()}
    assert {name for name, rate in rates.items() if rate != float("inf")} == {"create"}


def test_the_last_word_of_gce_is_kept_when_it_throttles(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.faults.add(Throttling(), on="disks.insert", times=None)
    with pytest.raises(Throttled) as caught:
        provider.begin(wanted(), deadline=within(fake_gce, 30))
    assert caught.value.cloud_code == "rateLimitExceeded"
    # The bucket is empty now: nothing is sent before the deadline, and the reason is still told.
    fake_gce.requests.clear()
    with pytest.raises(Throttled) as again:
        provider.begin(wanted("other"), deadline=within(fake_gce, 0.01))
    assert again.value.cloud_code == "rateLimitExceeded"
    assert fake_gce.requests.count("disks.insert") == 0


def test_no_permission_names_the_method_and_is_not_tried_again(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.faults.add(Refused("forbidden", status=403), on="disks.insert")
    with pytest.raises(AccessDenied) as caught:
        provider.begin(wanted())
    assert caught.value.operation == "disks.insert"
    assert fake_gce.requests.count("disks.insert") == 1


def test_a_quota_is_not_tried_again(provider: GcpProvider, fake_gce: FakeGce) -> None:
    fake_gce.faults.add(Refused("quotaExceeded", status=403), on="disks.insert", times=None)
    with pytest.raises(QuotaExceeded):
        provider.begin(wanted())
    assert fake_gce.requests.count("disks.insert") == 1


@pytest.mark.parametrize("fault", [ServerError(500), ServerError(503), ConnectionLost()])
def test_what_cannot_be_reached_is_asked_again_and_the_last_error_kept(
    provider: GcpProvider, fake_gce: FakeGce, fault: ServerError | ConnectionLost
) -> None:
    volume = created(provider)
    fake_gce.faults.add(fault, on="disks.get", times=2)
    assert provider.get(volume.id) == volume
    fake_gce.faults.add(fault, on="disks.get", times=None)
    with pytest.raises(ProviderUnavailable) as caught:
        provider.get(volume.id)
    assert caught.value.__cause__ is not None


def test_an_answer_that_is_no_json_is_asked_for_again(
    provider: GcpProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = created(provider)
    really, broken = compute_v1.DisksClient.get, iter([True, True, False])

    def get(client: Any, **options: Any) -> Any:
        if next(broken):
            raise ParseError("half a body")
        return really(client, **options)

    monkeypatch.setattr(compute_v1.DisksClient, "get", get)
    assert provider.get(volume.id) == volume


def test_a_caller_that_cancelled_sends_nothing(provider: GcpProvider, fake_gce: FakeGce) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(OperationCancelled):
        provider.begin(wanted(), deadline=Deadline.after(cancellation=cancellation))
    assert len(fake_gce.requests) == 0


def test_a_provider_that_was_closed_can_be_used_again(provider: GcpProvider) -> None:
    volume = created(provider)
    provider.close()
    assert provider.get(volume.id) == volume


def test_nothing_is_asked_before_the_first_request(fake_gce: FakeGce) -> None:
    opened(fake_gce).close()
    assert len(fake_gce.requests) == 0


# --- credentials ------------------------------------------------------------------------------


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let there be no credentials anywhere."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Give the key of a service account, as Google's console writes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    document = {
        "type": "service_account",
        "project_id": "key-project",
        "private_key_id": "1",
        "private_key": text.decode(),
        "client_email": "robot@key-project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.example/token",
    }
    path = tmp_path / "key.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.usefixtures("nobody")
def test_without_credentials_that_is_what_is_told(fake_gce: FakeGce) -> None:
    provider = GcpProvider(PROJECT, REGION, endpoint=fake_gce.endpoint, clock=fake_gce.clock)
    with pytest.raises(CredentialsRefused) as caught:
        provider.get(GONE)
    assert caught.value.provider == provider.url
    assert isinstance(caught.value.__cause__, auth.DefaultCredentialsError)


@pytest.mark.usefixtures("nobody")
def test_without_credentials_and_project_it_is_told_at_once() -> None:
    with pytest.raises(CredentialsRefused):
        GcpProvider(None, REGION)


def test_a_metadata_server_that_does_not_answer_is_another_error(
    fake_gce: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(**_: object) -> None:
        raise auth.TransportError("no route")

    monkeypatch.setattr(google.auth, "default", unreachable)
    provider = GcpProvider(PROJECT, REGION, endpoint=fake_gce.endpoint, clock=fake_gce.clock)
    with pytest.raises(ProviderUnavailable):
        provider.get(GONE)


def test_the_default_credentials_name_the_project_and_are_looked_for_once(
    fake_gce: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def default(**options: object) -> tuple[object, str]:
        asked.append(options)
        return fake_gce.credentials(), PROJECT

    monkeypatch.setattr(google.auth, "default", default)
    provider = GcpProvider(None, REGION, endpoint=fake_gce.endpoint, clock=fake_gce.clock)
    assert provider.url.startswith(f"gcp://{PROJECT}/{REGION}")
    assert list(provider.list()) == []
    provider.close()
    assert len(asked) == 1


def test_default_credentials_without_a_project_are_not_enough(
    fake_gce: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    def default(**_: object) -> tuple[object, None]:
        return fake_gce.credentials(), None

    monkeypatch.setattr(google.auth, "default", default)
    with pytest.raises(InvalidRequest) as caught:
        GcpProvider(None, REGION)
    assert caught.value.parameter == "project"


def test_the_key_of_a_service_account_names_the_project_and_gets_a_scope(key_file: Path) -> None:
    provider = GcpProvider(None, REGION, service_account_file=str(key_file))
    assert provider.url == f"gcp://key-project/{REGION}"
    credentials = provider._api._clients._login.credentials("gcp:")
    assert credentials.service_account_email.startswith("robot@")
    assert list(credentials.scopes) == ["https://www.googleapis.com/auth/compute"]
    provider.close()


@pytest.mark.parametrize("content", [None, "no json", "{}", '{"private_key": "very secret"}'])
def test_a_file_that_is_no_key_is_refused_and_not_quoted(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidRequest) as caught:
        GcpProvider(PROJECT, REGION, service_account_file=str(path))
    assert "very secret" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None  # JSON's hold the document


def test_credentials_are_given_once(fake_gce: FakeGce, key_file: Path) -> None:
    with pytest.raises(InvalidRequest):
        opened(fake_gce, service_account_file=str(key_file))


class _Revoked(google_credentials.Credentials):
    """Credentials whose token cannot be renewed."""

    def refresh(self, request: object) -> None:  # noqa: ARG002 - as google-auth has it
        raise auth.RefreshError("invalid_grant: Token has been revoked.")


def test_credentials_that_were_revoked_are_refused(fake_gce: FakeGce) -> None:
    provider = opened(fake_gce, credentials=_Revoked())  # type: ignore[no-untyped-call]
    with pytest.raises(CredentialsRefused) as caught:
        perform(provider, DeleteVolume("t", GONE))
    assert "revoked" in str(caught.value)
    provider.close()
    assert len(fake_gce.requests) == 0


def test_no_secret_is_in_the_representation_of_a_provider(key_file: Path) -> None:
    provider = GcpProvider(PROJECT, REGION, service_account_file=str(key_file))
    shown = [provider, provider._region, provider._api, provider._api._clients]
    assert "PRIVATE KEY" not in "".join(map(repr, shown))
    provider.close()
