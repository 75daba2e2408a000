"""`S3Store`: wrapped data keys are objects in a bucket of S3.

Writes are conditional, so that of callers that race one wins ("Prevent object overwrites with
conditional writes", Amazon S3 User Guide); S3 reads what was written last, also in listings.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, Self, cast, final

import attrs
import boto3.session

from cloudcrypt.errors import (
    KeyServiceFailed,
    KeyServiceUnavailable,
    KeyUriInvalid,
    WrappedKeyRefused,
)
from cloudcrypt.kms import BLOB_MAX, TIMEOUT, key_id_of, object_name, object_prefix
from cloudcrypt.secret import Secret
from cloudcrypt.urls import Query
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying
from cloudcrypt_aws._keys_client import Api
from cloudcrypt_aws._keys_errors import Asked
from cloudcrypt_aws._keys_url import SECRET_PARAMETERS, Access
from cloudcrypt_aws._s3_versions import Versions

SCHEME: Final = "s3"
KIND: Final = "s3://BUCKET/PREFIX?region=REGION"
"""What the URL is called in errors."""

PAGE: Final = 1000
"""Objects on one page of a list: S3's own most (Amazon S3 API reference, ListObjectsV2)."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX: Final = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}/){0,4}", re.ASCII)
_OWNER: Final = re.compile(r"[0-9]{12}", re.ASCII)


@attrs.frozen
class _Found:
    """An object: its bytes, and by what a condition names them."""

    blob: bytes
    etag: str


@final
class S3Store:
    """Objects in a bucket; implements `cloudcrypt.kms.KeyStore`. Safe for threads and forks."""

    secret_parameters: ClassVar[frozenset[str]] = SECRET_PARAMETERS

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        region: str | None = None,
        owner: str | None = None,
        access_key_id: str | None = None,
        access_key: Secret | None = None,
        session: boto3.session.Session | None = None,
        endpoint: str | None = None,
        timeout: float = TIMEOUT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Connect to nothing yet.

        Args:
            bucket: its name; it exists.
            prefix: what all names of objects begin with, as a folder: ``keys`` is ``keys/``.
            region: of the bucket; None is that of the session or of the environment.
            owner: the account, 12 digits, that the bucket must belong to: then a bucket that was
                deleted, and made anew by somebody else, is not used.
            access_key_id: of a static access key; None leaves it to boto3's usual chain.
            access_key: the secret part of it.
            session: with other credentials.
            endpoint: the URL of S3, if it is not the usual one of the region.
            timeout: seconds of a call, all of its attempts together.
            clock: what waits happen on.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        if _BUCKET.fullmatch(bucket) is None:
            raise KeyUriInvalid(KIND, "BUCKET is the name of one")
        if _PREFIX.fullmatch(self._prefix) is None:
            raise KeyUriInvalid(
                KIND, "PREFIX is up to four segments of letters, digits, _, . and -"
            )
        if owner is not None and _OWNER.fullmatch(owner) is None:
            raise KeyUriInvalid(KIND, "owner is an account, 12 digits")
        self._name = f"{SCHEME}://{bucket}/{self._prefix}"
        self._where = {"Bucket": bucket} | ({} if owner is None else {"ExpectedBucketOwner": owner})
        access = Access(KIND, region, endpoint, timeout, access_key_id, access_key)
        self._api = Api("s3", access, session, clock)
        self._versions = Versions(self._api, self._where, self._name)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open ``s3://BUCKET/PREFIX?region=&owner=&endpoint=&timeout=&accessKeyID=&accessKey=``.

        All but BUCKET are optional; see the constructor.

        Raises:
            KeyUriInvalid: it is not such a URL; it is not repeated.
        """
        head, _, text = url.partition("?")
        scheme, _, path = head.partition("://")
        if scheme != SCHEME or "#" in text:
            raise KeyUriInvalid(KIND, "scheme, bucket and prefix, then parameters only")
        bucket, _, prefix = path.partition("/")
        query = Query(KIND, text)
        access, owner = Access.take(query), query.get("owner")
        query.finish()
        return cls(
            bucket,
            prefix,
            region=access.region,
            owner=owner,
            access_key_id=access.access_key_id,
            access_key=access.access_key,
            endpoint=access.endpoint,
            timeout=access.timeout,
        )

    def __repr__(self) -> str:
        """Name bucket and prefix, and no credentials."""
        return f"<S3Store {self._name}>"

    def get(self, key_id: str, *, deadline: Deadline | None = None) -> bytes | None:
        """Return the blob of ``key_id``, or None; see `KeyStore.get`.

        Without the permission ``s3:ListBucket`` S3 does not say whether an object is absent: then
        this is `KeyDenied`, not None.
        """
        found = self._found(key_id, self._api.until(deadline))
        return None if found is None else found.blob

    def create(self, key_id: str, blob: bytes, *, deadline: Deadline | None = None) -> bool:
        """Store the first blob of ``key_id``; see `KeyStore.create`.

        If an answer was lost, and then there is an object, it is looked at whether it is this one.
        """
        until = self._api.until(deadline)
        doubts = _Doubts()
        put = doubts.about(lambda: self._put(key_id, blob, {"IfNoneMatch": "*"}, until))
        if retrying(put, deadline=until):
            return True
        return doubts.exist and self._is_now(key_id, blob, until)

    def replace(
        self, key_id: str, old: bytes, new: bytes, *, deadline: Deadline | None = None
    ) -> bool:
        """Store ``new`` if the blob is exactly ``old``; see `KeyStore.replace`.

        The condition is the ETag of an object whose bytes were compared, not a digest of ``old``.
        """
        until = self._api.until(deadline)
        doubts = _Doubts()
        _check_length(key_id, new)

        def attempt() -> bool:
            found = self._found(key_id, until)
            if found is None or found.blob != old:
                return False
            return doubts.about(lambda: self._put(key_id, new, {"IfMatch": found.etag}, until))()

        if retrying(attempt, deadline=until):
            return True
        return doubts.exist and self._is_now(key_id, new, until)

    def list(self, prefix: str = "", *, deadline: Deadline | None = None) -> Iterator[str]:
        """Yield the key ids that begin with ``prefix``, sorted; see `KeyStore.list`.

        All pages are read before the first id: S3 sorts names, which are not sorted as ids are.
        """
        until = self._api.until(deadline)
        ids = {key_id_of(self._prefix, name) for name in self._names(prefix, until)}
        yield from sorted(key_id for key_id in ids if key_id and key_id.startswith(prefix))

    def delete(self, key_id: str, *, deadline: Deadline | None = None) -> bool:
        """Delete the object of ``key_id`` with all of its versions; see `KeyStore.delete`.

        It needs the permissions ``s3:ListBucketVersions`` and ``s3:DeleteObjectVersion``: without
        the first it is not known whether there are older versions, so nothing is deleted.
        """
        name = object_name(self._prefix, key_id)
        return self._versions.delete(name, key_id, self._api.until(deadline))

    def close(self) -> None:
        """Give up connections. Idempotent."""
        self._api.close()

    def _found(self, key_id: str, deadline: Deadline) -> _Found | None:
        parameters = {
            **self._where,
            "Key": object_name(self._prefix, key_id),
            "ChecksumMode": "ENABLED",
        }
        asked = Asked(self._name, key_id, "GetObject")
        try:
            return self._api.again(asked, parameters, deadline, lambda answer: _read(asked, answer))
        except KeyServiceFailed as error:
            if error.code == "NoSuchKey":
                return None
            raise

    def _put(
        self, key_id: str, blob: bytes, condition: Mapping[str, str], deadline: Deadline
    ) -> bool:
        """Send one PutObject, and say whether the condition held."""
        parameters = {
            **self._where,
            **condition,
            "Key": object_name(self._prefix, key_id),
            "Body": _check_length(key_id, blob),
            "ChecksumAlgorithm": "SHA256",
        }
        asked = Asked(self._name, key_id, "PutObject")
        try:
            self._api.once(asked, parameters, deadline, lambda _: None)
        except KeyServiceFailed as error:
            if error.code in {"PreconditionFailed", "NoSuchKey"}:  # the latter by IfMatch only
                return False
            raise
        return True

    def _is_now(self, key_id: str, blob: bytes, deadline: Deadline) -> bool:
        found = self._found(key_id, deadline)
        return found is not None and found.blob == blob

    def _names(self, prefix: str, deadline: Deadline) -> Iterator[str]:
        asked = Asked(self._name, f"{prefix}*", "ListObjectsV2")
        parameters = {
            **self._where,
            "Prefix": object_prefix(self._prefix, prefix),
            "MaxKeys": PAGE,
        }
        token: str | None = None
        while True:
            at = {} if token is None else {"ContinuationToken": token}
            page = self._api.again(asked, {**parameters, **at}, deadline, dict)
            yield from (str(entry["Key"]) for entry in page.get("Contents", []))
            token = cast("str | None", page.get("NextContinuationToken"))
            if not page.get("IsTruncated"):
                return


class _Doubts:
    """Whether an attempt may have been done although it failed."""

    def __init__(self) -> None:
        self.exist = False

    def about(self, attempt: Callable[[], bool]) -> Callable[[], bool]:
        """Return ``attempt``, watched: only `KeyServiceUnavailable` leaves open whether it was."""

        def watched() -> bool:
            try:
                return attempt()
            except KeyServiceUnavailable:
                self.exist = True
                raise

        return watched


def _check_length(key_id: str, blob: bytes) -> bytes:
    if len(blob) > BLOB_MAX:
        raise WrappedKeyRefused(key_id, f"{len(blob)} bytes are more than {BLOB_MAX}")
    return blob


def _read(asked: Asked, answer: Mapping[str, Any]) -> _Found:
    """Return the object, not reading further than a blob can be long."""
    body, blob = answer["Body"], b""
    try:
        while len(blob) <= BLOB_MAX:
            part: bytes = body.read(BLOB_MAX + 1 - len(blob))
            if not part:  # the end, and the checksum was compared
                return _Found(blob, str(answer["ETag"]))
            blob += part
    finally:
        body.close()
    raise WrappedKeyRefused(asked.key_id, f"the object has more than {BLOB_MAX} bytes")
