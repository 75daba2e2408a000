"""Attacks on the JSON text: rows 36 to 38."""

from cloudcrypt.luks2 import Step, layout
from cloudcrypt_testing.headers import Forgery
from cloudcrypt_testing.mutations import chain, json_text, put, rename, text
from tests.unit.attacks.model import Attack

CIPHER = '"encryption":"aes-xts-plain64"'
SECTOR = '"sector_size":4096'
OFFSET = '"offset":"16777216"'
ITERATIONS = '"iterations":1000'
WRONG_TYPES: tuple[object, ...] = (-4096, -1, True, False, None, "4096", [4096], {})


def without_end(forgery: Forgery) -> None:
    """Fill the JSON area to its last byte, so that no NUL ends the text."""
    for copy in forgery.copies:
        used = copy.json_area.rstrip(b"\0")[:-1]
        filler = b"a" * (layout.JSON_SIZE - len(used) - len(b',"x":""}'))
        copy.set_text(used + b',"x":"' + filler + b'"}')


def nested(depth: int) -> bytes:
    """Return a document with an array that many deep in it."""
    return b'{"keyslots":' + b"[" * depth + b"]" * depth + b"}"


FORMS = [
    Attack(36, "the same key twice, evil last", text(CIPHER, f'{CIPHER},"encryption":"null"'),
           Step.JSON),
    Attack(36, "the same key twice, evil first", text(CIPHER, f'"encryption":"null",{CIPHER}'),
           Step.JSON),
    Attack(36, "the same key twice, equal", text(CIPHER, f"{CIPHER},{CIPHER}"), Step.JSON),
    Attack(36, "the same object twice", text('"config":', '"config":{},"config":'), Step.JSON),
    Attack(36, "a key in upper case", rename("keyslots/0/type", "TYPE"),
           Step.DOCUMENT),
    Attack(36, "a key escaped", text('"encryption"', r'"\u0065ncryption"'), Step.JSON),
    Attack(36, "a value escaped", text("plain64", r"pl\u0061in64"), Step.JSON),
    Attack(36, "a slash escaped", text('"size":"dynamic"', r'"size":"dyn\/amic"'), Step.JSON),
    Attack(36, "an escape in upper case", text('"size":"dynamic"', r'"size":"\u00E9"'), Step.JSON),
    Attack(36, "a value with a NUL escaped in it",
           text('"size":"dynamic"', r'"size":"dynamic\u0000"'), Step.SEGMENT),
    Attack(36, "half a surrogate pair", text('"size":"dynamic"', r'"size":"\ud800"'), Step.SEGMENT),
    Attack(36, "a comment", text('"config":', '/* hello */"config":'), Step.JSON),
    Attack(36, "a line comment", text('"config":', '//\n"config":'), Step.JSON),
    Attack(36, "single quotes", text('"config"', "'config'"), Step.JSON),
    Attack(36, "a space before the document", text("{", " {"), Step.JSON),
    Attack(36, "a space within", text('"config":', '"config": '), Step.JSON),
    Attack(36, "a newline at the end", text('"16744448"}}', '"16744448"}}\n'), Step.JSON),
    Attack(36, "a trailing comma", text('"16744448"}}', '"16744448",}}'), Step.JSON),
    Attack(36, "a control character in a string", text("dynamic", b"dyn\tamic"), Step.JSON),
    Attack(36, "invalid UTF-8", text("dynamic", b"dynamic\xff"), Step.JSON),
    Attack(36, "valid UTF-8", text("dynamic", "dynamiç".encode()), Step.JSON),
    Attack(36, "a byte order mark", text("{", b"\xef\xbb\xbf{"), Step.JSON),
    Attack(36, "NaN", text(SECTOR, '"sector_size":NaN'), Step.JSON),
    Attack(36, "Infinity", text(SECTOR, '"sector_size":Infinity'), Step.JSON),
    Attack(36, "-Infinity", text(SECTOR, '"sector_size":-Infinity'), Step.JSON),
    Attack(36, "an unknown key at the root", put("evil", {}), Step.DOCUMENT),
    Attack(36, "an unknown key in a keyslot", put("keyslots/0/evil", 0), Step.DOCUMENT),
    Attack(36, "an unknown key in an area", put("keyslots/0/area/evil", 0), Step.DOCUMENT),
    Attack(36, "an unknown key in a KDF", put("keyslots/0/kdf/hash", "sha256"), Step.DOCUMENT),
    Attack(36, "an unknown key in a splitter", put("keyslots/0/af/evil", 0), Step.DOCUMENT),
    Attack(36, "an unknown key in a digest", put("digests/0/evil", 0), Step.DOCUMENT),
    Attack(36, "an unknown key in config", put("config/evil", 0), Step.DOCUMENT),
    Attack(36, "an empty key", put("", 0), Step.DOCUMENT),
    Attack(36, "nesting 16 deep", json_text(nested(15)), Step.DOCUMENT),
    Attack(36, "nesting 17 deep", json_text(nested(16)), Step.JSON),
    Attack(36, "nesting 25 deep", json_text(nested(24)), Step.JSON),
    Attack(36, "nesting 5000 deep", json_text(nested(5000)), Step.JSON),
    Attack(36, "nesting that never ends", json_text(b"[" * 12000), Step.JSON),
    Attack(36, "nesting of objects", json_text(b'{"a":' * 2000), Step.JSON),
    Attack(36, "a string that never ends", json_text(b'"' + b'\\"' * 6000), Step.JSON),
    Attack(36, "a backslash at the end", json_text(b'"\\'), Step.JSON),
    Attack(36, "an array", json_text(b"[]"), Step.DOCUMENT),
    Attack(36, "a number", json_text(b"0"), Step.DOCUMENT),
    Attack(36, "null", json_text(b"null"), Step.DOCUMENT),
    Attack(36, "an empty object", json_text(b"{}"), Step.DOCUMENT),
    Attack(36, "two documents", json_text(b"{}{}"), Step.JSON),
    Attack(36, "no end of the text", without_end, Step.JSON),
    Attack(36, "keyslots as an array", put("keyslots", []), Step.DOCUMENT),
    Attack(36, "a keyslot that is null", put("keyslots/0", None), Step.DOCUMENT),
    Attack(36, "a type that is an object", put("keyslots/0/type", {}), Step.DOCUMENT),
]  # fmt: skip

NUMBERS = [
    *(
        Attack(37, f"offset {number!a}", put("segments/0/offset", number), Step.DOCUMENT)
        for number in (
            "016777216",
            "00",
            "16_777_216",
            "\u0661\u0666\u0667\u0667\u0667\u0662\u0661\u0666",
            " 16777216",
            "16777216 ",
            "16777216\n",
            "+16777216",
            "-16777216",
            "0x1000000",
            "16777216.0",
            "1e7",
            "",
            "inf",
            str(2**64),
            "9" * 4000,
            16777216,
            None,
            True,
        )
    ),
    *(
        Attack(37, f"sector_size {number}", text(SECTOR, f'"sector_size":{number}'), Step.JSON)
        for number in (
            "04096", "4096.0", "4.096e3", "4096e0", "1e400", "+4096", "0x1000", "-0",
            "4_096", "99999999999", "9" * 5000, "4096L",
        )
    ),
    *(
        Attack(37, f"sector_size {wrong!r}", put("segments/0/sector_size", wrong), Step.DOCUMENT)
        for wrong in WRONG_TYPES
    ),
    *(
        Attack(37, f"{path} 2^32 more", put(path, value + 2**32), step)
        for path, value, step in (
            ("keyslots/0/key_size", 64, Step.KEYSLOT),
            ("keyslots/0/kdf/time", 3, Step.KDF),
            ("keyslots/0/kdf/memory", 65536, Step.KDF),
            ("keyslots/0/kdf/cpus", 4, Step.KDF),
            ("segments/0/sector_size", 4096, Step.SEGMENT),
            ("digests/0/iterations", 1000, Step.DIGEST),
        )
    ),
    Attack(37, "iterations in words", text(ITERATIONS, '"iterations":"1000"'), Step.DOCUMENT),
]  # fmt: skip

DIGITS = "A" * 42
BASE64 = [
    *(
        Attack(38, name, put("digests/0/salt", value), Step.DOCUMENT)
        for name, value in (
            ("white space", f" {DIGITS}A="),
            ("a newline at the end", f"{DIGITS}A=\n"),
            ("a newline within", f"{DIGITS}\nA="),
            ("padding missing", f"{DIGITS}A"),
            ("padding twice", f"{DIGITS}A=="),
            ("padding of its own", "===="),
            ("stray bits", f"{DIGITS}B="),
            ("the URL alphabet", f"{DIGITS[:-1]}-_="),
            ("foreign characters", f"{DIGITS[:-1]}!A="),
            ("not ASCII", f"{DIGITS[:-1]}\u00e9A="),
            ("content after padding", f"{DIGITS}A=AAAA"),
            ("a number", 0),
            ("null", None),
            ("an array of bytes", [0] * 32),
        )
    ),
    Attack(38, "stray bits in the salt of the KDF", put("keyslots/0/kdf/salt", f"{DIGITS}B="),
           Step.DOCUMENT),
    Attack(38, "stray bits in the digest", put("digests/0/digest", f"{DIGITS}B="), Step.DOCUMENT),
    Attack(38, "stray bits, escaped as well",
           chain(put("digests/0/salt", "A" * 43 + "="), text("A=", r"A\u003d")), Step.JSON),
]  # fmt: skip

ATTACKS = FORMS + NUMBERS + BASE64
