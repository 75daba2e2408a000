"""What the tests of Vault's transit engine start from."""

from typing import Any

from cloudcrypt.secret import Secret
from cloudcrypt_testing.fake_vault import FakeVault
from cloudcrypt_vault import VaultTransit

KEY_ID = "cloudcrypt/v1/aws:eu-central-1/vol-0123456789abcdef0"


def opened(vault: FakeVault, key: str = "disks", **parameters: Any) -> VaultTransit:
    """Open a key, with the token of `FakeVault.issue_token` unless there is another way in."""
    ways = {"role", "token", "token_path"}
    if not ways & parameters.keys():
        parameters["token"] = Secret(vault.issue_token().encode())
    given: dict[str, Any] = {"endpoint": vault.endpoint, "clock": vault.clock, **parameters}
    return VaultTransit(vault.host, vault.mount, key, **given)


def secret() -> Secret:
    return Secret(bytes(range(32)))
