"""Cloud KMS as a KMS: what is asked, what is checked, and which error is which."""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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
from cloudcrypt.kms import BLOB_MAX, TIMEOUT, WrappingKey, associated_data
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp.kms import GcpKms
from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys, crypto, layer
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    Throttled,
)
from tests.unit.google_keys_given import DEK, ID, KEY, OTHER_ID, dek, finished, forked, kms_of

ENCRYPT, DECRYPT, GET = "cryptoKeys.encrypt", "cryptoKeys.decrypt", "cryptoKeys.get"
CALLS: dict[str, Callable[[GcpKms], Any]] = {
    ENCRYPT: lambda kms: kms.wrap(dek(), ID),
    DECRYPT: lambda kms: kms.unwrap(kms.wrap(dek(), ID), ID),
    GET: lambda kms: kms.key(),
}

PASSING = (Throttled(), ServerError(503), ConnectionLost(), ReplyLost())


@pytest.fixture
def google() -> Iterator[FakeGoogleKeys]:
    with FakeGoogleKeys() as google:
        yield google


@pytest.fixture
def kms(google: FakeGoogleKeys) -> Iterator[GcpKms]:
    kms = kms_of(google)
    yield kms
    kms.close()


@pytest.fixture
def falsified(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give what changes fields of the answers of a method, on their way back."""

    def falsify(action: str, **fields: Any) -> None:
        methods: Any = layer._METHODS
        honest = methods[action]

        def answer(*asked: Any) -> Any:
            return {**honest(*asked), **fields}

        monkeypatch.setitem(methods, action, answer)

    return falsify


class TestUrls:
    def test_a_key_has_a_complete_name(self) -> None:
        assert repr(GcpKms.from_url(f"gcp-kms://{KEY}")) == f"GcpKms('{KEY}')"
        kms = GcpKms.from_url(f"gcp-kms://{KEY}?timeout=5&endpoint=https%3A%2F%2Fkms.example")
        assert (kms._timeout, kms._login.endpoint) == (5.0, "https://kms.example")
        assert GcpKms(KEY)._timeout == TIMEOUT
        GcpKms(KEY.replace("demo-project", "example.com:demo"))

    @pytest.mark.parametrize(
        "url",
        [
            KEY,
            f"gcp-kms:/{KEY}",
            f"aws-kms://{KEY}",
            f"gcp-kms:///{KEY}",
            f"gcp-kms://{KEY}/",
            f"gcp-kms://{KEY}#x",
            f"gcp-kms://{KEY.replace('demo-project', '1234567')}",
            f"gcp-kms://{KEY.removesuffix('/volumes')}",
            f"gcp-kms://{KEY}?region=europe",
            f"gcp-kms://{KEY}?timeout=0",
            f"gcp-kms://{KEY}?timeout=soon",
            f"gcp-kms://{KEY}?timeout=1&timeout=2",
            f"gcp-kms://{KEY}?endpoint=http://kms.example",
            f"gcp-kms://{KEY}?endpoint=https://kms.example/v1",
            f"gcp-kms://{KEY}?endpoint=https://me:secret@kms.example",
            f"gcp-kms://{KEY}?credentialsPath=/nowhere/secret.json",
            f"gcp-kms://user@{KEY}",
        ],
    )
    def test_another_url_is_refused_and_not_repeated(self, url: str) -> None:
        with pytest.raises(KeyUriInvalid) as caught:
            GcpKms.from_url(url)
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None

    def test_a_version_is_not_chosen_here(self) -> None:
        with pytest.raises(KeyUriInvalid, match="a version"):
            GcpKms(f"{KEY}/cryptoKeyVersions/1")


class TestRequests:
    def test_nothing_is_asked_before_the_first_call(self, google: FakeGoogleKeys) -> None:
        kms_of(google).close()
        assert not len(google.requests)

    def test_the_key_id_is_authenticated_in_a_domain_of_its_own(
        self, google: FakeGoogleKeys, kms: GcpKms
    ) -> None:
        blob = kms.wrap(dek(), ID)
        key = google._key("volumes")
        assert key.decrypt(blob, b"cloudcrypt-wrapped-key/1\0" + ID.encode()) == (DEK, True)
        assert key.decrypt(blob, associated_data(ID)) == (DEK, True)

    def test_the_service_is_sent_a_checksum_of_every_field(
        self, kms: GcpKms, google: FakeGoogleKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read, sent = crypto._field, list[tuple[str, bool]]()

        def look(body: Mapping[str, Any], name: str) -> bytes:
            sent.append((name, f"{name}Crc32c" in body))
            return read(body, name)

        monkeypatch.setattr(crypto, "_field", look)
        assert kms.unwrap(kms.wrap(dek(), ID), ID) == dek()
        assert google.requests.actions == [ENCRYPT, DECRYPT]
        context = ("additionalAuthenticatedData", True)
        assert sorted(sent) == [context, context, ("ciphertext", True), ("plaintext", True)]

    def test_the_key_says_which_version_wraps(self, kms: GcpKms, google: FakeGoogleKeys) -> None:
        assert kms.key() == WrappingKey(KEY, "1")
        google.rotate()
        assert kms.key() == WrappingKey(KEY, "2")

    def test_a_forked_process_has_connections_of_its_own(self, kms: GcpKms) -> None:
        blob = kms.wrap(dek(), ID)
        before = kms._client

        def work() -> bytes:
            assert kms.unwrap(blob, ID) == dek()
            return b"the same" if kms._client is before else b"its own"

        assert finished(*forked(work)) == b"its own"
        assert kms._client is before
        assert kms.unwrap(blob, ID) == dek()

    def test_after_close_a_call_opens_connections_anew(self, kms: GcpKms) -> None:
        blob = kms.wrap(dek(), ID)
        kms.close()
        assert kms.unwrap(blob, ID) == dek()


class TestAnswers:
    @pytest.mark.parametrize(
        "fields",
        [
            {"verifiedPlaintextCrc32c": False},
            {"verifiedAdditionalAuthenticatedDataCrc32c": False},
            {"ciphertextCrc32c": "17"},
            {"ciphertext": base64.b64encode(b"other").decode()},
        ],
    )
    def test_an_answer_that_changed_on_its_way_is_asked_for_again(
        self,
        kms: GcpKms,
        google: FakeGoogleKeys,
        falsified: Callable[..., None],
        fields: dict[str, Any],
    ) -> None:
        falsified(ENCRYPT, **fields)
        with pytest.raises(KeyServiceUnavailable, match="checksums differ"):
            kms.wrap(dek(), ID)
        assert google.requests.count(ENCRYPT) > 1

    @pytest.mark.parametrize(
        "fields",
        [{"plaintextCrc32c": "17"}, {"plaintext": base64.b64encode(b"other").decode()}],
    )
    def test_so_is_a_plaintext(
        self,
        kms: GcpKms,
        google: FakeGoogleKeys,
        falsified: Callable[..., None],
        fields: dict[str, Any],
    ) -> None:
        blob = kms.wrap(dek(), ID)
        falsified(DECRYPT, **fields)
        with pytest.raises(KeyServiceUnavailable, match="checksums differ"):
            kms.unwrap(blob, ID)
        assert google.requests.count(DECRYPT) > 1

    @pytest.mark.parametrize("field", ["plaintext", "additional_authenticated_data", "ciphertext"])
    def test_so_is_a_request_of_which_the_service_says_that_it_changed(
        self, kms: GcpKms, google: FakeGoogleKeys, field: str
    ) -> None:
        said = f"The checksum in field {field}_crc32c did not match the data in field {field}."
        google.faults.add(Refused("INVALID_ARGUMENT", said), on="cryptoKeys.decrypt")
        assert kms.unwrap(kms.wrap(dek(), ID), ID) == dek()
        assert google.requests.actions == [ENCRYPT, DECRYPT, DECRYPT]

    def test_an_answer_for_another_key_is_refused(
        self, kms: GcpKms, falsified: Callable[..., None]
    ) -> None:
        falsified(ENCRYPT, name=f"{KEY}2/cryptoKeyVersions/1")
        falsified(GET, name=f"{KEY}2")
        for call in (CALLS[ENCRYPT], CALLS[GET]):
            with pytest.raises(KeyServiceFailed, match="another key"):
                call(kms)

    def test_a_key_for_another_purpose_does_not_wrap(self, google: FakeGoogleKeys) -> None:
        google.add_key("signer", purpose="ASYMMETRIC_SIGN")
        kms = kms_of(google, "signer")
        with pytest.raises(KeyServiceFailed, match="ASYMMETRIC_SIGN"):
            kms.key()
        with pytest.raises(KeyServiceFailed, match="FAILED_PRECONDITION"):
            kms.wrap(dek(), ID)


class TestBlobs:
    def test_a_blob_of_another_id_is_refused(self, kms: GcpKms) -> None:
        with pytest.raises(WrappedKeyRefused) as caught:
            kms.unwrap(kms.wrap(dek(), ID), OTHER_ID)
        assert caught.value.cloud_code == "INVALID_ARGUMENT"
        assert caught.value.key_id == OTHER_ID

    def test_a_blob_of_another_key_is_refused(self, kms: GcpKms, google: FakeGoogleKeys) -> None:
        google.add_key("other")
        with pytest.raises(WrappedKeyRefused, match="refers to the correct CryptoKey"):
            kms.unwrap(kms_of(google, "other").wrap(dek(), ID), ID)

    @pytest.mark.parametrize("blob", [b"", bytes(BLOB_MAX + 1)])
    def test_what_cannot_be_a_blob_is_not_sent(
        self, kms: GcpKms, google: FakeGoogleKeys, blob: bytes
    ) -> None:
        with pytest.raises(WrappedKeyRefused):
            kms.unwrap(blob, ID)
        assert not len(google.requests)

    @pytest.mark.parametrize("state", ["DISABLED", "DESTROYED", "DESTROY_SCHEDULED"])
    def test_a_version_that_is_not_enabled_is_named(
        self, kms: GcpKms, google: FakeGoogleKeys, state: str
    ) -> None:
        blob = kms.wrap(dek(), ID)
        google.set_state(state, version=1)
        for call in (lambda: kms.unwrap(blob, ID), lambda: kms.wrap(dek(), ID), kms.key):
            with pytest.raises(KeyServiceFailed, match=state):
                call()
        google.rotate()
        assert kms.unwrap(kms.wrap(dek(), ID), ID) == dek()
        with pytest.raises(KeyServiceFailed, match=f"cryptoKeyVersions/1 is not enabled.*{state}"):
            kms.unwrap(blob, ID)


class TestErrors:
    @pytest.mark.parametrize("action", CALLS)
    @pytest.mark.parametrize(
        ("code", "status", "kind"),
        [
            ("UNAUTHENTICATED", 401, KeyDenied),
            ("PERMISSION_DENIED", 403, KeyDenied),
            ("NOT_FOUND", 404, KeyServiceFailed),
            ("FAILED_PRECONDITION", 400, KeyServiceFailed),
            ("OUT_OF_RANGE", 400, KeyServiceFailed),
            ("UNIMPLEMENTED", 501, KeyServiceFailed),
            ("RESOURCE_EXHAUSTED", 429, KeyServiceThrottled),
            ("ABORTED", 409, KeyServiceUnavailable),
            ("CANCELLED", 499, KeyServiceUnavailable),
            ("INTERNAL", 500, KeyServiceUnavailable),
            ("UNAVAILABLE", 503, KeyServiceUnavailable),
            ("DEADLINE_EXCEEDED", 504, KeyServiceUnavailable),
        ],
    )
    def test_each_code_is_an_error_of_ours(
        self,
        kms: GcpKms,
        google: FakeGoogleKeys,
        action: str,
        code: str,
        status: int,
        kind: type[CloudcryptError],
    ) -> None:
        google.faults.add(Refused(code, "Said.", status), on=action, times=None)
        with pytest.raises(kind) as caught:
            CALLS[action](kms)
        assert type(caught.value) is kind
        if status != 401:  # nobody in particular cannot be asked for a new token
            assert caught.value.answer is not None
            assert (caught.value.answer.code, caught.value.answer.status) == (code, status)
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert (google.requests.count(action) > 1) == caught.value.retryable
        assert "'gcp-kms://demo-project/europe-west3/disks/volumes'" in str(caught.value)

    @pytest.mark.parametrize(
        ("permission", "action"),
        [
            ("cloudkms.cryptoKeyVersions.useToEncrypt", ENCRYPT),
            ("cloudkms.cryptoKeyVersions.useToDecrypt", DECRYPT),
            ("cloudkms.cryptoKeys.get", GET),
        ],
    )
    def test_a_missing_permission_is_named(
        self, kms: GcpKms, google: FakeGoogleKeys, permission: str, action: str
    ) -> None:
        google.deny(permission)
        with pytest.raises(KeyDenied, match=permission):
            CALLS[action](kms)

    def test_a_key_that_is_not_there(self, google: FakeGoogleKeys) -> None:
        kms = kms_of(google, "none")
        for call in (kms.key, lambda: kms.wrap(dek(), ID), lambda: kms.unwrap(b"x" * 50, ID)):
            with pytest.raises(KeyServiceFailed, match="NOT_FOUND"):
                call()

    def test_what_is_not_cloud_kms_is_no_absence(self, kms: GcpKms, google: FakeGoogleKeys) -> None:
        for status, kind in ((404, KeyServiceFailed), (403, KeyDenied), (400, KeyServiceFailed)):
            google.faults.add(Refused("somethingElse", "<html>", status), on=DECRYPT)
            with pytest.raises(kind):
                CALLS[DECRYPT](kms)

    def test_a_refused_plaintext_is_not_repeated(self, kms: GcpKms, google: FakeGoogleKeys) -> None:
        text = base64.b64encode(DEK).decode()
        for code in ("INVALID_ARGUMENT", "INTERNAL", "somethingElse"):
            google.faults.add(Refused(code, f"Base64 decoding failed for {text}"), times=None)
            with pytest.raises(CloudcryptError) as caught:
                kms.wrap(dek(), ID)
            assert text not in str(caught.value) + repr(caught.value)
            google.faults.clear()


class TestFaults:
    @pytest.mark.parametrize(
        "fault", [Throttled(), ServerError(503), ConnectionLost(), ReplyLost()]
    )
    @pytest.mark.parametrize("action", CALLS)
    def test_what_passes_is_waited_out(
        self, kms: GcpKms, google: FakeGoogleKeys, action: str, fault: Any
    ) -> None:
        expected = {DECRYPT: dek(), GET: WrappingKey(KEY, "1")}
        google.faults.add(fault, on=action, times=3)
        result = CALLS[action](kms)
        assert google.requests.count(action) == 4
        assert result == expected.get(action, result)
        if action == ENCRYPT:
            assert kms.unwrap(result, ID) == dek()

    @pytest.mark.parametrize("fault", [Throttled(), ServerError(), ConnectionLost()])
    def test_what_lasts_ends_with_the_deadline(
        self, kms: GcpKms, google: FakeGoogleKeys, fault: Any
    ) -> None:
        google.faults.add(fault, times=None)
        begun = google.clock.monotonic()
        with pytest.raises((KeyServiceUnavailable, KeyServiceThrottled)):
            kms.key()
        assert google.clock.monotonic() - begun <= TIMEOUT
        with pytest.raises((KeyServiceUnavailable, KeyServiceThrottled)):
            kms.key(deadline=Deadline.after(100, clock=google.clock))
        assert 30 < google.clock.monotonic() - begun <= TIMEOUT + 100

    def test_a_service_that_hangs_is_not_waited_for(self, google: FakeGoogleKeys) -> None:
        kms = GcpKms(KEY, endpoint=google.endpoint, timeout=0.3)
        google.faults.add(Slow(1.5, is_real=True))
        with pytest.raises(KeyServiceUnavailable, match="Timeout"):
            kms.key()

    def test_a_service_that_is_not_there_is_unavailable(self) -> None:
        with FakeGoogleKeys() as google:
            kms = kms_of(google, clock=google.clock)
        with pytest.raises(KeyServiceUnavailable):
            kms.wrap(Secret(bytes(32)), ID)
