"""Compares JSON with the models of azure-mgmt-compute, in requests and in answers."""

import enum
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, cast

import attrs

from cloudcrypt_testing.fake_azure import models

_WORDS: Final[Mapping[type, str]] = {str: "a string", bool: "a boolean", int: "a whole number"}


@attrs.frozen
class Problem:
    """Where a document differs from its model."""

    where: str
    """The property, such as ``properties.dataDisks[0].lun``."""
    what: str
    """unknown, type, choice or missing."""
    model: str
    """The model that has, or has not, the property."""
    value: object = None
    expected: str = ""

    def below(self, name: str) -> "Problem":
        """Return the problem as whoever holds the property ``name`` sees it."""
        dot = "." if self.where and not self.where.startswith("[") else ""
        return attrs.evolve(self, where=f"{name}{dot}{self.where}")


class SchemaViolation(Exception):
    """The fake answers with what the service would never say: a bug of the fake."""


def problems(value: object, model: str, *, is_answer: bool = False) -> Iterator[Problem]:
    """Yield where ``value`` differs from a model.

    Args:
        value: what was in the JSON.
        model: its name.
        is_answer: the service wrote it: null and other spellings of known words are wrong, and
            what a request must have may be missing.
    """
    if not isinstance(value, dict):
        yield Problem("", "type", model, value, "an object")
        return
    document = cast("dict[str, object]", value)
    known = models.fields(model)
    for name, one in document.items():
        field = known.get(name)
        if field is None:
            yield Problem(name, "unknown", model, one)
        elif one is not None or is_answer:
            found = _problems(one, field.kind, model, is_answer=is_answer)
            yield from (problem.below(name) for problem in found)
    for name, field in known.items():
        is_needed = field.is_required and not field.is_read_only and not is_answer
        if is_needed and document.get(name) is None:
            yield Problem(name, "missing", model)


def check_answer(value: object, model: str) -> None:
    """Raise `SchemaViolation` if ``value`` is no ``model``."""
    for problem in problems(value, model, is_answer=True):
        raise SchemaViolation(model, problem)


def writable(value: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Return ``value`` with known words in their usual spelling.

    It is without null and what only the service writes, which requests may repeat.
    """
    known = models.fields(model)
    return {
        name: _writable(one, known[name].kind)
        for name, one in value.items()
        if one is not None and not known[name].is_read_only
    }


def _writable(value: Any, kind: Any) -> Any:  # noqa: ANN401 - JSON, and a type
    model = models.model_name(kind)
    if model is not None:
        return writable(value, model)
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        return [_writable(one, item) for one in value]
    if models.is_enum(kind):
        return next(one.value for one in kind if str(one.value).lower() == value.lower())
    return value


def _problems(value: object, kind: Any, model: str, *, is_answer: bool) -> Iterator[Problem]:  # noqa: ANN401
    below, origin = models.model_name(kind), typing.get_origin(kind)
    if below is not None:
        yield from problems(value, below, is_answer=is_answer)
    elif origin is list:
        yield from _array(value, kind, model, is_answer=is_answer)
    elif origin is dict:
        yield from _dictionary(value, kind, model, is_answer=is_answer)
    elif models.is_enum(kind):
        yield from _word(value, kind, model, is_answer=is_answer)
    elif not _TESTS.get(kind, _anything)(value):
        yield Problem("", "type", model, value, _WORDS.get(kind, str(kind)))


def _array(value: object, kind: Any, model: str, *, is_answer: bool) -> Iterator[Problem]:  # noqa: ANN401
    if not isinstance(value, list):
        yield Problem("", "type", model, value, "an array")
        return
    (item,) = typing.get_args(kind)
    for number, one in enumerate(cast("list[object]", value)):
        found = _problems(one, item, model, is_answer=is_answer)
        yield from (problem.below(f"[{number}]") for problem in found)


def _dictionary(value: object, kind: Any, model: str, *, is_answer: bool) -> Iterator[Problem]:  # noqa: ANN401
    if not isinstance(value, dict):
        yield Problem("", "type", model, value, "an object")
        return
    _, item = typing.get_args(kind)
    for name, one in cast("dict[str, object]", value).items():
        found = _problems(one, item, model, is_answer=is_answer)
        yield from (problem.below(name) for problem in found)


def _word(
    value: object, kind: type[enum.Enum], model: str, *, is_answer: bool
) -> Iterator[Problem]:
    words = [str(one.value) for one in kind]
    if not isinstance(value, str):
        yield Problem("", "type", model, value, "a string")
    elif value not in words and (is_answer or value.lower() not in map(str.lower, words)):
        yield Problem("", "choice", model, value, ", ".join(words))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _anything(_value: object) -> bool:
    return True


_TESTS: Final[Mapping[Any, Callable[[object], bool]]] = {
    bool: lambda value: isinstance(value, bool),
    datetime: _is_time,
    float: _is_number,
    int: _is_whole,
    str: lambda value: isinstance(value, str),
}
