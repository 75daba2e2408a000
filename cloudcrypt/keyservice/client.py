"""The key service as a gRPC client: Constellation's own service, or one of cloudcrypt."""

import os
import threading
from collections.abc import Iterable
from typing import Final, Self, cast, final

import grpc  # type: ignore[import-untyped]

from cloudcrypt.errors import (
    CloudcryptError,
    DataKeyUnavailable,
    InvalidRequest,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
)
from cloudcrypt.keys import OpenKeyService
from cloudcrypt.keyservice.address import Address
from cloudcrypt.keyservice.connection import Connections
from cloudcrypt.keyservice.messages import (
    PUSHBACK,
    MessageMalformed,
    Request,
    decode_response,
    encode_request,
)
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying

_DENIED: Final = ("PERMISSION_DENIED", "UNAUTHENTICATED")
_LATER: Final = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
_PAUSE_MAX: Final = 3600.0  # seconds; a service that asks for more is not waited for


@final
class ConstellationKeyService(OpenKeyService):
    """A key service that is asked over gRPC: ``/kms.API/GetDataKey``.

    One object is one connection, for any number of threads; it is made at the first call and again
    when it is lost, or when the files of the certificates change. A process that forks opens its
    key service after that: gRPC does not survive a fork, so a call in the child is an error.
    """

    def __init__(self, address: Address, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """Ask the service at ``address``. Nothing is connected yet.

        Raises:
            InvalidRequest: a certificate or key is not one.
        """
        self._address = address
        self._clock = clock
        self._connections = Connections(address, clock)
        self._pid = os.getpid()
        self._closed = threading.Event()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the key service of a ``constellation://`` URL; see `Address.from_url`.

        Raises:
            KeyUriInvalid, InvalidRequest: it is not one, or a file that it names is not.
        """
        return cls(Address.from_url(url))

    def get_data_key(self, key_id: str, length: int) -> Secret:
        """Return the data key of ``key_id``; see `KeyService.get_data_key`.

        The call ends within the timeout of the address. Until then it is made again where the
        service cannot be reached, or asks for a pause: asking for a key changes nothing.

        Raises:
            InvalidRequest: the id is empty, or the length not within 1..2^32 - 1 bytes.
            KeyDenied: the service does not give this key to this caller.
            KeyServiceUnavailable: it could not be reached, or did not answer in time.
            KeyServiceThrottled: it asked to be asked later than the timeout.
            KeyServiceFailed: it answered with an error, or not in its protocol.
            DataKeyUnavailable: the key has another length, or this object is closed or of another
                process.
        """
        data = _encoded(key_id, length)
        deadline = Deadline.after(self._address.timeout, clock=self._clock)
        key = retrying(
            lambda: self._ask(key_id, data, deadline), deadline=deadline, is_safe=_may_ask_again
        )
        if len(key) != length:
            reason = f"{length} bytes were asked for, and {len(key)} were given"
            key.wipe()
            raise DataKeyUnavailable(key_id, reason)
        return key

    def close(self) -> None:
        """Close the connection; calls in flight end with an error. Idempotent."""
        self._closed.set()
        if os.getpid() == self._pid:
            self._connections.close()

    def _ask(self, key_id: str, data: bytes, deadline: Deadline) -> Secret:
        if os.getpid() != self._pid:
            raise DataKeyUnavailable(key_id, "the key service was opened before a fork")
        if self._closed.is_set():
            raise DataKeyUnavailable(key_id, "the key service is closed")
        # Errors are made here and raised below: gRPC's own would be their context, with metadata
        # and a debug text, and do not survive pickling.
        try:
            return Secret(decode_response(self._connections.call(data, deadline.remaining)))
        except grpc.RpcError as error:
            failure = self._failure(key_id, error)
        except MessageMalformed:
            failure = self._failed(key_id, "INTERNAL", "the answer is not a GetDataKeyResponse")
        except ValueError:  # closed meanwhile
            failure = DataKeyUnavailable(key_id, "the key service is closed")
        raise failure

    def _failure(self, key_id: str, error: grpc.RpcError) -> CloudcryptError:
        code: str = error.code().name
        reason: str = error.details() or code
        target = self._address.target
        if self._closed.is_set():
            return DataKeyUnavailable(key_id, "the key service is closed")
        if code in _DENIED:
            return KeyDenied(target, key_id, reason)
        if code in _LATER:
            return KeyServiceUnavailable(target, key_id, f"{code}: {reason}")
        if code == "RESOURCE_EXHAUSTED":
            return KeyServiceThrottled(target, key_id, _pause(error))
        return self._failed(key_id, code, reason)

    def _failed(self, key_id: str, code: str, reason: str) -> KeyServiceFailed:
        return KeyServiceFailed(self._address.target, key_id, code, reason)


def _encoded(key_id: str, length: int) -> bytes:
    if not key_id:
        raise InvalidRequest("key id", key_id, "not empty")
    if not 1 <= length < 1 << 32:
        raise InvalidRequest("length", length, "1 to 2^32 - 1 bytes")
    try:
        return encode_request(Request(key_id, length))
    except (ValueError, TypeError):
        refusal = InvalidRequest("key id", key_id, "Unicode")
    raise refusal


def _may_ask_again(error: CloudcryptError) -> bool:
    return isinstance(error, KeyServiceUnavailable | KeyServiceThrottled)


def _pause(error: grpc.RpcError) -> float | None:
    """Return the seconds after which the service says to ask again."""
    metadata = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for name, value in metadata:
        if name == PUSHBACK:
            text = value if isinstance(value, str) else ""
            return min(int(text) / 1000, _PAUSE_MAX) if text.isascii() and text.isdigit() else None
    return None
