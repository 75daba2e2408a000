"""Compares JSON with the schemas of the discovery documents, in requests and in answers."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, cast

from cloudcrypt_testing.fake_google_keys import discovery

_WHOLE: Final = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_DIGITS: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)

Problems = Iterator[tuple[str, str]]
"""Where a document differs from its schema, and how."""


class SchemaViolation(Exception):
    """The fake answers with what the API would never say: a bug of the fake."""


def problems(api: str, name: str, value: object) -> Problems:
    """Yield where ``value`` differs from the schema ``name`` of ``api``."""
    return _problems(api, value, discovery.schema(api, name))


def check_answer(api: str, name: str, value: object) -> None:
    """Raise `SchemaViolation` if ``value`` is no ``name``."""
    for problem in problems(api, name, value):
        raise SchemaViolation(name, problem)


def is_whole(value: str, form: str) -> bool:
    """Say whether ``value`` has the digits of a number of the format ``form``."""
    least, most = _WHOLE[form]
    return _DIGITS.fullmatch(value) is not None and least <= int(value) <= most


def _problems(api: str, value: object, schema: Mapping[str, Any]) -> Problems:
    if "$ref" in schema:
        yield from problems(api, schema["$ref"], value)
    elif schema["type"] == "object":
        yield from _object(api, value, schema)
    elif schema["type"] == "array":
        yield from _array(api, value, schema)
    elif not _TESTS[schema["type"]](value, schema):
        yield "", f"{value!r} is no {schema['type']} {schema.get('format', '')}".rstrip()


def _object(api: str, value: object, schema: Mapping[str, Any]) -> Problems:
    if not isinstance(value, dict):
        yield "", f"{value!r} is no object"
        return
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name, one in cast("dict[str, object]", value).items():
        expected = known.get(name, others)
        if expected is None:
            yield name, "there is no such field"
        else:
            yield from ((f"{name}.{at}", why) for at, why in _problems(api, one, expected))


def _array(api: str, value: object, schema: Mapping[str, Any]) -> Problems:
    if not isinstance(value, list):
        yield "", f"{value!r} is no array"
        return
    for number, one in enumerate(cast("list[object]", value)):
        found = _problems(api, one, schema["items"])
        yield from ((f"[{number}].{at}", why) for at, why in found)


def _is_string(value: object, schema: Mapping[str, Any]) -> bool:
    if not isinstance(value, str) or value not in schema.get("enum", (value,)):
        return False
    test = _FORMATS.get(schema.get("format", ""))
    return test is None or test(value)


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, altchars=b"-_", validate=True)
    except ValueError:
        return False
    return True


def _is_time(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "byte": _is_base64,
    "date-time": _is_time,
    "google-datetime": _is_time,
    "int64": lambda value: is_whole(value, "int64"),
    "uint64": lambda value: is_whole(value, "uint64"),
}


def _is_integer(value: object, schema: Mapping[str, Any]) -> bool:
    return type(value) is int and is_whole(str(value), schema.get("format", "int32"))


_TESTS: Final[Mapping[str, Callable[[object, Mapping[str, Any]], bool]]] = {
    "any": lambda _value, _schema: True,
    "boolean": lambda value, _schema: isinstance(value, bool),
    "integer": _is_integer,
    "string": _is_string,
}
