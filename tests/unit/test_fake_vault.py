"""The fake Vault, asked over HTTP by hvac as by any client."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests

from cloudcrypt_testing.fake_vault import FakeVault
from cloudcrypt_testing.world.faults import Refused, ServerError, Throttled

_hvac: Any = hvac
CONTEXT = base64.b64encode(b"context").decode()
OTHER = base64.b64encode(b"other").decode()
TEXT = base64.b64encode(b"text").decode()


@pytest.fixture
def vault() -> Iterator[FakeVault]:
    with FakeVault() as vault:
        yield vault


@pytest.fixture
def client(vault: FakeVault) -> Any:
    return _hvac.Client(url=vault.endpoint, token=vault.root_token)


def _refusal(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(_hvac.exceptions.VaultError) as caught:
        call(*arguments, **named)
    return f"{type(caught.value).__name__} {', '.join(caught.value.errors or ())}"


@pytest.fixture
def transit(client: Any) -> Any:
    return client.secrets.transit


class TestTransit:
    def test_a_key_is_made_read_rotated_and_deleted(self, transit: Any) -> None:
        assert _refusal(transit.list_keys).startswith("InvalidPath")
        made = transit.create_key("k", derived=True, key_type="chacha20-poly1305")["data"]
        assert (made["type"], made["derived"], made["latest_version"]) == (
            *("chacha20-poly1305", True),
            1,
        )
        assert transit.list_keys()["data"]["keys"] == ["k"]
        transit.rotate_key("k")
        assert transit.read_key("k")["data"]["latest_version"] == 2
        assert "not allowed" in _refusal(transit.delete_key, "k")
        transit.update_key_configuration("k", deletion_allowed=True)
        assert transit.delete_key("k").status_code == 204
        assert _refusal(transit.read_key, "k").startswith("InvalidPath")

    def test_a_key_that_exists_is_not_made_anew(self, transit: Any) -> None:
        transit.create_key("k")
        blob = transit.encrypt_data("k", plaintext=TEXT)["data"]["ciphertext"]
        assert not transit.create_key("k", derived=True)["data"]["derived"]
        assert transit.decrypt_data("k", ciphertext=blob)["data"]["plaintext"] == TEXT

    @pytest.mark.parametrize("kind", ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305"])
    def test_a_derived_key_is_bound_to_its_context(
        self, vault: FakeVault, transit: Any, kind: str
    ) -> None:
        vault.create_key("k", kind=kind)  # hvac does not know all kinds
        blob = transit.encrypt_data("k", plaintext=TEXT, context=CONTEXT)["data"]["ciphertext"]
        again = transit.decrypt_data("k", ciphertext=blob, context=CONTEXT)["data"]["plaintext"]
        assert again == TEXT
        refusal = _refusal(transit.decrypt_data, "k", ciphertext=blob, context=OTHER)
        assert "message authentication failed" in refusal
        assert "missing 'context'" in _refusal(transit.decrypt_data, "k", ciphertext=blob)
        assert "missing 'context'" in _refusal(transit.encrypt_data, "k", plaintext=TEXT)

    def test_a_key_that_is_not_derived_ignores_the_context(self, transit: Any) -> None:
        transit.create_key("k")
        blob = transit.encrypt_data("k", plaintext=TEXT, context=CONTEXT)["data"]["ciphertext"]
        answer = transit.decrypt_data("k", ciphertext=blob, context=OTHER)
        assert answer["data"]["plaintext"] == TEXT

    def test_associated_data_is_authenticated(self, transit: Any) -> None:
        transit.create_key("k")
        encrypted = transit.encrypt_data("k", plaintext=TEXT, associated_data=CONTEXT)
        blob = encrypted["data"]["ciphertext"]
        answer = transit.decrypt_data("k", ciphertext=blob, associated_data=CONTEXT)
        assert answer["data"]["plaintext"] == TEXT
        for data in ({}, {"associated_data": OTHER}):
            refusal = _refusal(transit.decrypt_data, "k", ciphertext=blob, **data)
            assert "message authentication failed" in refusal

    def test_versions_decrypt_until_they_are_retired(self, transit: Any, vault: FakeVault) -> None:
        transit.create_key("k")
        old = transit.encrypt_data("k", plaintext=TEXT)["data"]["ciphertext"]
        vault.rotate("k")
        new = transit.encrypt_data("k", plaintext=TEXT)["data"]["ciphertext"]
        assert (old[:9], new[:9]) == ("vault:v1:", "vault:v2:")
        transit.update_key_configuration("k", min_decryption_version=2)
        assert "too old" in _refusal(transit.decrypt_data, "k", ciphertext=old)
        assert transit.decrypt_data("k", ciphertext=new)["data"]["plaintext"] == TEXT
        vault.retire("k", 1)
        assert transit.decrypt_data("k", ciphertext=old)["data"]["plaintext"] == TEXT
        refusal = _refusal(transit.update_key_configuration, "k", min_decryption_version=3)
        assert "cannot set" in refusal

    @pytest.mark.parametrize(
        ("blob", "reason"),
        [
            ("", "missing ciphertext"),
            ("v1:AAAA", "no prefix"),
            ("vault:v1", "wrong number of fields"),
            ("vault:vx:AAAA", "version number could not be decoded"),
            ("vault:v2:AAAA", "version is too new"),
            ("vault:v1:A", "could not decode base64"),
            ("vault:v1:AAAA", "invalid ciphertext length"),
        ],
    )
    def test_what_is_no_ciphertext_is_said_to_be_none(
        self, transit: Any, blob: str, reason: str
    ) -> None:
        transit.create_key("k")
        assert reason in _refusal(transit.decrypt_data, "k", ciphertext=blob)

    def test_spellings_that_vault_takes_are_taken(self, transit: Any) -> None:
        transit.create_key("k")
        blob = transit.encrypt_data("k", plaintext=TEXT)["data"]["ciphertext"]
        for other in (blob.replace("v1", "v0"), f"{blob[:12]}\n{blob[12:]}"):
            assert transit.decrypt_data("k", ciphertext=other)["data"]["plaintext"] == TEXT

    def test_keys_that_cannot_are_said_to(self, transit: Any) -> None:
        transit.create_key("k", key_type="rsa-2048")
        assert "not supported" in _refusal(transit.encrypt_data, "k", plaintext=TEXT)
        assert "Forbidden" in _refusal(transit.encrypt_data, "m", plaintext=TEXT)
        assert "not found" in _refusal(transit.decrypt_data, "m", ciphertext="vault:v1:AAAA")
        assert "illegal base64" in _refusal(transit.encrypt_data, "k", plaintext="?")

    def test_what_it_does_not_have_is_not_there(self, client: Any, transit: Any) -> None:
        transit.create_key("k")
        assert "no handler" in _refusal(client.secrets.transit.read_key, "k", mount_point="other")
        assert "unsupported" in _refusal(client.adapter.put, "/v1/transit/keys/k/other")
        assert "unsupported" in _refusal(client.auth.token.lookup_self)


class TestAccess:
    def test_a_role_logs_in_with_its_jwt(self, vault: FakeVault) -> None:
        vault.allow_login("node", "jwt", lease=60)
        client = _hvac.Client(url=vault.endpoint, token="")
        answer = client.auth.kubernetes.login("node", "jwt")
        assert (answer["auth"]["lease_duration"], answer["auth"]["renewable"]) == (60, True)
        assert client.auth.token.lookup_self()["data"]["lease_duration"] == 60
        assert "Forbidden" in _refusal(client.auth.kubernetes.login, "node", "other")
        assert "invalid role" in _refusal(client.auth.kubernetes.login, "other", "jwt")

    def test_a_token_lives_on_the_clock(self, vault: FakeVault) -> None:
        vault.create_key("k")
        vault.allow_login("node", "jwt", lease=60, most=100)
        client = _hvac.Client(url=vault.endpoint, token="")
        client.auth.kubernetes.login("node", "jwt")
        vault.clock.advance(59)
        assert client.auth.token.renew_self()["auth"]["lease_duration"] == 41
        vault.clock.advance(40)
        assert client.secrets.transit.read_key("k")
        vault.clock.advance(2)
        assert "permission denied" in _refusal(client.secrets.transit.read_key, "k")

    def test_a_token_without_an_end_is_not_renewed(self, vault: FakeVault) -> None:
        client = _hvac.Client(url=vault.endpoint, token=vault.issue_token())
        assert "not renewable" in _refusal(client.auth.token.renew_self)

    def test_denials_are_for_all_but_root(self, vault: FakeVault, transit: Any) -> None:
        vault.create_key("k")
        vault.deny("transit/keys/*")
        client = _hvac.Client(url=vault.endpoint, token=vault.issue_token())
        assert "permission denied" in _refusal(client.secrets.transit.read_key, "k")
        assert transit.read_key("k")
        vault.allow_all()
        assert client.secrets.transit.read_key("k")

    def test_a_file_has_a_token(self, vault: FakeVault, tmp_path: Path) -> None:
        vault.create_key("k")
        path = Path(vault.token_file(tmp_path))
        assert path.stat().st_mode & 0o077 == 0
        client = _hvac.Client(url=vault.endpoint, token=path.read_text().strip())
        assert client.secrets.transit.read_key("k")


class TestStates:
    def test_its_health_has_a_status(self, vault: FakeVault, client: Any) -> None:
        assert client.sys.read_health_status(method="GET")["sealed"] is False
        vault.stand_by("http://127.0.0.1:1")
        assert client.sys.read_health_status(method="GET").status_code == 429
        vault.stand_by()
        vault.seal()
        assert client.sys.read_health_status(method="GET").status_code == 503
        assert "VaultDown Vault is sealed" in _refusal(client.secrets.transit.read_key, "k")
        vault.unseal()
        assert client.sys.read_health_status(method="GET")["initialized"] is True

    def test_a_standby_sends_to_the_active_node(self, vault: FakeVault) -> None:
        vault.stand_by("http://127.0.0.1:1")
        response = requests.get(
            f"{vault.endpoint}/v1/transit/keys/k", timeout=5, allow_redirects=False
        )
        assert response.headers["Location"] == "http://127.0.0.1:1/v1/transit/keys/k"

    def test_there_is_one_namespace(self) -> None:
        with FakeVault(namespace="team") as vault:
            vault.create_key("k")
            assert "namespace=team" in vault.url("k")
            for namespace, is_there in (("team", True), ("other", False), (None, False)):
                client = _hvac.Client(
                    url=vault.endpoint, token=vault.root_token, namespace=namespace
                )
                if is_there:
                    assert client.secrets.transit.read_key("k")
                else:
                    assert "no handler" in _refusal(client.secrets.transit.read_key, "k")

    def test_faults_are_written_as_vault_writes_errors(
        self, vault: FakeVault, transit: Any
    ) -> None:
        vault.create_key("k")
        vault.faults.add(Throttled(), on="read")
        assert "RateLimitExceeded request path" in _refusal(transit.read_key, "k")
        vault.faults.add(ServerError(502), on="read")
        assert "BadGateway" in _refusal(transit.read_key, "k")
        vault.faults.add(Refused("", "said", 412), on="read")
        assert "said" in _refusal(transit.read_key, "k")
        assert vault.requests.count("read") == 3

    def test_a_body_that_is_not_json_is_empty(self, vault: FakeVault) -> None:
        vault.create_key("k")
        headers = {"X-Vault-Token": vault.root_token}
        url = f"{vault.endpoint}/v1/transit/decrypt/k"
        response = requests.post(url, data=b"{", headers=headers, timeout=5)
        assert response.json() == {"errors": ["missing ciphertext to decrypt"]}
