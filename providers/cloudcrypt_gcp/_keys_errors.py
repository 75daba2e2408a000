"""What Cloud KMS and Cloud Storage answer, as errors of key services.

Cloud KMS has one word for each error (``INVALID_ARGUMENT``, of google.rpc.Code); HTTP says less,
400 is three of them. Cloud Storage has the HTTP status, and a reason beside it. No error of the SDK
is a cause of one of ours: it holds the request, and that of Cloud KMS has the key in it.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import attrs
import requests
from google.api_core.exceptions import GoogleAPICallError
from google.auth import exceptions as auth
from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

from cloudcrypt.errors import (
    Answer,
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
)
from cloudcrypt.waiting import Deadline

ATTEMPT_MAX: Final = 10.0
"""Seconds that one request may take at most: both services answer within a second, and what hangs
must leave time for another."""


@attrs.frozen
class Asked:
    """What was asked, as far as an error has to name it.

    ``hides`` says that the request has a key in it: then of what is answered only that is repeated
    which cannot quote it.
    """

    service: str
    key_id: str
    hides: bool = False

    def unavailable(self, reason: str, answer: Answer | None = None) -> CloudcryptError:
        """Return that it may work later."""
        return KeyServiceUnavailable(self.service, self.key_id, reason, answer=answer)

    def failed(self, code: str, reason: str, answer: Answer | None = None) -> CloudcryptError:
        """Return that it will not work later either."""
        return KeyServiceFailed(self.service, self.key_id, code, reason, answer=answer)

    def denied(self, reason: str, answer: Answer | None = None) -> CloudcryptError:
        """Return that this caller may not."""
        return KeyDenied(self.service, self.key_id, reason, answer=answer)

    def seconds(self, deadline: Deadline) -> float:
        """Return how many seconds the next request may take.

        Raises:
            KeyServiceUnavailable: none are left.
            OperationCancelled: the caller cancelled.
        """
        deadline.check()
        if deadline.has_passed:
            raise self.unavailable("no time is left to ask in")
        return min(ATTEMPT_MAX, deadline.remaining)


Make = Callable[[Asked, Answer], CloudcryptError]


def _denied(asked: Asked, answer: Answer) -> CloudcryptError:
    return asked.denied("the caller lacks a permission, or is not known", answer)


def _throttled(asked: Asked, answer: Answer) -> CloudcryptError:
    return KeyServiceThrottled(asked.service, asked.key_id, answer.retry_after, answer=answer)


def _unavailable(asked: Asked, answer: Answer) -> CloudcryptError:
    return asked.unavailable("the service cannot answer now", answer)


def _failed(asked: Asked, answer: Answer) -> CloudcryptError:
    return asked.failed(answer.code, "asking again does not help", answer)


_BY_CODE: Final[Mapping[str, Make]] = {
    "ABORTED": _unavailable,
    "CANCELLED": _unavailable,
    "DEADLINE_EXCEEDED": _unavailable,
    "FAILED_PRECONDITION": _failed,
    "INTERNAL": _unavailable,
    "INVALID_ARGUMENT": _failed,
    "NOT_FOUND": _failed,
    "PERMISSION_DENIED": _denied,
    "RESOURCE_EXHAUSTED": _throttled,
    "UNAUTHENTICATED": _denied,
    "UNAVAILABLE": _unavailable,
    # Reasons of Cloud Storage with a status that is mostly something else ("HTTP status and error
    # codes for JSON").
    "objectUnderActiveHold": _failed,
    "quotaExceeded": _throttled,
    "rateLimitExceeded": _throttled,
    "retentionPolicyNotMet": _failed,
    "userRateLimitExceeded": _throttled,
}
_BY_STATUS: Final[Mapping[int, Make]] = {
    401: _denied,
    403: _denied,
    408: _unavailable,
    429: _throttled,
    501: _failed,
}
_QUOTES_NOTHING: Final = frozenset(
    {
        "FAILED_PRECONDITION",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "UNAUTHENTICATED",
        "UNAVAILABLE",
    }
)
"""Codes whose messages are about the caller and the key, never about a field of the request."""

_WORD: Final = re.compile(r"[A-Za-z_]{1,64}", re.ASCII)

_HELD: Final = ("under active Temporary hold", "under active Event-Based hold")
"""How Cloud Storage says that an object is held; its reason is that of a missing permission."""

SDK_ERRORS: Final = (
    GoogleAPICallError,
    ParseError,
    auth.GoogleAuthError,
    requests.RequestException,
    OSError,
    ValueError,
)
"""What a method of the SDKs raises. ValueError: credentials of another universe of Google's."""

_UNREACHED: Final = (
    ParseError,
    UnicodeDecodeError,
    auth.ResponseError,
    auth.TimeoutError,
    auth.TransportError,
    requests.RequestException,
    OSError,
)
"""Nobody knows whether it was done, or there was no token to be had."""


def answer_of(error: GoogleAPICallError, asked: Asked) -> Answer:
    """Return what the service said of a request that it refused."""
    known: Any = error
    response: Any = known.response
    status = None if error.code is None else int(error.code)
    facts = _facts(response)
    headers: Mapping[str, str] = {} if response is None else response.headers
    wait = headers.get("Retry-After", "")
    code = _code(facts, status)
    message = str(facts.get("message") or "")
    return Answer(
        code,
        "(left out)" if asked.hides and code not in _QUOTES_NOTHING else message,
        status,
        headers.get("X-GUploader-UploadID"),
        float(wait) if wait.isdecimal() else None,
    )


def translated(error: Exception, asked: Asked) -> CloudcryptError:
    """Return what ``error`` of an SDK is in words of cloudcrypt, to be raised outside of it."""
    name = type(error).__name__
    if isinstance(error, GoogleAPICallError):
        answer = answer_of(error, asked)
        return _make_of(answer)(asked, answer)
    if isinstance(error, _UNREACHED) or getattr(error, "retryable", False):
        return asked.unavailable(f"it could not be asked, or its answer not be read ({name})")
    if isinstance(error, auth.GoogleAuthError):
        return asked.denied(
            f"there are no credentials, or they do not serve ({name})", _told(error)
        )
    return asked.failed(name, "the library cannot make the request, or not read the answer")


def _make_of(answer: Answer) -> Make:
    if any(words in answer.message for words in _HELD):
        return _failed
    status = answer.status or 0
    fallback = _unavailable if status >= 500 else _failed
    return _BY_CODE.get(answer.code) or _BY_STATUS.get(status) or fallback


def _told(error: Exception) -> Answer:
    """Return what an error of google.auth says: its first part, the others may be a whole file."""
    return Answer(type(error).__name__, str(error.args[0]) if error.args else "")


def _code(facts: Mapping[str, Any], status: int | None) -> str:
    """Return the word for an error: the reason of Cloud Storage, or the code of Cloud KMS."""
    errors: Any = facts.get("errors")
    first = cast("list[object]", errors)[0] if isinstance(errors, list) and errors else None
    code: Any = facts.get("status") or _dict(first).get("reason")
    is_word = isinstance(code, str) and _WORD.fullmatch(code)
    return code if is_word else f"HTTP {status or 'error'}"


def _facts(response: Any) -> Mapping[str, Any]:  # noqa: ANN401 - requests.Response, or None
    """Return ``error`` of the JSON that was answered; nothing if it is not Google's."""
    try:
        document: Any = json.loads("" if response is None else response.text)
    except (ValueError, requests.RequestException):
        return {}
    error: Any = (
        cast("dict[str, Any]", document).get("error") if isinstance(document, dict) else None
    )
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {}


def _dict(value: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
