"""Errors of the compute API: answers in the place of a result, and failures within operations."""

from http import HTTPStatus
from typing import Any, Final

import attrs

_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


class GceError(Exception):
    """What the API answers instead of doing what was asked. Nothing has changed."""

    def __init__(self, status: int, reason: str, message: str, domain: str = "global") -> None:
        """Answer with HTTP ``status``, a ``reason`` for programs and a ``message`` for humans."""
        super().__init__(status, reason, message)
        self.status = status
        self.reason = reason
        self.message = message
        self.domain = domain

    @property
    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        one = {"message": self.message, "domain": self.domain, "reason": self.reason}
        error: dict[str, Any] = {"code": self.status, "message": self.message, "errors": [one]}
        if self.status in _STATUS:
            error["status"] = _STATUS[self.status]
        return {"error": error}


@attrs.frozen
class Failure:
    """Why an operation, which was accepted, failed: ``error.errors`` of what is DONE."""

    code: str
    message: str
    status: int = 500
    """``httpErrorStatusCode``: what HTTP would have said."""

    @property
    def phrase(self) -> str:
        """``httpErrorMessage``: the name of the status."""
        return HTTPStatus(self.status).phrase.upper()


class OperationFailed(Exception):
    """Raised by what an operation does in the end; the operation is DONE, with an error."""

    def __init__(self, failure: Failure) -> None:
        """Fail with ``failure``."""
        super().__init__(failure)
        self.failure = failure


KNOWN_FAILURES: Final = {
    "CONDITION_NOT_MET": 412,
    "INTERNAL_ERROR": 500,
    "INVALID_USAGE": 400,
    "OPERATION_CANCELED_BY_USER": 409,
    "QUOTA_EXCEEDED": 403,
    "RATE_LIMIT_EXCEEDED": 429,
    "RESOURCE_ALREADY_EXISTS": 409,
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": 400,
    "RESOURCE_NOT_FOUND": 404,
    "RESOURCE_NOT_READY": 400,
    "RESOURCE_OPERATION_RATE_EXCEEDED": 429,
    "UNSUPPORTED_OPERATION": 400,
    "ZONE_RESOURCE_POOL_EXHAUSTED": 503,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": 503,
}
"""Codes of failed operations, and the HTTP status that goes with each."""


def failure(code: str, message: str | None = None) -> Failure:
    """Return a failure with the status that its code goes with, 500 if it is unknown."""
    return Failure(code, message or _said(code), KNOWN_FAILURES.get(code, 500))


def failed(code: str, message: str | None = None) -> OperationFailed:
    """Return what makes an operation fail with ``code``."""
    return OperationFailed(failure(code, message))


def bad_json(message: str) -> GceError:
    """The request is not one of the method: refused before the API looks at it."""
    return GceError(400, "badRequest", message)


def not_implemented(what: str) -> GceError:
    """The API knows this, and the fake does not: it says so, and does nothing."""
    return GceError(501, "notImplemented", f"The fake does not know {what}.")


def required(field: str) -> GceError:
    """A field that has no default is missing."""
    return GceError(400, "required", f"Required field '{field}' not specified")


def invalid(field: str, value: object, why: str) -> GceError:
    """A field has a value that it cannot have."""
    return GceError(400, "invalid", f"Invalid value for field '{field}': '{value}'. {why}")


def not_found(path: str) -> GceError:
    """A resource does not exist; ``path`` begins with ``projects/``."""
    return GceError(404, "notFound", f"The resource '{path}' was not found")


def exists(path: str) -> GceError:
    """The name of a resource is taken."""
    return GceError(409, "alreadyExists", f"The resource '{path}' already exists")


def not_ready(path: str) -> GceError:
    """A resource is still being created, or being deleted already."""
    return GceError(400, "resourceNotReady", f"The resource '{path}' is not ready")


def in_use(path: str, user: str) -> GceError:
    """A disk is attached: it cannot be deleted, nor attached elsewhere."""
    return GceError(400, "resourceInUseByAnotherResource", used(path, user))


def used(path: str, user: str) -> str:
    """Say that the resource ``path`` is used by ``user``, in the words of the API."""
    return f"The disk resource '{path}' is already being used by '{user}'"


def condition_not_met() -> GceError:
    """The labels have changed since their fingerprint was read."""
    message = "Labels fingerprint either invalid or resource labels have changed"
    return GceError(412, "conditionNotMet", message)


def queue_full() -> GceError:
    """An instance has as many unfinished operations as it takes."""
    message = "Too many pending operations on a resource."
    return GceError(403, "rateLimitExceeded", message, "usageLimits")


def quota_exceeded(message: str) -> GceError:
    """The project has as much as it may have."""
    return GceError(403, "quotaExceeded", message, "usageLimits")


def throttled(status: int) -> GceError:
    """Too many requests; the API says so with 403 or with 429."""
    message = (
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' "
        "of service 'compute.googleapis.com'."
    )
    return GceError(status, "rateLimitExceeded", message, "usageLimits")


def server_error(status: int) -> GceError:
    """A fault of the API itself."""
    message = {
        502: "Bad Gateway",
        503: "The service is currently unavailable.",
        504: "Gateway Timeout",
    }.get(status, "Internal error. Please try again or contact Google Support.")
    return GceError(status, "backendError", message)


def _said(code: str) -> str:
    words = code.removesuffix("_WITH_DETAILS").replace("_", " ").lower()
    return f"The operation failed: {words}."
