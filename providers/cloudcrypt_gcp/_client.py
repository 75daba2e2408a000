"""One request to GCE: in its turn, once, and with its error in words of cloudcrypt.

Only methods that return the operation as it is are used (``*_unary``). The other ones return an
object that waits by itself, at the usual endpoint whatever the client's own is, and does not
survive the process.
"""

import importlib.metadata
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from google.api_core.client_options import ClientOptions
from google.api_core.gapic_v1.client_info import ClientInfo
from google.cloud import compute_v1

from cloudcrypt.errors import CloudcryptError, ProviderUnavailable, Throttled
from cloudcrypt.waiting import Clock, Deadline, TokenBucket, retrying
from cloudcrypt_gcp._credentials import Login
from cloudcrypt_gcp._errors import SDK_ERRORS, Request, translated

LEAST_TIMEOUT: Final = 10.0
"""Seconds that a request may take however little time the caller has: an answer that nobody waits
for leaves open whether something was done."""
MOST_TIMEOUT: Final = 60.0
"""Seconds that a request may take at most; GCE answers within seconds, and does the rest later."""
PAGE: Final = 500
"""Things on one page of a list; GCE allows 500 (reference of the parameter ``maxResults``)."""

_CLIENTS: Final[Mapping[str, Any]] = {
    "disks": compute_v1.DisksClient,
    "globalOperations": compute_v1.GlobalOperationsClient,
    "instances": compute_v1.InstancesClient,
    "regionDisks": compute_v1.RegionDisksClient,
    "regionOperations": compute_v1.RegionOperationsClient,
    "regions": compute_v1.RegionsClient,
    "snapshots": compute_v1.SnapshotsClient,
    "zoneOperations": compute_v1.ZoneOperationsClient,
}
FAMILIES: Final[Mapping[str, str]] = {
    "aggregatedList": "list",
    "attachDisk": "attach",
    "createSnapshot": "snapshot",
    "delete": "delete",
    "detachDisk": "attach",
    "insert": "create",
    "list": "list",
    "resize": "modify",
    "setLabels": "modify",
    "update": "modify",
}
"""Which requests are throttled together; all that get one thing are ``get``.

GCE has a rate quota for each group of methods: for those that change something, that list, that get
one thing, and that get an operation (Compute Engine documentation, "Rate quotas"). It limits the
operations under way as well, by their type ("Concurrent operation quotas"). One throttled family
must not slow down the others.
"""
GET: Final = "get"
OPERATIONS: Final = "operations"
_ONE_QUEUE: Final = "Too many pending operations on a resource"
"""How the message begins that says that one instance has too many operations under way; its reason
is that of too many requests (gcp-compute-persistent-disk-csi-driver#1129)."""
_READING: Final = frozenset({GET, "list"})
_HUMP: Final = re.compile(r"(?=[A-Z])")


def is_worth_repeating(error: CloudcryptError) -> bool:
    """Say whether another attempt may help: GCE was throttling, or not to be reached."""
    return isinstance(error, Throttled | ProviderUnavailable)


class Clients:
    """The clients of the SDK, all at one endpoint, each made when it is needed. Thread-safe."""

    def __init__(self, login: Login, endpoint: str | None, provider: str) -> None:
        """Connect to nothing yet.

        Args:
            login: who asks.
            endpoint: the URL of GCE, or None for the usual one.
            provider: the URL that errors name.
        """
        self._login = login
        self._endpoint = endpoint
        self._provider = provider
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def method(self, action: str) -> Any:  # noqa: ANN401 - each has its own types
        """Return the method of the SDK for ``action``, for example ``disks.insert``."""
        resource, _, verb = action.partition(".")
        with self._lock:
            client = self._clients.get(resource)
            if client is None:
                client = self._clients[resource] = self._connected(resource)
        is_reading = FAMILIES.get(verb, GET) in _READING
        name = _HUMP.sub("_", verb).lower()
        return getattr(client, name if is_reading else f"{name}_unary")

    def close(self) -> None:
        """Close the connections. Idempotent; another request opens new ones."""
        with self._lock:
            for client in self._clients.values():
                client.transport.close()
            self._clients.clear()

    def _connected(self, resource: str) -> Any:  # noqa: ANN401 - as above
        version = importlib.metadata.version("cloudcrypt")
        return _CLIENTS[resource](
            credentials=self._login.credentials(self._provider),
            transport="rest",
            client_options=ClientOptions(api_endpoint=self._endpoint),
            client_info=_client_info(f"cloudcrypt/{version}"),
        )


def _client_info(user_agent: str) -> Any:  # noqa: ANN401 - the class has no types
    make: Any = ClientInfo
    return make(user_agent=user_agent)


@attrs.define
class _Family:
    bucket: TokenBucket
    last: Throttled | None = None
    """What GCE said when it throttled last."""


class Api:
    """GCE, as one project sees it. Thread-safe."""

    def __init__(self, clients: Clients, *, project: str, provider: str, clock: Clock) -> None:
        """Use ``clients`` for ``project``; ``provider`` is the URL that errors name."""
        self._clients = clients
        self._project = project
        self._provider = provider
        names = {GET, OPERATIONS, *FAMILIES.values()}
        self._families = {name: _Family(TokenBucket(clock)) for name in names}

    def request(self, action: str, names: Mapping[str, str] | None = None) -> Request:
        """Return what errors of ``action`` name; ``names`` are what it is about, by kind."""
        return Request(action, self._provider, names or {})

    def once(
        self,
        action: str,
        parameters: Mapping[str, object],
        deadline: Deadline,
        names: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - each method has its own answer
        """Send one request, when its family has its turn, and return the answer.

        Args:
            action: the method, for example ``disks.insert``.
            parameters: of the request, in the words of the SDK, but the project.
            deadline: no request is sent after it if its family has to wait.
            names: what an error names, by kind.

        Raises:
            RequestError, ProviderError: see `cloudcrypt_gcp._errors`.
            OperationCancelled: the caller cancelled.
        """
        deadline.check()
        family = self._families[_family_of(action)]
        request = self.request(action, names)
        self._take(family, request, deadline)
        method = self._clients.method(action)
        timeout = min(MOST_TIMEOUT, max(LEAST_TIMEOUT, deadline.remaining))
        asked = {"project": self._project, **parameters}
        try:
            return method(request=asked, retry=None, timeout=timeout)
        except SDK_ERRORS as error:
            refusal = translated(error, request)
            if isinstance(refusal, Throttled) and not _is_of_one(refusal):
                family.last = refusal
                family.bucket.throttled()
            raise refusal from error

    def again(
        self,
        action: str,
        parameters: Mapping[str, object],
        deadline: Deadline,
        names: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - as above
        """Send a request that may be sent twice, until it is answered; otherwise as `once`.

        What changes something may be sent twice if it has a ``request_id``.
        """
        return retrying(
            lambda: self.once(action, parameters, deadline, names),
            deadline=deadline,
            is_safe=is_worth_repeating,
        )

    def pages(
        self, action: str, parameters: Mapping[str, object], deadline: Deadline
    ) -> Iterator[Any]:
        """Yield the pages of a list, each asked for as by `again`."""
        token = ""
        while True:
            at = {"page_token": token} if token else {}
            page = self.again(action, {"max_results": PAGE, **parameters, **at}, deadline)
            yield page
            token = str(page.next_page_token or "")
            if not token:
                return

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._clients.close()

    def _take(self, family: _Family, request: Request, deadline: Deadline) -> None:
        try:
            family.bucket.take(deadline)
        except Throttled as error:  # nothing was sent; GCE said why before
            answer = None if family.last is None else family.last.answer
            raise Throttled(request.action, answer=answer) from error


def _is_of_one(refusal: Throttled) -> bool:
    """Say whether it is one instance that is asked too much of: others need not wait for it."""
    return refusal.answer is not None and refusal.answer.message.startswith(_ONE_QUEUE)


def _family_of(action: str) -> str:
    resource, _, verb = action.partition(".")
    family = FAMILIES.get(verb, GET)
    return OPERATIONS if family == GET and resource.endswith("Operations") else family
