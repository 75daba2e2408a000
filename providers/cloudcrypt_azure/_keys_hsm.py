"""Wrapping by a symmetric key of Managed HSM: AES-256-GCM, the key id being associated data.

    blob = "cloudcrypt-azure-gcm/1" NUL, version of the key, IV, tag, ciphertext

in the encoding of `cloudcrypt_azure._keys_format`. The IV is the service's. Everything happens in
the HSM: the SDK has no key to do it with.
"""

from typing import Final

from azure.keyvault.keys.crypto import EncryptionAlgorithm

from cloudcrypt.errors import KeyServiceFailed
from cloudcrypt.kms import WrappingKey, associated_data
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._keys_errors import Asked
from cloudcrypt_azure._keys_format import decoded, encoded, version_in
from cloudcrypt_azure._keys_vault import MALFORMED, Vault, Version
from cloudcrypt_azure._keys_wrapping import content, current, malformed, named, refused

MAGIC: Final = b"cloudcrypt-azure-gcm/1\0"
IV: Final = 12
"""Bytes of an IV of AES-GCM (NIST SP 800-38D, and Managed HSM)."""
TAG: Final = 16
"""Bytes of a tag; a shorter one would be easier to forge."""

_KINDS: Final = frozenset({"oct-HSM"})
_LACK: Final = "a key oct-HSM of Managed HSM is needed; an RSA key needs signKey= beside it"


class GcmWrapping:
    """Wraps by one key of a Managed HSM."""

    def __init__(self, vault: Vault, name: str) -> None:
        """Wrap by the key of this ``name``."""
        self._vault = vault
        self._name = name

    def wrap(self, plaintext: Secret, asked: Asked, deadline: Deadline) -> bytes:
        """Let the current version of the key encrypt."""
        key = self._current(asked, deadline)
        data = associated_data(asked.key_id)
        result = self._vault.ask(
            lambda: key.uses.encrypt(
                EncryptionAlgorithm.a256_gcm,
                bytes(plaintext.reveal()),
                additional_authenticated_data=data,
            ),
            asked,
            deadline,
        )
        iv = content(result.iv, "IV", self._vault, asked)
        tag = content(result.tag, "tag", self._vault, asked)
        ciphertext = content(result.ciphertext, "ciphertext", self._vault, asked)
        if (len(iv), len(tag), len(ciphertext)) != (IV, TAG, len(plaintext)):
            reason = "wrap: IV, tag or ciphertext of another length"
            raise KeyServiceFailed(self._vault.service, asked.key_id, MALFORMED, reason)
        return encoded(MAGIC, key.version.encode(), iv, tag, ciphertext)

    def unwrap(self, blob: bytes, asked: Asked, deadline: Deadline) -> Secret:
        """Let the version that the blob names decrypt."""
        fields = decoded(blob, MAGIC, 4)
        if fields is None:
            raise malformed(asked)
        version, (iv, tag, ciphertext) = version_in(fields[0]), fields[1:]
        if version is None or (len(iv), len(tag)) != (IV, TAG) or not ciphertext:
            raise malformed(asked)
        key = named(self._vault, self._name, version, _KINDS, asked, deadline)
        data = associated_data(asked.key_id)
        try:
            result = self._vault.ask(
                lambda: key.uses.decrypt(
                    EncryptionAlgorithm.a256_gcm,
                    ciphertext,
                    iv=iv,
                    authentication_tag=tag,
                    additional_authenticated_data=data,
                ),
                asked,
                deadline,
            )
        except KeyServiceFailed as error:
            refusal = refused(error, asked)
            if refusal is None:
                raise
        else:
            return Secret(content(result.plaintext, "plaintext", self._vault, asked))
        raise refusal

    def key(self, asked: Asked, deadline: Deadline) -> WrappingKey:
        """Return the key and the version of it that encrypts now."""
        key = self._current(asked, deadline)
        return WrappingKey(key.id, key.version)

    def _current(self, asked: Asked, deadline: Deadline) -> Version:
        return current(self._vault, self._name, _KINDS, _LACK, asked, deadline)
