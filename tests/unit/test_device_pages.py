"""What disks say of themselves is read within bounds: any bytes at all are an answer or none."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudcrypt.device._azure import namespace_properties
from cloudcrypt.device._google import namespace_name, page_names
from cloudcrypt.device._nvme import PAGE_BYTES, vendor_text
from cloudcrypt_testing.fake_azure import devices as azure
from cloudcrypt_testing.fake_gce import devices as google

START = 384
ROOM = PAGE_BYTES - START
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}", fullmatch=True)


def _page(area: bytes) -> bytes:
    return (bytes(START) + area).ljust(PAGE_BYTES, b"\0")


AREAS = st.one_of(
    st.binary(max_size=ROOM),
    st.text(max_size=ROOM // 4).map(str.encode),
    st.lists(st.sampled_from(["type", "lun", "name", "=", ",", "data", "4", "\0", "é"])).map(
        lambda each: "".join(each).encode()[:ROOM]
    ),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda each: (
            st.lists(each, max_size=3)
            | st.dictionaries(st.just("device_name") | st.text(max_size=5), each, max_size=3)
        ),
    ).map(lambda each: json.dumps(each).encode()[:ROOM]),
)
HEADERS = st.tuples(*[st.integers(0, 255)] * 4).map(bytes)
CONTENTS = st.binary(max_size=40) | st.sampled_from([b"Google  name", b"name", b"other"])


@st.composite
def _designators(draw: st.DrawFn) -> bytes:
    """Return designators, some of them with a length that is not theirs."""
    body = b""
    for header, content in draw(st.lists(st.tuples(HEADERS, CONTENTS), max_size=8)):
        length = draw(st.just(len(content)) | st.just(header[3]))
        body += header[:3] + bytes([length]) + content
    return body


DESIGNATORS = _designators()


def _page_83(body: bytes, length: int | None = None, code: int = 0x83) -> bytes:
    stated = len(body) if length is None else length
    return bytes([0, code]) + stated.to_bytes(2, "big") + body


def _designator(kind: int, content: bytes, *, association: int = 0) -> bytes:
    return bytes([2, association << 4 | kind, 0, len(content)]) + content


@given(page=st.binary(max_size=2 * PAGE_BYTES) | AREAS.map(_page))
def test_any_identify_page_is_an_answer_or_none(page: bytes) -> None:
    text, name, said = vendor_text(page), namespace_name(page), namespace_properties(page)
    assert text is None or text.isascii()
    assert name is None or 0 < len(name) <= 255
    assert (said is None) >= (text is None)


@given(page=st.binary(max_size=600) | DESIGNATORS.map(_page_83))
def test_any_device_identification_page_is_an_answer_or_none(page: bytes) -> None:
    assert all(name.isascii() and 0 < len(name) <= 255 for name in page_names(page))


@given(name=NAMES, junk=DESIGNATORS, cut=st.integers(0, 400), length=st.integers(0, 0xFFFF))
@example(name="a", junk=b"", cut=400, length=5)
def test_a_page_is_read_up_to_the_length_that_it_states_or_not_at_all(
    name: str, junk: bytes, cut: int, length: int
) -> None:
    body = _designator(0, name.encode()) + junk
    whole = _page_83(body)
    if cut < len(whole):
        assert page_names(whole[:cut]) == frozenset()
    stated = _page_83(body, length)
    expected = page_names(_page_83(body[:length])) if length <= len(body) else frozenset()
    assert expected == page_names(stated)


@given(name=NAMES)
def test_a_device_name_comes_back_from_both_pages(name: str) -> None:
    assert page_names(google.page_83(name)) == {name}
    assert namespace_name(google.identify_page(name)) == name


@given(name=NAMES, lun=st.integers(0, 63), behind=st.binary(max_size=500))
def test_a_lun_and_a_name_come_back_whatever_follows_the_nul(
    name: str, lun: int, behind: bytes
) -> None:
    text = f"type=data,lun={lun},name={name}"
    said = namespace_properties(_page(text.encode() + b"\0" + behind))
    assert said == {"type": "data", "lun": str(lun), "name": name}


@pytest.mark.parametrize(
    "body",
    [
        _designator(0, b"data-1"),
        _designator(0, b"data-1\0\0"),
        _designator(0, b"data-1  "),
        _designator(1, b"Google  data-1"),
        _designator(1, b"Google  PersistentDisk  data-1"),
        _designator(0, b"data-1") + _designator(0, b"data-1"),
        _designator(0, b"data-1") + _designator(1, b"Google  data-1"),
        _designator(3, b"\x60\x02") + _designator(0, b"data-1") + _designator(8, b"naa.6002"),
        _designator(0, b"data-1") + _designator(0, b"port-1", association=1),
        _designator(0, b"data-1") + _designator(0, b""),
        _designator(0, b"data-1") + _designator(0, b"\xff" * 255),
    ],
)
def test_a_page_with_one_name_has_it(body: bytes) -> None:
    assert page_names(_page_83(body)) == {"data-1"}


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"\0",
        b"\0\x83\0",
        b"\0\x83\0\0",
        _page_83(b"\0\0\0"),
        _page_83(_designator(0, b"data-1"), code=0x80),
        _page_83(_designator(0, b"data-1"), length=11),
        _page_83(_designator(0, b"data-1"), length=9),
        _page_83(_designator(0, b"data-1") + b"\2"),
        _page_83(_designator(0, b"data-1") + b"\2\0\0\1"),
        _page_83(_designator(0, b"data-1", association=1)),
        _page_83(_designator(0, b"data-1", association=2)),
        _page_83(_designator(2, b"data-1")),
        _page_83(_designator(0, b"data\n1")),
        _page_83(_designator(0, b"data 1")),
        _page_83(_designator(0, b"-data-1")),
        _page_83(_designator(0, "dätä".encode())),
        _page_83(_designator(1, b"Google data-1")),
        _page_83(_designator(1, b"ATA     data-1")),
        _page_83(_designator(1, b"data-1")),
        azure.page_83(1, 4),
    ],
)
def test_a_page_without_a_name_has_none(page: bytes) -> None:
    assert page_names(page) == frozenset()


@pytest.mark.parametrize(
    "body",
    [b'{"device_name":"a"}', b'{ "x": [1, {}], "device_name": "a" }', b'{"device_name":"a"}\0{'],
)
def test_a_text_with_one_device_name_has_it(body: bytes) -> None:
    assert namespace_name(_page(body)) == "a"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0" + b'{"device_name":"a"}',
        b'{"device_name":"a"',
        b'{"device_name":"a"}x',
        b'{"device_name":"a","device_name":"a"}',
        b'{"device_name":"a","device_name":"b"}',
        b'{"device_name":"a","x":{"y":1,"y":1}}',
        b'{"device_name":1}',
        b'{"device_name":null}',
        b'{"device_name":["a"]}',
        b'{"device_name":""}',
        b'{"device_name":"a\\u0000"}',
        b'{"device_name":"\\ud800"}',
        b'{"device_name":"\\u00e9"}',
        '{"device_name":"é"}'.encode(),
        b'{"device_name":"' + b"a" * 256 + b'"}',
        b'{"name":"a"}',
        b'["device_name"]',
        b'"device_name"',
        b"[" * ROOM,
        b"[" * (ROOM - 1),
        b'{"a":' * (ROOM // 5),
        b"9" * (ROOM - 1),
        b'{"device_name":"a"}'.ljust(ROOM),
        b"type=data,lun=4,name=a",
    ],
)
def test_any_other_text_has_no_device_name(body: bytes) -> None:
    assert namespace_name(_page(body)) is None


@pytest.mark.parametrize("length", [0, START, PAGE_BYTES - 1, PAGE_BYTES + 1])
def test_a_page_of_another_length_is_none(length: int) -> None:
    page = google.identify_page("data-1").ljust(length, b"\0")[:length]
    assert (vendor_text(page), namespace_name(page), namespace_properties(page)) == (
        None,
        None,
        None,
    )


def test_a_host_that_says_nothing_has_no_properties() -> None:
    assert namespace_properties(bytes(PAGE_BYTES)) == {}


@pytest.mark.parametrize(
    "body",
    [
        b",",
        b"type",
        b"type=data,",
        b",type=data",
        b"type=data,,lun=4",
        b"type=data,lun=4,lun=5",
        b"type=data,lun=4,lun=4",
        b"type=data,name=a=b",
        b"=data",
        b"Type=data",
        b"type =data",
        b"type=data\xff",
        b"x" * ROOM,
        b'{"device_name":"a"}',
    ],
)
def test_what_is_no_list_of_properties_is_none(body: bytes) -> None:
    assert namespace_properties(_page(body)) is None
