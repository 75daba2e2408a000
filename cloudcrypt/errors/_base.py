"""The root of the error tree, and how a message is made of facts."""

import enum
import functools
from typing import ClassVar, cast

import attrs

_SHOWN = 80  # characters of a foreign value that a message repeats
_ANSWER = 400  # and of what a cloud says, which is the reason of the error


def shown(value: object, most: int = _SHOWN) -> str:
    """Return ``value`` for a message: ASCII, on one line, at most about ``most`` characters.

    Values read from a disk are hostile: control characters and megabytes stay out of logs.
    """
    text = ascii(value.value if isinstance(value, enum.Enum) else value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


@attrs.frozen
class _Fact:
    """A fact within a message: ``{fact}`` is made safe by `shown`, ``{fact:s}`` is our own text."""

    value: object

    def __format__(self, spec: str) -> str:
        if spec != "s":
            return shown(self.value)
        value = self.value
        if isinstance(value, tuple):
            return ", ".join(map(str, cast("tuple[object, ...]", value))) or "-"
        return "unknown" if value is None else str(value)


@attrs.frozen
class Answer:
    """What a cloud's API answered, in its own words: always that of the last attempt.

    ``code`` is the machine code of the error, ``status`` the HTTP status, ``retry_after`` seconds.
    """

    code: str
    message: str
    status: int | None = None
    request_id: str | None = None
    retry_after: float | None = None

    def __str__(self) -> str:
        """Return the answer for a message."""
        request = "" if self.request_id is None else f", request {shown(self.request_id)}"
        return f"the cloud says {shown(self.code)}: {shown(self.message, _ANSWER)}{request}"


@attrs.frozen(str=False)
class CloudcryptError(Exception):
    """The root; never raised itself. ``text`` is the template of the message of each class.

    ``answer`` is what the cloud answered, where it did.
    """

    answer: Answer | None = attrs.field(default=None, kw_only=True)

    text: ClassVar[str] = ""
    advice: ClassVar[str] = "report this: the error has no remedy of its own"
    retryable: ClassVar[bool] = False
    grpc_code: ClassVar[str] = "UNKNOWN"

    @property
    def remedy(self) -> str:
        """What the reader should do; for most errors the ``advice`` of the class."""
        return self.advice

    @property
    def message(self) -> str:
        """What happened, in one sentence without the remedy."""
        facts = {field.name: _Fact(getattr(self, field.name)) for field in attrs.fields(type(self))}
        text = self.text.format_map(facts)
        return text if self.answer is None else f"{text} ({self.answer})"

    @property
    def cloud_code(self) -> str | None:
        """The cloud's machine code of the error."""
        return None if self.answer is None else self.answer.code

    @property
    def request_id(self) -> str | None:
        """The cloud's id of the request, for its support."""
        return None if self.answer is None else self.answer.request_id

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before asking again, where the cloud said so."""
        return None if self.answer is None else self.answer.retry_after

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling with all facts, also those that are given by name."""
        facts = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        return functools.partial(type(self), **facts), ()

    def __str__(self) -> str:
        """Return the message and the remedy."""
        return f"{self.message}. Remedy: {self.remedy}"
