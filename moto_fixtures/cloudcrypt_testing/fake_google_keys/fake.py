"""The fake Cloud KMS and Cloud Storage as tests use them."""

from typing import Final
from urllib.parse import quote

import attrs

from cloudcrypt_testing.fake_google_keys.buckets import Bucket, StoredObject
from cloudcrypt_testing.fake_google_keys.cloud import Cloud
from cloudcrypt_testing.fake_google_keys.keys import ENABLED, ENCRYPT_DECRYPT, Key
from cloudcrypt_testing.fake_google_keys.layer import GoogleLayer
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.served import Served

KEY: Final = "volumes"
BUCKET: Final = "wrapped-keys"
WEEK: Final = 7 * 24 * 3600.0
"""Seconds for which a bucket keeps what was deleted, unless it is told otherwise."""


class FakeGoogleKeys(Served[GoogleLayer]):
    """Cloud KMS and Cloud Storage on loopback: one project, one key and one bucket to begin with.

        with FakeGoogleKeys() as google:
            with open_key_service(google.url()) as keys:
                ...
            google.rotate()

    Requests and answers are checked against Google's own description of the two services. Keys
    encrypt with AES-GCM; a bucket has generations, versioning, soft delete, retention and holds.
    Nothing has to be authenticated. What can go wrong has the names of Google's methods:
    ``cryptoKeys.encrypt``, ``.decrypt``, ``.get``; ``objects.getMedia`` (what is in one), ``.get``
    (what is known of it), ``.insertMedia``, ``.list`` and ``.delete``. Several fakes can exist at
    once; another process, forked or not, needs the URLs only.
    """

    def __init__(
        self,
        *,
        clock: FakeClock | None = None,
        project: str = "demo-project",
        location: str = "europe-west3",
    ) -> None:
        """Serve from the beginning of the ``with`` block.

        Args:
            clock: the time it lives in; a new `FakeClock` if None.
            project: the only project.
            location: where its keys are.
        """
        self._ring = f"projects/{project}/locations/{location}/keyRings/disks"
        super().__init__(GoogleLayer(Cloud(clock or FakeClock())))
        self.add_key(KEY)
        self.add_bucket(BUCKET)

    def url(self, *, key: str = KEY, bucket: str = BUCKET, prefix: str = "keys/") -> str:
        """Return the URL of a key service: a key and a bucket."""
        store = quote(self.store_url(bucket=bucket, prefix=prefix), safe="")
        return f"{self.kms_url(key=key)}&store={store}"

    def kms_url(self, *, key: str = KEY) -> str:
        """Return the URL of a key."""
        return f"gcp-kms://{self.key_name(key)}?endpoint={quote(self._endpoint, safe='')}"

    def store_url(self, *, bucket: str = BUCKET, prefix: str = "keys/") -> str:
        """Return the URL of a bucket, and a prefix in it."""
        return f"gs://{bucket}/{prefix}?endpoint={quote(self._endpoint, safe='')}"

    def key_name(self, key: str = KEY) -> str:
        """Return the complete name of a key."""
        return f"{self._ring}/cryptoKeys/{key}"

    def add_key(self, key: str, *, purpose: str = ENCRYPT_DECRYPT) -> str:
        """Make a key with one version, and return its complete name."""
        made = Key(self.key_name(key), purpose, self._cloud.now)
        with self._cloud.lock:
            made.rotate(self._cloud.now)
            self._cloud.keys[made.name] = made
        return made.name

    def rotate(self, key: str = KEY) -> int:
        """Make a new version, the primary one from now on, and return its number."""
        with self._cloud.lock:
            return self._key(key).rotate(self._cloud.now)

    def set_state(self, state: str = ENABLED, *, version: int, key: str = KEY) -> None:
        """Let a version be ``DISABLED``, ``DESTROY_SCHEDULED``, ``DESTROYED`` or ``ENABLED``."""
        with self._cloud.lock:
            self._key(key).versions[version].state = state

    def add_bucket(
        self,
        bucket: str,
        *,
        versioning: bool = False,
        soft_delete: float = 0.0,
        retention: float = 0.0,
    ) -> None:
        """Make an empty bucket, in the place of a former one.

        Args:
            bucket: its name.
            versioning: whether it keeps older generations.
            soft_delete: seconds for which what was deleted can be restored. A real bucket has
                `WEEK`, unless it is told otherwise.
            retention: seconds for which an object can be neither deleted nor replaced.
        """
        with self._cloud.lock:
            self._cloud.buckets[bucket] = Bucket(bucket, versioning, soft_delete, retention)

    def remove_bucket(self, bucket: str = BUCKET) -> None:
        """Let a bucket be gone."""
        with self._cloud.lock:
            del self._cloud.buckets[bucket]

    def objects(self, bucket: str = BUCKET) -> dict[str, StoredObject]:
        """Return the live objects of a bucket, by name."""
        with self._cloud.lock:
            return dict(self._cloud.buckets[bucket].live)

    def generations(self, bucket: str = BUCKET) -> list[StoredObject]:
        """Return all objects of a bucket, older generations and what can be restored as well."""
        with self._cloud.lock:
            kept = self._cloud.buckets[bucket]
            return [*kept.live.values(), *kept.older, *kept.soft_deleted]

    def put(
        self,
        name: str,
        content: bytes,
        *,
        bucket: str = BUCKET,
        encoding: str | None = None,
        is_held: bool = False,
    ) -> StoredObject:
        """Store an object without a request, as somebody else would."""
        with self._cloud.lock:
            now = self._cloud.now
            stored = StoredObject(
                bucket, name, content, now, content_encoding=encoding, is_held=is_held
            )
            return self._cloud.buckets[bucket].put(stored, now)

    def hold(self, name: str, *, bucket: str = BUCKET, is_held: bool = True) -> None:
        """Put a temporary hold on the live object, or take it off."""
        with self._cloud.lock:
            live = self._cloud.buckets[bucket].live
            live[name] = attrs.evolve(live[name], is_held=is_held)

    def deny(self, *permissions: str) -> None:
        """Let the caller lack permissions, such as ``storage.objects.get``."""
        self._cloud.denied.update(permissions)

    def allow(self, *permissions: str) -> None:
        """Give permissions back."""
        self._cloud.denied.difference_update(permissions)

    def paginate(self, most: int) -> None:
        """Let a list have ``most`` objects on a page."""
        self._cloud.page = most

    def throttle(self, family: str, burst: float, rate: float) -> None:
        """Refuse requests beyond ``burst`` at once and ``rate`` a second of the clock.

        Args:
            family: a method, a pattern such as ``objects.*``, ``reading`` or ``changing``.
            burst: how many requests are taken at once.
            rate: how many more a second.
        """
        self._layer.buckets.limit(family, burst, rate, self.clock.monotonic())

    @property
    def _cloud(self) -> Cloud:
        return self._layer.cloud

    def _key(self, key: str) -> Key:
        return self._cloud.keys[self.key_name(key)]
