"""The URIs by which Constellation names a key management system and a store, as values.

``kms://cluster-kms``, ``kms://aws``, ``kms://azure``, ``kms://gcp``, and ``storage://no-store``,
``storage://aws``, ``storage://azure``, ``storage://gcp``. They may carry credentials; these become
`Secret`, and no error or repr has any part of a URI. Credentials may be left out: then it is the
identity of the workload that counts.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import attrs

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt.keys.master import MasterSecret
from cloudcrypt.secret import Secret
from cloudcrypt.urls import Query

T = TypeVar("T")


@attrs.frozen
class AwsCredentials:
    """A static access key of AWS."""

    access_key_id: str
    access_key: Secret


@attrs.frozen
class AzureCredentials:
    """The secret of an application that is registered at Microsoft Entra ID."""

    tenant_id: str
    client_id: str
    client_secret: Secret


@attrs.frozen
class ClusterKmsUri:
    """``kms://cluster-kms?key&salt``: data keys are derived from a master secret."""

    master_secret: MasterSecret


@attrs.frozen
class AwsKmsUri:
    """``kms://aws?region&keyName[&accessKeyID&accessKey]``: a key of AWS KMS."""

    region: str
    key_name: str
    credentials: AwsCredentials | None


@attrs.frozen
class AzureKmsUri:
    """``kms://azure?vaultName&vaultType&keyName[&tenantID&clientID&clientSecret]``.

    ``vault_type`` is the base of the vault's host name, such as ``vault.azure.net`` or
    ``managedhsm.azure.net``.
    """

    vault_name: str
    vault_type: str
    key_name: str
    credentials: AzureCredentials | None


@attrs.frozen
class GcpKmsUri:
    """``kms://gcp?projectID&location&keyRing&keyName[&credentialsPath]``: a key of Cloud KMS."""

    project_id: str
    location: str
    key_ring: str
    key_name: str
    credentials_path: str | None


@attrs.frozen
class NoStoreUri:
    """``storage://no-store``: keys are derived, so nothing is stored."""


@attrs.frozen
class AwsStoreUri:
    """``storage://aws?bucket&region[&accessKeyID&accessKey]``: a bucket of S3."""

    bucket: str
    region: str
    credentials: AwsCredentials | None


@attrs.frozen
class AzureStoreUri:
    """``storage://azure?account&container[&tenantID&clientID&clientSecret]``: Blob Storage."""

    account: str
    container: str
    credentials: AzureCredentials | None


@attrs.frozen
class GcpStoreUri:
    """``storage://gcp?projectID&bucket[&credentialsPath]``: a bucket of Cloud Storage."""

    project_id: str
    bucket: str
    credentials_path: str | None


KmsUri = ClusterKmsUri | AwsKmsUri | AzureKmsUri | GcpKmsUri
"""What names a key management system."""

StoreUri = NoStoreUri | AwsStoreUri | AzureStoreUri | GcpStoreUri
"""What names a store of wrapped keys."""


def parse_kms_uri(uri: str) -> KmsUri:
    """Return what a ``kms://`` URI says.

    Raises:
        KeyUriInvalid: it is not one; it is not repeated.
        MasterSecretInvalid: its master secret is not one.
    """
    if uri.startswith("kms://cluster-kms"):
        return ClusterKmsUri(MasterSecret.from_uri(uri))
    return _parse(uri, "kms", _KMS)


def parse_store_uri(uri: str) -> StoreUri:
    """Return what a ``storage://`` URI says.

    Raises:
        KeyUriInvalid: it is not one; it is not repeated.
    """
    return _parse(uri, "storage", _STORES)


# It returns None rather than raise, so that no error of urllib, which quotes what it was given, is
# the context of one of ours.


def _host_and_query(uri: str, scheme: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != scheme or parts.path.strip("/") or parts.fragment:
        return None
    return parts.netloc, parts.query


def _parse(uri: str, scheme: str, makers: Mapping[str, Callable[[Query], T]]) -> T:
    found = _host_and_query(uri, scheme)
    if found is None or found[0] not in makers:
        kinds = ", ".join(f"{scheme}://{name}" for name in makers)
        raise KeyUriInvalid(kinds, "scheme and host, then parameters only")
    host, text = found
    query = Query(f"{scheme}://{host}", text)
    value = makers[host](query)
    query.finish()
    return value


def _aws_credentials(query: Query) -> AwsCredentials | None:
    values = query.together("accessKeyID", "accessKey")
    if values is None:
        return None
    # Secret access keys have "+" and no spaces; whoever did not escape it meant "+".
    return AwsCredentials(values[0], Secret(values[1].replace(" ", "+").encode()))


def _azure_credentials(query: Query) -> AzureCredentials | None:
    values = query.together("tenantID", "clientID", "clientSecret")
    if values is None:
        return None
    return AzureCredentials(values[0], values[1], Secret(values[2].encode()))


def _aws_kms(query: Query) -> AwsKmsUri:
    return AwsKmsUri(query.require("region"), query.require("keyName"), _aws_credentials(query))


def _azure_kms(query: Query) -> AzureKmsUri:
    vault, kind = query.require("vaultName"), query.require("vaultType")
    return AzureKmsUri(vault, kind, query.require("keyName"), _azure_credentials(query))


def _gcp_kms(query: Query) -> GcpKmsUri:
    names = [query.require(name) for name in ("projectID", "location", "keyRing", "keyName")]
    project, location, ring, key = names
    return GcpKmsUri(project, location, ring, key, query.get("credentialsPath"))


def _aws_store(query: Query) -> AwsStoreUri:
    return AwsStoreUri(query.require("bucket"), query.require("region"), _aws_credentials(query))


def _azure_store(query: Query) -> AzureStoreUri:
    account, container = query.require("account"), query.require("container")
    return AzureStoreUri(account, container, _azure_credentials(query))


def _gcp_store(query: Query) -> GcpStoreUri:
    project, bucket = query.require("projectID"), query.require("bucket")
    return GcpStoreUri(project, bucket, query.get("credentialsPath"))


_KMS: Mapping[str, Callable[[Query], AwsKmsUri | AzureKmsUri | GcpKmsUri]] = {
    "aws": _aws_kms,
    "azure": _azure_kms,
    "gcp": _gcp_kms,
}
_STORES: Mapping[str, Callable[[Query], StoreUri]] = {
    "no-store": lambda _: NoStoreUri(),
    "aws": _aws_store,
    "azure": _azure_store,
    "gcp": _gcp_store,
}
