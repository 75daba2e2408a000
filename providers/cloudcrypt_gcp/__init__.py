"""Volumes of Google Compute Engine: Persistent Disk and Hyperdisk, in a zone or in two.

    from cloudcrypt_gcp import GcpProvider

    provider = GcpProvider("my-project", "europe-west3", zone="europe-west3-a")

Usually `cloudcrypt.registry.open_provider` opens it, by
``gcp://my-project/europe-west3?zone=europe-west3-a``. Credentials come from where Google's
libraries find them (application default credentials).

`cloudcrypt_gcp.kms` and `cloudcrypt_gcp.storage` wrap data keys with Cloud KMS and keep them in
Cloud Storage. They need other libraries than volumes do, and each finds its own only: the provider
is imported when it is asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudcrypt_gcp.provider import GcpProvider

__all__ = ["GcpProvider"]


def __getattr__(name: str) -> object:
    """Return the provider, which needs google-cloud-compute."""
    if name == "GcpProvider":
        from cloudcrypt_gcp.provider import GcpProvider  # noqa: PLC0415 - not before it is needed

        return GcpProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
