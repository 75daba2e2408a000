"""Strict JSON, canonical numbers and canonical base64."""

import base64
import time

import pytest

from cloudcrypt.errors import HeaderRefused
from cloudcrypt.luks2 import Step
from cloudcrypt.luks2.canonical import base64_bytes, decimal, dumps, loads, to_base64


def name_of(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}... {len(text)}"


def area(text: bytes) -> bytes:
    return text.ljust(12288, b"\0")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"{}", {}),
        (b"[]", []),
        (b"null", None),
        (b"0", 0),
        (b"-7", -7),
        (b"4294967295", 4294967295),
        (b'{"b":1,"a":[true,false,null,"x"]}', {"b": 1, "a": [True, False, None, "x"]}),
        (rb'"\u00e9\n\"\\\u0000"', 'é\n"\\\0'),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (b'"[[[[[[[[[[[[[[[[[[[[{{{{"', "[[[[[[[[[[[[[[[[[[[[{{{{"),
        (b"[" * 16 + b"]" * 16, [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]),
    ],
)
def test_canonical_json_is_read(text: bytes, value: object) -> None:
    assert value == loads(area(text))


def test_the_order_of_keys_is_kept() -> None:
    assert ["b", "a"] == list(loads(area(b'{"b":1,"a":2}')))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" {}",
        b"{} ",
        b"{ }",
        b"{}\n",
        b"{}{}",
        b"{}x",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1,}',
        b"[1,]",
        b"[1 ,2]",
        b"/**/{}",
        b"{}//",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1.0",
        b"1e400",
        b"1e3",
        b"-0",
        b"007",
        b"+1",
        b"0x10",
        b"1_000",
        b"12345678901",
        b"9" * 5000,
        "٣".encode(),
        rb'"\u0061"',
        rb'"\u00E9"',
        rb'"\/"',
        rb'"\b'[:3],
        b'"\xc3\xa9"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b'"\t"',
        b'"',
        b'"\\',
        b"tru",
        b"True",
        b"[" * 17 + b"]" * 17,
        b"[" * 5999 + b"]" * 5999,
        b"[" * 12000,
        b'{"a":' * 2400,
        b"]" * 5000 + b"[" * 5000,
    ],
    ids=name_of,
)
def test_any_other_text_is_refused_as_json(text: bytes) -> None:
    with pytest.raises(HeaderRefused) as refusal:
        loads(area(text))
    assert Step.JSON == refusal.value.step


@pytest.mark.parametrize("tail", [b"\0x", b"\0" * 100 + b"{}", b"\0" * 12285 + b"\1"])
def test_anything_after_the_first_nul_is_refused(tail: bytes) -> None:
    with pytest.raises(HeaderRefused):
        loads(area(b"{}" + tail))


def test_a_text_that_no_nul_ends_is_refused() -> None:
    with pytest.raises(HeaderRefused):
        loads(b'"' + b"a" * 12286 + b'"')


@pytest.mark.parametrize("unit", [b'\\"', b'"', b"\\", b"[]", b'"\\', b'{"', b'"",'])
@pytest.mark.parametrize("start", [b"", b'"', b"["])
def test_hostile_text_is_refused_in_no_time(start: bytes, unit: bytes) -> None:
    began = time.process_time()
    with pytest.raises(HeaderRefused):
        loads(area((start + unit * 12000)[:12287]))
    assert time.process_time() - began < 0.1


def test_a_refusal_does_not_repeat_a_hostile_text() -> None:
    with pytest.raises(HeaderRefused) as refusal:
        loads(area(b"\x1b[31m" * 2000))
    assert "\x1b" not in str(refusal.value)
    assert len(refusal.value.message) < 200


def test_what_is_written_is_canonical() -> None:
    value = {"b": [1, "é", {"a": None}], "a": ""}
    assert b'{"b":[1,"\\u00e9",{"a":null}],"a":""}' == dumps(value)
    assert value == loads(area(dumps(value)))


def test_no_number_that_json_lacks_is_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps(float("nan"))


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("7", 7), ("16777216", 16777216), (str(2**64 - 1), 2**64 - 1)]
)
def test_a_canonical_decimal_is_a_number(text: str, value: int) -> None:
    assert value == decimal(text)


@pytest.mark.parametrize(
    "text",
    ["", "00", "007", "-1", "+1", " 1", "1 ", "1\n", "1_0", "1.0", "1e3", "0x1", "٣", "\uff11", "²",
     str(2**64), "1" * 21, "9" * 10000, 1, None, True, 1.0, [], b"1"],
    ids=name_of,
)  # fmt: skip
def test_anything_else_is_no_decimal(text: object) -> None:
    assert decimal(text) is None


@pytest.mark.parametrize("length", range(8))
def test_base64_comes_back(length: int) -> None:
    value = bytes(range(255, 255 - length, -1))
    assert base64.b64encode(value).decode() == to_base64(value)
    assert value == base64_bytes(to_base64(value))


@pytest.mark.parametrize(
    "text",
    ["A", "AA", "AAA", "AA=", "A===", "====", "AB==", "AAB=", "AA==AA==", "AA==\n", " AA==",
     "A A==", "A\nA==", "-_==", "AA==A", "é===", "AA\0=", 0, None, b"AA==", ["AA=="]],
    ids=name_of,
)  # fmt: skip
def test_anything_else_is_no_base64(text: object) -> None:
    assert base64_bytes(text) is None
