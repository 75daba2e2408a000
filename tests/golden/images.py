"""The golden images: what the manifest says of each, and the image itself when it is asked for."""

import json
import lzma
from pathlib import Path
from typing import Any

import attrs

HERE = Path(__file__).parent
CHUNK = 1 << 16  # bytes
ERROR = "error"  # in the place of a digest: the kernel answers EILSEQ


@attrs.frozen
class GoldenSector:
    """A sector of 4096 bytes that the kernel reads.

    Attributes:
        version: which version of its content it holds: `tests.golden.guest.content`.
        sha256: of its plaintext.
        without_replay: the same as the data area alone has it, or ``ERROR``.
    """

    version: int
    sha256: str
    without_replay: str


@attrs.frozen
class Golden:
    """One image: README.md explains the fields. Sizes are in bytes, digests in hexadecimal."""

    name: str
    size: int
    sha256: str
    uuid: str
    master_secret: bytes = attrs.field(repr=False)
    salt: bytes = attrs.field(repr=False)
    passphrase: bytes = attrs.field(repr=False)
    volume_key: bytes = attrs.field(repr=False)
    journal_sections: int
    provided_units: int
    provided_sectors: int
    payload_sha256: str
    settled_sha256: str
    sectors: dict[int, GoldenSector] = attrs.field(repr=False)

    def unpack(self, folder: Path) -> Path:
        """Write the image into the folder, with holes where it is zero; return its path."""
        path = folder / f"{self.name}.img"
        with lzma.open(HERE / f"{self.name}.img.xz") as packed, path.open("wb") as image:
            while chunk := packed.read(CHUNK):
                if any(chunk):
                    image.write(chunk)
                else:
                    image.seek(len(chunk), 1)
            image.truncate(self.size)
        return path


def golden_images() -> list[Golden]:
    """Return every image of the manifest; nothing is unpacked yet."""
    manifest = json.loads((HERE / "manifest.json").read_text())
    return [_golden({**manifest, **fields}) for fields in manifest["images"]]


def _golden(fields: dict[str, Any]) -> Golden:
    return Golden(
        name=fields["name"],
        size=fields["size"],
        sha256=fields["sha256"],
        uuid=fields["uuid"],
        master_secret=bytes.fromhex(fields["master_secret"]),
        salt=bytes.fromhex(fields["salt"]),
        passphrase=bytes.fromhex(fields["passphrase"]),
        volume_key=bytes.fromhex(fields["volume_key"]),
        journal_sections=fields["journal_sections"],
        provided_units=fields["provided_units"],
        provided_sectors=fields["provided_sectors"],
        payload_sha256=fields["payload_sha256"],
        settled_sha256=fields["settled_sha256"],
        sectors={int(number): _sector(each) for number, each in fields["sectors"].items()},
    )


def _sector(fields: dict[str, Any]) -> GoldenSector:
    sha256 = fields["sha256"]
    return GoldenSector(fields["version"], sha256, fields.get("without_replay", sha256))
