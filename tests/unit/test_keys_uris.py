"""The URIs of Constellation, as values, and that none of their secrets shows."""

import pytest

from cloudcrypt.errors import KeyServiceError, KeyUriInvalid, MasterSecretInvalid
from cloudcrypt.keys.uris import (
    AwsCredentials,
    AwsKmsUri,
    AwsStoreUri,
    AzureCredentials,
    AzureKmsUri,
    AzureStoreUri,
    ClusterKmsUri,
    GcpKmsUri,
    GcpStoreUri,
    NoStoreUri,
    parse_kms_uri,
    parse_store_uri,
)
from cloudcrypt.secret import Secret
from tests.unit.key_servers import VECTORS, master_secret_uri

AWS = AwsCredentials("AKID", Secret(b"SEC/RET+1"))
AZURE = AzureCredentials("tenant", "client", Secret(b"SEC~RET &1"))
AZURE_TEXT = "tenantID=tenant&clientID=client&clientSecret=SEC~RET+%261"

KMS = {
    "kms://aws?region=eu-central-1&accessKeyID=AKID&accessKey=SEC%2FRET%2B1&keyName=kek": (
        AwsKmsUri("eu-central-1", "kek", AWS)
    ),
    # As Constellation itself writes it, without escapes.
    "kms://aws?region=eu-central-1&accessKeyID=AKID&accessKey=SEC/RET+1&keyName=alias/kek": (
        AwsKmsUri("eu-central-1", "alias/kek", AWS)
    ),
    "kms://aws?keyName=kek&region=eu-central-1": AwsKmsUri("eu-central-1", "kek", None),
    "kms://aws?keyName=kek&region=r&accessKeyID=&accessKey=": AwsKmsUri("r", "kek", None),
    f"kms://azure?{AZURE_TEXT}&vaultName=v&vaultType=managedhsm.azure.net&keyName=kek": (
        AzureKmsUri("v", "managedhsm.azure.net", "kek", AZURE)
    ),
    "kms://azure?vaultName=v&vaultType=vault.azure.net&keyName=kek": (
        AzureKmsUri("v", "vault.azure.net", "kek", None)
    ),
    "kms://gcp?projectID=p&location=global&keyRing=ring&credentialsPath=%2Fgcp.json&keyName=kek": (
        GcpKmsUri("p", "global", "ring", "kek", "/gcp.json")
    ),
    "kms://gcp/?projectID=p&location=global&keyRing=ring&keyName=kek": (
        GcpKmsUri("p", "global", "ring", "kek", None)
    ),
}

STORES = {
    "storage://no-store": NoStoreUri(),
    "storage://aws?bucket=b&region=r&accessKeyID=AKID&accessKey=SEC%2FRET%2B1": (
        AwsStoreUri("b", "r", AWS)
    ),
    "storage://aws?bucket=b&region=r": AwsStoreUri("b", "r", None),
    f"storage://azure?account=a&container=c&{AZURE_TEXT}": AzureStoreUri("a", "c", AZURE),
    "storage://azure?account=a&container=c": AzureStoreUri("a", "c", None),
    "storage://gcp?projectID=p&bucket=b&credentialsPath=/gcp.json": (
        GcpStoreUri("p", "b", "/gcp.json")
    ),
    "storage://gcp?projectID=p&bucket=b": GcpStoreUri("p", "b", None),
}


@pytest.mark.parametrize("uri", KMS)
def test_a_uri_names_a_key_management_system(uri: str) -> None:
    value = parse_kms_uri(uri)
    assert KMS[uri] == value
    assert "RET" not in repr(value)


@pytest.mark.parametrize("uri", STORES)
def test_a_uri_names_a_store(uri: str) -> None:
    value = parse_store_uri(uri)
    assert STORES[uri] == value
    assert "RET" not in repr(value)


@pytest.mark.parametrize(("secret", "salt", "key_id", "expected"), VECTORS)
def test_a_uri_of_the_cluster_gives_the_vectors(
    secret: bytes, salt: bytes, key_id: str, expected: bytes
) -> None:
    value = parse_kms_uri(master_secret_uri(secret, salt))
    assert isinstance(value, ClusterKmsUri)
    assert Secret(expected) == value.master_secret.data_key(key_id, 32)


MALFORMED_KMS = [
    "",
    "kms:",
    "kms://",
    "kms://SECRET",
    "kms://cluster-kms",
    "kms://cluster-kmsSECRET",
    "kms://cluster-kms?key=SECRET&salt=SECRET",
    "storage://aws?bucket=b&region=r",
    "KMS://aws?keyName=SECRET",
    "kms://aws",
    "kms://aws?SECRET",
    "kms://aws?region=r",
    "kms://aws?keyName=k&region=",
    "kms://aws?region=r&keyName=k&accessKey=SECRET",
    "kms://aws?region=r&keyName=k&accessKeyID=SECRET",
    "kms://aws?region=r&keyName=k&keyName=SECRET",
    "kms://aws?region=r&keyName=k&SECRET=1",
    "kms://aws/SECRET?region=r&keyName=k",
    "kms://aws?region=r&keyName=k#SECRET",
    "kms://SECRET@aws?region=r&keyName=k",
    "kms://azure?vaultName=v&vaultType=t&keyName=k&clientSecret=SECRET",
    "kms://gcp?projectID=p&location=l&keyRing=r",
    "kms://[aws?SECRET",
]


@pytest.mark.parametrize("uri", MALFORMED_KMS)
def test_a_malformed_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises((KeyUriInvalid, MasterSecretInvalid)) as refusal:
        parse_kms_uri(uri)
    _is_silent(refusal.value)


@pytest.mark.parametrize(
    "uri",
    [
        "storage://",
        "storage://cluster-kms?key=SECRET",
        "storage://no-store?SECRET=1",
        "storage://aws?bucket=b",
        "storage://azure?account=a&container=c&tenantID=SECRET",
        "storage://gcp?bucket=b&SECRET",
        "kms://aws?region=r&keyName=k",
    ],
)
def test_a_malformed_uri_of_a_store_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(KeyUriInvalid) as refusal:
        parse_store_uri(uri)
    _is_silent(refusal.value)


def _is_silent(error: KeyServiceError) -> None:
    assert "SECRET" not in f"{error}{error!r}"
    assert (None, None) == (error.__cause__, error.__context__)
