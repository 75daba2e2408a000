"""Cloud KMS and Cloud Storage on loopback, and the adapters in front of them."""

import os
from collections.abc import Callable
from typing import Any

from cloudcrypt.kms import object_name
from cloudcrypt.secret import Secret
from cloudcrypt_gcp.kms import GcpKms
from cloudcrypt_gcp.storage import GcsStore
from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys

ID = "cloudcrypt/v1/gcp:demo/europe-west3-a/4242"
OTHER_ID = "cloudcrypt/v1/gcp:demo/europe-west3-a/4243"
KEY = "projects/demo-project/locations/europe-west3/keyRings/disks/cryptoKeys/volumes"
BUCKET = "wrapped-keys"
DEK = bytes(range(200, 232))
BLOB = b'{"wrapped": "AAECAw=="}'
NEW = b'{"wrapped": "BAUGBw=="}'


def kms_of(google: FakeGoogleKeys, key: str = "volumes", **options: Any) -> GcpKms:
    """Return a KMS, on the clock of the fake."""
    settings: dict[str, Any] = {"endpoint": google.endpoint, "clock": google.clock, **options}
    return GcpKms(google.key_name(key), **settings)


def store_of(google: FakeGoogleKeys, bucket: str = BUCKET, **options: Any) -> GcsStore:
    """Return a store, on the clock of the fake."""
    settings: dict[str, Any] = {"endpoint": google.endpoint, "clock": google.clock, **options}
    return GcsStore(bucket, "keys", **settings)


def name_of(key_id: str) -> str:
    """Return the name of the object that holds a blob."""
    return object_name("keys/", key_id)


def dek() -> Secret:
    """Return a data key."""
    return Secret(DEK)


def forked(work: Callable[[], bytes]) -> tuple[int, int]:
    """Return the process that does ``work``, and where to read what it returns."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    status = 1
    try:
        os.write(writer, work())
        status = 0
    finally:
        os._exit(status)


def finished(child: int, reader: int) -> bytes:
    """Return what a process returned, nothing if it died."""
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        return pipe.read()
