"""Access tokens, asked for within the time that a call has.

google-auth asks for a token as often as it sees fit, with pauses: at a metadata server that hangs
that takes longer than a call may. Here each of its requests is the last if the time is over.
"""

import threading
from collections.abc import Callable, Generator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, cast

import attrs
from google.auth.credentials import Credentials
from google.auth.transport.requests import Request

from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp._keys_errors import Asked

Send = Callable[..., Any]
_Base: Final[Any] = Credentials  # its methods have no types
_request: Final[Any] = Request


class _Call(threading.local):
    """The call that this thread is in."""

    current: tuple[Asked, Deadline] | None = None


_CALL: Final = _Call()


@contextmanager
def on_time(asked: Asked, deadline: Deadline) -> Generator[None]:
    """Let tokens that this thread needs in the block be asked for until ``deadline``."""
    before, _CALL.current = _CALL.current, (asked, deadline)
    try:
        yield
    finally:
        _CALL.current = before


@attrs.frozen
class _Punctual:
    """Sends a request of google-auth in the time that the call of the thread has.

    A thread of google-auth's own has none: it copies this and asks for what no call waits for.
    """

    send: Send

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - of google-auth
        """Send it; raise where the time is over."""
        if _CALL.current is None:
            return self.send(*arguments, **options)
        asked, deadline = _CALL.current
        seconds = asked.seconds(deadline)
        told = options.get("timeout")
        return self.send(*arguments, **{**options, "timeout": min(seconds, told or seconds)})

    @property
    def session(self) -> Any:  # noqa: ANN401 - requests.Session, where there is one
        """That of the request: google-auth gives it the certificates of the metadata server."""
        sender: Any = self.send
        return sender.session


def punctual_request() -> Send:
    """Return a request of google-auth that ends with the call of its thread; see `on_time`."""
    return _Punctual(_request())


class PunctualCredentials(_Base):  # type: ignore[misc]  # as above
    """Other credentials, whose requests end with the call of this thread."""

    def __init__(self, credentials: Any) -> None:  # noqa: ANN401 - google.auth has several classes
        """Stand in for ``credentials``."""
        _Base.__init__(self)
        self._credentials = credentials

    def before_request(
        self, request: Send, method: str, url: str, headers: MutableMapping[str, str]
    ) -> None:
        """Put the token into ``headers``; get one first if there is none, or if it expires."""
        self._credentials.before_request(_Punctual(request), method, url, headers)

    def refresh(self, request: Send) -> None:
        """Get a new token."""
        self._credentials.refresh(_Punctual(request))

    @property
    def universe_domain(self) -> str:
        """The universe of Google's that the credentials are for."""
        return cast("str", self._credentials.universe_domain)
