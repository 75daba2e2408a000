"""Compute Engine on loopback: the disks, snapshots and attachments of one project.

    from cloudcrypt_testing.fake_gce import FakeClock, FakeGce, Timings

    with FakeGce(folder, clock=FakeClock()) as gce:
        instance = gce.run_instance()

Importing it needs ``pip install "cloudcrypt[gcp,testing]"``.
"""

from cloudcrypt_testing.fake_gce.cloud import Timings
from cloudcrypt_testing.fake_gce.fake import FakeGce
from cloudcrypt_testing.fake_gce.records import (
    AttachedDisk,
    Disk,
    Instance,
    Operation,
    Snapshot,
)
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.exchange import ConnectionDropped, Exchange, Request, RequestLog

__all__ = [
    "AttachedDisk",
    "ConnectionDropped",
    "Disk",
    "Exchange",
    "FakeClock",
    "FakeGce",
    "Instance",
    "Operation",
    "Request",
    "RequestLog",
    "Snapshot",
    "Timings",
]
