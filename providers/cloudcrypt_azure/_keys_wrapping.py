"""What is common to the two ways of wrapping: the version of the key that a blob names."""

from typing import Final, Protocol

from cloudcrypt.errors import CloudcryptError, KeyServiceFailed, WrappedKeyRefused
from cloudcrypt.kms import WrappingKey
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._keys_errors import KEY_NOT_FOUND, Asked, code_of
from cloudcrypt_azure._keys_vault import MALFORMED, Vault, Version

KEY_MAX: Final = 4096
"""Bytes that are wrapped at most, which is many times a data key; RSA takes fewer, and says so."""

_BAD_REQUEST: Final = 400


class Wrapping(Protocol):
    """One way of wrapping with authentication."""

    def wrap(self, plaintext: Secret, asked: Asked, deadline: Deadline) -> bytes:
        """Return the blob; see `cloudcrypt.kms.KMS.wrap`."""
        ...

    def unwrap(self, blob: bytes, asked: Asked, deadline: Deadline) -> Secret:
        """Return what is in the blob; see `cloudcrypt.kms.KMS.unwrap`."""
        ...

    def key(self, asked: Asked, deadline: Deadline) -> WrappingKey:
        """Return what wraps now, if it is fit for that."""
        ...


def current(
    vault: Vault, name: str, kinds: frozenset[str], lack: str, asked: Asked, deadline: Deadline
) -> Version:
    """Return the version of a key that is used now, one of ``kinds`` and in force.

    Raises:
        KeyServiceFailed: it is of another kind, ``lack`` saying what is wanted; or it is disabled,
            has expired or is not yet in force.
        KeyServiceError: as the vault says.
    """
    found = vault.get(name, None, asked, deadline)
    if found.kind not in kinds:
        raise KeyServiceFailed(vault.service, asked.key_id, f"KeyType {found.kind}", lack)
    flaw = found.flaw(vault.clock.now())
    if flaw is not None:
        reason = f"version {found.version} of {name} is not in force"
        raise KeyServiceFailed(vault.service, asked.key_id, flaw, reason)
    return found


def named(
    vault: Vault,
    name: str,
    version: str,
    kinds: frozenset[str],
    asked: Asked,
    deadline: Deadline,
) -> Version:
    """Return the version of a key that a blob names.

    Raises:
        WrappedKeyRefused: the key has no such version, or not one of ``kinds``: it never wrapped.
        KeyServiceFailed: the key itself is not there.
        KeyServiceError: as the vault says.
    """
    try:
        found = vault.get(name, version, asked, deadline)
    except KeyServiceFailed as error:
        if code_of(error) != (404, KEY_NOT_FOUND):
            raise
        vault.get(name, None, asked, deadline)  # versions cannot be deleted one by one
        reason = f"the key {name} has no version {version}"
        raise WrappedKeyRefused(asked.key_id, reason, answer=error.answer) from None
    if found.kind not in kinds:
        raise WrappedKeyRefused(asked.key_id, f"version {version} of {name} is a key {found.kind}")
    return found


def content(value: object, what: str, vault: Vault, asked: Asked) -> bytes:
    """Return what an answer has under a name, if that is bytes.

    Raises:
        KeyServiceFailed: it is not, or nothing.
    """
    if isinstance(value, bytes) and value:
        return value
    reason = f"{asked.action}: there is no {what} in the answer"
    raise KeyServiceFailed(vault.service, asked.key_id, MALFORMED, reason)


def refused(error: CloudcryptError, asked: Asked) -> WrappedKeyRefused | None:
    """Return the refusal of a blob, if that is what the service said of a ciphertext.

    Key Vault says BadParameter with HTTP status 400. The code of Managed HSM is not documented, so
    any is taken: the key is there and of the right type, the vault has just said so, and everything
    in the request but the ciphertext, its tag and its IV is of our making.
    """
    if code_of(error)[0] != _BAD_REQUEST:
        return None
    reason = "the ciphertext is not authentic, or of another key"
    return WrappedKeyRefused(asked.key_id, reason, answer=error.answer)


def malformed(asked: Asked) -> WrappedKeyRefused:
    """Return the refusal of what is no blob of this way of wrapping."""
    return WrappedKeyRefused(asked.key_id, f"it is no blob of {asked.service.partition(':')[0]}")
