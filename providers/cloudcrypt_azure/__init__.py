"""Volumes of Azure managed disks.

    from cloudcrypt_azure import AzureProvider

    provider = AzureProvider("SUBSCRIPTION", "storage-rg", location="westeurope", zone="1")

Usually `cloudcrypt.registry.open_provider` opens it, by
``azure://SUBSCRIPTION/storage-rg?location=westeurope&zone=1``. Credentials come from where
azure-identity finds them.
"""

from cloudcrypt_azure.provider import AzureProvider

__all__ = ["AzureProvider"]
