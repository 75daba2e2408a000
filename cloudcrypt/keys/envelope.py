"""Random data keys, wrapped by a KMS and kept in a store: a key service of two parts."""

import functools
import os
from collections.abc import Callable, Iterator
from typing import Final, TypeVar, final

from cloudcrypt.errors import (
    DataKeyAbsent,
    DataKeyUnavailable,
    InvalidRequest,
    KeyDenied,
    KeyServiceError,
    KeyServiceFailed,
    WrappedKeyRefused,
)
from cloudcrypt.keys.managing import Rewrapped, StoredKey
from cloudcrypt.keys.service import OpenKeyService
from cloudcrypt.keys.wrapped import WrappedKey
from cloudcrypt.kms import KMS, TIMEOUT, KeyStore, check_deadline, check_key_id
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying

T = TypeVar("T")

LENGTH_MAX: Final = 1024
"""Bytes of a data key at most; those of volumes have 32. The same as over gRPC."""

AWAY: Final = 3
"""Keys in a row after whose timeouts nothing more is waited for: one can be an accident."""


@final
class EnvelopeKeyService(OpenKeyService):
    """Hands out keys that are drawn at random once, and stored before anybody gets them.

    Of callers that race for a new id, on any number of hosts, one stores its key, and all get that
    one. What is stored is bound to its id by the KMS: swapped, changed or truncated it is refused.
    Nothing is kept in memory; `cloudcrypt.keys.CachingKeyService` does, where that is wanted.
    Thread-safe.
    """

    def __init__(
        self,
        kms: KMS,
        store: KeyStore,
        *,
        store_name: str | None = None,
        timeout: float = TIMEOUT,
        clock: Clock = SYSTEM_CLOCK,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Use ``kms`` and ``store``, which are this object's from now on.

        Args:
            kms: wraps and unwraps.
            store: keeps what was wrapped.
            store_name: what errors call the store; its repr by default.
            timeout: seconds for a key, all requests to both together.
            clock: tells the time.
            randomness: gives so many bytes of a new key.
        """
        self.kms = kms
        self.store = store
        self._store_name = repr(store) if store_name is None else store_name
        self._timeout = timeout
        self._clock = clock
        self._randomness = randomness
        self._closed = False

    def get_data_key(self, key_id: str, length: int) -> Secret:
        """Return the data key of ``key_id``; at the first time it is made.

        Raises:
            InvalidRequest: the id is not one, or the length not within 1..`LENGTH_MAX` bytes.
            WrappedKeyRefused: what is stored was not wrapped for this id, by this KMS.
            KeyServiceFailed: the stored key has another length, or the store contradicts itself.
            KeyServiceError: as KMS and store say.
        """
        _check_length(length)
        return self._tried(key_id, lambda deadline: self._get_or_make(key_id, length, deadline))

    def find_data_key(self, key_id: str, length: int) -> Secret:
        """Return the data key of ``key_id``, which was made before; nothing is made.

        Raises:
            DataKeyAbsent: there is none: it was never made, or was shredded, or is lost.
            KeyServiceError: as for `get_data_key`.
        """
        _check_length(length)
        return self._tried(key_id, lambda deadline: self._find(key_id, length, deadline))

    def rewrap(self, key_id: str) -> Rewrapped:
        """Wrap the key anew with the version that wraps now; the key itself stays the same.

        The old blob is replaced in one step, after the new one was seen to unwrap. It is safe to be
        killed meanwhile, to race, and to do it again.

        Raises:
            DataKeyAbsent: there is no such key.
            KeyServiceError: as for `get_data_key`; what was stored before is still stored.
        """
        return self._tried(key_id, lambda deadline: self._rewrap(key_id, deadline))

    def rewrap_all(self, prefix: str = "") -> Iterator[Rewrapped]:
        """Wrap anew all keys whose ids begin with ``prefix``; one that fails does not stop it.

        Each is said something of. When `AWAY` in a row have waited out the timeout, the services
        count as away: the rest is not tried, and has the problem of the last one.

        Raises:
            KeyServiceError: the store does not say which there are.
        """
        waited, away = 0, None
        for key_id in self._ids(prefix):
            try:
                yield self.rewrap(key_id) if away is None else Rewrapped(key_id, problem=away)
                waited = 0
            except KeyServiceError as problem:
                yield Rewrapped(key_id, problem=problem)
                waited = waited + 1 if problem.retryable else 0
                away = problem if waited == AWAY else away

    def list(self, prefix: str = "") -> Iterator[StoredKey]:
        """Yield what is stored under ids that begin with ``prefix``; the KMS is not asked.

        One that the store refuses to show has that as its problem.

        Raises:
            KeyServiceError: as the store says.
        """
        for key_id in self._ids(prefix):
            try:
                blob = self._tried(key_id, functools.partial(self._blob, key_id))
                if blob is not None:
                    yield _hints(key_id, WrappedKey.from_bytes(key_id, blob))
            except (KeyDenied, KeyServiceFailed, WrappedKeyRefused) as problem:
                yield StoredKey(key_id, problem=problem)

    def shred(self, key_id: str) -> bool:
        """Delete what is stored under ``key_id``, for good; False if there was nothing.

        What the key encrypts cannot be read any more by who has not got the key in memory, or a
        copy of the blob together with the key of the KMS.

        Raises:
            KeyServiceError: it is not known whether it was deleted.
        """
        return self._tried(key_id, lambda by: self.store.delete(key_id, deadline=by))

    def close(self) -> None:
        """Close KMS and store. Idempotent."""
        self._closed = True
        try:
            self.kms.close()
        finally:
            self.store.close()

    def __repr__(self) -> str:
        """Name both parts."""
        return f"EnvelopeKeyService({self.kms!r}, {self.store!r})"

    def _tried(self, key_id: str, attempt: Callable[[Deadline], T]) -> T:
        """Return what ``attempt`` returns, made again while that helps and there is time."""
        check_key_id(key_id)
        if self._closed:
            raise DataKeyUnavailable(key_id, "the key service is closed")
        deadline = self._deadline()
        return retrying(lambda: attempt(deadline), deadline=deadline)

    def _deadline(self) -> Deadline:
        return Deadline.after(self._timeout, clock=self._clock)

    def _ids(self, prefix: str) -> tuple[str, ...]:
        if self._closed:
            raise DataKeyUnavailable(prefix, "the key service is closed")
        deadline = self._deadline()
        return retrying(
            lambda: tuple(self.store.list(prefix, deadline=deadline)), deadline=deadline
        )

    def _get_or_make(self, key_id: str, length: int, deadline: Deadline) -> Secret:
        blob = self._blob(key_id, deadline)
        if blob is not None:
            return self._unwrapped(key_id, blob, length, deadline)
        return self._make(key_id, length, deadline)

    def _find(self, key_id: str, length: int, deadline: Deadline) -> Secret:
        blob = self._blob(key_id, deadline)
        if blob is None:
            raise DataKeyAbsent(key_id, self._store_name)
        return self._unwrapped(key_id, blob, length, deadline)

    def _make(self, key_id: str, length: int, deadline: Deadline) -> Secret:
        """Draw a key, store it unless another one is stored, and return what is stored."""
        with Secret(bytearray(self._randomness(length))) as key:
            blob = self._wrapped(key_id, key, deadline).to_bytes()
            is_first = self.store.create(key_id, blob, deadline=deadline)
            stored = self._blob(key_id, deadline)
            if stored is None:
                reason = "it says that the key is absent, although it is stored"
                raise KeyServiceFailed(self._store_name, key_id, "absence", reason)
            if is_first and stored == blob:
                return key.copy()
            # Another caller was first, or this one, by a request whose answer was lost.
            winner = self._unwrapped(key_id, stored, length, deadline)
            if is_first and winner != key:
                winner.wipe()
                reason = "it has stored a key, and holds another one: it does not keep to 'create'"
                raise KeyServiceFailed(self._store_name, key_id, "creation", reason)
            return winner

    def _rewrap(self, key_id: str, deadline: Deadline) -> Rewrapped:
        while True:
            old = self._blob(key_id, deadline)
            if old is None:
                raise DataKeyAbsent(key_id, self._store_name)
            with self._unwrapped(key_id, old, None, deadline) as key:
                wrapped = self._wrapped(key_id, key, deadline)
            new = wrapped.to_bytes()
            if (
                self.store.replace(key_id, old, new, deadline=deadline)
                or self._blob(key_id, deadline) == new  # after an answer that was lost
            ):
                before = WrappedKey.from_bytes(key_id, old)
                return Rewrapped(key_id, _hints(key_id, before), _hints(key_id, wrapped))
            # Another caller has replaced it meanwhile: with what, only the KMS can tell.
            check_deadline(deadline, self._store_name, key_id)

    def _blob(self, key_id: str, deadline: Deadline) -> bytes | None:
        return self.store.get(key_id, deadline=deadline)

    def _wrapped(self, key_id: str, key: Secret, deadline: Deadline) -> WrappedKey:
        """Return ``key`` wrapped, and seen to unwrap: nothing that does not is ever stored."""
        try:
            hint = self.kms.key(deadline=deadline)
        except KeyDenied:  # a right of its own, which wrapping does not need
            hint = None
        blob = self.kms.wrap(key, key_id, deadline=deadline)
        with self.kms.unwrap(blob, key_id, deadline=deadline) as again:
            if again != key:
                raise WrappedKeyRefused(key_id, "what the KMS has just wrapped is another key")
        name, version = (None, None) if hint is None else (hint.name, hint.version)
        return WrappedKey.from_bytes(key_id, WrappedKey(blob, name, version).to_bytes())

    def _unwrapped(
        self, key_id: str, blob: bytes, length: int | None, deadline: Deadline
    ) -> Secret:
        """Return the key in a blob; it must be of ``length`` bytes, where that is given."""
        wrapped = WrappedKey.from_bytes(key_id, blob).wrapped
        key = self.kms.unwrap(wrapped, key_id, deadline=deadline)
        found = len(key)
        if found != length and (length is not None or not 1 <= found <= LENGTH_MAX):
            key.wipe()
            asked = "1 to 1024" if length is None else str(length)
            reason = f"the stored key has {found} bytes, and {asked} were asked for"
            raise KeyServiceFailed(self._store_name, key_id, "length", reason)
        return key


def _check_length(length: int) -> None:
    if not 1 <= length <= LENGTH_MAX:
        raise InvalidRequest("length", length, f"1 to {LENGTH_MAX} bytes")


def _hints(key_id: str, wrapped: WrappedKey) -> StoredKey:
    return StoredKey(key_id, wrapped.kms, wrapped.version)
