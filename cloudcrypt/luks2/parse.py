"""From the bytes of a disk to an `UnverifiedHeader`: steps 1 to 6 of `Step`.

Nothing here trusts the disk. Work and memory are bounded by what was read, 784 KiB, and no key is
needed.
"""

import attrs

from cloudcrypt.disk import ReadableDisk, read
from cloudcrypt.luks2 import canonical, document, layout
from cloudcrypt.luks2.binary import BinaryHeader, parse_copy
from cloudcrypt.luks2.steps import Step, refuse, require


@attrs.frozen
class RawHeader:
    """The bytes of a header, read once; what follows never looks at the disk again.

    ``device_size`` is the size in bytes of the device they came from.
    """

    device: str
    device_size: int
    content: bytes = attrs.field(repr=False)

    def copy_bytes(self, *, secondary: bool) -> bytes:
        """Return the 16 KiB of one metadata copy."""
        offset = layout.SECONDARY_OFFSET if secondary else 0
        return self.content[offset : offset + layout.METADATA_SIZE]


@attrs.frozen
class UnverifiedHeader:
    """A well-formed header that nothing is known of: any attacker can make one."""

    raw: RawHeader
    uuid: str
    seqid: int
    json_text: bytes = attrs.field(repr=False)
    metadata: document.Metadata = attrs.field(repr=False)


def read_header(disk: ReadableDisk) -> RawHeader:
    """Read everything that is ever read of a header, once (step 1).

    Raises:
        HeaderRefused: the device is too small to hold a header.
        DeviceIOError: the device failed.
    """
    if disk.size < layout.DEVICE_MIN:
        refuse(Step.READ, {"device size": disk.size}, f"at least {layout.DEVICE_MIN}")
    return RawHeader(disk.name, disk.size, read(disk, 0, layout.READ_SIZE))


def parse(raw: RawHeader) -> UnverifiedHeader:
    """Return the header of ``raw`` if both of its copies are well-formed and agree (steps 2 to 6).

    Raises:
        HeaderRefused: one of the steps refused it.
    """
    primary, primary_json = parse_copy(raw.copy_bytes(secondary=False), secondary=False)
    secondary, secondary_json = parse_copy(raw.copy_bytes(secondary=True), secondary=True)
    require(Step.COPIES, "seqid of the secondary copy", secondary.seqid, primary.seqid)
    require(Step.COPIES, "UUID of the secondary copy", secondary.uuid, primary.uuid)
    if secondary_json != primary_json:
        refuse(Step.COPIES, "two copies with different JSON", "equal copies")
    return _parse_json(raw, primary, primary_json)


def parse_one_copy(raw: RawHeader, *, secondary: bool) -> UnverifiedHeader:
    """Return what one copy of ``raw`` says, whatever the other one says.

    For volumes whose ledger record says that a change was under way; see
    `cloudcrypt.luks2.recover`.

    Raises:
        HeaderRefused: steps 2, 3, 5 or 6 refused this copy.
    """
    header, json_area = parse_copy(raw.copy_bytes(secondary=secondary), secondary=secondary)
    return _parse_json(raw, header, json_area)


def _parse_json(raw: RawHeader, header: BinaryHeader, json_area: bytes) -> UnverifiedHeader:
    metadata = document.from_json(canonical.loads(json_area))
    text = json_area.rstrip(b"\0")
    return UnverifiedHeader(raw, header.uuid, header.seqid, text, metadata)
