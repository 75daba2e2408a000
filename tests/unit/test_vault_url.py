"""The URL of a key of Vault's transit engine."""

from pathlib import Path

import pytest

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt_vault import VaultTransit


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("vault-transit://vault/transit/disks", "vault:8200/transit/disks"),
        ("vault-transit://vault.example.com:443/a/b/disks.1", "vault.example.com:443/a/b/disks.1"),
        ("vault-transit://[2001:db8::1]/transit/disks", "[2001:db8::1]:8200/transit/disks"),
        ("vault-transit://v/t/k?namespace=team/a/&timeout=2.5", "v:8200/t/k?namespace=team/a"),
        ("vault-transit://v/t/k?role=node&auth=jwt&jwtPath=/run/jwt", "v:8200/t/k"),
        ("vault-transit://v/t/k?tokenPath=/run/token", "v:8200/t/k"),
        ("vault-transit://v/t/k?endpoint=http://localhost:8200/", "v:8200/t/k"),
        ("vault-transit://v/t/k?endpoint=https%3A%2F%2Fvault.example.com%2Fbehind", "v:8200/t/k"),
    ],
)
def test_a_url_names_a_key(url: str, name: str) -> None:
    kms = VaultTransit.from_url(url)
    assert repr(kms) == f"<VaultTransit vault-transit://{name}>"
    kms.close()


@pytest.mark.parametrize(
    "url",
    [
        "vault-transit://vault/transit",
        "vault-transit://vault//disks",
        "vault-transit:///transit/disks",
        "vault-transit://topsecret@vault/transit/disks",
        "vault-transit://vault:port/transit/disks",
        "vault-transit://vault/transit/../disks",
        "vault-transit://vault/transit/disks%2fother",
        "vault-transit://vault/transit/-disks",
        "vault-transit://vault/transit/disks#topsecret",
        "vault-transit://vault/transit/disks?token=topsecret",
        "vault-transit://vault/transit/disks?role=a&role=b",
        "vault-transit://vault/transit/disks?role=a&tokenPath=/b",
        "vault-transit://vault/transit/disks?auth=jwt",
        "vault-transit://vault/transit/disks?jwtPath=/a",
        "vault-transit://vault/transit/disks?role=a&auth=../b",
        "vault-transit://vault/transit/disks?namespace=a//b",
        "vault-transit://vault/transit/disks?ca=/nonexistent",
        "vault-transit://vault/transit/disks?timeout=0",
        "vault-transit://vault/transit/disks?endpoint=http://vault:8200",
        "vault-transit://vault/transit/disks?endpoint=https://u:topsecret@vault",
        "vault://vault/transit/disks",
    ],
)
def test_what_names_no_key_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(KeyUriInvalid) as caught:
        VaultTransit.from_url(url)
    assert "topsecret" not in f"{caught.value} {caught.value!r} {caught.value.__context__!r}"


def test_a_file_of_authorities_must_be_one(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.touch()
    VaultTransit.from_url(f"vault-transit://vault/transit/disks?ca={ca}").close()


def test_no_parameter_is_a_secret() -> None:
    assert VaultTransit.secret_parameters == frozenset()
