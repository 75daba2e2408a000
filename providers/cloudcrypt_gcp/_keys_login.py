"""Who asks Cloud KMS and Cloud Storage, and where: the credentials and the base URL.

Nothing here falls back: a file of credentials that is named is used or refused, and a service on
loopback by plain HTTP, a fake, is asked by nobody in particular.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import google.auth
from google.auth import aws, identity_pool
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.oauth2 import service_account

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt.urls import check_endpoint
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp._keys_errors import Asked, translated
from cloudcrypt_gcp._keys_locks import ProcessLock
from cloudcrypt_gcp._keys_tokens import PunctualCredentials, on_time, punctual_request

KMS_SCOPE: Final = "https://www.googleapis.com/auth/cloudkms"
STORAGE_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
"""All that is asked for ("OAuth 2.0 scopes for Google APIs")."""

_AWS_TOKEN: Final = "urn:ietf:params:aws:token-type:aws4_request"  # noqa: S105 - a name (RFC 8693)
_google: Final[Any] = google.auth  # has no whole types
_anonymous: Final[Any] = AnonymousCredentials


class Login:
    """Who asks. Thread-safe; the default credentials are looked for when they are needed."""

    def __init__(
        self,
        kind: str,
        scope: str,
        *,
        endpoint: str | None,
        credentials: Credentials | None,
        credentials_path: str | None,
    ) -> None:
        """Take what there is.

        Args:
            kind: of URL, which errors name.
            scope: what is asked for.
            endpoint: the base URL of the service; None means the usual one.
            credentials: of google.auth; None means those of the file, or the default ones.
            credentials_path: a file of credentials in JSON: the key of a service account, or the
                configuration of a workload identity federation.

        Raises:
            KeyUriInvalid: the endpoint is not one, there are two credentials, or the file is none.
        """
        self.endpoint = None if endpoint is None else _host_only(kind, endpoint)
        self._scope = scope
        self._lock = ProcessLock()
        self._credentials: Any = None
        if credentials is not None and credentials_path is not None:
            raise KeyUriInvalid(kind, "there are credentials already, beside credentialsPath")
        if credentials_path is not None:
            credentials = _of_file(kind, credentials_path)
        if credentials is not None:
            scoped = _google.credentials.with_scopes_if_required(credentials, (scope,))
            self._credentials = PunctualCredentials(scoped)
        elif self.endpoint is not None and self.endpoint.startswith("http://"):
            self._credentials = _anonymous()

    def credentials(self, asked: Asked, within: Deadline) -> Any:  # noqa: ANN401 - several classes
        """Return the credentials. One thread looks for them, and none waits beyond its deadline.

        Raises:
            KeyDenied: there are none.
            KeyServiceUnavailable: the metadata server could not be asked, or not in time.
        """
        lock = self._lock.mine()
        if not lock.acquire(timeout=asked.seconds(within)):
            raise asked.unavailable("another thread still looks for credentials")
        try:
            if self._credentials is None:
                self._credentials = self._default(asked, within)
            return self._credentials
        finally:
            lock.release()

    def _default(self, asked: Asked, within: Deadline) -> Any:  # noqa: ANN401 - as above
        """Return the default credentials; where a file of them is no JSON the error has all of it.

        So it is neither cause nor context of ours.
        """
        try:
            with on_time(asked, within):
                request = punctual_request()
                credentials, _ = _google.default(scopes=(self._scope,), request=request)
        except auth.GoogleAuthError as error:
            failure = translated(error, asked)
        except (OSError, ValueError) as error:  # of a file or a variable; of a network it has none
            failure = asked.denied(f"credentials cannot be looked for ({type(error).__name__})")
        else:
            return PunctualCredentials(credentials)
        raise failure


def _host_only(kind: str, endpoint: str) -> str:
    url = check_endpoint(kind, endpoint)
    if urlsplit(url).path:
        raise KeyUriInvalid(kind, "endpoint has no path: Google's libraries write one")
    return url


def _of_file(kind: str, path: str) -> Credentials:
    """Return the credentials in a file; what is in it is secret, so no error of it is repeated."""
    credentials: Any = None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, auth.GoogleAuthError):
        facts: Any = json.loads(Path(path).read_text("utf-8"))
        make = _maker(facts)
        credentials = None if make is None else make(facts)
    if credentials is None:
        reason = (
            "credentialsPath is a file with the key of a service account, or with the configuration"
            " of a workload identity federation that reads its token from a file, a URL or AWS"
        )
        raise KeyUriInvalid(kind, reason)
    return cast("Credentials", credentials)


# Each kind by its own loader: google.auth warns of the general one, which would also take one that
# runs a program that the file names. These two refuse that.


def _maker(facts: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    if facts["type"] == "service_account":
        of_key: Any = service_account.Credentials
        return cast("Callable[[Any], Any]", of_key.from_service_account_info)
    if facts["type"] != "external_account":
        return None
    is_aws = facts["subject_token_type"] == _AWS_TOKEN
    of_pool: Any = aws.Credentials if is_aws else identity_pool.Credentials
    return cast("Callable[[Any], Any]", of_pool.from_info)
