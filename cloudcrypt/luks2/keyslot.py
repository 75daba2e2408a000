"""Keyslot 0: passphrase and area to volume key and back, and the digest that tells a right key."""

import hashlib
import hmac
import threading
from collections.abc import Callable

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id as Argon2idKDF

from cloudcrypt.errors import HostUnready
from cloudcrypt.luks2 import antiforensic
from cloudcrypt.luks2.document import Argon2id, Luks2Keyslot, Pbkdf2Digest
from cloudcrypt.luks2.layout import AREA_SECTOR_SIZE
from cloudcrypt.luks2.xts import SLACK, XTS
from cloudcrypt.secret import Secret
from cloudcrypt.sizes import round_up


def open_keyslot(slot: Luks2Keyslot, area: bytes, passphrase: Secret) -> Secret:
    """Return what the keyslot holds under ``passphrase``; the digest tells whether it is the key.

    Args:
        slot: the keyslot, its cost already bounded by verification.
        area: the whole keyslot area.
        passphrase: taken as raw bytes.

    Raises:
        HostUnready: this host has not the memory for Argon2id.
    """
    size = _material_size(slot)
    plain = bytearray(size + SLACK)
    with _area_key(slot, passphrase) as key:
        XTS(key).decrypt(memoryview(area)[:size], 0, AREA_SECTOR_SIZE, memoryview(plain))
    volume_key = antiforensic.merge(plain, slot.key_size, slot.af.stripes)
    plain[:] = bytes(len(plain))
    return Secret(volume_key)


def fill_keyslot(
    slot: Luks2Keyslot, volume_key: Secret, passphrase: Secret, randomness: Callable[[int], bytes]
) -> bytes:
    """Return the whole keyslot area that holds ``volume_key`` under ``passphrase``.

    Raises:
        HostUnready: this host has not the memory for Argon2id.
    """
    size = _material_size(slot)
    plain = antiforensic.split(volume_key.reveal(), slot.af.stripes, randomness)
    plain += bytes(size - len(plain))
    out = bytearray(size + SLACK)
    with _area_key(slot, passphrase) as key:
        XTS(key).encrypt(memoryview(plain), 0, AREA_SECTOR_SIZE, memoryview(out))
    plain[:] = bytes(len(plain))
    return bytes(out[:size]).ljust(slot.area.size, b"\0")


def digest_of(volume_key: Secret, salt: bytes, iterations: int) -> bytes:
    """Return PBKDF2-HMAC-SHA256 of ``volume_key``, 32 bytes."""
    return hashlib.pbkdf2_hmac("sha256", volume_key.reveal(), salt, iterations, 32)


def matches(digest: Pbkdf2Digest, volume_key: Secret) -> bool:
    """Say, in constant time, whether ``digest`` is that of ``volume_key``."""
    found = digest_of(volume_key, digest.salt, digest.iterations)
    return hmac.compare_digest(found, digest.digest)


def _material_size(slot: Luks2Keyslot) -> int:
    return round_up(slot.key_size * slot.af.stripes, AREA_SECTOR_SIZE)


_DERIVING = threading.Lock()
"""Held while Argon2id runs.

Two threads that run the Argon2id of OpenSSL with several lanes at once may wait for each other for
ever (seen with OpenSSL 4.0.3 in cryptography 50.0.2; docs/adr/0007-argon2id-of-cryptography.md).
"""


def _area_key(slot: Luks2Keyslot, passphrase: Secret) -> Secret:
    kdf: Argon2id = slot.kdf
    try:
        argon2id = Argon2idKDF(
            salt=kdf.salt,
            length=slot.area.key_size,
            iterations=kdf.time,
            lanes=kdf.cpus,
            memory_cost=kdf.memory,
        )
        # Any buffer will do, whatever the stub says; bytes would be a copy that nobody wipes.
        with _DERIVING:
            return Secret(argon2id.derive(passphrase.reveal()))  # type: ignore[arg-type]
    except MemoryError as error:
        need = f"{kdf.memory // 1024} MiB of free memory for Argon2id"
        raise HostUnready(need, "free memory, or open fewer volumes at once") from error


def probe_argon2id() -> None:
    """Run Argon2id once at its lowest cost.

    Raises:
        cryptography.exceptions.UnsupportedAlgorithm: the OpenSSL in use does not have it.
    """
    Argon2idKDF(salt=bytes(16), length=16, iterations=1, lanes=1, memory_cost=8).derive(b"")
