"""Errors of data keys, master secrets and key services."""

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
class UnknownKeyService(KeyServiceError):
    """No adapter is registered for the scheme of a URL; the URL is not repeated."""

    scheme: str
    known: tuple[str, ...]
    instead: str = "use a known scheme, or install the package that brings the adapter"

    grpc_code = "INVALID_ARGUMENT"

    text = "no key service for the scheme {scheme}; known schemes: {known:s}"

    @property
    def remedy(self) -> str:
        """What to install, where that is known."""
        return self.instead


@attrs.frozen(str=False)
class KeyUriInvalid(KeyServiceError):
    """The URL of a key service or of a key store is malformed; it may hold secrets: not repeated.

    ``kind`` says of what it should have been, such as ``kms://aws``.
    """

    kind: str
    reason: str

    advice = (
        "correct the URL; docs/how-to/key-service.md and key-management.md have one of each kind"
    )
    grpc_code = "INVALID_ARGUMENT"

    text = "the URL is not one of {kind:s}: {reason:s}"


@attrs.frozen(str=False)
class DataKeyUnavailable(KeyServiceError):
    """The key service gave no usable key."""

    key_id: str
    reason: str

    advice = "check the key service and the key id, and ask again"
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "no data key for {key_id}: {reason:s}"


@attrs.frozen(str=False)
class DataKeyAbsent(KeyServiceError):
    """There is no data key of this id: none was ever made, or it was shredded."""

    key_id: str
    store: str

    advice = (
        "check the key id and the store; a blob that was deleted by mistake can come back from a "
        "backup of the store"
    )
    grpc_code = "NOT_FOUND"

    text = "{store} has no data key for {key_id}"


@attrs.frozen(str=False)
class WrappedKeyRefused(KeyServiceError):
    """What the store holds for a key id is no data key that was wrapped for it.

    It was truncated, changed, swapped with that of another id, or wrapped by another key.
    """

    key_id: str
    reason: str

    advice = (
        "the store may have been tampered with: compare with its older versions or a backup, and "
        "put back the blob that belongs to this id"
    )
    grpc_code = "DATA_LOSS"

    text = "the wrapped data key for {key_id} is refused: {reason}"


@attrs.frozen(str=False)
class KeyServiceUnavailable(KeyServiceError):
    """The key service cannot be reached, or did not answer in time; it may do so later.

    ``reason`` is what the transport says.
    """

    service: str
    key_id: str
    reason: str

    advice = "check address, network and certificates of the key service, then ask again"
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "key service {service} gave no data key for {key_id}: {reason}"


@attrs.frozen(str=False)
class KeyServiceThrottled(KeyServiceError):
    """The key service asks to be asked more slowly; ``pause`` has the seconds, where it said so."""

    service: str
    key_id: str
    pause: float | None = None

    advice = "ask again later; fewer callers at once, or a cache, need fewer requests"
    retryable = True
    grpc_code = "RESOURCE_EXHAUSTED"

    text = (
        "key service {service} limits the rate of requests: no data key for {key_id} yet; "
        "seconds to wait: {pause:s}"
    )

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before asking again, where the service said so."""
        told = super().retry_after
        return self.pause if told is None else told


@attrs.frozen(str=False)
class KeyDenied(KeyServiceError):
    """The key service does not give this key to this caller."""

    service: str
    key_id: str
    reason: str

    advice = "let the policy of the key service grant this id to this caller, or use its own ids"
    grpc_code = "PERMISSION_DENIED"

    text = "key service {service} refuses the data key for {key_id}: {reason}"


@attrs.frozen(str=False)
class KeyServiceFailed(KeyServiceError):
    """The key service answered with an error that asking again does not change."""

    service: str
    key_id: str
    code: str
    reason: str

    advice = "see what the key service says, and its own log; check that it is one"
    grpc_code = "INTERNAL"

    text = "key service {service} failed for {key_id} with {code:s}: {reason}"
