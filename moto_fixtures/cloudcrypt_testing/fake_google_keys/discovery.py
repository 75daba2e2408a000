"""The discovery documents of Cloud KMS and Cloud Storage: which methods there are, and their shape.

They ship in google-api-python-client, and are read once, when the first request arrives.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

import attrs

_PACKAGE: Final = "googleapiclient.discovery_cache"
_TEMPLATE: Final = re.compile(r"\{(\+?)(\w+)\}")
KMS: Final = "cloudkms"
STORAGE: Final = "storage"
_DOCUMENTS: Final = {KMS: "documents/cloudkms.v1.json", STORAGE: "documents/storage.v1.json"}

MEDIA: Final = "Media"
"""What the action of a method ends in when content is asked for, as in ``objects.getMedia``."""


@attrs.frozen
class Parameter:
    """One parameter of a method, in its path or its query."""

    name: str
    kind: str
    """The type of JSON: string, integer or boolean."""
    form: str
    """The format within the type, such as ``int64``, or nothing."""
    pattern: re.Pattern[str] | None
    is_required: bool
    choices: tuple[str, ...]


@attrs.frozen
class Method:
    """One method, at one of its paths."""

    api: str
    action: str
    """Its resource and its name, such as ``objects.insert``."""
    verb: str
    path: re.Pattern[str]
    in_path: Mapping[str, Parameter]
    in_query: Mapping[str, Parameter]
    request: str | None
    """The name of the schema of the body."""
    response: str | None


def found(verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
    """Return the method that a request is for and the parameters in its path, or None."""
    for method in _methods():
        match = method.path.fullmatch(path) if method.verb == verb else None
        if match is not None:
            return method, match.groupdict()
    return None


def schema(api: str, name: str) -> Mapping[str, Any]:
    """Return the schema of this name."""
    return cast("Mapping[str, Any]", _document(api)["schemas"][name])


@cache
def _document(api: str) -> Mapping[str, Any]:
    text = files(_PACKAGE).joinpath(_DOCUMENTS[api]).read_text("utf-8")
    return cast("Mapping[str, Any]", json.loads(text))


@cache
def _methods() -> tuple[Method, ...]:
    """Return all methods; one whose path is longer comes before one that matches all of it."""
    methods = [method for api in _DOCUMENTS for method in _of(api, _document(api))]
    return tuple(sorted(methods, key=lambda method: -len(method.path.pattern)))


def _of(api: str, resource: Mapping[str, Any]) -> Iterator[Method]:
    general = _document(api)["parameters"]
    base = f"/{_document(api)['servicePath']}"
    for facts in resource.get("methods", {}).values():
        yield _method(api, facts, base + facts["path"], general)
        if facts.get("useMediaDownloadService"):
            media = f"/download{base}{facts['path']}"
            yield attrs.evolve(_method(api, facts, media, general, MEDIA), response=None)
        if "mediaUpload" in facts:
            upload = facts["mediaUpload"]["protocols"]["simple"]["path"]
            yield _method(api, facts, upload, general, MEDIA)
    for one in resource.get("resources", {}).values():
        yield from _of(api, one)


def _method(
    api: str, facts: Mapping[str, Any], path: str, general: Mapping[str, Any], suffix: str = ""
) -> Method:
    own = {name: _parameter(name, one) for name, one in facts.get("parameters", {}).items()}
    shared = {name: _parameter(name, one) for name, one in general.items()}
    pattern = re.compile(_regex(path, own), re.ASCII)
    in_path = {name: one for name, one in own.items() if name in pattern.groupindex}
    return Method(
        api,
        ".".join(facts["id"].split(".")[-2:]) + suffix,
        facts["httpMethod"],
        pattern,
        in_path,
        shared | {name: one for name, one in own.items() if name not in in_path},
        facts.get("request", {}).get("$ref"),
        facts.get("response", {}).get("$ref"),
    )


def _regex(path: str, parameters: Mapping[str, Parameter]) -> str:
    """Return what a path matches: ``{+name}`` what its pattern says, and an object any name."""
    parts: list[str] = []
    end = 0
    for one in _TEMPLATE.finditer(path):
        own = parameters[one[2]].pattern if one[1] else None
        usual = ".+" if one[2] == "object" else "[^/]+"
        what = usual if own is None else own.pattern.removeprefix("^").removesuffix("$")
        parts += [re.escape(path[end : one.start()]), f"(?P<{one[2]}>{what})"]
        end = one.end()
    return "".join([*parts, re.escape(path[end:])])


def _parameter(name: str, facts: Mapping[str, Any]) -> Parameter:
    pattern = facts.get("pattern")
    return Parameter(
        name,
        facts["type"],
        facts.get("format", ""),
        None if pattern is None else re.compile(pattern, re.ASCII),
        is_required=facts.get("required", False),
        choices=tuple(facts.get("enum", ())),
    )
