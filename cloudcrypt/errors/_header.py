"""Errors of the header: what the disk says about itself."""

import attrs

from cloudcrypt.errors._base import CloudcryptError


class HeaderError(CloudcryptError):
    """What the disk says about itself."""

    grpc_code = "DATA_LOSS"


@attrs.frozen(str=False)
class HeaderRefused(HeaderError):
    """A numbered step of the verification refused the header.

    ``step`` and ``step_name`` are a member of `cloudcrypt.luks2.Step`; ``found`` is what the disk
    has, ``expected`` what the profile or the caller asks for.
    """

    step: int
    step_name: str
    found: object
    expected: object

    advice = (
        "the disk was damaged, tampered with, or is another one: check the attachment, "
        "then restore a header backup"
    )

    text = "header refused at step {step:s} ({step_name:s}): found {found}, expected {expected}"


@attrs.frozen(str=False)
class KeyslotsRefused(HeaderRefused):
    """The header has not exactly keyslot 0."""

    advice = (
        "if you added a key yourself, remove it: 'cryptsetup luksKillSlot IMAGE N' for every slot "
        "but 0; where slot 0 is gone, restore a header backup. If you did not, somebody tampered"
    )


@attrs.frozen(str=False)
class KdfRefused(HeaderRefused):
    """The cost of Argon2id is beyond the profile; it was not paid."""

    advice = (
        "somebody tampered with the header; or, under the policy constellation, a fast host wrote "
        "it: then lower the cost, twice so that the keyslot returns to its place: 'cryptsetup "
        "luksConvertKey --pbkdf argon2id --pbkdf-memory 65536 --pbkdf-parallel 4 "
        "--pbkdf-force-iterations 4 IMAGE'"
    )


@attrs.frozen(str=False)
class ModeRefused(HeaderRefused):
    """The header is of the other mode (with or without integrity) than the caller asked for."""

    advice = (
        "ask for the mode the volume was formatted with; if you did, the disk was tampered with"
    )


@attrs.frozen(str=False)
class IdentityRefused(HeaderRefused):
    """Another UUID or generation than expected: a swapped disk, a copy, or a replayed header."""

    advice = (
        "check that this is the right disk; after a restore or clone use rebind, "
        "after a rotation name the current generation"
    )


@attrs.frozen(str=False)
class PolicyRefused(HeaderRefused):
    """The header has a seal where the caller's policy has none, or none where it has one."""

    advice = (
        "ask with the key policy that the volume was formatted with; if you did, the header was "
        "tampered with"
    )


@attrs.frozen(str=False)
class CapacityRefused(HeaderRefused):
    """The device is smaller than recorded."""

    advice = "check that this is the right disk; a volume never shrinks"
    grpc_code = "OUT_OF_RANGE"


@attrs.frozen(str=False)
class SealRefused(HeaderRefused):
    """The MAC of the header does not verify under the key of this volume and generation."""

    advice = (
        "check volume id, generation and master secret; if they are right, the header was "
        "tampered with, replayed, or belongs to another volume"
    )
    grpc_code = "PERMISSION_DENIED"


@attrs.frozen(str=False)
class VolumeKeyRefused(HeaderRefused):
    """The keyslot yields a key that the digest denies."""

    advice = "check volume id and master secret; if they are right, the keyslot area is damaged"
    grpc_code = "PERMISSION_DENIED"
