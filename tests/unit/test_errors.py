"""The error tree: every error is a value with a remedy, and the drawing shows all of them."""

import pickle
import re
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from cloudcrypt import errors
from cloudcrypt.errors import Answer, CloudcryptError, HeaderRefused, shown

GRPC_CODES = {
    "UNKNOWN", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED", "DEADLINE_EXCEEDED", "CANCELLED",
}  # fmt: skip
CLASSES = [
    found
    for name in errors.__all__
    if isinstance(found := getattr(errors, name), type) and issubclass(found, CloudcryptError)
]
LEAVES = [each for each in CLASSES if each.text]
FACTS: dict[object, object] = {
    "str": "some \x1b[31m text\n",
    "int": 4096,
    "object": {"size": 12},
    "tuple[str, ...]": ("one", "two"),
    "float | None": 1.5,
    "str | None": "text",
    "float": 1.5,
    "int | None": 4096,
    "datetime.datetime | None": datetime(2026, 1, 2, tzinfo=UTC),
    "Answer | None": Answer("Code", "a message", 400, "request-1", 2.5),
}

by_name = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
leaf_by_name = pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)


def instance(kind: type[CloudcryptError]) -> CloudcryptError:
    """Return an error with a fact for each of its fields."""
    facts: dict[str, Any] = {}
    for field in attrs.fields(kind):
        annotation = field.type
        name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
        name = str(annotation) if "[" in str(annotation) else name
        facts[field.name] = FACTS[name.replace("cloudcrypt.errors._base.", "")]
    return kind(**facts)


def tree() -> dict[str, str | None]:
    """Return the parent of each class in the drawing of the module's docstring."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"    ((?:[| ]{4})*)(\+-- )?([A-Z]\w+)(  .*)?", line)
        if match:
            depth = len(match[1]) // 4 + bool(match[2])
            del above[depth:]
            parents[match[3]] = above[-1] if above else None
            above.append(match[3])
    return parents


def test_the_drawing_shows_every_error() -> None:
    assert sorted(kind.__name__ for kind in CLASSES) == sorted(tree())


def test_the_drawing_shows_the_parent_of_every_error() -> None:
    parents = {kind.__name__: kind.__mro__[1].__name__ for kind in CLASSES}
    assert {name: parent or "Exception" for name, parent in tree().items()} == parents


def test_exported_names_are_sorted_and_exist() -> None:
    assert sorted(errors.__all__) == errors.__all__
    assert [name for name in errors.__all__ if not hasattr(errors, name)] == []


@by_name
def test_every_error_says_what_it_is_and_whether_to_try_again(kind: type[CloudcryptError]) -> None:
    assert kind.__doc__
    assert kind.grpc_code in GRPC_CODES
    assert isinstance(kind.retryable, bool)


@leaf_by_name
def test_an_error_survives_pickling(kind: type[CloudcryptError]) -> None:
    error = instance(kind)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # what we pickled ourselves
    assert type(error) is type(again)
    assert str(error) == str(again)
    assert [getattr(error, f.name) for f in attrs.fields(kind)] == [
        getattr(again, f.name) for f in attrs.fields(kind)
    ]


@leaf_by_name
def test_an_error_has_a_message_and_a_remedy_of_its_own(kind: type[CloudcryptError]) -> None:
    error = instance(kind)
    assert error.message
    assert error.remedy
    assert error.remedy != CloudcryptError.advice
    assert f"{error.message}. Remedy: {error.remedy}" == str(error)


@leaf_by_name
def test_every_fact_of_an_error_is_in_its_message_or_its_remedy(
    kind: type[CloudcryptError],
) -> None:
    named = set(re.findall(r"\{(\w+)", kind.text))
    facts = {field.name for field in attrs.fields(kind)} - {"answer"}
    assert facts - named <= {"instead"}
    assert set() == named - facts


@leaf_by_name
def test_an_error_is_immutable(kind: type[CloudcryptError]) -> None:
    error = instance(kind)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(error, attrs.fields(kind)[0].name, "other")


@leaf_by_name
def test_what_the_cloud_answered_is_kept_and_shown(kind: type[CloudcryptError]) -> None:
    error = instance(kind)
    assert "(the cloud says 'Code': 'a message', request 'request-1')" in error.message
    assert ("Code", "request-1", 2.5) == (error.cloud_code, error.request_id, error.retry_after)


def test_the_reason_that_a_cloud_gives_is_shown_whole_but_not_without_end() -> None:
    told = errors.QuotaExceeded("volumes", answer=Answer("Code", "because " * 30))
    assert "because " * 29 in told.message
    endless = errors.QuotaExceeded("volumes", answer=Answer("Code", "\u202e because" * 1000))
    assert endless.message.isascii()
    assert len(endless.message) < 600


def test_without_a_cloud_there_is_no_answer() -> None:
    error = errors.NotFound("volume", "vol-1")
    assert "there is no volume 'vol-1'" == error.message
    assert (None, None, None) == (error.cloud_code, error.request_id, error.retry_after)


@leaf_by_name
def test_an_error_keeps_its_cause(kind: type[CloudcryptError]) -> None:
    cause = OSError(5, "Input/output error")
    with pytest.raises(kind) as failure:
        raise instance(kind) from cause
    assert cause is failure.value.__cause__


def test_hostile_values_are_shown_as_ascii_and_short() -> None:
    error = HeaderRefused(9, "KEYSLOT", {"x": "\x1b[2J\u202e" * 1000}, "é")
    assert error.message.isascii()
    assert error.message.isprintable()
    assert len(error.message) < 250


def test_what_is_shown_says_how_long_it_was() -> None:
    assert shown("a") == "'a'"
    assert shown("a" * 1000) == f"'{'a' * 79}... (1002 characters)"


def test_an_empty_tuple_of_facts_is_a_dash() -> None:
    assert errors.UnknownProvider("x://", ()).message == "no provider for 'x://'; known schemes: -"


def test_families_tell_whose_fault_it_was() -> None:
    families = {kind.__name__ for kind in CLASSES if kind.__mro__[1] is CloudcryptError}
    assert {
        "RequestError",
        "ProviderError",
        "DeviceError",
        "HeaderError",
        "KeyServiceError",
        "HostError",
        "StateError",
        "IntegrityError",
    } == families
