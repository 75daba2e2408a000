"""What a disk says of itself, field by field, beside what the profile says. Needs no key.

Nothing here decides anything: the report is for people. It looks at the same bytes as `parse`, goes
on after the first deviation, and never raises for what it finds.
"""

import struct
from collections.abc import Callable, Iterator
from typing import cast

import attrs

from cloudcrypt.errors import HeaderRefused, shown
from cloudcrypt.luks2 import binary, canonical, document, layout, seal
from cloudcrypt.luks2.parse import RawHeader
from cloudcrypt.luks2.verify import (
    AREA_KEY_SIZE,
    CIPHER,
    DIGEST_SIZE,
    HASH,
    INTEGRITY,
    SALT_SIZE,
    SEQIDS,
    STRIPES,
)
from cloudcrypt.model import Mode, is_uuid
from cloudcrypt.profiles import LAYOUTS, SECTOR_SIZE, Bounds, Profile

_MAX_FIELDS = 500  # of a document; a full profile has 35
_SAME_IN_BOTH = (
    ("seqid", 16, 24),
    ("uuid", 168, 208),
    ("json", layout.BINARY_SIZE, layout.METADATA_SIZE),
)


@attrs.frozen
class Field:
    """One field: its path, what was found, what the profile wants, and whether they agree.

    ``found`` is for people; ``value`` is the same for programs: a value of JSON, bytes in hex.
    """

    path: str
    found: str
    expected: str
    agrees: bool
    value: object = None


@attrs.frozen
class Report:
    """All fields of a header. ``profile`` names what it was compared with."""

    device: str
    device_size: int
    profile: str
    mode: Mode
    fields: tuple[Field, ...]

    @property
    def agrees(self) -> bool:
        """Whether every field agrees; that proves nothing without the key."""
        return all(field.agrees for field in self.fields)


@attrs.frozen
class _Rule:
    text: str
    accepts: Callable[[object], bool]


def _is(expected: object) -> _Rule:
    return _Rule(shown(expected), lambda found: type(found) is type(expected) and found == expected)


def _within(bounds: Bounds) -> _Rule:
    return _Rule(str(bounds), lambda found: type(found) is int and found in bounds)


def _binary(length: int) -> _Rule:
    def accepts(found: object) -> bool:
        content = canonical.base64_bytes(found)
        return content is not None and len(content) == length

    return _Rule(f"{length} bytes in base64", accepts)


def inspect(raw: RawHeader, profile: Profile) -> Report:
    """Compare a header with ``profile``, in the mode that the disk claims.

    Args:
        raw: the bytes of the header.
        profile: what to compare with.
    """
    fields = [*_binary_fields(raw, secondary=False), *_binary_fields(raw, secondary=True)]
    primary, secondary = (raw.copy_bytes(secondary=second) for second in (False, True))
    for part, start, end in _SAME_IN_BOTH:
        found = "equal" if primary[start:end] == secondary[start:end] else "different"
        fields.append(_field(f"copies.{part}", found, _is("equal")))
    mode = Mode.CRYPT
    try:
        value = canonical.loads(primary[layout.BINARY_SIZE :])
    except HeaderRefused as refusal:
        fields.append(Field("json", shown(refusal.found), shown(refusal.expected), agrees=False))
    else:
        mode = _claimed_mode(value)
        fields += _document_fields(value, _rules(profile, mode))
    return Report(raw.device, raw.device_size, profile.name, mode, tuple(fields))


def _binary_fields(raw: RawHeader, *, secondary: bool) -> Iterator[Field]:
    copy = raw.copy_bytes(secondary=secondary)
    magic, version, size, seqid = struct.unpack_from(">6sHQQ", copy)
    (offset,) = struct.unpack_from(">Q", copy, 256)
    name = "secondary" if secondary else "primary"
    text = copy[168:208].rstrip(b"\0")
    stored = copy[448:512]
    computed = binary.checksum(copy[: layout.BINARY_SIZE], copy[layout.BINARY_SIZE :])
    rules: list[tuple[str, object, _Rule]] = [
        ("magic", magic, _is(binary.MAGIC_SECONDARY if secondary else binary.MAGIC_PRIMARY)),
        ("version", version, _is(binary.VERSION)),
        ("hdr_size", size, _is(layout.METADATA_SIZE)),
        ("seqid", seqid, _within(SEQIDS)),
        ("uuid", text.decode("ascii", "replace"), _Rule("a lower-case UUID", _is_uuid)),
        ("hdr_offset", offset, _is(layout.SECONDARY_OFFSET if secondary else 0)),
        ("label", copy[24:72].rstrip(b"\0"), _is(b"")),
        ("subsystem", copy[208:256].rstrip(b"\0"), _is(b"")),
        ("checksum_alg", copy[72:104].rstrip(b"\0"), _is(binary.CHECKSUM_ALGORITHM.encode())),
        ("padding", "zero" if not any(copy[264:448] + copy[512:4096]) else "set", _is("zero")),
        ("checksum", "right" if stored == computed.ljust(64, b"\0") else "wrong", _is("right")),
    ]
    for path, found, rule in rules:
        yield _field(f"{name}.{path}", found, rule)


def _is_uuid(found: object) -> bool:
    return isinstance(found, str) and is_uuid(found)


def _claimed_mode(value: object) -> Mode:
    claims = any(keys[:3] == ("segments", "0", "integrity") for keys, _ in _flattened((), value))
    return Mode.INTEGRITY if claims else Mode.CRYPT


def _document_fields(value: object, rules: dict[str, _Rule]) -> Iterator[Field]:
    by_keys = {tuple(path.split(".")): rule for path, rule in rules.items()}
    found = dict(_flattened((), value))
    for keys, item in found.items():
        # A key of the disk may hold a dot: rules go by the keys, and the path is for people.
        path = ".".join(shown(key)[1:-1] for key in keys)
        rule = by_keys.get(keys)
        if rule is None:
            yield Field(path, shown(item), "absent", agrees=False, value=item)
        else:
            yield _field(path, item, rule)
    for keys, rule in by_keys.items():
        if keys not in found and keys[-2:] != ("integrity", "key_size"):
            yield Field(".".join(keys), "absent", rule.text, agrees=False)


def _flattened(keys: tuple[str, ...], value: object) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the leaves of a JSON value; an array and an empty object are leaves."""
    if isinstance(value, dict) and value:
        count = 0
        for key, item in cast("dict[str, object]", value).items():
            for leaf in _flattened((*keys, key), item):
                count += 1
                if count > _MAX_FIELDS:
                    return
                yield leaf
    else:
        yield keys, value


def _field(path: str, found: object, rule: _Rule) -> Field:
    value = found.hex() if isinstance(found, bytes) else found
    return Field(path, shown(found), rule.text, agrees=rule.accepts(found), value=value)


def _rules(profile: Profile, mode: Mode) -> dict[str, _Rule]:
    """Return what each leaf of the document must be."""
    sizes = LAYOUTS[mode]
    offsets = [sizes.area_offset, *([sizes.alternate_offset] if profile.sealed else [])]
    slot, area, kdf = "keyslots.0", "keyslots.0.area", "keyslots.0.kdf"
    segment, digest = "segments.0", "digests.0"
    rules = {
        f"{slot}.type": _is("luks2"),
        f"{slot}.key_size": _is(sizes.key_size),
        f"{slot}.af.type": _is("luks1"),
        f"{slot}.af.stripes": _is(STRIPES),
        f"{slot}.af.hash": _is(HASH),
        f"{area}.type": _is("raw"),
        f"{area}.offset": _Rule(
            " or ".join(map(str, offsets)), lambda found: canonical.decimal(found) in offsets
        ),
        f"{area}.size": _is(str(sizes.area_size)),
        f"{area}.encryption": _is(CIPHER),
        f"{area}.key_size": _is(AREA_KEY_SIZE),
        f"{kdf}.type": _is("argon2id"),
        f"{kdf}.time": _within(profile.time),
        f"{kdf}.memory": _within(profile.memory),
        f"{kdf}.cpus": _within(profile.lanes),
        f"{kdf}.salt": _binary(SALT_SIZE),
        f"{segment}.type": _is("crypt"),
        f"{segment}.offset": _is(str(layout.DATA_OFFSET)),
        f"{segment}.size": _is("dynamic"),
        f"{segment}.iv_tweak": _is("0"),
        f"{segment}.encryption": _is(CIPHER),
        f"{segment}.sector_size": _is(SECTOR_SIZE),
        f"{digest}.type": _is("pbkdf2"),
        f"{digest}.keyslots": _is(["0"]),
        f"{digest}.segments": _is(["0"]),
        f"{digest}.hash": _is(HASH),
        f"{digest}.iterations": _within(profile.digest_iterations),
        f"{digest}.salt": _binary(SALT_SIZE),
        f"{digest}.digest": _binary(DIGEST_SIZE),
        "config.json_size": _is(str(layout.JSON_SIZE)),
        "config.keyslots_size": _is(str(layout.KEYSLOTS_SIZE)),
    }
    if mode is Mode.INTEGRITY:
        rules |= {
            f"{segment}.integrity.type": _is(INTEGRITY),
            f"{segment}.integrity.journal_encryption": _is("none"),
            f"{segment}.integrity.journal_integrity": _is("none"),
            f"{segment}.integrity.key_size": _is(32),
        }
    return rules | _token_rules(profile)


def _token_rules(profile: Profile) -> dict[str, _Rule]:
    if not profile.sealed:
        return {"tokens": _is({})}
    return {
        "tokens.0.type": _is(document.SEAL_TYPE),
        "tokens.0.keyslots": _is(["0"]),
        "tokens.0.version": _is(seal.SEAL_VERSION),
        "tokens.0.generation": _Rule(
            "a generation", lambda found: canonical.decimal(found) is not None
        ),
        "tokens.0.mac": _binary(seal.KEY_SIZE),
    }
