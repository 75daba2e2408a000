"""Errors of Azure Resource Manager: answers in the place of a result, and failed operations."""

from typing import Any, Final

import attrs


class ArmError(Exception):
    """What the API answers instead of doing what was asked. Nothing has changed."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        target: str | None = None,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        inner: str | None = None,
    ) -> None:
        """Answer with HTTP ``status``, a ``code`` for programs and a ``message`` for humans."""
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.headers = headers
        self.inner = inner

    @property
    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        error = body(self.code, self.message, self.target)
        if self.inner is not None:
            error["innererror"] = {"internalErrorCode": self.inner}
        return {"error": error}


@attrs.frozen
class Failure:
    """Why an operation, which was accepted, failed."""

    code: str
    message: str
    target: str | None = None
    status: int = 409
    """What HTTP says to whoever asks for the result."""

    @property
    def document(self) -> dict[str, Any]:
        """What stands in the place of ``error``."""
        return body(self.code, self.message, self.target)


KNOWN_FAILURES: Final = {
    "AllocationFailed": (
        "Allocation failed. Please try reducing the VM size or number of VMs, retry later, or try "
        "deploying to a different Availability Set or different Azure location."
    ),
    "InternalServerError": "An internal server error occurred. Please retry later.",
    "OperationPreempted": ("Operation execution has been preempted by a more recent operation."),
    "ZonalAllocationFailed": (
        "Allocation failed. We do not have sufficient capacity for the requested size in this "
        "zone. Read more about improving likelihood of allocation success at "
        "http://aka.ms/allocation-guidance"
    ),
}
"""What humans are told with some codes of failed operations."""


def body(code: str, message: str, target: str | None = None) -> dict[str, Any]:
    """Return an ApiError."""
    error: dict[str, Any] = {"code": code, "message": message}
    if target is not None:
        error["target"] = target
    return error


def failure(code: str, message: str | None = None) -> Failure:
    """Return a failure, with the usual message of its code if None."""
    message = message or KNOWN_FAILURES.get(code, "The operation failed.")
    return Failure(code, message, status=500 if code.startswith("Internal") else 409)


def unauthenticated() -> ArmError:
    """The request has no Authorization header."""
    message = "Authentication failed. The 'Authorization' header is missing."
    challenge = (
        'Bearer authorization_uri="https://login.microsoftonline.com/", error="invalid_token", '
        "error_description=\"The authentication failed because of missing 'Authorization' "
        'header."'
    )
    headers = (("WWW-Authenticate", challenge),)
    return ArmError(401, "AuthenticationFailed", message, headers=headers)


def missing_version() -> ArmError:
    """The query has no ``api-version``."""
    message = "The api-version query parameter (?api-version=) is required for all requests."
    return ArmError(400, "MissingApiVersionParameter", message)


def bad_version(version: str) -> ArmError:
    """The ``api-version`` is no date."""
    message = f"The api-version '{version}' is invalid. The supported versions are dates."
    return ArmError(400, "InvalidApiVersionParameter", message)


def bad_content(what: str) -> ArmError:
    """The body is not one that the API can read."""
    message = f"The request content was invalid and could not be deserialized: '{what}'."
    return ArmError(400, "InvalidRequestContent", message)


def unknown_field(name: str, model: str) -> ArmError:
    """The body has a property that its type does not have."""
    message = (
        f"Could not find member '{name.rpartition('.')[2]}' on object of type '{model}'. "
        f"Path '{name}'."
    )
    return ArmError(400, "BadRequest", message, name)


def no_subscription(subscription: str) -> ArmError:
    """The subscription does not exist."""
    message = f"The subscription '{subscription}' could not be found."
    return ArmError(404, "SubscriptionNotFound", message)


def no_group(group: str) -> ArmError:
    """The resource group does not exist."""
    message = f"Resource group '{group}' could not be found."
    return ArmError(404, "ResourceGroupNotFound", message)


def not_found(kind: str, name: str, group: str) -> ArmError:
    """The resource does not exist; ``kind`` is ``disks`` or the like."""
    message = (
        f"The Resource 'Microsoft.Compute/{kind}/{name}' under resource group '{group}' was not "
        "found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return ArmError(404, "ResourceNotFound", message)


def no_operation() -> ArmError:
    """There is no such operation."""
    return ArmError(404, "NotFound", "The entity was not found in this Azure location.")


def no_action(action: str) -> ArmError:
    """The type of resource has no such action, in this API version."""
    message = f"No action was found on the controller that matches '{action}'."
    return ArmError(404, "NotFound", message)


def not_implemented(what: str) -> ArmError:
    """Something that the service knows, and its fake does not."""
    return ArmError(501, "NotImplemented", f"The fake does not know {what}.")


def invalid(parameter: str, why: str = "") -> ArmError:
    """A parameter has a value that it cannot have."""
    message = f"The value of parameter {parameter} is invalid. {why}".rstrip()
    return ArmError(400, "InvalidParameter", message, parameter)


def bad_account_type(sku: str) -> ArmError:
    """There is no such kind of disk."""
    return ArmError(400, "InvalidAccountType", f"The AccountType {sku} is invalid.", "sku.name")


def not_changeable(name: str, why: str = "") -> ArmError:
    """A property is as it was made."""
    message = f"Changing property '{name}' is not allowed. {why}".rstrip()
    return ArmError(409, "PropertyChangeNotAllowed", message, name)


def not_allowed(message: str, target: str | None = None) -> ArmError:
    """What the resource is, or is used for, forbids it."""
    return ArmError(409, "OperationNotAllowed", message, target)


def resize_while_attached(name: str, holder: str) -> ArmError:
    """A disk cannot grow while a virtual machine that runs has it."""
    message = (
        f"Cannot resize disk {name} while it is attached to running VM {holder}. Resizing a disk "
        "of an Azure Virtual Machine requires the virtual machine to be deallocated. Please stop "
        "your VM and retry the operation."
    )
    inner = "ChangeDiskSizeWhileAttachedNotAllowed"
    return ArmError(409, "OperationNotAllowed", message, inner=inner)


def busy(name: str) -> ArmError:
    """Something else is being done to a disk or snapshot."""
    message = (
        f"The request failed due to conflict with a concurrent request on '{name}'. To resolve "
        "it, please refer to https://aka.ms/activitylog to get more details on the conflicting "
        "requests."
    )
    return ArmError(409, "ConflictingConcurrentWriteNotAllowed", message)


def precondition_failed() -> ArmError:
    """The resource has changed since its ETag was read."""
    message = "The condition specified using HTTP conditional header(s) is not met."
    return ArmError(412, "PreconditionFailed", message)


def throttled(seconds: int, resource: str = "Microsoft.Compute/SubscriptionMaximum") -> ArmError:
    """Too many requests; the next one is welcome in ``seconds``."""
    message = (
        "The server rejected the request because too many requests have been received for this "
        "subscription."
    )
    headers = (
        ("Retry-After", str(seconds)),
        ("x-ms-ratelimit-remaining-resource", f"{resource};0"),
    )
    return ArmError(429, "TooManyRequests", message, headers=headers)


def server_error(status: int) -> ArmError:
    """A fault of the service itself."""
    code, message = {
        503: ("ServerBusy", "The server is busy. Please retry later."),
        504: ("GatewayTimeout", "The gateway did not receive a response in time."),
    }.get(status, ("InternalServerError", KNOWN_FAILURES["InternalServerError"]))
    return ArmError(status, code, message)
