"""Compares JSON with the schemas of the discovery document, in requests and in answers."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import attrs

from cloudcrypt_testing.fake_gce import discovery

_WHOLE: Final = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_DIGITS: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)


@attrs.frozen
class Problem:
    """Where a document differs from its schema."""

    where: str
    """The field, such as ``disks[0].mode``."""
    what: str
    """unknown, type, choice, pattern or missing."""
    value: object
    expected: str = ""

    def below(self, name: str) -> "Problem":
        """Return the problem as whoever holds the field ``name`` sees it."""
        dot = "." if self.where and not self.where.startswith("[") else ""
        return attrs.evolve(self, where=f"{name}{dot}{self.where}")


class SchemaViolation(Exception):
    """The fake answers with what the API would never say: a bug of the fake."""


def problems(value: object, name: str) -> Iterator[Problem]:
    """Yield where ``value`` differs from the schema ``name``."""
    return _problems(value, discovery.schema(name))


def missing(value: Mapping[str, object], name: str, action: str) -> Iterator[Problem]:
    """Yield the fields that the method ``action`` cannot do without."""
    for field, facts in discovery.schema(name).get("properties", {}).items():
        needed = facts.get("annotations", {}).get("required", ())
        if f"compute.{action}" in needed and field not in value:
            yield Problem(field, "missing", None)


def check_answer(value: object, name: str) -> None:
    """Raise `SchemaViolation` if ``value`` is no ``name``."""
    for problem in problems(value, name):
        raise SchemaViolation(name, problem)


def writable(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return ``value`` without what only the server says, which the API ignores in a request."""
    fields = discovery.schema(name).get("properties", {})
    return {key: one for key, one in value.items() if not fields[key].get("readOnly")}


def _problems(value: object, schema: Mapping[str, Any]) -> Iterator[Problem]:
    if "$ref" in schema:
        yield from problems(value, schema["$ref"])
        return
    test = _TESTS[schema["type"]]
    yield from test(value, schema)


def _object(value: object, schema: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem("", "type", value, "an object")
        return
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, one in cast("dict[str, object]", value).items():
        expected = known.get(name, others)
        if expected is None:
            yield Problem(name, "unknown", one)
        else:
            yield from (problem.below(name) for problem in _problems(one, expected))


def _array(value: object, schema: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem("", "type", value, "an array")
        return
    for number, one in enumerate(cast("list[object]", value)):
        yield from (problem.below(f"[{number}]") for problem in _problems(one, schema["items"]))


def _string(value: object, schema: Mapping[str, Any]) -> Iterator[Problem]:
    form, pattern = schema.get("format", ""), schema.get("pattern")
    if not isinstance(value, str) or not _is_formed(value, form):
        yield Problem("", "type", value, f"a string {form}".strip())
    elif value not in schema.get("enum", (value,)):
        yield Problem("", "choice", value, ", ".join(schema["enum"]))
    elif pattern is not None and re.fullmatch(pattern, value, re.ASCII) is None:
        yield Problem("", "pattern", value, pattern)


def _is_formed(value: str, form: str) -> bool:
    if form in _WHOLE:
        least, most = _WHOLE[form]
        return _DIGITS.fullmatch(value) is not None and least <= int(value) <= most
    return form != "byte" or _is_base64(value)


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _integer(value: object, schema: Mapping[str, Any]) -> Iterator[Problem]:
    form = schema.get("format", "int32")
    least, most = _WHOLE[form]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        yield Problem("", "type", value, form)


def _number(value: object, _schema: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield Problem("", "type", value, "a number")


def _boolean(value: object, _schema: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield Problem("", "type", value, "a boolean")


def _any(_value: object, _schema: Mapping[str, Any]) -> Iterator[Problem]:
    yield from ()


_TESTS: Final[Mapping[str, Callable[[object, Mapping[str, Any]], Iterator[Problem]]]] = {
    "any": _any,
    "array": _array,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "object": _object,
    "string": _string,
}
