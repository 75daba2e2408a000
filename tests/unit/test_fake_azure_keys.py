"""The fake of Azure's key services, asked by the SDKs: what clients of others rely on."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient, KeyType
from azure.keyvault.keys.crypto import (
    CryptographyClient,
    EncryptionAlgorithm,
    KeyWrapAlgorithm,
    SignatureAlgorithm,
)
from azure.storage.blob import ContainerClient

from cloudcrypt_azure._keys_access import Access
from cloudcrypt_azure._keys_transport import Transport, options
from cloudcrypt_testing.fake_azure_keys import FakeAzureKeys
from cloudcrypt_testing.fake_azure_keys.ciphers import OPERATIONS, new_material
from cloudcrypt_testing.fake_azure_keys.errors import ServiceError

_HOST = "cluster.vault.azure.net"


@pytest.fixture
def azure() -> Iterator[FakeAzureKeys]:
    with FakeAzureKeys() as fake:
        yield fake


@pytest.fixture
def keys(azure: FakeAzureKeys) -> KeyClient:
    transport = Transport(Access("test", _HOST, azure.endpoint, str(azure.ca)))
    return KeyClient(f"https://{_HOST}", azure.credential, **options(transport))


@pytest.fixture
def container(azure: FakeAzureKeys) -> ContainerClient:
    azure.account("account", "keys")
    host = "account.blob.core.windows.net"
    transport = Transport(Access("test", host, azure.endpoint, str(azure.ca)))
    made = options(transport)
    return ContainerClient(f"https://{host}", "keys", credential=azure.credential, **made)


def _remote(azure: FakeAzureKeys, keys: KeyClient, name: str) -> CryptographyClient:
    """Return a client that knows the key by its id only, and so computes nothing itself."""
    transport = Transport(Access("test", _HOST, azure.endpoint, str(azure.ca)))
    key_id = keys.get_key(name).id
    client = CryptographyClient(key_id, azure.credential, **options(transport))
    vars(client)["_keys_get_forbidden"] = True
    return client


def test_an_rsa_key_wraps_signs_and_verifies(azure: FakeAzureKeys, keys: KeyClient) -> None:
    azure.create_key(_HOST, "rsa", "RSA")
    remote, local = _remote(azure, keys, "rsa"), keys.get_cryptography_client("rsa")
    algorithm = KeyWrapAlgorithm.rsa_oaep_256
    for one, other in ((remote, local), (local, remote)):
        wrapped = one.wrap_key(algorithm, b"key")
        assert other.unwrap_key(algorithm, wrapped.encrypted_key).key == b"key"
    digest = hashlib.sha256(b"text").digest()
    signed = remote.sign(SignatureAlgorithm.ps256, digest)
    for one in (remote, local):
        assert one.verify(SignatureAlgorithm.ps256, digest, signed.signature).is_valid
        assert not one.verify(SignatureAlgorithm.ps256, bytes(32), signed.signature).is_valid
    assert azure.requests.count("keys.verify") == 2


def test_an_ec_key_signs_and_verifies(azure: FakeAzureKeys, keys: KeyClient) -> None:
    azure.create_key(_HOST, "ec", "EC")
    remote, local = _remote(azure, keys, "ec"), keys.get_cryptography_client("ec")
    digest = hashlib.sha256(b"text").digest()
    signed = remote.sign(SignatureAlgorithm.es256, digest)
    for one in (remote, local):
        assert one.verify(SignatureAlgorithm.es256, digest, signed.signature).is_valid
        assert not one.verify(SignatureAlgorithm.es256, bytes(32), signed.signature).is_valid
    with pytest.raises(HttpResponseError) as caught:
        remote.sign(SignatureAlgorithm.es384, digest)
    assert caught.value.status_code == 400


def test_a_key_does_what_it_is_for(azure: FakeAzureKeys, keys: KeyClient) -> None:
    azure.create_key(_HOST, "oct", "oct-HSM").operations = ("decrypt",)
    with pytest.raises(HttpResponseError) as caught:
        _remote(azure, keys, "oct").encrypt(EncryptionAlgorithm.a256_gcm, b"key")
    assert caught.value.status_code == 403
    assert '"KeyOperationForbidden"' in str(caught.value.response and caught.value.response.text())


@pytest.mark.parametrize("kind", ["oct-HSM", "RSA", "EC"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_a_key_cannot_do_is_an_incorrect_parameter(kind: str, operation: str) -> None:
    material = new_material(kind, "P-256")
    _, run = OPERATIONS[operation]
    for algorithm in ("", "RSA-OAEP", "A128GCM", "ES384"):
        with pytest.raises(ServiceError) as caught:
            run(material, algorithm, bytes(64), {"digest": bytes(32), "iv": b"", "tag": b""})
        assert (caught.value.status, caught.value.code) == (400, "BadParameter")


def test_there_are_keys_of_these_kinds_only(azure: FakeAzureKeys) -> None:
    for kind, curve in (("EC", "P-521"), ("DSA", "P-256")):
        with pytest.raises(ServiceError):
            azure.create_key(_HOST, "key", kind, curve)


def test_versions_are_listed_on_pages_and_rotated(azure: FakeAzureKeys, keys: KeyClient) -> None:
    for _ in range(60):
        azure.create_key(_HOST, "oct", "oct-HSM")
    versions = [one.version for one in keys.list_properties_of_key_versions("oct")]
    assert versions == [one.version for one in azure.key(_HOST, "oct").versions]
    assert azure.requests.count("keys.versions") == 3
    rotated = keys.rotate_key("oct")
    assert rotated.key_type == KeyType.oct_hsm
    assert keys.get_key("oct").id == rotated.id
    assert keys.get_key("oct", versions[0]).properties.version == versions[0]


def test_attributes_of_a_key_are_shown(azure: FakeAzureKeys, keys: KeyClient) -> None:
    version = azure.create_key(_HOST, "oct", "oct-HSM")
    version.expires = azure.clock.now() + timedelta(days=1)
    shown = keys.get_key("oct").properties
    assert (shown.enabled, shown.expires_on, shown.not_before) == (True, version.expires, None)
    with pytest.raises(ResourceNotFoundError):
        keys.get_key("other")


def test_a_token_is_for_one_kind_of_service(azure: FakeAzureKeys) -> None:
    azure.create_key(_HOST, "oct", "oct-HSM")
    token = azure.credential.get_token("https://storage.azure.com/.default").token
    url = f"{azure.endpoint}/keys/oct/?api-version=7.6"
    headers = {"Host": _HOST, "Authorization": f"Bearer {token}"}
    with requests.Session() as session:
        answer = session.get(url, headers=headers, verify=str(azure.ca), timeout=10)
        assert answer.status_code == 401
        assert "vault.azure.net" in answer.headers["WWW-Authenticate"]
        headers["Host"] = "account.blob.core.windows.net"
        answer = session.get(
            f"{azure.endpoint}/keys?restype=container&comp=list",
            headers=headers,
            verify=str(azure.ca),
            timeout=10,
        )
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (404, "ContainerNotFound")


def test_only_its_client_gets_a_token(azure: FakeAzureKeys) -> None:
    transport = Transport(Access("test", _HOST, azure.endpoint, str(azure.ca)))
    values = azure.workload()
    for client, is_known in ((values["AZURE_CLIENT_ID"], True), ("other", False)):
        credential = ClientSecretCredential(
            values["AZURE_TENANT_ID"],
            client,
            azure.secret,
            authority=azure.endpoint,
            disable_instance_discovery=True,
            transport=transport,
            retry_total=0,
        )
        if is_known:
            assert credential.get_token("https://vault.azure.net/.default").token
        else:
            with pytest.raises(HttpResponseError, match="AADSTS700016"):
                credential.get_token("https://vault.azure.net/.default")


def test_blobs_have_conditions_and_snapshots(container: ContainerClient) -> None:
    blob = container.get_blob_client("a")
    with pytest.raises(ResourceNotFoundError):
        blob.get_blob_properties()
    first = blob.upload_blob(b"one")
    with pytest.raises(ResourceExistsError):
        blob.upload_blob(b"two")
    blob.create_snapshot()
    blob.upload_blob(b"two", overwrite=True)
    with pytest.raises(ResourceModifiedError):
        blob.upload_blob(
            b"three",
            overwrite=True,
            etag=first["etag"],
            match_condition=MatchConditions.IfNotModified,
        )
    with pytest.raises(HttpResponseError) as caught:
        blob.delete_blob()
    assert caught.value.status_code == 409
    assert blob.get_blob_properties().size == 3
    assert [one.snapshot is not None for one in container.list_blobs(include=["snapshots"])] == [
        True,
        False,
    ]
    blob.delete_blob(delete_snapshots="include")
    assert list(container.list_blobs(include=["snapshots"])) == []


def test_ranges_of_a_blob_are_read(container: ContainerClient) -> None:
    content = bytes(range(256)) * 8
    blob = container.get_blob_client("folder/a b%c")
    blob.upload_blob(content)
    assert blob.download_blob(offset=3, length=5).readall() == content[3:8]
    assert blob.download_blob().readall() == content
    with pytest.raises(HttpResponseError) as caught:
        blob.download_blob(offset=5000, length=1)
    assert caught.value.status_code == 416


def test_versions_of_a_blob_go_one_by_one_and_the_current_one_does_not(
    azure: FakeAzureKeys, container: ContainerClient
) -> None:
    account = azure.account("account")
    account.versioning, account.soft_delete, account.permanent_delete = True, 7, True
    blob = container.get_blob_client("a")
    old, new = (blob.upload_blob(text, overwrite=True)["version_id"] for text in (b"1", b"2"))
    with pytest.raises(HttpResponseError) as caught:
        container.get_blob_client("a", version_id=new).delete_blob()
    assert caught.value.status_code == 403
    version = container.get_blob_client("a", version_id=old)
    with pytest.raises(ResourceExistsError) as refused:
        version.delete_blob(blob_delete_type="Permanent")
    assert refused.value.status_code == 409
    version.delete_blob()
    with pytest.raises(ResourceNotFoundError):
        version.delete_blob()
    version.delete_blob(blob_delete_type="Permanent")
    everything = ["versions", "snapshots", "deleted"]
    assert [one.version_id for one in container.list_blobs(include=everything)] == [new]


def test_what_soft_delete_keeps_is_listed_with_its_days(
    azure: FakeAzureKeys, container: ContainerClient
) -> None:
    azure.account("account").soft_delete = 7
    container.upload_blob("a", b"one")
    container.upload_blob("a", b"two", overwrite=True)
    container.delete_blob("a")
    azure.clock.advance(86400)
    assert list(container.list_blobs()) == []
    kept = list(container.list_blobs(include=["deleted", "snapshots"]))
    assert [(one.deleted, one.remaining_retention_days) for one in kept] == [(True, 6)] * 2
    container.upload_blob("a", b"three")
    kept = list(container.list_blobs(include=["deleted", "snapshots"]))
    assert [bool(one.deleted) for one in kept] == [True, True, False]


def test_what_nobody_offers_is_refused(azure: FakeAzureKeys) -> None:
    names = {
        _HOST: ("keys/a/b/c", "https://vault.azure.net"),
        "account.blob.core.windows.net": ("keys?restype=service", "https://storage.azure.com"),
    }
    with requests.Session() as session:
        for host, (path, audience) in names.items():
            token = azure.credential.get_token(f"{audience}/.default").token
            headers = {"Host": host, "Authorization": f"Bearer {token}"}
            url = f"{azure.endpoint}/{path}{'&' if '?' in path else '?'}api-version=7.6"
            answer = session.get(url, headers=headers, verify=str(azure.ca), timeout=10)
            assert answer.status_code in {404, 405}
        answer = session.get(f"{azure.endpoint}/", verify=str(azure.ca), timeout=10)
        assert answer.status_code == 404
