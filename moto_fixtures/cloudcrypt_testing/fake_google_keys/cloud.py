"""What both services have: keys, buckets, the time, and who may do what."""

import threading
from datetime import datetime

import attrs

from cloudcrypt_testing.fake_google_keys import errors
from cloudcrypt_testing.fake_google_keys.buckets import Bucket
from cloudcrypt_testing.fake_google_keys.errors import GoogleError
from cloudcrypt_testing.fake_google_keys.keys import Key
from cloudcrypt_testing.world.clock import FakeClock


@attrs.define
class Cloud:
    """The state of both services. Whoever looks at it holds the lock."""

    clock: FakeClock
    keys: dict[str, Key] = attrs.field(factory=dict[str, Key])
    buckets: dict[str, Bucket] = attrs.field(factory=dict[str, Bucket])
    denied: set[str] = attrs.field(factory=set[str])
    """Permissions that the caller lacks, such as ``storage.objects.get``."""
    page: int = 1000
    """Objects on a page of a list at most."""
    lock: threading.RLock = attrs.field(factory=threading.RLock)

    @property
    def now(self) -> datetime:
        """The time of day."""
        return self.clock.now()

    def kms_denied(self, permission: str, resource: str) -> GoogleError | None:
        """Return the refusal of Cloud KMS where the caller lacks ``permission``, or None."""
        return errors.kms_denied(permission, resource) if permission in self.denied else None

    def storage_denied(self, *permissions: str) -> GoogleError | None:
        """Return the refusal of Cloud Storage where the caller lacks one of them, or None."""
        lacking = [one for one in permissions if one in self.denied]
        return errors.storage_denied(lacking[0]) if lacking else None

    def check(self, refusal: GoogleError | None) -> None:
        """Raise what a permission is refused with, if it is."""
        if refusal is not None:
            raise refusal

    def bucket(self, name: str) -> Bucket:
        """Return a bucket.

        Raises:
            GoogleError: there is none of this name.
        """
        bucket = self.buckets.get(name)
        if bucket is None:
            raise errors.no_bucket()
        return bucket
