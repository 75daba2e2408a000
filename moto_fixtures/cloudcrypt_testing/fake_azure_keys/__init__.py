"""Azure's key services on this host: Managed HSM, Key Vault, Blob Storage, and Entra ID.

    from cloudcrypt_testing.fake_azure_keys import FakeAzureKeys

    with FakeAzureKeys() as azure:
        azure.create_key("hsm.managedhsm.azure.net", "kek", "oct-HSM")
        kms = AzureKeyVault.from_url(azure.url("azure-keyvault://hsm.managedhsm.azure.net/kek"))
        store = BlobStore.from_url(azure.url("azblob://account/keys"))

Everything goes over TLS with a certificate of its own authority, whose file is in the URLs. A
client connects to it by its ``endpoint`` and asks for the services by their real names: so what the
SDKs check of names, challenges and tokens is checked. Keys are real keys and what they do is real.

What goes wrong, and when, is scheduled as in the fakes of the clouds:

    azure.faults.add(ReplyLost(), on="keys.encrypt")
    azure.faults.add(Refused("ForbiddenByRbac", status=403), on="keys.decrypt", times=None)

Actions are ``keys.get``, ``keys.encrypt``, ``keys.challenge``..., ``blobs.get``, ``blobs.put``...,
and ``tokens.issue``. Not here: what neither cloudcrypt nor its tests ask for, access policies among
it. All accounts and vaults that are asked for exist.
"""

from cloudcrypt_testing.fake_azure_keys.accounts import Account
from cloudcrypt_testing.fake_azure_keys.fake import FakeAzureKeys

__all__ = ["Account", "FakeAzureKeys"]
