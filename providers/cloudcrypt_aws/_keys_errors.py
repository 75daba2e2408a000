"""What AWS KMS and S3 answer, as errors of key services: one table by machine code.

The codes are those of the "AWS Key Management Service API Reference", of "Error responses" in the
"Amazon S3 API Reference", and of "Common error types" in both. A code that is not here is lasting,
and keeps its name.
"""

from collections.abc import Mapping
from typing import Final

import attrs
from botocore import exceptions as botocore

from cloudcrypt.errors import (
    Answer,
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
    WrappedKeyRefused,
)
from cloudcrypt_aws._errors import NO_CREDENTIALS, answer_of

REFUSED: Final = frozenset({"IncorrectKeyException", "InvalidCiphertextException"})
"""What KMS says of a blob that is not of this key, this context, or whole."""

_NOT_OURS: Final = "The ciphertext refers to a customer master key"
"""How the message of an AccessDeniedException begins where it is about the blob: it names a key
that is not in this region, or of another account. The key of the request is another matter."""

_LATER: Final = frozenset(
    {
        "ConditionalRequestConflict",  # S3: another write of the object is under way
        "DependencyTimeoutException",
        "InternalError",
        "InternalFailure",
        "KMSInternalException",
        "KeyUnavailableException",
        "OperationAborted",  # S3: another change of the bucket is under way
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
_THROTTLED: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AccountProblem",
        "AllAccessDisabled",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSecurity",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "NotSignedUp",
        "OptInRequired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
# What botocore says of a connection; the texts have a URL or an error of the socket. That of a
# proxy is not among them: it has the proxy's URL, which may have a password.
_SPOKEN: Final = (
    botocore.ConnectTimeoutError,
    botocore.ConnectionClosedError,
    botocore.EndpointConnectionError,
    botocore.ReadTimeoutError,
    botocore.SSLError,
)
_PASSING: Final = (
    botocore.ConnectionError,
    botocore.FlexibleChecksumError,
    botocore.HTTPClientError,
    botocore.IncompleteReadError,
    botocore.ReadTimeoutError,
    botocore.ResponseStreamingError,
)


PERMISSIONS: Final[Mapping[str, str]] = {
    "Decrypt": "kms:Decrypt",
    "DeleteObject": "s3:DeleteObjectVersion and no lock",
    "DescribeKey": "kms:DescribeKey",
    "Encrypt": "kms:Encrypt",
    "GetObject": "s3:GetObject and s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListObjectsV2": "s3:ListBucket",
    "PutObject": "s3:PutObject",
}
"""What a policy has to grant for an action (Service Authorization Reference). Without ListBucket S3
denies to say that an object is absent; a lock on an object denies to delete a version."""


@attrs.frozen
class Asked:
    """What was asked of a service, as far as an error has to name it.

    ``action`` is AWS's word, such as ``Decrypt``.
    """

    service: str
    key_id: str
    action: str

    @property
    def permissions(self) -> str:
        """What a policy has to grant for the action."""
        return PERMISSIONS.get(self.action, self.action)


def translated(error: Exception, asked: Asked) -> CloudcryptError:
    """Return what ``error`` of botocore is; its text is repeated where that cannot be a secret."""
    if isinstance(error, botocore.ClientError):
        return _of_answer(answer_of(error), asked)
    name = type(error).__name__
    if isinstance(error, NO_CREDENTIALS):
        return KeyDenied(asked.service, asked.key_id, f"no credentials: {name}")
    if isinstance(error, _PASSING):
        text = f": {error}" if isinstance(error, _SPOKEN) else ""
        return KeyServiceUnavailable(asked.service, asked.key_id, f"{asked.action}: {name}{text}")
    # A request that cannot be written, or an answer that cannot be read: both may hold a key.
    return KeyServiceFailed(asked.service, asked.key_id, name, f"{asked.action}: see its type")


def _of_answer(answer: Answer, asked: Asked) -> CloudcryptError:
    service, key_id, code, status = asked.service, asked.key_id, answer.code, answer.status or 0
    reason = f"{asked.action}: {code}"
    if code in REFUSED or answer.message.startswith(_NOT_OURS):
        return WrappedKeyRefused(key_id, f"{service} says {code}", answer=answer)
    if code in _THROTTLED:
        return KeyServiceThrottled(service, key_id, answer=answer)
    if code in _LATER or status >= 500:
        return KeyServiceUnavailable(service, key_id, reason, answer=answer)
    if code in _DENIED or status in {401, 403}:
        needed = f"{reason}; it needs {asked.permissions}"
        return KeyDenied(service, key_id, needed, answer=answer)
    return KeyServiceFailed(service, key_id, code, asked.action, answer=answer)
