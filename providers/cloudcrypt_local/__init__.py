"""Volumes that are files in a directory: the embedded default, with the semantics of the clouds.

    from cloudcrypt_local import LocalProvider

    provider = LocalProvider.from_url("local:///var/lib/cloudcrypt")

Usually `cloudcrypt.registry.open_provider` opens it, by the scheme of the URL.
"""

from cloudcrypt_local.provider import LocalProvider

__all__ = ["LocalProvider"]
