"""The keys of a transit engine: real encryption, by versions and by contexts.

As in Vault's ``sdk/helper/keysutil/policy.go``: the key of a context is HKDF-SHA256 of that of the
version, without a salt, the context being the info; a ciphertext is the nonce and what the AEAD
gives; a key that is not derived ignores the context.
"""

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloudcrypt_testing.fake_vault import errors

_PREFIX: Final = "vault:v"
_NONCE: Final = 12  # bytes
_KINDS: Final[Mapping[str, tuple[int, Callable[[bytes], AESGCM | ChaCha20Poly1305], str]]] = {
    "aes128-gcm96": (16, AESGCM, "cipher"),
    "aes256-gcm96": (32, AESGCM, "cipher"),
    "chacha20-poly1305": (32, ChaCha20Poly1305, "chacha20poly1305"),
}
_OTHERS: Final = frozenset({"ecdsa-p256", "ed25519", "hmac", "rsa-2048", "rsa-4096"})


def _random() -> list[bytes]:
    return [os.urandom(32)]


@attrs.define
class TransitKey:
    """A key with all of its versions, the first one first."""

    name: str
    kind: str = "aes256-gcm96"
    derived: bool = False
    least: int = 1
    """``min_decryption_version``."""
    deletion_allowed: bool = False
    versions: list[bytes] = attrs.field(factory=_random, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the type."""
        if self.kind not in {*_KINDS, *_OTHERS}:
            raise errors.invalid(f"unknown key type {self.kind}")

    @property
    def document(self) -> dict[str, object]:
        """What Vault says of the key."""
        latest, encrypts = len(self.versions), self.kind in _KINDS
        said: dict[str, object] = {
            "name": self.name,
            "type": self.kind,
            "derived": self.derived,
            "deletion_allowed": self.deletion_allowed,
            "exportable": False,
            "keys": {str(version): 1_893_456_000 for version in range(self.least, latest + 1)},
            "latest_version": latest,
            "min_available_version": 0,
            "min_decryption_version": self.least,
            "min_encryption_version": 0,
            "supports_decryption": encrypts,
            "supports_derivation": encrypts or self.kind == "ed25519",
            "supports_encryption": encrypts,
        }
        return said | ({"kdf": "hkdf_sha256"} if self.derived else {})

    def rotate(self) -> None:
        """Make a new version."""
        self.versions += _random()

    def configure(self, body: Mapping[str, Any]) -> None:
        """Change what can be changed."""
        least = int(body.get("min_decryption_version", self.least))
        if not 0 <= least <= len(self.versions):
            raise errors.invalid(f"cannot set min decryption version of {least}")
        self.least = max(1, least)
        self.deletion_allowed = bool(body.get("deletion_allowed", self.deletion_allowed))

    def encrypt(self, body: Mapping[str, Any]) -> dict[str, object]:
        """Encrypt by the latest version."""
        plaintext = _decoded(body, "plaintext")
        version = len(self.versions)
        aead, _ = self._aead(version, _decoded(body, "context"))
        nonce = os.urandom(_NONCE)
        sealed = nonce + aead.encrypt(nonce, plaintext, _decoded(body, "associated_data"))
        ciphertext = f"{_PREFIX}{version}:{base64.b64encode(sealed).decode()}"
        return {"ciphertext": ciphertext, "key_version": version}

    def decrypt(self, body: Mapping[str, Any]) -> dict[str, object]:
        """Decrypt by the version that the ciphertext names."""
        text = str(body.get("ciphertext", ""))
        if not text:
            raise errors.invalid("missing ciphertext to decrypt")
        version, sealed = self._parsed(text)
        aead, library = self._aead(version, _decoded(body, "context"))
        if len(sealed) < _NONCE:
            raise errors.invalid("invalid ciphertext length")
        data = _decoded(body, "associated_data")
        try:
            plaintext = aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], data)
        except InvalidTag as error:
            raise errors.invalid(f"{library}: message authentication failed") from error
        return {"plaintext": base64.b64encode(plaintext).decode()}

    def _parsed(self, text: str) -> tuple[int, bytes]:
        if not text.startswith(_PREFIX):
            raise errors.invalid("invalid ciphertext: no prefix")
        number, separator, encoded = text.removeprefix(_PREFIX).partition(":")
        if not separator:
            raise errors.invalid("invalid ciphertext: wrong number of fields")
        try:
            version = int(number) or 1  # the first implementation counted from 0
        except ValueError as error:
            message = "invalid ciphertext: version number could not be decoded"
            raise errors.invalid(message) from error
        if version > len(self.versions):
            raise errors.invalid("invalid ciphertext: version is too new")
        if version < self.least:
            raise errors.too_old()
        try:
            return version, _go_base64(encoded)
        except binascii.Error as error:
            raise errors.invalid("invalid ciphertext: could not decode base64") from error

    def _aead(self, version: int, context: bytes) -> tuple[AESGCM | ChaCha20Poly1305, str]:
        """Return the cipher, and what Go calls its package."""
        if self.kind not in _KINDS:
            message = f"message encryption not supported for key type {self.kind}"
            raise errors.invalid(message)
        length, cipher, library = _KINDS[self.kind]
        material = self.versions[version - 1]
        if self.derived:
            if not context:
                raise errors.no_context()
            material = HKDF(SHA256(), length, None, context).derive(material)
        return cipher(material[:length]), library


def _decoded(body: Mapping[str, Any], name: str) -> bytes:
    try:
        return _go_base64(str(body.get(name) or ""))
    except (binascii.Error, ValueError) as error:
        raise errors.invalid("illegal base64 data at input byte 0") from error


def _go_base64(text: str) -> bytes:
    """Decode as Go does: line breaks are nothing, and the last bits may be anything."""
    return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
