"""Tokens of Vault: come by, renewed in time, and replaced when Vault refuses them."""

import os
import re
import threading
from pathlib import Path
from typing import Any, Final, cast

import attrs

from cloudcrypt.errors import KeyDenied, KeyServiceError, KeyServiceUnavailable
from cloudcrypt.secret import Secret
from cloudcrypt.urls import SECONDS_MAX
from cloudcrypt.waiting import Clock, Deadline
from cloudcrypt_vault._errors import Asked, unreadable
from cloudcrypt_vault._http import Http
from cloudcrypt_vault._url import Login

VARIABLE: Final = "VAULT_TOKEN"
"""Of the environment: the one that Vault's own command line reads."""

RENEWING: Final = 2 / 3
"""What part of its life a token has when it is renewed, as Vault Agent does it."""

_SENDABLE: Final = re.compile(rb"[!-~]+")
_JWT_MAX: Final = 64 * 1024  # bytes; those of Kubernetes have one or two thousand


@attrs.frozen
class _Token:
    value: Secret
    lease: float
    """Seconds of life that it was given at login; 0 if it is not known."""
    due: float
    """When it is to be renewed, on the clock's monotonic time."""
    end: float


class Tokens:
    """The token of one `Login`. Thread-safe: of callers that need a new one, one asks for it.

    A token that comes from a file or the environment is renewed by whoever put it there; it is read
    again when Vault refuses it.
    """

    def __init__(self, login: Login, token: Secret | None, http: Http, clock: Clock) -> None:
        """Have none yet; ``token`` is one that the caller has, in the place of a login."""
        self._login = login
        self._given = token
        self._http = http
        self._clock = clock
        self._lock = threading.Lock()
        self._token: _Token | None = None

    def get(self, asked: Asked, deadline: Deadline) -> tuple[Secret, bool]:
        """Return a token, and whether it was come by just now.

        Raises:
            KeyDenied: there is none, or Vault does not give one.
            KeyServiceError: Vault could not be asked.
        """
        if not self._lock.acquire(timeout=min(deadline.remaining, SECONDS_MAX)):
            raise KeyServiceUnavailable(asked.service, asked.key_id, "another login takes long")
        try:
            token = self._token
            if token is not None and self._clock.monotonic() < token.due:
                return token.value, False
            self._token = self._next(token, asked, deadline)
            return self._token.value, self._token is not token
        finally:
            self._lock.release()

    def drop(self, token: Secret) -> None:
        """Forget ``token``, which Vault refused, unless there is another one by now."""
        with self._lock:
            if self._token is not None and self._token.value is token:
                self._token = None

    def _next(self, old: _Token | None, asked: Asked, deadline: Deadline) -> _Token:
        """Return the token that follows ``old``: itself, renewed, or a new one."""
        if old is None:
            return self._new(asked, deadline)
        renewed = self._renewed(old, asked, deadline)
        if renewed is not None:
            return renewed
        try:
            return self._new(asked, deadline)
        except KeyServiceError:
            if self._clock.monotonic() < old.end:
                return old  # it is still good; the next call tries again
            raise

    def _renewed(self, old: _Token, asked: Asked, deadline: Deadline) -> _Token | None:
        """Return ``old`` with a longer life; None if it cannot be, or not for long."""
        if self._clock.monotonic() >= old.end:
            return None
        renewing = attrs.evolve(asked, action="renew-self")
        try:
            answer = self._http.send(
                renewing, _text(old.value), deadline, lambda client: client.auth.token.renew_self()
            )
            renewed = self._granted(answer, renewing)
        except KeyServiceError:
            return None
        if renewed.end - self._clock.monotonic() < old.lease / 2:  # near its greatest age
            return None
        return attrs.evolve(renewed, value=old.value, lease=old.lease)

    def _new(self, asked: Asked, deadline: Deadline) -> _Token:
        login = self._login
        if login.role is not None:
            return self._logged_in(login.role, attrs.evolve(asked, action="login"), deadline)
        if self._given is not None:
            value = _checked(self._given, "token", asked)
        elif login.token_path is not None:
            value = _read(login.token_path, "tokenPath", asked)
        else:
            value = _of_environment(asked)
        return _Token(value, 0.0, float("inf"), float("inf"))

    def _logged_in(self, role: str, asked: Asked, deadline: Deadline) -> _Token:
        jwt = _read(self._login.jwt_path, "jwtPath", asked)
        mount = self._login.auth
        answer = self._http.send(
            asked,
            "",
            deadline,
            lambda client: client.auth.kubernetes.login(
                role, _text(jwt), use_token=False, mount_point=mount
            ),
        )
        return self._granted(answer, asked)

    def _granted(self, answer: Any, asked: Asked) -> _Token:  # noqa: ANN401 - parsed JSON
        auth: object = answer.get("auth")
        if not isinstance(auth, dict):
            raise unreadable(asked, "auth")
        granted = cast("dict[str, object]", auth)
        value, lease = granted.get("client_token"), granted.get("lease_duration")
        if not isinstance(value, str) or not isinstance(lease, int):
            raise unreadable(asked, "token")
        if not _SENDABLE.fullmatch(value.encode(errors="surrogatepass")):
            raise unreadable(asked, "token")
        now = self._clock.monotonic()
        life = float(lease) if lease else float("inf")  # 0 is a token without an end
        return _Token(Secret(value.encode()), float(lease), now + life * RENEWING, now + life)


def _of_environment(asked: Asked) -> Secret:
    value = os.environ.get(VARIABLE, "").strip()
    if not value:
        reason = f"no token: give role or tokenPath, or set {VARIABLE}"
        raise KeyDenied(asked.service, asked.key_id, reason)
    return _checked(Secret(os.fsencode(value)), VARIABLE, asked)


def _read(path: str, name: str, asked: Asked) -> Secret:
    """Return what the file of a token has."""
    try:
        with Path(path).open("rb") as file:
            value = file.read(_JWT_MAX).strip()
    except OSError as error:
        reason = f"{name} cannot be read: {error.strerror}"
        raise KeyDenied(asked.service, asked.key_id, reason) from error
    return _checked(Secret(value), name, asked)


def _checked(value: Secret, name: str, asked: Asked) -> Secret:
    """Return ``value`` if a header can have it: an error of HTTP about one that cannot quotes it.

    Raises:
        KeyDenied: it is empty, or has a space, a line break or a character that ASCII does not
            have; ``name`` says where it comes from.
    """
    if not _SENDABLE.fullmatch(value.reveal()):
        reason = f"{name} has no token: one line of printable ASCII without spaces is one"
        raise KeyDenied(asked.service, asked.key_id, reason)
    return value


def _text(value: Secret) -> str:
    return bytes(value.reveal()).decode()
