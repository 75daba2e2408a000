"""One request to Azure: in its turn, once, and with its error in words of cloudcrypt."""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import attrs
from azure.core.paging import ItemPaged
from azure.mgmt.compute import ComputeManagementClient

from cloudcrypt.errors import (
    Answer,
    CloudcryptError,
    ProviderUnavailable,
    Throttled,
    WrongVolumeState,
)
from cloudcrypt.waiting import Clock, Deadline, TokenBucket, retrying
from cloudcrypt_azure._answers import UNREADABLE, Reply, translated
from cloudcrypt_azure._calls import READS, Call
from cloudcrypt_azure._errors import Request
from cloudcrypt_azure._ids import Endpoint
from cloudcrypt_azure._sight import Sight

FAMILIES_MAX: Final = 4096
"""Families that are remembered: two for each machine that disks are attached to."""

Lists = Callable[[ComputeManagementClient, Mapping[str, Any]], ItemPaged[Any]]
"""Begin a list of the SDK, with these options for each of its requests."""


def is_worth_repeating(error: CloudcryptError) -> bool:
    """Say whether another attempt may help: Azure was throttling, or not to be reached."""
    return isinstance(error, Throttled | ProviderUnavailable)


@attrs.define
class _Family:
    bucket: TokenBucket
    stopped: float = 0.0
    """Until when nothing is sent, in seconds of the clock: Azure said so."""
    last: Throttled | None = None
    """What Azure said when it throttled last."""

    @property
    def said(self) -> Answer | None:
        """The answer of that."""
        return None if self.last is None else self.last.answer


class Api:
    """Azure Compute, as one credential sees it in one subscription. Thread-safe."""

    def __init__(
        self,
        client: ComputeManagementClient,
        endpoint: Endpoint,
        *,
        provider: str,
        clock: Clock,
    ) -> None:
        """Use ``client``, which asks at ``endpoint``; ``provider`` is the URL that errors name."""
        self.endpoint = endpoint
        self._client = client
        self._provider = provider
        self._clock = clock
        self._lock = threading.Lock()
        self._families: dict[str, _Family] = {}

    def wait_for_turn(self, call: Call, deadline: Deadline) -> None:
        """Wait for the turn of a request, for `once` to send it without waiting any more.

        Raises:
            Throttled: it is not before the deadline; nothing was sent.
            OperationCancelled: the caller cancelled.
        """
        deadline.check()
        self._take(self._family(call.family), call.action, deadline)

    def once(self, call: Call, deadline: Deadline, *, has_turn: bool = False) -> Reply:
        """Send one request, when its family has its turn, and return the answer.

        Args:
            call: what to ask.
            deadline: no request is sent after it if its family has to wait.
            has_turn: whether it has been waited for the turn, by `wait_for_turn`.

        Raises:
            Throttled: Azure says so, or has said so since the turn came; nothing was done.
            RequestError, ProviderError: see `cloudcrypt_azure._errors`.
            OperationCancelled: the caller cancelled.
        """
        deadline.check()
        family = self._family(call.family)
        request = Request(call.action, self._provider, call.names, call.kind)
        if not has_turn:
            self._take(family, call.action, deadline)
        if self._pause(family) > 0:
            raise Throttled(call.action, answer=family.said)
        try:
            return call.send(self._client)
        except UNREADABLE as error:
            refusal = translated(error, request)
            if isinstance(refusal, Throttled):
                self._throttled(family, refusal)
            raise refusal from error

    def again(self, call: Call, deadline: Deadline) -> Reply:
        """Send a request that may be sent twice, until it is answered; otherwise as `once`."""
        return retrying(
            lambda: self.once(call, deadline), deadline=deadline, is_safe=is_worth_repeating
        )

    def if_true(self, call: Call, sight: Sight[object], deadline: Deadline) -> Reply:
        """Send a request in its turn, if what it is about still is as it was seen.

        Raises:
            WrongVolumeState: it is not; nothing was sent.
            Throttled: nothing was done; whoever asks again looks again.
            ProviderUnavailable: that leaves open whether it was done.
            RequestError, ProviderError: as `once`.
        """
        self.wait_for_turn(call, deadline)
        if not sight.is_true():
            name = next(iter(call.names.values()), call.kind)
            raise WrongVolumeState(name, "changed meanwhile", call.action)
        return self.once(call, deadline, has_turn=True)

    def pages(self, action: str, things: str, lists: Lists, deadline: Deadline) -> Iterator[Any]:
        """Yield what a list has, as JSON, page by page.

        Args:
            action: Azure's word, for example ``Disks_ListByResourceGroup``.
            things: what errors call them, for example ``disks``.
            lists: begins the list.
            deadline: of all pages.

        Raises:
            ProviderError: as `again`; what was yielded before may be incomplete.
        """
        link: str | None = None
        while True:
            page = retrying(
                functools.partial(self._page, action, things, lists, link, deadline),
                deadline=deadline,
                is_safe=is_worth_repeating,
            )
            yield from cast("list[Any]", page.body.get("value") or [])
            link = cast("str | None", page.body.get("nextLink")) or None
            if link is None:
                return
            if not self.endpoint.is_ours(link):  # a token goes with the request for it
                raise ProviderUnavailable(self._provider, f"{action}: a next page elsewhere")

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._client.close()

    def _page(
        self, action: str, things: str, lists: Lists, link: str | None, deadline: Deadline
    ) -> Reply:
        answers: list[Any] = []

        def keep(answer: Any) -> None:  # noqa: ANN401 - the SDK's
            answers.append(answer.http_response)

        def send(client: ComputeManagementClient) -> Reply:
            next(lists(client, {"raw_response_hook": keep}).by_page(link), None)
            return Reply.of(answers[-1])

        return self.once(Call(action, f"{READS} of {things}", send), deadline)

    def _family(self, name: str) -> _Family:
        with self._lock:
            if name not in self._families and len(self._families) >= FAMILIES_MAX:
                del self._families[next(iter(self._families))]
            return self._families.setdefault(name, _Family(TokenBucket(self._clock)))

    def _take(self, family: _Family, action: str, deadline: Deadline) -> None:
        while (pause := self._pause(family)) > 0:  # others may be told to wait for longer
            if pause > deadline.remaining:
                raise Throttled(action, answer=family.said)
            deadline.sleep(pause)
        try:
            family.bucket.take(deadline)
        except Throttled as error:  # nothing was sent; Azure said why before
            raise Throttled(action, answer=family.said) from error

    def _pause(self, family: _Family) -> float:
        return family.stopped - self._clock.monotonic()

    def _throttled(self, family: _Family, refusal: Throttled) -> None:
        family.bucket.throttled()
        pause = self._clock.monotonic() + (refusal.retry_after or 0.0)
        with self._lock:
            family.last = refusal
            family.stopped = max(family.stopped, pause)
