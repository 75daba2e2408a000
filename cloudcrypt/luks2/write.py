"""Making headers, and the order in which their bytes reach the disk.

A header is built whole in memory, checked by the same verification that reads it, and only then
written: keyslot area, secondary copy, primary copy, each made durable before the next. Whatever the
crash, a volume that was formatted is recognised by the ledger's record and one of the copies.
"""

import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

import attrs

from cloudcrypt.disk import Disk
from cloudcrypt.luks2 import document, keyslot, layout, seal
from cloudcrypt.luks2.binary import SALT_SIZE as BINARY_SALT_SIZE
from cloudcrypt.luks2.binary import BinaryHeader
from cloudcrypt.luks2.parse import RawHeader, parse
from cloudcrypt.luks2.unlock import UnlockedVolume, has_distinct_halves
from cloudcrypt.luks2.verify import (
    AREA_KEY_SIZE,
    CIPHER,
    HASH,
    INTEGRITY,
    SALT_SIZE,
    STRIPES,
    VerifiedHeader,
    verify,
)
from cloudcrypt.model import Expectation, Mode
from cloudcrypt.profiles import LAYOUTS, SECTOR_SIZE, Profile
from cloudcrypt.secret import Secret

Randomness = Callable[[int], bytes]


@attrs.frozen
class HeaderKeys:
    """The keys of one header: the passphrase of keyslot 0 and, in a sealed header, the seal key."""

    passphrase: Secret
    seal: seal.SealKey | None

    def __enter__(self) -> Self:
        """Return self; leaving the block wipes both keys."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipe."""
        self.passphrase.wipe()
        if self.seal is not None:
            self.seal.key.wipe()


@attrs.frozen
class HeaderImage:
    """A header in memory: the bytes of both copies and of the keyslot area at ``area_offset``."""

    primary: bytes = attrs.field(repr=False)
    secondary: bytes = attrs.field(repr=False)
    area_offset: int
    area: bytes = attrs.field(repr=False)

    def write_to(self, disk: Disk) -> None:
        """Write the header: area, secondary, primary, each durable before the next.

        Raises:
            DeviceIOError: the device failed; the header is then old, new or in between.
        """
        for offset, content in (
            (self.area_offset, self.area),
            (layout.SECONDARY_OFFSET, self.secondary),
            (0, self.primary),
        ):
            disk.write(offset, content)
            disk.sync()

    def to_bytes(self) -> bytes:
        """Return the 16 MiB from the start of the disk to its payload, all else zeros.

        This is also the form of ``cryptsetup luksHeaderBackup``.
        """
        content = bytearray(layout.DATA_OFFSET)
        content[: layout.KEYSLOTS_OFFSET] = self.primary + self.secondary
        content[self.area_offset : self.area_offset + len(self.area)] = self.area
        return bytes(content)


def new_volume_key(mode: Mode, randomness: Randomness = os.urandom) -> Secret:
    """Return a random volume key whose XTS halves differ."""
    while True:
        key = Secret(bytearray(randomness(LAYOUTS[mode].key_size)))
        if has_distinct_halves(key):
            return key


def build(
    profile: Profile,
    mode: Mode,
    uuid: str,
    volume_key: Secret,
    keys: HeaderKeys,
    *,
    seqid: int = 1,
    area_offset: int | None = None,
    randomness: Randomness = os.urandom,
) -> HeaderImage:
    """Return a new header that holds ``volume_key``.

    Args:
        profile: whose parameters are written.
        mode: with integrity or without; the length of ``volume_key`` follows from it.
        uuid: the UUID of the header, lower-case.
        volume_key: 64 bytes, or 96 with integrity.
        keys: passphrase of keyslot 0, and the seal key exactly if the profile is sealed.
        seqid: sequence id; each rewrite of a header adds 1.
        area_offset: where the keyslot area goes, in bytes; by default the first place.
        randomness: returns that many random bytes.

    Raises:
        HeaderRefused: what was built does not pass the verification; nothing was written.
        HostUnready: this host has not the memory for Argon2id.
    """
    metadata, area = _document(profile, mode, volume_key, keys, area_offset, randomness)
    if keys.seal is not None:
        blank = seal.with_mac(metadata, keys.seal.generation, b"")
        mac = seal.compute(keys.seal, uuid, seqid, blank, area)
        metadata = seal.with_mac(metadata, keys.seal.generation, mac)
    image = _image(metadata, uuid, seqid, area, randomness)
    _check(image, profile, mode, uuid, keys)
    return image


def serialise(header: VerifiedHeader, randomness: Randomness = os.urandom) -> HeaderImage:
    """Return the header that verification understood, as bytes of our own making.

    No byte of the disk's survives but the verified values and the keyslot area; this is what a
    mapper or a backup gets.
    """
    return _image(header.metadata, header.uuid, header.seqid, header.area, randomness)


def rewrap(
    volume: UnlockedVolume,
    keys: HeaderKeys,
    *,
    area_offset: int,
    uuid: str | None = None,
    newer_than: int = 0,
    randomness: Randomness = os.urandom,
) -> HeaderImage:
    """Return a header that holds the same volume key for other keys, elsewhere on the disk.

    Args:
        volume: the unlocked volume; its mode and profile stay, its sequence id grows by 1.
        keys: the keys from now on.
        area_offset: byte offset of the new keyslot area; not the one in use, so that a crash
            leaves the old header whole.
        uuid: the UUID from now on; by default the one it has.
        newer_than: a sequence id that the new one must also exceed.
        randomness: returns that many random bytes.

    Raises:
        HeaderRefused, HostUnready: as `build`.
    """
    header = volume.header
    return build(
        header.profile,
        header.mode,
        uuid or header.uuid,
        volume.volume_key,
        keys,
        seqid=max(header.seqid, newer_than) + 1,
        area_offset=area_offset,
        randomness=randomness,
    )


def _document(
    profile: Profile,
    mode: Mode,
    volume_key: Secret,
    keys: HeaderKeys,
    area_offset: int | None,
    randomness: Randomness,
) -> tuple[document.Metadata, bytes]:
    sizes = LAYOUTS[mode]
    cost = profile.write
    slot = document.Luks2Keyslot(
        key_size=sizes.key_size,
        af=document.AntiForensic(STRIPES, HASH),
        area=document.Area(
            sizes.area_offset if area_offset is None else area_offset,
            sizes.area_size,
            CIPHER,
            AREA_KEY_SIZE,
        ),
        kdf=document.Argon2id(cost.time, cost.memory, cost.lanes, randomness(SALT_SIZE)),
    )
    salt, iterations = randomness(SALT_SIZE), profile.write_digest_iterations
    digest = document.Pbkdf2Digest(
        keyslots=("0",),
        segments=("0",),
        hash=HASH,
        iterations=iterations,
        salt=salt,
        digest=keyslot.digest_of(volume_key, salt, iterations),
    )
    metadata = document.Metadata(
        keyslots={"0": slot},
        tokens={},
        segments={"0": _segment(mode)},
        digests={"0": digest},
        config=document.Config(layout.JSON_SIZE, layout.KEYSLOTS_SIZE),
    )
    return metadata, keyslot.fill_keyslot(slot, volume_key, keys.passphrase, randomness)


def _segment(mode: Mode) -> document.CryptSegment | document.IntegritySegment:
    match mode:
        case Mode.CRYPT:
            return document.CryptSegment(layout.DATA_OFFSET, "dynamic", 0, CIPHER, SECTOR_SIZE)
        case Mode.INTEGRITY:
            return document.IntegritySegment(
                layout.DATA_OFFSET, "dynamic", 0, CIPHER, SECTOR_SIZE, INTEGRITY, "none", "none"
            )


def _image(
    metadata: document.Metadata, uuid: str, seqid: int, area: bytes, randomness: Randomness
) -> HeaderImage:
    json_area = metadata.to_bytes().ljust(layout.JSON_SIZE, b"\0")
    primary, secondary = (
        BinaryHeader(
            secondary=is_secondary, seqid=seqid, uuid=uuid, salt=randomness(BINARY_SALT_SIZE)
        ).pack(json_area)
        for is_secondary in (False, True)
    )
    return HeaderImage(primary, secondary, metadata.keyslots["0"].area.offset, area)


def _check(image: HeaderImage, profile: Profile, mode: Mode, uuid: str, keys: HeaderKeys) -> None:
    content = image.to_bytes()[: layout.READ_SIZE]
    raw = RawHeader("the header just built", layout.DEVICE_MIN, content)
    generation = keys.seal.generation if keys.seal is not None else 1
    verify(parse(raw), profile, Expectation(mode, generation, uuid), keys.seal)
