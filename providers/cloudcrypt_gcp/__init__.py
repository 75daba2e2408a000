"""Volumes of Google Compute Engine: Persistent Disk and Hyperdisk, in a zone or in two.

    from cloudcrypt_gcp import GcpProvider

    provider = GcpProvider("my-project", "europe-west3", zone="europe-west3-a")

Usually `cloudcrypt.registry.open_provider` opens it, by
``gcp://my-project/europe-west3?zone=europe-west3-a``. Credentials come from where Google's
libraries find them (application default credentials).
"""

from cloudcrypt_gcp.provider import GcpProvider

__all__ = ["GcpProvider"]
