"""Vault on loopback: the transit engine, logins and tokens, as far as data keys need them.

    from cloudcrypt_testing.fake_vault import FakeVault

    with FakeVault() as vault:
        vault.create_key("disks")
        kms = VaultTransit.from_url(vault.url("disks", tokenPath=vault.token_file(folder)))

Importing it needs ``pip install "cloudcrypt[vault,testing]"``.
"""

from cloudcrypt_testing.fake_vault.fake import FakeVault
from cloudcrypt_testing.world.clock import FakeClock

__all__ = ["FakeClock", "FakeVault"]
