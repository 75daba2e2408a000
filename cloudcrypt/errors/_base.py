"""The root of the error tree, and how a message is made of facts."""

import enum
from typing import ClassVar, cast

import attrs

_SHOWN = 80  # characters of a foreign value that a message repeats


def shown(value: object) -> str:
    """Return ``value`` for a message: ASCII, on one line, at most about 80 characters.

    Values read from a disk are hostile: control characters and megabytes stay out of logs.
    """
    text = ascii(value.value if isinstance(value, enum.Enum) else value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


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
        return str(value)


@attrs.frozen(str=False)
class CloudcryptError(Exception):
    """The root; never raised itself. ``text`` is the template of the message of each class."""

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
        return self.text.format_map(facts)

    def __str__(self) -> str:
        """Return the message and the remedy."""
        return f"{self.message}. Remedy: {self.remedy}"
