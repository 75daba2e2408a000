"""The seal of a bound volume: keys bound to volume id and generation, and the header's MAC.

The bytes are specified, with vectors, in docs/reference/sealed-header.md.
"""

import hashlib
import hmac
import struct

import attrs
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloudcrypt.luks2 import layout
from cloudcrypt.luks2.binary import CHECKSUM_ALGORITHM
from cloudcrypt.luks2.document import Metadata, SealToken
from cloudcrypt.model import check_volume_id
from cloudcrypt.secret import Secret

KDF_DOMAIN = b"cloudcrypt/luks2/v1\0"
MAC_DOMAIN = b"cloudcrypt/luks2/seal/v1\0"
SEAL_VERSION = 1
KEY_SIZE = 32
"""Bytes of a passphrase, of a MAC key and of a MAC."""


@attrs.frozen
class SealKey:
    """The key that seals the header of one volume at one generation, and of nothing else."""

    volume_id: str
    generation: int
    key: Secret


@attrs.frozen
class BoundKeys:
    """What a data key becomes for one volume at one generation."""

    passphrase: Secret
    seal: SealKey

    def wipe(self) -> None:
        """Wipe both keys. Idempotent."""
        self.passphrase.wipe()
        self.seal.key.wipe()


def derive(data_key: Secret, volume_id: str, generation: int) -> BoundKeys:
    """Return the passphrase and the seal key of ``volume_id`` at ``generation``.

    Each is HKDF-SHA256 of the data key, without salt, 32 bytes, with the info
    ``domain || purpose || 00 || be64(generation) || be16(len(id)) || id``.

    Args:
        data_key: 32 bytes from the key service.
        volume_id: what the caller says the volume is, never what a disk says.
        generation: 1 for a new volume; each rotation adds 1.

    Raises:
        InvalidVolumeId: the volume id is not one.
    """
    identity = check_volume_id(volume_id).encode("ascii")
    suffix = struct.pack(">QH", generation, len(identity)) + identity
    passphrase, key = (
        _hkdf(data_key, KDF_DOMAIN + purpose + b"\0" + suffix)
        for purpose in (b"passphrase", b"mac")
    )
    return BoundKeys(passphrase, SealKey(volume_id, generation, key))


def compute(seal: SealKey, uuid: str, seqid: int, metadata: Metadata, area: bytes) -> bytes:
    """Return the 32-byte MAC of a header.

    Args:
        seal: the key, which carries volume id and generation.
        uuid: the UUID of the header.
        seqid: the sequence id of both copies.
        metadata: the document; its MAC is taken as empty whatever it is.
        area: the whole keyslot area in use.
    """
    text = with_mac(metadata, seal.generation, b"").to_bytes()
    identity = seal.volume_id.encode("ascii")
    message = b"".join(
        (
            MAC_DOMAIN,
            _prefixed(identity),
            struct.pack(">QQQ", seal.generation, layout.METADATA_SIZE, seqid),
            _prefixed(uuid.encode("ascii")),
            _prefixed(CHECKSUM_ALGORITHM.encode("ascii")),
            struct.pack(">I", len(text)),
            text,
            hashlib.sha256(area).digest(),
        )
    )
    return hmac.digest(seal.key.reveal(), message, "sha256")


def with_mac(metadata: Metadata, generation: int, mac: bytes) -> Metadata:
    """Return ``metadata`` with the seal token, and no other, carrying ``mac``."""
    token = SealToken(("0",), SEAL_VERSION, generation, mac)
    return attrs.evolve(metadata, tokens={"0": token})


def _prefixed(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def _hkdf(key: Secret, info: bytes) -> Secret:
    hkdf = HKDF(algorithm=hashes.SHA256(), length=KEY_SIZE, salt=None, info=info)
    return Secret(hkdf.derive(key.reveal()))
