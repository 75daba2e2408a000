"""Azure on loopback: managed disks, snapshots and virtual machines of Azure Resource Manager.

    from cloudcrypt_testing.fake_azure import FakeAzure, FakeClock, Timings

    with FakeAzure(folder, clock=FakeClock()) as azure:
        machine = azure.run_instance()

Importing it needs ``pip install "cloudcrypt[azure,testing]"``.
"""

from cloudcrypt_testing.fake_azure.cloud import Timings
from cloudcrypt_testing.fake_azure.devices import AzureNode
from cloudcrypt_testing.fake_azure.fake import FakeAzure
from cloudcrypt_testing.fake_azure.records import DataDisk, Disk, Machine, Operation, Snapshot
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.exchange import ConnectionDropped, Exchange, Request, RequestLog

__all__ = [
    "AzureNode",
    "ConnectionDropped",
    "DataDisk",
    "Disk",
    "Exchange",
    "FakeAzure",
    "FakeClock",
    "Machine",
    "Operation",
    "Request",
    "RequestLog",
    "Snapshot",
    "Timings",
]
