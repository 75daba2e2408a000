"""One request to the compute API: what it asks for, and whether the API can read it."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs

import attrs

from cloudcrypt_testing.fake_gce import discovery, errors, schema
from cloudcrypt_testing.fake_gce.discovery import Method, Parameter
from cloudcrypt_testing.fake_gce.schema import Problem
from cloudcrypt_testing.world.faults import Call

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BOOLEANS: Final = {"true": True, "false": False}
_UNSUPPORTED: Final = ("fields", "callback", "uploadType", "upload_protocol")
"""General parameters that would change an answer in ways that the fake does not know."""


@attrs.frozen
class Incoming:
    """A request as it was sent; call `checked` before anything else is made of it."""

    path: str
    method: Method | None
    """None: the API has no such method."""
    in_path: Mapping[str, str]
    in_query: Mapping[str, tuple[str, ...]]
    body: Mapping[str, Any]
    """The JSON object that was sent, without what only the server says; empty if none was."""
    is_garbled: bool
    """Whether the body was no JSON object."""

    @classmethod
    def of(cls, environ: "WSGIEnvironment", body: bytes) -> "Incoming":
        """Read a request."""
        path = environ["PATH_INFO"]
        found = discovery.found(environ["REQUEST_METHOD"], path)
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        document = _parsed(body)
        return cls(
            path,
            found[0] if found else None,
            found[1] if found else {},
            {name: tuple(values) for name, values in query.items()},
            document or {},
            is_garbled=document is None,
        )

    @property
    def call(self) -> Call:
        """The request as rules look at it."""
        flat = {name: one for name, one in self.body.items() if isinstance(one, str)}
        query = {name: values[-1] for name, values in self.in_query.items()}
        return Call("compute", self.action, {**flat, **query, **self.in_path})

    @property
    def action(self) -> str:
        """The id of the method, or nothing."""
        return self.method.action if self.method is not None else ""

    @property
    def scope(self) -> str:
        """Where the resource is: ``zones/ZONE``, ``regions/REGION`` or ``global``."""
        for name in ("zone", "region"):
            if name in self.in_path:
                return f"{name}s/{self.in_path[name]}"
        return "global"

    @property
    def request_id(self) -> str | None:
        """What makes the same request, sent again, the same operation."""
        return self.text("requestId")

    def text(self, name: str) -> str | None:
        """Return a parameter of the query, or None if it is missing or empty."""
        return self.in_query.get(name, ("",))[-1] or None

    def flag(self, name: str) -> bool:
        """Return a boolean parameter of the query; a missing one is false."""
        return _BOOLEANS[self.text(name) or "false"]

    def paths(self) -> list[str]:
        """Return the fields that an update is about, from both parameters that say so."""
        values = [*self.in_query.get("paths", ()), *self.in_query.get("updateMask", ())]
        return [name for value in values for name in value.split(",") if name]

    def checked(self) -> "Incoming":
        """Return the request without what the API ignores.

        Raises:
            GceError: the API has no such method, or the method takes no such thing.
        """
        if self.method is None:
            raise errors.GceError(404, "notFound", f"The requested URL {self.path} was not found.")
        self._check_path(self.method)
        self._check_query(self.method)
        return attrs.evolve(self, body=self._checked_body(self.method))

    def _check_path(self, method: Method) -> None:
        for name, value in self.in_path.items():
            pattern = method.in_path[name].pattern
            if pattern is not None and pattern.fullmatch(value) is None:
                raise errors.invalid(name, value, f"Must be a match of regex '{pattern.pattern}'")

    def _check_query(self, method: Method) -> None:
        for name, values in self.in_query.items():
            parameter = method.in_query.get(name)
            if parameter is None:
                raise errors.bad_json(
                    f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query '
                    f"parameter. Field '{name}' could not be found in request message."
                )
            if name in _UNSUPPORTED:
                raise errors.not_implemented(name)
            _check_values(parameter, values)
        for name, parameter in method.in_query.items():
            if parameter.is_required and self.text(name) is None:
                raise errors.required(name)
        _check_request_id(self.request_id)

    def _checked_body(self, method: Method) -> Mapping[str, Any]:
        if method.request is None:
            if self.body:
                raise errors.bad_json("The request has a body, and the method takes none.")
            return {}
        if self.is_garbled:
            raise errors.GceError(400, "parseError", "Parse Error")
        for problem in self._problems(method, method.request):
            raise _refusal(problem)
        return schema.writable(self.body, method.request)

    def _problems(self, method: Method, name: str) -> Iterator[Problem]:
        yield from schema.problems(self.body, name)
        yield from schema.missing(self.body, name, method.action)


def _parsed(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in ``body``, which may be empty; None if it is something else."""
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def _check_values(parameter: Parameter, values: tuple[str, ...]) -> None:
    if len(values) > 1 and not parameter.is_repeated:
        raise errors.bad_json(f"Repeated parameter '{parameter.name}'.")
    for value in values:
        if not _is_of(parameter, value):
            raise errors.GceError(
                400, "invalidParameter", f"Invalid value for parameter '{parameter.name}': {value}"
            )


def _is_of(parameter: Parameter, value: str) -> bool:
    if parameter.kind == "boolean":
        return value in _BOOLEANS
    if parameter.kind == "integer":
        return re.fullmatch("[0-9]{1,10}", value, re.ASCII) is not None
    return not parameter.choices or value in parameter.choices


def _check_request_id(request_id: str | None) -> None:
    if request_id is None:
        return
    try:
        number = uuid.UUID(request_id).int
    except ValueError:
        number = 0
    if number == 0:
        raise errors.invalid("requestId", request_id, "Must be a valid UUID, not the zero one.")


def _refusal(problem: Problem) -> errors.GceError:
    field = f"resource.{problem.where}".rstrip(".")
    match problem.what:
        case "missing":
            return errors.required(field)
        case "pattern":
            why = f"Must be a match of regex '{problem.expected}'"
            return errors.invalid(field, problem.value, why)
        case "unknown":
            message = f'Invalid JSON payload received. Unknown name "{problem.where}": '
            return errors.bad_json(f"{message}Cannot find field.")
        case _:
            return errors.bad_json(
                f"Invalid value at '{field}': {problem.value!r}, expected {problem.expected}"
            )
