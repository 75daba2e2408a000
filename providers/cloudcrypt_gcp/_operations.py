"""Operations of GCE: how a request is sent once, waited for, and found again after a restart.

Every request that changes something has a ``requestId`` that follows from the owner, the token of
the intent and the verb. GCE answers the same id with the same operation, so a request whose answer
was lost is just sent again, by any process.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs

from cloudcrypt.errors import (
    CloudcryptError,
    NotFound,
    OperationPending,
    ProviderError,
    ProviderUnavailable,
    RequestConflict,
    RequestError,
    Throttled,
    WrongVolumeState,
)
from cloudcrypt.waiting import Deadline, retrying
from cloudcrypt_gcp import _names
from cloudcrypt_gcp._client import Api, is_worth_repeating
from cloudcrypt_gcp._errors import failure
from cloudcrypt_gcp._ids import GLOBAL, Reference, Scope
from cloudcrypt_gcp._look import INCOMPLETE, where
from cloudcrypt_gcp._records import OperationRecord
from cloudcrypt_gcp._waits import FACTOR, FIRST, LONGEST, Still, settled, until

SERVICES: Final[Mapping[str, str]] = {
    "global": "globalOperations",
    "regions": "regionOperations",
    "zones": "zoneOperations",
}
"""Which part of the API knows the operations of a kind of scope."""
PASSES: Final = (Throttled, WrongVolumeState)
"""What an operation fails with when nothing was tried: the same may be asked again, anew."""

Again = Callable[[int, CloudcryptError], Reference]
"""Asks once more, with the next number of the attempt; the error says why."""


@attrs.frozen
class Asked:
    """A request as it is sent: the method, what errors name by kind, and whose intent it is.

    ``namespace`` is that of the token; request ids are of the whole project. ``verb`` and ``about``
    are what tells requests with one token apart. A creation is about nothing yet, so one token
    creates one thing; methods for zonal and regional disks are one verb.
    """

    namespace: str
    token: str
    verb: str
    action: str
    names: Mapping[str, str]
    about: str = ""

    @property
    def makes(self) -> bool:
        """Whether it makes something new."""
        return not self.about

    @property
    def subject(self) -> str:
        """What an error is about."""
        return next(iter(self.names.values()), self.action)

    def request_id(self, attempt: int = 1) -> str:
        """Return the ``requestId`` of an attempt."""
        return _names.request_id(self.namespace, self.token, f"{self.verb} {self.about}", attempt)


@attrs.frozen
class Operations:
    """The operations of one project. Thread-safe."""

    api: Api

    def begin(
        self, asked: Asked, parameters: Mapping[str, object], attempt: int, deadline: Deadline
    ) -> OperationRecord:
        """Send a request until it is answered, and return its operation.

        Where an answer was lost, and GCE then refuses, the operation is looked for: it is the later
        request that was refused.

        Raises:
            RequestError, ProviderError: GCE refused; nothing was changed.
            ProviderUnavailable: also where GCE refuses to make something after an answer was lost,
                and shows no operation: the token must not be given up for that.
        """
        sent = {**parameters, "request_id": asked.request_id(attempt)}
        is_lost = False

        def send() -> OperationRecord:
            nonlocal is_lost
            try:
                return OperationRecord.of(self.api.once(asked.action, sent, deadline, asked.names))
            except ProviderUnavailable:
                is_lost = True
                raise

        try:
            return retrying(send, deadline=deadline, is_safe=is_worth_repeating)
        except (ProviderUnavailable, RequestConflict):
            raise
        except (RequestError, ProviderError) as error:
            if not is_lost:
                raise
            found = self._accepted(asked, _scope_of(parameters), attempt, error, deadline)
            if found is None:
                raise
            return found

    def _accepted(
        self,
        asked: Asked,
        scope: Scope,
        attempt: int,
        error: RequestError | ProviderError,
        deadline: Deadline,
    ) -> OperationRecord | None:
        """Return the operation of a request whose answer was lost, or None if there is none.

        Raises:
            OperationPending: it makes something, and it is too early to be sure.
            ProviderUnavailable: it makes something; an operation that does not show is no proof.
        """

        def look() -> OperationRecord | None:
            return self._of_request(asked.request_id(attempt), scope, deadline)

        if not asked.makes:
            return look()
        try:
            found = settled(look, deadline, asked.action, asked.subject, cause=error)
        except OperationPending:
            raise
        except (RequestError, ProviderError):
            found = None
        if found is None:
            reason = f"{asked.action}: an answer was lost, and then: {error.message}"
            provider = self.api.request(asked.action).provider
            raise ProviderUnavailable(provider, reason, answer=error.answer) from error
        return found

    def _of_request(self, wanted: str, scope: Scope, deadline: Deadline) -> OperationRecord | None:
        found = self._listed(scope, where("clientOperationId", wanted), deadline)
        return next((one for one in found if one.request_id == wanted), None)

    def begun(
        self, asked: Asked, scope: Scope, deadline: Deadline
    ) -> Iterator[tuple[int, OperationRecord]]:
        """Yield the operations of all attempts that GCE knows, with their numbers."""
        attempt = 1
        while True:
            record = self._of_request(asked.request_id(attempt), scope, deadline)
            if record is None:
                return
            yield attempt, record
            attempt += 1

    def under_way(self, target: str, kind: str, scope: Scope, deadline: Deadline) -> str | None:
        """Return the ``requestId`` of an operation that changes ``target`` and is not done.

        Args:
            target: the path of the resource.
            kind: GCE's word for what is done, for example ``detachDisk``.
            scope: where the resource is.
            deadline: until when to ask.

        Returns:
            None if there is none; empty if whoever asked for it gave no id.
        """
        wanted = f'{where("operationType", kind)} (status != "DONE")'
        for record in self._listed(scope, wanted, deadline):
            if record.kind == kind and record.target == target and not record.is_done:
                return record.request_id
        return None

    def finished(
        self, reference: Reference, asked: Asked, deadline: Deadline, again: Again
    ) -> Reference:
        """Wait until the operation is done, and return the reference of the one that counts.

        An operation that GCE does not know any more was finished long ago; what came of it shows.
        The reference is then without it. One that failed before anything was tried is asked for
        again, as another attempt.

        Raises:
            OperationPending: it is under way at the deadline.
            RequestError, ProviderError: it failed.
        """
        pauses = deadline.steps(FIRST, FACTOR, LONGEST)
        while reference.operation:
            record = self._done(reference, asked, deadline)
            if record is None:
                return attrs.evolve(reference, operation="")
            if not record.errors:
                break
            request = self.api.request(asked.action, asked.names)
            error = failure(record.errors, record.http_status, record.name, request)
            if not isinstance(error, PASSES) or not pauses.again():
                raise error
            reference = again(reference.attempt + 1, error)
        return reference

    def _done(
        self, reference: Reference, asked: Asked, deadline: Deadline
    ) -> OperationRecord | None:

        def look() -> tuple[OperationRecord | None] | Still:
            record = self._get(reference, deadline)
            if record is None or record.is_done:
                return (record,)
            return Still(record.status)

        return until(look, deadline, asked.action, asked.subject)[0]

    def _get(self, reference: Reference, deadline: Deadline) -> OperationRecord | None:
        scope = reference.scope
        names = {"operation": reference.operation}
        action, parameters = f"{SERVICES[scope.kind]}.get", {**scope.parameters, **names}
        for _ in range(2):  # a look may be old
            try:
                return OperationRecord.of(self.api.again(action, parameters, deadline, names))
            except NotFound as error:
                if error.kind not in names:  # it is the project, or the zone
                    raise
        return None

    def _listed(self, scope: Scope, wanted: str, deadline: Deadline) -> Iterator[OperationRecord]:
        parameters = {**scope.parameters, "filter": wanted}
        action = f"{SERVICES[scope.kind]}.list"
        for page in self.api.pages(action, parameters, deadline):
            if page.warning.code in INCOMPLETE:  # that nothing is under way would be a guess
                provider = self.api.request(action).provider
                raise ProviderUnavailable(provider, f"GCE cannot list all operations of {scope}")
            yield from map(OperationRecord.of, page.items)


def _scope_of(parameters: Mapping[str, object]) -> Scope:
    """Return where the operation of a request with these parameters is."""
    for kind, make in (("zone", Scope.zone), ("region", Scope.region)):
        if kind in parameters:
            return make(str(parameters[kind]))
    return GLOBAL
