"""The device-mapper lines that a volume must have, and how they are compared with what is there.

A line is compared field by field, so that an error can name what differs. Formats are those of
STATUSTYPE_TABLE in drivers/md/dm-crypt.c, dm-integrity.c and dm-linear.c.
"""

from collections.abc import Collection, Mapping
from typing import Final

import attrs

from cloudcrypt.errors import MappingConflict
from cloudcrypt.integrity import Geometry
from cloudcrypt.integrity.geometry import (
    INTERLEAVE_UNITS,
    SECTION_UNITS,
    SUPERBLOCK_OFFSET,
    TAG_SIZE,
    UNIT,
)
from cloudcrypt.luks2 import VerifiedHeader, layout
from cloudcrypt.mapper._devicemapper import Active, Target
from cloudcrypt.mapper._names import integrity_name, limit_name
from cloudcrypt.model import Mode
from cloudcrypt.profiles import LAYOUTS, SECTOR_SIZE

_CIPHERS: Final = {
    Mode.CRYPT: "aes-xts-plain64",
    Mode.INTEGRITY: "capi:authenc(hmac(sha256),xts(aes))-plain64",
}
_TUNING: Final = frozenset({"buffer_sectors", "journal_watermark", "commit_time"})
"""Options of dm-integrity that say when it writes what, not what is written: the kernel's own."""

_IMPLIED: Final = {"integrity": (("integrity_key_size", "32"),)}
"""What newer versions of the library or the kernel may add to an option, saying nothing new."""

_CRYPT: Final = ("cipher", "key", "iv_offset", "device", "offset")
_INTEGRITY: Final = ("device", "offset", "tag_size", "mode")
_LINEAR: Final = ("device", "offset")
_POSITIONAL: Final = {"crypt": _CRYPT, "integrity": _INTEGRITY, "linear": _LINEAR}

Fields = Mapping[str, str]


@attrs.frozen
class Layer:
    """One device of a mapping: its name, the uuids it may have, and the fields of its line."""

    name: str
    uuids: tuple[str, ...]
    fields: Fields


def crypt_layer(
    header: VerifiedHeader, name: str, below: str, *, sectors: int, discards: bool
) -> Layer:
    """Return the top of a mapping.

    Args:
        header: of the volume.
        name: of the mapping.
        below: ``major:minor`` of the device below.
        sectors: of payload, 512 bytes each.
        discards: whether they are passed on.
    """
    offset = layout.DATA_OFFSET // UNIT if header.mode is Mode.CRYPT else 0
    fields = {
        "target": "crypt",
        "start": "0",
        "length": str(sectors),
        "cipher": _CIPHERS[header.mode],
        "key": f":{LAYOUTS[header.mode].key_size}:logon:cryptsetup:{header.uuid}-d0",
        "iv_offset": "0",
        "device": below,
        "offset": str(offset),
        "no_read_workqueue": "set",
        "no_write_workqueue": "set",
        "sector_size": str(SECTOR_SIZE),
    }
    if discards:
        fields["allow_discards"] = "set"
    if header.mode is Mode.INTEGRITY:
        fields["integrity"] = f"{TAG_SIZE}:aead"
    return Layer(name, (crypt_uuid(header, name),), fields)


def crypt_uuid(header: VerifiedHeader, name: str) -> str:
    """Return the device-mapper uuid that libcryptsetup gives to the top of a mapping."""
    return f"CRYPT-LUKS2-{_plain(header)}-{name}"


def integrity_layer(header: VerifiedHeader, name: str, below: str, geometry: Geometry) -> Layer:
    """Return the dm-integrity device below the mapping ``name``; arguments as `crypt_layer`."""
    fields = {
        "target": "integrity",
        "start": "0",
        "length": str(geometry.provided_units),
        "device": below,
        "offset": str(SUPERBLOCK_OFFSET // UNIT),
        "tag_size": str(TAG_SIZE),
        "mode": "J",
        "block_size": str(SECTOR_SIZE),
        "journal_sectors": str(geometry.journal_sections * SECTION_UNITS),
        "interleave_sectors": str(INTERLEAVE_UNITS),
        "fix_padding": "set",
    }
    own = integrity_name(name)
    # The first is that of libcryptsetup before 2.8.
    uuids = tuple(f"CRYPT-{kind}-{_plain(header)}-{own}" for kind in ("INTEGRITY", "SUBDEV"))
    return Layer(own, uuids, fields)


def limit_layer(header: VerifiedHeader, name: str, below: str) -> Layer:
    """Return the device that ends where the volume does; arguments as `crypt_layer`."""
    fields = {
        "target": "linear",
        "start": "0",
        "length": str(header.capacity // UNIT),
        "device": below,
        "offset": "0",
    }
    return Layer(limit_name(name), (f"CLOUDCRYPT-LIMIT-{_plain(header)}",), fields)


def require(found: Active | None, expected: Layer, *, ignoring: Collection[str] = ()) -> Active:
    """Return a device if it is the expected one.

    Args:
        found: the device as it is.
        expected: what it must be.
        ignoring: fields that may differ.

    Raises:
        MappingConflict: it is not; the first field that differs is named.
    """
    found = require_uuid(found, expected.name, expected.uuids)
    if len(found.targets) != 1:
        raise MappingConflict(expected.name, "targets", len(found.targets), 1)
    for state, is_so in (("suspended", found.suspended), ("a second table", found.pending)):
        if is_so:
            raise MappingConflict(expected.name, "state", state, "active")
    stated = fields_of(found.targets[0])
    implied = {key: value for field in expected.fields for key, value in _IMPLIED.get(field, ())}
    for field in {**expected.fields, **stated}:
        is_value, must_be = stated.get(field, "absent"), expected.fields.get(field, "absent")
        is_free = field in ignoring or (field in _TUNING and is_value.isdecimal())
        if is_value != must_be and not is_free and implied.get(field) != is_value:
            raise MappingConflict(expected.name, field, is_value, must_be)
    return found


def require_uuid(found: Active | None, name: str, uuids: Collection[str]) -> Active:
    """Return a device if its uuid is one of ``uuids``; arguments and errors as for `require`."""
    if found is None:
        raise MappingConflict(name, "device", "absent", "present")
    if found.uuid not in uuids:
        raise MappingConflict(name, "uuid", found.uuid, next(iter(uuids)))
    return found


def fields_of(target: Target) -> dict[str, str]:
    """Return the fields of a line by name; an option without a value is ``set``."""
    words = target.parameters.split()
    names = _POSITIONAL.get(target.kind, ())
    fields = {"target": target.kind, "start": str(target.start), "length": str(target.length)}
    fields |= dict(zip(names, words, strict=False))
    for option in words[len(names) + 1 :]:  # their number stands before them
        name, colon, value = option.partition(":")
        fields[name] = value if colon else "set"
    return fields


def _plain(header: VerifiedHeader) -> str:
    return header.uuid.replace("-", "")
