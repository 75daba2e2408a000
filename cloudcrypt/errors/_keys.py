"""Errors of data keys and master secrets."""

import attrs

from cloudcrypt.errors._base import CloudcryptError


class KeyServiceError(CloudcryptError):
    """Data keys and master secrets."""

    grpc_code = "FAILED_PRECONDITION"


@attrs.frozen(str=False)
class MasterSecretInvalid(KeyServiceError):
    """A master secret cannot be read or is malformed; the message never repeats its bytes."""

    source: str
    reason: str

    advice = 'give a file with {"key": BASE64, "salt": BASE64} or a kms://cluster-kms URI'
    grpc_code = "INVALID_ARGUMENT"

    text = "master secret from {source}: {reason:s}"


@attrs.frozen(str=False)
class DataKeyUnavailable(KeyServiceError):
    """The key service gave no usable key."""

    key_id: str
    reason: str

    advice = "check the key service and the key id, and ask again"
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "no data key for {key_id}: {reason:s}"
