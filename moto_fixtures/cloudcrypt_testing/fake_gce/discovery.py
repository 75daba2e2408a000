"""The discovery document of the compute API: which methods there are, and what they take.

It ships in google-api-python-client, and is read once, when the first request arrives.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

import attrs

PREFIX: Final = "/compute/v1/"
"""How every path begins."""

_PACKAGE: Final = "googleapiclient.discovery_cache"
_DOCUMENT: Final = "documents/compute.v1.json"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")


@attrs.frozen
class Parameter:
    """One parameter of a method, in its path or its query."""

    name: str
    kind: str
    """The type of JSON: string, integer, number or boolean."""
    form: str
    """The format within the type, such as ``uint32``, or nothing."""
    pattern: re.Pattern[str] | None
    is_required: bool
    is_repeated: bool
    choices: tuple[str, ...]


@attrs.frozen
class Method:
    """One method of the API."""

    action: str
    """Its id without the name of the API, such as ``disks.insert``."""
    verb: str
    segments: tuple[str, ...]
    """The path in pieces; a parameter is in braces."""
    in_path: Mapping[str, Parameter]
    in_query: Mapping[str, Parameter]
    request: str | None
    """The name of the schema of the body."""
    response: str | None

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """Return the parameters in a path of as many pieces, or None if it is another one."""
        values: dict[str, str] = {}
        for mine, theirs in zip(self.segments, segments, strict=True):
            name = _PARAMETER.fullmatch(mine)
            if name is not None and theirs:
                values[name[1]] = theirs
            elif mine != theirs:
                return None
        return values


def found(verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
    """Return the method that a request is for and the parameters in its path, or None."""
    segments = tuple(path.removeprefix(PREFIX).split("/"))
    matches = [
        (method, values)
        for method in _methods().get((verb, len(segments)), ())
        if (values := method.match(segments)) is not None
    ]
    return min(matches, key=lambda match: len(match[1]), default=None)


def schema(name: str) -> Mapping[str, Any]:
    """Return the schema of this name."""
    return cast("Mapping[str, Any]", _document()["schemas"][name])


@cache
def _document() -> Mapping[str, Any]:
    text = files(_PACKAGE).joinpath(_DOCUMENT).read_text("utf-8")
    return cast("Mapping[str, Any]", json.loads(text))


@cache
def _methods() -> Mapping[tuple[str, int], tuple[Method, ...]]:
    index: dict[tuple[str, int], tuple[Method, ...]] = {}
    document = _document()
    general = document["parameters"]
    for resource in document["resources"].values():
        for facts in resource.get("methods", {}).values():
            method = _method(facts, general)
            key = method.verb, len(method.segments)
            index[key] = (*index.get(key, ()), method)
    return index


def _method(facts: Mapping[str, Any], general: Mapping[str, Any]) -> Method:
    own = {name: _parameter(name, one) for name, one in facts.get("parameters", {}).items()}
    segments = tuple(facts["path"].split("/"))
    in_path = {name[1] for part in segments if (name := _PARAMETER.fullmatch(part))}
    shared = {name: _parameter(name, one) for name, one in general.items()}
    return Method(
        facts["id"].removeprefix("compute."),
        facts["httpMethod"],
        segments,
        {name: one for name, one in own.items() if name in in_path},
        shared | {name: one for name, one in own.items() if name not in in_path},
        facts.get("request", {}).get("$ref"),
        facts.get("response", {}).get("$ref"),
    )


def _parameter(name: str, facts: Mapping[str, Any]) -> Parameter:
    pattern = facts.get("pattern")
    return Parameter(
        name,
        facts["type"],
        facts.get("format", ""),
        None if pattern is None else re.compile(pattern, re.ASCII),
        is_required=facts.get("required", False),
        is_repeated=facts.get("repeated", False),
        choices=tuple(facts.get("enum", ())),
    )
