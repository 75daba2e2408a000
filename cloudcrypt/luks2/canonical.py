"""Strict JSON: only what equals its own canonical serialisation, byte for byte.

Python's ``json`` takes duplicate keys, NaN and numbers of any length, and fails on depth with
``RecursionError``; libcryptsetup's takes comments and more. Here each of those is a refusal.
"""

import base64
import binascii
import json
import re
from typing import Any, NoReturn

from cloudcrypt.luks2.steps import Step, refuse

_DEPTH_MAX = 16  # a full profile nests 4 deep
_INT_DIGITS = 10  # json integers of LUKS2 are 32-bit; 64-bit ones are decimal strings
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
# Possessive, and content with a string that never ends, so that hostile text takes linear time.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_U64_MAX = 2**64 - 1


def loads(area: bytes) -> Any:  # noqa: ANN401  # any JSON value
    """Return the value of a NUL-padded JSON area (step 5).

    Args:
        area: the whole JSON area of a metadata copy; at least one NUL must end the text.

    Raises:
        HeaderRefused: the text is not canonical JSON, or something follows it.
    """
    text, _, padding = area.partition(b"\0")
    if padding.strip(b"\0") or len(text) == len(area):
        refuse(Step.JSON, "bytes after the JSON text", "zeros")
    try:
        decoded = text.decode("ascii")
    except UnicodeDecodeError:
        refuse(Step.JSON, "bytes that are not ASCII", "ASCII")
    _check_depth(decoded)
    try:
        value = json.loads(
            decoded,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except (ValueError, RecursionError):
        refuse(Step.JSON, decoded[:40], "JSON")
    if dumps(value) != text:
        refuse(Step.JSON, "JSON in another form", "its canonical serialisation")
    return value


def dumps(value: object) -> bytes:
    """Return the canonical serialisation: no white space, ASCII, keys in the order given."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def decimal(text: object) -> int | None:
    """Return the unsigned 64-bit number that ``text`` spells canonically, else None."""
    if not isinstance(text, str) or _DECIMAL.fullmatch(text) is None:
        return None
    value = int(text)
    return value if value <= _U64_MAX else None


def base64_bytes(text: object) -> bytes | None:
    """Return the bytes that ``text`` spells in canonical standard base64, else None."""
    if not isinstance(text, str):
        return None
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if to_base64(value) == text else None


def to_base64(value: bytes) -> str:
    """Return ``value`` in standard base64 with padding."""
    return base64.b64encode(value).decode("ascii")


def _check_depth(text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth > _DEPTH_MAX:
            refuse(Step.JSON, f"nesting deeper than {_DEPTH_MAX}", f"at most {_DEPTH_MAX}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        refuse(Step.JSON, "an object with the same key twice", "unique keys")
    return value


def _integer(text: str) -> int:
    if len(text) > _INT_DIGITS:
        _no_number(text)
    return int(text)


def _no_number(text: str) -> NoReturn:
    refuse(Step.JSON, text, "a 32-bit integer, or a decimal string")
