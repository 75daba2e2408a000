"""AWS on loopback: moto, with the behaviour of EC2 that moto does not have.

    from cloudcrypt_testing.fake_aws import FakeAws, FakeClock, Timings

    with FakeAws(folder, clock=FakeClock()) as aws:
        ec2 = aws.client()

Importing it needs ``pip install "cloudcrypt[aws,testing]"``.
"""

from cloudcrypt_testing.fake_aws.cloud import Timings
from cloudcrypt_testing.fake_aws.devices import EBSNode
from cloudcrypt_testing.fake_aws.fake import FakeAws
from cloudcrypt_testing.fake_aws.records import Attachment, Modification, Snapshot, Volume
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.exchange import ConnectionDropped, Exchange, Request, RequestLog

__all__ = [
    "Attachment",
    "ConnectionDropped",
    "EBSNode",
    "Exchange",
    "FakeAws",
    "FakeClock",
    "Modification",
    "Request",
    "RequestLog",
    "Snapshot",
    "Timings",
    "Volume",
]
