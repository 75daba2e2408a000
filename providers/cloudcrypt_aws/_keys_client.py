"""One request to AWS KMS or S3: within its deadline, its errors in words of key services."""

import importlib.metadata
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

import boto3.session
from botocore import exceptions as botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from cloudcrypt.errors import CloudcryptError, KeyServiceUnavailable, KeyUriInvalid
from cloudcrypt.urls import check_endpoint, is_loopback
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying
from cloudcrypt_aws._client import CONNECTIONS
from cloudcrypt_aws._errors import NO_CREDENTIALS
from cloudcrypt_aws._keys_errors import Asked, translated
from cloudcrypt_aws._keys_url import Access

T = TypeVar("T")

ATTEMPT_MAX: Final = 16.0
"""Seconds that one attempt may take at most: twice that of what is left for it is waited in vain
only where a host does not answer at all."""
ATTEMPT_MIN: Final = 0.25
"""Seconds that one attempt may take at least; a deadline that is nearer is not waited for."""
CONNECTING: Final = 0.25
"""What part of an attempt may pass until there is a connection."""


_FAILURES: Final = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    *(AttributeError, LookupError, TypeError, ValueError),  # botocore's parsers, of odd answers
)


class Api:
    """A service of AWS, as one account sees it. Thread-safe, and each process has its own.

    botocore takes its timeouts when a client is made, so there is a client for each of some lengths
    of time that an attempt may take, made when it is needed: an attempt ends by the deadline.
    """

    def __init__(
        self,
        service: str,
        access: Access,
        session: boto3.session.Session | None,
        clock: Clock,
    ) -> None:
        """Connect to nothing yet; credentials are looked for when they are needed.

        Args:
            service: boto3's word for it, such as ``kms``.
            access: region, endpoint and credentials.
            session: with other credentials; None is a new one.
            clock: what waits happen on where a deadline has none of its own.

        Raises:
            KeyUriInvalid: there is no region, or no usable endpoint.
        """
        self._service = service
        self._access = access
        self._clock = clock
        self._session = session
        self._lock = threading.Lock()
        self._clients: dict[tuple[int, float], Any] = {}
        self.region = str(self._client(ATTEMPT_MAX).meta.region_name)

    def until(self, deadline: Deadline | None) -> Deadline:
        """Return ``deadline``, or the one that a call has if nobody names one."""
        if deadline is None:
            return Deadline.after(self._access.timeout, clock=self._clock)
        if deadline.clock is not SYSTEM_CLOCK or self._clock is SYSTEM_CLOCK:
            return deadline
        return Deadline.after(
            deadline.remaining, clock=self._clock, cancellation=deadline.cancellation
        )

    def once(
        self,
        asked: Asked,
        parameters: Mapping[str, object],
        deadline: Deadline,
        read: Callable[[Mapping[str, Any]], T],
    ) -> T:
        """Send one request, and return what ``read`` makes of its answer.

        Args:
            asked: the action, and what an error names.
            parameters: of the request.
            deadline: until when the answer must be there.
            read: takes what is needed out of the answer, its body for example.

        Raises:
            KeyServiceError: see `cloudcrypt_aws._keys_errors`. Nothing is chained: an error of
                botocore has the request with it, and with that perhaps a key.
            OperationCancelled: the caller cancelled.
        """
        deadline.check()
        if deadline.has_passed:
            raise KeyServiceUnavailable(asked.service, asked.key_id, "the deadline has passed")
        try:
            client = self._client(_seconds(deadline.remaining))
            method = getattr(client, _method(client, asked.action))
            return read(cast("Mapping[str, Any]", method(**parameters)))
        except _FAILURES as error:
            failure = translated(error, asked)
        raise failure

    def again(
        self,
        asked: Asked,
        parameters: Mapping[str, object],
        deadline: Deadline,
        read: Callable[[Mapping[str, Any]], T],
    ) -> T:
        """Send a request that may be sent twice until it is answered; otherwise as `once`."""
        return retrying(lambda: self.once(asked, parameters, deadline, read), deadline=deadline)

    def close(self) -> None:
        """Close the connections of this process. Idempotent."""
        with self._lock:
            mine = [key for key in self._clients if key[0] == os.getpid()]
            for client in [self._clients.pop(key) for key in mine]:
                client.close()

    def _client(self, seconds: float) -> Any:  # noqa: ANN401 - boto3 makes its classes
        key = os.getpid(), seconds
        with self._lock:  # a session makes one client at a time
            if key not in self._clients:
                self._clients[key] = self._connected(seconds)
            return self._clients[key]

    def _connected(self, seconds: float) -> Any:  # noqa: ANN401 - boto3 makes its classes
        failure: CloudcryptError
        try:
            client = self._made(seconds)
        except botocore.NoRegionError:
            failure = KeyUriInvalid(self._access.kind, "region is missing, here and in AWS_REGION")
        except (BotoCoreError, ValueError) as error:
            failure = self._misconfigured(error)
        else:
            check_endpoint(self._access.kind, str(client.meta.endpoint_url))  # AWS_ENDPOINT_URL
            return client
        raise failure

    def _made(self, seconds: float) -> Any:  # noqa: ANN401 - boto3 makes its classes
        access = self._access
        if self._session is None:
            key = access.access_key
            self._session = boto3.session.Session(
                aws_access_key_id=access.access_key_id,
                aws_secret_access_key=None if key is None else bytes(key.reveal()).decode(),
            )
        used: Any = self._session
        if not (access.region or used.region_name):  # S3 alone would do without
            raise botocore.NoRegionError
        return used.client(
            self._service,
            region_name=access.region,
            endpoint_url=access.endpoint,
            config=_config(seconds, access.endpoint),
        )

    def _misconfigured(self, error: Exception) -> CloudcryptError:
        if isinstance(error, NO_CREDENTIALS):
            return translated(error, Asked(self._access.kind, "", "connecting"))
        return KeyUriInvalid(self._access.kind, f"boto3 does not take it: {type(error).__name__}")


def _config(seconds: float, endpoint: str | None) -> Config:
    is_here = endpoint is not None and is_loopback(urlsplit(endpoint).hostname or "")
    return Config(
        connect_timeout=seconds * CONNECTING,
        max_pool_connections=CONNECTIONS,
        proxies={} if is_here else None,
        read_timeout=seconds * (1 - CONNECTING),
        retries={"total_max_attempts": 1, "mode": "standard"},
        # Whoever names an endpoint has a name for it, and seldom one for each bucket.
        s3=None if endpoint is None else {"addressing_style": "path"},
        user_agent_extra=f"cloudcrypt/{importlib.metadata.version('cloudcrypt')}",
    )


def _seconds(remaining: float) -> float:
    """Return a length of time, of a few, that is not more than remains."""
    seconds = ATTEMPT_MAX
    while seconds > remaining and seconds > ATTEMPT_MIN:
        seconds /= 2
    return seconds


def _method(client: Any, action: str) -> str:  # noqa: ANN401 - boto3 makes its classes
    names: Mapping[str, str] = client.meta.method_to_api_mapping
    return next(method for method, name in names.items() if name == action)
