"""What hands out data keys: the `KeyService` protocol and its embedded implementation."""

import threading
from typing import Protocol, Self, cast, final, runtime_checkable

from cloudcrypt.errors import CloudcryptError, DataKeyUnavailable, InvalidRequest
from cloudcrypt.keys.master import MasterSecret
from cloudcrypt.model import check_volume_id
from cloudcrypt.secret import Secret

DATA_KEY_SIZE = 32
"""Bytes of a data key of a volume. Source: Constellation."""


class KeyService(Protocol):
    """What hands out data keys. Safe to use from several threads."""

    def get_data_key(self, key_id: str, length: int) -> Secret:
        """Return the data key of ``key_id``, ``length`` bytes, the same at every call.

        Raises:
            KeyServiceError: there is none to be had.
        """
        ...


@runtime_checkable
class FindingKeyService(Protocol):
    """A key service that makes a key when it is first asked for, and can be asked not to."""

    def find_data_key(self, key_id: str, length: int) -> Secret:
        """Return the data key of ``key_id``, ``length`` bytes; nothing is made.

        Raises:
            DataKeyAbsent: there is none.
            KeyServiceError: there is none to be had.
        """
        ...


@runtime_checkable
class OpenKeyService(KeyService, Protocol):
    """A key service that holds something until it is closed; a context manager that closes it."""

    def close(self) -> None:
        """Wipe what it knows and give up its connections; it gives no keys any more. Idempotent."""
        ...

    def __enter__(self) -> Self:
        """Return self; leaving the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


class MasterSecretKeyService:
    """A key service in this process: each data key is derived from a master secret."""

    def __init__(self, master_secret: MasterSecret) -> None:
        """Use ``master_secret``, which the caller keeps and wipes."""
        self._master_secret = master_secret

    def get_data_key(self, key_id: str, length: int) -> Secret:
        """Return the data key of ``key_id``; see `KeyService.get_data_key`.

        Raises:
            InvalidRequest: the id is empty, or the length is not within 1..8160 bytes, the range of
                HKDF-SHA256 (RFC 5869).
        """
        if not key_id:
            raise InvalidRequest("key id", key_id, "not empty")
        if not 1 <= length <= 255 * 32:
            raise InvalidRequest("length", length, "1 to 8160 bytes")
        return self._master_secret.data_key(key_id, length)


@final
class LocalKeyService(OpenKeyService):
    """A key service in this process that owns its master secret, and wipes it when closed."""

    def __init__(self, master_secret: MasterSecret) -> None:
        """Use ``master_secret``, which is this object's from now on."""
        self._master_secret = master_secret
        self._service = MasterSecretKeyService(master_secret)
        self._lock = threading.Lock()
        self._closed = False

    def get_data_key(self, key_id: str, length: int) -> Secret:
        """Return the data key of ``key_id``; see `MasterSecretKeyService.get_data_key`.

        Raises:
            InvalidRequest: the id is empty, or the length out of range.
            DataKeyUnavailable: this service is closed.
        """
        # Within the lock: a key derived while the secret is being wiped would be derived of zeros.
        with self._lock:
            if self._closed:
                raise DataKeyUnavailable(key_id, "the key service is closed")
            return self._service.get_data_key(key_id, length)

    def close(self) -> None:
        """Wipe the master secret. Idempotent."""
        with self._lock:
            self._closed = True
            self._master_secret.wipe()


def bound_key_id(volume_id: str) -> str:
    """Return the key id of a volume whose policy is ``bound``.

    Raises:
        InvalidVolumeId: the volume id is not one.
    """
    return f"cloudcrypt/v1/{check_volume_id(volume_id)}"


def get_data_key(service: KeyService, key_id: str, *, existing: bool = False) -> Secret:
    """Return the 32-byte data key of ``key_id`` from ``service``, its length checked.

    Args:
        service: asked for it.
        key_id: of the key.
        existing: something is encrypted with it already: one that makes random keys is not to make
            a new one, which would open nothing. What derives keys always has them.

    Raises:
        DataKeyAbsent: there is none, and none was to be made.
        KeyServiceError: the service gave none, or one of another length; a foreign exception of the
            service becomes `DataKeyUnavailable`, its text left out.
    """
    try:
        key = cast("object", ask_for(service, key_id, DATA_KEY_SIZE, existing=existing))
    except CloudcryptError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, its text may hold a key
        reason = f"the service failed: {type(error).__name__}"
        raise DataKeyUnavailable(key_id, reason) from None
    if not isinstance(key, Secret):
        raise DataKeyUnavailable(key_id, f"a {type(key).__name__} was given, not a Secret")
    if len(key) != DATA_KEY_SIZE:
        key.wipe()
        raise DataKeyUnavailable(key_id, f"a key of {len(key)} bytes was given")
    return key


def ask_for(service: KeyService, key_id: str, length: int, *, existing: bool) -> Secret:
    """Return what ``service`` gives, unchecked; a key that is to exist is not made, if it can say.

    Raises:
        DataKeyAbsent: there is none, and none was to be made.
    """
    if existing and isinstance(service, FindingKeyService):
        return service.find_data_key(key_id, length)
    return service.get_data_key(key_id, length)
