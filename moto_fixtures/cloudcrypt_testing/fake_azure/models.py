"""What the models of the installed azure-mgmt-compute say: properties, types, who writes them.

Up to release 37 they have maps of msrest, which flatten ``properties``; from 38 on they have
fields. Either is loaded with the first request.
"""

import enum
import functools
import importlib
import typing
from collections.abc import Mapping
from datetime import datetime
from types import ModuleType
from typing import Any, Final, cast

import attrs

_OPEN: Final = frozenset({"VirtualMachineSizeTypes"})
"""Enumerations that lack most of the words that the service knows, and say so."""
_PLAIN: Final = {
    "bool": bool,
    "float": float,
    "int": int,
    "iso-8601": datetime,
    "long": int,
    "str": str,
}
"""The types in the maps of msrest."""


@attrs.frozen
class Part:
    """The properties of a model that msrest shows as those of another one."""

    name: str


@attrs.frozen
class Field:
    """One property of a model."""

    name: str
    """As it stands in JSON."""
    kind: Any
    """Its type, without None; an enumeration in the place of its words."""
    is_required: bool
    is_read_only: bool


def fields(model: str) -> Mapping[str, Field]:
    """Return the properties of a model, by their names in JSON."""
    return _fields(importlib.import_module("azure.mgmt.compute.models"), model)


@functools.cache
def _fields(models: ModuleType, model: str) -> Mapping[str, Field]:
    name, _, part = model.partition(".")
    cls = getattr(models, name)
    if hasattr(cls, "_attribute_map"):
        return _mapped(models, cls, f"{part}." if part else "")
    return _declared(models, cls)


def model_name(kind: Any) -> str | None:  # noqa: ANN401 - a type
    """Return the name of a model if a type is one, for `fields`; None if it is none."""
    if isinstance(kind, Part):
        return kind.name
    return str(kind.__name__) if hasattr(kind, "as_dict") else None


def is_enum(kind: Any) -> bool:  # noqa: ANN401 - a type
    """Say whether a type is an enumeration."""
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _declared(models: ModuleType, cls: Any) -> dict[str, Field]:  # noqa: ANN401 - the base is private
    hints = typing.get_type_hints(cls, localns={"_models": models})
    cls()  # the first instance works out the fields
    found: dict[str, Field] = {}
    for attribute, field in cls._attr_to_rest_field.items():
        kind = hints[attribute]
        name = str(field._rest_name)  # noqa: SLF001
        is_read_only = field._visibility == ["read"]  # noqa: SLF001
        is_required = type(None) not in typing.get_args(kind)
        found[name] = Field(name, _without_none(kind), is_required, is_read_only)
    return found


def _mapped(models: ModuleType, cls: Any, prefix: str) -> dict[str, Field]:  # noqa: ANN401
    """Return the properties in a map of msrest whose keys begin with ``prefix``."""
    hints = typing.get_type_hints(cls.__init__, localns={"_models": models})
    found: dict[str, Field] = {}
    for attribute, facts in cls._attribute_map.items():
        key = str(facts["key"])
        if not key.startswith(prefix):
            continue
        name, dot, _ = key.removeprefix(prefix).partition(".")
        if dot:
            part = Part(f"{cls.__name__}.{prefix}{name}")
            found[name] = Field(name, part, is_required=False, is_read_only=False)
            continue
        kind = hints.get(attribute, type(None))
        kind = _named(models, facts["type"]) if kind is type(None) else _without_none(kind)
        rules = cls._validation.get(attribute, {})
        is_required = bool(rules.get("required"))
        found[name] = Field(name, kind, is_required, is_read_only=bool(rules.get("readonly")))
    return found


def _named(models: ModuleType, text: str) -> Any:  # noqa: ANN401 - a type
    """Return the type with a name in a map of msrest."""
    if text.startswith("["):
        return list[_named(models, text[1:-1])]  # type: ignore[misc]  # built at run time
    if text.startswith("{"):
        return dict[str, _named(models, text[1:-1])]  # type: ignore[misc]  # as above
    return _PLAIN.get(text) or getattr(models, text, object)


def _without_none(kind: Any) -> Any:  # noqa: ANN401 - a type
    """Return the type without None; enumerations, which are strings as well, as themselves."""
    if typing.get_origin(kind) is not typing.Union:
        return kind
    args = [one for one in typing.get_args(kind) if one is not type(None)]
    enums = cast("list[type[enum.Enum]]", [one for one in args if is_enum(one)])
    closed = [one for one in enums if one.__name__ not in _OPEN]
    return closed[0] if closed else str if enums else args[0]
