"""Vault's transit engine as a KMS: which keys it takes, and what answers and failures become."""

import base64
import os
import socket
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
    WrappedKeyRefused,
)
from cloudcrypt.kms import associated_data
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing.fake_vault import FakeVault
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Fault,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    Throttled,
)
from cloudcrypt_vault import VaultTransit
from tests.unit.aws_keys_given import answering
from tests.unit.vault_given import KEY_ID, opened, secret

PASSING = (
    *(Throttled(), ServerError(500), ServerError(502), ServerError(503)),
    *(ConnectionLost(), ReplyLost()),
)
OUTCOMES: dict[tuple[int, str], type[CloudcryptError]] = {
    (400, "cipher: message authentication failed"): WrappedKeyRefused,
    (400, "invalid ciphertext: unable to decrypt"): WrappedKeyRefused,
    (400, "invalid ciphertext length"): WrappedKeyRefused,
    (500, "1 error occurred:\n\t* cipher: message authentication failed"): WrappedKeyRefused,
    (400, "ciphertext or signature version is disallowed by policy (too old)"): KeyServiceFailed,
    (400, "encryption key not found"): KeyServiceFailed,
    (404, "no handler for route"): KeyServiceFailed,
    (405, "unsupported operation"): KeyServiceFailed,
    (413, "http: request body too large"): KeyServiceFailed,
    (400, "missing client token"): KeyDenied,
    (401, "unauthorized"): KeyDenied,
    (403, "permission denied"): KeyDenied,
    (429, "rate limit quota exceeded"): KeyServiceThrottled,
    (412, "required index state not present"): KeyServiceUnavailable,
    (472, "a disaster recovery secondary"): KeyServiceUnavailable,
    (473, "a performance standby"): KeyServiceUnavailable,
    (500, "internal error"): KeyServiceUnavailable,
    (501, "not initialized"): KeyServiceUnavailable,
    (503, "Vault is sealed"): KeyServiceUnavailable,
}


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with FakeVault() as vault:
        vault.create_key("disks")
        yield vault


@pytest.mark.parametrize("action", ["encrypt", "decrypt", "read"])
@pytest.mark.parametrize("fault", PASSING, ids=repr)
def test_what_passes_is_waited_out(vault: FakeVault, fault: Fault, action: str) -> None:
    kms = opened(vault)
    vault.faults.add(fault, on=action, times=2)
    assert kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID) == secret()
    assert vault.requests.count(action) == 3


@pytest.mark.parametrize(("said", "outcome"), OUTCOMES.items())
def test_each_answer_becomes_an_error_of_its_kind(
    vault: FakeVault, said: tuple[int, str], outcome: type[CloudcryptError]
) -> None:
    status, message = said
    kms = opened(vault)
    blob = kms.wrap(secret(), KEY_ID)
    vault.faults.add(Refused("", message, status), on="decrypt", times=None)
    begun = vault.clock.monotonic()
    with pytest.raises(outcome) as caught:
        kms.unwrap(blob, KEY_ID)
    assert caught.type is outcome
    error = cast("Any", caught.value)
    assert error.key_id == KEY_ID
    assert (error.answer.status, error.answer.message) == (status, message)
    assert (error.__cause__, error.__context__) == (None, None)
    assert vault.clock.monotonic() - begun <= 30
    if not error.retryable:
        assert vault.requests.count("decrypt") == (2 if outcome is KeyDenied else 1)


def test_a_pause_that_vault_asks_for_is_made(vault: FakeVault) -> None:
    kms = opened(vault)
    kms.key()
    vault.faults.add(Throttled(), on="encrypt")
    begun = vault.clock.monotonic()
    kms.wrap(secret(), KEY_ID)
    assert vault.clock.monotonic() - begun >= 1


def test_a_key_that_ignores_the_key_id_is_not_used(vault: FakeVault) -> None:
    vault.create_key("plain", derived=False)
    kms = opened(vault, "plain")
    for call in (kms.key, lambda: kms.wrap(secret(), KEY_ID)):
        with pytest.raises(KeyServiceFailed, match="derived=true") as caught:
            call()
        assert caught.value.code == "NotDerived"
    with pytest.raises(KeyServiceFailed, match="derived=true"):
        kms.unwrap(b"vault:v1:AAAA", KEY_ID)
    assert vault.requests.count("encrypt") == vault.requests.count("decrypt") == 0


@pytest.mark.parametrize("kind", ["rsa-4096", "ed25519", "ecdsa-p256", "hmac"])
def test_a_key_that_does_not_encrypt_with_authentication_is_not_used(
    vault: FakeVault, kind: str
) -> None:
    vault.create_key("other", kind=kind)
    kms = opened(vault, "other")
    with pytest.raises(KeyServiceFailed) as caught:
        kms.wrap(secret(), KEY_ID)
    assert caught.value.code == "WrongKeyType"


def test_a_key_that_is_not_there_is_a_lasting_failure_and_not_made(vault: FakeVault) -> None:
    kms = opened(vault, "absent")
    with pytest.raises(KeyServiceFailed) as caught:
        kms.wrap(secret(), KEY_ID)
    assert caught.value.code == "404"
    assert vault.requests.count("encrypt") == 0


def test_a_key_that_was_deleted_meanwhile_is_a_failure(vault: FakeVault) -> None:
    kms = opened(vault)
    blob = kms.wrap(secret(), KEY_ID)
    vault.delete_key("disks")
    with pytest.raises(KeyServiceFailed, match="not found"):
        kms.unwrap(blob, KEY_ID)
    with pytest.raises(KeyDenied):
        kms.wrap(secret(), KEY_ID)


def test_the_key_is_looked_at_once(vault: FakeVault) -> None:
    kms = opened(vault)
    for _ in range(3):
        kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID)
    assert vault.requests.count("read") == 1


def test_a_version_below_the_least_is_a_failure_that_can_be_taken_back(vault: FakeVault) -> None:
    kms = opened(vault)
    blob = kms.wrap(secret(), KEY_ID)
    vault.rotate("disks")
    vault.retire("disks", 2)
    with pytest.raises(KeyServiceFailed) as caught:
        kms.unwrap(blob, KEY_ID)
    assert caught.value.code == "VersionTooOld"
    assert kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID) == secret()
    vault.retire("disks", 1)
    assert kms.unwrap(blob, KEY_ID) == secret()


def test_the_version_is_the_one_that_wraps(vault: FakeVault) -> None:
    kms = opened(vault)
    assert kms.key().version == "1"
    vault.rotate("disks")
    key = kms.key()
    assert (key.name, key.version) == (f"vault-transit://{vault.host}/transit/disks", "2")
    assert kms.wrap(secret(), KEY_ID).startswith(b"vault:v2:")


@pytest.mark.parametrize("change", ["v0", "v01", "break", "bits", "space", "prefix", "version"])
def test_other_spellings_of_a_blob_are_refused_though_vault_would_decrypt_some(
    vault: FakeVault, change: str
) -> None:
    kms = opened(vault)
    blob = kms.wrap(Secret(b"a"), KEY_ID)  # of a length that leaves bits in its last letter
    body = blob.removeprefix(b"vault:v1:")
    changed = {
        "v0": b"vault:v0:" + body,
        "v01": b"vault:v01:" + body,
        "break": b"vault:v1:" + body[:8] + b"\n" + body[8:],
        "bits": blob.rstrip(b"=")[:-1] + bytes([blob.rstrip(b"=")[-1] + 1]) + b"=",
        "space": blob + b" ",
        "prefix": b"bao:v1:" + body,
        "version": b"vault:v2:" + body,
    }[change]
    with pytest.raises(WrappedKeyRefused):
        kms.unwrap(changed, KEY_ID)
    assert vault.requests.count("decrypt") == (1 if change == "version" else 0)


def test_a_sealed_vault_is_unavailable_until_it_is_not(vault: FakeVault) -> None:
    kms = opened(vault)
    blob = kms.wrap(secret(), KEY_ID)
    vault.seal()
    with pytest.raises(KeyServiceUnavailable, match="sealed"):
        kms.unwrap(blob, KEY_ID)
    vault.unseal()
    assert kms.unwrap(blob, KEY_ID) == secret()


def test_a_standby_is_not_followed_with_a_token(vault: FakeVault) -> None:
    with FakeVault() as other:
        kms = opened(vault)
        vault.stand_by(other.endpoint)
        with pytest.raises(KeyServiceUnavailable, match="307"):
            kms.wrap(secret(), KEY_ID)
        assert len(other.requests) == 0
        vault.stand_by()
        assert kms.wrap(secret(), KEY_ID)


def test_a_namespace_is_asked_in(vault: FakeVault) -> None:
    with FakeVault(namespace="team/a", mount="disks/transit") as other:
        other.create_key("disks")
        token = Secret(other.issue_token().encode())
        kms = opened(other, token=token, namespace="team/a")
        assert kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID) == secret()
        assert kms.key().name.endswith("/disks/transit/disks?namespace=team/a")
        with pytest.raises(KeyServiceFailed):
            opened(other, token=token).wrap(secret(), KEY_ID)
    with pytest.raises(KeyServiceFailed):
        opened(vault, namespace="team/a").wrap(secret(), KEY_ID)


def test_a_key_of_another_name_has_another_material(vault: FakeVault) -> None:
    vault.create_key("others")
    blob = opened(vault).wrap(secret(), KEY_ID)
    with pytest.raises(WrappedKeyRefused):
        opened(vault, "others").unwrap(blob, KEY_ID)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"<html>",
        b'{"data": []}',
        b'{"data": {"type": "aes256-gcm96", "derived": true}}',
        b'{"data": {"type": "aes256-gcm96", "derived": true, "plaintext": "!", "ciphertext": "x"}}',
        b'{"data": {"type": "aes256-gcm96", "derived": true, "plaintext": "", "ciphertext": 7}}',
    ],
)
def test_an_answer_without_what_it_must_have_is_a_failure(body: bytes) -> None:
    with answering(200, body, Content_Type="application/json") as endpoint:
        kms = VaultTransit("vault", "transit", "disks", endpoint=endpoint, token=Secret(b"t"))
        with pytest.raises(KeyServiceFailed) as caught:
            kms.wrap(secret(), KEY_ID)
        assert caught.value.code == "MalformedAnswer"
        with pytest.raises(KeyServiceFailed):
            kms.unwrap(b"vault:v1:AAAA", KEY_ID)
        kms.close()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"errors": "x"}', b'{"errors": [1]}'])
def test_an_error_that_is_not_vaults_is_one_all_the_same(body: bytes) -> None:
    with answering(418, body) as endpoint:
        kms = VaultTransit("vault", "transit", "disks", endpoint=endpoint, token=Secret(b"t"))
        with pytest.raises(KeyServiceFailed) as caught:
            kms.key()
        assert caught.value.code == "418"
        kms.close()


def test_a_vault_that_does_not_answer_is_given_up_at_the_timeout(vault: FakeVault) -> None:
    token = Secret(vault.issue_token().encode())
    kms = VaultTransit(
        vault.host, "transit", "disks", endpoint=vault.endpoint, token=token, timeout=0.6
    )
    blob = kms.wrap(secret(), KEY_ID)
    vault.faults.add(Slow(1.5, is_real=True), on="decrypt", times=None)
    begun = time.monotonic()
    with pytest.raises(KeyServiceUnavailable):
        kms.unwrap(blob, KEY_ID)
    assert time.monotonic() - begun < 1.4
    kms.close()


def test_a_vault_that_is_not_there_is_unavailable(vault: FakeVault) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        kms = opened(vault, endpoint=f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(KeyServiceUnavailable, match="ConnectionError"):
            kms.key()


def test_a_certificate_of_others_is_not_trusted(vault: FakeVault) -> None:
    kms = opened(vault, endpoint=vault.endpoint.replace("http://", "https://"))
    with pytest.raises(KeyServiceUnavailable, match="SSLError"):
        kms.key()


def test_proxies_and_passwords_of_the_environment_are_not_used(
    vault: FakeVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.touch(mode=0o600)
    netrc.write_text("default login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    assert opened(vault).key().version == "1"


def test_a_process_that_forks_has_connections_of_its_own(vault: FakeVault) -> None:
    kms = opened(vault)
    blob = kms.wrap(secret(), KEY_ID)
    child = os.fork()
    if child == 0:  # pragma: no cover - in another process
        os._exit(0 if kms.unwrap(blob, KEY_ID) == secret() else 1)
    assert kms.unwrap(blob, KEY_ID) == secret()
    assert os.waitpid(child, 0)[1] == 0


def test_the_context_is_the_associated_data_that_all_kms_have(vault: FakeVault) -> None:
    context = base64.b64encode(associated_data(KEY_ID)).decode()
    blob = opened(vault).wrap(secret(), KEY_ID)
    answer = vault.key("disks").decrypt({"ciphertext": blob.decode(), "context": context})
    assert answer["plaintext"] == base64.b64encode(secret().reveal()).decode()


def test_a_deadline_on_the_hosts_clock_is_kept_on_that_of_the_kms(vault: FakeVault) -> None:
    kms = opened(vault)
    blob = kms.wrap(secret(), KEY_ID, deadline=Deadline.after(60, clock=vault.clock))
    vault.seal()
    begun = vault.clock.monotonic()
    with pytest.raises(KeyServiceUnavailable):
        kms.unwrap(blob, KEY_ID, deadline=Deadline.after(7))
    assert vault.clock.monotonic() - begun <= 7
