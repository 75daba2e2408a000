"""What Cloud KMS and Cloud Storage answer instead of doing what was asked."""

from typing import Any, Final

_HTTP: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""The HTTP status of each code (google.rpc.Code)."""
_SAID: Final = {500: "Internal error encountered.", 503: "The service is currently unavailable."}


class GoogleError(Exception):
    """An answer with an error; nothing has changed.

    ``code`` is a word of Cloud KMS, or a reason of Cloud Storage.
    """

    def __init__(
        self, status: int, code: str, message: str, details: list[dict[str, Any]] | None = None
    ) -> None:
        """Answer with HTTP ``status``, a ``code`` for programs and a ``message`` for humans."""
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    @property
    def is_of_kms(self) -> bool:
        """Whether the code is one of google.rpc.Code, in the form of Cloud KMS."""
        return self.code.isupper()

    @property
    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        facts: dict[str, Any] = {"code": self.status, "message": self.message}
        if self.is_of_kms:
            facts["status"] = self.code
        else:
            one = {"message": self.message, "domain": "global", "reason": self.code}
            facts["errors"] = [one]
        if self.details:
            facts["details"] = self.details
        return {"error": facts}


def kms(code: str, message: str, details: list[dict[str, Any]] | None = None) -> GoogleError:
    """Return an error of Cloud KMS."""
    return GoogleError(_HTTP[code], code, message, details)


def not_enabled(version: str, state: str) -> GoogleError:
    """A version of a key cannot be used."""
    violation = {"type": f"KEY_{state}", "subject": version}
    detail = {"@type": "type.googleapis.com/google.rpc.PreconditionFailure"}
    message = f"{version} is not enabled, current state is: {state}."
    return kms("FAILED_PRECONDITION", message, [{**detail, "violations": [violation]}])


def kms_denied(permission: str, resource: str) -> GoogleError:
    """The caller lacks a permission; the service does not say whether there is such a resource."""
    message = f"Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
    return kms("PERMISSION_DENIED", message)


def bad_checksum(field: str) -> GoogleError:
    """A checksum in a request is another one than that of what arrived."""
    message = f"The checksum in field {field}_crc32c did not match the data in field {field}."
    return kms("INVALID_ARGUMENT", message)


def storage_denied(permission: str) -> GoogleError:
    """The caller lacks a permission for an object."""
    message = (
        f"caller does not have {permission} access to the Google Cloud Storage object. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    return GoogleError(403, "forbidden", message)


def no_bucket() -> GoogleError:
    """There is no such bucket."""
    return GoogleError(404, "notFound", "The specified bucket does not exist.")


def no_object(bucket: str, name: str) -> GoogleError:
    """There is no such object; the reason is that of a missing bucket."""
    return GoogleError(404, "notFound", f"No such object: {bucket}/{name}")


def changed() -> GoogleError:
    """A precondition does not hold."""
    message = "At least one of the pre-conditions you specified did not hold."
    return GoogleError(412, "conditionNotMet", message)


def retained(bucket: str, name: str, until: str) -> GoogleError:
    """The retention policy of the bucket keeps an object."""
    message = (
        f"Object '{bucket}/{name}' is subject to bucket's retention policy or object retention "
        f"and cannot be deleted or overwritten until {until}"
    )
    return GoogleError(403, "retentionPolicyNotMet", message)


def held(bucket: str, name: str) -> GoogleError:
    """An object is held; the reason is the one of a missing permission."""
    message = (
        f"Object '{bucket}/{name}' is under active Temporary hold and cannot be deleted, "
        "overwritten or archived until hold is removed."
    )
    return GoogleError(403, "forbidden", message)


def no_soft_delete() -> GoogleError:
    """Nothing is deleted softly in a bucket, so there is no list of it."""
    message = "Soft delete policy is required to list soft-deleted versions"
    return GoogleError(400, "invalid", message)


def unknown_to_the_fake(what: str) -> GoogleError:
    """The API knows this, and the fake does not: it says so, and does nothing."""
    return GoogleError(501, "notImplemented", f"The fake does not know {what}.")


def throttled(api: str) -> GoogleError:
    """Too many requests."""
    if api == "storage":
        return GoogleError(429, "rateLimitExceeded", "The rate limit for this bucket is exceeded.")
    metric = "cloudkms.googleapis.com/crypto_requests"
    return kms("RESOURCE_EXHAUSTED", f"Quota exceeded for quota metric '{metric}'.")


def server_error(api: str, status: int) -> GoogleError:
    """A fault of the service itself."""
    message = _SAID.get(status, "Backend Error")
    if api == "storage":
        return GoogleError(status, "backendError", message)
    code = next((code for code, http in _HTTP.items() if http == status), "INTERNAL")
    return GoogleError(status, code, message)
