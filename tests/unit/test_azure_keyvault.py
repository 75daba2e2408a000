"""Managed HSM beyond the contract: errors, faults of the world, versions and names of keys."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
    WrappedKeyRefused,
)
from cloudcrypt.kms import KMS
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._keys_format import encoded
from cloudcrypt_azure._keys_hsm import MAGIC
from cloudcrypt_azure.keyvault import AzureKeyVault
from cloudcrypt_testing.fake_azure_keys import FakeAzureKeys
from cloudcrypt_testing.fake_azure_keys.errors import json_answer
from cloudcrypt_testing.fake_azure_keys.vaults import base64url
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Fault,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    Throttled,
)

_HSM = "cluster.managedhsm.azure.net"
_URL = f"azure-keyvault://{_HSM}/kek"
_ID = "cloudcrypt/v1/some"
_KEY = bytes(range(32))


@pytest.fixture
def azure() -> Iterator[FakeAzureKeys]:
    with FakeAzureKeys() as fake:
        fake.create_key(_HSM, "kek", "oct-HSM")
        yield fake


@pytest.fixture
def kms(azure: FakeAzureKeys) -> Iterator[AzureKeyVault]:
    kms = AzureKeyVault(
        _HSM,
        "kek",
        credential=azure.credential,
        endpoint=azure.endpoint,
        ca=str(azure.ca),
        timeout=20,
        clock=azure.clock,
    )
    kms.key()  # the challenge is over
    azure.requests.clear()
    yield kms
    kms.close()


def _answering(answer: object) -> Callable[..., object]:
    def replacement(*_: object) -> object:
        return answer

    return replacement


def _wrapped(kms: KMS) -> bytes:
    return kms.wrap(Secret(_KEY), _ID)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "BadParameter", KeyServiceFailed),
        (401, "Unauthorized", KeyDenied),
        (403, "Forbidden", KeyDenied),
        (403, "AccessDenied", KeyDenied),
        (403, "ForbiddenByPolicy", KeyDenied),
        (403, "ForbiddenByRbac", KeyDenied),
        (403, "ForbiddenByFirewall", KeyDenied),
        (403, "KeyOperationForbidden", KeyDenied),
        (403, "KeyDisabled", KeyServiceFailed),
        (404, "KeyNotFound", KeyServiceFailed),
        (404, "ResourceNotFound", KeyServiceFailed),
        (409, "Conflict", KeyServiceFailed),
        (429, "Throttled", KeyServiceThrottled),
        (500, "InternalError", KeyServiceUnavailable),
        (503, "ServiceUnavailable", KeyServiceUnavailable),
    ],
)
@pytest.mark.parametrize("action", ["get", "encrypt"])
def test_every_error_of_a_vault_is_one_of_ours(
    azure: FakeAzureKeys,
    kms: AzureKeyVault,
    action: str,
    status: int,
    code: str,
    kind: type[CloudcryptError],
) -> None:
    azure.faults.add(Refused(code, status=status), on=f"keys.{action}", times=None)
    with pytest.raises(CloudcryptError) as caught:
        _wrapped(kms)
    assert type(caught.value) is kind
    assert (caught.value.cloud_code, caught.value.answer and caught.value.answer.status) == (
        code,
        status,
    )
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert len(azure.requests) <= 2 or kind.retryable


def test_what_the_vault_cannot_decrypt_is_refused_and_no_other_error_is(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    blob = _wrapped(kms)
    for code in ("BadParameter", "CipherTextNotAuthentic"):  # that of an HSM is not documented
        azure.faults.add(Refused(code, status=400), on="keys.decrypt")
        with pytest.raises(WrappedKeyRefused) as caught:
            kms.unwrap(blob, _ID)
        assert caught.value.cloud_code == code
    for status, code in ((403, "ForbiddenByRbac"), (409, "Conflict"), (404, "KeyNotFound")):
        azure.faults.add(Refused(code, status=status), on="keys.decrypt")
        with pytest.raises((KeyDenied, KeyServiceFailed)):
            kms.unwrap(blob, _ID)


@pytest.mark.parametrize("action", ["get", "encrypt", "decrypt"])
@pytest.mark.parametrize(
    "fault", [Throttled(), ServerError(500), ServerError(503), ConnectionLost(), ReplyLost()]
)
def test_what_passes_is_waited_for(
    azure: FakeAzureKeys, kms: AzureKeyVault, fault: Fault, action: str
) -> None:
    azure.faults.add(fault, on=f"keys.{action}", times=2)
    assert kms.unwrap(_wrapped(kms), _ID) == Secret(_KEY)


def test_retry_after_is_kept_to(azure: FakeAzureKeys, kms: AzureKeyVault) -> None:
    azure.set_retry_after(7)
    azure.faults.add(Throttled(), on="keys.encrypt")
    before = azure.clock.monotonic()
    _wrapped(kms)
    assert azure.clock.monotonic() - before >= 7
    azure.set_retry_after(30)
    azure.faults.add(Throttled(), on="keys.encrypt")
    with pytest.raises(KeyServiceThrottled) as caught:  # there are 20 seconds
        _wrapped(kms)
    assert caught.value.retry_after == 30


@pytest.mark.parametrize("fault", [ServerError(500), Throttled(), ConnectionLost()])
def test_the_sdk_tries_nothing_again_by_itself(fault: Fault) -> None:
    with FakeAzureKeys(clock=FakeClock(tick=1)) as azure:
        azure.create_key(_HSM, "kek", "oct-HSM")
        kms = AzureKeyVault(
            _HSM,
            "kek",
            credential=azure.credential,
            endpoint=azure.endpoint,
            ca=str(azure.ca),
            clock=azure.clock,
        )
        kms.key()
        azure.requests.clear()
        azure.faults.add(fault, on="keys.encrypt", times=None)
        with pytest.raises(CloudcryptError):
            kms.wrap(Secret(_KEY), _ID, deadline=Deadline.after(1.5, clock=azure.clock))
        assert azure.requests.actions == ["keys.get", "keys.encrypt"]
        kms.close()


@pytest.mark.parametrize("action", ["keys.challenge", "keys.get", "keys.encrypt", "tokens.issue"])
def test_a_call_ends_by_its_deadline(azure: FakeAzureKeys, action: str) -> None:
    host = f"{action.replace('.', '-')}.managedhsm.azure.net"  # the SDK remembers challenges
    azure.create_key(host, "kek", "oct-HSM")
    kms = AzureKeyVault.from_url(azure.url(f"azure-keyvault://{host}/kek?timeout=0.5"))
    azure.faults.add(Slow(3, is_real=True), on=action, times=None)
    begin = time.monotonic()
    with pytest.raises(KeyServiceUnavailable):
        _wrapped(kms)
    assert time.monotonic() - begin < 2
    kms.close()


def test_a_version_that_is_disabled_neither_wraps_nor_unwraps(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    blob = _wrapped(kms)
    azure.key(_HSM, "kek").versions[0].enabled = False
    for call in (lambda: _wrapped(kms), lambda: kms.unwrap(blob, _ID), kms.key):
        with pytest.raises(KeyServiceFailed) as caught:
            call()
        assert caught.value.code == "KeyDisabled"
    azure.create_key(_HSM, "kek", "oct-HSM")
    assert kms.unwrap(_wrapped(kms), _ID) == Secret(_KEY)


def test_a_version_that_has_expired_unwraps_and_wraps_no_more(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    blob, version = _wrapped(kms), azure.key(_HSM, "kek").versions[0]
    version.expires = azure.clock.now()
    for code in ("KeyExpired", "KeyNotYetValid"):
        with pytest.raises(KeyServiceFailed) as caught:
            _wrapped(kms)
        assert caught.value.code == code
        assert kms.unwrap(blob, _ID) == Secret(_KEY)
        version.expires, version.not_before = None, azure.clock.now() + timedelta(days=1)


def test_a_key_that_was_deleted_is_no_wrapped_key_that_was_refused(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    blob = _wrapped(kms)
    azure.key(_HSM, "kek").is_deleted = True
    for call in (lambda: _wrapped(kms), lambda: kms.unwrap(blob, _ID), kms.key):
        with pytest.raises(KeyServiceFailed) as caught:
            call()
        assert caught.value.cloud_code == "KeyNotFound"
    azure.key(_HSM, "kek").is_deleted = False
    assert kms.unwrap(blob, _ID) == Secret(_KEY)


@pytest.mark.parametrize("kind", ["RSA", "RSA-HSM", "EC"])
def test_a_key_that_does_not_authenticate_is_refused_with_what_to_do(
    azure: FakeAzureKeys, kind: str
) -> None:
    azure.create_key("some.vault.azure.net", "kek", kind)
    kms = AzureKeyVault.from_url(azure.url("azure-keyvault://some.vault.azure.net/kek"))
    for call in (lambda: _wrapped(kms), kms.key):
        with pytest.raises(KeyServiceFailed, match=f"{kind}.*Managed HSM.*signKey"):
            call()
    assert not {"keys.encrypt", "keys.wrapkey"} & set(azure.requests.actions)
    kms.close()


@pytest.mark.parametrize(
    "version",
    [
        b"",
        b"../other/" + b"0" * 23,
        b"0" * 31 + b"/",
        b"0" * 31 + b"\n",
        b"0" * 33,
        b"0" * 32 + b"\n",
        b"A" * 32,
        b"%2e%2e%2f" + b"0" * 23,
        "\u0660".encode() * 16,
    ],
)
def test_a_version_in_a_blob_is_looked_at_before_it_is_in_a_url(
    azure: FakeAzureKeys, kms: AzureKeyVault, version: bytes
) -> None:
    blob = encoded(MAGIC, version, bytes(12), bytes(16), bytes(32))
    with pytest.raises(WrappedKeyRefused):
        kms.unwrap(blob, _ID)
    assert len(azure.requests) == 0


def test_an_iv_or_a_tag_of_another_length_is_not_shown_to_the_vault(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    version = azure.key(_HSM, "kek").versions[0].version.encode()
    for iv, tag, ciphertext in ((11, 16, 32), (12, 4, 32), (12, 12, 32), (12, 16, 0)):
        blob = encoded(MAGIC, version, bytes(iv), bytes(tag), bytes(ciphertext))
        with pytest.raises(WrappedKeyRefused):
            kms.unwrap(blob, _ID)
    assert len(azure.requests) == 0


@pytest.mark.parametrize(
    "kid",
    [
        f"https://evil.example/keys/kek/{'0' * 32}",
        f"https://{_HSM}/keys/other/{'0' * 32}",
        f"https://{_HSM}/keys/kek/..",
        f"https://{_HSM}/keys/kek",
        f"http://{_HSM}/keys/kek/{'0' * 32}",
        "kek",
    ],
)
def test_a_key_elsewhere_is_not_used_whatever_the_vault_says(
    azure: FakeAzureKeys, kms: AzureKeyVault, kid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudcrypt_testing.fake_azure_keys.vaults._id", _answering(kid))
    with pytest.raises(KeyServiceFailed):
        _wrapped(kms)
    assert azure.requests.actions == ["keys.get"]


def test_another_version_than_was_asked_for_is_not_used(
    azure: FakeAzureKeys, kms: AzureKeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = _wrapped(kms)
    newer = azure.create_key(_HSM, "kek", "oct-HSM").version
    azure.requests.clear()
    other = _answering(f"https://{_HSM}/keys/kek/{newer}")
    monkeypatch.setattr("cloudcrypt_testing.fake_azure_keys.vaults._id", other)
    with pytest.raises(KeyServiceFailed) as caught:
        kms.unwrap(blob, _ID)
    assert caught.value.code == "MalformedAnswer"
    assert azure.requests.actions == ["keys.get"]


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_a_version_of_another_kind_is_not_asked_to_decrypt(
    azure: FakeAzureKeys, kms: AzureKeyVault, kind: str
) -> None:
    version = azure.create_key(_HSM, "kek", kind).version.encode()
    with pytest.raises(WrappedKeyRefused, match=kind):
        kms.unwrap(encoded(MAGIC, version, bytes(12), bytes(16), bytes(32)), _ID)
    assert azure.requests.actions == ["keys.get"]


@pytest.mark.parametrize("document", [{}, {"key": {}}, {"key": None}, [], "text", {"value": 7}])
def test_an_answer_that_cannot_be_read_is_an_error_of_ours(
    azure: FakeAzureKeys, kms: AzureKeyVault, document: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = _wrapped(kms)
    answer = _answering(json_answer(document))
    calls: list[Callable[[], object]] = [lambda: _wrapped(kms), lambda: kms.unwrap(blob, _ID)]
    for name in ("Vaults._used", "_described"):
        monkeypatch.setattr(f"cloudcrypt_testing.fake_azure_keys.vaults.{name}", answer)
        for call in calls:
            with pytest.raises(CloudcryptError):
                call()
        calls.append(kms.key)


def test_an_answer_of_another_length_is_not_taken(
    azure: FakeAzureKeys, kms: AzureKeyVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("value", "iv", "tag")
    good = dict(zip(names, (32, 12, 16), strict=True))
    used = "cloudcrypt_testing.fake_azure_keys.vaults.Vaults._used"
    for name, length in (("value", 31), ("value", 33), ("iv", 16), ("tag", 12), ("tag", 0)):
        lengths = {**good, name: length}
        document = {each: base64url(bytes(lengths[each])) for each in names}
        monkeypatch.setattr(used, _answering(json_answer(document)))
        with pytest.raises(KeyServiceFailed) as caught:
            _wrapped(kms)
        assert caught.value.code == "MalformedAnswer"
    assert azure.requests.count("keys.encrypt") == 5


@pytest.mark.parametrize("length", [0, 4097])
def test_a_secret_that_is_no_key_is_not_wrapped(
    azure: FakeAzureKeys, kms: AzureKeyVault, length: int
) -> None:
    with pytest.raises(KeyServiceFailed, match="1 to 4096 bytes"):
        kms.wrap(Secret(bytes(length)), _ID)
    assert len(azure.requests) == 0


def test_a_name_in_another_case_is_the_same_key(azure: FakeAzureKeys) -> None:
    one = AzureKeyVault.from_url(azure.url(_URL))
    two = AzureKeyVault.from_url(azure.url(f"azure-keyvault://{_HSM.upper()}/KEK"))
    assert one.key() == two.key()
    assert two.unwrap(_wrapped(one), _ID) == Secret(_KEY)
    one.close()
    two.close()
