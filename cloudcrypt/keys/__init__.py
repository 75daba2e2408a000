"""Data keys: where they come from, and how a master secret is read.

A *data key* is 32 bytes under an id. A `KeyService` hands it out; `MasterSecretKeyService` derives
it from a master secret as Constellation's cluster-local key service does.
"""

from cloudcrypt.keys.master import MasterSecret
from cloudcrypt.keys.service import (
    KeyService,
    MasterSecretKeyService,
    bound_key_id,
    get_data_key,
)

__all__ = [
    "KeyService",
    "MasterSecret",
    "MasterSecretKeyService",
    "bound_key_id",
    "get_data_key",
]
