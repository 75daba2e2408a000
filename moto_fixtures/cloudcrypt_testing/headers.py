"""A header taken apart: every byte can be changed, and what nobody changed is honest again.

A `Forgery` starts as a genuine header; `cloudcrypt_testing.mutations` changes it; `Forgery.to_disk`
puts it together as an honest writer would have done, with correct checksums::

    forgery = Forgery.of(image)
    put("keyslots/0/area/encryption", "cipher_null-ecb")(forgery)
    disk = forgery.to_disk()
"""

import hashlib
import json
from typing import Any, Self

import attrs

from cloudcrypt.luks2 import HeaderImage, layout
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.disks import MemoryDisk

Json = dict[str, Any]

DEVICE_SIZE = 32 * MIB
"""Bytes of the device that a forgery is put on: half header, half payload."""

FIELDS = {
    "magic": (0, 6),
    "version": (6, 2),
    "hdr_size": (8, 8),
    "seqid": (16, 8),
    "label": (24, 48),
    "checksum_alg": (72, 32),
    "salt": (104, 64),
    "uuid": (168, 40),
    "subsystem": (208, 48),
    "hdr_offset": (256, 8),
    "padding": (264, 184),
    "csum": (448, 64),
    "padding_4096": (512, 3584),
}
"""Offset and length in bytes of each field of the binary header (lib/luks2/luks2.h)."""


@attrs.define
class MetadataCopy:
    """One metadata copy, taken apart; a ``checksum`` that is set replaces the right one."""

    binary: bytearray
    json_area: bytes
    checksum: bytes | None = None

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Take the bytes of one copy apart."""
        return cls(bytearray(content[: layout.BINARY_SIZE]), content[layout.BINARY_SIZE :])

    def document(self) -> Json:
        """Return the JSON document as a plain dict, which the caller may change."""
        document: Json = json.loads(self.json_area.partition(b"\0")[0])
        return document

    def set_document(self, document: object) -> None:
        """Serialise ``document`` as honest writers do."""
        self.set_text(json.dumps(document, separators=(",", ":")).encode("ascii"))

    def set_text(self, text: bytes) -> None:
        """Take ``text`` as the JSON text, whatever it is."""
        self.json_area = text.ljust(layout.JSON_SIZE, b"\0")

    def to_bytes(self) -> bytes:
        """Return the copy, checksummed as its ``checksum_alg`` field says if that is known."""
        offset, length = FIELDS["csum"]
        binary = bytearray(self.binary)
        binary[offset : offset + length] = bytes(length)
        checksum = self.checksum
        if checksum is None:
            checksum = hashlib.new(_algorithm(binary), binary + self.json_area).digest()
        binary[offset : offset + length] = checksum.ljust(length, b"\0")
        return bytes(binary) + self.json_area


def _algorithm(binary: bytearray) -> str:
    """Return the hash that a permissive reader would verify the checksum with."""
    offset, length = FIELDS["checksum_alg"]
    stated = binary[offset : offset + length].partition(b"\0")[0].decode("ascii", "replace")
    return stated if stated in {"sha1", "sha256", "sha512"} else "sha256"


@attrs.define
class Forgery:
    """A header under attack: its two copies, its keyslot area, and what else is written."""

    primary: MetadataCopy
    secondary: MetadataCopy
    area_offset: int
    area: bytearray
    elsewhere: dict[int, bytes] = attrs.Factory(dict[int, bytes])
    size: int = DEVICE_SIZE

    @classmethod
    def of(cls, image: HeaderImage) -> Self:
        """Take a genuine header apart."""
        return cls(
            MetadataCopy.of(image.primary),
            MetadataCopy.of(image.secondary),
            image.area_offset,
            bytearray(image.area),
        )

    @property
    def copies(self) -> tuple[MetadataCopy, MetadataCopy]:
        """Both copies, the primary first."""
        return self.primary, self.secondary

    def to_disk(self) -> MemoryDisk:
        """Return a disk with this header; what is written elsewhere comes last."""
        disk = MemoryDisk(self.size, "hostile")
        disk.write(self.area_offset, self.area)
        disk.write(0, self.primary.to_bytes())
        disk.write(layout.SECONDARY_OFFSET, self.secondary.to_bytes())
        for offset, content in self.elsewhere.items():
            disk.write(offset, content)
        return disk
