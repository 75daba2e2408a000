"""One request to either service: what it asks for, and whether the service can read it."""

import email
import email.policy
import json
from collections.abc import Mapping
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs

import attrs

from cloudcrypt_testing.fake_google_keys import discovery, errors, schema
from cloudcrypt_testing.fake_google_keys.discovery import KMS, Method, Parameter
from cloudcrypt_testing.world.faults import Call

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SYSTEM: Final = {"$alt": ("json;enum-encoding=int", "json")}
"""Parameters of all newer APIs that no discovery document has ("System parameters")."""
_TRUE: Final = frozenset({"true", "True"})  # the latter is what the library for Python sends
_FALSE: Final = frozenset({"false", "False"})
_IGNORED: Final = frozenset({"alt", "key", "prettyPrint", "projection", "quotaUser", "uploadType"})
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "cryptoKeys.decrypt": frozenset(),
    "cryptoKeys.encrypt": frozenset(),
    "cryptoKeys.get": frozenset(),
    "objects.delete": frozenset({"generation", "ifGenerationMatch", "userProject"}),
    "objects.get": frozenset({"generation", "ifGenerationMatch", "userProject"}),
    "objects.getMedia": frozenset({"generation", "ifGenerationMatch", "userProject"}),
    "objects.insertMedia": frozenset({"ifGenerationMatch", "userProject"}),
    "objects.list": frozenset(
        {"maxResults", "pageToken", "prefix", "softDeleted", "userProject", "versions"}
    ),
}
"""The methods that the fake has, and of their parameters those that it does not ignore."""


@attrs.frozen
class Incoming:
    """A request as it was sent; call `check` before anything is made of it."""

    path: str
    method: Method | None
    """None: neither service has such a method."""
    in_path: Mapping[str, str]
    in_query: Mapping[str, str]
    body: Mapping[str, Any] | None
    """The JSON object that was sent, empty if none was; None if it was something else."""
    content: bytes = b""
    """The content of an object that was sent along."""
    content_type: str = ""

    @classmethod
    def of(cls, environ: "WSGIEnvironment", raw: bytes) -> "Incoming":
        """Read a request."""
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        found = discovery.found(environ["REQUEST_METHOD"], path)
        method, in_path = found or (None, {})
        pairs = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        query = {name: values[-1] for name, values in pairs.items()}
        if query.get("uploadType") != "multipart":
            return cls(path, method, in_path, query, _parsed(raw))
        body, content, kind = _parts(environ.get("CONTENT_TYPE", ""), raw)
        return cls(path, method, in_path, query, body, content, kind)

    @property
    def api(self) -> str:
        """The service that is asked."""
        return KMS if self.method is None and "/v1/projects/" in self.path else self._api

    @property
    def action(self) -> str:
        """The id of the method, or nothing."""
        return "" if self.method is None else self.method.action

    @property
    def call(self) -> Call:
        """The request as rules look at it."""
        name = str((self.body or {}).get("name", ""))
        sent = {"name": name} if name else {}
        return Call(self.api, self.action, {**sent, **self.in_query, **self.in_path})

    def flag(self, name: str) -> bool:
        """Return a boolean parameter of the query; a missing one is false."""
        return self.in_query.get(name) in _TRUE

    def number(self, name: str) -> int | None:
        """Return a parameter of the query that is a number, or None."""
        value = self.in_query.get(name)
        return None if value is None else int(value)

    def check(self) -> Method:
        """Return the method, if the request is one that it takes.

        Raises:
            GoogleError: it is not.
        """
        method = self.method
        if method is None:
            raise self.malformed(f"The requested URL {self.path} was not found.", 404, "notFound")
        if method.action not in _KNOWN:
            raise errors.unknown_to_the_fake(method.action)
        for name, value in self.in_path.items():
            self._check_value(method.in_path[name], value)
        for name, value in self.in_query.items():
            self._check_query(method, name, value)
        self._check_body(method)
        return method

    def malformed(self, message: str, status: int = 400, reason: str = "invalid") -> Exception:
        """Return that the request is none, in the form of the service."""
        if self.api == KMS:
            return errors.kms("NOT_FOUND" if status == 404 else "INVALID_ARGUMENT", message)
        return errors.GoogleError(status, reason, message)

    @property
    def _api(self) -> str:
        return "storage" if self.method is None else self.method.api

    def _check_query(self, method: Method, name: str, value: str) -> None:
        if value in _SYSTEM.get(name, ()):
            return
        parameter = method.in_query.get(name)
        if parameter is None:
            raise self.malformed(f'Unknown name "{name}": Cannot bind query parameter.')
        if name not in _IGNORED | _KNOWN[method.action]:
            raise errors.unknown_to_the_fake(f"{name} of {method.action}")
        self._check_value(parameter, value)

    def _check_value(self, parameter: Parameter, value: str) -> None:
        tests = (
            parameter.pattern is None or parameter.pattern.fullmatch(value),
            parameter.kind != "boolean" or value in {*_TRUE, *_FALSE},
            not parameter.form or schema.is_whole(value, parameter.form),
            not parameter.choices or value in parameter.choices,
        )
        if not all(tests):
            raise self.malformed(f"Invalid value for parameter '{parameter.name}': {value}")

    def _check_body(self, method: Method) -> None:
        if self.body is None:
            raise self.malformed("Parse Error", reason="parseError")
        if method.request is None and self.body:
            raise self.malformed("The request has a body, and the method takes none.")
        if method.request is not None:
            for where, why in schema.problems(method.api, method.request, self.body):
                raise self.malformed(f"Invalid JSON payload received. {where}: {why}")


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(raw or b"{}")
    except ValueError:
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def _parts(content_type: str, raw: bytes) -> tuple[dict[str, Any] | None, bytes, str]:
    """Return metadata, content and its type of an upload in two parts (RFC 2387)."""
    header = EmailMessage()
    header["Content-Type"] = content_type
    mark = b"--" + str(header.get_param("boundary", "")).encode()
    pieces = raw.split(b"\r\n" + mark) if raw.startswith(mark) else []
    if len(pieces) != 3 or pieces[2].strip() != b"--":
        return None, b"", ""
    _, facts = _part(pieces[0].removeprefix(mark))
    head, content = _part(pieces[1])
    kind = email.message_from_bytes(head.strip(), policy=email.policy.HTTP).get_content_type()
    return _parsed(facts), content, kind


def _part(piece: bytes) -> tuple[bytes, bytes]:
    head, _, body = piece.partition(b"\r\n\r\n")
    return head, body
