"""One request to EC2: in its turn, once, and with its error in words of cloudcrypt."""

import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import attrs
import boto3.session
from botocore import exceptions as botocore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from cloudcrypt.errors import CloudcryptError, InvalidRequest, ProviderUnavailable, Throttled
from cloudcrypt.waiting import Clock, Deadline, TokenBucket, retrying
from cloudcrypt_aws._errors import NO_CREDENTIALS, Request, translated

if TYPE_CHECKING:
    from types_boto3_ec2.client import EC2Client

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for a connection; botocore's default of 60 is as long as many a caller's deadline."""
READ_TIMEOUT: Final = 60.0
"""Seconds for an answer, as botocore has it."""
CONNECTIONS: Final = 64
"""Requests at a time; botocore's default of 10 makes the others wait for a connection."""
PAGE: Final = 500
"""Things on one page of a list; EC2 allows 5 to 1000 (EC2 API reference, MaxResults)."""

FAMILIES: Final[Mapping[str, str]] = {
    "AttachVolume": "attach",
    "CopyVolumes": "create",
    "CreateSnapshot": "snapshot",
    "CreateVolume": "create",
    "DeleteSnapshot": "snapshot",
    "DeleteVolume": "delete",
    "DetachVolume": "attach",
    "ModifyVolume": "modify",
}
"""Which requests are throttled together; all that only look are ``describe``.

EC2 has a bucket for each request that changes something, and one for those that only look (EC2 API
reference, "Request throttling"); one throttled family must not slow down the others.
"""
DESCRIBE: Final = "describe"


def connect(
    region: str | None, session: boto3.session.Session | None, endpoint: str | None
) -> "EC2Client":
    """Return a client of EC2 that tries nothing again by itself.

    Args:
        region: or None, where the session or the environment names one.
        session: with the credentials; None is a new one, by boto3's usual chain.
        endpoint: the URL of EC2, or None for the usual one of the region (or of the environment).

    Raises:
        InvalidRequest: there is no region, or the endpoint or the configuration cannot be.
        CredentialsRefused: there are credentials, but not whole ones.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        max_pool_connections=CONNECTIONS,
        read_timeout=READ_TIMEOUT,
        retries={"total_max_attempts": 1, "mode": "standard"},
        user_agent_extra=f"cloudcrypt/{importlib.metadata.version('cloudcrypt')}",
    )
    try:
        # Only this one service has types here, so the method is not typed as a whole.
        used: Any = boto3.session.Session() if session is None else session
        return cast(
            "EC2Client",
            used.client("ec2", region_name=region, endpoint_url=endpoint, config=config),
        )
    except botocore.NoRegionError as error:
        rule = "none is configured: name it in the URL, or in AWS_DEFAULT_REGION"
        raise InvalidRequest("region", region, rule) from error
    except NO_CREDENTIALS as error:
        raise translated(error, Request("connecting", "aws")) from error
    except (BotoCoreError, ValueError) as error:
        raise InvalidRequest("configuration of AWS", endpoint, str(error)) from error


def is_worth_repeating(error: CloudcryptError) -> bool:
    """Say whether another attempt may help: EC2 was throttling, or not to be reached."""
    return isinstance(error, Throttled | ProviderUnavailable)


def is_throttled(error: CloudcryptError) -> bool:
    """Say whether nothing was done, and another attempt may help."""
    return isinstance(error, Throttled)


@attrs.define
class _Family:
    bucket: TokenBucket
    last: Throttled | None = None
    """What EC2 said when it throttled last."""


class Api:
    """EC2, as one account sees it in one region. Thread-safe."""

    def __init__(self, client: "EC2Client", *, provider: str, clock: Clock) -> None:
        """Use ``client``; ``provider`` is the URL that errors name."""
        self._client = client
        self._provider = provider
        methods = client.meta.method_to_api_mapping
        self._methods = {action: method for method, action in methods.items()}
        names = {DESCRIBE, *FAMILIES.values()}
        self._families = {name: _Family(TokenBucket(clock)) for name in names}

    @property
    def actions(self) -> frozenset[str]:
        """The requests that this release of boto3 knows."""
        return frozenset(self._methods)

    def once(
        self,
        action: str,
        parameters: Mapping[str, object],
        deadline: Deadline,
        names: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Send one request, when its family has its turn, and return the answer.

        Args:
            action: EC2's word, for example ``CreateVolume``.
            parameters: of the request.
            deadline: no request is sent after it if its family has to wait.
            names: what an error names, by kind.

        Raises:
            RequestError, ProviderError: see `cloudcrypt_aws._errors`.
            OperationCancelled: the caller cancelled.
        """
        deadline.check()
        family = self._families[FAMILIES.get(action, DESCRIBE)]
        request = Request(action, self._provider, names or {})
        self._take(family, request, deadline)
        method = getattr(self._client, self._methods[action])
        try:
            return cast("Mapping[str, Any]", method(**parameters))
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            refusal = translated(error, request)
            if isinstance(refusal, Throttled):
                family.last = refusal
                family.bucket.throttled()
            raise refusal from error

    def again(
        self,
        action: str,
        parameters: Mapping[str, object],
        deadline: Deadline,
        names: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Send a request that may be sent twice, until it is answered; otherwise as `once`."""
        return retrying(
            lambda: self.once(action, parameters, deadline, names),
            deadline=deadline,
            is_safe=is_worth_repeating,
        )

    def unless_throttled(
        self,
        action: str,
        parameters: Mapping[str, object],
        deadline: Deadline,
        names: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Send a request, again only while EC2 throttles it; otherwise as `once`.

        `ProviderUnavailable` leaves open whether it was done.
        """
        return retrying(
            lambda: self.once(action, parameters, deadline, names),
            deadline=deadline,
            is_safe=is_throttled,
        )

    def pages(
        self,
        action: str,
        parameters: Mapping[str, object],
        things: str,
        deadline: Deadline,
        *,
        is_patient: bool = True,
    ) -> Iterator[Mapping[str, Any]]:
        """Yield all ``things`` that a request lists, page by page.

        Each page is asked for as by `again`, or by `once` without patience.
        """
        send = self.again if is_patient else self.once
        token: str | None = None
        while True:
            at = {} if token is None else {"NextToken": token}
            page = send(action, {**parameters, **at}, deadline)
            yield from cast("list[Mapping[str, Any]]", page.get(things, []))
            token = cast("str | None", page.get("NextToken"))
            if not token:
                return

    def in_doubt(self, action: str, error: CloudcryptError) -> ProviderUnavailable:
        """Return what is known when an answer was lost, and EC2 then refused with ``error``.

        What it refused is the later request; the earlier one may be done.
        """
        reason = f"{action}: an answer was lost, and then: {error.message}"
        return ProviderUnavailable(self._provider, reason, answer=error.answer)

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._client.close()

    def _take(self, family: _Family, request: Request, deadline: Deadline) -> None:
        try:
            family.bucket.take(deadline)
        except Throttled as error:  # nothing was sent; EC2 said why before
            answer = None if family.last is None else family.last.answer
            raise Throttled(request.action, answer=answer) from error
