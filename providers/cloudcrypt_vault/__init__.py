"""Data keys wrapped by the transit secrets engine of HashiCorp Vault, or of OpenBao.

    from cloudcrypt_vault import VaultTransit

    kms = VaultTransit("vault.example.com:8200", "transit", "disks", role="node")

Usually `cloudcrypt.keys.open_key_service` opens it, by ``vault-transit://HOST/MOUNT/KEY?store=...``.
"""

from cloudcrypt_vault.transit import VaultTransit

__all__ = ["VaultTransit"]
