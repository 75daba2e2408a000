"""As whom Managed HSM is asked, where, and by which URL: tokens, names and certificates."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ServiceRequestError
from azure.identity import CredentialUnavailableError

from cloudcrypt.errors import (
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceUnavailable,
    KeyUriInvalid,
)
from cloudcrypt.kms import KMS
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._keys_access import Access
from cloudcrypt_azure._keys_transport import Transport, credential_of
from cloudcrypt_azure.blobs import BlobStore
from cloudcrypt_azure.keyvault import AzureKeyVault
from cloudcrypt_testing.fake_azure_keys import FakeAzureKeys
from cloudcrypt_testing.fake_azure_keys.errors import ServiceError
from cloudcrypt_testing.world.faults import ConnectionLost, Fault, ServerError, Throttled

_HSM = "cluster.managedhsm.azure.net"
_URL = f"azure-keyvault://{_HSM}/kek"
_ID = "cloudcrypt/v1/some"
_KEY = bytes(range(32))


@pytest.fixture
def azure() -> Iterator[FakeAzureKeys]:
    with FakeAzureKeys() as fake:
        fake.create_key(_HSM, "kek", "oct-HSM")
        yield fake


def _wrapped(kms: KMS) -> bytes:
    return kms.wrap(Secret(_KEY), _ID)


@pytest.mark.parametrize(
    "resource",
    ["https://evil.example", "https://azure.net.evil.example", "https://vault.azure.net"],
)
def test_no_token_for_another_resource_is_asked_for(azure: FakeAzureKeys, resource: str) -> None:
    kms = AzureKeyVault.from_url(azure.url(_URL.replace("cluster", "challenged")))
    azure.set_resource(resource)
    with pytest.raises(KeyServiceFailed):
        _wrapped(kms)
    assert "tokens.issue" not in azure.requests.actions
    kms.close()


def test_the_challenge_is_answered_without_the_key_in_it(azure: FakeAzureKeys) -> None:
    kms = AzureKeyVault.from_url(azure.url(_URL.replace("cluster", "fresh")))
    azure.create_key("fresh.managedhsm.azure.net", "kek", "oct-HSM")
    _wrapped(kms)
    assert azure.requests.actions == [
        "keys.challenge",
        "tokens.discover",
        "tokens.issue",
        "keys.get",
        "keys.encrypt",
    ]
    kms.close()


def test_a_server_with_another_certificate_gets_nothing(azure: FakeAzureKeys) -> None:
    with FakeAzureKeys() as other:
        url = other.url(_URL).replace(other.endpoint.rpartition(":")[2], azure.endpoint[18:])
        kms = AzureKeyVault.from_url(f"{url}&timeout=1")
        with pytest.raises(KeyServiceUnavailable):
            _wrapped(kms)
        kms.close()
    assert len(azure.requests) == 0


def test_a_server_with_a_certificate_of_another_name_gets_nothing(azure: FakeAzureKeys) -> None:
    url = azure.url("azure-keyvault://cluster.vault.example.net/kek?timeout=1")
    kms = AzureKeyVault.from_url(url)
    with pytest.raises(KeyServiceUnavailable):
        _wrapped(kms)
    kms.close()
    assert len(azure.requests) == 0


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_is_none_is_an_error_of_ours(
    azure: FakeAzureKeys, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    kms = AzureKeyVault(
        _HSM, "kek", credential=azure.credential, endpoint=azure.endpoint, ca=str(file), timeout=1
    )
    with pytest.raises((KeyServiceFailed, KeyServiceUnavailable)):
        _wrapped(kms)
    kms.close()


def test_a_workload_has_an_identity(azure: FakeAzureKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in azure.workload().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential")
    kms = AzureKeyVault.from_url(f"{_URL}?endpoint={azure.endpoint}&ca={azure.ca}")
    assert kms.unwrap(_wrapped(kms), _ID) == Secret(_KEY)
    assert azure.requests.count("tokens.issue") >= 1
    kms.close()


def test_who_has_no_credentials_is_denied(
    azure: FakeAzureKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    kms = AzureKeyVault.from_url(f"{_URL}?endpoint={azure.endpoint}&ca={azure.ca}")
    with pytest.raises(KeyDenied, match="no token"):
        _wrapped(kms)
    kms.close()


class _Nobody:
    """A credential of a host that has none."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        del scopes, options
        raise CredentialUnavailableError("no identity is assigned") from ServiceRequestError("none")


def test_who_has_no_identity_is_denied(azure: FakeAzureKeys) -> None:
    where: dict[str, Any] = {"endpoint": azure.endpoint, "ca": str(azure.ca)}
    kms = AzureKeyVault(_HSM, "kek", credential=_Nobody(), **where)
    store = BlobStore("account", "keys", credential=_Nobody(), **where)
    calls: list[Callable[[], object]] = [lambda: _wrapped(kms), lambda: store.get(_ID)]
    for call in calls:
        with pytest.raises(KeyDenied, match="no identity is assigned"):
            call()
    kms.close()
    store.close()


@pytest.mark.parametrize("service", ["vaults.Vaults", "storage.Storage"])
def test_a_redirection_is_not_followed(
    azure: FakeAzureKeys, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def redirect(*_: object) -> None:
        headers = {"Location": f"{azure.endpoint}/elsewhere"}
        raise ServiceError(307, "TemporaryRedirect", "There.", headers=headers)

    monkeypatch.setattr(f"cloudcrypt_testing.fake_azure_keys.{service}.answer", redirect)
    where: dict[str, Any] = {
        "endpoint": azure.endpoint,
        "ca": str(azure.ca),
        "credential": azure.credential,
        "clock": azure.clock,
    }
    kms, store = AzureKeyVault(_HSM, "kek", **where), BlobStore("account", "keys", **where)
    with pytest.raises(CloudcryptError):
        _ = _wrapped(kms) if service == "vaults.Vaults" else store.create(_ID, b"")
    paths = {request.parameters["path"] for request in azure.requests}
    assert paths
    assert "elsewhere" not in paths
    kms.close()
    store.close()


def test_who_has_the_wrong_secret_is_denied(azure: FakeAzureKeys) -> None:
    kms = AzureKeyVault.from_url(azure.url(_URL).replace(azure.secret, "guessed"))
    with pytest.raises(KeyDenied) as caught:
        _wrapped(kms)
    assert "guessed" not in f"{caught.value!r}{caught.value}{kms!r}"
    assert azure.requests.count("tokens.issue") == 1
    kms.close()


@pytest.mark.parametrize("fault", [ConnectionLost(), ServerError(503), Throttled()])
def test_who_gives_out_tokens_may_be_away_for_a_while(
    azure: FakeAzureKeys, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in azure.workload().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential")
    kms = AzureKeyVault.from_url(f"{_URL}?endpoint={azure.endpoint}&ca={azure.ca}")
    azure.faults.add(fault, on="tokens.issue")
    assert kms.unwrap(_wrapped(kms), _ID) == Secret(_KEY)
    kms.close()


@pytest.mark.parametrize("fault", [ConnectionLost(), ServerError(503), Throttled()])
def test_who_gives_out_tokens_being_away_is_no_question_of_permissions(
    azure: FakeAzureKeys, fault: Fault
) -> None:
    kms = AzureKeyVault.from_url(azure.url(f"{_URL}?timeout=1"))
    azure.faults.add(fault, on="tokens.issue", times=None)
    for _ in range(2):  # MSAL remembers
        with pytest.raises(KeyServiceUnavailable, match=r"no token|ServiceResponseError"):
            _wrapped(kms)
    kms.close()


def test_a_token_that_is_good_no_more_is_an_error_of_permissions(
    azure: FakeAzureKeys,
) -> None:
    kms = AzureKeyVault.from_url(azure.url(_URL))
    _wrapped(kms)
    azure.revoke_tokens()
    with pytest.raises(KeyDenied) as caught:
        _wrapped(kms)
    assert caught.value.cloud_code == "Unauthorized"
    kms.close()


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("some.vault.azure.net", "login.microsoftonline.com"),
        ("some.managedhsm.azure.net", "login.microsoftonline.com"),
        ("some.vault.azure.cn", "login.chinacloudapi.cn"),
        ("some.vault.usgovcloudapi.net", "login.microsoftonline.us"),
        ("some.managedhsm.usgovcloudapi.net", "login.microsoftonline.us"),
        ("some.blob.core.chinacloudapi.cn", "login.chinacloudapi.cn"),
        ("some.blob.core.usgovcloudapi.net", "login.microsoftonline.us"),
    ],
)
def test_each_cloud_has_its_authority(
    host: str, authority: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_AUTHORITY_HOST", raising=False)
    access = Access("kind", host, tenant_id="t", client_id="c", client_secret=Secret(b"s"))
    credential = credential_of(access, Transport(access))
    assert vars(credential)["_authority"] == f"https://{authority}"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_leaves_the_connections_of_its_parent_alone(azure: FakeAzureKeys) -> None:
    kms = AzureKeyVault.from_url(azure.url(_URL))
    blob = _wrapped(kms)
    child = os.fork()
    if child == 0:  # pragma: no cover - not measured in a child
        try:
            os._exit(0 if kms.unwrap(blob, _ID) == Secret(_KEY) else 1)
        except BaseException:  # noqa: BLE001 - the parent looks at the exit status alone
            os._exit(1)
    assert kms.unwrap(blob, _ID) == Secret(_KEY)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kms.unwrap(blob, _ID) == Secret(_KEY)
    kms.close()


@pytest.mark.parametrize("module", ["keyvault", "blobs"])
def test_keys_need_nothing_that_only_volumes_need(module: str) -> None:
    code = f"""
import sys
import cloudcrypt_azure
assert not [name for name in sys.modules if name.startswith(("azure.core", "azure.keyvault"))]
sys.modules["azure.mgmt"] = None
import cloudcrypt_azure.{module}
try:
    cloudcrypt_azure.AzureProvider
except ImportError:
    print("no provider")
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "no provider\n"


def test_each_process_has_its_own_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Transport(Access("kind", "some.vault.azure.net"))
    mine = transport._mine()
    assert transport._mine() is mine
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert transport._mine() is not mine
    assert transport._mine() is transport._mine()
    transport.give_up()


@pytest.mark.parametrize(
    "url",
    [
        "azure-keyvault://",
        f"azure-keyvault://{_HSM}",
        f"azure-keyvault://{_HSM}/",
        f"azure-keyvault://{_HSM}/kek/0123",
        f"azure-keyvault://{_HSM}/k_k",
        f"azure-keyvault://{_HSM}/{'k' * 128}",
        f"azure-keyvault://user@{_HSM}/kek",
        f"azure-keyvault://{_HSM}:443/kek",
        "azure-keyvault://vault/kek",
        "azure-keyvault://..vault.azure.net/kek",
        f"other://{_HSM}/kek",
        f"{_URL}#fragment",
        f"{_URL}?signKey=kek",
        f"{_URL}?signKey=KEK",
        f"{_URL}?signKey=a/b",
        f"{_URL}?unknown=1",
        f"{_URL}?timeout=1&timeout=2",
        f"{_URL}?timeout=0",
        f"{_URL}?timeout=soon",
        f"{_URL}?endpoint=http://127.0.0.1:1",
        f"{_URL}?endpoint=http://example.com",
        f"{_URL}?endpoint=https://example.com/path",
        f"{_URL}?endpoint=https://user:s3cret@example.com",
        f"{_URL}?authority=http://127.0.0.1:1",
        f"{_URL}?tenantID=t&clientID=c",
        f"{_URL}?clientSecret=s3cret",
        f"{_URL}?tenantID=t/../x&clientID=c&clientSecret=s3cret",
    ],
)
def test_what_is_no_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(KeyUriInvalid) as caught:
        AzureKeyVault.from_url(url)
    assert "s3cret" not in f"{caught.value!r}{caught.value}"


def test_a_url_of_the_usual_kind_needs_nothing_else() -> None:
    kms = AzureKeyVault.from_url(f"{_URL}?timeout=1.5")
    assert repr(kms) == f"<AzureKeyVault {_URL}>"
    kms.close()


def test_a_file_of_passwords_does_not_replace_the_token(
    azure: FakeAzureKeys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "netrc"
    file.write_text("default login somebody password something\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    azure.account("account", "keys")
    kms = AzureKeyVault.from_url(azure.url(_URL))
    store = BlobStore.from_url(azure.url("azblob://account/keys"))
    assert kms.unwrap(_wrapped(kms), _ID) == Secret(_KEY)
    assert store.create(_ID, b"blob")
    kms.close()
    store.close()


def test_what_hindered_a_token_is_forgotten_when_there_was_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = Transport(Access("kind", _HSM))
    seen: list[str | None] = []
    for status in (503, 429, 400, 200):
        answer = SimpleNamespace(status_code=status)
        monkeypatch.setattr(transport, "_sent", Mock(return_value=answer))
        assert transport.send(SimpleNamespace(url="https://login.example/token")) is answer
        seen.append(transport.trouble)
    assert seen == ["login.example: HTTP 503", "login.example: HTTP 429", None, None]


def test_an_endpoint_is_not_asked_by_way_of_a_proxy(
    azure: FakeAzureKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    kms = AzureKeyVault(
        _HSM, "kek", credential=azure.credential, endpoint=azure.endpoint, ca=str(azure.ca)
    )
    assert kms.unwrap(_wrapped(kms), _ID, deadline=Deadline.after(5)) == Secret(_KEY)
    kms.close()
