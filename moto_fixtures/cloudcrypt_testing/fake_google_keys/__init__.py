"""Google Cloud KMS and Cloud Storage on loopback, for data keys and the wraps of them.

    from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys

    with FakeGoogleKeys() as google, open_key_service(google.url()) as keys:
        ...

Importing it needs ``pip install "cloudcrypt[gcp-keys,testing]"``.
"""

from cloudcrypt_testing.fake_google_keys.buckets import StoredObject
from cloudcrypt_testing.fake_google_keys.fake import FakeGoogleKeys
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.exchange import ConnectionDropped, Exchange, Request, RequestLog

__all__ = [
    "ConnectionDropped",
    "Exchange",
    "FakeClock",
    "FakeGoogleKeys",
    "Request",
    "RequestLog",
    "StoredObject",
]
