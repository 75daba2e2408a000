"""Google Cloud Storage as a store of wrapped keys: one object of a bucket for each key id.

    store = GcsStore("my-bucket", "keys/")

or, by URL, ``gs://BUCKET/PREFIX``. Parameters of the URL are ``endpoint``, ``timeout``,
``credentialsPath``, ``userProject`` (the one that pays, where the bucket asks for that) and
``project``: that of the bucket, which Constellation's URIs name.

An object is created where there is none, and replaced as the generation that was read; Cloud
Storage is strongly consistent, so the first of those who race wins. A bucket that keeps what was
deleted (soft delete, which is on unless it was turned off; retention; holds) cannot shred: `delete`
says so.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar, Final, Self, TypeVar

import attrs
from google.auth.credentials import Credentials

from cloudcrypt.errors import KeyServiceUnavailable, KeyUriInvalid, WrappedKeyRefused
from cloudcrypt.kms import BLOB_MAX, TIMEOUT, key_id_of, object_name, object_prefix
from cloudcrypt.urls import Query, check_seconds
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying
from cloudcrypt_gcp._keys_errors import Asked
from cloudcrypt_gcp._keys_logging import keep_secrets_out_of_logs
from cloudcrypt_gcp._keys_login import STORAGE_SCOPE, Login
from cloudcrypt_gcp._keys_objects import Entry, Found, Objects, Page

T = TypeVar("T")

_SCHEME: Final = "gs://"
_KIND: Final = "gs://BUCKET/PREFIX"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", re.ASCII)
"""The name of a bucket ("Bucket name requirements")."""
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/?", re.ASCII)
_PROJECT: Final = re.compile(r"[a-z0-9.:-]{1,66}", re.ASCII)
_NOT_ONE: Final = "(no one id)"

keep_secrets_out_of_logs()


class GcsStore:
    """Keeps blobs in one bucket, below a prefix. Thread-safe."""

    secret_parameters: ClassVar[frozenset[str]] = frozenset()
    """None: ``credentialsPath`` is the path of a file."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        project: str | None = None,
        user_project: str | None = None,
        credentials: Credentials | None = None,
        credentials_path: str | None = None,
        endpoint: str | None = None,
        timeout: float = TIMEOUT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Connect to nothing yet.

        Args:
            bucket: its name.
            prefix: the folder of the objects, such as ``keys/``; it ends in a slash, or gets one.
            project: that of the bucket. No request needs it: names of buckets are global.
            user_project: the project that pays for the requests to a bucket with "requester pays".
            credentials: of google.auth; None means those of the file, or the application default
                ones: the workload's identity.
            credentials_path: the file of the key of a service account, or of the configuration of a
                workload identity federation.
            endpoint: the base URL of the service, None for the usual one. One by plain HTTP, on
                loopback only, is asked without credentials.
            timeout: seconds of a call, where it has no deadline.
            clock: the time of deadlines and pauses.

        Raises:
            KeyUriInvalid: one of these cannot be.
        """
        if _BUCKET.fullmatch(bucket) is None:
            raise KeyUriInvalid(_KIND, "the name of a bucket has small letters, digits, . _ and -")
        if prefix and _PREFIX.fullmatch(prefix) is None:
            raise KeyUriInvalid(
                _KIND, "a prefix has letters, digits, . _ and -, and single slashes"
            )
        for one in (project, user_project):
            if one is not None and _PROJECT.fullmatch(one) is None:
                raise KeyUriInvalid(_KIND, "project and userProject are IDs of projects")
        self._bucket = bucket
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        self._timeout = check_seconds(_KIND, "timeout", timeout)
        self._clock = clock
        login = Login(
            _KIND,
            STORAGE_SCOPE,
            endpoint=endpoint,
            credentials=credentials,
            credentials_path=credentials_path,
        )
        self._objects = Objects(bucket, login, project, user_project)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the store of ``url``, without a request.

        Raises:
            KeyUriInvalid: it is malformed; it is not repeated.
        """
        head, _, text = url.partition("?")
        if not head.startswith(_SCHEME):
            raise KeyUriInvalid(_KIND, "that is how it begins")
        query = Query(_KIND, text)
        endpoint, timeout = query.endpoint(), query.seconds("timeout", TIMEOUT)
        path = query.get("credentialsPath")
        project, user_project = query.get("project"), query.get("userProject")
        query.finish()
        bucket, _, prefix = head.removeprefix(_SCHEME).partition("/")
        return cls(
            bucket,
            prefix,
            project=project,
            user_project=user_project,
            endpoint=endpoint,
            timeout=timeout,
            credentials_path=path,
        )

    def get(self, key_id: str, *, deadline: Deadline | None = None) -> bytes | None:
        """Return the blob of ``key_id``; None if a list of the bucket does not have it either.

        "No such object" and "no such bucket" are one status, so absence is asked for twice.

        Raises:
            WrappedKeyRefused: the object is longer than `BLOB_MAX`, or is encoded.
            KeyDenied, KeyServiceFailed, KeyServiceThrottled, KeyServiceUnavailable: as the service
                says; see `cloudcrypt_gcp._keys_errors`.
        """
        call = self._call(key_id, deadline)
        found = call.again(call.read)
        return None if found is None else found.content

    def create(self, key_id: str, blob: bytes, *, deadline: Deadline | None = None) -> bool:
        """Store the first blob of ``key_id``; False if there is one that this call did not store.

        After a lost answer the object says whose it is.

        Raises:
            WrappedKeyRefused: the blob is longer than `BLOB_MAX`.
            KeyServiceError: as above; unavailable means that it may have been stored.
        """
        call = self._call(key_id, deadline)
        return call.again(_Write(call, _checked(key_id, blob)).create)

    def replace(
        self, key_id: str, old: bytes, new: bytes, *, deadline: Deadline | None = None
    ) -> bool:
        """Store ``new`` if the blob is exactly ``old``; False if it is not.

        Content and generation are of one answer, and the write is for that generation only.

        Raises:
            WrappedKeyRefused: a blob is longer than `BLOB_MAX`.
            KeyServiceError: as above; unavailable means that it may have been stored.
        """
        call = self._call(key_id, deadline)
        write = _Write(call, _checked(key_id, new))
        return call.again(lambda: write.replace(old))

    def list(self, prefix: str = "", *, deadline: Deadline | None = None) -> Iterator[str]:
        """Yield the key ids that begin with ``prefix``, sorted; all pages are read first.

        Raises:
            KeyServiceError: as above, before the first id.
        """
        call = _Call(self._objects, "", self._asked(_NOT_ONE), self._within(deadline))
        names = call.all(self._objects.page, object_prefix(self._prefix, prefix))
        ids = (key_id_of(self._prefix, entry.name) for entry in names)
        yield from sorted(key_id for key_id in ids if key_id and key_id.startswith(prefix))

    def delete(self, key_id: str, *, deadline: Deadline | None = None) -> bool:
        """Delete every generation of the object; False if there was none. Idempotent.

        The one that `get` shows goes last: what was interrupted is seen to be there.

        Raises:
            KeyServiceFailed: the object can be restored for some time, by soft delete; or a
                retention policy or a hold keeps it.
            KeyDenied: among others, what was deleted softly may not be listed: that takes the
                permission storage.objects.restore.
            KeyServiceError: as above.
        """
        call = self._call(key_id, deadline)
        was_there = False
        while generations := call.named(self._objects.generations):
            was_there = True
            for entry in sorted(generations, key=lambda entry: entry.generation):
                call.again(partial(call.delete, entry))
        kept = call.named(self._objects.restorable)
        if kept:
            until = max(entry.restorable or "later" for entry in kept)
            reason = f"soft delete keeps it restorable until {until}"
            raise call.asked.failed("softDeletePolicy", reason)
        return was_there

    def close(self) -> None:
        """Close the connections. Idempotent; another call opens new ones."""
        self._objects.close()

    def __repr__(self) -> str:
        """Return bucket and prefix; credentials are not shown."""
        return f"GcsStore({self._bucket!r}, {self._prefix!r})"

    def _call(self, key_id: str, deadline: Deadline | None) -> "_Call":
        name = object_name(self._prefix, key_id)
        return _Call(self._objects, name, self._asked(key_id), self._within(deadline))

    def _asked(self, key_id: str) -> Asked:
        return Asked(f"{_SCHEME}{self._bucket}/{self._prefix}", key_id)

    def _within(self, deadline: Deadline | None) -> Deadline:
        return deadline or Deadline.after(self._timeout, clock=self._clock)


Listing = Callable[[str, str | None, Asked, Deadline], Page]


@attrs.frozen
class _Call:
    """One call: the object that it is about, what errors name, and until when."""

    objects: Objects
    name: str
    asked: Asked
    within: Deadline

    def again(self, attempt: Callable[[], T]) -> T:
        """Return what ``attempt`` returns, by the one policy."""
        return retrying(attempt, deadline=self.within)

    def read(self) -> Found | None:
        """Return what the object holds, None if it is absent and the bucket is not."""
        found = self.objects.read(self.name, self.asked, self.within)
        if found is not None:
            return found
        page = self.objects.page(self.name, None, self.asked, self.within, most=1)
        if not any(entry.name == self.name for entry in page.entries):
            return None
        return self.objects.read(self.name, self.asked, self.within)  # it is there by now

    def delete(self, entry: Entry) -> None:
        """Delete one generation."""
        self.objects.delete(entry, self.asked, self.within)

    def named(self, listing: Listing) -> "list[Entry]":
        """Return the entries of ``listing`` that are of the object."""
        return [entry for entry in self.all(listing, self.name) if entry.name == self.name]

    def all(self, listing: Listing, prefix: str) -> "list[Entry]":
        """Return all entries of ``listing`` below ``prefix``, each page asked for until it came."""
        entries: list[Entry] = []
        token: str | None = None
        while True:
            page = self.again(partial(listing, prefix, token, self.asked, self.within))
            entries += page.entries
            token = page.token
            if token is None:
                return entries


@attrs.define
class _Write:
    """One write, however often it has to be asked for; it knows itself again by its mark."""

    call: _Call
    content: bytes
    mark: str = attrs.field(factory=lambda: uuid.uuid4().hex)
    is_in_doubt: bool = False

    def create(self) -> bool:
        """Write where there is no object."""
        return self._write(0) or self._was_done()

    def replace(self, old: bytes) -> bool:
        """Write where there is an object that holds ``old``."""
        found = self.call.read()
        if found is None:
            return False
        if found.content == old and self._write(found.generation):
            return True
        return self._was_done()

    def _write(self, generation: int) -> bool:
        call = self.call
        try:
            return call.objects.write(
                call.name, self.content, generation, self.mark, call.asked, call.within
            )
        except KeyServiceUnavailable:
            self.is_in_doubt = True
            raise

    def _was_done(self) -> bool:
        """Say whether the object is as an earlier attempt, whose answer was lost, wrote it."""
        if not self.is_in_doubt:
            return False
        call = self.call
        return call.objects.mark(call.name, call.asked, call.within) == self.mark


def _checked(key_id: str, blob: bytes) -> bytes:
    if len(blob) > BLOB_MAX:
        raise WrappedKeyRefused(key_id, f"it has more than {BLOB_MAX} bytes")
    return blob
