"""From a `VerifiedHeader` and a passphrase to the volume key: steps 16 and 17, the only door."""

from types import TracebackType
from typing import Self

import attrs

from cloudcrypt.errors import VolumeKeyRefused
from cloudcrypt.luks2 import keyslot
from cloudcrypt.luks2.steps import Step, refuse
from cloudcrypt.luks2.verify import VerifiedHeader
from cloudcrypt.secret import Secret


@attrs.frozen
class UnlockedVolume:
    """A verified header with its volume key; made by `unlock` alone.

    ``volume_key`` has 64 bytes, or 96 with integrity: the XTS key first, then the HMAC key. Use it
    as a context manager: leaving wipes the key.
    """

    header: VerifiedHeader
    volume_key: Secret

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipe the volume key."""
        self.volume_key.wipe()


def unlock(header: VerifiedHeader, passphrase: Secret) -> UnlockedVolume:
    """Return the volume that ``passphrase`` opens.

    Takes as long as the header's Argon2id cost, which verification has bounded, and its memory.
    Holds no lock.

    Raises:
        VolumeKeyRefused: the passphrase is not that of the keyslot, or the area was changed.
        HeaderRefused: the volume key is one that must not be used.
        HostUnready: this host has not the memory for Argon2id.
    """
    volume_key = keyslot.open_keyslot(header.keyslot, header.area, passphrase)
    if not keyslot.matches(header.digest, volume_key):
        volume_key.wipe()
        raise VolumeKeyRefused(
            int(Step.UNLOCK), Step.UNLOCK.name, "a key that the digest denies", "the volume key"
        )
    if not has_distinct_halves(volume_key):
        volume_key.wipe()
        refuse(Step.XTS_KEY, "an XTS key with equal halves", "two different AES keys")
    return UnlockedVolume(header, volume_key)


def has_distinct_halves(volume_key: Secret) -> bool:
    """Say whether the two AES keys of an XTS key differ, as IEEE 1619 wants."""
    key = volume_key.reveal()
    return key[:32] != key[32:64]
