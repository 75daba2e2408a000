"""The binary header of one metadata copy: 4096 bytes, big-endian, checksummed."""

import hashlib
import struct

import attrs

from cloudcrypt.luks2 import layout
from cloudcrypt.luks2.steps import Step, refuse, require

MAGIC_PRIMARY = b"LUKS\xba\xbe"
MAGIC_SECONDARY = b"SKUL\xba\xbe"
VERSION = 2
CHECKSUM_ALGORITHM = "sha256"
SALT_SIZE = 64

# magic, version, hdr_size, seqid, label, checksum_alg, salt, uuid, subsystem, hdr_offset, padding,
# csum, padding to 4096; lib/luks2/luks2.h
_HEADER = struct.Struct(">6sHQQ48s32s64s40s48sQ184s64s3584s")
_CHECKSUM_AT = 448
_CHECKSUM_FIELD = 64


@attrs.frozen
class BinaryHeader:
    """What one copy says of itself; magic, version, sizes and padding are fixed by the profile."""

    secondary: bool
    seqid: int
    uuid: str
    salt: bytes = attrs.field(repr=False)

    def pack(self, json_area: bytes) -> bytes:
        """Return the whole metadata copy: this header, checksummed, and ``json_area``."""
        blank = self._pack(b"")
        return self._pack(checksum(blank, json_area)) + json_area

    def _pack(self, csum: bytes) -> bytes:
        return _HEADER.pack(
            MAGIC_SECONDARY if self.secondary else MAGIC_PRIMARY,
            VERSION,
            layout.METADATA_SIZE,
            self.seqid,
            b"",
            CHECKSUM_ALGORITHM.encode(),
            self.salt,
            self.uuid.encode(),
            b"",
            layout.SECONDARY_OFFSET if self.secondary else 0,
            b"",
            csum,
            b"",
        )


def checksum(binary: bytes, json_area: bytes) -> bytes:
    """Return the SHA-256 of a metadata copy, its checksum field taken as zeros."""
    end = _CHECKSUM_AT + _CHECKSUM_FIELD
    blanked = binary[:_CHECKSUM_AT] + bytes(_CHECKSUM_FIELD) + binary[end:]
    return hashlib.sha256(blanked + json_area).digest()


def parse_copy(copy: bytes, *, secondary: bool) -> tuple[BinaryHeader, bytes]:
    """Return the binary header and the JSON area of a metadata copy (steps 2 and 3).

    Args:
        copy: the 16 KiB of one copy.
        secondary: which copy it must be.

    Raises:
        HeaderRefused: the copy is not one of this profile, or its checksum is wrong.
    """
    binary, json_area = copy[: layout.BINARY_SIZE], copy[layout.BINARY_SIZE :]
    (
        magic,
        version,
        size,
        seqid,
        label,
        algorithm,
        salt,
        uuid,
        subsystem,
        offset,
        pad,
        csum,
        rest,
    ) = _HEADER.unpack(binary)
    fixed = (
        ("magic", magic, MAGIC_SECONDARY if secondary else MAGIC_PRIMARY),
        ("version", version, VERSION),
        ("hdr_size", size, layout.METADATA_SIZE),
        ("hdr_offset", offset, layout.SECONDARY_OFFSET if secondary else 0),
        ("checksum_alg", algorithm, CHECKSUM_ALGORITHM.encode().ljust(32, b"\0")),
        ("label", label, bytes(48)),
        ("subsystem", subsystem, bytes(48)),
        ("padding", pad, bytes(184)),
        ("padding", rest, bytes(3584)),
    )
    for what, found, expected in fixed:
        require(Step.BINARY, what, found, expected)
    if csum != checksum(binary, json_area).ljust(_CHECKSUM_FIELD, b"\0"):
        refuse(
            Step.CHECKSUM, f"a wrong checksum of the {_which(secondary=secondary)} copy", "its own"
        )
    return BinaryHeader(secondary, seqid, _text(uuid), salt), json_area


def uuid_of(copy: bytes) -> str | None:
    """Return the UUID that a metadata copy states, or None if it has not the magic of one.

    For deciding what may be overwritten; nothing of the copy is verified.
    """
    if copy[:6] not in (MAGIC_PRIMARY, MAGIC_SECONDARY):
        return None
    return copy[168:208].rstrip(b"\0").decode("ascii", "replace")


def _which(*, secondary: bool) -> str:
    return "secondary" if secondary else "primary"


def _text(field: bytes) -> str:
    """Return a NUL-padded ASCII field; nothing may follow the first NUL."""
    text = field.rstrip(b"\0")
    if b"\0" in text or not text.isascii():
        refuse(Step.BINARY, {"uuid": field}, "ASCII text padded with zeros")
    return text.decode("ascii")
