"""What becomes of one call: checked, limited, authorised, answered and put on record."""

from collections.abc import Callable
from typing import Final, final

import attrs

from cloudcrypt.errors import CloudcryptError, HostUnready, InvalidRequest
from cloudcrypt.keys import KeyService
from cloudcrypt.keyservice.audit import AuditLog
from cloudcrypt.keyservice.callers import Caller
from cloudcrypt.keyservice.limits import Excess, Limiter
from cloudcrypt.keyservice.messages import MessageMalformed, decode_request, encode_response
from cloudcrypt.keyservice.policy import Policy
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock

ID_MAX: Final = 256
"""Characters of a key id at most: the longest of a volume has 142."""

LENGTH_MAX: Final = 1024
"""Bytes of a data key at most; those of volumes have 32."""


@attrs.frozen
class Refusal(Exception):
    """A call that gets no key: a status code of gRPC by name, and what to tell the caller.

    ``wait`` is after how many seconds the caller may ask again, where that helps.
    """

    code: str
    told: str
    wait: float | None = None


@attrs.define
class _Call:
    """What is known of a call so far, for the record."""

    caller: Caller
    key_id: str = ""
    length: int = 0
    outcome: str = "OK"
    recorded: bool = True
    unlogged: int = 0


@final
class Desk:
    """Answers calls from a key service. Thread-safe."""

    def __init__(
        self,
        keys: KeyService,
        *,
        policy: Callable[[], Policy],
        limiter: Limiter,
        audit: AuditLog,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Hand out keys of ``keys``, as ``policy`` says at the time of each call."""
        self._keys = keys
        self._policy = policy
        self._limiter = limiter
        self._audit = audit
        self._clock = clock

    def answer(self, caller: Caller, data: bytes) -> bytes:
        """Return the answer to the request ``data`` of ``caller``, as messages on the wire.

        Raises:
            Refusal: there is no key; nothing in it is secret.
        """
        begin = self._clock.monotonic()
        call = _Call(caller)
        try:
            answer = self._answer(call, data)
        except Refusal as refusal:
            call.outcome = refusal.code
            self._record(call, begin)
            raise
        self._record(call, begin)
        return answer

    def _answer(self, call: _Call, data: bytes) -> bytes:
        excess = self._limiter.admit(call.caller.account)
        if excess is not None:
            self._refuse_excess(call, excess)
        _read(call, data)
        if not self._policy().allows(call.caller, call.key_id):
            told = "the policy of the key service does not allow this key to this caller"
            raise Refusal("PERMISSION_DENIED", told)
        return self._key(call)

    @staticmethod
    def _refuse_excess(call: _Call, excess: Excess) -> None:
        call.recorded, call.unlogged = excess.unlogged is not None, excess.unlogged or 0
        raise Refusal("RESOURCE_EXHAUSTED", "calls are too frequent", excess.wait)

    def _key(self, call: _Call) -> bytes:
        # A refusal is made here and raised below: without the error of the key service as context.
        try:
            with self._keys.get_data_key(call.key_id, call.length) as key:
                if len(key) == call.length:
                    return encode_response(bytes(key.reveal()))
            refusal = Refusal("INTERNAL", "the key store failed")
        except InvalidRequest:
            refusal = Refusal("INVALID_ARGUMENT", "the key store does not take this id and length")
        except CloudcryptError as error:
            code = "UNAVAILABLE" if error.retryable else "INTERNAL"
            refusal = Refusal(code, f"the key store failed: {type(error).__name__}")
        except Exception:  # noqa: BLE001  # whatever it is, its text may hold a key
            refusal = Refusal("INTERNAL", "the key store failed")
        raise refusal

    def _record(self, call: _Call, begin: float) -> None:
        if not call.recorded:
            return
        facts: dict[str, object] = {"unlogged_before": call.unlogged} if call.unlogged else {}
        try:
            self._audit.record(
                "GetDataKey",
                caller=call.caller.name,
                address=call.caller.address,
                id=call.key_id,
                length=call.length,
                outcome=call.outcome,
                milliseconds=round(1000 * (self._clock.monotonic() - begin), 3),
                **facts,
            )
        except HostUnready:
            refusal = Refusal("INTERNAL", "the call could not be put on record")
        else:
            return
        raise refusal


def _read(call: _Call, data: bytes) -> None:
    try:
        request = decode_request(data)
    except MessageMalformed:
        request = None
    if request is None:
        raise Refusal("INVALID_ARGUMENT", "the message is not a GetDataKeyRequest")
    call.key_id, call.length = request.key_id, request.length
    if not request.key_id:
        raise Refusal("INVALID_ARGUMENT", "no data key id specified")
    if len(request.key_id) > ID_MAX or not request.key_id.isprintable():
        raise Refusal("INVALID_ARGUMENT", f"a data key id has {ID_MAX} printable characters")
    if not 1 <= request.length <= LENGTH_MAX:
        raise Refusal("INVALID_ARGUMENT", f"a data key has 1 to {LENGTH_MAX} bytes")
