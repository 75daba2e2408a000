"""What an external key management system and a store of wrapped keys offer: two small protocols.

Together they are an envelope: a random data key is wrapped by a key that never leaves the KMS, and
what comes out, the *blob*, is kept in a store under the key id. The store is not trusted with the
content: the wrap is authenticated, and the key id is part of what is authenticated, so that a blob
under another id does not unwrap.

An adapter is a class that registers under the scheme of its URLs, in the entry-point group
``cloudcrypt.kms`` or ``cloudcrypt.key_stores``; see `KMSAdapter` and `KeyStoreAdapter`. How a key
id becomes associated data, and an object's name, is the same for all: see the functions below.
"""

from collections.abc import Iterator
from typing import ClassVar, Final, Protocol
from urllib.parse import unquote

import attrs

from cloudcrypt.errors import InvalidRequest, KeyServiceUnavailable
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline

TIMEOUT: Final = 30.0
"""Seconds that a call may take, all of its attempts together, where nobody says: an answer takes
milliseconds, and a host that starts can wait out a short outage."""

BLOB_MAX = 64 * 1024
"""Most bytes of a blob: of what a KMS gives for 32 bytes, many times over. A longer one is not read
to its end."""

KEY_ID_MAX: Final = 255
"""Most characters of a key id: twice those of a volume id."""

OBJECT_NAME_MAX: Final = 512
"""Most characters of an object's name, half of what S3, Cloud Storage and Blob Storage take."""

_DOMAIN: Final = b"cloudcrypt-wrapped-key/1\0"
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


@attrs.frozen
class WrappingKey:
    """The key of a KMS that wraps: what to show, and what to record beside a blob.

    ``name`` is the KMS's own, complete name of the key: it does not change when the key is rotated.
    ``version`` is the one that wraps now, or None where the KMS does not say.
    """

    name: str
    version: str | None


class KMS(Protocol):
    """Wraps and unwraps small secrets with a key that stays inside. Safe to use from threads.

    Every call ends by its deadline. Errors are `KeyServiceError`: `KeyServiceUnavailable` and
    `KeyServiceThrottled` may be tried again, `KeyDenied` is a question of permissions.
    """

    def wrap(self, plaintext: Secret, key_id: str, *, deadline: Deadline | None = None) -> bytes:
        """Return ``plaintext`` wrapped with authentication, ``key_id`` being associated data.

        Two calls give two blobs, both good: asking again after a lost answer is safe.

        Raises:
            KeyServiceError: as the KMS says; nothing is returned that does not unwrap.
        """
        ...

    def unwrap(self, blob: bytes, key_id: str, *, deadline: Deadline | None = None) -> Secret:
        """Return what was wrapped under the same ``key_id``; the caller checks its length.

        A blob of an older version of the key unwraps as long as the KMS keeps that version.

        Raises:
            WrappedKeyRefused: the blob is truncated, changed, of another id or of another key.
            KeyServiceError: as the KMS says.
        """
        ...

    def key(self, *, deadline: Deadline | None = None) -> WrappingKey:
        """Return which key wraps now.

        Raises:
            KeyServiceError: the KMS does not have it, or does not let this caller use it.
        """
        ...

    def close(self) -> None:
        """Give up connections. Idempotent."""
        ...


class KeyStore(Protocol):
    """Keeps blobs under key ids, durably. Safe to use from threads and from many hosts.

    Every call ends by its deadline. An error is never "absent": `get` returns None only if the
    store has said so. A blob longer than `BLOB_MAX` is `WrappedKeyRefused`.
    """

    def get(self, key_id: str, *, deadline: Deadline | None = None) -> bytes | None:
        """Return the blob of ``key_id``, or None if there is none: read after every write.

        Raises:
            KeyServiceError: the store did not say.
        """
        ...

    def create(self, key_id: str, blob: bytes, *, deadline: Deadline | None = None) -> bool:
        """Store the first blob of ``key_id``, once and for all callers; False if there is one.

        When it returns True, the blob is durable. Of callers that race, one gets True. After a lost
        answer, ask again and, at False, `get`: what is there is one's own blob or the winner's, and
        both are good.

        Raises:
            KeyServiceError: it is not known whether the blob was stored.
        """
        ...

    def replace(
        self, key_id: str, old: bytes, new: bytes, *, deadline: Deadline | None = None
    ) -> bool:
        """Store ``new`` if the blob is exactly ``old``; False if it is another one, or none.

        For wrapping anew. After a lost answer, `get` tells whether it is ``new`` by now.

        Raises:
            KeyServiceError: it is not known whether the blob was replaced.
        """
        ...

    def list(self, prefix: str = "", *, deadline: Deadline | None = None) -> Iterator[str]:
        """Yield the key ids that begin with ``prefix``, sorted, page by page.

        What is stored or deleted meanwhile may be missing or shown.

        Raises:
            KeyServiceError: the store did not say, or not all; also between two ids.
        """
        ...

    def delete(self, key_id: str, *, deadline: Deadline | None = None) -> bool:
        """Delete the blob of ``key_id`` for good; False if there was none. Idempotent.

        This shreds the key: what it encrypted cannot be read any more. A store that keeps older
        versions deletes them as well, or raises.

        Raises:
            KeyServiceError: it is not known whether it was deleted.
        """
        ...

    def close(self) -> None:
        """Give up connections. Idempotent."""
        ...


class KMSAdapter(Protocol):
    """What registers in ``cloudcrypt.kms``: opens the KMS that a URL names."""

    secret_parameters: ClassVar[frozenset[str]]
    """The parameters of a URL whose values are secrets: a command line does not take them."""

    @staticmethod
    def from_url(url: str) -> KMS:
        """Return the KMS of ``url``, without a request to it where that can be.

        Raises:
            KeyUriInvalid: the URL is malformed; it is not repeated.
        """
        ...


class KeyStoreAdapter(Protocol):
    """What registers in ``cloudcrypt.key_stores``: opens the store that a URL names."""

    secret_parameters: ClassVar[frozenset[str]]
    """The parameters of a URL whose values are secrets: a command line does not take them."""

    @staticmethod
    def from_url(url: str) -> KeyStore:
        """Return the store of ``url``, without a request to it where that can be.

        Raises:
            KeyUriInvalid: the URL is malformed; it is not repeated.
        """
        ...


def check_key_id(key_id: str) -> str:
    """Return ``key_id``, the text that names a data key; two that differ anywhere are two keys.

    Raises:
        InvalidRequest: it is empty, longer than `KEY_ID_MAX` characters, or has one that cannot be
            printed.
    """
    if not key_id or len(key_id) > KEY_ID_MAX or not key_id.isprintable():
        rule = f"1 to {KEY_ID_MAX} printable characters"
        raise InvalidRequest("key id", key_id, rule)
    return key_id


def check_deadline(deadline: Deadline | None, service: str, key_id: str) -> None:
    """Return unless it is too late to begin: for what answers at once, or not over a network.

    Raises:
        KeyServiceUnavailable: the deadline has passed.
        OperationCancelled: the caller cancelled.
    """
    if deadline is not None:
        deadline.check()
        if deadline.has_passed:
            raise KeyServiceUnavailable(service, key_id, "the time is over")


def associated_data(key_id: str) -> bytes:
    """Return what a KMS that takes bytes authenticates along with a key: a domain, and the id.

    The domain keeps what was wrapped with the same key for another purpose from being a data key.

    Raises:
        InvalidRequest: the id is not one.
    """
    return _DOMAIN + check_key_id(key_id).encode()


def object_name(prefix: str, key_id: str) -> str:
    """Return the name of the object that has the blob of ``key_id``: ``prefix``, and the id.

    Letters, digits, ``_`` and ``-`` stand for themselves, and so do dots within and slashes
    between segments. Every other character is written in percent-encoding (RFC 3986): no segment is
    empty, begins or ends with a dot, and no two ids have one name.

    Raises:
        InvalidRequest: the id is not one, or its name exceeds `OBJECT_NAME_MAX` characters.
    """
    name = prefix + "".join(_escaped(check_key_id(key_id)))
    if len(name) > OBJECT_NAME_MAX:
        rule = f"at most {OBJECT_NAME_MAX} characters as the name of an object, {len(name)} here"
        raise InvalidRequest("key id", key_id, rule)
    return name


def object_prefix(prefix: str, id_prefix: str) -> str:
    """Return what the names of all ids that begin with ``id_prefix`` begin with.

    Other names may begin with it as well: what `key_id_of` makes of a name is to be compared.
    """
    # The last character is written in the light of what follows it, which differs.
    return prefix + "".join(_escaped(id_prefix)[:-1])


def key_id_of(prefix: str, name: str) -> str | None:
    """Return the key id whose `object_name` is ``name``; None if that of none is."""
    try:
        key_id = unquote(name.removeprefix(prefix), errors="strict")
        return key_id if object_name(prefix, key_id) == name else None
    except (UnicodeDecodeError, InvalidRequest):
        return None


def _escaped(text: str) -> list[str]:
    """Return the characters of ``text``, each as it is written in an object's name."""
    around = f"/{text}/"
    return [
        character if _is_plain(character, around[at], around[at + 2]) else _percent(character)
        for at, character in enumerate(text)
    ]


def _is_plain(character: str, before: str, after: str) -> bool:
    return character in _PLAIN or (character in "./" and "/" not in {before, after})


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
