"""The buckets of the fake Cloud Storage: generations of objects, and what keeps deleted ones."""

import base64
import hashlib
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import google_crc32c

from cloudcrypt_testing.fake_google_keys import errors

_LIBRARY: Final[Any] = google_crc32c  # has no whole types
_GENERATIONS: Final = itertools.count(1_893_456_000_000_001)


@attrs.frozen
class StoredObject:
    """One generation of an object."""

    bucket: str
    name: str
    content: bytes
    created: datetime
    content_type: str = "application/octet-stream"
    cache_control: str | None = None
    content_encoding: str | None = None
    metadata: dict[str, str] = attrs.field(factory=dict[str, str])
    generation: int = attrs.field(factory=lambda: next(_GENERATIONS))
    is_held: bool = False
    """Whether there is a temporary hold."""
    deleted: datetime | None = None
    """When it ceased to be live, where versioning keeps it."""
    soft_deleted: datetime | None = None
    hard_deleted: datetime | None = None
    """Until when it can be restored, where soft delete keeps it."""

    @property
    def crc32c(self) -> str:
        """The checksum, as Cloud Storage writes it."""
        return base64.b64encode(int(_LIBRARY.value(self.content)).to_bytes(4)).decode()

    @property
    def md5(self) -> str:
        """The other one."""
        digest = hashlib.md5(self.content, usedforsecurity=False).digest()
        return base64.b64encode(digest).decode()

    def describe(self) -> dict[str, Any]:
        """Return the resource ``Object``."""
        facts: dict[str, Any] = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.content_type,
            "cacheControl": self.cache_control,
            "contentEncoding": self.content_encoding,
            "storageClass": "STANDARD",
            "size": str(len(self.content)),
            "md5Hash": self.md5,
            "crc32c": self.crc32c,
            "etag": base64.b64encode(str(self.generation).encode()).decode(),
            "metadata": self.metadata or None,
            "temporaryHold": self.is_held or None,
            "timeCreated": _time(self.created),
            "updated": _time(self.created),
            "timeDeleted": _time(self.deleted),
            "softDeleteTime": _time(self.soft_deleted),
            "hardDeleteTime": _time(self.hard_deleted),
        }
        return {name: value for name, value in facts.items() if value is not None}


@attrs.define
class Bucket:
    """One bucket. Not thread-safe: whoever owns the cloud holds its lock."""

    name: str
    is_versioned: bool = False
    soft_delete: float = 0.0
    """Seconds for which what is deleted can be restored; 0 means that soft delete is off."""
    retention: float = 0.0
    """Seconds for which an object can be neither deleted nor replaced."""
    live: dict[str, StoredObject] = attrs.field(factory=dict[str, StoredObject])
    older: list[StoredObject] = attrs.field(factory=list[StoredObject])
    soft_deleted: list[StoredObject] = attrs.field(factory=list[StoredObject])

    def put(self, stored: StoredObject, now: datetime) -> StoredObject:
        """Make an object the live one, and keep the former one as the bucket's settings say."""
        former = self.live.get(stored.name)
        if former is not None:
            self._check_kept(former, now)
            self._leave(former, now, is_named=False)
        self.live[stored.name] = stored
        return stored

    def delete(self, name: str, generation: int | None, now: datetime) -> None:
        """Delete the live object, or one generation, which leaves no older one behind.

        Raises:
            GoogleError: it is not there, or is kept.
        """
        found = self.find(name, generation)
        if found is None:
            raise errors.no_object(self.name, name)
        self._check_kept(found, now)
        self._leave(found, now, is_named=generation is not None)

    def find(self, name: str, generation: int | None = None) -> StoredObject | None:
        """Return the live object, or one generation, or None."""
        live = self.live.get(name)
        if generation is None:
            return live
        every = [*self.older, *([] if live is None else [live])]
        return next((o for o in every if (o.name, o.generation) == (name, generation)), None)

    def listed(
        self, now: datetime, *, versions: bool = False, soft_deleted: bool = False
    ) -> Iterator[StoredObject]:
        """Yield what a list shows, in order.

        Raises:
            GoogleError: what was deleted softly is asked for, and nothing can be.
        """
        chosen = [*self.live.values(), *(self.older if versions else ())]
        if soft_deleted:
            if not self.soft_delete:
                raise errors.no_soft_delete()
            chosen = [o for o in self.soft_deleted if o.hard_deleted and o.hard_deleted > now]
        yield from sorted(chosen, key=lambda o: (o.name.encode(), o.generation))

    def _leave(self, stored: StoredObject, now: datetime, *, is_named: bool) -> None:
        """Let an object be live no longer, or be gone if its generation was named."""
        was_live = self.live.get(stored.name) is stored
        if was_live:
            del self.live[stored.name]
        else:
            self.older.remove(stored)
        if self.is_versioned and was_live and not is_named:
            self.older.append(attrs.evolve(stored, deleted=now))
        elif self.soft_delete:
            until = now + timedelta(seconds=self.soft_delete)
            kept = attrs.evolve(stored, soft_deleted=now, hard_deleted=until)
            self.soft_deleted.append(kept)

    def _check_kept(self, stored: StoredObject, now: datetime) -> None:
        if stored.is_held:
            raise errors.held(self.name, stored.name)
        until = stored.created + timedelta(seconds=self.retention)
        if self.retention and until > now:
            raise errors.retained(self.name, stored.name, until.isoformat())


def _time(moment: datetime | None) -> str | None:
    """Return a time as Cloud Storage writes it: the library reads no other form."""
    return (
        None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
    )
