"""One request to Vault: within its deadline, and with its error in words of key services."""

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import hvac
import requests
from requests.adapters import HTTPAdapter

from cloudcrypt.errors import KeyServiceUnavailable
from cloudcrypt.waiting import Deadline
from cloudcrypt_vault._errors import Asked, translated, unreadable
from cloudcrypt_vault._url import Address

CONNECTIONS: Final = 64
"""Connections that are kept."""
ATTEMPT_MAX: Final = 16.0
"""Seconds that one attempt may take at most."""
CONNECTING: Final = 0.25
"""What part of an attempt may pass until there is a connection."""

_hvac: Final[Any] = hvac  # has no types


class Http:
    """The connections to one Vault. Thread-safe, and each process has its own.

    Proxies, certificates and passwords of the environment are not used, and redirects not followed:
    a token would go with them.
    """

    def __init__(self, address: Address) -> None:
        """Connect to nothing yet."""
        self._address = address
        self._lock = threading.Lock()
        self._sessions: dict[int, requests.Session] = {}

    def send(
        self,
        asked: Asked,
        token: str,
        deadline: Deadline,
        request: Callable[[Any], object],
    ) -> Mapping[str, Any]:
        """Send one request, and return what its answer says in JSON.

        Args:
            asked: what an error names.
            token: who asks; empty for a login.
            deadline: until when the answer must be there.
            request: is called with a client of hvac.

        Raises:
            KeyServiceError: see `cloudcrypt_vault._errors`. Nothing is chained: an error of
                requests has the request with it, and with that perhaps a key.
            OperationCancelled: the caller cancelled.
        """
        deadline.check()
        if deadline.has_passed:
            raise KeyServiceUnavailable(asked.service, asked.key_id, "the deadline has passed")
        seconds = min(deadline.remaining, ATTEMPT_MAX)
        try:
            answer = request(self._client(token, seconds))
        except OSError as error:  # all of requests' errors are, and those of certificate files
            # What is wrong with a request, such as a header, is quoted in a ValueError.
            text = "" if isinstance(error, ValueError) else f": {error}"
            reason = f"{asked.action}: {type(error).__name__}{text}"
        else:
            return _document(answer, asked)
        raise KeyServiceUnavailable(asked.service, asked.key_id, reason)

    def close(self) -> None:
        """Close the connections of this process. Idempotent."""
        with self._lock:
            session = self._sessions.pop(os.getpid(), None)
        if session is not None:
            session.close()

    def _client(self, token: str, seconds: float) -> Any:  # noqa: ANN401 - hvac has no types
        """Return a client for one request; what it costs is the session, which is kept."""
        return _hvac.Client(
            url=self._address.endpoint,
            token=token,  # the empty one, too: None would be that of the environment
            namespace=self._address.namespace,
            timeout=(seconds * CONNECTING, seconds * (1 - CONNECTING)),
            verify=self._address.ca or True,
            session=self._session(),
            allow_redirects=False,
            ignore_exceptions=True,  # they lack the status
        )

    def _session(self) -> requests.Session:
        with self._lock:
            session = self._sessions.get(os.getpid())
            if session is None:
                session = self._sessions[os.getpid()] = self._new_session()
            return session

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = self._address.ca or True
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0))
        return session


def _document(answer: object, asked: Asked) -> Mapping[str, Any]:
    """Return the JSON of a success; hvac gives anything else as it came."""
    if isinstance(answer, dict):
        return cast("Mapping[str, Any]", answer)
    if isinstance(answer, requests.Response) and not 200 <= answer.status_code < 300:
        raise translated(answer, asked)
    raise unreadable(asked, "JSON")
