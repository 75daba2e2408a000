"""From an `UnverifiedHeader` to a `VerifiedHeader`: steps 7 to 15 of `Step`, the only door.

The verification in full; P is the profile, E what the caller expects from elsewhere:

     7. IDENTITY   the UUID is a lower-case UUID; if E names one, it is that one; the sequence id
                   can still grow
     8. MODE       segment 0 has integrity exactly if E says so
     9. KEYSLOT    exactly {"0"}; sizes of the mode; AF 4000 x sha256; aes-xts-plain64/64; the area
                   at 32768, or in a sealed header at the alternate offset
    10. KDF        time, memory and lanes within P; 32 bytes of salt
    11. SEGMENT    exactly {"0"}; aes-xts-plain64, 4096-byte sectors, from 16 MiB to the end, tweak
                   0; with integrity: hmac(sha256), journal neither encrypted nor authenticated
    12. DIGEST     exactly {"0"} over keyslot 0 and segment 0; sha256, 32 + 32 bytes, iterations
                   within P
    13. TOKEN      sealed: exactly {"0"}, version 1, the generation of E, 32 bytes of MAC, and the
                   field order that we write; else none. The sizes of config are the format's
    14. CAPACITY   the device is not smaller than E says
    15. SEAL       sealed: the MAC verifies, in constant time

Steps before these are in `cloudcrypt.luks2.parse`; 16 and 17 are in `cloudcrypt.luks2.unlock`.
A check raises or passes; none returns False.
"""

import hmac
from collections.abc import Collection
from typing import NoReturn

import attrs

from cloudcrypt.errors import (
    CapacityRefused,
    HeaderRefused,
    IdentityRefused,
    KdfRefused,
    KeyslotsRefused,
    ModeRefused,
    PolicyRefused,
    SealRefused,
)
from cloudcrypt.luks2 import layout, seal
from cloudcrypt.luks2.document import (
    CryptSegment,
    IntegritySegment,
    Luks2Keyslot,
    Metadata,
    Pbkdf2Digest,
    SealToken,
)
from cloudcrypt.luks2.parse import UnverifiedHeader
from cloudcrypt.luks2.steps import Step, refuse, require
from cloudcrypt.model import Expectation, Mode, is_uuid
from cloudcrypt.profiles import LAYOUTS, SECTOR_SIZE, Bounds, Profile

CIPHER = "aes-xts-plain64"
INTEGRITY = "hmac(sha256)"
AREA_KEY_SIZE = 64
STRIPES = 4000
HASH = "sha256"
SALT_SIZE = 32
DIGEST_SIZE = 32
_ONLY = {"0"}
SEQIDS = Bounds(1, 2**63 - 1)
"""A sequence id that can still grow; real ones count the changes of a header from 1."""


@attrs.frozen
class VerifiedHeader:
    """A header that passed every check; made by `verify` alone.

    ``capacity`` is how many bytes of the device count, header included, and ``journal_sections``
    what the caller expects of an integrity volume; ``area`` the bytes of the keyslot area that were
    checked, and that `unlock` uses.
    """

    device: str
    profile: Profile
    mode: Mode
    uuid: str
    seqid: int
    generation: int
    capacity: int
    journal_sections: int | None
    metadata: Metadata = attrs.field(repr=False)
    area: bytes = attrs.field(repr=False)

    @property
    def keyslot(self) -> Luks2Keyslot:
        """The only keyslot."""
        return self.metadata.keyslots["0"]

    @property
    def digest(self) -> Pbkdf2Digest:
        """The only digest."""
        return self.metadata.digests["0"]


def verify(
    header: UnverifiedHeader,
    profile: Profile,
    expectation: Expectation,
    seal_key: seal.SealKey | None = None,
) -> VerifiedHeader:
    """Return the header if it is what the profile and the caller say it must be.

    Args:
        header: a parsed header.
        profile: chosen by the caller, never by the disk.
        expectation: what the caller knows of the volume from elsewhere.
        seal_key: the key of the seal; given exactly if the profile is sealed.

    Raises:
        HeaderRefused: a step refused the header; its ``step`` says which, its type what to do.
        ValueError: a seal key was given for an unsealed profile, none for a sealed one, or one of
            another generation than the expected one.
    """
    if profile.sealed != (seal_key is not None):
        msg = "a seal key is given exactly if the profile is sealed"
        raise ValueError(msg)
    if seal_key is not None and seal_key.generation != expectation.generation:
        msg = "the seal key is that of another generation than the expected one"
        raise ValueError(msg)
    metadata = header.metadata
    _identity(header, expectation)
    _mode(metadata, expectation.mode)
    slot = _keyslot(metadata, expectation.mode, profile)
    _kdf(slot, profile)
    _segment(metadata)
    _digest(metadata, profile)
    _tokens(header, expectation, profile)
    capacity = _capacity(header, expectation)
    area = header.raw.content[slot.area.offset : slot.area.offset + slot.area.size]
    if seal_key is not None:
        _seal(header, area, seal_key)
    return VerifiedHeader(
        device=header.raw.device,
        profile=profile,
        mode=expectation.mode,
        uuid=header.uuid,
        seqid=header.seqid,
        generation=expectation.generation,
        capacity=capacity,
        journal_sections=expectation.journal_sections,
        metadata=metadata,
        area=area,
    )


def _identity(header: UnverifiedHeader, expectation: Expectation) -> None:
    if not is_uuid(header.uuid):
        refuse(Step.IDENTITY, {"uuid": header.uuid}, "a lower-case UUID")
    if expectation.uuid is not None and header.uuid != expectation.uuid:
        _refuse_as(IdentityRefused, Step.IDENTITY, {"uuid": header.uuid}, expectation.uuid)
    if header.seqid not in SEQIDS:
        refuse(Step.IDENTITY, {"seqid": header.seqid}, str(SEQIDS))


def _mode(metadata: Metadata, mode: Mode) -> None:
    _exactly(Step.SEGMENT, "segments", metadata.segments)
    found = metadata.segments["0"]
    is_integrity = isinstance(found, IntegritySegment)
    if is_integrity != (mode is Mode.INTEGRITY):
        stated = Mode.INTEGRITY if is_integrity else Mode.CRYPT
        _refuse_as(ModeRefused, Step.MODE, {"mode": stated.value}, mode.value)


def _keyslot(metadata: Metadata, mode: Mode, profile: Profile) -> Luks2Keyslot:
    if set(metadata.keyslots) != _ONLY:
        found = {"keyslots": sorted(metadata.keyslots)}
        _refuse_as(KeyslotsRefused, Step.KEYSLOT, found, "keyslot 0 alone")
    slot, sizes = metadata.keyslots["0"], LAYOUTS[mode]
    require(Step.KEYSLOT, "key_size", slot.key_size, sizes.key_size)
    require(Step.KEYSLOT, "af.stripes", slot.af.stripes, STRIPES)
    require(Step.KEYSLOT, "af.hash", slot.af.hash, HASH)
    require(Step.KEYSLOT, "area.size", slot.area.size, sizes.area_size)
    require(Step.KEYSLOT, "area.encryption", slot.area.encryption, CIPHER)
    require(Step.KEYSLOT, "area.key_size", slot.area.key_size, AREA_KEY_SIZE)
    if not (profile.sealed and slot.area.offset == sizes.alternate_offset):
        require(Step.KEYSLOT, "area.offset", slot.area.offset, sizes.area_offset)
    return slot


def _kdf(slot: Luks2Keyslot, profile: Profile) -> None:
    for what, found, bounds in (
        ("time", slot.kdf.time, profile.time),
        ("memory", slot.kdf.memory, profile.memory),
        ("cpus", slot.kdf.cpus, profile.lanes),
    ):
        if found not in bounds:
            _refuse_as(KdfRefused, Step.KDF, {what: found}, str(bounds))
    if slot.kdf.memory < 8 * slot.kdf.cpus:  # RFC 9106, section 3.1
        need = f"at least {8 * slot.kdf.cpus}"
        _refuse_as(KdfRefused, Step.KDF, {"memory": slot.kdf.memory}, need)
    if len(slot.kdf.salt) != SALT_SIZE:
        _refuse_as(KdfRefused, Step.KDF, {"salt length": len(slot.kdf.salt)}, SALT_SIZE)


def _segment(metadata: Metadata) -> None:
    segment = metadata.segments["0"]
    require(Step.SEGMENT, "offset", segment.offset, layout.DATA_OFFSET)
    require(Step.SEGMENT, "size", segment.size, "dynamic")
    require(Step.SEGMENT, "iv_tweak", segment.iv_tweak, 0)
    require(Step.SEGMENT, "encryption", segment.encryption, CIPHER)
    require(Step.SEGMENT, "sector_size", segment.sector_size, SECTOR_SIZE)
    match segment:
        case IntegritySegment():
            require(Step.SEGMENT, "integrity.type", segment.integrity, INTEGRITY)
            require(Step.SEGMENT, "journal_encryption", segment.journal_encryption, "none")
            require(Step.SEGMENT, "journal_integrity", segment.journal_integrity, "none")
            if segment.key_size is not None:
                require(Step.SEGMENT, "integrity.key_size", segment.key_size, 32)
        case CryptSegment():
            pass


def _digest(metadata: Metadata, profile: Profile) -> None:
    _exactly(Step.DIGEST, "digests", metadata.digests)
    digest = metadata.digests["0"]
    require(Step.DIGEST, "keyslots", digest.keyslots, ("0",))
    require(Step.DIGEST, "segments", digest.segments, ("0",))
    require(Step.DIGEST, "hash", digest.hash, HASH)
    require(Step.DIGEST, "salt length", len(digest.salt), SALT_SIZE)
    require(Step.DIGEST, "digest length", len(digest.digest), DIGEST_SIZE)
    if digest.iterations not in profile.digest_iterations:
        refuse(Step.DIGEST, {"iterations": digest.iterations}, str(profile.digest_iterations))


def _tokens(header: UnverifiedHeader, expectation: Expectation, profile: Profile) -> None:
    metadata = header.metadata
    require(Step.TOKEN, "config.json_size", metadata.config.json_size, layout.JSON_SIZE)
    require(Step.TOKEN, "config.keyslots_size", metadata.config.keyslots_size, layout.KEYSLOTS_SIZE)
    if not profile.sealed:
        if metadata.tokens:
            _refuse_as(PolicyRefused, Step.TOKEN, {"tokens": sorted(metadata.tokens)}, [])
        return
    if set(metadata.tokens) != _ONLY:
        _refuse_as(PolicyRefused, Step.TOKEN, {"tokens": sorted(metadata.tokens)}, ["0"])
    token: SealToken = metadata.tokens["0"]
    require(Step.TOKEN, "keyslots", token.keyslots, ("0",))
    require(Step.TOKEN, "version", token.version, seal.SEAL_VERSION)
    require(Step.TOKEN, "MAC length", len(token.mac), seal.KEY_SIZE)
    if token.generation != expectation.generation:
        found = {"generation": token.generation}
        _refuse_as(IdentityRefused, Step.TOKEN, found, expectation.generation)
    if header.json_text != metadata.to_bytes():
        refuse(Step.TOKEN, "fields in another order", "the order that is sealed")


def _capacity(header: UnverifiedHeader, expectation: Expectation) -> int:
    size, expected = header.raw.device_size, expectation.capacity
    if expected is not None and size < expected:
        _refuse_as(CapacityRefused, Step.CAPACITY, {"device size": size}, f"at least {expected}")
    return size if expected is None else expected


def _seal(header: UnverifiedHeader, area: bytes, seal_key: seal.SealKey) -> None:
    expected = seal.compute(seal_key, header.uuid, header.seqid, header.metadata, area)
    if not hmac.compare_digest(header.metadata.tokens["0"].mac, expected):
        names = f"volume {seal_key.volume_id}, generation {seal_key.generation}"
        _refuse_as(SealRefused, Step.SEAL, "a MAC of something else", f"the seal of {names}")


def _exactly(step: Step, what: str, found: Collection[str]) -> None:
    require(step, what, sorted(found), ["0"])


def _refuse_as(kind: type[HeaderRefused], step: Step, found: object, expected: object) -> NoReturn:
    raise kind(int(step), step.name, found, expected)
