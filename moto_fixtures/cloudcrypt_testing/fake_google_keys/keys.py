"""The keys of the fake Cloud KMS: versions, and real AES-GCM with additional authenticated data."""

import hashlib
import secrets
from datetime import datetime
from typing import Any, Final

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloudcrypt_testing.fake_google_keys import errors

ENCRYPT_DECRYPT: Final = "ENCRYPT_DECRYPT"
ENABLED: Final = "ENABLED"

_MAGIC: Final = b"\x0a\x24\x00"
"""How a ciphertext begins, as those of Cloud KMS do; then key, version, nonce, and the rest."""
_TAG: Final = 16
_NONCE: Final = 12
_HEAD: Final = len(_MAGIC) + _TAG + 4
_INVALID: Final = "Decryption failed: the ciphertext is invalid."
_OTHER_KEY: Final = "Decryption failed: verify that 'name' refers to the correct CryptoKey."


@attrs.define
class Version:
    """One version of a key."""

    number: int
    created: datetime
    material: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), repr=False)
    state: str = ENABLED


@attrs.define
class Key:
    """One key, of which one version encrypts, and all that are enabled decrypt."""

    name: str
    purpose: str
    created: datetime
    versions: dict[int, Version] = attrs.field(factory=dict[int, Version])
    primary: int = 0

    def rotate(self, now: datetime) -> int:
        """Make a new version, which encrypts from now on, and return its number."""
        number = len(self.versions) + 1
        self.versions[number] = Version(number, now)
        self.primary = number
        return number

    def path(self, version: Version) -> str:
        """Return the complete name of a version."""
        return f"{self.name}/cryptoKeyVersions/{version.number}"

    def encrypt(self, version: int | None, plaintext: bytes, context: bytes) -> tuple[str, bytes]:
        """Return which version encrypted, the primary one if ``version`` is None, and what to."""
        chosen = self._usable(self.primary if version is None else version)
        head = _MAGIC + self._mark + chosen.number.to_bytes(4)
        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(chosen.material).encrypt(nonce, plaintext, head + context)
        return self.path(chosen), head + nonce + sealed

    def decrypt(self, ciphertext: bytes, context: bytes) -> tuple[bytes, bool]:
        """Return the plaintext, and whether it was the primary version that decrypted it."""
        if len(ciphertext) < _HEAD + _NONCE + _TAG or not ciphertext.startswith(_MAGIC):
            raise errors.kms("INVALID_ARGUMENT", _INVALID)
        if ciphertext[len(_MAGIC) : -4 + _HEAD] != self._mark:
            raise errors.kms("INVALID_ARGUMENT", _OTHER_KEY)
        number = int.from_bytes(ciphertext[_HEAD - 4 : _HEAD])
        if number not in self.versions:
            raise errors.kms("INVALID_ARGUMENT", _INVALID)
        cipher = AESGCM(self._usable(number).material)
        nonce, sealed = ciphertext[_HEAD : _HEAD + _NONCE], ciphertext[_HEAD + _NONCE :]
        try:
            plaintext = cipher.decrypt(nonce, sealed, ciphertext[:_HEAD] + context)
        except InvalidTag:
            plaintext = None
        if plaintext is None:
            raise errors.kms("INVALID_ARGUMENT", _INVALID)
        return plaintext, number == self.primary

    def describe(self) -> dict[str, Any]:
        """Return the resource ``CryptoKey``."""
        facts: dict[str, Any] = {
            "name": self.name,
            "purpose": self.purpose,
            "createTime": self.created.isoformat(),
            "versionTemplate": {
                "protectionLevel": "SOFTWARE",
                "algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION",
            },
        }
        if self.purpose == ENCRYPT_DECRYPT:
            primary = self.versions[self.primary]
            facts["primary"] = {
                "name": self.path(primary),
                "state": primary.state,
                "createTime": primary.created.isoformat(),
                "protectionLevel": "SOFTWARE",
                "algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION",
            }
        return facts

    @property
    def _mark(self) -> bytes:
        return hashlib.sha256(self.name.encode()).digest()[:_TAG]

    def _usable(self, number: int) -> Version:
        version = self.versions.get(number)
        if version is None:
            raise errors.kms("NOT_FOUND", f"{self.name}/cryptoKeyVersions/{number} not found.")
        if version.state != ENABLED:
            raise errors.not_enabled(self.path(version), version.state)
        return version
