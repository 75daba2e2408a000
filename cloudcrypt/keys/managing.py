"""What can be done with stored data keys: listed, wrapped anew, shredded; and who cannot do it."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import attrs

from cloudcrypt.errors import KeyServiceError, UnsupportedOperation
from cloudcrypt.keys.cache import CachingKeyService
from cloudcrypt.keys.service import KeyService


@attrs.frozen
class StoredKey:
    """A data key in a store: its id, and the hints beside it, which nothing vouches for.

    ``problem`` is why the blob is none of ours, where that is seen without the KMS.
    """

    key_id: str
    kms: str | None = None
    version: str | None = None
    problem: KeyServiceError | None = None


@attrs.frozen
class Rewrapped:
    """What became of wrapping a key anew: the hints before and after, or why it was not done."""

    key_id: str
    before: StoredKey | None = None
    after: StoredKey | None = None
    problem: KeyServiceError | None = None

    @property
    def changed(self) -> bool:
        """Whether it is wrapped by another key or version than before, as far as hints say.

        The blob itself is a new one in any case, unless there is a ``problem``.
        """
        if self.before is None or self.after is None:
            return False
        return self.after.version is None or self.before != self.after


@runtime_checkable
class KeyManager(Protocol):
    """A key service whose keys are stored, so that something can be done with them."""

    def rewrap(self, key_id: str) -> Rewrapped:
        """Wrap a key anew, with the version of the KMS's key that wraps now."""
        ...

    def rewrap_all(self, prefix: str = "") -> Iterator[Rewrapped]:
        """Wrap anew the keys whose ids begin with ``prefix``, and say of each what became of it."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredKey]:
        """Yield what is stored under ids that begin with ``prefix``, sorted by id."""
        ...

    def shred(self, key_id: str) -> bool:
        """Delete a key for good, and what it encrypts with it; False if there was none."""
        ...


def key_manager(service: KeyService, operation: str) -> KeyManager:
    """Return what manages the keys of ``service``, looking through caches.

    A cache is not told of what is shredded: it gives what it remembers until its time is over.

    Raises:
        UnsupportedOperation: its keys are derived or someone else's; the error says what to do.
    """
    while isinstance(service, CachingKeyService):
        service = service.behind
    if isinstance(service, KeyManager):
        return service
    raise UnsupportedOperation(
        f"{operation} of a key that is not stored but derived, or handed out by a key service,",
        "a derived key cannot be shredded, wrapped anew or listed: it comes back for as long as "
        "the master secret exists. To make a volume unreadable destroy its header, with all of "
        "its backups, or the master secret; for keys that a key service hands out, ask its owner",
    )
