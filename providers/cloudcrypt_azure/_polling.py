"""Long-running operations of Azure: accepted at once, done later, known by a URL of Azure's.

The URL is all that a handle needs of the SDK: it is what the SDK itself goes on with after a
restart. What came about is never read from the operation: it is looked at where it is.
"""

from typing import Final

from cloudcrypt.errors import (
    AccessDenied,
    Answer,
    AttachedElsewhere,
    AttachmentLimit,
    CloudcryptError,
    CredentialsRefused,
    ModificationLimited,
    NotFound,
    OperationFailed,
    OutOfCapacity,
    ProviderError,
    ProviderUnavailable,
    QuotaExceeded,
    RequestError,
    Throttled,
    VolumeInUse,
)
from cloudcrypt.waiting import Clock, Deadline
from cloudcrypt_azure._answers import Reply, answer_of, mapping
from cloudcrypt_azure._calls import Calls
from cloudcrypt_azure._client import Api
from cloudcrypt_azure._errors import Request, error_of

_PLAIN: Final = (
    AttachedElsewhere,
    AttachmentLimit,
    ModificationLimited,
    NotFound,
    OutOfCapacity,
    QuotaExceeded,
    VolumeInUse,
)
"""What says by itself that an operation is over. Any other failure of an operation, also one that
would be worth another attempt, is `OperationFailed`: the same operation never succeeds any more."""
_OF_THE_LOOK: Final = (AccessDenied, CredentialsRefused, ProviderUnavailable, Throttled)
"""What is wrong with looking at an operation, not with the operation."""


class Progress:
    """One operation, looked at by one caller from time to time, as Azure asks it to."""

    def __init__(
        self, api: Api, calls: Calls, clock: Clock, url: str | None, request: Request
    ) -> None:
        """Look at ``url``; None is an operation of which nothing is known: it counts as over.

        Args:
            api: whom to ask.
            calls: of the resource group.
            clock: what Azure's pauses are on.
            url: of the operation.
            request: what its errors name.
        """
        self._api = api
        self._calls = calls
        self._clock = clock
        self._url = url
        self._request = request
        self._next = clock.monotonic()
        self._state: str | None = None if url is None else "accepted"
        self._failure: ProviderError | RequestError | None = None
        self._has_succeeded = False

    def look(self, deadline: Deadline) -> str | None:
        """Return the state of the operation, or None if it is over, whether well or not.

        Raises:
            ProviderError: it cannot be looked at.
            OperationCancelled: the caller cancelled.
        """
        is_under_way = self._state is not None and self._clock.monotonic() >= self._next
        if self._url is not None and is_under_way:
            self._state = self._looked(self._url, deadline)
        return self._state

    @property
    def has_succeeded(self) -> bool:
        """Whether Azure said that the operation succeeded: False if it is unknown, or not over."""
        return self._has_succeeded

    @property
    def failure(self) -> ProviderError | RequestError | None:
        """Why the operation failed, if it is known to have."""
        return self._failure

    def _looked(self, url: str, deadline: Deadline) -> str | None:
        try:
            reply = self._api.again(self._calls.operation(url, self._request.names), deadline)
        except _OF_THE_LOOK:
            raise
        except NotFound:
            return None  # Azure knows it no more, or not yet: what it was to do has to tell
        except (ProviderError, RequestError) as error:  # how some operations say that they failed
            self._failure = _failed(error, self._request)
            return None
        self._next = self._clock.monotonic() + (reply.retry_after or 0.0)
        state = _state_of(reply)
        if state in _ENDS:
            self._has_succeeded = state == "succeeded"
            if not self._has_succeeded:
                self._failure = _failed(self._refusal(reply, state), self._request)
            return None
        return state

    def _refusal(self, reply: Reply, state: str) -> CloudcryptError:
        """Return what the body of an operation that failed says; its HTTP status is 200."""
        error = mapping(reply.body.get("error"))
        answer = answer_of(error, status=reply.status, headers=reply.headers)
        if answer.code == "Unknown":
            answer = Answer(state.capitalize(), answer.message, reply.status, answer.request_id)
        return error_of(self._request, answer)


_ENDS: Final = frozenset({"succeeded", "failed", "canceled", "cancelled"})


def _state_of(reply: Reply) -> str:
    """Return the state of an operation: its body says it, or else the status of its result."""
    status = reply.body.get("status")
    if isinstance(status, str) and status:
        return status.lower()
    return "in progress" if reply.status == 202 else "succeeded"


def _failed(error: CloudcryptError, request: Request) -> ProviderError:
    if isinstance(error, _PLAIN):
        return error
    reason = "Azure gives no reason" if error.answer is None else error.answer.message
    subject = next(iter(request.names.values()), "it")
    failure = OperationFailed(request.action, subject, reason, answer=error.answer)
    failure.__cause__ = error.__cause__
    return failure
