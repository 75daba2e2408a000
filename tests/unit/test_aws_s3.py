"""A bucket of S3 as a key store: one blob to an id whatever happens, and none after a shredding."""

import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
)
from cloudcrypt.secret import Secret
from cloudcrypt_aws import _s3_versions
from cloudcrypt_aws.s3 import S3Store
from cloudcrypt_testing.fake_aws import ConnectionDropped, FakeAws
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Fault,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    Throttled,
)
from tests.unit.aws_keys_given import BUCKET, KEY_ID, NAME, answering, bucket, opened_store

CONFLICT = Refused("ConditionalRequestConflict", status=409)
PASSING = (
    *(Throttled(), ServerError(500), ServerError(503), ConnectionLost(), ReplyLost()),
    CONFLICT,
)
OUTCOMES: dict[str, tuple[int, type[CloudcryptError]]] = {
    "AccessDenied": (403, KeyDenied),
    "ExpiredToken": (400, KeyDenied),
    "InvalidAccessKeyId": (403, KeyDenied),
    "RequestTimeTooSkewed": (403, KeyDenied),
    "SignatureDoesNotMatch": (403, KeyDenied),
    "SomethingNew": (403, KeyDenied),
    "InvalidObjectState": (409, KeyServiceFailed),
    "NoSuchBucket": (404, KeyServiceFailed),
    "PermanentRedirect": (409, KeyServiceFailed),
    "InternalError": (500, KeyServiceUnavailable),
    "OperationAborted": (409, KeyServiceUnavailable),
    "RequestTimeout": (400, KeyServiceUnavailable),
    "ServiceUnavailable": (503, KeyServiceUnavailable),
    "SlowDown": (503, KeyServiceThrottled),
}


@pytest.fixture
def s3(fake_aws: FakeAws) -> Any:
    return bucket(fake_aws, is_versioned=True)


@pytest.fixture
def store(fake_aws: FakeAws, s3: Any) -> S3Store:
    assert s3 is not None
    return opened_store(fake_aws)


def _versions(s3: Any) -> list[str]:
    page = s3.list_object_versions(Bucket=BUCKET)
    return [entry["Key"] for kind in ("Versions", "DeleteMarkers") for entry in page.get(kind, [])]


class TestDoubts:
    @pytest.mark.parametrize("fault", PASSING, ids=repr)
    def test_creating_is_done_once_and_known_to_be(
        self, fake_aws: FakeAws, store: S3Store, s3: Any, fault: Fault
    ) -> None:
        fake_aws.faults.add(fault, on="PutObject", times=2)
        assert store.create(KEY_ID, b"mine")
        assert store.get(KEY_ID) == b"mine"
        assert _versions(s3) == [NAME]

    @pytest.mark.parametrize("fault", PASSING, ids=repr)
    def test_replacing_is_done_once_and_known_to_be(
        self, fake_aws: FakeAws, store: S3Store, s3: Any, fault: Fault
    ) -> None:
        store.create(KEY_ID, b"old")
        fake_aws.faults.add(fault, on="PutObject", times=2)
        assert store.replace(KEY_ID, b"old", b"new")
        assert store.get(KEY_ID) == b"new"
        assert _versions(s3) == [NAME, NAME]

    @pytest.mark.parametrize("action", ["GetObject", "ListObjectsV2", "ListObjectVersions"])
    @pytest.mark.parametrize("fault", PASSING[:-1], ids=repr)
    def test_looking_is_repeated(
        self, fake_aws: FakeAws, store: S3Store, fault: Fault, action: str
    ) -> None:
        store.create(KEY_ID, b"mine")
        fake_aws.faults.add(fault, on=action, times=2)
        assert store.get(KEY_ID) == b"mine"
        assert list(store.list()) == [KEY_ID]
        assert store.delete(KEY_ID)

    @pytest.mark.parametrize("fault", PASSING[:-1], ids=repr)
    def test_deleting_is_done_and_known_to_be(
        self, fake_aws: FakeAws, store: S3Store, s3: Any, fault: Fault
    ) -> None:
        store.create(KEY_ID, b"mine")
        fake_aws.faults.add(fault, on="DeleteObject", times=2)
        assert store.delete(KEY_ID)
        assert _versions(s3) == []

    def test_the_blob_of_somebody_who_was_faster_is_not_taken_for_ones_own(
        self, fake_aws: FakeAws, store: S3Store, s3: Any
    ) -> None:
        def faster(exchange: Any) -> None:
            if exchange.call.action == "PutObject":
                fake_aws.hooks.remove(faster)
                s3.put_object(Bucket=BUCKET, Key=NAME, Body=b"theirs")
                raise ConnectionDropped

        fake_aws.hooks.append(faster)
        assert not store.create(KEY_ID, b"mine")
        assert store.get(KEY_ID) == b"theirs"
        assert len(_versions(s3)) == 1

    def test_what_was_changed_between_look_and_write_is_left_alone(
        self, fake_aws: FakeAws, store: S3Store, s3: Any
    ) -> None:
        store.create(KEY_ID, b"old")

        def change(exchange: Any) -> None:
            if (exchange.call.action, exchange.phase) == ("GetObject", "after"):
                fake_aws.hooks.remove(change)
                s3.put_object(Bucket=BUCKET, Key=NAME, Body=b"theirs")

        fake_aws.hooks.append(change)
        assert not store.replace(KEY_ID, b"old", b"mine")
        assert store.get(KEY_ID) == b"theirs"

    def test_what_was_deleted_between_look_and_write_stays_deleted(
        self, fake_aws: FakeAws, store: S3Store
    ) -> None:
        store.create(KEY_ID, b"old")
        other = opened_store(fake_aws)

        def shred(exchange: Any) -> None:
            if (exchange.call.action, exchange.phase) == ("GetObject", "after"):
                fake_aws.hooks.remove(shred)
                other.delete(KEY_ID)

        fake_aws.hooks.append(shred)
        assert not store.replace(KEY_ID, b"old", b"mine")
        assert store.get(KEY_ID) is None

    def test_a_conflict_that_does_not_end_is_an_error(
        self, fake_aws: FakeAws, store: S3Store
    ) -> None:
        fake_aws.faults.add(CONFLICT, on="PutObject", times=None)
        with pytest.raises(KeyServiceUnavailable):
            store.create(KEY_ID, b"mine")


class TestErrors:
    @pytest.mark.parametrize(("code", "expected"), OUTCOMES.items())
    def test_each_code_becomes_an_error_of_its_kind_and_never_an_absence(
        self,
        fake_aws: FakeAws,
        store: S3Store,
        code: str,
        expected: tuple[int, type[CloudcryptError]],
    ) -> None:
        status, outcome = expected
        refused = Refused(code, "What S3 says.", status)
        for action in ("GetObject", "PutObject", "ListObjectsV2", "ListObjectVersions"):
            fake_aws.faults.add(refused, on=action, times=None)
        calls: tuple[Callable[[], object], ...] = (
            lambda: store.get(KEY_ID),
            lambda: store.create(KEY_ID, b"mine"),
            lambda: store.replace(KEY_ID, b"old", b"new"),
            lambda: list(store.list("cloud")),
            lambda: store.delete(KEY_ID),
        )
        for call in calls:
            with pytest.raises(outcome) as caught:
                call()
            error = cast("Any", caught.value)
            assert caught.type is outcome
            assert error.key_id in {KEY_ID, "cloud*"}
            assert error.cloud_code == code

    def test_a_bucket_that_is_not_there_is_no_absence(self, fake_aws: FakeAws) -> None:
        store = opened_store(fake_aws)
        with pytest.raises(KeyServiceFailed) as caught:
            store.get(KEY_ID)
        assert caught.value.code == "NoSuchBucket"

    def test_a_bucket_of_somebody_else_is_denied(self, fake_aws: FakeAws, s3: Any) -> None:
        assert s3 is not None
        store = opened_store(fake_aws, owner="999988887777")
        with pytest.raises(KeyDenied):
            store.create(KEY_ID, b"mine")
        with pytest.raises(KeyDenied):
            store.delete(KEY_ID)

    def test_bytes_that_changed_on_the_way_are_asked_for_again(self) -> None:
        body, other = b"not the ones that were stored", "AAAAAA=="
        with answering(200, body, ETag='"1"', x_amz_checksum_crc32=other) as endpoint:
            store = _of_endpoint(endpoint)
            with pytest.raises(KeyServiceUnavailable, match="FlexibleChecksumError"):
                store.get(KEY_ID)
            store.close()

    def test_an_object_that_ends_early_is_asked_for_again(self) -> None:
        with answering(200, b"short", ETag='"1"', Content_Length="100") as endpoint:
            store = _of_endpoint(endpoint)
            with pytest.raises(KeyServiceUnavailable):
                store.get(KEY_ID)
            store.close()

    def test_an_answer_that_is_no_listing_is_no_empty_one(self) -> None:
        with answering(200, b"<html><body>") as endpoint:
            store = _of_endpoint(endpoint)
            with pytest.raises(KeyServiceUnavailable):
                list(store.list())
            store.close()

    def test_a_bucket_that_does_not_answer_is_given_up_at_the_timeout(
        self, fake_aws: FakeAws, s3: Any
    ) -> None:
        assert s3 is not None
        store = S3Store(
            BUCKET,
            region=fake_aws.region,
            endpoint=fake_aws.endpoint,
            session=fake_aws.session(),
            timeout=0.6,
        )
        assert store.get(KEY_ID) is None
        fake_aws.faults.add(Slow(1.5, is_real=True), on="GetObject", times=None)
        begun = time.monotonic()
        with pytest.raises(KeyServiceUnavailable):
            store.get(KEY_ID)
        assert time.monotonic() - begun < 1.4
        store.close()


class TestShredding:
    def test_no_version_and_no_marker_is_left(self, store: S3Store, s3: Any) -> None:
        store.create(KEY_ID, b"one")
        store.replace(KEY_ID, b"one", b"two")
        s3.delete_object(Bucket=BUCKET, Key=NAME)
        assert store.get(KEY_ID) is None
        assert store.create(KEY_ID, b"three")
        assert len(_versions(s3)) == 4
        assert store.delete(KEY_ID)
        assert _versions(s3) == []
        assert not store.delete(KEY_ID)

    def test_what_is_hidden_by_a_marker_is_shredded_as_well(self, store: S3Store, s3: Any) -> None:
        store.create(KEY_ID, b"one")
        s3.delete_object(Bucket=BUCKET, Key=NAME)
        assert store.delete(KEY_ID)
        assert _versions(s3) == []

    def test_a_marker_alone_was_no_key(self, store: S3Store, s3: Any) -> None:
        s3.delete_object(Bucket=BUCKET, Key=NAME)
        assert not store.delete(KEY_ID)
        assert _versions(s3) == []

    def test_versions_on_several_pages_are_all_deleted(
        self, store: S3Store, s3: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_s3_versions, "PAGE", 3)
        store.create(f"{KEY_ID}0", b"longer name")
        store.create(KEY_ID, b"0")
        for number in range(10):
            assert store.replace(KEY_ID, b"%d" % number, b"%d" % (number + 1))
        assert store.delete(KEY_ID)
        assert _versions(s3) == [f"{NAME}0"]

    def test_without_permission_to_see_versions_nothing_is_deleted(
        self, fake_aws: FakeAws, store: S3Store, s3: Any
    ) -> None:
        store.create(KEY_ID, b"one")
        fake_aws.faults.add(Refused("AccessDenied", status=403), on="ListObjectVersions")
        with pytest.raises(KeyDenied, match="s3:ListBucketVersions"):
            store.delete(KEY_ID)
        assert _versions(s3) == [NAME]

    def test_without_permission_to_delete_versions_it_is_an_error(
        self, fake_aws: FakeAws, store: S3Store
    ) -> None:
        store.create(KEY_ID, b"one")
        denied = Refused("AccessDenied", status=403)
        fake_aws.faults.add(
            denied, on="DeleteObject", when=lambda call: "versionId" in call.parameters
        )
        with pytest.raises(KeyDenied, match="s3:DeleteObjectVersion"):
            store.delete(KEY_ID)
        assert store.get(KEY_ID) == b"one"

    def test_an_object_that_is_locked_is_not_said_to_be_shredded(self, fake_aws: FakeAws) -> None:
        s3 = bucket(fake_aws, is_locked=True)
        store = opened_store(fake_aws)
        store.create(KEY_ID, b"one")
        until = {"Mode": "COMPLIANCE", "RetainUntilDate": "2999-01-01T00:00:00Z"}
        s3.put_object_retention(Bucket=BUCKET, Key=NAME, Retention=until)
        with pytest.raises(KeyDenied, match="no lock"):
            store.delete(KEY_ID)
        assert store.get(KEY_ID) == b"one"


def test_what_arrives_was_checked_by_s3(store: S3Store, s3: Any) -> None:
    store.create(KEY_ID, b"mine")
    assert s3.head_object(Bucket=BUCKET, Key=NAME, ChecksumMode="ENABLED")["ChecksumSHA256"]


def test_objects_that_are_no_blobs_of_ours_are_not_listed(store: S3Store, s3: Any) -> None:
    store.create(KEY_ID, b"mine")
    for name in ("other/a", "keys/", "keys/a b", "keys/%zz", "keys/%ff", "keysa"):
        s3.put_object(Bucket=BUCKET, Key=name, Body=b"")
    assert list(store.list()) == [KEY_ID]


def _of_endpoint(endpoint: str) -> S3Store:
    return S3Store(
        BUCKET,
        "keys",
        region="eu-central-1",
        endpoint=endpoint,
        access_key_id="a",
        access_key=Secret(b"b"),
        timeout=1,
    )
