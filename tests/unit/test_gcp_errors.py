"""What GCE answers, and what becomes of it: one row for each reason and each code."""

from typing import Any

import pytest
import requests
from google.api_core import exceptions as google_exceptions
from google.auth import exceptions as auth_exceptions
from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]

from cloudcrypt import errors
from cloudcrypt_gcp._errors import (
    OPERATION_CODES,
    REASONS,
    Request,
    answer_of,
    failure,
    translated,
)

google: Any = google_exceptions  # neither has whole types
auth: Any = auth_exceptions
VOLUME = "gcp:demo-project/europe-west3-a/1"
ASKED = Request(
    "instances.attachDisk",
    "gcp://demo-project/europe-west3",
    {"volume": VOLUME, "instance": "europe-west3-a/vm-1", "zone": "europe-west3-a"},
)
CREATED = Request("disks.insert", "gcp://p/r", {"volume": "data", "zone": "europe-west3-a"})
BY_REASON: dict[str, type[errors.CloudcryptError]] = {
    "notFound": errors.NotFound,
    "badRequest": errors.RequestRejected,
    "invalid": errors.RequestRejected,
    "invalidParameter": errors.RequestRejected,
    "invalidResourceUsage": errors.RequestRejected,
    "parseError": errors.RequestRejected,
    "required": errors.RequestRejected,
    "notImplemented": errors.UnsupportedOperation,
    "unsupportedOperation": errors.UnsupportedOperation,
    "alreadyExists": errors.RequestConflict,
    "conditionNotMet": errors.WrongVolumeState,
    "resourceInUseByAnotherResource": errors.VolumeInUse,
    "resourceNotReady": errors.WrongVolumeState,
    "limitExceeded": errors.AttachmentLimit,
    "quotaExceeded": errors.QuotaExceeded,
    "stockout": errors.OutOfCapacity,
    "accessNotConfigured": errors.AccessDenied,
    "forbidden": errors.AccessDenied,
    "insufficientPermissions": errors.AccessDenied,
    "authError": errors.CredentialsRefused,
    "rateLimitExceeded": errors.Throttled,
    "userRateLimitExceeded": errors.Throttled,
    "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED": errors.Throttled,
    "backendError": errors.ProviderUnavailable,
    "internalError": errors.ProviderUnavailable,
}
BY_CODE: dict[str, type[errors.CloudcryptError]] = {
    "RESOURCE_NOT_FOUND": errors.NotFound,
    "INVALID_FIELD_VALUE": errors.RequestRejected,
    "INVALID_USAGE": errors.RequestRejected,
    "REQUIRED_FIELD_MISSING": errors.RequestRejected,
    "UNSUPPORTED_OPERATION": errors.UnsupportedOperation,
    "RESOURCE_ALREADY_EXISTS": errors.RequestConflict,
    "CONDITION_NOT_MET": errors.WrongVolumeState,
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": errors.VolumeInUse,
    "RESOURCE_NOT_READY": errors.WrongVolumeState,
    "RESOURCE_OPERATION_RATE_EXCEEDED": errors.Throttled,
    "LIMIT_EXCEEDED": errors.AttachmentLimit,
    "QUOTA_EXCEEDED": errors.QuotaExceeded,
    "REGION_QUOTA_EXCEEDED": errors.QuotaExceeded,
    "ZONE_RESOURCE_POOL_EXHAUSTED": errors.OutOfCapacity,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": errors.OutOfCapacity,
    "RATE_LIMIT_EXCEEDED": errors.Throttled,
    "INTERNAL_ERROR": errors.OperationFailed,
    "OPERATION_CANCELED_BY_USER": errors.OperationFailed,
    "PERMISSIONS_ERROR": errors.OperationFailed,
}


def refusal(
    reason: str | None,
    status: int = 400,
    message: str = "no",
    headers: dict[str, str] | None = None,
    **error: Any,
) -> google_exceptions.GoogleAPICallError:
    """Return what the SDK raises for an answer of GCE."""
    details = [] if reason is None else [{"message": message, "reason": reason}]
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers or {})
    document = {"error": {"code": status, "message": message, "errors": details, **error}}
    response.json = lambda **_: document  # type: ignore[method-assign]
    response.request = requests.Request("POST", "https://compute.googleapis.com/x").prepare()
    error_of: google_exceptions.GoogleAPICallError = google.from_http_response(response)
    return error_of


def failed(
    *codes: str, status: int | None = None, message: str = "no", asked: Request = ASKED
) -> errors.CloudcryptError:
    return failure([(code, message) for code in codes], status, "operation-1", asked)


def test_every_row_of_the_tables_is_here() -> None:
    assert set(REASONS) == set(BY_REASON)
    assert set(OPERATION_CODES) == set(BY_CODE)


@pytest.mark.parametrize("reason", BY_REASON)
def test_a_reason_becomes_its_error_and_keeps_the_answer(reason: str) -> None:
    error = translated(refusal(reason), ASKED)
    assert type(error) is BY_REASON[reason]
    assert error.answer == errors.Answer(reason, "no", 400)
    assert reason in str(error)


@pytest.mark.parametrize("code", BY_CODE)
def test_a_code_of_a_failed_operation_becomes_its_error_and_names_the_operation(code: str) -> None:
    error = failed(code, status=503)
    assert type(error) is BY_CODE[code]
    assert error.answer == errors.Answer(code, "no", 503, "operation-1")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("rateLimitExceeded", errors.Throttled),
        ("userRateLimitExceeded", errors.Throttled),
        ("quotaExceeded", errors.QuotaExceeded),
        ("forbidden", errors.AccessDenied),
        ("limitExceeded", errors.AttachmentLimit),
        ("somethingNew", errors.AccessDenied),
    ],
)
def test_status_403_is_five_different_things(
    reason: str, kind: type[errors.CloudcryptError]
) -> None:
    assert type(translated(refusal(reason, 403), ASKED)) is kind


def test_a_full_queue_of_an_instance_is_throttling() -> None:
    full = refusal("rateLimitExceeded", 403, "Too many pending operations on a resource.")
    assert isinstance(translated(full, ASKED), errors.Throttled)


def test_a_zone_without_capacity_is_not_a_quota() -> None:
    for code in ("ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"):
        error = failed(code, status=503, asked=CREATED)
        assert isinstance(error, errors.OutOfCapacity)
        assert error.place == "europe-west3-a"
    assert isinstance(failed("QUOTA_EXCEEDED", status=403, asked=CREATED), errors.QuotaExceeded)


def test_quota_stockout_throttling_permission_and_credentials_are_five_errors() -> None:
    found = [
        translated(refusal("quotaExceeded", 403), CREATED),
        failed("ZONE_RESOURCE_POOL_EXHAUSTED", asked=CREATED),
        translated(refusal("rateLimitExceeded", 403), CREATED),
        translated(refusal("forbidden", 403), CREATED),
        translated(refusal("authError", 401), CREATED),
    ]
    assert len({type(error) for error in found}) == 5


def test_a_limit_that_is_not_of_an_instance_is_a_quota() -> None:
    assert isinstance(translated(refusal("limitExceeded", 403), CREATED), errors.QuotaExceeded)
    assert isinstance(failed("LIMIT_EXCEEDED", asked=CREATED), errors.QuotaExceeded)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.RequestRejected),
        (401, errors.CredentialsRefused),
        (403, errors.AccessDenied),
        (404, errors.CloudRefused),  # no word of GCE: a proxy, or a wrong endpoint
        (409, errors.RequestConflict),
        (412, errors.WrongVolumeState),
        (418, errors.CloudRefused),
        (429, errors.Throttled),
        (500, errors.ProviderUnavailable),
        (501, errors.UnsupportedOperation),
        (502, errors.ProviderUnavailable),
        (503, errors.ProviderUnavailable),
        (504, errors.ProviderUnavailable),
    ],
)
@pytest.mark.parametrize("reason", [None, "somethingNew"])
def test_a_reason_that_nobody_knows_leaves_it_to_the_status(
    reason: str | None, status: int, kind: type[errors.CloudcryptError]
) -> None:
    error = translated(refusal(reason, status, "something new"), ASKED)
    assert type(error) is kind
    assert "something new" in str(error)


def test_what_is_known_counts_more_than_the_status() -> None:
    assert isinstance(translated(refusal("rateLimitExceeded", 503), ASKED), errors.Throttled)


def test_status_401_is_about_the_credentials_whatever_the_reason() -> None:
    assert isinstance(translated(refusal("required", 401), ASKED), errors.CredentialsRefused)


def test_the_reason_of_the_newer_form_is_known_where_the_older_one_is_not() -> None:
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "domain": "compute.googleapis.com",
    }
    error = translated(refusal("somethingNew", 403, details=[info]), ASKED)
    assert isinstance(error, errors.Throttled)
    assert error.cloud_code == "RATE_LIMIT_EXCEEDED"


def test_a_failed_operation_with_an_unknown_code_has_failed_for_good() -> None:
    error = failed("SURPRISE", message="something new")
    assert isinstance(error, errors.OperationFailed)
    assert "something new" in str(error)


def test_of_several_errors_of_an_operation_the_first_known_one_counts() -> None:
    assert isinstance(failed("SURPRISE", "QUOTA_EXCEEDED"), errors.QuotaExceeded)
    assert failed("SURPRISE", "OTHER").cloud_code == "SURPRISE"


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("projects/p/zones/europe-west3-a/disks/data", "volume", VOLUME),
        ("projects/p/zones/europe-west3-a/instances/vm-1", "instance", "europe-west3-a/vm-1"),
        ("projects/p/global/snapshots/nightly", "snapshot", "nightly"),
        ("projects/p/zones/nowhere", "zone", "europe-west3-a"),
        ("projects/p", "project", "p"),
    ],
)
def test_what_is_not_found_is_named(path: str, kind: str, name: str) -> None:
    message = f"The resource '{path}' was not found"
    for error in (
        translated(refusal("notFound", 404, message), ASKED),
        failed("RESOURCE_NOT_FOUND", message=message),
    ):
        assert isinstance(error, errors.NotFound)
        assert (error.kind, error.name) == (kind, name)


def test_what_is_not_found_without_a_path_is_what_was_asked_about() -> None:
    error = translated(refusal("notFound", 404), ASKED)
    assert isinstance(error, errors.NotFound)
    assert (error.kind, error.name) == ("volume", VOLUME)
    nothing = translated(refusal("notFound", 404), Request("regions.get", "gcp:"))
    assert isinstance(nothing, errors.NotFound)
    assert nothing.kind == "resource"


def test_a_type_of_disks_that_is_not_found_cannot_be_asked_for() -> None:
    message = "The resource 'projects/p/zones/z/diskTypes/none' was not found"
    error = translated(refusal("notFound", 404, message), CREATED)
    assert isinstance(error, errors.RequestRejected)


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("soon", None)])
def test_the_cloud_may_say_when_to_ask_again(header: str, seconds: float | None) -> None:
    error = refusal("rateLimitExceeded", 429, headers={"Retry-After": header})
    assert translated(error, ASKED).retry_after == seconds


def test_an_answer_that_is_no_json_keeps_its_text() -> None:
    response = requests.Response()
    response.status_code = 502
    response._content = b"<html>Bad Gateway</html>"
    response.request = requests.Request("GET", "https://compute.googleapis.com/x").prepare()
    error = translated(google.from_http_response(response), ASKED)
    assert isinstance(error, errors.ProviderUnavailable)
    assert "Bad Gateway" in str(error)


def test_an_error_without_a_response_is_tolerated() -> None:
    answer = answer_of(google.ServiceUnavailable("down"))
    assert answer == errors.Answer("ServiceUnavailable", "down", 503)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (auth.DefaultCredentialsError("none"), errors.CredentialsRefused),
        (auth.RefreshError("revoked"), errors.CredentialsRefused),
        (auth.RefreshError("busy", retryable=True), errors.ProviderUnavailable),
        (auth.MutualTLSChannelError("no certificate"), errors.CredentialsRefused),
        (auth.TransportError("no metadata server"), errors.ProviderUnavailable),
        (auth.TimeoutError("slow"), errors.ProviderUnavailable),
        (requests.ConnectionError("refused"), errors.ProviderUnavailable),
        (requests.Timeout("slow"), errors.ProviderUnavailable),
        (ParseError("half a body"), errors.ProviderUnavailable),
        (ValueError("another universe"), errors.RequestRejected),
    ],
)
def test_what_the_sdk_raises_by_itself_is_translated_too(
    raised: Exception, kind: type[errors.CloudcryptError]
) -> None:
    assert type(translated(raised, ASKED)) is kind


def test_every_maker_can_be_called_by_who_writes_the_table_of_errors() -> None:
    answer = errors.Answer("code", "message")
    for make in (*REASONS.values(), *OPERATION_CODES.values()):
        assert isinstance(make(Request("action", "gcp:"), answer), errors.CloudcryptError)
