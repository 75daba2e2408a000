"""Data keys: where they come from, and how a master secret is read.

A *data key* is 32 bytes under an id. A `KeyService` hands it out; `MasterSecretKeyService` derives
it from a master secret as Constellation's cluster-local key service does, and `open_key_service`
opens whichever service a URL names.
"""

from cloudcrypt.keys.cache import CachingKeyService
from cloudcrypt.keys.door import key_services, open_key_service
from cloudcrypt.keys.master import MasterSecret
from cloudcrypt.keys.service import (
    KeyService,
    LocalKeyService,
    MasterSecretKeyService,
    OpenKeyService,
    bound_key_id,
    get_data_key,
)

__all__ = [
    "CachingKeyService",
    "KeyService",
    "LocalKeyService",
    "MasterSecret",
    "MasterSecretKeyService",
    "OpenKeyService",
    "bound_key_id",
    "get_data_key",
    "key_services",
    "open_key_service",
]
