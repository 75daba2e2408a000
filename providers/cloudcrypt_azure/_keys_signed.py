"""Wrapping by an RSA key, and a signature by a second key of the same vault.

RSA alone authenticates nothing: whoever has the public key can wrap a key of their own choice under
any id. So a blob is signed, and nothing is unwrapped before the signature was verified:

    blob = "cloudcrypt-azure-rsa/1" NUL, version of the wrapping key, version of the signing key,
           ciphertext, signature
    signature = over SHA-256 of: "cloudcrypt-azure-signed/1" NUL, associated data of the key id,
                id and version of the wrapping key, id and version of the signing key, ciphertext

in the encoding of `cloudcrypt_azure._keys_format`. The ciphertext is RSA-OAEP with SHA-256, the
signature ES256 for a key on P-256 and PS256 for an RSA key.

Which steps the SDK takes here and which the vault: wrapping and verifying need public keys only and
happen here, with what the vault has just said over TLS; signing and unwrapping happen in the vault.
What counts is therefore who may sign with the second key: it should sign nothing else.
"""

import hashlib
from typing import Final

from azure.keyvault.keys.crypto import KeyWrapAlgorithm, SignatureAlgorithm

from cloudcrypt.errors import KeyServiceFailed, WrappedKeyRefused
from cloudcrypt.kms import WrappingKey, associated_data
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._keys_errors import Asked
from cloudcrypt_azure._keys_format import decoded, encoded, version_in
from cloudcrypt_azure._keys_vault import Vault, Version
from cloudcrypt_azure._keys_wrapping import content, current, malformed, named, refused

MAGIC: Final = b"cloudcrypt-azure-rsa/1\0"
DOMAIN: Final = b"cloudcrypt-azure-signed/1\0"
"""What keeps a signature that the same key made for another purpose from being one of these."""
WRAPPED_MAX: Final = 190
"""Bytes that RSA-OAEP with SHA-256 takes with the shortest key of a vault, 2048 bits (RFC 8017)."""
ES256: Final = 64
"""Bytes of a signature ES256 (RFC 7518, section 3.4)."""

_RSA: Final = frozenset({"RSA", "RSA-HSM"})
_EC: Final = frozenset({"EC", "EC-HSM"})
_LACK: Final = "an RSA key is needed beside signKey=; without that, oct-HSM of Managed HSM"
_LACK_SIGNING: Final = "signKey is an RSA key, or one on the curve P-256"


class SignedWrapping:
    """Wraps by one RSA key, and signs by another key."""

    def __init__(self, vault: Vault, name: str, sign_name: str) -> None:
        """Wrap by the key ``name``, and sign by the key ``sign_name``, of the same vault."""
        self._vault = vault
        self._name = name
        self._sign_name = sign_name

    def wrap(self, plaintext: Secret, asked: Asked, deadline: Deadline) -> bytes:
        """Wrap by the current version of one key, and let that of the other sign."""
        if not 1 <= len(plaintext) <= WRAPPED_MAX:
            reason = f"RSA wraps 1 to {WRAPPED_MAX} bytes"
            raise KeyServiceFailed(self._vault.service, asked.key_id, "BadParameter", reason)
        key = self._current(asked, deadline)
        signing = self._signing(asked, deadline)
        algorithm = self._algorithm(signing, asked)
        wrapped = self._vault.ask(
            lambda: key.uses.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, bytes(plaintext.reveal())),
            asked,
            deadline,
        )
        ciphertext = content(wrapped.encrypted_key, "ciphertext", self._vault, asked)
        digest = _digest(asked.key_id, key, signing, ciphertext)
        signed = self._vault.ask(lambda: signing.uses.sign(algorithm, digest), asked, deadline)
        versions = key.version.encode(), signing.version.encode()
        signature = content(signed.signature, "signature", self._vault, asked)
        return encoded(MAGIC, *versions, ciphertext, signature)

    def unwrap(self, blob: bytes, asked: Asked, deadline: Deadline) -> Secret:
        """Verify the signature, and only then let the wrapping key unwrap."""
        fields = decoded(blob, MAGIC, 4)
        if fields is None:
            raise malformed(asked)
        version, sign_version = version_in(fields[0]), version_in(fields[1])
        ciphertext, signature = fields[2:]
        if version is None or sign_version is None:
            raise malformed(asked)
        key = named(self._vault, self._name, version, _RSA, asked, deadline)
        signing = named(self._vault, self._sign_name, sign_version, _RSA | _EC, asked, deadline)
        self._verify(signature, key, signing, ciphertext, asked, deadline)
        try:
            result = self._vault.ask(
                lambda: key.uses.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, ciphertext),
                asked,
                deadline,
            )
        except KeyServiceFailed as error:
            refusal = refused(error, asked)
            if refusal is None:
                raise
        else:
            return Secret(content(result.key, "key", self._vault, asked))
        raise refusal

    def key(self, asked: Asked, deadline: Deadline) -> WrappingKey:
        """Return the key that wraps, and the versions of it and of the one that signs now.

        A blob is to be made anew when either was rotated: an old signature is good no longer than
        the version that made it is enabled.
        """
        key, signing = self._current(asked, deadline), self._signing(asked, deadline)
        self._algorithm(signing, asked)
        return WrappingKey(key.id, f"{key.version}+{signing.version}")

    def _current(self, asked: Asked, deadline: Deadline) -> Version:
        return current(self._vault, self._name, _RSA, _LACK, asked, deadline)

    def _signing(self, asked: Asked, deadline: Deadline) -> Version:
        kinds = _RSA | _EC
        return current(self._vault, self._sign_name, kinds, _LACK_SIGNING, asked, deadline)

    def _verify(
        self,
        signature: bytes,
        key: Version,
        signing: Version,
        ciphertext: bytes,
        asked: Asked,
        deadline: Deadline,
    ) -> None:
        if not signing.is_enabled:  # so that a version that has leaked can be taken out of use
            reason = f"version {signing.version} of {self._sign_name} is disabled"
            raise KeyServiceFailed(self._vault.service, asked.key_id, "KeyDisabled", reason)
        algorithm = self._algorithm(signing, asked)
        if algorithm == SignatureAlgorithm.es256 and len(signature) != ES256:
            raise malformed(asked)
        digest = _digest(asked.key_id, key, signing, ciphertext)
        verified = self._vault.ask(
            lambda: signing.uses.verify(algorithm, digest, signature), asked, deadline
        )
        if verified.is_valid is not True:
            reason = f"it was not signed for this id by the key {self._sign_name}"
            raise WrappedKeyRefused(asked.key_id, reason)

    def _algorithm(self, signing: Version, asked: Asked) -> SignatureAlgorithm:
        if signing.kind in _RSA:
            return SignatureAlgorithm.ps256
        if signing.curve == "P-256":
            return SignatureAlgorithm.es256
        code = f"Curve {signing.curve}"
        raise KeyServiceFailed(self._vault.service, asked.key_id, code, _LACK_SIGNING)


def _digest(key_id: str, key: Version, signing: Version, ciphertext: bytes) -> bytes:
    """Return what is signed."""
    names = (part.encode() for one in (key, signing) for part in (one.id, one.version))
    statement = encoded(DOMAIN, associated_data(key_id), *names, ciphertext)
    return hashlib.sha256(statement).digest()
