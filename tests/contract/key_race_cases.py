"""The pairs of a KMS and a store that processes race for: see `tests.contract.key_races`."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.fake_azure_keys import FakeAzureKeys
from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys
from cloudcrypt_testing.fake_vault import FakeVault
from tests.contract.key_races import Case, Running, prepare

_WAIT = 60  # seconds for a key: 32 processes at once are served by one thread of Python
_HSM = "race.managedhsm.azure.net"
_VAULT = "race.vault.azure.net"


@contextmanager
def _local(folder: Path) -> Generator[Running]:
    yield Running(f"fake-kms://race?root=text&store=sqlite://{folder}/keys.db")


@contextmanager
def _vault(folder: Path) -> Generator[Running]:
    with FakeVault() as vault:
        vault.create_key("disks")
        url = vault.url("disks", tokenPath=str(vault.token_file(folder)), timeout=str(_WAIT))
        yield Running(f"{url}&store=sqlite://{folder}/keys.db", [vault.faults])


@contextmanager
def _google(_: Path) -> Generator[Running]:
    with FakeGoogleKeys() as google:
        yield Running(f"{google.url()}&timeout={_WAIT}", [google.faults])


@contextmanager
def _azure(_: Path) -> Generator[Running]:
    with FakeAzureKeys() as azure:
        azure.create_key(_HSM, "disks", "oct-HSM")
        azure.account("account", "keys")
        store = azure.url("azblob://account/keys/race")
        kms = azure.url(f"azure-keyvault://{_HSM}/disks?timeout={_WAIT}")
        yield Running(f"{kms}&store={quote(store, safe='')}", [azure.faults])


@contextmanager
def _signed(_: Path) -> Generator[Running]:
    with FakeAzureKeys() as azure, FakeGoogleKeys() as google:
        azure.create_key(_VAULT, "disks", "RSA")
        azure.create_key(_VAULT, "signer", "EC")
        kms = azure.url(f"azure-keyvault://{_VAULT}/disks?signKey=signer&timeout={_WAIT}")
        store = quote(google.store_url(), safe="")
        yield Running(f"{kms}&store={store}", [azure.faults, google.faults])


@contextmanager
def _aws(folder: Path) -> Generator[Running]:
    with ExitStack() as stack:
        aws = stack.enter_context(FakeAws(folder))
        key: Any = aws.client("kms").create_key()["KeyMetadata"]
        s3: Any = aws.client("s3")
        place = {"LocationConstraint": aws.region}
        s3.create_bucket(Bucket="bucket", CreateBucketConfiguration=place)
        access = {
            "region": aws.region,
            "endpoint": aws.endpoint,
            "accessKeyID": "AKIAIOSFODNN7EXAMPLE",
            "accessKey": "testing",
            "timeout": str(_WAIT),
        }
        store = quote(f"s3://bucket/race?{urlencode(access)}", safe="")
        yield Running(f"aws-kms://{key['Arn']}?{urlencode(access)}&store={store}", [aws.faults])


CASES = [
    Case("fake KMS, SQLite", _local, requests=False, statements=True),
    Case("Vault, SQLite", _vault, ("cloudcrypt_vault",), statements=True),
    Case("AWS KMS, S3", _aws, ("cloudcrypt_aws.kms", "cloudcrypt_aws.s3")),
    Case("Cloud KMS, Cloud Storage", _google, ("cloudcrypt_gcp.kms", "cloudcrypt_gcp.storage")),
    Case(
        "Managed HSM, Blob Storage",
        _azure,
        ("cloudcrypt_azure.keyvault", "cloudcrypt_azure.blobs"),
    ),
    # Two clouds, and the KMS that makes a signature of its own.
    Case(
        "Key Vault with a signature, Cloud Storage",
        _signed,
        ("cloudcrypt_azure.keyvault", "cloudcrypt_gcp.storage"),
    ),
]
"""All of them."""

prepare(CASES)
