"""The fake AWS, where KMS and S3 check more than moto does."""

import base64
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloudcrypt_aws._keys_logging import quiet
from cloudcrypt_testing.fake_aws import FakeAws, FakeClock
from cloudcrypt_testing.world.faults import ServerError, Throttled
from tests.unit.aws_keys_given import BUCKET, bucket, kms_key

CONTEXT = {"cloudcrypt:key-id": "id"}


@pytest.fixture
def kms(fake_aws: FakeAws) -> Any:
    return fake_aws.client("kms")


def _code(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return _code_of(caught.value)


def _code_of(error: ClientError) -> str:
    response: Any = error.response
    return str(response["Error"]["Code"])


class TestKms:
    def test_a_blob_is_decrypted_by_its_own_key_and_context_only(
        self, fake_aws: FakeAws, kms: Any
    ) -> None:
        one, other = kms_key(fake_aws), kms_key(fake_aws)
        kms.create_alias(AliasName="alias/one", TargetKeyId=one)
        blob = kms.encrypt(KeyId=one, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]
        asked = {"CiphertextBlob": blob, "EncryptionContext": CONTEXT}
        for name in ({}, {"KeyId": one}, {"KeyId": "alias/one"}):
            assert kms.decrypt(**asked, **name)["Plaintext"] == b"x"
        assert _code(kms.decrypt, **asked, KeyId=other) == "IncorrectKeyException"
        assert _code(kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
        assert _code(kms.decrypt, CiphertextBlob=b"?") == "InvalidCiphertextException"
        flipped = bytes([blob[0] ^ 1]) + blob[1:]
        assert _code(kms.decrypt, CiphertextBlob=flipped) == "InvalidCiphertextException"

    def test_a_key_has_states(self, fake_aws: FakeAws, kms: Any) -> None:
        key = kms_key(fake_aws).rpartition("/")[2]
        kms.disable_key(KeyId=key)
        assert _code(kms.encrypt, KeyId=key, Plaintext=b"x") == "DisabledException"
        kms.schedule_key_deletion(KeyId=key)
        assert _code(kms.encrypt, KeyId=key, Plaintext=b"x") == "KMSInvalidStateException"
        assert _code(kms.encrypt, KeyId=f"{key[:-1]}g", Plaintext=b"x") == "NotFoundException"

    def test_a_key_has_a_usage_and_algorithms(self, fake_aws: FakeAws, kms: Any) -> None:
        rsa = kms_key(fake_aws, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
        mac = kms_key(fake_aws, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
        for key in (rsa, mac):
            assert _code(kms.encrypt, KeyId=key, Plaintext=b"x") == "InvalidKeyUsageException"

    def test_rotation_changes_the_material_and_nothing_else(
        self, fake_aws: FakeAws, kms: Any
    ) -> None:
        key = kms_key(fake_aws)
        before = kms.describe_key(KeyId=key)["KeyMetadata"]
        kms.rotate_key_on_demand(KeyId=key)
        after = kms.describe_key(KeyId=key)["KeyMetadata"]
        assert before["KeyUsage"] == "ENCRYPT_DECRYPT"
        assert before.pop("CurrentKeyMaterialId") != after.pop("CurrentKeyMaterialId")
        assert before == after

    def test_its_errors_are_written_as_kms_writes_them(self, fake_aws: FakeAws, kms: Any) -> None:
        fake_aws.faults.add(Throttled())
        assert _code(kms.list_keys) == "ThrottlingException"
        fake_aws.faults.add(ServerError(500))
        assert _code(kms.list_keys) == "InternalError"


class TestS3:
    def test_a_condition_holds_for_one_of_many(self, fake_aws: FakeAws) -> None:
        s3 = bucket(fake_aws)

        def put(number: int) -> str | None:
            try:
                s3.put_object(Bucket=BUCKET, Key="k", Body=b"%d" % number, IfNoneMatch="*")
            except ClientError as error:
                return _code_of(error)
            return None

        with ThreadPoolExecutor(16) as threads:
            outcomes = list(threads.map(put, range(48)))
        assert outcomes.count(None) == 1
        assert set(outcomes) == {None, "PreconditionFailed"}

    @pytest.mark.parametrize("is_versioned", [False, True])
    def test_a_condition_may_name_the_etag(self, fake_aws: FakeAws, is_versioned: bool) -> None:  # noqa: FBT001
        s3 = bucket(fake_aws, is_versioned=is_versioned)
        etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"1")["ETag"]
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"2", IfMatch=etag)
        again = {"Bucket": BUCKET, "Key": "k", "Body": b"3"}
        assert _code(s3.put_object, **again, IfMatch=etag) == "PreconditionFailed"
        s3.delete_object(Bucket=BUCKET, Key="k")
        assert _code(s3.put_object, **again, IfMatch=etag) == "NoSuchKey"
        s3.put_object(**again, IfNoneMatch="*")

    def test_the_owner_of_a_bucket_is_compared(self, fake_aws: FakeAws) -> None:
        s3 = bucket(fake_aws)
        asked = {"Bucket": BUCKET, "ExpectedBucketOwner": "000000000000"}
        assert _code(s3.list_objects_v2, **asked) == "AccessDenied"

    @pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
    def test_a_checksum_is_compared(self, fake_aws: FakeAws, algorithm: str) -> None:
        s3 = bucket(fake_aws)
        of_other = {"CRC32": bytes(4), "SHA256": hashlib.sha256(b"other").digest()}[algorithm]
        said = {f"Checksum{algorithm}": base64.b64encode(of_other).decode()}
        assert _code(s3.put_object, Bucket=BUCKET, Key="k", Body=b"1", **said) == "BadDigest"
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"1", ChecksumAlgorithm=algorithm)

    def test_its_errors_are_written_as_s3_writes_them(self, fake_aws: FakeAws) -> None:
        s3 = bucket(fake_aws)
        fake_aws.faults.add(Throttled(), on="GetObject")
        assert _code(s3.get_object, Bucket=BUCKET, Key="k") == "SlowDown"
        fake_aws.faults.add(ServerError(503), on="ListObjectsV2")
        assert _code(s3.list_objects_v2, Bucket=BUCKET) == "Unavailable"

    def test_requests_have_the_names_of_the_api(self, fake_aws: FakeAws) -> None:
        s3 = bucket(fake_aws)
        s3.put_object(Bucket=BUCKET, Key="a/b", Body=b"1")
        s3.head_object(Bucket=BUCKET, Key="a/b")
        s3.list_object_versions(Bucket=BUCKET)
        s3.delete_object(Bucket=BUCKET, Key="a/b")
        assert fake_aws.requests.actions == [
            *("PUT", "PutObject", "HeadObject", "ListObjectVersions", "DeleteObject"),
        ]

    def test_a_name_of_a_bucket_is_free_again_when_an_aws_is_gone(self, tmp_path: Path) -> None:
        for number in range(2):
            with FakeAws(tmp_path / str(number), clock=FakeClock()) as aws:
                place = {"LocationConstraint": aws.region}
                s3: Any = aws.client("s3")
                s3.create_bucket(Bucket="one-of-two", CreateBucketConfiguration=place)


def test_botocore_logs_plaintext_and_ours_does_not(
    fake_aws: FakeAws, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    kms: Any = fake_aws.client("kms")
    key, text = kms_key(fake_aws), base64.b64encode(b"plaintext").decode()
    kms.encrypt(KeyId=key, Plaintext=b"plaintext")
    assert text in caplog.text
    caplog.clear()
    with quiet():
        blob = kms.encrypt(KeyId=key, Plaintext=b"plaintext")["CiphertextBlob"]
        kms.decrypt(CiphertextBlob=blob)
    assert text not in caplog.text
    kms.decrypt(CiphertextBlob=blob)
    assert text in caplog.text
