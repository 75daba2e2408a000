"""AWS KMS as a KMS: which key is used, for what, and what its answers and failures become."""

import json
import os
import time
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
    KeyUriInvalid,
    WrappedKeyRefused,
)
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws.kms import CIPHERTEXT_MAX, CONTEXT, PLAINTEXT_MAX, AwsKms
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Fault,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    Throttled,
)
from tests.unit.aws_keys_given import ARN, KEY_ID, answering, kms_key, opened_kms, secret

PASSING = (Throttled(), ServerError(500), ServerError(503), ConnectionLost(), ReplyLost())
OUTCOMES: dict[str, type[CloudcryptError]] = {
    "IncorrectKeyException": WrappedKeyRefused,
    "InvalidCiphertextException": WrappedKeyRefused,
    "AccessDeniedException": KeyDenied,
    "ExpiredTokenException": KeyDenied,
    "IncompleteSignature": KeyDenied,
    "InvalidSignatureException": KeyDenied,
    "UnrecognizedClientException": KeyDenied,
    "OptInRequired": KeyDenied,
    "DisabledException": KeyServiceFailed,
    "InvalidKeyUsageException": KeyServiceFailed,
    "KMSInvalidStateException": KeyServiceFailed,
    "NotFoundException": KeyServiceFailed,
    "SomethingNewException": KeyServiceFailed,
    "ValidationException": KeyServiceFailed,
    "LimitExceededException": KeyServiceThrottled,
    "ThrottlingException": KeyServiceThrottled,
    "DependencyTimeoutException": KeyServiceUnavailable,
    "KMSInternalException": KeyServiceUnavailable,
    "KeyUnavailableException": KeyServiceUnavailable,
}


@pytest.fixture
def key(fake_aws: FakeAws) -> str:
    return kms_key(fake_aws)


@pytest.fixture
def kms(fake_aws: FakeAws, key: str) -> AwsKms:
    return opened_kms(fake_aws, key)


@pytest.mark.parametrize("action", ["Encrypt", "Decrypt"])
@pytest.mark.parametrize("fault", PASSING, ids=repr)
def test_what_passes_is_waited_out(
    fake_aws: FakeAws, kms: AwsKms, fault: Fault, action: str
) -> None:
    fake_aws.faults.add(fault, on=action, times=2)
    assert kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID) == secret()
    assert fake_aws.requests.count(action) == 3


@pytest.mark.parametrize(("code", "outcome"), OUTCOMES.items())
def test_each_code_becomes_an_error_of_its_kind(
    fake_aws: FakeAws, kms: AwsKms, code: str, outcome: type[CloudcryptError]
) -> None:
    blob = kms.wrap(secret(), KEY_ID)
    fake_aws.faults.add(Refused(code, "What KMS says."), on="Decrypt", times=None)
    begun = fake_aws.clock.monotonic()
    with pytest.raises(outcome) as caught:
        kms.unwrap(blob, KEY_ID)
    error = cast("Any", caught.value)
    assert caught.type is outcome
    assert error.key_id == KEY_ID
    assert error.answer is not None
    assert (error.answer.code, error.answer.message) == (code, "What KMS says.")
    assert (error.__cause__, error.__context__) == (None, None)
    assert (fake_aws.requests.count("Decrypt") > 1) == error.retryable
    assert fake_aws.clock.monotonic() - begun <= 30


def test_who_is_denied_is_told_what_to_grant(fake_aws: FakeAws, kms: AwsKms) -> None:
    fake_aws.faults.add(Refused("AccessDeniedException"), on="Encrypt")
    with pytest.raises(KeyDenied, match="kms:Encrypt"):
        kms.wrap(secret(), KEY_ID)


def test_a_blob_that_names_a_key_elsewhere_is_refused(fake_aws: FakeAws, kms: AwsKms) -> None:
    blob = kms.wrap(secret(), KEY_ID)
    message = (
        "The ciphertext refers to a customer master key that does not exist, does not exist in "
        "this region, or you are not allowed to access."
    )
    fake_aws.faults.add(Refused("AccessDeniedException", message), on="Decrypt")
    with pytest.raises(WrappedKeyRefused):
        kms.unwrap(blob, KEY_ID)


def test_a_key_that_is_disabled_or_about_to_go_is_a_lasting_failure(
    fake_aws: FakeAws, kms: AwsKms, key: str
) -> None:
    blob = kms.wrap(secret(), KEY_ID)
    client: Any = fake_aws.client("kms")
    name = key.rpartition("/")[2]  # moto disables by this one only
    client.disable_key(KeyId=name)
    for call in (lambda: kms.wrap(secret(), KEY_ID), lambda: kms.unwrap(blob, KEY_ID)):
        with pytest.raises(KeyServiceFailed) as caught:
            call()
        assert caught.value.code == "DisabledException"
    client.enable_key(KeyId=name)
    assert kms.unwrap(blob, KEY_ID) == secret()
    client.schedule_key_deletion(KeyId=name)
    with pytest.raises(KeyServiceFailed) as caught:
        kms.unwrap(blob, KEY_ID)
    assert caught.value.code == "KMSInvalidStateException"


def test_a_key_that_is_not_there_is_a_lasting_failure(fake_aws: FakeAws) -> None:
    kms = opened_kms(fake_aws, ARN)
    for call in (kms.key, lambda: kms.wrap(secret(), KEY_ID)):
        with pytest.raises(KeyServiceFailed) as caught:
            call()
        assert caught.value.code == "NotFoundException"


@pytest.mark.parametrize(
    ("spec", "usage"), [("RSA_2048", "ENCRYPT_DECRYPT"), ("HMAC_256", "GENERATE_VERIFY_MAC")]
)
def test_a_key_of_another_kind_does_not_wrap(fake_aws: FakeAws, spec: str, usage: str) -> None:
    kms = opened_kms(fake_aws, kms_key(fake_aws, KeySpec=spec, KeyUsage=usage))
    for call in (kms.key, lambda: kms.wrap(secret(), KEY_ID)):
        with pytest.raises(KeyServiceFailed) as caught:
            call()
        assert caught.value.code == "InvalidKeyUsageException"


def test_what_somebody_elses_key_has_wrapped_is_refused_though_kms_would_decrypt_it(
    fake_aws: FakeAws, kms: AwsKms
) -> None:
    client: Any = fake_aws.client("kms")
    context = {CONTEXT: KEY_ID}
    theirs: bytes = client.encrypt(
        KeyId=kms_key(fake_aws), Plaintext=bytes(32), EncryptionContext=context
    )["CiphertextBlob"]
    assert client.decrypt(CiphertextBlob=theirs, EncryptionContext=context)["Plaintext"]
    with pytest.raises(WrappedKeyRefused):
        kms.unwrap(theirs, KEY_ID)


def test_the_key_id_is_the_encryption_context(fake_aws: FakeAws, kms: AwsKms, key: str) -> None:
    client: Any = fake_aws.client("kms")
    answer = client.decrypt(
        KeyId=key, CiphertextBlob=kms.wrap(secret(), KEY_ID), EncryptionContext={CONTEXT: KEY_ID}
    )
    assert answer["Plaintext"] == bytes(secret().reveal())


def test_lengths_that_kms_does_not_take_are_not_sent(fake_aws: FakeAws, kms: AwsKms) -> None:
    fake_aws.requests.clear()
    for length in (0, PLAINTEXT_MAX + 1):
        with pytest.raises(KeyServiceFailed):
            kms.wrap(Secret(bytes(length)), KEY_ID)
    with pytest.raises(WrappedKeyRefused):
        kms.unwrap(bytes(CIPHERTEXT_MAX + 1), KEY_ID)
    assert len(fake_aws.requests) == 0
    blob = kms.wrap(Secret(bytes(PLAINTEXT_MAX)), KEY_ID)
    assert len(kms.unwrap(blob, KEY_ID)) == PLAINTEXT_MAX


class TestAliases:
    @pytest.fixture
    def alias(self, fake_aws: FakeAws, key: str) -> str:
        client: Any = fake_aws.client("kms")
        client.create_alias(AliasName="alias/disks", TargetKeyId=key)
        return "alias/disks"

    def test_a_key_has_four_names(self, fake_aws: FakeAws, key: str, alias: str) -> None:
        head = key.partition(":key/")[0]
        names = (key, key.rpartition("/")[2], alias, f"{head}:{alias}")
        services = [opened_kms(fake_aws, name) for name in names]
        assert {kms.key().name for kms in services} == {key}
        for one in services:
            blob = one.wrap(secret(), KEY_ID)
            assert all(other.unwrap(blob, KEY_ID) == secret() for other in services)

    def test_a_name_is_looked_up_once(self, fake_aws: FakeAws, alias: str) -> None:
        kms = opened_kms(fake_aws, alias)
        for _ in range(3):
            kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID)
        assert fake_aws.requests.count("DescribeKey") == 1

    def test_the_arn_of_a_key_need_not_be_looked_up(self, fake_aws: FakeAws, key: str) -> None:
        kms = opened_kms(fake_aws, key)
        kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID)
        assert fake_aws.requests.count("DescribeKey") == 0

    def test_an_alias_that_was_given_to_another_key_is_looked_up_again(
        self, fake_aws: FakeAws, alias: str
    ) -> None:
        kms, other = opened_kms(fake_aws, alias), kms_key(fake_aws)
        old = kms.wrap(secret(), KEY_ID)
        client: Any = fake_aws.client("kms")
        client.update_alias(AliasName=alias, TargetKeyId=other)
        new = opened_kms(fake_aws, alias).wrap(secret(), KEY_ID)
        assert kms.unwrap(new, KEY_ID) == secret()
        assert kms.key().name == other
        with pytest.raises(WrappedKeyRefused):
            kms.unwrap(old, KEY_ID)

    def test_an_alias_is_looked_up_again_when_its_key_is_disabled(
        self, fake_aws: FakeAws, key: str, alias: str
    ) -> None:
        kms, other = opened_kms(fake_aws, alias), kms_key(fake_aws)
        kms.wrap(secret(), KEY_ID)
        client: Any = fake_aws.client("kms")
        client.update_alias(AliasName=alias, TargetKeyId=other)
        client.disable_key(KeyId=key.rpartition("/")[2])
        assert kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID) == secret()
        assert kms.key().name == other


class TestAnswers:
    def test_an_answer_without_what_it_must_have_is_a_failure(self) -> None:
        for body in (b"{}", b'{"CiphertextBlob": ""}', b"[]", b"<html>", b'{"KeyMetadata": {}}'):
            with answering(200, body) as endpoint:
                kms = AwsKms(ARN, endpoint=endpoint, access_key_id="a", access_key=Secret(b"b"))
                with pytest.raises(KeyServiceFailed):
                    kms.key()
                with pytest.raises(KeyServiceFailed):
                    kms.wrap(secret(), KEY_ID)
                with pytest.raises(KeyServiceFailed):
                    kms.unwrap(b"blob", KEY_ID)
                kms.close()

    def test_an_answer_that_is_not_base64_is_a_failure_without_its_text(self) -> None:
        body = json.dumps({"Plaintext": "c2VjcmV", "KeyId": ARN}).encode()
        with answering(200, body) as endpoint:
            kms = AwsKms(ARN, endpoint=endpoint, access_key_id="a", access_key=Secret(b"b"))
            with pytest.raises(KeyServiceFailed) as caught:
                kms.unwrap(b"blob", KEY_ID)
            assert "c2Vj" not in f"{caught.value} {caught.value!r}"
            kms.close()

    def test_what_another_key_has_encrypted_is_not_taken(self) -> None:
        other = json.dumps({"CiphertextBlob": "AAAA", "KeyId": f"{ARN[:-1]}0"}).encode()
        with answering(200, other) as endpoint:
            kms = AwsKms(ARN, endpoint=endpoint, access_key_id="a", access_key=Secret(b"b"))
            with pytest.raises(KeyServiceFailed):
                kms.wrap(secret(), KEY_ID)
            kms.close()

    def test_what_another_key_has_decrypted_is_refused(self) -> None:
        other = json.dumps({"Plaintext": "AAAA", "KeyId": f"{ARN[:-1]}0"}).encode()
        with answering(200, other) as endpoint:
            kms = AwsKms(ARN, endpoint=endpoint, access_key_id="a", access_key=Secret(b"b"))
            with pytest.raises(WrappedKeyRefused):
                kms.unwrap(b"blob", KEY_ID)
            kms.close()


def test_a_service_that_does_not_answer_is_given_up_at_the_timeout(
    fake_aws: FakeAws, key: str
) -> None:
    kms = AwsKms(key, endpoint=fake_aws.endpoint, session=fake_aws.session(), timeout=0.6)
    blob = kms.wrap(secret(), KEY_ID)
    fake_aws.faults.add(Slow(1.5, is_real=True), on="Decrypt", times=None)
    begun = time.monotonic()
    with pytest.raises(KeyServiceUnavailable):
        kms.unwrap(blob, KEY_ID)
    assert time.monotonic() - begun < 1.4
    kms.close()


def test_a_service_that_is_not_there_is_unavailable(fake_aws: FakeAws) -> None:
    kms = AwsKms(
        ARN, endpoint="http://127.0.0.1:1", session=fake_aws.session(), clock=fake_aws.clock
    )
    with pytest.raises(KeyServiceUnavailable, match="EndpointConnectionError"):
        kms.key()


def test_without_credentials_everything_is_denied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_aws: FakeAws
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    kms = AwsKms(ARN, endpoint=fake_aws.endpoint)
    with pytest.raises(KeyDenied, match="no credentials"):
        kms.wrap(secret(), KEY_ID)


def test_a_process_that_forks_has_connections_of_its_own(fake_aws: FakeAws, kms: AwsKms) -> None:
    blob = kms.wrap(secret(), KEY_ID)
    child = os.fork()
    if child == 0:  # pragma: no cover - in another process
        os._exit(0 if kms.unwrap(blob, KEY_ID) == secret() else 1)
    assert kms.unwrap(blob, KEY_ID) == secret()
    assert os.waitpid(child, 0)[1] == 0
    assert fake_aws.requests.count("Decrypt") == 2


def test_a_session_with_its_region_is_enough(fake_aws: FakeAws, key: str) -> None:
    session: boto3.Session = fake_aws.session()
    kms = AwsKms(key.rpartition("/")[2], endpoint=fake_aws.endpoint, session=session)
    assert kms.key().name == key
    kms.close()


def test_a_deadline_on_the_hosts_clock_is_kept_on_that_of_the_kms(
    fake_aws: FakeAws, kms: AwsKms
) -> None:
    blob = kms.wrap(secret(), KEY_ID, deadline=Deadline.after(60, clock=fake_aws.clock))
    fake_aws.faults.add(ServerError(500), on="Decrypt", times=None)
    begun = fake_aws.clock.monotonic()
    with pytest.raises(KeyServiceUnavailable):
        kms.unwrap(blob, KEY_ID, deadline=Deadline.after(7))
    assert fake_aws.clock.monotonic() - begun <= 7


def test_a_profile_that_is_not_whole_is_no_credentials(
    monkeypatch: pytest.MonkeyPatch, fake_aws: FakeAws
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    with pytest.raises(KeyDenied, match="PartialCredentialsError"):
        AwsKms(ARN, endpoint=fake_aws.endpoint)


def test_a_setting_that_boto3_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "perhaps")
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "perhaps")
    with pytest.raises(KeyUriInvalid, match="boto3 does not take it"):
        AwsKms(ARN, access_key_id="a", access_key=Secret(b"b"))
