"""Constellation's URIs of a KMS or a store, as the URLs of the adapters that speak to these."""

from urllib.parse import quote_plus

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt.keys.uris import (
    AwsCredentials,
    AwsKmsUri,
    AwsStoreUri,
    AzureCredentials,
    AzureKmsUri,
    AzureStoreUri,
    ClusterKmsUri,
    GcpStoreUri,
    NoStoreUri,
    parse_kms_uri,
    parse_store_uri,
)

NO_STORE = "storage://no-store"
"""Constellation's URI for keeping nothing, which is for derived keys alone."""


def is_foreign_kms(url: str) -> bool:
    """Say whether ``url`` is Constellation's for the KMS of a cloud."""
    head = url.partition("?")[0].rstrip("/")
    return head in {"kms://aws", "kms://azure", "kms://gcp"}


def is_foreign_store(url: str) -> bool:
    """Say whether ``url`` is Constellation's for a store."""
    return url.startswith("storage://")


def kms_url(uri: str) -> str:
    """Return the URL of our adapter for a ``kms://`` URI of a cloud; it may hold credentials.

    Raises:
        KeyUriInvalid: it is not one; it is not repeated.
    """
    found = parse_kms_uri(uri)
    if isinstance(found, ClusterKmsUri):
        raise KeyUriInvalid("kms://aws, kms://azure, kms://gcp", "keys of this one are derived")
    if isinstance(found, AwsKmsUri):
        return _url("aws-kms", found.key_name, region=found.region, **_aws(found.credentials))
    if isinstance(found, AzureKmsUri):
        host = f"{found.vault_name}.{found.vault_type}"
        return _url("azure-keyvault", f"{host}/{found.key_name}", **_azure(found.credentials))
    ring = f"projects/{found.project_id}/locations/{found.location}/keyRings/{found.key_ring}"
    path = f"{ring}/cryptoKeys/{found.key_name}"
    return _url("gcp-kms", path, credentialsPath=found.credentials_path)


def store_url(uri: str) -> str:
    """Return the URL of our adapter for a ``storage://`` URI; it may hold credentials.

    Raises:
        KeyUriInvalid: it is not one, or keeps nothing; it is not repeated.
    """
    found = parse_store_uri(uri)
    if isinstance(found, NoStoreUri):
        reason = (
            "a KMS wraps random keys, which are lost unless they are stored; no-store is for "
            "kms://cluster-kms, whose keys are derived"
        )
        raise KeyUriInvalid("storage://aws, storage://azure, storage://gcp", reason)
    if isinstance(found, AwsStoreUri):
        return _url("s3", found.bucket, region=found.region, **_aws(found.credentials))
    if isinstance(found, GcpStoreUri):
        path, project = found.credentials_path, found.project_id
        return _url("gs", found.bucket, project=project, credentialsPath=path)
    return _of_azure(found)


def _of_azure(found: AzureStoreUri) -> str:
    return _url("azblob", f"{found.account}/{found.container}", **_azure(found.credentials))


def _aws(credentials: AwsCredentials | None) -> dict[str, str]:
    if credentials is None:
        return {}
    secret = bytes(credentials.access_key.reveal()).decode()
    return {"accessKeyID": credentials.access_key_id, "accessKey": secret}


def _azure(credentials: AzureCredentials | None) -> dict[str, str]:
    if credentials is None:
        return {}
    secret = bytes(credentials.client_secret.reveal()).decode()
    return {
        "tenantID": credentials.tenant_id,
        "clientID": credentials.client_id,
        "clientSecret": secret,
    }


def _url(scheme: str, path: str, **parameters: str | None) -> str:
    """Return a URL; names are as they are in adapters, which do not decode them.

    Raises:
        KeyUriInvalid: a name has a character that ends one in a URL.
    """
    if not path.isprintable() or any(character in path for character in "?#% "):
        raise KeyUriInvalid(f"{scheme}://", "names have no spaces and none of ? # %")
    given = {name: value for name, value in parameters.items() if value is not None}
    query = "&".join(f"{name}={quote_plus(value)}" for name, value in given.items())
    return f"{scheme}://{path}" + (f"?{query}" if query else "")
