"""What Vault answers, as errors of key services: by HTTP status, and by what it says of a blob.

Vault has no machine codes. The texts are those of its transit engine (Vault's source,
``sdk/helper/keysutil/policy.go``), the statuses those of "HTTP status codes" in its documentation.
"""

from collections.abc import Sequence
from typing import Final, cast

import attrs
from requests import Response

from cloudcrypt.errors import (
    Answer,
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
    WrappedKeyRefused,
)

_REFUSED: Final = (
    "message authentication failed",  # of Go: another context, another key, or changed bytes
    "invalid ciphertext",
    "no such key version",
)
"""What the engine says of a ciphertext that this key did not make in this context."""

_TOO_OLD: Final = "disallowed by policy (too old)"
_LATER: Final = frozenset({301, 302, 307, 308, 408, 412, 472, 473})
"""A standby that sends on to the active node; one whose state is behind; replicas. And all from 500
on: sealed, not initialised, or in front of it something that cannot reach it."""


@attrs.frozen
class Asked:
    """What was asked of Vault, as far as an error has to name it."""

    service: str
    key_id: str
    action: str


def translated(response: Response, asked: Asked) -> CloudcryptError:
    """Return what an answer other than success is."""
    answer = _answer_of(response)
    said, reason = answer.message, f"{asked.action}: HTTP {response.status_code}"
    if asked.action == "decrypt" and any(text in said for text in _REFUSED):
        reason = f"{asked.service} does not decrypt it"
        return WrappedKeyRefused(asked.key_id, reason, answer=answer)
    if _TOO_OLD in said:
        reason = "it was wrapped by a version below the key's min_decryption_version"
        return _failed(asked, "VersionTooOld", reason, answer)
    if "missing client token" in said:
        return KeyDenied(asked.service, asked.key_id, reason, answer=answer)
    return _by_status(response.status_code, reason, asked, answer)


def unreadable(asked: Asked, what: str) -> KeyServiceFailed:
    """Return the error of an answer without something that it must have."""
    reason = f"{asked.action}: there is no {what} in the answer, or not the right one"
    return KeyServiceFailed(asked.service, asked.key_id, "MalformedAnswer", reason)


def _by_status(status: int, reason: str, asked: Asked, answer: Answer) -> CloudcryptError:
    if status in {401, 403}:
        return KeyDenied(asked.service, asked.key_id, reason, answer=answer)
    if status == 429:
        return KeyServiceThrottled(asked.service, asked.key_id, answer=answer)
    if status in _LATER or status >= 500:
        return KeyServiceUnavailable(asked.service, asked.key_id, reason, answer=answer)
    if status == 404:
        reason = f"{asked.action}: there is no such key, or no engine"
    return _failed(asked, str(status), reason, answer)


def _failed(asked: Asked, code: str, reason: str, answer: Answer) -> KeyServiceFailed:
    return KeyServiceFailed(asked.service, asked.key_id, code, reason, answer=answer)


def _answer_of(response: Response) -> Answer:
    wait = response.headers.get("Retry-After", "")
    return Answer(
        code=str(response.status_code),
        message="; ".join(_errors(response)),
        status=response.status_code,
        retry_after=float(wait) if wait.isascii() and wait.isdigit() else None,
    )


def _errors(response: Response) -> Sequence[str]:
    """Return what Vault says, or nothing where that is not in its form."""
    try:
        document: object = response.json()
    except ValueError:
        return ()
    if not isinstance(document, dict):
        return ()
    errors = cast("dict[str, object]", document).get("errors")
    return (
        [str(error) for error in cast("list[object]", errors)] if isinstance(errors, list) else ()
    )
