"""What the tests of AWS KMS and of the store in S3 start from."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cloudcrypt.secret import Secret
from cloudcrypt_aws.kms import AwsKms
from cloudcrypt_aws.s3 import S3Store
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.server import Server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

KEY_ID = "cloudcrypt/v1/aws:eu-central-1/vol-0123456789abcdef0"
BUCKET = "wrapped-keys"
NAME = "keys/cloudcrypt/v1/aws%3Aeu-central-1/vol-0123456789abcdef0"
ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def kms_key(aws: FakeAws, **parameters: Any) -> str:
    """Make a key, and return its ARN."""
    client: Any = aws.client("kms")
    return str(client.create_key(**parameters)["KeyMetadata"]["Arn"])


def opened_kms(aws: FakeAws, key: str) -> AwsKms:
    return AwsKms(
        key, region=aws.region, endpoint=aws.endpoint, session=aws.session(), clock=aws.clock
    )


def bucket(aws: FakeAws, *, is_versioned: bool = False, is_locked: bool = False) -> Any:
    """Make a bucket, and return a client of S3."""
    client: Any = aws.client("s3")
    client.create_bucket(
        Bucket=BUCKET,
        CreateBucketConfiguration={"LocationConstraint": aws.region},
        ObjectLockEnabledForBucket=is_locked,
    )
    if is_versioned or is_locked:
        enabled = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=enabled)
    return client


def opened_store(aws: FakeAws, owner: str | None = None) -> S3Store:
    return S3Store(
        BUCKET,
        "keys",
        region=aws.region,
        owner=owner,
        endpoint=aws.endpoint,
        session=aws.session(),
        clock=aws.clock,
    )


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Generator[str]:
    """Serve one answer to every request; gives the URL."""
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
        del environ
        start_response(f"{status} Answer", named)
        return [body]

    server = Server(app)
    with server.running():
        yield server.endpoint


def secret() -> Secret:
    return Secret(bytes(range(32)))


Call = Callable[[], object]
