"""The ledger: what is known of each volume, kept off the disk. The trust anchor of the node.

A volume that the ledger does not know is unknown, not new. Keep the ledger where the storage
provider cannot change it: within the confidential VM's own protected state.
"""

from cloudcrypt.ledger.record import Holder, Ledger, Record, State
from cloudcrypt.ledger.sqlite import SqliteLedger

__all__ = ["Holder", "Ledger", "Record", "SqliteLedger", "State"]
