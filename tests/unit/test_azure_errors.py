"""What Azure answers, and what becomes of it: by code, or by message where one means several."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core import exceptions as azure
from azure.identity import CredentialUnavailableError

from cloudcrypt import errors
from cloudcrypt_azure._answers import Reply, translated
from cloudcrypt_azure._errors import LUN_TAKEN, MESSAGES, TABLE, Request, is_lun_taken

ROWS: dict[str, type[errors.CloudcryptError]] = {
    "DiskNotFound": errors.NotFound,
    "NotFound": errors.NotFound,
    "ParentResourceNotFound": errors.NotFound,
    "ResourceGroupNotFound": errors.NotFound,
    "ResourceNotFound": errors.NotFound,
    "SubscriptionNotFound": errors.NotFound,
    "VMNotFound": errors.NotFound,
    "BadRequest": errors.RequestRejected,
    "ConflictingUserInput": errors.RequestRejected,
    "InvalidAccountType": errors.RequestRejected,
    "InvalidParameter": errors.RequestRejected,
    "InvalidRequestContent": errors.RequestRejected,
    "InvalidRequestFormat": errors.RequestRejected,
    "InvalidResourceReference": errors.RequestRejected,
    "InvalidTemplate": errors.RequestRejected,
    "LinkedInvalidPropertyId": errors.RequestRejected,
    "LocationNotAvailableForResourceType": errors.RequestRejected,
    "LocationRequired": errors.RequestRejected,
    "PropertyChangeNotAllowed": errors.RequestRejected,
    "ResizeDiskError": errors.RequestRejected,
    "InvalidResourceLocation": errors.RequestConflict,
    "HttpMethodNotSupported": errors.UnsupportedOperation,
    "InvalidApiVersionParameter": errors.UnsupportedOperation,
    "InvalidResourceType": errors.UnsupportedOperation,
    "MethodNotAllowed": errors.UnsupportedOperation,
    "NoRegisteredProviderFound": errors.UnsupportedOperation,
    "NotSupported": errors.UnsupportedOperation,
    "UnsupportedOperation": errors.UnsupportedOperation,
    "AnotherOperationInProgress": errors.WrongVolumeState,
    "AttachDiskWhileBeingDetached": errors.WrongVolumeState,
    "Conflict": errors.WrongVolumeState,
    "ConflictingConcurrentWriteNotAllowed": errors.WrongVolumeState,
    "DataDisksForceDetached": errors.WrongVolumeState,
    "OperationPreempted": errors.WrongVolumeState,
    "PreconditionFailed": errors.WrongVolumeState,
    "ResourceUpdateBlockedOnPlatformUpdate": errors.WrongVolumeState,
    "RetryableErrorDueToAnotherOperation": errors.WrongVolumeState,
    "ChangeDiskSizeWhileAttachedNotAllowed": errors.VolumeInUse,
    "OperationNotAllowed": errors.CloudRefused,
    "QuotaExceeded": errors.QuotaExceeded,
    "ResourceQuotaExceeded": errors.QuotaExceeded,
    "AllocationFailed": errors.OutOfCapacity,
    "OverConstrainedAllocationRequest": errors.OutOfCapacity,
    "OverconstrainedAllocationRequest": errors.OutOfCapacity,
    "OverconstrainedZonalAllocationRequest": errors.OutOfCapacity,
    "SkuNotAvailable": errors.OutOfCapacity,
    "ZonalAllocationFailed": errors.OutOfCapacity,
    "AuthorizationFailed": errors.AccessDenied,
    "LinkedAuthorizationFailed": errors.AccessDenied,
    "MissingSubscriptionRegistration": errors.AccessDenied,
    "ReadOnlyDisabledSubscription": errors.AccessDenied,
    "RequestDisallowedByAzure": errors.AccessDenied,
    "RequestDisallowedByPolicy": errors.AccessDenied,
    "ScopeLocked": errors.AccessDenied,
    "SubscriptionNotRegistered": errors.AccessDenied,
    "AuthenticationFailed": errors.CredentialsRefused,
    "AuthenticationFailedInvalidHeader": errors.CredentialsRefused,
    "AuthenticationFailedMissingToken": errors.CredentialsRefused,
    "ExpiredAuthenticationToken": errors.CredentialsRefused,
    "InvalidAuthenticationToken": errors.CredentialsRefused,
    "InvalidAuthenticationTokenAudience": errors.CredentialsRefused,
    "InvalidAuthenticationTokenTenant": errors.CredentialsRefused,
    "RateLimitExceeded": errors.Throttled,
    "ResourceRequestsThrottled": errors.Throttled,
    "SubscriptionRequestsThrottled": errors.Throttled,
    "TooManyRequests": errors.Throttled,
    "GatewayTimeout": errors.ProviderUnavailable,
    "InternalError": errors.ProviderUnavailable,
    "InternalExecutionError": errors.ProviderUnavailable,
    "InternalOperationError": errors.ProviderUnavailable,
    "InternalServerError": errors.ProviderUnavailable,
    "OperationTimedOut": errors.ProviderUnavailable,
    "RequestTimeout": errors.ProviderUnavailable,
    "ServerBusy": errors.ProviderUnavailable,
    "ServerTimeout": errors.ProviderUnavailable,
    "ServiceUnavailable": errors.ProviderUnavailable,
}
VM = (
    "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/RG/providers"
    "/Microsoft.Compute/virtualMachines/VM-2"
)
OVERLOADED: list[tuple[str, str, type[errors.CloudcryptError]]] = [
    (
        "OperationNotAllowed",
        "The maximum number of data disks allowed to be attached to a VM of this size is 4.",
        errors.AttachmentLimit,
    ),
    (
        "OperationNotAllowed",
        "Operation 'Update VM' is not allowed on VM 'x' since another operation is in progress.",
        errors.WrongVolumeState,
    ),
    (
        "OperationNotAllowed",
        "An ongoing operation is changing power state of VM x. Please perform it after some time.",
        errors.WrongVolumeState,
    ),
    (
        "OperationNotAllowed",
        "Operation 'a' is not allowed on VM 'x' since the VM is marked for deletion.",
        errors.WrongVolumeState,
    ),
    (
        "OperationNotAllowed",
        "Operation results in exceeding quota limits of Premium disks. Maximum allowed: 3.",
        errors.QuotaExceeded,
    ),
    (
        "OperationNotAllowed",
        "Operation could not be completed as it results in exceeding approved Cores quota.",
        errors.QuotaExceeded,
    ),
    ("OperationNotAllowed", f"Disk data is attached to VM {VM}.", errors.VolumeInUse),
    ("OperationNotAllowed", "The VM is generalized.", errors.CloudRefused),
    (
        "OperationNotAllowed",
        "The performance of disk data can be changed 4 times within 24 hours.",
        errors.ModificationLimited,
    ),
    (
        "Conflict",
        "Disk resizing is allowed only when creating a VM or when the VM is deallocated.",
        errors.VolumeInUse,
    ),
    (
        "ConflictingUserInput",
        f"Disk 'd' cannot be attached as the disk is already owned by VM '{VM}'.",
        errors.AttachedElsewhere,
    ),
    (
        "ConflictingUserInput",
        f"Cannot attach the disk d to VM /x because it is already attached to VM {VM}. A disk can.",
        errors.AttachedElsewhere,
    ),
    (
        "ConflictingUserInput",
        "Source and destination resource groups are the same.",
        errors.RequestRejected,
    ),
    ("InvalidParameter", "A disk at LUN 0 already exists.", errors.WrongVolumeState),
    ("InvalidParameter", "A disk named 'x' already uses the same LUN: 0.", errors.WrongVolumeState),
    (
        "InvalidParameter",
        "The value '64' of parameter 'dataDisk.lun' is out of range.",
        errors.AttachmentLimit,
    ),
    ("InvalidParameter", "A disk named 'x' already exists.", errors.RequestRejected),
    (
        "NotFound",
        "No action was found on the controller that matches 'attachDetachDataDisks'.",
        errors.UnsupportedOperation,
    ),
]
ASKED = Request(
    "VirtualMachines_AttachDetachDataDisks",
    "azure://subscription/group",
    {"volume": "azure:s/g/1", "instance": "g/vm-1", "snapshot": "azure:s/g/2", "place": "eu/1"},
    "instance",
)


class Response:
    """What the SDK has of an answer."""

    reason = "no"

    def __init__(
        self, body: object, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status_code = status
        self.headers = {"x-ms-request-id": "request-1", **(headers or {})}
        self._body = body if isinstance(body, str) else json.dumps(body)

    def text(self) -> str:
        return self._body


def refusal(
    code: str,
    message: str = "no",
    status: int = 400,
    *,
    details: Any = None,
    headers: Mapping[str, str] | None = None,
) -> azure.HttpResponseError:
    error = {"code": code, "message": message, **({"details": details} if details else {})}
    response: Any = Response({"error": error}, status, headers)
    return azure.HttpResponseError(response=response)


def test_every_row_of_the_table_is_here() -> None:
    assert set(TABLE) == set(ROWS)


def test_every_code_that_means_several_things_has_a_meaning_without_its_messages() -> None:
    assert set(MESSAGES) <= set(TABLE)
    assert {code for code, _, _ in OVERLOADED} >= set(MESSAGES) - {
        "BadRequest",
        "PropertyChangeNotAllowed",
    }


@pytest.mark.parametrize("code", ROWS)
def test_a_code_becomes_its_error_and_keeps_the_answer(code: str) -> None:
    error = translated(refusal(code), ASKED)
    assert type(error) is ROWS[code]
    assert error.answer == errors.Answer(code, "no", 400, "request-1")
    assert code in str(error)


@pytest.mark.parametrize(("code", "message", "kind"), OVERLOADED)
def test_a_code_that_means_several_things_is_told_by_its_message(
    code: str, message: str, kind: type[errors.CloudcryptError]
) -> None:
    error = translated(refusal(code, message, 409), ASKED)
    assert type(error) is kind
    assert message[:40] in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.RequestRejected),
        (401, errors.CredentialsRefused),
        (403, errors.AccessDenied),
        (404, errors.CloudRefused),
        (405, errors.UnsupportedOperation),
        (408, errors.ProviderUnavailable),
        (409, errors.CloudRefused),
        (412, errors.WrongVolumeState),
        (429, errors.Throttled),
        (500, errors.ProviderUnavailable),
        (502, errors.ProviderUnavailable),
    ],
)
def test_a_code_that_nobody_knows_goes_by_its_status(
    status: int, kind: type[errors.CloudcryptError]
) -> None:
    error = translated(refusal("Surprise", "something new", status), ASKED)
    assert type(error) is kind
    assert "something new" in str(error)


def test_a_bare_404_does_not_pass_for_something_that_is_not_there() -> None:
    # A proxy may say so of anything; only Azure's own word counts. See `_errors.TABLE`.
    response: Any = Response("<html>not here", 404)
    error = translated(azure.ResourceNotFoundError(response=response), ASKED)
    assert not isinstance(error, errors.NotFound)


@pytest.mark.parametrize("code", ["OperationNotAllowed", "Conflict", "ResourceNotFound"])
def test_too_many_requests_are_throttling_whatever_the_code(code: str) -> None:
    error = translated(refusal(code, "too many", 429, headers={"Retry-After": "17"}), ASKED)
    assert type(error) is errors.Throttled
    assert error.retry_after == 17


def test_what_is_inside_is_the_reason_if_that_is_known() -> None:
    inner = [{"code": "Other"}, {"code": "AuthorizationFailed", "message": "no permission"}]
    error = translated(refusal("DeploymentFailed", "failed", details=inner), ASKED)
    assert type(error) is errors.AccessDenied
    assert error.answer is not None
    assert error.answer.message == "no permission"


def test_an_error_without_envelope_or_words_is_tolerated() -> None:
    plain: Any = Response({"code": "AuthorizationFailed", "message": None}, 403)
    assert type(translated(azure.HttpResponseError(response=plain), ASKED)) is errors.AccessDenied
    for body in ("", "[1]", '{"error": 1}', "not json"):
        response: Any = Response(body, 500)
        error = translated(azure.HttpResponseError(response=response), ASKED)
        assert type(error) is errors.ProviderUnavailable
        assert error.answer is not None
        assert error.answer.code == "Unknown"


@pytest.mark.parametrize(
    ("code", "message", "kind", "name"),
    [
        ("ResourceNotFound", "The Resource was not found.", "instance", "g/vm-1"),
        (
            "ResourceNotFound",
            "The Resource 'Microsoft.Compute/disks/data' under resource group 'g' was not found.",
            "volume",
            "azure:s/g/1",
        ),
        ("NotFound", "Microsoft.Compute/snapshots/x", "snapshot", "azure:s/g/2"),
        ("ResourceNotFound", "Microsoft.Compute/virtualMachines/x", "instance", "g/vm-1"),
        ("ResourceNotFound", "/disks/a of /virtualMachines/b", "instance", "g/vm-1"),
        ("ResourceGroupNotFound", "no", "resource group", "resource group"),
        ("VMNotFound", "no", "instance", "g/vm-1"),
    ],
)
def test_what_is_not_found_is_named(code: str, message: str, kind: str, name: str) -> None:
    error = translated(refusal(code, message, 404), ASKED)
    assert isinstance(error, errors.NotFound)
    assert (error.kind, error.name) == (kind, name)


def test_the_holder_is_read_from_the_message() -> None:
    for code, message, kind in OVERLOADED:
        if kind in {errors.AttachedElsewhere, errors.VolumeInUse} and VM in message:
            error: Any = translated(refusal(code, message, 409), ASKED)
            assert error.holder == "rg/vm-2"


def test_the_limit_is_read_from_the_message() -> None:
    error = translated(refusal("OperationNotAllowed", OVERLOADED[0][1], 409), ASKED)
    assert isinstance(error, errors.AttachmentLimit)
    assert (error.instance, error.limit) == ("g/vm-1", 4)


def test_a_logical_unit_number_that_was_taken_is_told_from_other_states() -> None:
    taken = translated(refusal("InvalidParameter", "A disk at LUN 0 already exists."), ASKED)
    assert is_lun_taken(taken)
    assert LUN_TAKEN in str(taken)
    assert taken.retryable
    assert not is_lun_taken(translated(refusal("Conflict"), ASKED))


@pytest.mark.parametrize(
    ("message", "moment"),
    [
        (
            "It can be changed 4 times in 24 hours, next at 2030-01-02T00:00:05Z.",
            datetime(2030, 1, 2, 0, 0, 5, tzinfo=UTC),
        ),
        ("4 times in 24 hours, next at 2030-02-30T00:00:05Z", None),
        ("4 times in 24 hours", None),
    ],
)
def test_the_time_of_the_next_change_is_read_where_it_is_told(
    message: str, moment: datetime | None
) -> None:
    for code in ("BadRequest", "PropertyChangeNotAllowed", "OperationNotAllowed"):
        error = translated(refusal(code, message), ASKED)
        assert isinstance(error, errors.ModificationLimited)
        assert error.next_allowed == moment


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_the_cloud_may_say_when_to_ask_again(
    headers: Mapping[str, str], seconds: float | None
) -> None:
    assert translated(refusal("TooManyRequests", headers=headers), ASKED).retry_after == seconds


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (CredentialUnavailableError(message="none"), errors.CredentialsRefused),
        (azure.ClientAuthenticationError("no token"), errors.CredentialsRefused),
        (azure.ServiceRequestError("no route"), errors.ProviderUnavailable),
        (azure.ServiceResponseError("reset"), errors.ProviderUnavailable),
        (azure.ServiceResponseTimeoutError("slow"), errors.ProviderUnavailable),
        (azure.IncompleteReadError("cut"), errors.ProviderUnavailable),
        (azure.DeserializationError("not JSON"), errors.ProviderUnavailable),
        (ValueError("not JSON"), errors.ProviderUnavailable),
    ],
)
def test_what_the_sdk_raises_by_itself_is_translated_too(
    raised: Exception, error: type[errors.CloudcryptError]
) -> None:
    assert type(translated(raised, ASKED)) is error


def test_an_answer_that_says_success_and_cannot_be_read_is_unavailability() -> None:
    response: Any = Response("<html>please log in", 200)
    error = translated(azure.DecodeError(response=response), ASKED)
    assert type(error) is errors.ProviderUnavailable
    for text in ("<html>", "[]", '"text"'):
        with pytest.raises(ValueError):
            Reply.of(Response(text, 200))
    assert Reply.of(Response("", 204)).body == {}
