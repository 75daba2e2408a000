"""Data keys: where they come from, and how a master secret is read.

A *data key* is 32 bytes under an id. A `KeyService` hands it out; `MasterSecretKeyService` derives
it from a master secret as Constellation's cluster-local key service does, `EnvelopeKeyService` has
random ones that a KMS wraps and a store keeps, and `open_key_service` opens whichever service a URL
names.
"""

from cloudcrypt.keys.cache import CachingKeyService
from cloudcrypt.keys.door import key_services, open_key_service
from cloudcrypt.keys.envelope import EnvelopeKeyService
from cloudcrypt.keys.external import open_envelope, open_key_store, open_kms
from cloudcrypt.keys.managing import KeyManager, Rewrapped, StoredKey, key_manager
from cloudcrypt.keys.master import MasterSecret
from cloudcrypt.keys.service import (
    FindingKeyService,
    KeyService,
    LocalKeyService,
    MasterSecretKeyService,
    OpenKeyService,
    bound_key_id,
    get_data_key,
)

__all__ = [
    "CachingKeyService",
    "EnvelopeKeyService",
    "FindingKeyService",
    "KeyManager",
    "KeyService",
    "LocalKeyService",
    "MasterSecret",
    "MasterSecretKeyService",
    "OpenKeyService",
    "Rewrapped",
    "StoredKey",
    "bound_key_id",
    "get_data_key",
    "key_manager",
    "key_services",
    "open_envelope",
    "open_key_service",
    "open_key_store",
    "open_kms",
]
