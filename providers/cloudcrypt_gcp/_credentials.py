"""Credentials: explicit ones, those of a file, or the application default ones."""

import contextlib
import threading
from typing import Any, Final, cast

import google.auth
from google.auth import exceptions as auth
from google.auth.credentials import Credentials
from google.oauth2 import service_account

from cloudcrypt.errors import InvalidRequest
from cloudcrypt_gcp._errors import Request, translated

SCOPES: Final = ("https://www.googleapis.com/auth/compute",)
"""All that is asked for ("OAuth 2.0 scopes for Google APIs", Compute Engine API)."""

_google: Final[Any] = google.auth  # has no whole types
_service_account: Final[Any] = service_account
_unreadable: Final[Any] = auth.DefaultCredentialsError


class Login:
    """Who asks. Thread-safe; the default credentials are looked for when they are needed."""

    def __init__(self, credentials: Credentials | None, service_account_file: str | None) -> None:
        """Take what there is.

        Args:
            credentials: of google.auth; None means those of the file, or the default ones.
            service_account_file: the path of the key of a service account, in JSON.

        Raises:
            InvalidRequest: there are both, or the file is not such a key.
        """
        self._lock = threading.Lock()
        self._project: str | None = None
        self._credentials: Any = None
        if service_account_file is not None:
            if credentials is not None:
                rule = "there are credentials already"
                raise InvalidRequest("service_account_file", service_account_file, rule)
            credentials = _of_file(service_account_file)
        if credentials is not None:
            self._credentials = _google.credentials.with_scopes_if_required(credentials, SCOPES)
            self._project = getattr(credentials, "project_id", None)

    def credentials(self, provider: str) -> Any:  # noqa: ANN401 - google.auth has several classes
        """Return the credentials; ``provider`` is what an error names.

        Raises:
            CredentialsRefused: there are none.
            ProviderUnavailable: the metadata server could not be asked.
        """
        with self._lock:
            if self._credentials is None:
                self._credentials, self._project = _default(provider)
            return self._credentials

    def project(self) -> str:
        """Return the project that the credentials name.

        Raises:
            CredentialsRefused: there are none.
            InvalidRequest: they name none.
            ProviderUnavailable: the metadata server could not be asked.
        """
        self.credentials("gcp:")
        if not self._project:
            rule = "the credentials name none: name it in the URL, or in GOOGLE_CLOUD_PROJECT"
            raise InvalidRequest("project", None, rule)
        return self._project


def _default(provider: str) -> tuple[Any, str | None]:
    """Return the default credentials and their project.

    Where a file of them is no JSON the error holds all of it, so none of those is a cause of ours.
    """
    try:
        credentials, project = _google.default(scopes=SCOPES)
    except auth.GoogleAuthError as error:
        is_unreadable = isinstance(error.__cause__, ValueError)
        reason = _unreadable(_first(error)) if is_unreadable else error
    else:
        return credentials, None if project is None else str(project)
    raise translated(reason, Request("application default credentials", provider)) from reason


def _first(error: Exception) -> str:
    """Return what an error says, without the error that it was made of."""
    return str(error.args[0]) if error.args else type(error).__name__


def _of_file(path: str) -> Credentials:
    """Return the credentials in a file; what is in it is secret, and errors of JSON hold all of it.

    So no error of theirs is a cause or a context of ours.
    """
    credentials: Any = None
    with contextlib.suppress(OSError, ValueError, auth.GoogleAuthError):
        credentials = _service_account.Credentials.from_service_account_file(path)
    if credentials is None:
        rule = "a file that can be read, with the key of a service account in JSON"
        raise InvalidRequest("service_account_file", path, rule)
    return cast("Credentials", credentials)
