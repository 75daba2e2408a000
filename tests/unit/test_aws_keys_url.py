"""The URLs of AWS KMS and of the store in S3."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt_aws.kms import AwsKms
from cloudcrypt_aws.s3 import S3Store
from tests.unit.aws_keys_given import ARN

ALIAS_ARN = "arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/disks"
MULTI = "mrk-1234abcd12ab34cd56ef1234567890ab"


@pytest.fixture(autouse=True)
def no_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


@pytest.mark.parametrize(
    "url",
    [
        f"aws-kms://{ARN}",
        f"aws-kms://{ARN}?region=eu-central-1&timeout=5",
        f"aws-kms://{ALIAS_ARN}",
        f"aws-kms://{MULTI}?region=eu-central-1",
        "aws-kms://1234abcd-12ab-34cd-56ef-1234567890ab?region=eu-central-1",
        "aws-kms://alias/team/disks_1?region=eu-central-1&accessKeyID=AKIA&accessKey=a%2Fb+c",
        "aws-kms://alias/disks?region=eu-central-1&endpoint=https://kms.example.com/",
        "aws-kms://alias/disks?region=eu-central-1&endpoint=http%3A%2F%2F%5B%3A%3A1%5D%3A5000",
    ],
)
def test_a_url_names_a_key(url: str) -> None:
    kms = AwsKms.from_url(url)
    assert repr(kms) == f"<AwsKms {url.partition('?')[0]}>"
    kms.close()


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket?region=eu-central-1",
        "s3://bucket/?region=eu-central-1",
        "s3://my.bucket-1/keys/v1/?region=eu-central-1&owner=111122223333",
        "s3://bucket/keys?region=eu-central-1&accessKeyID=AKIA&accessKey=a%2Fb+c&timeout=1",
    ],
)
def test_a_url_names_a_bucket_and_a_prefix(url: str) -> None:
    store = S3Store.from_url(url)
    assert repr(store) == f"<S3Store {url.partition('?')[0].rstrip('/')}/>"
    store.close()


_BAD_COMMON = [
    "?region=eu-central-1&unknown=1",
    "?region=eu-central-1&region=eu-central-1",
    "?region=Frankfurt",
    "?region=eu-central-1&timeout=soon",
    "?region=eu-central-1&timeout=0",
    "?region=eu-central-1&timeout=3601",
    "?region=eu-central-1&accessKeyID=topsecret",
    "?region=eu-central-1&accessKey=topsecret",
    "?region=eu-central-1&endpoint=http://kms.example.com",
    "?region=eu-central-1&endpoint=ftp://127.0.0.1",
    "?region=eu-central-1&endpoint=https://u:topsecret@example.com",
    "?region=eu-central-1&endpoint=https://example.com/?a=topsecret",
    "?region=eu-central-1&endpoint=https://[topsecret",
    "?region=eu-central-1#topsecret",
    "",
    "?",
]


@pytest.mark.parametrize(
    "url",
    [
        *(f"aws-kms://alias/disks{query}" for query in _BAD_COMMON),
        "aws-kms://?region=eu-central-1",
        "aws-kms://topsecret?region=eu-central-1",
        "aws-kms://alias/top secret?region=eu-central-1",
        "aws-kms://alias/?region=eu-central-1",
        f"aws-kms://{ARN}?region=eu-west-1",
        f"aws-kms://{ARN}/more",
        "aws-kms:alias/disks?region=eu-central-1",
        f"gcp-kms://{ARN}",
    ],
)
def test_what_names_no_key_is_refused_and_not_repeated(url: str) -> None:
    _is_refused(AwsKms.from_url, url)


@pytest.mark.parametrize(
    "url",
    [
        *(f"s3://bucket{query}" for query in _BAD_COMMON),
        "s3://?region=eu-central-1",
        "s3://BUCKET?region=eu-central-1",
        "s3://ab?region=eu-central-1",
        "s3://bucket/a//b?region=eu-central-1",
        "s3://bucket/../b?region=eu-central-1",
        "s3://bucket/a b?region=eu-central-1",
        "s3://bucket/a/b/c/d/e?region=eu-central-1",
        "s3://bucket?region=eu-central-1&owner=me",
        "gs://bucket?region=eu-central-1",
    ],
)
def test_what_names_no_bucket_is_refused_and_not_repeated(url: str) -> None:
    _is_refused(S3Store.from_url, url)


def test_a_region_comes_from_the_environment_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    AwsKms.from_url("aws-kms://alias/disks").close()
    S3Store.from_url("s3://bucket").close()


def test_an_endpoint_of_the_environment_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://kms.example.com")
    _is_refused(AwsKms.from_url, f"aws-kms://{ARN}")
    _is_refused(S3Store.from_url, "s3://bucket?region=eu-central-1")


def test_the_secret_parameter_is_named_as_one() -> None:
    assert AwsKms.secret_parameters == S3Store.secret_parameters == {"accessKey"}


def _is_refused(open_url: Callable[[str], object], url: str) -> None:
    with pytest.raises(KeyUriInvalid) as caught:
        open_url(url)
    assert "topsecret" not in f"{caught.value} {caught.value!r} {caught.value.__context__!r}"
