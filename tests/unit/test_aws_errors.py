"""What EC2 answers, and what becomes of it: one row for each code."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore import exceptions as botocore
from botocore.exceptions import ClientError

from cloudcrypt import errors
from cloudcrypt_aws._errors import TABLE, Request, answer_of, translated

ROWS: dict[str, type[errors.CloudcryptError]] = {
    "InvalidVolume.NotFound": errors.NotFound,
    "InvalidSnapshot.NotFound": errors.NotFound,
    "InvalidInstanceID.NotFound": errors.NotFound,
    "InvalidAttachment.NotFound": errors.NotFound,
    "InvalidVolumeModification.NotFound": errors.NotFound,
    "InvalidZone.NotFound": errors.NotFound,
    "InvalidParameter": errors.RequestRejected,
    "InvalidParameterCombination": errors.RequestRejected,
    "InvalidParameterDependency": errors.RequestRejected,
    "InvalidParameterValue": errors.RequestRejected,
    "InvalidVolume.ZoneMismatch": errors.RequestRejected,
    "MissingParameter": errors.RequestRejected,
    "TagLimitExceeded": errors.RequestRejected,
    "UnknownParameter": errors.RequestRejected,
    "UnknownVolumeType": errors.RequestRejected,
    "ValidationError": errors.RequestRejected,
    "InvalidAction": errors.UnsupportedOperation,
    "UnsupportedOperation": errors.UnsupportedOperation,
    "UnsupportedOperationException": errors.UnsupportedOperation,
    "IdempotentParameterMismatch": errors.RequestConflict,
    "IncorrectInstanceState": errors.WrongVolumeState,
    "IncorrectModificationState": errors.WrongVolumeState,
    "IncorrectState": errors.WrongVolumeState,
    "InvalidSnapshot.InUse": errors.WrongVolumeState,
    "VolumeInUse": errors.VolumeInUse,
    "VolumeModificationRateExceeded": errors.ModificationLimited,
    "AttachmentLimitExceeded": errors.AttachmentLimit,
    "ConcurrentSnapshotLimitExceeded": errors.QuotaExceeded,
    "MaxIOPSLimitExceeded": errors.QuotaExceeded,
    "PendingSnapshotLimitExceeded": errors.QuotaExceeded,
    "ResourceLimitExceeded": errors.QuotaExceeded,
    "SnapshotLimitExceeded": errors.QuotaExceeded,
    "VolumeLimitExceeded": errors.QuotaExceeded,
    "VolumeModificationSizeLimitExceeded": errors.QuotaExceeded,
    "InsufficientCapacity": errors.OutOfCapacity,
    "InsufficientVolumeCapacity": errors.OutOfCapacity,
    "AccessDenied": errors.AccessDenied,
    "AccessDeniedException": errors.AccessDenied,
    "Blocked": errors.AccessDenied,
    "OptInRequired": errors.AccessDenied,
    "PendingVerification": errors.AccessDenied,
    "UnauthorizedOperation": errors.AccessDenied,
    "AuthFailure": errors.CredentialsRefused,
    "ExpiredToken": errors.CredentialsRefused,
    "ExpiredTokenException": errors.CredentialsRefused,
    "IncompleteSignature": errors.CredentialsRefused,
    "InvalidClientTokenId": errors.CredentialsRefused,
    "MissingAuthenticationToken": errors.CredentialsRefused,
    "RequestExpired": errors.CredentialsRefused,
    "SignatureDoesNotMatch": errors.CredentialsRefused,
    "UnrecognizedClientException": errors.CredentialsRefused,
    "BandwidthLimitExceeded": errors.Throttled,
    "EC2ThrottledException": errors.Throttled,
    "LimitExceededException": errors.Throttled,
    "PriorRequestNotComplete": errors.Throttled,
    "ProvisionedThroughputExceededException": errors.Throttled,
    "RequestLimitExceeded": errors.Throttled,
    "RequestThrottled": errors.Throttled,
    "RequestThrottledException": errors.Throttled,
    "SlowDown": errors.Throttled,
    "SnapshotCreationPerVolumeRateExceeded": errors.Throttled,
    "ThrottledException": errors.Throttled,
    "Throttling": errors.Throttled,
    "ThrottlingException": errors.Throttled,
    "TooManyRequestsException": errors.Throttled,
    "TransactionInProgressException": errors.Throttled,
    "InternalError": errors.ProviderUnavailable,
    "InternalFailure": errors.ProviderUnavailable,
    "RequestTimeout": errors.ProviderUnavailable,
    "RequestTimeoutException": errors.ProviderUnavailable,
    "ServiceUnavailable": errors.ProviderUnavailable,
    "Unavailable": errors.ProviderUnavailable,
}
ASKED = Request(
    "AttachVolume",
    "aws://eu-central-1",
    {"volume": "aws:eu-central-1/vol-1", "instance": "i-1", "zone": "eu-central-1a"},
)


def refusal(
    code: str, message: str | None = "no", status: int = 400, retry_after: str | None = None
) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {
            "RequestId": "request-1",
            "HTTPStatusCode": status,
            "HTTPHeaders": {} if retry_after is None else {"retry-after": retry_after},
        },
    }
    return ClientError(response, "AttachVolume")


def test_every_row_of_the_table_is_here() -> None:
    assert set(TABLE) == set(ROWS)


@pytest.mark.parametrize("code", ROWS)
def test_a_code_becomes_its_error_and_keeps_the_answer(code: str) -> None:
    error = translated(refusal(code), ASKED)
    assert type(error) is ROWS[code]
    assert error.answer == errors.Answer(code, "no", 400, "request-1")
    assert code in str(error)


def test_a_code_that_nobody_knows_keeps_what_the_cloud_says() -> None:
    error = translated(refusal("Surprise", "something new"), ASKED)
    assert isinstance(error, errors.CloudRefused)
    assert "something new" in str(error)


def test_any_other_invalid_code_is_a_rejection() -> None:
    error = translated(refusal("InvalidVolumeID.Malformed"), ASKED)
    assert isinstance(error, errors.RequestRejected)


def test_any_other_code_of_a_failing_server_is_unavailability() -> None:
    error = translated(refusal("502", status=502), ASKED)
    assert isinstance(error, errors.ProviderUnavailable)


def test_what_is_known_counts_more_than_the_status() -> None:
    error = translated(refusal("RequestLimitExceeded", status=503), ASKED)
    assert isinstance(error, errors.Throttled)


@pytest.mark.parametrize(
    ("code", "kind", "name"),
    [
        ("InvalidVolume.NotFound", "volume", "aws:eu-central-1/vol-1"),
        ("InvalidInstanceID.NotFound", "instance", "i-1"),
        ("InvalidSnapshot.NotFound", "snapshot", "snapshot"),
    ],
)
def test_what_is_not_found_is_named(code: str, kind: str, name: str) -> None:
    error = translated(refusal(code), ASKED)
    assert isinstance(error, errors.NotFound)
    assert (error.kind, error.name) == (kind, name)


def test_an_answer_without_message_or_code_is_tolerated() -> None:
    assert answer_of(refusal("InvalidSnapshot.NotFound", None)).message == ""
    assert answer_of(ClientError({}, "CreateVolume")) == errors.Answer("Unknown", "")


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("soon", None)])
def test_the_cloud_may_say_when_to_ask_again(header: str, seconds: float | None) -> None:
    error = refusal("RequestLimitExceeded", retry_after=header)
    assert translated(error, ASKED).retry_after == seconds


@pytest.mark.parametrize(
    ("message", "moment"),
    [
        (
            "The volume can be modified again at 2030-01-02T00:00:05Z.",
            datetime(2030, 1, 2, 0, 0, 5, tzinfo=UTC),
        ),
        ("Wait until 2030-01-02T00:00:05.250Z", datetime(2030, 1, 2, 0, 0, 5, 250000, tzinfo=UTC)),
        ("Wait until 2030-02-30T00:00:05Z", None),
        ("Wait at least 6 hours", None),
    ],
)
def test_the_time_of_the_next_modification_is_read_where_it_is_told(
    message: str, moment: datetime | None
) -> None:
    error = translated(refusal("VolumeModificationRateExceeded", message), ASKED)
    assert isinstance(error, errors.ModificationLimited)
    assert error.next_allowed == moment


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (botocore.NoCredentialsError(), errors.CredentialsRefused),
        (botocore.TokenRetrievalError(provider="sso", error_msg="old"), errors.CredentialsRefused),
        (botocore.ParamValidationError(report="Size"), errors.RequestRejected),
        (botocore.EndpointConnectionError(endpoint_url="http://x"), errors.ProviderUnavailable),
        (botocore.ReadTimeoutError(endpoint_url="http://x"), errors.ProviderUnavailable),
        (botocore.ConnectionClosedError(endpoint_url="http://x"), errors.ProviderUnavailable),
        (
            botocore.SSLError(endpoint_url="http://x", error=OSError("old")),
            errors.ProviderUnavailable,
        ),
    ],
)
def test_what_botocore_raises_by_itself_is_translated_too(
    raised: Exception, error: type[errors.CloudcryptError]
) -> None:
    assert type(translated(raised, ASKED)) is error
