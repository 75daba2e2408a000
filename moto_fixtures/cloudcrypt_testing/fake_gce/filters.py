"""The filter expressions of lists: what the reference of the ``filter`` parameter describes.

    (labels.owner = "a") (status != DELETING)
    (id = 123) OR (id = 456)
    labels.owner:*
    name eq "disk-[0-9]+"

Either comparisons, joined by AND (which can be left out) and OR, or regular expressions with ``eq``
and ``ne``. As in AIP-160, which the reference refers to, OR binds closer than AND. Each of several
has to be in parentheses, as the reference says. What it does not say is refused: NOT, wildcards,
functions, and ``:`` with another value than ``*``.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from cloudcrypt_testing.fake_gce import discovery, errors
from cloudcrypt_testing.fake_gce.render import Document

Test = Callable[[Document], bool]

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<sign>!=|>=|<=|[()=<>:])|"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'"""
    r"""|(?P<word>[^\s()=!<>:"']+))"""
)
_ORDERINGS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
}
_REGULAR: Final = ("eq", "ne")
_WORDS: Final = ("AND", "NOT", "OR")
_APART: Final = "Each of several expressions must be in parentheses."
_NUMBER: Final = re.compile(r"-?[0-9]+", re.ASCII)
_WHOLE: Final = frozenset({"int32", "int64", "uint32", "uint64"})


@attrs.frozen
class _Token:
    kind: str
    """sign, word, or quoted."""
    text: str


def parsed(text: str, item: str) -> Test:
    """Return what says whether an ``item``, the name of a schema, passes the filter ``text``.

    Raises:
        GceError: ``text`` is no filter, or none that is known here.
    """
    if not text.strip():
        return lambda _item: True
    return _Parser(text, item).whole()


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, text: str, item: str) -> None:
        self._text = text
        self._item = item
        self._tokens = list(self._split())
        self._at = 0
        self._kinds = set[str]()

    def whole(self) -> Test:
        """Return the test of all tokens."""
        test = self._all()
        if self._at < len(self._tokens):
            raise self._wrong()
        if len(self._kinds) > 1:
            raise self._wrong("The two types of expressions cannot be mixed.")
        return test

    def _split(self) -> Iterator[_Token]:
        at = 0
        text = self._text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._wrong()
            yield _token(match)
            at = match.end()

    def _all(self) -> Test:
        """Read what is joined by AND, or by nothing."""
        is_bare = self._next() != "("
        tests = [self._any()]
        while self._next() not in {"", ")"}:
            if self._next() == "AND":
                self._pass_joint()
            is_bare |= self._next() != "("
            tests.append(self._any())
        if is_bare and len(tests) > 1:
            raise self._wrong(_APART)
        return lambda item: all(test(item) for test in tests)

    def _any(self) -> Test:
        """Read what is joined by OR."""
        is_bare = self._next() != "("
        tests = [self._term()]
        while self._next() == "OR":
            self._pass_joint()
            is_bare |= self._next() != "("
            tests.append(self._term())
        if is_bare and len(tests) > 1:
            raise self._wrong(_APART)
        return lambda item: any(test(item) for test in tests)

    def _pass_joint(self) -> None:
        self._at += 1
        self._kinds.add("comparison")  # regular expressions are joined by nothing

    def _term(self) -> Test:
        if self._next() != "(":
            return self._comparison()
        self._at += 1
        test = self._all()
        if self._next() != ")":
            raise self._wrong()
        self._at += 1
        return test

    def _comparison(self) -> Test:
        field, sign = self._take("word"), self._take("word", "sign").text
        value = self._take("word", "quoted")
        if field.text.startswith("-") or field.text in _WORDS:
            raise self._wrong()
        schema = self._schema(field.text)
        if sign in _REGULAR:
            self._kinds.add("regular")
            return self._regular(field.text, sign, value.text)
        self._kinds.add("comparison")
        if sign == ":":
            if value.text != "*":
                raise self._wrong("The operator ':' is known with '*' only.")
            return lambda item: _value(item, field.text) is not None
        if sign not in _ORDERINGS or (value.kind == "word" and "*" in value.text):
            raise self._wrong()
        return self._ordered(field.text, sign, value.text, schema)

    def _ordered(self, field: str, sign: str, value: str, schema: Mapping[str, Any]) -> Test:
        convert = self._converter(schema)
        try:
            wanted = convert(value)
        except ValueError:
            raise self._wrong(f"'{value}' is no value of {field}.") from None
        compare = _ORDERINGS[sign]

        def test(item: Document) -> bool:
            found = _value(item, field)
            return sign == "!=" if found is None else compare(convert(found), wanted)

        return test

    def _regular(self, field: str, sign: str, value: str) -> Test:
        try:
            pattern = re.compile(value)
        except re.error:
            raise self._wrong(f"'{value}' is no regular expression.") from None

        def test(item: Document) -> bool:
            found = _value(item, field)
            is_match = found is not None and pattern.fullmatch(_text(found)) is not None
            return is_match == (sign == "eq")

        return test

    def _converter(self, schema: Mapping[str, Any]) -> Callable[[Any], Any]:
        if schema.get("format") in _WHOLE:
            return _whole
        if schema["type"] == "boolean":
            return _truth
        if schema["type"] == "string":
            return str
        raise self._wrong("The field has no value that could be compared.")

    def _schema(self, field: str) -> Mapping[str, Any]:
        """Return the schema of a field, which may be nested."""
        found: Mapping[str, Any] = discovery.schema(self._item)
        for name in _names(field):
            below = found.get("properties", {}).get(name, found.get("additionalProperties"))
            if below is None:
                raise self._wrong(f"There is no field '{field}'.")
            found = discovery.schema(below["$ref"]) if "$ref" in below else below
        return found

    def _next(self) -> str:
        """Return the next sign or word, quoted text as a space, and nothing at the end."""
        if self._at == len(self._tokens):
            return ""
        token = self._tokens[self._at]
        return " " if token.kind == "quoted" else token.text

    def _take(self, *kinds: str) -> _Token:
        if self._at == len(self._tokens) or self._tokens[self._at].kind not in kinds:
            raise self._wrong()
        self._at += 1
        return self._tokens[self._at - 1]

    def _wrong(self, why: str = "") -> errors.GceError:
        message = f"Invalid list filter expression. {why}".rstrip()
        return errors.invalid("filter", self._text, message)


def _token(match: re.Match[str]) -> _Token:
    if match["double"] is not None:
        return _Token("quoted", re.sub(r"\\(.)", r"\1", match["double"]))
    if match["single"] is not None:
        return _Token("quoted", match["single"])
    if match["sign"] is not None:
        return _Token("sign", match["sign"])
    return _Token("word", match["word"])


def _names(field: str) -> list[str]:
    return field.split(".")


def _value(item: Document, field: str) -> object | None:
    """Return what ``item`` has in a field, which may be nested; None if it has nothing."""
    *above, last = _names(field)
    for name in above:
        item = item.get(name, {})
    value: object | None = item.get(last)
    return value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _whole(value: object) -> int:
    text = str(value)
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(text)
    return int(text)


def _truth(value: object) -> bool:
    text = _text(value)
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"
