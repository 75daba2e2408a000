"""Google Cloud KMS as a KMS: data keys are wrapped by a symmetric key of a key ring.

    kms = GcpKms("projects/my-project/locations/europe-west3/keyRings/disks/cryptoKeys/volumes")

or, by URL, ``gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/K``. Parameters of the URL are
``endpoint``, ``timeout`` and ``credentialsPath``. The key id is additional authenticated data; each
request and each answer has checksums (CRC32C), and both sides check them.

It is asked over HTTPS, by the REST transport of google-cloud-kms: that one follows the proxies of
the environment, and leaves no threads and channels that do not survive a fork, as gRPC has them.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self, TypeVar

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import Credentials
from google.cloud import kms_v1

from cloudcrypt.errors import CloudcryptError, KeyUriInvalid, WrappedKeyRefused
from cloudcrypt.kms import BLOB_MAX, TIMEOUT, WrappingKey, associated_data
from cloudcrypt.secret import Secret
from cloudcrypt.urls import Query, check_seconds
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying
from cloudcrypt_gcp._keys_checksum import crc32c
from cloudcrypt_gcp._keys_errors import SDK_ERRORS, Asked, answer_of, translated
from cloudcrypt_gcp._keys_locks import ProcessLock
from cloudcrypt_gcp._keys_logging import keep_secrets_out_of_logs
from cloudcrypt_gcp._keys_login import KMS_SCOPE, Login
from cloudcrypt_gcp._keys_tokens import on_time

T = TypeVar("T")
Refusal = Callable[[GoogleAPICallError, Asked], CloudcryptError | None]

_SCHEME: Final = "gcp-kms://"
_KIND: Final = "gcp-kms://projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY"
_KEY: Final = re.compile(
    r"projects/([a-z0-9.-]{1,36}:)?[a-z][a-z0-9-]{0,29}/locations/[a-z0-9-]{1,63}"
    r"/keyRings/[a-zA-Z0-9_-]{1,63}/cryptoKeys/[a-zA-Z0-9_-]{1,63}",
    re.ASCII,
)
"""The name of a key ("Getting a Cloud KMS resource ID"); of a project its ID: the service answers
with that, whatever it was asked with."""
_VERSION: Final = "/cryptoKeyVersions/"
_BAD_CHECKSUM: Final = re.compile(r"The checksum in field \w+ did not match the data in field")
"""What the service says of a request that changed on its way ("Data integrity guidelines")."""
_CHANGED: Final = "a request or an answer changed on its way: their checksums differ"

keep_secrets_out_of_logs()


class GcpKms:
    """Wraps with the primary version of one key; unwraps with any that is enabled. Thread-safe.

    A process that was forked has connections of its own.
    """

    secret_parameters: ClassVar[frozenset[str]] = frozenset()
    """None: ``credentialsPath`` is the path of a file."""

    def __init__(
        self,
        key: str,
        *,
        credentials: Credentials | None = None,
        credentials_path: str | None = None,
        endpoint: str | None = None,
        timeout: float = TIMEOUT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Connect to nothing yet.

        Args:
            key: its complete name, without a version.
            credentials: of google.auth; None means those of the file, or the application default
                ones: the workload's identity.
            credentials_path: the file of the key of a service account, or of the configuration of a
                workload identity federation.
            endpoint: the base URL of the service, None for the usual one. One by plain HTTP, on
                loopback only, is asked without credentials.
            timeout: seconds of a call, where it has no deadline.
            clock: the time of deadlines and pauses.

        Raises:
            KeyUriInvalid: one of these cannot be.
        """
        _check_key(key)
        self._key = key
        self._timeout = check_seconds(_KIND, "timeout", timeout)
        self._clock = clock
        self._login = Login(
            _KIND,
            KMS_SCOPE,
            endpoint=endpoint,
            credentials=credentials,
            credentials_path=credentials_path,
        )
        self._lock = ProcessLock()
        self._client: Any = None
        self._owner = 0

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the KMS of ``url``, without a request.

        Raises:
            KeyUriInvalid: it is malformed; it is not repeated.
        """
        head, _, text = url.partition("?")
        if not head.startswith(_SCHEME):
            raise KeyUriInvalid(_KIND, "that is how it begins")
        query = Query(_KIND, text)
        endpoint, timeout = query.endpoint(), query.seconds("timeout", TIMEOUT)
        path = query.get("credentialsPath")
        query.finish()
        key = head.removeprefix(_SCHEME)
        return cls(key, endpoint=endpoint, timeout=timeout, credentials_path=path)

    def wrap(self, plaintext: Secret, key_id: str, *, deadline: Deadline | None = None) -> bytes:
        """Return ``plaintext`` encrypted, ``key_id`` being authenticated along with it.

        Raises:
            KeyDenied, KeyServiceFailed, KeyServiceThrottled, KeyServiceUnavailable: as the service
                says; see `cloudcrypt_gcp._keys_errors`.
        """
        context, data = associated_data(key_id), bytes(plaintext.reveal())
        request = {
            "name": self._key,
            "plaintext": data,
            "plaintext_crc32c": crc32c(data),
            **_with_checksum(context),
        }
        asked = Asked(self._service, key_id, hides=True)

        def attempt(within: Deadline) -> bytes:
            answer = self._once("encrypt", request, asked, within)
            self._check_version(str(answer.name), asked)
            ciphertext = bytes(answer.ciphertext)
            was_whole = (
                answer.verified_plaintext_crc32c
                and answer.verified_additional_authenticated_data_crc32c
            )
            if not was_whole or answer.ciphertext_crc32c != crc32c(ciphertext):
                raise asked.unavailable(_CHANGED)
            return ciphertext

        return self._again(attempt, deadline)

    def unwrap(self, blob: bytes, key_id: str, *, deadline: Deadline | None = None) -> Secret:
        """Return what was wrapped under the same ``key_id``, by any version that is enabled.

        Raises:
            WrappedKeyRefused: the blob is truncated, changed, of another id or of another key.
            KeyServiceFailed: among others, the version that wrapped it is disabled or destroyed.
            KeyDenied, KeyServiceThrottled, KeyServiceUnavailable: as the service says.
        """
        context = associated_data(key_id)
        if not 0 < len(blob) <= BLOB_MAX:
            raise WrappedKeyRefused(key_id, f"it has {len(blob)} bytes")
        request = {
            "name": self._key,
            "ciphertext": blob,
            "ciphertext_crc32c": crc32c(blob),
            **_with_checksum(context),
        }
        asked = Asked(self._service, key_id)

        def attempt(within: Deadline) -> Secret:
            answer = self._once("decrypt", request, asked, within, _refusal)
            plaintext = bytes(answer.plaintext)
            if answer.plaintext_crc32c != crc32c(plaintext):
                raise asked.unavailable(_CHANGED)
            return Secret(plaintext)

        return self._again(attempt, deadline)

    def key(self, *, deadline: Deadline | None = None) -> WrappingKey:
        """Return the key, and the number of its primary version.

        Raises:
            KeyServiceFailed: the key is not there, is not for encryption, or its primary version
                is not enabled.
            KeyDenied, KeyServiceThrottled, KeyServiceUnavailable: as the service says.
        """
        asked = Asked(self._service, "(the wrapping key)")

        def attempt(within: Deadline) -> WrappingKey:
            answer = self._once("get_crypto_key", {"name": self._key}, asked, within)
            self._check_name(str(answer.name), asked)
            purpose, state = answer.purpose, answer.primary.state
            if purpose != kms_v1.CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT:
                name = str(getattr(purpose, "name", purpose))
                raise asked.failed(name, "the key is not one of purpose ENCRYPT_DECRYPT")
            if state != kms_v1.CryptoKeyVersion.CryptoKeyVersionState.ENABLED:
                name = str(getattr(state, "name", state))
                raise asked.failed(name, "the primary version of the key is not enabled")
            self._check_version(str(answer.primary.name), asked)
            return WrappingKey(self._key, str(answer.primary.name).rpartition("/")[2])

        return self._again(attempt, deadline)

    def close(self) -> None:
        """Close the connections. Idempotent; another call opens new ones."""
        with self._lock.mine():
            if self._client is not None and self._owner == os.getpid():
                self._client.transport.close()
            self._client = None

    def __repr__(self) -> str:
        """Return the key's name; credentials are not shown."""
        return f"GcpKms({self._key!r})"

    @property
    def _service(self) -> str:
        """What errors name: project, location, key ring and key, so short that it is not cut."""
        return _SCHEME + "/".join(self._key.split("/")[1::2])

    def _again(self, attempt: Callable[[Deadline], T], deadline: Deadline | None) -> T:
        within = deadline or Deadline.after(self._timeout, clock=self._clock)
        return retrying(lambda: attempt(within), deadline=within)

    def _once(
        self,
        method: str,
        request: Mapping[str, object],
        asked: Asked,
        within: Deadline,
        refusal: Refusal | None = None,
    ) -> Any:  # noqa: ANN401 - each method has its own answer
        """Send one request and return the answer."""
        seconds = asked.seconds(within)
        client = self._connected(asked, within)
        try:
            with on_time(asked, within):
                return getattr(client, method)(request=request, retry=None, timeout=seconds)
        except GoogleAPICallError as error:
            special = None if refusal is None else refusal(error, asked)
            failure = special or translated(error, asked)
        except SDK_ERRORS as error:
            failure = translated(error, asked)
        raise failure

    def _connected(self, asked: Asked, within: Deadline) -> Any:  # noqa: ANN401 - its types are incomplete
        credentials = self._login.credentials(asked, within)
        with self._lock.mine():
            if self._client is None or self._owner != os.getpid():
                self._owner = os.getpid()
                self._client = _client(credentials, self._login.endpoint, asked)
            return self._client

    def _check_version(self, version: str, asked: Asked) -> None:
        """Return if ``version`` is one of this key."""
        self._check_name(version.rpartition(_VERSION)[0], asked)

    def _check_name(self, name: str, asked: Asked) -> None:
        """Return if ``name`` is that of this key."""
        if name != self._key:
            raise asked.failed("wrong key", "the service answers for another key than was asked")


def _refusal(error: GoogleAPICallError, asked: Asked) -> CloudcryptError | None:
    """Return that a blob is refused; None if the error is about something else.

    The service says INVALID_ARGUMENT of a ciphertext that is none, of other authenticated data
    ("the ciphertext is invalid"), and of another key ("verify that 'name' refers to the correct
    CryptoKey"); and of a checksum, which is about the way, not the blob.
    """
    answer = answer_of(error, asked)
    if answer.code != "INVALID_ARGUMENT":
        return None
    if _BAD_CHECKSUM.search(answer.message):
        return asked.unavailable(_CHANGED, answer)
    return WrappedKeyRefused(asked.key_id, "the key service does not decrypt it", answer=answer)


def _client(credentials: Any, endpoint: str | None, asked: Asked) -> Any:  # noqa: ANN401 - as above
    make: Any = kms_v1.KeyManagementServiceClient
    options = ClientOptions(api_endpoint=endpoint)
    try:
        return make(credentials=credentials, transport="rest", client_options=options)
    except SDK_ERRORS as error:
        failure = translated(error, asked)
    raise failure


def _with_checksum(context: bytes) -> dict[str, object]:
    return {
        "additional_authenticated_data": context,
        "additional_authenticated_data_crc32c": crc32c(context),
    }


def _check_key(key: str) -> None:
    if _VERSION in key:
        raise KeyUriInvalid(_KIND, "it names a version, and the service chooses that: leave it out")
    if _KEY.fullmatch(key) is None:
        raise KeyUriInvalid(_KIND, "the name of a key, with the ID of its project")
