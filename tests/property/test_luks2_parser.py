"""Whatever a disk says: the parser refuses it or understands it, in bounded time and memory."""

import functools
import json
import time
import tracemalloc

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudcrypt.errors import HeaderRefused
from cloudcrypt.luks2 import HeaderImage, RawHeader, layout, parse, verify
from cloudcrypt.luks2.canonical import loads
from cloudcrypt.luks2.inspect import inspect
from cloudcrypt.luks2.parse import UnverifiedHeader
from cloudcrypt.model import Expectation, Mode
from cloudcrypt.profiles import CLOUDCRYPT_V1, CONSTELLATION, Profile
from cloudcrypt_testing.headers import Forgery, Json
from cloudcrypt_testing.mutations import Mutation, chain, edit, json_tail, json_text, raw
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from cloudcrypt_testing.volumes import header_keys, sample_volume

WORDS = [
    "type", "keyslots", "tokens", "segments", "digests", "config", "0", "1", "luks2", "crypt",
    "argon2id", "pbkdf2", "raw", "luks1", "sha256", "aes-xts-plain64", "dynamic", "cloudcrypt",
    "offset", "size", "encryption", "key_size", "16777216", "32768", "mac", "salt", "flags",
]  # fmt: skip
TEXTS = st.sampled_from(WORDS) | st.text(max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([0, 1, 64, 96, 512, 4096, 2**31, 2**32, 2**63, 2**64])
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@functools.cache
def genuine(profile: Profile, mode: Mode) -> HeaderImage:
    return sample_volume(profile, mode).image


def after(mutation: Mutation, mode: Mode = Mode.CRYPT, profile: Profile = CHEAP) -> bytes:
    """Return what is read of a genuine header after ``mutation``; checksums are right."""
    forgery = Forgery.of(genuine(profile, mode))
    mutation(forgery)
    copies = forgery.primary.to_bytes() + forgery.secondary.to_bytes()
    return copies.ljust(layout.READ_SIZE, b"\0")


def understood(content: bytes) -> UnverifiedHeader | None:
    """Parse, verify and inspect; only refusals are allowed to come out, and only short ones."""
    header = RawHeader("hostile", layout.DEVICE_MIN, content)
    for profile in (CLOUDCRYPT_V1, CONSTELLATION):
        inspect(header, profile)
    refusals: list[HeaderRefused] = []
    unverified = None
    try:
        unverified = parse(header)
    except HeaderRefused as refusal:
        refusals.append(refusal)
    if unverified is not None:
        seal_key = header_keys(CHEAP, "v", 1).seal
        for mode in Mode:
            for profile, key in ((CHEAP, seal_key), (CONSTELLATION, None)):
                try:
                    verify(unverified, profile, Expectation(mode), key)
                except HeaderRefused as refusal:
                    refusals.append(refusal)
    assert all(refusal.message.isascii() for refusal in refusals)
    assert all(len(refusal.message) < 400 for refusal in refusals)
    return unverified


@given(st.binary(max_size=layout.READ_SIZE))
@example(b"")
@example(b"LUKS\xba\xbe\0\2")
def test_arbitrary_bytes_are_refused(content: bytes) -> None:
    assert understood(content.ljust(layout.READ_SIZE, b"\0")) is None


@given(st.binary(max_size=200), st.integers(0, 4095))
def test_arbitrary_bytes_in_the_binary_headers_never_crash(content: bytes, offset: int) -> None:
    understood(after(raw(offset, content[: 4096 - offset])))


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_as_json_never_crash(text: bytes) -> None:
    understood(after(json_text(text)))


@given(st.binary(max_size=100), st.integers(0, layout.JSON_SIZE - 100))
def test_arbitrary_bytes_within_the_json_never_crash(content: bytes, offset: int) -> None:
    understood(after(json_tail(offset, content)))


@given(VALUES)
def test_any_json_value_as_document_never_crashes(value: object) -> None:
    understood(after(json_text(json.dumps(value, separators=(",", ":")).encode()[:12000])))


@st.composite
def edits(draw: st.DrawFn) -> Mutation:
    """Draw a change of one place of a genuine document."""
    value, key, is_dropped = draw(VALUES), draw(TEXTS), draw(st.booleans())
    choices = draw(st.lists(st.integers(0, 9), min_size=1, max_size=5))

    def change(document: Json) -> None:
        target = document
        for choice in choices[:-1]:
            keys = [name for name, item in target.items() if isinstance(item, dict) and item]
            if not keys:
                break
            target = target[keys[choice % len(keys)]]
        name = [*target, key][choices[-1] % (len(target) + 1)]
        if is_dropped:
            target.pop(name, None)
        else:
            target[name] = value

    return edit(change)


@settings(max_examples=300)
@given(
    st.lists(edits(), min_size=1, max_size=3),
    st.sampled_from(list(Mode)),
    st.sampled_from([CHEAP, CHEAP_CONSTELLATION]),
)
def test_any_edits_of_a_genuine_document_never_crash(
    mutations: list[Mutation], mode: Mode, profile: Profile
) -> None:
    understood(after(chain(*mutations), mode, profile))


@given(VALUES)
def test_what_is_read_of_json_is_what_python_reads(value: object) -> None:
    text = json.dumps(value, separators=(",", ":")).encode()
    if len(text) >= layout.JSON_SIZE:
        return
    try:
        found = loads(text.ljust(layout.JSON_SIZE, b"\0"))
    except HeaderRefused:
        return
    assert json.loads(text) == found


UNITS = st.sampled_from(
    [b"[", b"{", b'"', b"\\", b'\\"', b'{"":', b'"",', b"0,", b"[]", b"-", b"9"]
)


@given(st.lists(st.tuples(UNITS, st.integers(1, 12000)), min_size=1, max_size=4))
@example([(b'"', 1), (b'\\"', 6000)])
@example([(b"[", 12000)])
@example([(b"9", 12000)])
def test_repetitive_json_is_refused_in_bounded_time(runs: list[tuple[bytes, int]]) -> None:
    text = b"".join(unit * count for unit, count in runs)[: layout.JSON_SIZE - 1]
    began = time.process_time()
    understood(after(json_text(text)))
    assert time.process_time() - began < 1


def test_hostile_json_takes_bounded_memory() -> None:
    texts = [b"[" * 12000, b'"' + b"\\u0000" * 2000 + b'"', b"[" + b"0," * 6000 + b"0]"]
    texts += [b'{"keyslots":{' + b",".join(b'"%d":{}' % n for n in range(1000)) + b"}}"]
    contents = [after(json_text(text[: layout.JSON_SIZE - 1])) for text in texts]
    tracemalloc.start()
    try:
        for content in contents:
            understood(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
