"""`AwsKms`: data keys are wrapped by a symmetric key of AWS KMS."""

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self, TypeVar, final

import boto3.session

from cloudcrypt.errors import KeyServiceFailed, KeyUriInvalid, WrappedKeyRefused
from cloudcrypt.kms import TIMEOUT, WrappingKey, check_key_id
from cloudcrypt.secret import Secret
from cloudcrypt.urls import Query
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline
from cloudcrypt_aws._keys_client import Api
from cloudcrypt_aws._keys_errors import Asked
from cloudcrypt_aws._keys_logging import quiet
from cloudcrypt_aws._keys_url import SECRET_PARAMETERS, Access

T = TypeVar("T")

SCHEME: Final = "aws-kms"
KIND: Final = "aws-kms://KEY?region=REGION"
"""What the URL is called in errors."""

CONTEXT: Final = "cloudcrypt:key-id"
"""The name of the key id in the encryption context: a policy can ask for it by
``kms:EncryptionContext:cloudcrypt:key-id``."""

PLAINTEXT_MAX: Final = 4096
"""Bytes that KMS encrypts at most (AWS KMS API reference, Encrypt)."""
CIPHERTEXT_MAX: Final = 6144
"""Bytes that KMS decrypts at most (AWS KMS API reference, Decrypt)."""

ALGORITHM: Final = "SYMMETRIC_DEFAULT"
"""AES-256-GCM, the one algorithm with an encryption context. It is named in each request: KMS then
refuses an asymmetric key, whose ciphertexts anybody with its public key can make."""

_MOVED: Final = frozenset(
    {
        "DisabledException",
        "IncorrectKeyException",
        "KMSInvalidStateException",
        "NotFoundException",
    }
)
"""What KMS says where an alias may have been given to another key since it was looked up."""

_ID: Final = r"(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_NAME: Final = rf"(?:{_ID}|alias/[A-Za-z0-9/_-]{{1,250}})"
_ARN: Final = r"arn:[a-z-]{1,20}:kms:(?P<region>[a-z0-9-]{1,40}):[0-9]{12}:"
_KEY: Final = re.compile(rf"{_NAME}|{_ARN}(?:key/{_ID}|alias/[A-Za-z0-9/_-]{{1,250}})", re.ASCII)
_KEY_ARN: Final = re.compile(rf"{_ARN}key/{_ID}", re.ASCII)


@final
class AwsKms:
    """A key of AWS KMS; implements `cloudcrypt.kms.KMS`. Safe to use from threads and after a fork.

    The key id is the encryption context: KMS authenticates it, writes it to CloudTrail, and shows
    it to policies. What is unwrapped must have been wrapped by this very key: KMS would decrypt by
    any key that the caller may use, and a blob that somebody else wrapped would pass.
    """

    secret_parameters: ClassVar[frozenset[str]] = SECRET_PARAMETERS

    def __init__(
        self,
        key: str,
        *,
        region: str | None = None,
        access_key_id: str | None = None,
        access_key: Secret | None = None,
        session: boto3.session.Session | None = None,
        endpoint: str | None = None,
        timeout: float = TIMEOUT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Connect to nothing yet.

        Args:
            key: the key's id or ARN, or an alias, ``alias/NAME``, or its ARN.
            region: of the key; None is that of the ARN, of the session or of the environment.
            access_key_id: of a static access key; None leaves it to boto3's usual chain.
            access_key: the secret part of it.
            session: with other credentials.
            endpoint: the URL of KMS, if it is not the usual one of the region.
            timeout: seconds of a call, all of its attempts together.
            clock: what waits happen on.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        self._key = key
        self._name = f"{SCHEME}://{key}"
        region = _region(key, region)
        access = Access(KIND, region, endpoint, timeout, access_key_id, access_key)
        self._api = Api("kms", access, session, clock)
        self._arn = key if _KEY_ARN.fullmatch(key) else None
        self._lock = threading.Lock()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open ``aws-kms://KEY?region=&endpoint=&timeout=&accessKeyID=&accessKey=``.

        All but KEY are optional; see the constructor.

        Raises:
            KeyUriInvalid: it is not such a URL; it is not repeated.
        """
        head, _, text = url.partition("?")
        scheme, _, key = head.partition("://")
        if scheme != SCHEME or "#" in text:
            raise KeyUriInvalid(KIND, "scheme and key, then parameters only")
        query = Query(KIND, text)
        access = Access.take(query)
        query.finish()
        return cls(
            key,
            region=access.region,
            access_key_id=access.access_key_id,
            access_key=access.access_key,
            endpoint=access.endpoint,
            timeout=access.timeout,
        )

    def __repr__(self) -> str:
        """Name the key, and no credentials."""
        return f"<AwsKms {self._name}>"

    def wrap(self, plaintext: Secret, key_id: str, *, deadline: Deadline | None = None) -> bytes:
        """Return ``plaintext``, at most 4096 bytes, wrapped; see `KMS.wrap`."""
        asked = Asked(self._name, check_key_id(key_id), "Encrypt")
        until = self._api.until(deadline)
        if not 1 <= len(plaintext) <= PLAINTEXT_MAX:
            code, rule = "ValidationException", f"KMS encrypts 1 to {PLAINTEXT_MAX} bytes"
            raise KeyServiceFailed(self._name, key_id, code, rule)
        return self._by_key(asked, until, lambda arn: self._encrypted(asked, plaintext, arn, until))

    def unwrap(self, blob: bytes, key_id: str, *, deadline: Deadline | None = None) -> Secret:
        """Return what was wrapped by this key under ``key_id``; see `KMS.unwrap`."""
        asked = Asked(self._name, check_key_id(key_id), "Decrypt")
        until = self._api.until(deadline)
        if not 1 <= len(blob) <= CIPHERTEXT_MAX:
            reason = f"{len(blob)} bytes are no ciphertext of {SCHEME}"
            raise WrappedKeyRefused(key_id, reason)
        return self._by_key(asked, until, lambda arn: self._decrypted(asked, blob, arn, until))

    def key(self, *, deadline: Deadline | None = None) -> WrappingKey:
        """Return the key's ARN, and which key material wraps now, where KMS says so."""
        asked = Asked(self._name, "the wrapping key", "DescribeKey")
        metadata = self._described(asked, self._api.until(deadline))
        material = metadata.get("CurrentKeyMaterialId")
        return WrappingKey(str(metadata["Arn"]), None if material is None else str(material))

    def close(self) -> None:
        """Give up connections. Idempotent."""
        self._api.close()

    def _by_key(self, asked: Asked, deadline: Deadline, use: Callable[[str], T]) -> T:
        """Return what ``use`` makes of the key; again if an alias has another key by now."""
        try:
            return use(self._pinned(asked, deadline))
        except (KeyServiceFailed, WrappedKeyRefused) as error:
            if error.cloud_code not in _MOVED or not self._has_moved(asked, deadline):
                raise
        return use(self._pinned(asked, deadline))

    def _encrypted(self, asked: Asked, plaintext: Secret, arn: str, deadline: Deadline) -> bytes:
        parameters = {
            "KeyId": arn,
            "Plaintext": bytes(plaintext.reveal()),
            "EncryptionContext": {CONTEXT: asked.key_id},
            "EncryptionAlgorithm": ALGORITHM,
        }

        def read(answer: Mapping[str, Any]) -> bytes:
            blob: object = answer.get("CiphertextBlob")
            if not isinstance(blob, bytes) or not 1 <= len(blob) <= CIPHERTEXT_MAX:
                raise _unreadable(asked, "CiphertextBlob")
            if answer.get("KeyId") != arn:
                raise _unreadable(asked, "KeyId")
            return blob

        with quiet():
            return self._api.again(asked, parameters, deadline, read)

    def _decrypted(self, asked: Asked, blob: bytes, arn: str, deadline: Deadline) -> Secret:
        parameters = {
            "KeyId": arn,
            "CiphertextBlob": blob,
            "EncryptionContext": {CONTEXT: asked.key_id},
            "EncryptionAlgorithm": ALGORITHM,
        }

        def read(answer: Mapping[str, Any]) -> Secret:
            value: object = answer.get("Plaintext")
            if not isinstance(value, bytes) or not value:
                raise _unreadable(asked, "Plaintext")
            if answer.get("KeyId") != arn:
                raise WrappedKeyRefused(asked.key_id, "another key of KMS has wrapped it")
            return Secret(value)

        with quiet():
            return self._api.again(asked, parameters, deadline, read)

    def _pinned(self, asked: Asked, deadline: Deadline) -> str:
        """Return the ARN of the key, looked up once."""
        if self._arn is None:
            self._described(Asked(asked.service, asked.key_id, "DescribeKey"), deadline)
        with self._lock:
            return str(self._arn)

    def _has_moved(self, asked: Asked, deadline: Deadline) -> bool:
        """Look an alias up again, and say whether it is that of another key by now."""
        if "alias/" not in self._key:
            return False
        before = self._arn
        self._described(Asked(asked.service, asked.key_id, "DescribeKey"), deadline)
        return before != self._arn

    def _described(self, asked: Asked, deadline: Deadline) -> Mapping[str, Any]:
        """Return what KMS says of the key, if it is one that can wrap, and keep its ARN."""

        def read(answer: Mapping[str, Any]) -> Mapping[str, Any]:
            metadata: Mapping[str, Any] = answer.get("KeyMetadata") or {}
            if not _KEY_ARN.fullmatch(str(metadata.get("Arn"))):
                raise _unreadable(asked, "KeyMetadata")
            return metadata

        metadata = self._api.again(asked, {"KeyId": self._key}, deadline, read)
        spec, usage = metadata.get("KeySpec"), metadata.get("KeyUsage")
        if (spec, usage) != (ALGORITHM, "ENCRYPT_DECRYPT"):
            rule = f"{spec} for {usage}, not {ALGORITHM} for ENCRYPT_DECRYPT"
            raise KeyServiceFailed(self._name, asked.key_id, "InvalidKeyUsageException", rule)
        with self._lock:
            self._arn = str(metadata["Arn"])
        return metadata


def _region(key: str, region: str | None) -> str | None:
    """Return the region, which an ARN names as well."""
    found = _KEY.fullmatch(key)
    if found is None:
        raise KeyUriInvalid(KIND, "KEY is a key id or alias/NAME, or the ARN of either")
    if found["region"] is not None and region not in {None, found["region"]}:
        raise KeyUriInvalid(KIND, "region is another one than that of the ARN")
    return region or found["region"]


def _unreadable(asked: Asked, name: str) -> KeyServiceFailed:
    reason = f"{asked.action}: there is no {name} in the answer, or not the right one"
    return KeyServiceFailed(asked.service, asked.key_id, "MalformedAnswer", reason)
