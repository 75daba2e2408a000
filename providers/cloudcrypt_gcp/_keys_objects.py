"""The objects of one bucket of Cloud Storage, by single requests of the SDK, which has no types.

Retries of the SDK are off, and each request ends by itself. What is read or written is checked
against its CRC32C. "Not there" and "not as expected" are answers; everything else is an error in
words of cloudcrypt.
"""

import io
import os
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final, TypeVar, cast

import attrs
from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed
from requests.exceptions import ContentDecodingError

from cloudcrypt.errors import WrappedKeyRefused
from cloudcrypt.kms import BLOB_MAX
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp._keys_checksum import crc32c_text
from cloudcrypt_gcp._keys_errors import SDK_ERRORS, Asked, answer_of, translated
from cloudcrypt_gcp._keys_locks import ProcessLock
from cloudcrypt_gcp._keys_login import Login
from cloudcrypt_gcp._keys_tokens import on_time

T = TypeVar("T")

PAGE: Final = 1000
"""Objects on one page of a list, the most that Cloud Storage gives ("Objects: list")."""
MARK: Final = "cloudcrypt-write"
"""The key of the metadata by which whoever lost an answer knows its own write again."""
DEFAULT_ENDPOINT: Final = "https://storage.googleapis.com"
"""Said, so that no variable of the environment leads elsewhere: STORAGE_EMULATOR_HOST would."""

_TYPE: Final = "application/octet-stream"
_NOT_CACHED: Final = "no-store"
"""An object that everybody may read would otherwise be cached for an hour ("Cache-Control")."""
_NO_POLICY: Final = "Soft delete policy is required"
"""What Cloud Storage says of a list of soft-deleted objects where nothing is soft-deleted."""
_SDK: Final[Any] = import_module("google.cloud.storage")  # has no types
_CORRUPTION: Final[type[Exception]] = _SDK.exceptions.DataCorruption
_CHANGED: Final = "an answer came without generation or checksum, or changed on its way"
_ENCODED: Final = "it is stored in an encoding"


@attrs.frozen
class Found:
    """What an object held when it was read, and as which generation."""

    content: bytes
    generation: int


@attrs.frozen
class Entry:
    """One object of a list; ``restorable`` is until when, where it was deleted softly."""

    name: str
    generation: int
    restorable: str | None = None


@attrs.frozen
class Page:
    """One page of a list, and the token of the next one if there is one."""

    entries: tuple[Entry, ...]
    token: str | None


class Objects:
    """The objects of one bucket. Thread-safe; a forked process has connections of its own."""

    def __init__(
        self, bucket: str, login: Login, project: str | None, user_project: str | None
    ) -> None:
        """Connect to nothing yet; ``user_project`` pays, where the bucket asks for that."""
        self._bucket = bucket
        self._login = login
        self._project = project
        self._user_project = user_project
        self._lock = ProcessLock()
        self._client: Any = None
        self._owner = 0

    def read(self, name: str, asked: Asked, within: Deadline) -> Found | None:
        """Return what the object ``name`` holds; None if there is no such object, or bucket.

        Raises:
            WrappedKeyRefused: it is longer than a blob, or encoded: nobody of ours wrote it.
            KeyServiceError: as Cloud Storage says.
        """

        def request(bucket: Any, seconds: float) -> Found | None:  # noqa: ANN401 - untyped
            blob, sink = bucket.blob(name), _Sink(asked.key_id)
            try:
                blob.download_to_file(sink, checksum="crc32c", retry=None, timeout=seconds)
            except NotFound:
                return None
            return _found(blob, sink.getvalue(), asked)

        return self._once(request, asked, within)

    def write(
        self, name: str, content: bytes, generation: int, mark: str, asked: Asked, within: Deadline
    ) -> bool:
        """Write an object whose generation is ``generation``, 0 if it must not exist.

        Return False if it is another one. The service checks that ``content`` arrived whole.

        Raises:
            KeyServiceError: as Cloud Storage says; it may have been written.
        """

        def request(bucket: Any, seconds: float) -> bool:  # noqa: ANN401 - untyped
            blob = bucket.blob(name)
            blob.cache_control = _NOT_CACHED
            blob.metadata = {MARK: mark}
            try:
                blob.upload_from_string(
                    content,
                    content_type=_TYPE,
                    if_generation_match=generation,
                    checksum="crc32c",
                    retry=None,
                    timeout=seconds,
                )
            except PreconditionFailed:
                return False
            return True

        return self._once(request, asked, within)

    def mark(self, name: str, asked: Asked, within: Deadline) -> str | None:
        """Return the mark of who wrote the object as it is; None if nobody did, or it is not there.

        Raises:
            KeyServiceError: as Cloud Storage says.
        """

        def request(bucket: Any, seconds: float) -> str | None:  # noqa: ANN401 - untyped
            blob = bucket.blob(name)
            try:
                blob.reload(retry=None, timeout=seconds)
            except NotFound:
                return None
            mark = cast("dict[str, str]", blob.metadata or {}).get(MARK)
            return None if mark is None else str(mark)

        return self._once(request, asked, within)

    def page(
        self, prefix: str, token: str | None, asked: Asked, within: Deadline, *, most: int = PAGE
    ) -> Page:
        """Return a page of the objects whose names begin with ``prefix``.

        Raises:
            KeyServiceError: as Cloud Storage says; also that there is no such bucket.
        """
        return self._page(prefix, token, asked, within, max_results=most)

    def generations(self, prefix: str, token: str | None, asked: Asked, within: Deadline) -> Page:
        """Return the same, with the older generations that versioning keeps."""
        return self._page(prefix, token, asked, within, max_results=PAGE, versions=True)

    def restorable(self, prefix: str, token: str | None, asked: Asked, within: Deadline) -> Page:
        """Return the same of what was deleted softly, and can be restored for some time."""
        return self._page(prefix, token, asked, within, max_results=PAGE, soft_deleted=True)

    def delete(self, entry: Entry, asked: Asked, within: Deadline) -> None:
        """Delete this generation of an object; without versioning there is no other. Idempotent.

        Raises:
            KeyServiceError: as Cloud Storage says; also that a retention policy or a hold keeps it.
        """

        def request(bucket: Any, seconds: float) -> None:  # noqa: ANN401 - untyped
            blob = bucket.blob(entry.name, generation=entry.generation)
            try:
                blob.delete(retry=None, timeout=seconds)
            except NotFound:
                return

        self._once(request, asked, within)

    def close(self) -> None:
        """Close the connections. Idempotent; another request opens new ones."""
        with self._lock.mine():
            if self._client is not None and self._owner == os.getpid():
                self._client.close()
            self._client = None

    def _page(
        self, prefix: str, token: str | None, asked: Asked, within: Deadline, **options: object
    ) -> Page:
        def request(bucket: Any, seconds: float) -> Page:  # noqa: ANN401 - untyped
            found = bucket.list_blobs(
                prefix=prefix, page_token=token, retry=None, timeout=seconds, **options
            )
            try:
                entries = _entries(next(found.pages, ()))
            except GoogleAPICallError as error:
                if _NO_POLICY not in answer_of(error, asked).message:
                    raise
                return Page((), None)
            return Page(entries, found.next_page_token)

        return self._once(request, asked, within)

    def _once(self, request: Callable[[Any, float], T], asked: Asked, within: Deadline) -> T:
        """Return what ``request`` returns for the bucket and the seconds that it may take."""
        seconds = asked.seconds(within)
        bucket = self._connected(asked, within)
        try:
            with on_time(asked, within):
                return request(bucket, seconds)
        except _CORRUPTION:
            failure = asked.unavailable(_CHANGED)
        except ContentDecodingError:
            failure = WrappedKeyRefused(asked.key_id, _ENCODED)
        except SDK_ERRORS as error:
            failure = translated(error, asked)
        raise failure

    def _connected(self, asked: Asked, within: Deadline) -> Any:  # noqa: ANN401 - untyped
        credentials = self._login.credentials(asked, within)
        with self._lock.mine():
            if self._client is None or self._owner != os.getpid():
                self._owner = os.getpid()
                self._client = _client(credentials, self._login.endpoint, self._project, asked)
            return self._client.bucket(self._bucket, user_project=self._user_project)


class _Sink(io.BytesIO):
    """Takes what is downloaded, and no more than a blob may have."""

    def __init__(self, key_id: str) -> None:
        super().__init__()
        self._key_id = key_id

    def write(self, data: Any) -> int:  # noqa: ANN401 - typeshed's own type is private
        """Take ``data``."""
        if self.tell() + len(data) > BLOB_MAX:
            raise WrappedKeyRefused(self._key_id, f"it has more than {BLOB_MAX} bytes")
        return super().write(data)


def _found(blob: Any, content: bytes, asked: Asked) -> Found:  # noqa: ANN401 - untyped
    if blob.content_encoding:
        raise WrappedKeyRefused(asked.key_id, _ENCODED)
    if blob.generation is None or blob.crc32c != crc32c_text(content):
        raise asked.unavailable(_CHANGED)
    return Found(content, int(blob.generation))


def _entries(blobs: Iterable[Any]) -> tuple[Entry, ...]:
    return tuple(
        Entry(str(blob.name), int(blob.generation), _time(blob.hard_delete_time)) for blob in blobs
    )


def _time(moment: Any) -> str | None:  # noqa: ANN401 - untyped
    return None if moment is None else str(moment.isoformat(timespec="seconds"))


def _client(
    credentials: Any,  # noqa: ANN401 - google.auth has several classes
    endpoint: str | None,
    project: str | None,
    asked: Asked,
) -> Any:  # noqa: ANN401 - untyped
    options = {"api_endpoint": endpoint or DEFAULT_ENDPOINT}
    try:
        client = _SDK.Client(project=project, credentials=credentials, client_options=options)
    except SDK_ERRORS as error:
        failure = translated(error, asked)
    else:
        # Otherwise the library gets the bucket's metadata, for traces that nobody has asked for: in
        # a thread of its own, with a permission that nothing else here needs.
        client._bucket_metadata_cache = None  # noqa: SLF001 - there is no other way for one client
        return client
    raise failure
