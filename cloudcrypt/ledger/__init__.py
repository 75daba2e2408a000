"""The ledger: what is known of each volume, kept off the disk. The trust anchor of the node.

A volume that the ledger does not know is unknown, not new. Keep the ledger where the storage
provider cannot change it: within the confidential VM's own protected state.
"""

from cloudcrypt.ledger.payload import (
    Filesystem,
    FilesystemKind,
    Making,
    Payload,
    Raw,
    Unrecorded,
    Untouched,
)
from cloudcrypt.ledger.record import Holder, Ledger, Record, State
from cloudcrypt.ledger.sqlite import SqliteLedger

__all__ = [
    "Filesystem",
    "FilesystemKind",
    "Holder",
    "Ledger",
    "Making",
    "Payload",
    "Raw",
    "Record",
    "SqliteLedger",
    "State",
    "Unrecorded",
    "Untouched",
]
