"""The JSON document of a header, typed: one frozen class for each kind of object.

Reading accepts the kinds that a profile of ours can contain and nothing else; an unknown kind, a
missing field and a superfluous one are refused (step 6). Values are compared with the profile by
`cloudcrypt.luks2.verify`. Writing gives the fields in the order in which libcryptsetup has them.
"""

from collections.abc import Mapping
from typing import Any, NoReturn, cast

import attrs

from cloudcrypt.errors import KeyslotsRefused
from cloudcrypt.luks2 import canonical
from cloudcrypt.luks2.steps import Step, refuse

SEAL_TYPE = "cloudcrypt"
"""The type of our token. libcryptsetup keeps it and has no handler for it."""

Json = dict[str, Any]


@attrs.frozen
class AntiForensic:
    """The splitter of a keyslot: ``stripes`` copies of the key, diffused with ``hash``."""

    stripes: int
    hash: str


@attrs.frozen
class Area:
    """The keyslot area: ``offset`` and ``size`` in bytes, ``key_size`` of its cipher in bytes."""

    offset: int
    size: int
    encryption: str
    key_size: int


@attrs.frozen
class Argon2id:
    """The key derivation of a keyslot: passes, KiB of memory, lanes."""

    time: int
    memory: int
    cpus: int
    salt: bytes = attrs.field(repr=False)


@attrs.frozen
class Luks2Keyslot:
    """A keyslot of type luks2; ``key_size`` in bytes is that of the volume key."""

    key_size: int
    af: AntiForensic
    area: Area
    kdf: Argon2id


@attrs.frozen
class CryptSegment:
    """A segment of type crypt without integrity; ``size`` is the text "dynamic" or a number."""

    offset: int
    size: str
    iv_tweak: int
    encryption: str
    sector_size: int


@attrs.frozen
class IntegritySegment:
    """A segment of type crypt above dm-integrity.

    ``key_size`` in bytes is what libcryptsetup 2.8 and later may add; absent in older headers.
    """

    offset: int
    size: str
    iv_tweak: int
    encryption: str
    sector_size: int
    integrity: str
    journal_encryption: str
    journal_integrity: str
    key_size: int | None = None


@attrs.frozen
class Pbkdf2Digest:
    """The digest of the volume key, and what it speaks for."""

    keyslots: tuple[str, ...]
    segments: tuple[str, ...]
    hash: str
    iterations: int
    salt: bytes = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=False)


@attrs.frozen
class SealToken:
    """Our token: the generation and the MAC of the header; an empty MAC is a blanked one."""

    keyslots: tuple[str, ...]
    version: int
    generation: int
    mac: bytes


@attrs.frozen
class Config:
    """Sizes in bytes of the JSON area and of the keyslots space."""

    json_size: int
    keyslots_size: int


@attrs.frozen
class Metadata:
    """The whole document, its objects by their ids."""

    keyslots: Mapping[str, Luks2Keyslot]
    tokens: Mapping[str, SealToken]
    segments: Mapping[str, CryptSegment | IntegritySegment]
    digests: Mapping[str, Pbkdf2Digest]
    config: Config

    def to_bytes(self) -> bytes:
        """Return the canonical JSON text, without padding."""
        return canonical.dumps(
            {
                "keyslots": {key: _keyslot_json(slot) for key, slot in self.keyslots.items()},
                "tokens": {key: _token_json(token) for key, token in self.tokens.items()},
                "segments": {key: _segment_json(seg) for key, seg in self.segments.items()},
                "digests": {key: _digest_json(digest) for key, digest in self.digests.items()},
                "config": {
                    "json_size": str(self.config.json_size),
                    "keyslots_size": str(self.config.keyslots_size),
                },
            }
        )


def from_json(value: object) -> Metadata:
    """Return the typed document of a JSON value (step 6).

    Raises:
        HeaderRefused: an object, field, kind or type is not among those known here.
    """
    root = _Fields("document", value)
    _keyslot_ids(root)
    metadata = Metadata(
        keyslots={key: _keyslot(fields) for key, fields in root.objects("keyslots")},
        tokens={key: _token(fields) for key, fields in root.objects("tokens")},
        segments={key: _segment(fields) for key, fields in root.objects("segments")},
        digests={key: _digest(fields) for key, fields in root.objects("digests")},
        config=_config(root.object("config")),
    )
    root.end()
    return metadata


def _keyslot_ids(root: "_Fields") -> None:
    """Refuse further keyslots as what they are, of whatever kind: the remedy is to remove them."""
    found = root.peek("keyslots")
    ids = sorted(cast("Json", found)) if isinstance(found, dict) else []
    if ids != ["0"] and ids and all(number.isdecimal() for number in ids):
        found = {"keyslots": ids}
        raise KeyslotsRefused(int(Step.KEYSLOT), Step.KEYSLOT.name, found, "keyslot 0 alone")


class _Fields:
    """The fields of one JSON object, each taken once and by type; `end` refuses what is left."""

    def __init__(self, where: str, value: object) -> None:
        self.where = where
        if not isinstance(value, dict):
            self.refuse("", value, "an object")
        self._left: Json = dict(cast("Json", value))

    def refuse(self, field: str, found: object, expected: object) -> NoReturn:
        path = f"{self.where}.{field}" if field else self.where
        refuse(Step.DOCUMENT, {path: found}, expected)

    def take(self, field: str) -> object:
        if field not in self._left:
            self.refuse(field, "nothing", "a value")
        return self._left.pop(field)

    def peek(self, field: str) -> object:
        return self._left.get(field)

    def has(self, field: str) -> bool:
        return field in self._left

    def integer(self, field: str) -> int:
        value = self.take(field)
        if type(value) is not int or value < 0:
            self.refuse(field, value, "an unsigned integer")
        return value

    def decimal(self, field: str) -> int:
        value = self.take(field)
        number = canonical.decimal(value)
        if number is None:
            self.refuse(field, value, "a decimal string")
        return number

    def text(self, field: str) -> str:
        value = self.take(field)
        if not isinstance(value, str):
            self.refuse(field, value, "a string")
        return value

    def binary(self, field: str) -> bytes:
        value = self.take(field)
        content = canonical.base64_bytes(value)
        if content is None:
            self.refuse(field, value, "canonical base64")
        return content

    def ids(self, field: str) -> tuple[str, ...]:
        value = self.take(field)
        if not isinstance(value, list):
            self.refuse(field, value, "an array of ids")
        items = cast("list[object]", value)
        ids = tuple(item for item in items if isinstance(item, str))
        if len(ids) != len(items):
            self.refuse(field, items, "an array of ids")
        return ids

    def kind(self, field: str, *known: str) -> None:
        value = self.take(field)
        if value not in known:
            self.refuse(field, value, " or ".join(known))

    def object(self, field: str) -> "_Fields":
        return _Fields(f"{self.where}.{field}", self.take(field))

    def objects(self, field: str) -> list[tuple[str, "_Fields"]]:
        value = self.take(field)
        if not isinstance(value, dict):
            self.refuse(field, value, "an object")
        items = cast("Json", value).items()
        return [(key, _Fields(f"{field}.{key}", item)) for key, item in items]

    def end(self) -> None:
        for field, value in self._left.items():
            self.refuse(field, value, "nothing")


def _keyslot(fields: _Fields) -> Luks2Keyslot:
    fields.kind("type", "luks2")
    key_size = fields.integer("key_size")
    af = fields.object("af")
    af.kind("type", "luks1")
    splitter = AntiForensic(af.integer("stripes"), af.text("hash"))
    af.end()
    raw = fields.object("area")
    raw.kind("type", "raw")
    area = Area(
        offset=raw.decimal("offset"),
        size=raw.decimal("size"),
        encryption=raw.text("encryption"),
        key_size=raw.integer("key_size"),
    )
    raw.end()
    kdf = fields.object("kdf")
    kdf.kind("type", "argon2id")
    argon2id = Argon2id(
        kdf.integer("time"), kdf.integer("memory"), kdf.integer("cpus"), kdf.binary("salt")
    )
    kdf.end()
    fields.end()
    return Luks2Keyslot(key_size, splitter, area, argon2id)


def _segment(fields: _Fields) -> CryptSegment | IntegritySegment:
    fields.kind("type", "crypt")
    common: Json = {
        "offset": fields.decimal("offset"),
        "size": fields.text("size"),
        "iv_tweak": fields.decimal("iv_tweak"),
        "encryption": fields.text("encryption"),
        "sector_size": fields.integer("sector_size"),
    }
    if not fields.has("integrity"):
        fields.end()
        return CryptSegment(**common)
    integrity = fields.object("integrity")
    segment = IntegritySegment(
        **common,
        integrity=integrity.text("type"),
        journal_encryption=integrity.text("journal_encryption"),
        journal_integrity=integrity.text("journal_integrity"),
        key_size=integrity.integer("key_size") if integrity.has("key_size") else None,
    )
    integrity.end()
    fields.end()
    return segment


def _digest(fields: _Fields) -> Pbkdf2Digest:
    fields.kind("type", "pbkdf2")
    digest = Pbkdf2Digest(
        keyslots=fields.ids("keyslots"),
        segments=fields.ids("segments"),
        hash=fields.text("hash"),
        iterations=fields.integer("iterations"),
        salt=fields.binary("salt"),
        digest=fields.binary("digest"),
    )
    fields.end()
    return digest


def _token(fields: _Fields) -> SealToken:
    fields.kind("type", SEAL_TYPE)
    token = SealToken(
        keyslots=fields.ids("keyslots"),
        version=fields.integer("version"),
        generation=fields.decimal("generation"),
        mac=fields.binary("mac"),
    )
    fields.end()
    return token


def _config(fields: _Fields) -> Config:
    config = Config(fields.decimal("json_size"), fields.decimal("keyslots_size"))
    fields.end()
    return config


def _keyslot_json(slot: Luks2Keyslot) -> Json:
    return {
        "type": "luks2",
        "key_size": slot.key_size,
        "af": {"type": "luks1", "stripes": slot.af.stripes, "hash": slot.af.hash},
        "area": {
            "type": "raw",
            "offset": str(slot.area.offset),
            "size": str(slot.area.size),
            "encryption": slot.area.encryption,
            "key_size": slot.area.key_size,
        },
        "kdf": {
            "type": "argon2id",
            "time": slot.kdf.time,
            "memory": slot.kdf.memory,
            "cpus": slot.kdf.cpus,
            "salt": canonical.to_base64(slot.kdf.salt),
        },
    }


def _segment_json(segment: CryptSegment | IntegritySegment) -> Json:
    value: Json = {
        "type": "crypt",
        "offset": str(segment.offset),
        "size": segment.size,
        "iv_tweak": str(segment.iv_tweak),
        "encryption": segment.encryption,
        "sector_size": segment.sector_size,
    }
    if isinstance(segment, IntegritySegment):
        integrity: Json = {
            "type": segment.integrity,
            "journal_encryption": segment.journal_encryption,
            "journal_integrity": segment.journal_integrity,
        }
        if segment.key_size is not None:
            integrity["key_size"] = segment.key_size
        value["integrity"] = integrity
    return value


def _digest_json(digest: Pbkdf2Digest) -> Json:
    return {
        "type": "pbkdf2",
        "keyslots": list(digest.keyslots),
        "segments": list(digest.segments),
        "hash": digest.hash,
        "iterations": digest.iterations,
        "salt": canonical.to_base64(digest.salt),
        "digest": canonical.to_base64(digest.digest),
    }


def _token_json(token: SealToken) -> Json:
    return {
        "type": SEAL_TYPE,
        "keyslots": list(token.keyslots),
        "version": token.version,
        "generation": str(token.generation),
        "mac": canonical.to_base64(token.mac),
    }
