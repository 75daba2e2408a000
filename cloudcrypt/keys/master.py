"""Master secrets: read from a file or a URI, and turned into data keys by HKDF-SHA256.

The forms are Constellation's: a JSON file ``{"key": BASE64, "salt": BASE64}``, or the URI
``kms://cluster-kms?key=BASE64URL&salt=BASE64URL`` in a file. Never from argv or the environment,
where other processes could see it.
"""

import base64
import json
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloudcrypt.errors import MasterSecretInvalid
from cloudcrypt.secret import Secret

KEY_MIN = 16
"""Fewest bytes of a master secret; 32 are recommended. Source: Constellation."""

INFO_PREFIX = b"key-"
"""What precedes a key id in the HKDF info. Source: Constellation's key service."""

_FILE_MAX = 64 * 1024


@attrs.frozen
class MasterSecret:
    """A master secret and its salt: together the key encryption key of a cluster."""

    key: Secret
    salt: Secret

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """Read a master secret from a file that holds the JSON document or the URI.

        Raises:
            MasterSecretInvalid: the file cannot be read, or is neither; its content is not
                repeated.
        """
        content = read_secret_file(path)
        if content.startswith(b"kms://"):
            return cls._from_uri(content.decode("ascii", "replace"), str(path))
        return cls._from_json(content, str(path))

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Read a master secret from a ``kms://cluster-kms`` URI.

        Raises:
            MasterSecretInvalid: it is not one; the URI is not repeated.
        """
        return cls._from_uri(uri, "the URI")

    @classmethod
    def from_bytes(cls, key: bytes | bytearray, salt: bytes | bytearray) -> Self:
        """Make a master secret of bytes; a ``bytearray`` passed in is wiped.

        Raises:
            MasterSecretInvalid: key or salt is missing or too short.
        """
        return cls._checked(key, salt, "bytes")

    def data_key(self, key_id: str, length: int) -> Secret:
        """Return HKDF-SHA256(key, salt, info = "key-" + ``key_id``), ``length`` bytes."""
        hkdf = HKDF(
            algorithm=hashes.SHA256(),
            length=length,
            salt=bytes(self.salt.reveal()),
            info=INFO_PREFIX + key_id.encode(),
        )
        return Secret(hkdf.derive(self.key.reveal()))

    def wipe(self) -> None:
        """Wipe key and salt. Idempotent."""
        self.key.wipe()
        self.salt.wipe()

    @classmethod
    def _from_json(cls, content: bytes, source: str) -> Self:
        values = _json_values(content)
        if values is None:
            reason = "not a JSON document with base64 texts key and salt"
            raise MasterSecretInvalid(source, reason)
        return cls._checked(*values, source)

    @classmethod
    def _from_uri(cls, uri: str, source: str) -> Self:
        values = _uri_values(uri)
        if values is None:
            reason = "not a kms://cluster-kms URI with base64url values key and salt, and no others"
            raise MasterSecretInvalid(source, reason)
        return cls._checked(*values, source)

    @classmethod
    def _checked(cls, key: bytes | bytearray, salt: bytes | bytearray, source: str) -> Self:
        if not key:
            raise MasterSecretInvalid(source, "missing master key")
        if not salt:
            raise MasterSecretInvalid(source, "missing salt")
        if len(key) < KEY_MIN:
            reason = f"the key has {len(key)} bytes, at least {KEY_MIN} are needed"
            raise MasterSecretInvalid(source, reason)
        return cls(Secret(key), Secret(salt))


def read_secret_file(path: Path | str) -> bytes:
    """Return the content of a file that holds a master secret or a URI, without outer spaces.

    Raises:
        MasterSecretInvalid: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(_FILE_MAX).strip()
    except OSError as error:
        raise MasterSecretInvalid(str(path), error.strerror or "unreadable") from error
    except ValueError as error:  # a NUL byte
        raise MasterSecretInvalid(str(path), "not a path") from error


# These return None rather than raise: an error that is raised while another is handled keeps it as
# its context, and the errors of json, base64 and urllib quote what they were given.


def _json_values(content: bytes) -> tuple[bytes, bytes] | None:
    """Return key and salt of a JSON document, or None if it is not one."""
    try:
        document = json.loads(content)
        key, salt = (base64.b64decode(document[name], validate=True) for name in ("key", "salt"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return key, salt


def _uri_values(uri: str) -> tuple[bytes, bytes] | None:
    """Return key and salt of a ``kms://cluster-kms`` URI, or None if it is not one."""
    try:
        parts = urlsplit(uri)
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)
        (key,), (salt,) = query.pop("key"), query.pop("salt")
        values = _base64url(key), _base64url(salt)
    except (ValueError, KeyError):
        return None
    named = (parts.scheme, parts.netloc, parts.path.strip("/"), parts.fragment)
    return None if query or named != ("kms", "cluster-kms", "", "") else values


def _base64url(text: str) -> bytes:
    """Return the bytes of base64url text, padded or not.

    Raises:
        ValueError: it is not base64url.
    """
    standard = text.translate(str.maketrans("-_", "+/"))
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
