"""A container of Blob Storage: each request to it, with its errors in words of key services."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar, cast

import attrs
from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, BlobProperties, BlobType, ContainerClient

from cloudcrypt.errors import (
    CloudcryptError,
    KeyServiceFailed,
    KeyServiceUnavailable,
    WrappedKeyRefused,
)
from cloudcrypt.kms import BLOB_MAX
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying
from cloudcrypt_azure._keys_access import Access
from cloudcrypt_azure._keys_errors import (
    BLOB_NOT_FOUND,
    FOREIGN,
    Asked,
    answer_in,
    translated,
)
from cloudcrypt_azure._keys_transport import Transport, credential_of, options, until

T = TypeVar("T")

NAME: Final = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]|\$root", re.ASCII)
"""The name of a container (Azure documentation, "Naming and referencing containers, blobs")."""

_TOO_LONG: Final = f"it is longer than {BLOB_MAX} bytes"
_MARK: Final = "cloudcryptwrite"
"""What in the metadata says which call wrote a blob; the name is an identifier, as it has to be."""


@attrs.frozen
class Found:
    """A blob, as it was read."""

    content: bytes
    etag: str
    mark: str | None
    """Which call wrote it."""


class Container:
    """One container, as one credential sees it. Thread-safe."""

    def __init__(
        self,
        access: Access,
        name: str,
        service: str,
        credential: TokenCredential | None,
        clock: Clock,
    ) -> None:
        """Connect to nothing yet.

        Args:
            access: where the account is, and as whom it is asked.
            name: of the container.
            service: what errors name.
            credential: what tokens come from; None is as ``access`` says.
            clock: what waits happen on where a deadline has none of its own.
        """
        self.service = service
        self._timeout = access.timeout
        self._clock = clock
        self._transport = Transport(access)
        self._client = ContainerClient(
            f"https://{access.host}",
            name,
            credential=credential or credential_of(access, self._transport),
            # A blob comes whole with the first request, and one that is too long with no other.
            max_single_get_size=BLOB_MAX,
            max_chunk_get_size=BLOB_MAX,
            **options(self._transport),
        )

    def until(self, deadline: Deadline | None) -> Deadline:
        """Return ``deadline``, or the one that a call has if nobody names one."""
        if deadline is None:
            return Deadline.after(self._timeout, clock=self._clock)
        if deadline.clock is not SYSTEM_CLOCK or self._clock is SYSTEM_CLOCK:
            return deadline
        return Deadline.after(
            deadline.remaining, clock=self._clock, cancellation=deadline.cancellation
        )

    def once(self, request: Callable[[], T], asked: Asked, deadline: Deadline) -> T:
        """Return what a call of the SDK returns, which is made once.

        Raises:
            KeyServiceError: see `cloudcrypt_azure._keys_errors`.
            OperationCancelled: the caller cancelled.
        """
        deadline.check()
        if deadline.has_passed:
            reason = f"{asked.action}: the deadline has passed"
            raise KeyServiceUnavailable(asked.service, asked.key_id, reason)
        try:
            with until(deadline):
                return request()
        except FOREIGN as error:
            raise translated(error, asked, self._transport.trouble) from error

    def again(self, request: Callable[[], T], asked: Asked, deadline: Deadline) -> T:
        """Make a call that may be made twice, until it is answered; otherwise as `once`."""
        return retrying(lambda: self.once(request, asked, deadline), deadline=deadline)

    def read(self, name: str, asked: Asked, deadline: Deadline) -> Found | None:
        """Return a blob, or None if there is none of this name.

        Raises:
            WrappedKeyRefused: it is longer than `BLOB_MAX`, or no block blob.
            KeyServiceError: as the service says.
        """
        blob = self._blob(name)

        def request() -> Found | None:
            try:
                found = blob.download_blob(validate_content=True)
                if found.size > BLOB_MAX:
                    raise WrappedKeyRefused(asked.key_id, _TOO_LONG)
                content = found.readall()
            except HttpResponseError as error:
                if is_absent(error):
                    return None
                raise
            if found.properties.blob_type not in {None, BlobType.BLOCKBLOB}:
                raise WrappedKeyRefused(asked.key_id, "it is no block blob")
            return Found(content, str(found.properties.etag), _mark_in(found.properties))

        return self.again(request, asked, deadline)

    def mark(self, name: str, asked: Asked, deadline: Deadline) -> str | None:
        """Return which call wrote a blob; None if there is none, or nobody knows."""
        blob = self._blob(name)

        def request() -> str | None:
            try:
                properties = blob.get_blob_properties()
            except HttpResponseError as error:
                if is_absent(error):
                    return None
                raise
            return _mark_in(properties)

        return self.again(request, asked, deadline)

    def create(
        self, name: str, content: bytes, mark: str, asked: Asked, deadline: Deadline
    ) -> None:
        """Write a blob with ``mark`` if there is none of this name, once.

        Raises:
            KeyServiceFailed: there is one, which the code says; or another error that lasts.
            KeyServiceError: as the service says.
        """
        self.once(
            lambda: self._blob(name).upload_blob(
                content,
                BlobType.BLOCKBLOB,
                overwrite=False,
                validate_content=True,
                metadata={_MARK: mark},
            ),
            asked,
            deadline,
        )

    def replace(
        self, name: str, content: bytes, mark: str, etag: str, asked: Asked, deadline: Deadline
    ) -> None:
        """Write a blob with ``mark`` if it still is the one with ``etag``, once.

        Raises:
            KeyServiceFailed: it is not, which the code says; or another error that lasts.
            KeyServiceError: as the service says.
        """
        self.once(
            lambda: self._blob(name).upload_blob(
                content,
                BlobType.BLOCKBLOB,
                overwrite=True,
                validate_content=True,
                metadata={_MARK: mark},
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
            ),
            asked,
            deadline,
        )

    def names(self, prefix: str, asked: Asked, deadline: Deadline) -> Iterator[str]:
        """Yield the names of the blobs that begin with ``prefix``, page by page."""
        for one in self.listed(prefix, [], asked, deadline):
            yield one.name

    def listed(
        self, prefix: str, include: list[str], asked: Asked, deadline: Deadline
    ) -> Iterator[BlobProperties]:
        """Yield what begins with ``prefix``, and of what is not a blob any more what is asked for.

        Args:
            prefix: of names.
            include: ``snapshots``, ``versions``, ``deleted``...
            asked: what errors name.
            deadline: of all pages.
        """
        marker: str | None = None
        while True:
            read = functools.partial(self._page, prefix, include, marker)
            page, marker = self.again(read, asked, deadline)
            yield from page
            if not marker:
                return

    def delete(
        self,
        name: str,
        asked: Asked,
        deadline: Deadline,
        *,
        which: Mapping[str, str] | None = None,
        **how: Any,  # noqa: ANN401 - arguments of the SDK
    ) -> bool:
        """Delete a blob, or ``which`` of its versions or snapshots; False if that is not there."""
        blob = self._client.get_blob_client(name, **(which or {}))

        def request() -> bool:
            try:
                blob.delete_blob(**how)
            except HttpResponseError as error:
                if is_absent(error):
                    return False
                raise
            return True

        return self.again(request, asked, deadline)

    def close(self) -> None:
        """Give up connections. Idempotent."""
        self._transport.give_up()

    def _blob(self, name: str) -> BlobClient:
        return self._client.get_blob_client(name)

    def _page(
        self, prefix: str, include: list[str], marker: str | None
    ) -> tuple[list[BlobProperties], str | None]:
        pages = self._client.list_blobs(name_starts_with=prefix, include=include).by_page(marker)
        page = list(next(pages, iter(())))
        token = cast("str | None", getattr(pages, "continuation_token", None))
        return page, token


def _mark_in(properties: BlobProperties) -> str | None:
    metadata: dict[str, str] = properties.metadata or {}
    return metadata.get(_MARK)


def is_absent(error: HttpResponseError) -> bool:
    """Say whether a service said that there is no such blob: of nothing else can that be said."""
    answer = answer_in(error)
    return answer is not None and (answer.status, answer.code) == (404, BLOB_NOT_FOUND)


def is_said(error: CloudcryptError, status: int, code: str) -> bool:
    """Say whether ``error`` is one that lasts, with this status and code."""
    answer = error.answer
    is_lasting = isinstance(error, KeyServiceFailed)
    return is_lasting and answer is not None and (answer.status, answer.code) == (status, code)


def check_length(blob: bytes, key_id: str) -> None:
    """Return if ``blob`` is not longer than one may be.

    Raises:
        WrappedKeyRefused: it is.
    """
    if len(blob) > BLOB_MAX:
        raise WrappedKeyRefused(key_id, _TOO_LONG)
