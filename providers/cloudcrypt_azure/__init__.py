"""Volumes of Azure managed disks, and data keys that Azure wraps and keeps.

    from cloudcrypt_azure import AzureProvider

    provider = AzureProvider("SUBSCRIPTION", "storage-rg", location="westeurope", zone="1")

Usually `cloudcrypt.registry.open_provider` opens it, by
``azure://SUBSCRIPTION/storage-rg?location=westeurope&zone=1``. Credentials come from where
azure-identity finds them.

`cloudcrypt_azure.keyvault` and `cloudcrypt_azure.blobs` wrap data keys with Managed HSM or Key
Vault and keep them in Blob Storage. They need other libraries than volumes do, and each finds its
own only: the provider is imported when it is asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudcrypt_azure.provider import AzureProvider

__all__ = ["AzureProvider"]


def __getattr__(name: str) -> object:
    """Return the provider, which needs azure-mgmt-compute."""
    if name == "AzureProvider":
        from cloudcrypt_azure.provider import AzureProvider  # noqa: PLC0415 - not before it is needed

        return AzureProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
