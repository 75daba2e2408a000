"""How a token of Vault is come by, lives, and is replaced."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudcrypt.errors import (
    KeyDenied,
    KeyServiceFailed,
    KeyServiceUnavailable,
)
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing.fake_vault import FakeVault
from cloudcrypt_testing.world.faults import ConnectionLost, Refused, ServerError
from cloudcrypt_vault import VaultTransit
from cloudcrypt_vault._errors import Asked
from cloudcrypt_vault._http import Http
from cloudcrypt_vault._url import Address
from tests.unit.aws_keys_given import answering
from tests.unit.vault_given import KEY_ID, opened, secret

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJub2RlIn0.c2lnbmF0dXJl"


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with FakeVault() as vault:
        vault.create_key("disks")
        yield vault


@pytest.fixture
def jwt_path(tmp_path: Path) -> str:
    path = tmp_path / "jwt"
    path.write_text(f"{JWT}\n")
    return str(path)


class TestRoles:
    @pytest.fixture
    def kms(self, vault: FakeVault, jwt_path: str) -> VaultTransit:
        vault.allow_login("node", JWT, lease=900)
        return opened(vault, role="node", jwt_path=jwt_path)

    def test_one_login_is_for_many_calls(self, vault: FakeVault, kms: VaultTransit) -> None:
        for _ in range(3):
            kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID)
        assert vault.requests.count("login kubernetes") == 1

    def test_of_many_threads_one_logs_in(self, vault: FakeVault, kms: VaultTransit) -> None:
        together = threading.Barrier(16)

        def wrap(number: int) -> bool:
            together.wait(30)
            key_id = f"{KEY_ID}/{number}"
            return kms.unwrap(kms.wrap(secret(), key_id), key_id) == secret()

        with ThreadPoolExecutor(16) as threads:
            assert all(threads.map(wrap, range(16)))
        assert vault.requests.count("login kubernetes") == 1

    def test_any_method_that_takes_a_jwt_will_do(self, vault: FakeVault, jwt_path: str) -> None:
        vault.allow_login("node", JWT, auth="clusters/jwt")
        kms = opened(vault, role="node", auth="clusters/jwt", jwt_path=jwt_path)
        assert kms.key().version == "1"
        assert vault.requests.count("login clusters/jwt") == 1

    def test_a_token_is_renewed_before_it_ends(self, vault: FakeVault, kms: VaultTransit) -> None:
        for _ in range(10):
            assert kms.wrap(secret(), KEY_ID)
            vault.clock.advance(610)
        assert vault.requests.count("renew-self") == 9
        assert vault.requests.count("login kubernetes") == 1
        assert "encrypt" in vault.requests.actions

    def test_a_token_that_cannot_be_renewed_for_long_is_replaced(
        self, vault: FakeVault, jwt_path: str
    ) -> None:
        vault.allow_login("node", JWT, lease=900, most=1000)
        kms = opened(vault, role="node", jwt_path=jwt_path)
        for _ in range(2):
            assert kms.wrap(secret(), KEY_ID)
            vault.clock.advance(610)
        assert vault.requests.count("login kubernetes") == 2
        assert vault.requests.actions[-2:] == ["login kubernetes", "encrypt"]

    def test_a_token_that_has_ended_is_replaced(self, vault: FakeVault, kms: VaultTransit) -> None:
        blob = kms.wrap(secret(), KEY_ID)
        vault.clock.advance(901)
        assert kms.unwrap(blob, KEY_ID) == secret()
        assert vault.requests.count("login kubernetes") == 2
        assert vault.requests.count("renew-self") == 0

    def test_a_token_that_was_revoked_is_replaced_once(
        self, vault: FakeVault, kms: VaultTransit
    ) -> None:
        blob = kms.wrap(secret(), KEY_ID)
        vault.revoke_tokens()
        assert kms.unwrap(blob, KEY_ID) == secret()
        assert vault.requests.count("login kubernetes") == 2

    def test_a_good_token_lasts_through_a_login_that_fails(
        self, vault: FakeVault, kms: VaultTransit
    ) -> None:
        blob = kms.wrap(secret(), KEY_ID)
        vault.clock.advance(610)
        vault.faults.add(ServerError(500), on="renew-self", times=None)
        vault.faults.add(ServerError(500), on="login*", times=None)
        assert kms.unwrap(blob, KEY_ID) == secret()
        vault.clock.advance(300)
        with pytest.raises(KeyServiceUnavailable):
            kms.unwrap(blob, KEY_ID)

    def test_a_login_that_is_lost_is_repeated(self, vault: FakeVault, kms: VaultTransit) -> None:
        vault.faults.add(ConnectionLost(), on="login*", times=2)
        assert kms.wrap(secret(), KEY_ID)
        assert vault.requests.count("login kubernetes") == 3

    def test_what_a_policy_denies_is_denied_and_asked_for_once(
        self, vault: FakeVault, kms: VaultTransit
    ) -> None:
        vault.deny("transit/keys/*")
        with pytest.raises(KeyDenied, match="permission denied"):
            kms.wrap(secret(), KEY_ID)
        assert vault.requests.actions == ["login kubernetes", "read"]

    def test_what_a_policy_denies_later_is_denied_after_one_more_login(
        self, vault: FakeVault, kms: VaultTransit
    ) -> None:
        blob = kms.wrap(secret(), KEY_ID)
        vault.deny("transit/decrypt/disks")
        vault.requests.clear()
        with pytest.raises(KeyDenied):
            kms.unwrap(blob, KEY_ID)
        assert vault.requests.actions == ["decrypt", "login kubernetes", "decrypt"]
        vault.allow_all()
        assert kms.unwrap(blob, KEY_ID) == secret()

    @pytest.mark.parametrize("how", ["role", "jwt", "empty", "binary", "absent"])
    def test_who_may_not_log_in_gets_no_key(
        self, vault: FakeVault, kms: VaultTransit, jwt_path: str, how: str
    ) -> None:
        path = Path(jwt_path)
        if how == "role":
            kms = opened(vault, role="other", jwt_path=jwt_path)
        elif how == "absent":
            path.unlink()
        else:
            path.write_bytes({"jwt": b"other", "empty": b"\n", "binary": b"\xff\xfe"}[how])
        expected = KeyServiceFailed if how == "role" else KeyDenied
        with pytest.raises(expected) as caught:
            kms.wrap(secret(), KEY_ID)
        assert JWT not in f"{caught.value}"

    def test_a_new_jwt_is_read_when_it_is_needed(
        self, vault: FakeVault, kms: VaultTransit, jwt_path: str
    ) -> None:
        kms.wrap(secret(), KEY_ID)
        vault.allow_login("node", "another")
        vault.revoke_tokens()
        Path(jwt_path).write_text("another")
        assert kms.wrap(secret(), KEY_ID)

    @pytest.mark.parametrize(
        "body",
        [
            b'{"auth": null}',
            b'{"auth": {"client_token": "", "lease_duration": 1}}',
            b'{"auth": {"client_token": "t"}}',
            b'{"auth": {"client_token": "t\\n", "lease_duration": 1}}',
            b'{"auth": {"client_token": "t\\ud800", "lease_duration": 1}}',
        ],
    )
    def test_a_login_without_a_token_is_a_failure(self, jwt_path: str, body: bytes) -> None:
        with answering(200, body) as endpoint:
            kms = VaultTransit(
                "vault", "transit", "disks", endpoint=endpoint, role="node", jwt_path=jwt_path
            )
            with pytest.raises(KeyServiceFailed):
                kms.key()
            kms.close()


class TestFilesAndEnvironment:
    def test_a_file_has_the_token(self, vault: FakeVault, tmp_path: Path) -> None:
        kms = opened(vault, token_path=vault.token_file(tmp_path))
        assert kms.unwrap(kms.wrap(secret(), KEY_ID), KEY_ID) == secret()

    def test_a_file_is_read_again_when_its_token_has_ended(
        self, vault: FakeVault, tmp_path: Path
    ) -> None:
        kms = opened(vault, token_path=vault.token_file(tmp_path, lease=60))
        assert kms.wrap(secret(), KEY_ID)
        vault.clock.advance(61)
        with pytest.raises(KeyDenied):
            kms.wrap(secret(), KEY_ID)
        vault.token_file(tmp_path)
        assert kms.wrap(secret(), KEY_ID)

    def test_the_environment_has_the_token_if_nothing_else_is_given(
        self, vault: FakeVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VAULT_TOKEN", vault.issue_token())
        assert VaultTransit.from_url(vault.url("disks")).key().version == "1"
        monkeypatch.setenv("VAULT_TOKEN", "hvs.useless")
        with pytest.raises(KeyDenied):
            VaultTransit.from_url(vault.url("disks")).key()
        url = vault.url("disks", tokenPath=vault.token_file(tmp_path))
        assert VaultTransit.from_url(url).key().version == "1"

    def test_without_any_token_nothing_is_asked(
        self, vault: FakeVault, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("VAULT_TOKEN", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".vault-token").write_text(vault.issue_token())
        with pytest.raises(KeyDenied, match="VAULT_TOKEN"):
            VaultTransit.from_url(vault.url("disks")).key()
        assert len(vault.requests) == 0

    def test_a_token_that_is_given_is_used(self, vault: FakeVault) -> None:
        kms = opened(vault, token=Secret(vault.issue_token(lease=60).encode()))
        assert kms.key().version == "1"
        vault.faults.add(Refused("", "invalid token", 403))
        assert kms.key().version == "1"
        vault.clock.advance(61)
        with pytest.raises(KeyDenied):
            kms.key()

    @pytest.mark.parametrize("how", ["environment", "file", "given"])
    @pytest.mark.parametrize("spoilt", ["hvs.SE\nCRET", "hvs.SE CRET", "hvs.SE\u20acCRET", "é"])
    def test_what_no_header_can_have_is_neither_sent_nor_quoted(
        self,
        vault: FakeVault,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        how: str,
        spoilt: str,
    ) -> None:
        (tmp_path / "token").write_text(spoilt)
        match how:
            case "environment":
                monkeypatch.setenv("VAULT_TOKEN", spoilt)
                kms = VaultTransit.from_url(vault.url("disks"))
            case "file":
                kms = opened(vault, token_path=str(tmp_path / "token"))
            case _:
                kms = opened(vault, token=Secret(spoilt.encode()))
        with pytest.raises(KeyDenied, match="one line of printable ASCII") as caught:
            kms.key()
        assert "CRET" not in repr(caught.value)
        assert caught.value.__context__ is None
        assert len(vault.requests) == 0


def test_an_error_of_http_about_a_header_is_not_quoted() -> None:
    http = Http(Address.of("vault", "transit", "disks", endpoint="http://127.0.0.1:9"))
    asked = Asked("vault-transit://vault", KEY_ID, "read")
    with pytest.raises(KeyServiceUnavailable, match="InvalidHeader") as caught:
        http.send(
            asked, "hvs.SE\nCRET", Deadline.after(5), lambda client: client.auth.token.renew_self()
        )
    assert "CRET" not in repr(caught.value)
