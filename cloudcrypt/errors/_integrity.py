"""Errors of integrity: what the disk holds is not what was written there."""

import attrs

from cloudcrypt.errors._base import CloudcryptError


class IntegrityError(CloudcryptError):
    """What the disk holds is not what was written there."""

    grpc_code = "DATA_LOSS"
    advice = (
        "the disk was damaged or tampered with, or is an older copy: restore the content from a "
        "backup; 'cloudcrypt luks scrub' lists every sector that is affected"
    )


@attrs.frozen(str=False)
class SuperblockRefused(IntegrityError):
    """A field of the integrity superblock is not the computed one."""

    volume: str
    field: str
    found: object
    expected: object

    advice = (
        "the disk was tampered with, or its size is not the recorded one; a volume that has grown "
        "needs its journal sections named (the ledger knows them, or --journal-sections)"
    )
    text = "volume {volume:s}: superblock field {field:s} is {found}, expected {expected}"


@attrs.frozen(str=False)
class JournalRefused(IntegrityError):
    """The integrity journal cannot have been written by a kernel or by cloudcrypt."""

    volume: str
    section: int
    reason: str

    text = "volume {volume:s}: section {section:s} of the journal: {reason:s}"


@attrs.frozen(str=False)
class SectorRefused(IntegrityError):
    """The tag of a sector does not verify; no byte of it is returned.

    ``sector`` counts 4096-byte sectors of the payload from 0.
    """

    volume: str
    sector: int

    text = "volume {volume:s}: the tag of sector {sector:s} does not verify"
